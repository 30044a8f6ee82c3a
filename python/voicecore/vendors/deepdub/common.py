"""What Deepdub's two sockets share: the key's place, the formats, a WAV header for each chunk, the error classes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any, ClassVar

from voicecore.audio import AudioFormat, Container, Encoding
from voicecore.errors import InvalidRequestError, QuotaError, RateLimitError
from voicecore.protocol import Dialect
from voicecore.secret import Secret

SAMPLE_RATES = (8000, 16000, 22050, 24000, 32000, 36000, 44100, 48000)
WIRE: Mapping[str, tuple[Encoding, Container]] = {
    "wav": ("pcm_s16le", "wav"),
    "s16le": ("pcm_s16le", "raw"),
    "mulaw": ("mulaw", "raw"),
    "mp3": ("mp3", "raw"),
    "opus": ("opus", "ogg"),  # the container is not documented; what else it were, the bytes would say
}
NATIVE_RATE = 48_000
MULAW_RATE = 8_000
WAV_HEADER_BYTES = 68


class Deepdub(Dialect):
    """`binary_frames`: the SERVER sends audio messages as binary frames, as seen live."""

    vendor = "deepdub"
    kind = "tts"
    key_variable = "DEEPDUB_API_KEY"
    url_variable = "DEEPDUB_URL"
    audio_in_last = True
    errors: ClassVar = {
        "RateLimit": RateLimitError,
        "MaxExceeded": QuotaError,
        "InsufficientCredits": QuotaError,
        "InvalidInput": InvalidRequestError,
    }
    error_texts: ClassVar = {"free tier quota exceeded": QuotaError}  # a trial key's refusal has no errorType

    def __init__(self, *, binary_frames: bool = True) -> None:
        self._binary_frames = binary_frames

    def upgrade(self, url: str, key: Secret) -> tuple[str, dict[str, str]]:
        return url, {"x-api-key": key.reveal()}

    def key_of(self, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        return headers.get("x-api-key") or query.get("x-api-key")

    def options_for(self, options: Any, output: AudioFormat | None) -> Any:
        """Fills in the wire format that serves `output` best: the vendor's `wav` unless mu-law is wanted."""
        kind, rate = options.format, options.sample_rate
        if kind is None:
            kind = "mulaw" if output and output.encoding == "mulaw" and output.sample_rate == MULAW_RATE else "wav"
        if rate is None and output is not None:
            rate = min((r for r in SAMPLE_RATES if r >= output.sample_rate), default=NATIVE_RATE)
        return replace(options, format=kind, sample_rate=rate)

    def wire_format(self, options: Any) -> AudioFormat:
        encoding, container = WIRE[options.format or "wav"]
        native = MULAW_RATE if encoding == "mulaw" else NATIVE_RATE
        return AudioFormat(encoding, options.sample_rate or native, container=container)

    def package(self, samples: bytes, wire: AudioFormat, index: int) -> bytes:
        return wav_header(wire.sample_rate, len(samples)) + samples if wire.container == "wav" else samples

    def remarks(self, text: str, options: Any) -> Mapping[str, Any]:
        return {"diacritized": text} if options.output_diacritized else {}

    def _framed(self, message: str) -> str | bytes:
        """SERVER: an audio message in the frame that was chosen for it."""
        return message.encode() if self._binary_frames else message


def formats_for(options: type[Any]) -> dict[str, Any]:
    """Every format at every rate, as these options ask for it."""
    return {f"{kind} {rate}": options(format=kind, sample_rate=rate) for kind, rate in product(WIRE, SAMPLE_RATES)}


def wav_header(sample_rate: int, data_bytes: int) -> bytes:
    """The vendor's 68-byte header: RIFF, a WAVE_FORMAT_EXTENSIBLE `fmt ` of 40 bytes, `data` with its size at 0x40.

    The layout is inferred from the two constants in the vendor's clients (0x44 and 0x40).
    """
    pcm_guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    extensible = struct.pack("<HHIIHHHHI", 0xFFFE, 1, sample_rate, sample_rate * 2, 2, 16, 22, 16, 4) + pcm_guid
    riff = struct.pack("<4sI4s", b"RIFF", WAV_HEADER_BYTES - 8 + data_bytes, b"WAVE")
    return riff + struct.pack("<4sI", b"fmt ", 40) + extensible + struct.pack("<4sI", b"data", data_bytes)
