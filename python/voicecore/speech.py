"""What text-to-speech gives the user: `Speech` for one text, `SpeechContext` for text that comes in bits."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from voicecore.audio import AudioChunk, AudioFormat
from voicecore.errors import ConnectionLostError, StateError, TextTooLongError, VendorError, VoicecoreError
from voicecore.events import Audio, ContextFinished, FlushCompleted, FlushContext, OpenContext, SendText, Synthesize
from voicecore.inbox import Received
from voicecore.link import Link
from voicecore.protocol import ContextState
from voicecore.reconnect import is_loss
from voicecore.sentences import SentenceCutter
from voicecore.streams import Metrics, SpeechDecoder

if TYPE_CHECKING:
    from voicecore.session import TTS


class Speech:
    """One utterance. Iterate it inside its `async with` block; `metrics` tell how it went.

    Raises, one at a time: `VendorError` and its kinds, `DeadlineError`, `ConnectionLostError`, `ProtocolError`,
    `CodecError`. It ends without an error only when the vendor said that it is complete.
    """

    def __init__(
        self,
        tts: TTS,
        text: str,
        voice: str | None,
        output: AudioFormat | None,
        options: Any,
        before: Speech | None = None,
    ) -> None:
        """`before` is played before this."""
        self.context_id = str(uuid.uuid4())
        self.metrics = Metrics(float("nan"))
        self._tts = tts
        self._text = text
        self._voice = voice
        self._options = options
        self._wire = tts.dialect.wire_format(options)
        self._decoder = SpeechDecoder(self.context_id, self._wire, output, self.metrics, tts.report)
        self._before = before
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
        self.metrics.requested_at = self._tts.backend.now()
        self._request(link)
        self._link = link
        before, self._before = self._before, None
        if before is not None and before._link is not None:
            link.connection.follow(self.context_id, before._link.connection, before.context_id)
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
        self._ended = True
        link.leave(self.context_id)
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
                if not self._may_ask_again(link, error):
                    raise
                await self._ask_again(link)
                continue
            if not self._answered:
                self._answered = True
                self._tts.backoff.succeeded()
            self._ended = isinstance(received.event, (ContextFinished, FlushCompleted))
            chunk = self._decoder.decode(received)
            if chunk is not None:
                return chunk
        raise StopAsyncIteration

    def _may_ask_again(self, link: Link, error: VoicecoreError) -> bool:
        """True for a loss before any audio. A close in order must have crossed a request that it did not see."""
        if isinstance(error, ConnectionLostError) and error.code in (1000, 1001):
            return link.connection.requests > 1 and not self._answered
        return is_loss(error) and not self.metrics.bytes_received

    async def _ask_again(self, lost: Link) -> None:
        """On another connection, since no audio came: a text of which a part was spoken is never spoken twice."""
        link = await self._tts._lease()
        if self._link is lost:  # nobody has cancelled it meanwhile
            self._request(link)
            self._link = link
        lost.forget(self.context_id)

    def _request(self, link: Link) -> None:
        rate = self._tts.dialect.byte_rate(self._options)
        if not self._tts.dialect.streams_text:
            link.send(Synthesize(self.context_id, self._text, self._voice, self._options), byte_rate=rate)
            return
        begin = OpenContext(self.context_id, self._voice, self._options)
        link.send(begin, SendText(self.context_id, self._text), FlushContext(self.context_id), byte_rate=rate)


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
        await self._tts.backend.checkpoint()
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
        self._news = tts.backend.lot()
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
                before = self._parts[-1] if self._parts else None
                part = await Speech(self._tts, sentence, *self._arguments, before).__aenter__()
                if not self._open:  # cancelled by another task while it waited
                    await part.cancel()
                self._expect_open()
                self.metrics.append(part.metrics)
                self._parts.append(part)
                self._news.unpark_all()
        await self._tts.backend.checkpoint()


class _Place(NamedTuple):
    """Where a context is at the vendor: its connection, and its name there."""

    link: Link
    context_id: str


class StreamedContext(SpeechContext):
    """For vendors that take text bit by bit: one context there, a flush for each turn.

    A context that ended between two turns, with its connection or alone, is replaced by the next text. The vendor's
    limit counts the characters of the whole context: over it, `TextTooLongError`, and nothing of that text is sent.
    """

    def __init__(self, tts: TTS, voice: str | None, output: AudioFormat | None, options: Any) -> None:
        super().__init__(tts, voice, output, options)
        self._wire = tts.dialect.wire_format(options)
        self._places: deque[_Place] = deque()  # the last takes the text; those before it are still being read
        self._characters = 0  # sent to the last place
        self._unflushed = False
        self._turns: deque[_Place | None] = deque()  # flushed there and not read to the end; None: nothing to read
        self._decoders: deque[tuple[_Place, SpeechDecoder]] = deque()  # of every turn with text, till it is read
        self._sequence = 0

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._begin(self.context_id)
        return self

    async def send_text(self, text: str) -> None:
        self._expect_open()
        await self._ready()
        link, context_id = self._sound_place()
        longest, total = self._tts.dialect.max_text, self._characters + len(text)
        if total > longest:
            raise TextTooLongError(f"text: expected at most {longest} characters in one context, got {total}")
        if not text:
            return
        link.send(SendText(context_id, text))
        self._characters = total
        if text.strip() and not self._unflushed:
            self._unflushed = True
            self._decoders.append((self._places[-1], self._new_decoder()))

    async def flush(self) -> None:
        await self._tts.backend.checkpoint()
        self._expect_open()
        if self._unflushed:
            place = self._sound_place()
            place.link.send(FlushContext(place.context_id))
            self._turns.append(place)
        else:
            self._turns.append(None)
        self._unflushed = False
        self._wake_reader()

    async def cancel(self) -> None:
        self._open = False
        places, self._places = self._places, deque()
        for link, context_id in places:
            if self._unflushed:
                link.cancel(context_id)
            else:
                link.leave(context_id)
            link.forget(context_id)

    async def __anext__(self) -> AudioChunk:
        await self._tts.backend.cancel_point()
        while self._places:
            if self._turns and self._turns[0] is None:
                self._turns.popleft()
                break
            received = self._take()
            if received is None:
                link, context_id = self._places[0]
                await link.news(context_id)
            elif (chunk := self._decode(received)) is not None:
                return chunk
        raise StopAsyncIteration

    # --- the vendor's side -------------------------------------------------------------------------------

    async def _ready(self) -> None:
        """Waits until text can be sent, at another place if the last one ended between two turns."""
        await self._places[-1].link.wait_writable()
        self._expect_open()
        if self._ended_at_rest():
            await self._begin(str(uuid.uuid4()))
            self._wake_reader()

    async def _begin(self, context_id: str) -> None:
        voice, _, options = self._arguments
        link = await self._tts._lease()
        self._expect_open()
        link.send(OpenContext(context_id, voice, options), byte_rate=self._tts.dialect.byte_rate(options))
        self._places.append(_Place(link, context_id))
        self._characters = 0

    def _sound_place(self) -> _Place:
        """Where text goes. Raises the error that it ended in."""
        link, context_id = self._places[-1]
        if (failure := link.connection.failure(context_id)) is not None:
            raise failure
        if context_id not in link.connection.protocol.contexts:
            vendor = self._tts.dialect.vendor
            raise VendorError(f"{vendor}: closed the context {context_id} before its text was spoken", vendor)
        return self._places[-1]

    def _ended_at_rest(self) -> bool:
        """True if the last place is over and nothing is lost with it: all text was flushed, all of that is spoken."""
        connection, context_id = self._places[-1].link.connection, self._places[-1].context_id
        if self._unflushed:
            return False
        if connection.protocol.contexts.get(context_id) is ContextState.OPEN:
            return not connection.usable
        closed = context_id not in connection.protocol.contexts
        return closed and connection.failure(context_id) is None

    # --- the reader's side -------------------------------------------------------------------------------

    def _take(self) -> Received | None:
        """The next event of the first place that has any; a place that was replaced and has no more is forgotten."""
        while True:
            link, context_id = self._places[0]
            replaced = len(self._places) > 1
            try:
                received = link.take(context_id)
            except VoicecoreError:
                if not replaced and not self._ended_at_rest():
                    raise
                received = None
            if received is not None or not replaced:
                return received
            self._places.popleft()
            link.forget(context_id)

    def _decode(self, received: Received) -> AudioChunk | None:
        place = self._places[0]
        if not self._decoders or self._decoders[0][0] is not place:  # said of no turn
            place.link.connection.protocol.late_messages += isinstance(received.event, Audio)
            return None
        chunk = self._decoders[0][1].decode(received)
        if isinstance(received.event, FlushCompleted):
            self._end_turn()
        elif isinstance(received.event, ContextFinished):  # the vendor closed it: there is no more of what was flushed
            while place in self._turns:
                self._end_turn()
        if chunk is None:
            return None
        self._sequence += 1
        return replace(chunk, sequence=self._sequence - 1)

    def _end_turn(self) -> None:
        first = next(at for at, place in enumerate(self._turns) if place is not None)
        self._turns[first] = None
        self._decoders.popleft()

    def _wake_reader(self) -> None:
        link, context_id = self._places[0]
        link.nudge(context_id)

    def _new_decoder(self) -> SpeechDecoder:
        self.metrics.append(Metrics(self._tts.backend.now()))
        return SpeechDecoder(self.context_id, self._wire, self._arguments[1], self.metrics[-1], self._tts.report)
