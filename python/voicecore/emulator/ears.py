"""The emulator's ears: audio in, what was said out, in utterances.

Each session finds its own utterances by their energy; a finished utterance (and, if asked, one in progress) is one
request to a pool of recognisers. Knows no vendor and no socket, and pocketsphinx only as a worker process.

Audio is 16-bit little-endian mono PCM at 16 kHz. All times are seconds of audio from the session's start.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import math
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import trio

from voicecore.emulator.endpointer import SAMPLE_RATE, Endpointer, Utterance
from voicecore.emulator.endpointer import SpeechStarted as SpeechStarted
from voicecore.emulator.grammar import PAUSE, Grammar, words_of
from voicecore.emulator.phrases import PHRASES
from voicecore.emulator.worker import EngineError, Pool
from voicecore.emulator.workers.framing import Header
from voicecore.errors import ConfigurationError, StateError
from voicecore.nursery import flat_nursery

POCKETSPHINX_SCRIPT = "pocketsphinx_worker.py"
WORKERS = 2
MAX_WAITING_SECONDS = 120.0  # of utterances that nobody has taken yet, per session; then `feed` waits
MAX_WAITING_INTERIMS = 3  # per session; older ones are dropped
FEED_BYTES = 2 * SAMPLE_RATE  # `feed` looks at a second at a time
# Demo phrases in espeak's voice fit at -0.002 to -0.005, other speech mostly below -0.0055 (0 is a perfect fit).
WORST_FIT = -0.0054
CONFIDENCE_PER_FIT = 100.0


@dataclass(frozen=True)
class Heard:
    """What was said from `start` to `end`: all of it (`is_final`) or so far. "" if speech was not understood."""

    text: str
    is_final: bool
    confidence: float
    start: float
    end: float
    sentence_id: int


@dataclass(frozen=True)
class SpeechEnded:
    """Speech ended `at` seconds from the session's start; what was said is being recognised."""

    at: float


@asynccontextmanager
async def open_ears(
    engine: str = "auto", mode: str = "grammar", phrases: Sequence[str] = PHRASES
) -> AsyncIterator[Ears]:
    """The ears named by `engine`: `pocketsphinx`, `none`, or `auto` for pocketsphinx where it is installed.

    `mode` is `grammar`, which understands exactly the `phrases`, or `dictation`, which tries any English.
    Raises ConfigurationError for a phrase with a word that the recogniser does not have.
    """
    if engine not in ("auto", "pocketsphinx", "none"):
        raise ConfigurationError(f"unknown ears {engine!r}: expected auto, pocketsphinx or none")
    if mode not in ("grammar", "dictation"):
        raise ConfigurationError(f"unknown mode {mode!r}: expected grammar or dictation")
    installed = importlib.util.find_spec("pocketsphinx") is not None
    if engine == "pocketsphinx" and not installed:
        raise ConfigurationError("pocketsphinx is not installed: pip install 'voicecore[emulator]'")
    if engine == "none" or not installed:
        yield Ears("none", "no recogniser: notices speech and understands none of it", None)
        return
    async with _open_pocketsphinx(tuple(phrases) if mode == "grammar" else None) as ears:
        yield ears


@asynccontextmanager
async def _open_pocketsphinx(phrases: tuple[str, ...] | None) -> AsyncIterator[Ears]:
    name = "pocketsphinx " + importlib.metadata.version("pocketsphinx")
    if phrases is None:
        grammar, jsgf = None, None
        description = "open English dictation (rough: a third of the words come out wrong)"
    else:
        check_words(phrases)
        grammar = Grammar(phrases)
        jsgf = grammar.jsgf()
        description = f"closed grammar of {len(phrases)} phrases: understands these and nothing else"
    async with Pool(POCKETSPHINX_SCRIPT, WORKERS, {"jsgf": jsgf, "pause": PAUSE}) as pool, flat_nursery() as nursery:
        yield Ears(name, description, Recognizer(pool, grammar, nursery))


