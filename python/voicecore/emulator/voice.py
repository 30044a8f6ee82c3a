"""The emulator's voice: text in, 16-bit little-endian mono PCM out, piece by piece.

Knows no vendor, no socket and no espeak-ng: that runs in worker processes, and without it a tone speaks. The
same text, language and speed always give the same bytes.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import numpy as np
import numpy.typing as npt
import trio

from voicecore.emulator.worker import EngineError, Pool
from voicecore.errors import ConfigurationError, StateError, TextTooLongError
from voicecore.nursery import flat_nursery

log = logging.getLogger(__name__)

MAX_TEXT_CHARS = 100_000
WORDS_PER_MINUTE = 175  # at speed 1.0; espeak's own default
ESPEAK_SCRIPT = "espeak_worker.py"

Speech = AsyncIterator[bytes]
"""Pieces of audio, each a whole number of samples and not empty."""


class Voice(ABC):
    name: str
    sample_rate: int

    def speak(self, text: str, *, language: str = "en", speed: float = 1.0) -> AbstractAsyncContextManager[Speech]:
        """Read `text` aloud, whatever it holds; text that says nothing gives no audio.

        `language` is a code such as `en`, `en-GB` or `hi-IN`; one that the engine does not have is read as
        English. `speed` multiplies the pace. Leaving the block early abandons the rest of the audio. Raises
        EngineError from the iteration if the engine fails.
        """
        if len(text) > MAX_TEXT_CHARS:
            raise TextTooLongError(f"text of {len(text)} characters; the voice takes {MAX_TEXT_CHARS}")
        if not (math.isfinite(speed) and speed > 0):
            raise ConfigurationError(f"speed must be a positive number, not {speed}")
        return self._speak(text, language, speed)

    @abstractmethod
    def _speak(self, text: str, language: str, speed: float) -> AbstractAsyncContextManager[Speech]: ...


@asynccontextmanager
async def open_voice(engine: str = "auto", workers: int = 2) -> AsyncIterator[Voice]:
    """The voice named by `engine`: `espeak`, `tone`, or `auto` for espeak where it is installed, else the tone.

    `workers` is how many espeak processes may run at once. All are gone when the block ends.
    """
    if engine not in ("auto", "espeak", "tone"):
        raise ConfigurationError(f"unknown voice engine {engine!r}: expected auto, espeak or tone")
    installed = importlib.util.find_spec("espeakng_loader") is not None
    if engine == "espeak" and not installed:
        raise ConfigurationError("espeak-ng is not installed: pip install 'voicecore[emulator]'")
    if engine == "tone" or not installed:
        yield ToneVoice()
        return
    async with Pool(ESPEAK_SCRIPT, workers) as pool, flat_nursery() as nursery:
        yield await _first_voice(pool, nursery, or_tone=engine == "auto")


async def _first_voice(pool: Pool, nursery: trio.Nursery, *, or_tone: bool) -> Voice:
    """Start one worker to learn what this espeak is, and whether it works on this machine at all."""
    try:
        async with pool.lease() as worker:
            return EspeakVoice(worker.ready["name"], worker.ready["sample_rate"], pool, nursery)
    except EngineError as error:
        if not or_tone:
            raise
        log.warning("a tone speaks, because espeak-ng does not start: %s", error)
        return ToneVoice()


# --- espeak-ng -------------------------------------------------------------------------------------------


class EspeakVoice(Voice):
    """espeak-ng in worker processes. Create with `open_voice`.

    It speaks 700 times as fast as it is heard. So each speech is fetched into memory as fast as it comes, and
    the worker is free again long before a slow consumer has heard the end.
    """

    def __init__(self, name: str, sample_rate: int, pool: Pool, nursery: trio.Nursery) -> None:
        self.name = name
        self.sample_rate = sample_rate
        self.pool = pool
        self.unknown_languages: set[str] = set()
        self._nursery = nursery

    @asynccontextmanager
    async def _speak(self, text: str, language: str, speed: float) -> AsyncIterator[Speech]:
        if self._nursery.cancel_scope.cancel_called:
            raise StateError("the voice is closed")
        speech = _FetchedSpeech()
        self._nursery.start_soon(self._fetch, speech, text, language, speed)
        try:
            yield speech
        finally:
            speech.abandon()

    async def _fetch(self, speech: _FetchedSpeech, text: str, language: str, speed: float) -> None:
        with speech.fetching():
            if not text.replace("\0", " ").strip():
                return
            async with self.pool.lease() as worker:
                header = {"language": language, "words_per_minute": WORDS_PER_MINUTE * speed}
                await worker.ask(header, text.encode(errors="replace"))
                while (frame := await worker.answer()) is not None:
                    if frame.header["kind"] == "audio":
                        speech.add(frame.payload)
                    elif not frame.header["known_language"]:
                        self._report_unknown(language)

    def _report_unknown(self, language: str) -> None:
        if language not in self.unknown_languages:
            self.unknown_languages.add(language)
            log.warning("%s has no voice for language %r: English reads it", self.name, language)


class _FetchedSpeech:
    """The pieces of one speech between the task that fetches them and the one that hears them.

    The queue is bounded by the audio of MAX_TEXT_CHARS. It ends when `fetching` does: finished, or failed.
    """

    def __init__(self) -> None:
        self._put, self._get = trio.open_memory_channel[bytes](math.inf)
        self._scope = trio.CancelScope()
        self._finished = False
        self._failure: EngineError | None = None

    @contextmanager
    def fetching(self) -> Iterator[None]:
        with self._scope, self._put:
            try:
                yield
                self._finished = True
            except EngineError as error:
                self._failure = error

    def add(self, pcm: bytes) -> None:
        # Frames that came together are added without a checkpoint, where a cancel would be noticed.
        if not self._scope.cancel_called:
            self._put.send_nowait(pcm)

    def abandon(self) -> None:
        self._scope.cancel()
        self._get.close()

    def __aiter__(self) -> _FetchedSpeech:
        return self

    async def __anext__(self) -> bytes:
        """The next piece. Cancelling loses nothing."""
        try:
            return await self._get.receive()
        except trio.EndOfChannel:
            pass
        if self._failure is not None:
            raise self._failure
        if not self._finished:
            raise EngineError("the voice was closed in the middle of a speech")
        raise StopAsyncIteration


# --- the tone --------------------------------------------------------------------------------------------

SECONDS_PER_CHARACTER = 0.06
TONE_AMPLITUDE = 8000.0
FADE_SECONDS = 0.008
# Two octaves of A minor pentatonic: any two words in a row sound well together.
TONE_HERTZ = (220.0, 261.6, 293.7, 329.6, 392.0, 440.0, 523.3, 587.3, 659.3, 784.0)


class ToneVoice(Voice):
    """Hums the text: one note per word, as long as the word is, its pitch fixed by the word."""

    name = "tone"
    sample_rate = 22_050

    @asynccontextmanager
    async def _speak(self, text: str, language: str, speed: float) -> AsyncIterator[Speech]:
        yield _ToneSpeech(self._notes(text, speed))

    def _notes(self, text: str, speed: float) -> Iterator[bytes]:
        frames_per_character = self.sample_rate * SECONDS_PER_CHARACTER / speed
        for word in text.replace("\0", " ").split():
            yield self._note(word, max(1, round(len(word) * frames_per_character)))
            yield bytes(2 * max(1, round(frames_per_character)))

    def _note(self, word: str, frames: int) -> bytes:
        hertz = TONE_HERTZ[zlib.crc32(word.lower().encode(errors="replace")) % len(TONE_HERTZ)]
        phase = 2 * np.pi * hertz / self.sample_rate * np.arange(frames)
        wave = np.sin(phase) + 0.3 * np.sin(2 * phase)
        edge = np.minimum(np.arange(frames), np.arange(frames)[::-1]) / (FADE_SECONDS * self.sample_rate)
        samples: npt.NDArray[np.int16] = np.rint(TONE_AMPLITUDE * wave * np.minimum(edge, 1.0)).astype("<i2")
        return samples.tobytes()


class _ToneSpeech:
    def __init__(self, notes: Iterator[bytes]) -> None:
        self._notes = notes

    def __aiter__(self) -> _ToneSpeech:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        note = next(self._notes, None)
        if note is None:
            raise StopAsyncIteration
        return note
