"""The sans-IO halves of the user's streams: events to audio chunks, audio frames to wire frames, and the metrics.

Both drivers (trio, asyncio) share them. Nothing here waits, and times are given by the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from voicecore.audio import AudioChunk, AudioFormat
from voicecore.codec import Transcoder
from voicecore.content import ContentCheck, FormatMismatch
from voicecore.events import (
    Audio,
    AudioFault,
    ContextFinished,
    Event,
    FlushCompleted,
    GenerationFinished,
)
from voicecore.inbox import Received

# One message with audio: when it came (seconds since the request) and how much it brought (seconds). A plain tuple: the
# garbage collector lets go of those, and does not walk every chunk of every call again and again.
Arrival = tuple[float, float]


@dataclass(slots=True)
class Metrics:
    """Of one utterance. Times are seconds; `ttfb` is measured at the socket, not at the consumer."""

    requested_at: float
    first_audio_at: float | None = None
    finished_at: float | None = None
    bytes_received: int = 0
    audio_seconds: float = 0.0
    chunks: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    wire_format: AudioFormat | None = None  # what the vendor's bytes were decoded as; None: none came yet
    format_mismatches: int = 0  # 1 where that is not what the vendor said that they are
    dangling_bytes: int = 0  # of a last frame that the vendor never completed
    skipped_bytes: int = 0  # of a coded stream: these were no packets
    concealed_frames: int = 0  # of a coded stream: made up for packets that were lost or broken
    missing_messages: int = 0  # of a vendor that numbers them: these never came
    duplicate_messages: int = 0  # ... and these came twice, and were dropped
    dropped_bytes: int = 0  # for a consumer that was too slow, with on_overflow="drop_oldest"

    @property
    def ttfb(self) -> float | None:
        """Seconds from the request to its first audio; None while there is none."""
        return None if self.first_audio_at is None else self.first_audio_at - self.requested_at

    @property
    def duration(self) -> float | None:
        """Seconds from the request to its end; None while it goes on."""
        return None if self.finished_at is None else self.finished_at - self.requested_at

    @property
    def real_time_factor(self) -> float | None:
        """Seconds spent per second of audio; below 1 is faster than real time."""
        return None if self.duration is None or not self.audio_seconds else self.duration / self.audio_seconds


class SpeechDecoder:
    """Events of one context -> chunks in the output format. `output` None passes the vendor's own bytes.

    `wire` is what the vendor said; what the bytes say of themselves counts more, and `warn` is told.
    """

    def __init__(
        self,
        context_id: str,
        wire: AudioFormat,
        output: AudioFormat | None,
        metrics: Metrics,
        warn: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.sequence = 0  # of the next chunk
        self.format = output or wire
        self._byte_rate = self.format.byte_rate
        self.details: dict[str, Any] = {}
        self._context_id = context_id
        self._output = output
        self._transcoder = None if output is None else Transcoder(wire, output)
        self._content: ContentCheck | None = ContentCheck(wire)  # until it is decided
        self._metrics = metrics
        self._warn = warn

    def decode(self, received: Received) -> AudioChunk | None:
        """The chunk that an event makes; None when it holds no sound yet."""
        event = received.event
        if isinstance(event, Audio):
            if event.extra:
                self.details.update(event.extra)
            return self._chunk(self._samples(event.data), event.data, received.at)
        match event:
            case AudioFault(_, missing, duplicates, dropped):
                self._metrics.dropped_bytes += dropped
                self._metrics.missing_messages += missing
                self._metrics.duplicate_messages += duplicates
            case GenerationFinished(_, data) if data:
                return self._chunk(self._samples(data), data, received.at)
            case ContextFinished(_, data) | FlushCompleted(_, data):
                self._metrics.finished_at = received.at
                parts = [self._samples(data, last=True)]
                if self._transcoder is not None:
                    parts.append(self._transcoder.flush())
                    self._count_damage(self._transcoder)
                return self._chunk(np.concatenate(parts), data, received.at)
        return None

    def _samples(self, data: bytes, *, last: bool = False) -> Any:
        ready = data if self._content is None else self._checked(self._content, data, last=last)
        if self._transcoder is None:
            return np.frombuffer(ready, np.uint8)
        return self._transcoder.process(ready)

    def _checked(self, content: ContentCheck, data: bytes, *, last: bool) -> bytes:
        if ready := content.feed(data, last=last):
            self._content = None
            self._begin(content.format, content.declared)
        return ready

    def _begin(self, found: AudioFormat, declared: AudioFormat) -> None:
        self._metrics.wire_format = found
        if found == declared:
            return
        self._metrics.format_mismatches += 1
        self._warn(FormatMismatch(self._context_id, declared, found))
        if self._output is None:
            self.format = found
            self._byte_rate = found.byte_rate
        else:
            self._transcoder = Transcoder(found, self._output)

    def _count_damage(self, transcoder: Transcoder) -> None:
        metrics = self._metrics
        metrics.dangling_bytes = transcoder.dangling_bytes
        metrics.skipped_bytes = transcoder.skipped_bytes
        metrics.concealed_frames = transcoder.concealed_frames

    def _chunk(self, samples: Any, data: bytes, at: float) -> AudioChunk | None:
        metrics = self._metrics
        if data and metrics.first_audio_at is None:
            metrics.first_audio_at = at
        metrics.bytes_received += len(data)
        if not len(samples):
            return None
        chunk = AudioChunk(samples, self.format, self._context_id, self.sequence)
        self.sequence += 1
        seconds = samples.nbytes / self._byte_rate  # its duration
        metrics.chunks += 1
        metrics.audio_seconds += seconds
        metrics.arrivals.append((at - metrics.requested_at, seconds))
        return chunk


# One sample of silence.
_SILENCE = {"mulaw": b"\xff", "alaw": b"\xd5", "pcm_s16le": bytes(2), "pcm_f32le": bytes(4)}


class StreamEncoder:
    """The caller's audio -> frames of `frame_bytes` in the wire format, with what is left over carried.

    `whole`: the last frame is filled up with silence, else it may be short.
    """

    def __init__(self, source: AudioFormat, wire: AudioFormat, frame_bytes: int, *, whole: bool = False) -> None:
        self._transcoder = Transcoder(source, wire)
        self._wire = wire
        self._silence = _SILENCE[wire.encoding] * (wire.frame_bytes // len(_SILENCE[wire.encoding]))
        self._frame_bytes = frame_bytes
        self._whole = whole
        self._carry = bytearray()

    def encode(self, data: Any) -> list[bytes]:
        """The whole frames that `data` (any buffer in the source format) completed."""
        self._carry += self._transcoder.process(data).tobytes()
        whole = len(self._carry) - len(self._carry) % self._frame_bytes
        frames = [bytes(self._carry[at : at + self._frame_bytes]) for at in range(0, whole, self._frame_bytes)]
        del self._carry[:whole]
        return frames

    def flush(self, silence: float = 0.0) -> list[bytes]:
        """The rest, the resampler's tail included, then `silence` seconds of it."""
        self._carry += self._transcoder.flush().tobytes()
        self._carry += self._silence * round(silence * self._wire.sample_rate)
        if self._whole and (missing := -len(self._carry) % self._frame_bytes):
            self._carry += self._silence * (missing // self._wire.frame_bytes)
        frames = self.encode(b"")
        rest = bytes(self._carry)
        self._carry.clear()
        return [*frames, rest] if rest else frames


class ReplayBuffer:
    """The last `seconds` of audio that was sent and that no final transcript covers, to be sent again after a loss.

    Positions are seconds since the start of the vendor's session, so that of a transcript means the same thing.
    """

    def __init__(self, byte_rate: int, seconds: float) -> None:
        self._byte_rate = byte_rate
        self._limit = round(seconds * byte_rate)
        self._pieces: deque[bytes] = deque()
        self._held = 0  # bytes, as all below
        self._position = 0  # where the oldest piece begins
        self._missing = 0  # dropped without being confirmed

    def add(self, piece: bytes) -> None:
        """A frame that was sent."""
        self._pieces.append(piece)
        self._held += len(piece)
        while self._held > self._limit:
            self._missing += self._drop()

    def confirm(self, until: float) -> None:
        """All audio before this position, in seconds, is recognised."""
        end = round(until * self._byte_rate)
        if end >= self._position:
            self._missing = 0
        while self._pieces and self._position + len(self._pieces[0]) <= end:
            self._drop()

    def replay(self) -> tuple[list[bytes], float]:
        """What is to be sent again on a new session, and the seconds before it that cannot be."""
        missing, self._missing, self._position = self._missing, 0, 0
        return list(self._pieces), missing / self._byte_rate

    def _drop(self) -> int:
        size = len(self._pieces.popleft())
        self._held -= size
        self._position += size
        return size