@functools.cache  # reading the dictionary takes 0.1 s
def check_words(phrases: tuple[str, ...]) -> None:
    if not phrases:
        raise ConfigurationError("a closed grammar needs at least one phrase")
    known = _known_words({word for phrase in phrases for word in words_of(phrase)})
    for phrase in phrases:
        words = words_of(phrase)
        unknown = [word for word in words if word not in known]
        if unknown or not words:
            what = f"unknown words: {', '.join(unknown)}" if unknown else "it has no words"
            raise ConfigurationError(f"pocketsphinx cannot hear {phrase!r}: {what}")


def _known_words(words: Iterable[str]) -> set[str]:
    """Those in pocketsphinx's dictionary, which is read as a file: the library itself is for the workers."""
    spec = importlib.util.find_spec("pocketsphinx")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "model" / "en-us" / "cmudict-en-us.dict"
    lines = b"\n" + path.read_bytes()
    return {word for word in words if f"\n{word} ".encode() in lines}


class Recognizer:
    """The pool of recognisers: the audio of an utterance in, text and confidence out."""

    def __init__(self, pool: Pool, grammar: Grammar | None, nursery: trio.Nursery) -> None:
        self.pool = pool
        self._grammar = grammar
        self._nursery = nursery
        self._warmed = False

    def warm_up(self) -> None:
        """Start the first worker while its first utterance is still being spoken. It takes half a second."""
        if not self._warmed and not self._nursery.cancel_scope.cancel_called:
            self._warmed = True
            self._nursery.start_soon(self._warm_up)

    async def _warm_up(self) -> None:
        with suppress(EngineError):  # the first utterance will tell
            async with self.pool.lease():
                pass

    async def recognize(self, utterance: Utterance) -> tuple[str, float]:
        async with self.pool.lease() as worker:
            await worker.ask({"whole": utterance.is_final}, utterance.audio)
            frame = await worker.answer()
            if frame is None:
                raise EngineError("the recogniser ended its answer without a result")
            while await worker.answer() is not None:
                pass
        return self._judge(frame.header, is_final=utterance.is_final)

    def _judge(self, result: Header, *, is_final: bool) -> tuple[str, float]:
        words, fit = result["words"], result["fit"]
        if self._grammar is None:
            text, confidence = " ".join(words), result["posterior"]
        elif fit < WORST_FIT:
            text, confidence = "", 0.0
        else:
            text = self._grammar.written(words) if is_final else self._grammar.written_so_far(words)
            confidence = math.exp(CONFIDENCE_PER_FIT * fit)
        return text, round(confidence, 2) if text else 0.0


class Ears:
    """Create with `open_ears`. `description` is a line for people."""

    def __init__(self, name: str, description: str, recognizer: Recognizer | None) -> None:
        self.name = name
        self.description = description
        self.recognizer = recognizer

    @asynccontextmanager
    async def listen(
        self,
        sample_rate: int = SAMPLE_RATE,
        *,
        utterance_end: float = 0.5,
        interim_interval: float | None = None,
        tell_ends: bool = False,
    ) -> AsyncIterator[ListeningSession]:
        """A session for one stream of audio.

        `utterance_end`: this much silence ends an utterance. `interim_interval`: while somebody speaks, tell what
        was heard so far this often; None for never. `tell_ends`: say that speech ended before it is recognised.
        """
        if sample_rate != SAMPLE_RATE:
            raise ConfigurationError(f"the ears take {SAMPLE_RATE} Hz, not {sample_rate}")
        if not utterance_end > 0 or (interim_interval is not None and not interim_interval > 0):
            raise ConfigurationError("utterance_end and interim_interval must be positive seconds")
        if self.recognizer is not None:
            self.recognizer.warm_up()
        else:
            interim_interval = None
        session = ListeningSession(Endpointer(utterance_end, interim_interval), self.recognizer, tell_ends)
        try:
            yield session
        finally:
            session.close()


class SessionState(Enum):
    LISTENING = auto()
    FINISHED = auto()
    CLOSED = auto()


