"""A transport without a network or a device: a microphone and a loudspeaker, in real time."""

from __future__ import annotations

import asyncio
import time
from collections import deque

import numpy as np
from pipecat.frames.frames import Frame, InputAudioRawFrame, InterruptionFrame, OutputAudioRawFrame, StartFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams

FRAME_SECONDS = 0.02
PARAMS = TransportParams(audio_in_enabled=True, audio_out_enabled=True)


class Pace:
    """Waits so that what is done lasts as long as its audio."""

    def __init__(self) -> None:
        self._next_at = 0.0

    async def wait(self, seconds: float) -> None:
        now = time.monotonic()
        self._next_at = max(self._next_at + seconds, now - 0.5)
        await asyncio.sleep(self._next_at - now)


class Microphone(BaseInputTransport):
    """Silence at the pace of time, and speech where `say` puts it."""

    def __init__(self) -> None:
        super().__init__(PARAMS)
        self._speech: deque[bytes] = deque()
        self._recording: asyncio.Task | None = None

    def say(self, samples: np.ndarray) -> None:
        """Speaks mono int16 in the rate of the pipeline."""
        size = round(self.sample_rate * FRAME_SECONDS)
        padded = np.pad(samples, (0, -len(samples) % size))
        self._speech.extend(frame.tobytes() for frame in padded.reshape(-1, size))

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._recording = self.create_task(self._record(), "record")

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._recording is not None:
            await self.cancel_task(self._recording)

    async def _record(self) -> None:
        pace, silence = Pace(), bytes(2 * round(self.sample_rate * FRAME_SECONDS))
        while True:
            audio = self._speech.popleft() if self._speech else silence
            await self.push_audio_frame(InputAudioRawFrame(audio, self.sample_rate, 1))
            await pace.wait(FRAME_SECONDS)


class Loudspeaker(BaseOutputTransport):
    """Plays at the pace of time. `played`: what was heard between two interruptions."""

    def __init__(self) -> None:
        super().__init__(PARAMS)
        self.played: list[bytes] = [b""]
        self._pace = Pace()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self.played.append(b"")

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self.played[-1] += frame.audio
        await self._pace.wait(len(frame.audio) / 2 / frame.sample_rate)
        return True


class Room(BaseTransport):
    """Both of them."""

    def __init__(self, microphone: Microphone, loudspeaker: Loudspeaker) -> None:
        super().__init__()
        self._microphone, self._loudspeaker = microphone, loudspeaker

    def input(self) -> Microphone:
        return self._microphone

    def output(self) -> Loudspeaker:
        return self._loudspeaker
