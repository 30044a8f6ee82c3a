"""What Deepdub's `/ws` can be asked for: the options of `stream-config`, and the tags within a text.

Source: the vendor's page on real-time streaming and protocols.md section 4.2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from voicecore.errors import ConfigurationError
from voicecore.vendors.deepdub.common import NATIVE_RATE, SAMPLE_RATES, WIRE
from voicecore.vendors.options import expect_one_of, expect_range, expect_text, expect_type

MAX_PROMPT_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class DeepdubStreamOptions:
    """Everything that `stream-config` can say besides the voice. None leaves the vendor's default.

    `voice_prompt`: a WAV file to take the voice from, mono at 48 kHz, at most 1 MB; instead of a `voice`.
    `first_audio_timeout`: milliseconds that the vendor waits for more text before it speaks what it has. `format` None
    picks it from the output that the caller wants, and `sample_rate` (Hz) likewise.
    """

    model: str = "dd-etts-3.0"
    locale: str | None = "en-US"
    voice_prompt: bytes | None = None
    format: Literal["wav", "s16le", "mulaw", "mp3", "opus"] | None = None
    sample_rate: int | None = None
    realtime: bool | None = None
    clean_audio: bool | None = None
    target_gender: Literal["male", "female"] | None = None
    output_diacritized: bool | None = None
    enable_logging: bool | None = None
    first_audio_timeout: float | None = None
    accept_emojis: bool | None = None

    def __post_init__(self) -> None:
        expect_text("model", self.model, 200)
        if self.locale is not None:
            expect_text("locale", self.locale, 200)
        expect_type("voicePrompt", self.voice_prompt, bytes)
        if self.voice_prompt is not None:
            _check_prompt(self.voice_prompt)
        expect_one_of("format", self.format, tuple(WIRE))
        expect_one_of("sampleRate", self.sample_rate, SAMPLE_RATES)
        expect_one_of("targetGender", self.target_gender, ("male", "female"))
        expect_range("firstAudioTimeout", self.first_audio_timeout, 0, 60_000)
        for name in _SWITCHES:
            expect_type(name, getattr(self, FIELDS[name]), bool)


# Wire name -> field, where the value passes unchanged.
FIELDS = {
    "model": "model",
    "locale": "locale",
    "format": "format",
    "sampleRate": "sample_rate",
    "realtime": "realtime",
    "cleanAudio": "clean_audio",
    "targetGender": "target_gender",
    "outputDiacritized": "output_diacritized",
    "enableLogging": "enable_logging",
    "firstAudioTimeout": "first_audio_timeout",
    "acceptEmojis": "accept_emojis",
}
_SWITCHES = ("realtime", "cleanAudio", "outputDiacritized", "enableLogging", "acceptEmojis")


def _check_prompt(wav: bytes) -> None:
    """In the vendor's words, so that both sides say the same."""
    if len(wav) > MAX_PROMPT_BYTES:
        raise ConfigurationError("voicePrompt exceeds maximum size of 1MB")
    channels, rate = _wav_shape(wav)
    if channels != 1:
        raise ConfigurationError(f"voicePrompt must be mono (1 channel), got {channels} channels")
    if rate != NATIVE_RATE:
        raise ConfigurationError(f"voicePrompt must be {NATIVE_RATE}Hz sample rate, got {rate}Hz")


def _wav_shape(wav: bytes) -> tuple[int, int]:
    """Channels and sample rate of a WAV file of any encoding."""
    at = 12 if wav[:4] == b"RIFF" and wav[8:12] == b"WAVE" else len(wav)
    while at + 24 <= len(wav):
        name, size = struct.unpack_from("<4sI", wav, at)
        if name == b"fmt ":
            channels, rate = struct.unpack_from("<HI", wav, at + 10)
            return channels, rate
        at += 8 + size + size % 2
    raise ConfigurationError("voicePrompt is not a WAV file: expected RIFF, WAVE and a fmt chunk")


_TAG = re.compile(r"<config\b([^<>]*)>|</config\s*>|\[[A-Za-z][\w -]*\]")
_LOCALE = re.compile(r"""\blocale\s*=\s*["']?([^"'\s/>]+)""")


def segments(text: str, options: DeepdubStreamOptions) -> Iterator[tuple[str, DeepdubStreamOptions]]:
    """The text without its inline tags, cut where the locale changes: the one change that our voice can follow."""
    spoken, start = "", 0
    for tag in _TAG.finditer(text):
        spoken, start = spoken + text[start : tag.start()], tag.end()
        if locale := _LOCALE.search(tag[1] or ""):
            yield spoken, options
            spoken, options = "", replace(options, locale=locale[1])
    yield spoken + text[start:], options
