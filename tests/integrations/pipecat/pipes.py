"""A pipeline around one service: frames go in, and what comes out of either end is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    TTSAudioRawFrame,
)
from pipecat.metrics.metrics import MetricsData
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from voicecore import AudioFormat, aio

PHRASE = "Your appointment is on Monday at nine."
F = TypeVar("F", bound=Frame)


async def spoken(text: str, url: str, rate: int = 16_000) -> np.ndarray:
    """What the 60db emulator says, by voicecore alone."""
    async with aio.connect_tts("60db", api_key="k", url=url) as tts:
        async with tts.synthesize(text, output=AudioFormat("pcm_s16le", rate)) as speech:
            return np.concatenate([chunk.samples async for chunk in speech])


class Tap(FrameProcessor):
    """Keeps what passes in one direction."""

    def __init__(self, direction: FrameDirection) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self._direction = direction

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is self._direction:
            self.frames.append(frame)
        await self.push_frame(frame, direction)


class Running:
    """A pipeline that runs. `down` and `up`: what the service pushed."""

    def __init__(self, service: FrameProcessor, **params: object) -> None:
        self._above, self._below = Tap(FrameDirection.UPSTREAM), Tap(FrameDirection.DOWNSTREAM)
        self.down, self.up = self._below.frames, self._above.frames
        pipeline = Pipeline([self._above, service, self._below])
        options = PipelineParams(enable_metrics=True, enable_usage_metrics=True, **params)
        self.worker = PipelineWorker(pipeline, params=options, cancel_on_idle_timeout=False, enable_rtvi=False)
        self.started = asyncio.Event()

        @self.worker.event_handler("on_pipeline_started")
        async def on_pipeline_started(worker: PipelineWorker, frame: Frame) -> None:
            self.started.set()

    def of(self, kind: type[F]) -> list[F]:
        return [frame for frame in self.down if isinstance(frame, kind)]

    def errors(self) -> list[Frame]:
        return [frame for frame in self.up if type(frame).__name__ == "ErrorFrame"]

    def metrics(self, kind: type[MetricsData]) -> list[MetricsData]:
        return [data for frame in self.of(MetricsFrame) for data in frame.data if type(data) is kind]

    def audio(self) -> np.ndarray:
        return np.concatenate([np.frombuffer(frame.audio, np.int16) for frame in self.of(TTSAudioRawFrame)])

    async def send(self, *frames: Frame) -> None:
        await self.worker.queue_frames(frames)

    async def reply(self, *texts: str) -> None:
        """What a language model pushes for one answer."""
        deltas = [LLMTextFrame(text) for text in texts]
        await self.send(LLMFullResponseStartFrame(), *deltas, LLMFullResponseEndFrame())

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def pipeline(service: FrameProcessor, *, end: type[Frame] = EndFrame, **params: object) -> AsyncIterator[Running]:
    """Runs it as long as the block, and to its `end`: `EndFrame`, or `CancelFrame`."""
    running = Running(service, **params)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(running.worker)
    work = asyncio.create_task(runner.run())
    try:
        await asyncio.wait_for(running.started.wait(), 10)
        yield running
        if end is CancelFrame:
            await running.worker.cancel()
        else:
            await running.send(EndFrame())
        await asyncio.wait_for(work, 20)
    finally:
        work.cancel()
        await asyncio.wait([work], timeout=5)


def frames_of(speech: np.ndarray, rate: int, seconds: float = 0.02) -> list[InputAudioRawFrame]:
    size = round(rate * seconds)
    parts = [speech[at : at + size] for at in range(0, len(speech), size)]
    return [InputAudioRawFrame(part.tobytes(), rate, 1) for part in parts]