class ListeningSession:
    """Feed audio in, iterate over what was heard: SpeechStarted, SpeechEnded, Heard. Create with `Ears.listen`.

    One task may feed while another iterates. Recognition happens in the task that iterates.
    """

    def __init__(self, endpointer: Endpointer, recognizer: Recognizer | None, tell_ends: bool) -> None:
        self._endpointer = endpointer
        self._recognizer = recognizer
        self._tell_ends = tell_ends
        self._state = SessionState.LISTENING
        self._waiting: deque[SpeechStarted | SpeechEnded | Utterance] = deque()
        self._changed = trio.lowlevel.ParkingLot()
        self._heard_any = False

    async def feed(self, pcm: bytes) -> None:
        """Hear more audio, in pieces of any size. After the block was left it is dropped.

        Waits while MAX_WAITING_SECONDS of utterances wait to be iterated over. Cancelled while it waits, it has
        heard an unknown part of `pcm`.
        """
        if self._state is SessionState.FINISHED:
            raise StateError("feed() after finish()")
        for offset in range(0, len(pcm), FEED_BYTES):
            await self._wait_for_room()
            if self._state is SessionState.CLOSED:
                return
            for event in self._endpointer.feed(pcm[offset : offset + FEED_BYTES]):
                self._add(event)
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        """No more audio: what is pending becomes final, and the iteration ends after it."""
        if self._state is SessionState.LISTENING:
            self._state = SessionState.FINISHED
            for event in self._endpointer.finish():
                self._add(event)
            if not self._heard_any and self._endpointer.seconds > 0:
                self._add(Utterance(b"", 0.0, round(self._endpointer.seconds, 3), 1, is_final=True))
            self._changed.unpark_all()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self._state = SessionState.CLOSED
        self._waiting.clear()
        self._changed.unpark_all()

    def __aiter__(self) -> ListeningSession:
        return self

    async def __anext__(self) -> SpeechStarted | SpeechEnded | Heard:
        """The next thing heard. Cancelling loses nothing. Raises EngineError if the recogniser failed."""
        while True:
            while not self._waiting:
                if self._state is not SessionState.LISTENING:
                    raise StopAsyncIteration
                await self._changed.park()
            heard = await self._take(self._waiting[0])
            if heard is not None:
                return heard

    async def _take(self, event: SpeechStarted | SpeechEnded | Utterance) -> SpeechStarted | SpeechEnded | Heard | None:
        """What to tell about `event`, which leaves the queue once that is known. None for an empty interim."""
        if not isinstance(event, Utterance):
            await trio.lowlevel.checkpoint()
            self._remove(event)
            return event
        try:
            text, confidence = await self._recognize(event)
        except EngineError:
            self._remove(event)
            raise
        self._remove(event)
        if not (text or event.is_final):
            return None
        return Heard(text, event.is_final, confidence, event.start, event.end, event.sentence_id)

    async def _recognize(self, utterance: Utterance) -> tuple[str, float]:
        if self._recognizer is None or not utterance.audio:
            await trio.lowlevel.checkpoint()
            return "", 0.0
        return await self._recognizer.recognize(utterance)

    def _add(self, event: SpeechStarted | Utterance) -> None:
        if isinstance(event, Utterance):
            if event.is_final:
                self._heard_any = True
                if self._tell_ends and event.audio:
                    self._waiting.append(SpeechEnded(event.end))
            else:
                self._forget_old_interims()
        self._waiting.append(event)
        self._changed.unpark_all()

    def _forget_old_interims(self) -> None:
        """The first in the queue may be with the recogniser already, so it stays."""
        interims = [event for event in list(self._waiting)[1:] if isinstance(event, Utterance) and not event.is_final]
        if len(interims) >= MAX_WAITING_INTERIMS:
            self._waiting.remove(interims[0])

    def _remove(self, event: SpeechStarted | SpeechEnded | Utterance) -> None:
        if self._waiting and self._waiting[0] is event:
            self._waiting.popleft()
        self._changed.unpark_all()

    async def _wait_for_room(self) -> None:
        while self._waiting_seconds() > MAX_WAITING_SECONDS and self._state is SessionState.LISTENING:
            await self._changed.park()

    def _waiting_seconds(self) -> float:
        return sum(event.end - event.start for event in self._waiting if isinstance(event, Utterance))
