"""What one run asks of a client, and the messages that the server sends for it. Knows no stack.

A stream is one connection with one utterance on it: Deepdub's `/open`, PCM16 at 24 kHz in JSON and base64. Listening is
60db's speech-to-text with binary frames.
"""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

WIRE_RATE = 24_000
SAMPLE_BYTES = 2
DISTINCT = 500  # messages: on one repeated buffer a branchy decoder looks better than in life
TTS_PATH = "/open"
STT_PATH = "/ws/stt"

Mode = Literal["pace", "burst", "listen"]


@dataclass(frozen=True)
class Load:
    """`pace`: `chunks` messages to each stream, one every `interval` seconds, each with its length in audio by default.
    `burst`: the same without a pause. `listen`: each stream sends `chunks` frames of `audio_bytes`.

    The first `warm` messages of each stream are not measured.
    """

    mode: Mode = "pace"
    streams: int = 120
    chunks: int = 200
    warm: int = 50
    audio_bytes: int = 960
    interval: float = 0.02
    tls: bool = False

    @property
    def encoding(self) -> tuple[str, int]:
        """LISTEN: the vendor's encoding and rate of a frame that lasts 20 ms."""
        return {160: ("mulaw", 8_000), 640: ("linear", 16_000), 960: ("linear", 24_000)}[self.audio_bytes]

    def phase(self, stream: int) -> float:
        """Seconds after the start at which a stream's first message is due: spread evenly, in no order."""
        return stream * 0.6180339887 % 1 * self.interval


def sounds(load: Load) -> list[bytes]:
    """Distinct audio of one message each, as base64."""
    chance = random.Random(1)
    return [base64.b64encode(chance.randbytes(load.audio_bytes)) for _ in range(DISTINCT)]


def message(sound: bytes, context_id: bytes, index: int, last: bool) -> bytes:
    """One WebSocket frame of Deepdub's, as the vendor's page has it."""
    tail = b'"isFinished":true}' if last else b'"isFinished":false}'
    return frame(b'{"index":%d,"generationId":"%b","data":"%b",%b' % (index, context_id, sound, tail))


def messages(load: Load, context_id: bytes) -> Iterator[bytes]:
    """All frames of one stream."""
    pool = sounds(load)
    for index in range(load.chunks):
        yield message(pool[index % DISTINCT], context_id, index, index == load.chunks - 1)


def frame(payload: bytes) -> bytes:
    """An unmasked text frame."""
    size = len(payload)
    if size < 126:
        return bytes([0x81, size]) + payload
    if size < 2**16:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload
