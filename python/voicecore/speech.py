"""What text-to-speech gives the user, on trio: `Speech` for one text, `SpeechContext` for text that comes in bits."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import trio

from voicecore.audio import AudioChunk, AudioFormat
from voicecore.errors import ConnectionLostError, StateError, TextTooLongError, VoicecoreError
from voicecore.events import ContextFinished, FlushCompleted, FlushContext, OpenContext, SendText, Synthesize
from voicecore.inbox import Received
from voicecore.link import Link
from voicecore.sentences import SentenceCutter
from voicecore.streams import Metrics, SpeechDecoder

if TYPE_CHECKING:
    from voicecore.session import TTS


class Speech:
    """One utterance. Iterate it inside its `async with` block; `metrics` tell how it went.

    Raises, one at a time: `VendorError` and its kinds, `DeadlineError`, `ConnectionLostError`, `ProtocolError`,
    `CodecError`. It ends without an error only when the vendor said that it is complete.
    """

    def __init__(self, tts: TTS, text: str, voice: str | None, output: AudioFormat | None, options: Any) -> None:
        self.context_id = str(uuid.uuid4())
        self.metrics = Metrics(float("nan"))
        self._tts = tts
        self._text = text
        self._voice = voice
        self._options = options
        self._wire = tts.dialect.wire_format(options)
        self._decoder = SpeechDecoder(self.context_id, self._wire, output, self.metrics)
        self._link: Link | None = None
        self._answered = False
        self._ended = False

    @property
    def details(self) -> Mapping[str, Any]:
        """What else the vendor said with the audio, such as Deepdub's `diacritized` text."""
        return self._decoder.details

    async def __aenter__(self) -> Self:
        """Sends the request, once a connection has room for it. Cancelling it leaves nothing behind."""
        if self._link is not None or self._ended:
            raise StateError("a Speech can be entered once")
        link = await self._tts._lease()
        self.metrics.requested_at = trio.current_time()
        self._request(link)
        self._link = link
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.cancel()

    async def cancel(self) -> None:
        """Stops the utterance; iteration ends. Does nothing once it has ended. Never waits."""
        link, self._link = self._link, None
        if link is None:
            return
        if self._ended:
            link.leave(self.context_id)
        else:
            link.cancel(self.context_id)
        self._ended = True
        link.forget(self.context_id)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioChunk:
        """The next chunk. Cancelling it loses nothing."""
        while not self._ended:
            link = self._link
            if link is None:
                raise StateError("a Speech is iterated inside its `async with` block")
            try:
                received = await link.next(self.context_id)
            except VoicecoreError as error:
                if self._link is not link:  # cancelled by another task meanwhile
                    break
                if not self._crossed_a_close(link, error):
                    raise
                await self._ask_again(link)
                continue
            self._answered = True
            self._ended = isinstance(received.event, (ContextFinished, FlushCompleted))
            chunk = self._decoder.decode(received)
            if chunk is not None:
                return chunk
        raise StopAsyncIteration

    def _crossed_a_close(self, link: Link, error: VoicecoreError) -> bool:
        """True where the vendor closed a socket that had served another request, and had not seen this one."""
        reused = link.connection.requests > 1
        return reused and not self._answered and isinstance(error, ConnectionLostError) and error.code in (1000, 1001)

    async def _ask_again(self, lost: Link) -> None:
        link = await self._tts._lease()
        if self._link is lost:  # nobody has cancelled it meanwhile
            self._request(link)
            self._link = link
        lost.forget(self.context_id)

    def _request(self, link: Link) -> None:
        rate = self._wire.byte_rate
        if not self._tts.dialect.streams_text:
            link.send(Synthesize(self.context_id, self._text, self._voice, self._options), byte_rate=rate)
            return
        link.send(OpenContext(self.context_id, self._voice, self._options), byte_rate=rate)
        link.send(SendText(self.context_id, self._text))
        link.send(FlushContext(self.context_id))


class SpeechContext(ABC):
    """Text in bit by bit, audio out in the order of the text.

    What can be spoken is spoken as soon as it is there; `flush` speaks what is left and ends the turn. One iteration
    covers one turn: it ends with the last sample of what came before the `flush`. Iterate again for the next turn.
    Sending and iterating may be in different tasks. Errors as for `Speech`. `metrics`: of the vendor's requests.
    """

    def __init__(self, tts: TTS, voice: str | None, output: AudioFormat | None, options: Any) -> None:
        self.context_id = str(uuid.uuid4())
        self.metrics: list[Metrics] = []
        self._tts = tts
        self._arguments = (voice, output, options)
        self._open = False

    async def __aenter__(self) -> Self:
        """Cancelling it leaves nothing behind."""
        self._open = True
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.cancel()

    @abstractmethod
    async def send_text(self, text: str) -> None:
        """Adds text; may wait for a connection with room. Cancelling it may leave text unspoken: leave the block."""

    @abstractmethod
    async def flush(self) -> None:
        """Speaks what is left and ends the turn. Cancelling it may leave the turn without its end."""

    @abstractmethod
    async def cancel(self) -> None:
        """Stops everything that is being spoken; no audio of it is delivered any more. Never waits."""

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    async def __anext__(self) -> AudioChunk:
        """The next chunk of this turn. Cancelling it loses nothing."""

    def _expect_open(self) -> None:
        if not self._open:
            raise StateError("text is sent inside the `async with` block, before cancel()")


class SentenceContext(SpeechContext):
    """For vendors that take whole texts: a request for each sentence as soon as it is complete."""

    def __init__(self, tts: TTS, voice: str | None, output: AudioFormat | None, options: Any) -> None:
        super().__init__(tts, voice, output, options)
        self._cutter = SentenceCutter(tts.dialect.max_text)
        self._parts: deque[Speech | None] = deque()  # None: the end of a turn
        self._news = trio.lowlevel.ParkingLot()
        self._sequence = 0

    async def send_text(self, text: str) -> None:
        self._expect_open()
        await self._speak(self._cutter.feed(text))

    async def flush(self) -> None:
        self._expect_open()
        await self._speak(self._cutter.flush())
        self._parts.append(None)
        self._news.unpark_all()

    async def cancel(self) -> None:
        self._open = False
        parts, self._parts = self._parts, deque()
        for part in parts:
            if part is not None:
                await part.cancel()
        self._news.unpark_all()

    async def __anext__(self) -> AudioChunk:
        while True:
            while not self._parts:
                if not self._open:
                    raise StopAsyncIteration
                await self._news.park()
            part = self._parts[0]
            if part is None:
                self._parts.popleft()
                raise StopAsyncIteration
            async for chunk in part:
                numbered = replace(chunk, context_id=self.context_id, sequence=self._sequence)
                self._sequence += 1
                return numbered
            if self._parts and self._parts[0] is part:
                self._parts.popleft()
            await part.cancel()

    async def _speak(self, sentences: list[str]) -> None:
        for sentence in sentences:
            if sentence.strip():
                part = await Speech(self._tts, sentence, *self._arguments).__aenter__()
                if not self._open:  # cancelled by another task while it waited
                    await part.cancel()
                self._expect_open()
                self.metrics.append(part.metrics)
                self._parts.append(part)
                self._news.unpark_all()
        await trio.lowlevel.checkpoint()


class StreamedContext(SpeechContext):
    """For vendors that take text bit by bit: one context there, a flush for each turn.

    A connection that ended between two turns is replaced by the next text. The vendor's limit counts the characters
    of the whole context: over it, `TextTooLongError`, and nothing of that text is sent.
    """

    def __init__(self, tts: TTS, voice: str | None, output: AudioFormat | None, options: Any) -> None:
        super().__init__(tts, voice, output, options)
        self._link: Link | None = None
        self._characters = 0
        self._unflushed = False
        self._turns: deque[bool] = deque()  # flushed and not read to the end; False: nothing to speak, so never sent
        self._turn_read = False  # its last chunk was given
        self._begun: deque[float] = deque()  # when the first text of each turn was sent
        self._decoder = self._new_decoder()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._ready()
        return self

    async def send_text(self, text: str) -> None:
        self._expect_open()
        longest, total = self._tts.dialect.max_text, self._characters + len(text)
        if total > longest:
            raise TextTooLongError(f"text: expected at most {longest} characters in one context, got {total}")
        link = await self._ready()
        await link.wait_writable()
        if not text:
            return
        link.send(SendText(self.context_id, text))
        self._characters = total
        if text.strip() and not self._unflushed:
            self._unflushed = True
            self._begun.append(trio.current_time())

    async def flush(self) -> None:
        self._expect_open()
        await trio.lowlevel.checkpoint()
        if self._link is None:
            return
        if self._unflushed:
            self._link.send(FlushContext(self.context_id))
        self._turns.append(self._unflushed)
        self._unflushed = False
        self._link.nudge(self.context_id)

    async def cancel(self) -> None:
        self._open = False
        link, self._link = self._link, None
        if link is None:
            return
        if any(self._turns) or self._unflushed:
            link.cancel(self.context_id)
        else:
            link.leave(self.context_id)
        link.forget(self.context_id)

    async def __anext__(self) -> AudioChunk:
        await trio.lowlevel.checkpoint()
        while (link := self._link) is not None:
            if self._turn_read or (self._turns and not self._turns[0]):
                self._turns.popleft()
                self._turn_read = False
                break
            received = self._take(link)
            if received is None:
                await link.news(self.context_id)
            elif (chunk := self._decode(received)) is not None:
                return chunk
        raise StopAsyncIteration

    async def _ready(self) -> Link:
        """The connection that has the context; between turns, another one if that has ended."""
        link = self._link
        if link is None or not (link.connection.usable or any(self._turns) or self._unflushed):
            if link is not None:
                link.forget(self.context_id)  # and wakes who waits there
            link = await self._begin()
        elif (failure := link.connection.failure(self.context_id)) is not None:
            raise failure
        return link

    async def _begin(self) -> Link:
        voice, _, options = self._arguments
        link = await self._tts._lease()
        self._expect_open()
        rate = self._tts.dialect.wire_format(options).byte_rate
        link.send(OpenContext(self.context_id, voice, options), byte_rate=rate)
        self._link, self._characters = link, 0
        return link

    def _take(self, link: Link) -> Received | None:
        try:
            return link.connection.take(self.context_id)
        except VoicecoreError:
            if link is self._link and (any(self._turns) or self._unflushed or link.connection.usable):
                raise
            return None  # it ended between two turns: the next text opens another

    def _decode(self, received: Received) -> AudioChunk | None:
        metrics = self.metrics[-1]
        if self._begun and metrics.requested_at != metrics.requested_at:  # not a number yet
            metrics.requested_at = self._begun.popleft()
        chunk = self._decoder.decode(received)
        if isinstance(received.event, FlushCompleted):
            self._turn_read = True
            self._decoder = self._new_decoder()
        return chunk

    def _new_decoder(self) -> SpeechDecoder:
        _, output, options = self._arguments
        sequence = self._decoder.sequence if self.metrics else 0
        self.metrics.append(Metrics(float("nan")))
        wire = self._tts.dialect.wire_format(options)
        return SpeechDecoder(self.context_id, wire, output, self.metrics[-1], sequence)
