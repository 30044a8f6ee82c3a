"""A microphone and a loudspeaker for an `AgentSession` without a room: real time, no device."""

from __future__ import annotations

import asyncio
import time
from collections import deque

import numpy as np
from livekit import rtc
from livekit.agents.voice import io

FRAME_SECONDS = 0.02


class Microphone(io.AudioInput):
    """Silence at the pace of time, and speech where `say` puts it."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__(label="microphone")
        self._rate = sample_rate
        self._size = round(sample_rate * FRAME_SECONDS)
        self._speech: deque[bytes] = deque()
        self._silence = bytes(2 * self._size)
        self._next_at = 0.0

    def say(self, samples: np.ndarray) -> None:
        """Speaks mono int16 in the microphone's rate, after what is being said."""
        padded = np.pad(samples, (0, -len(samples) % self._size))
        for frame in padded.reshape(-1, self._size):
            self._speech.append(frame.tobytes())

    async def __anext__(self) -> rtc.AudioFrame:
        now = time.monotonic()
        self._next_at = max(self._next_at + FRAME_SECONDS, now - 0.5)
        await asyncio.sleep(self._next_at - now)
        data = self._speech.popleft() if self._speech else self._silence
        return rtc.AudioFrame(data, self._rate, 1, self._size)


class Loudspeaker(io.AudioOutput):
    """Plays at the pace of time. `played`: what was heard of each segment, and whether it was interrupted."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False))
        self.captured: list[bytes] = [b""]
        self.flushed = False  # the segment at work is whole
        self.played: list[tuple[float, bool]] = []
        self._began = 0.0
        self._pushed = 0.0
        self._end: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._pushed:
            self._began = time.monotonic()
            self.on_playback_started(created_at=time.time())
        self._pushed += frame.duration
        self.captured[-1] += bytes(frame.data)

    def flush(self) -> None:
        super().flush()
        self.flushed = bool(self._pushed)
        if self._pushed:
            left = max(0.0, self._began + self._pushed - time.monotonic())
            self._end = asyncio.get_running_loop().call_later(left, self._finish, False)

    def clear_buffer(self) -> None:
        if self._end is not None:
            self._end.cancel()
        if self._pushed:
            self._finish(True)

    def _finish(self, interrupted: bool) -> None:
        heard = min(time.monotonic() - self._began, self._pushed)
        self._pushed, self._end, self.flushed = 0.0, None, False
        self.captured.append(b"")
        self.played.append((heard, interrupted))
        self.on_playback_finished(playback_position=heard, interrupted=interrupted)
