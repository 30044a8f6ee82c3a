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
    """A pipeline that runs."""

    def __init__(self, processors: Pipeline, **params: object) -> None:
        options = PipelineParams(enable_metrics=True, enable_usage_metrics=True, **params)
        self.worker = PipelineWorker(processors, params=options, cancel_on_idle_timeout=False, enable_rtvi=False)
        self.started = asyncio.Event()

        @self.worker.event_handler("on_pipeline_started")
        async def on_pipeline_started(worker: PipelineWorker, frame: Frame) -> None:
            self.started.set()

    async def send(self, *frames: Frame) -> None:
        await self.worker.queue_frames(frames)

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)


class Tapped(Running):
    """... around one service. `down` and `up`: what it pushed."""

    def __init__(self, service: FrameProcessor, **params: object) -> None:
        above, below = Tap(FrameDirection.UPSTREAM), Tap(FrameDirection.DOWNSTREAM)
        super().__init__(Pipeline([above, service, below]), **params)
        self.down, self.up = below.frames, above.frames

    def of(self, kind: type[F]) -> list[F]:
        return [frame for frame in self.down if isinstance(frame, kind)]

    def errors(self) -> list[Frame]:
        return [frame for frame in self.up if type(frame).__name__ == "ErrorFrame"]

    def metrics(self, kind: type[MetricsData]) -> list[MetricsData]:
        return [data for frame in self.of(MetricsFrame) for data in frame.data if type(data) is kind]

    def audio(self) -> np.ndarray:
        return np.concatenate([np.frombuffer(frame.audio, np.int16) for frame in self.of(TTSAudioRawFrame)])

    async def reply(self, *texts: str) -> None:
        """What a language model pushes for one answer."""
        deltas = [LLMTextFrame(text) for text in texts]
        await self.send(LLMFullResponseStartFrame(), *deltas, LLMFullResponseEndFrame())


@asynccontextmanager
async def pipeline(service: FrameProcessor, *, end: type[Frame] = EndFrame, **params: object) -> AsyncIterator[Tapped]:
    """Runs one service as long as the block, and to its `end`: `EndFrame`, or `CancelFrame`."""
    tapped = Tapped(service, **params)
    async with _run(tapped, end):
        yield tapped


@asynccontextmanager
async def run_pipeline(processors: Pipeline, **params: object) -> AsyncIterator[Running]:
    """Runs a whole pipeline as long as the block, and to its end."""
    running = Running(processors, **params)
    async with _run(running, EndFrame):
        yield running


@asynccontextmanager
async def _run(running: Running, end: type[Frame]) -> AsyncIterator[None]:
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(running.worker)
    work = asyncio.create_task(runner.run())
    try:
        await asyncio.wait_for(running.started.wait(), 20)
        yield
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
