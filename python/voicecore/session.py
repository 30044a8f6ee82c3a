"""The user's API on trio.

`TTS` and `STT` own their links (sockets) inside one nursery, so that nothing outlives `async with`. The user's
`Speech`, `SpeechContext` and `SttStream` read their inbox of the connection. Every wait here can be cancelled.
"""

from __future__ import annotations

import os
import re
import ssl
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar

import trio

from voicecore.audio import AudioChunk, AudioFormat
from voicecore.connection import Connection
from voicecore.deadlines import Deadlines
from voicecore.errors import AuthError, ConfigurationError, DeadlineError, StateError, VoicecoreError
from voicecore.events import (
    CancelContext,
    ClassifyVoice,
    ConfigureStream,
    ContextFinished,
    Failed,
    Probe,
    StartStream,
    StopStream,
    StreamStopped,
    Synthesize,
    Transcript,
    VoiceClassified,
)
from voicecore.inbox import MAX_BUFFERED_SECONDS
from voicecore.link import Link
from voicecore.nursery import flat_nursery
from voicecore.protocol import Dialect, Protocol, Role, SessionState
from voicecore.secret import Secret
from voicecore.sentences import SentenceCutter
from voicecore.streams import Metrics, SpeechDecoder, StreamEncoder
from voicecore.transport import check_url, open_stream
from voicecore.vendors import find_dialect
from voicecore.vendors.options import expect_text

DEFAULT_OUTPUT = AudioFormat("pcm_s16le", 16_000)
DEFAULT_INPUT = AudioFormat("pcm_s16le", 16_000)

_S = TypeVar("_S", "TTS", "STT")
OpenStream = Callable[[str, "ssl.SSLContext | None"], Awaitable[trio.abc.Stream]]


def connect_tts(
    vendor: str,
    *,
    api_key: str | Secret | None = None,
    url: str | None = None,
    deadlines: Deadlines | None = None,
    ssl_context: ssl.SSLContext | None = None,
    max_buffered: float = MAX_BUFFERED_SECONDS,
    allow_plaintext: bool = False,
    open_stream: OpenStream = open_stream,
) -> AbstractAsyncContextManager[TTS]:
    """A text-to-speech session with a vendor, for `async with`.

    The key comes from `api_key` or the vendor's environment variable; `url` is the whole URL, else the vendor's
    variable, else the vendor's own. `max_buffered` bounds, in seconds of audio, what may wait for a slow consumer of
    one context. Raises `ConfigurationError` (a `ValueError`) at once for a missing key or a bad argument. Entering
    connects, and raises `AuthError`, `ConnectionFailedError`, `TlsError` or `DeadlineError`; cancelling that leaves
    nothing behind.
    """
    dialect, whole_url, key = _find(vendor, "tts", api_key, url, allow_plaintext)
    limits = deadlines or Deadlines()
    settings = _Settings(dialect, key, whole_url, limits, max_buffered, ssl_context, open_stream)
    return _session(lambda nursery: TTS(settings, nursery))


def connect_stt(
    vendor: str,
    *,
    api_key: str | Secret | None = None,
    url: str | None = None,
    deadlines: Deadlines | None = None,
    ssl_context: ssl.SSLContext | None = None,
    max_buffered: float = MAX_BUFFERED_SECONDS,
    allow_plaintext: bool = False,
    open_stream: OpenStream = open_stream,
) -> AbstractAsyncContextManager[STT]:
    """A speech-to-text session with a vendor, for `async with`. Arguments and errors as for `connect_tts`."""
    dialect, whole_url, key = _find(vendor, "stt", api_key, url, allow_plaintext)
    limits = deadlines or Deadlines()
    settings = _Settings(dialect, key, whole_url, limits, max_buffered, ssl_context, open_stream)
    return _session(lambda nursery: STT(settings, nursery))


@dataclass(frozen=True, slots=True)
class _Settings:
    """What it takes to open one more connection to the same vendor."""

    dialect: Dialect
    key: Secret
    url: str
    deadlines: Deadlines
    max_buffered: float
    ssl_context: ssl.SSLContext | None
    open_stream: OpenStream


def _find(
    vendor: str, kind: str, api_key: str | Secret | None, url: str | None, allow_plaintext: bool
) -> tuple[Dialect, str, Secret]:
    """The dialect, the URL and the key: an argument beats the environment, which beats the vendor's own."""
    dialect = find_dialect(vendor, kind, url)
    url = url or os.environ.get(dialect.url_variable) or dialect.default_url
    check_url(url, allow_plaintext=allow_plaintext)
    given = api_key or os.environ.get(dialect.key_variable)
    if not given:
        raise ConfigurationError(
            f"{vendor}: no API key: pass api_key= or set the environment variable {dialect.key_variable}"
        )
    key = given if isinstance(given, Secret) else Secret(given)
    if not re.fullmatch(r"[!-~]+", key.reveal()):
        raise ConfigurationError(f"{vendor}: the API key: expected printable ASCII without spaces")
    return find_dialect(vendor, kind, url), url, key


@asynccontextmanager
async def _session(make: Callable[[trio.Nursery], _S]) -> AsyncIterator[_S]:
    async with flat_nursery() as nursery:
        session = make(nursery)
        await session._open()
        yield session
        await session._close()


class _Session:
    """What text-to-speech and speech-to-text share: links to one vendor, opened when needed, closed together."""

    def __init__(self, settings: _Settings, nursery: trio.Nursery) -> None:
        self._settings = settings
        self._nursery = nursery
        self._links: set[Link] = set()
        self._link: Link | None = None

    async def _open(self) -> None:
        self._link = await self._new_link()

    async def _close(self) -> None:
        async with trio.open_nursery() as nursery:
            for link in tuple(self._links):
                nursery.start_soon(link.close)

    async def _new_link(self) -> Link:
        """Opens a connection and waits until the vendor accepts work."""
        began = trio.current_time()
        stream = await self._open_stream()
        connection = self._new_connection()
        connection.start(began)
        link = Link(connection, stream)
        self._links.add(link)
        self._nursery.start_soon(self._run_link, link)
        try:
            await link.wait_ready()
        except BaseException:
            link.abort()
            raise
        return link

    def _new_connection(self) -> Connection:
        """In a frame of its own: the key is in the URL or the headers, and no frame of a traceback may hold it."""
        settings = self._settings
        url, headers = settings.dialect.upgrade(settings.url, settings.key)
        protocol = Protocol(settings.dialect, Role.CLIENT)
        return Connection(protocol, url, headers, deadlines=settings.deadlines, buffered_seconds=settings.max_buffered)

    async def _open_stream(self) -> trio.abc.Stream:
        limit = self._settings.deadlines.connect
        with trio.move_on_after(limit):
            return await self._settings.open_stream(self._settings.url, self._settings.ssl_context)
        vendor = self._settings.dialect.vendor
        raise DeadlineError(f"{vendor}: deadline connect: no connection within {limit:g} s", "connect", limit)

    async def _run_link(self, link: Link) -> None:
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def _options(self, options: Any) -> Any:
        kind = self._settings.dialect.options
        if options is None:
            return kind()
        if not isinstance(options, kind):
            raise ConfigurationError(f"options: expected {kind.__name__}, got {type(options).__name__}")
        return options


class TTS(_Session):
    """A text-to-speech session. `synthesize` and `context` may be used by many tasks at once."""

    def __init__(self, settings: _Settings, nursery: trio.Nursery) -> None:
        super().__init__(settings, nursery)
        self._opening = trio.Lock()
        self._classifying = trio.Lock()

    def synthesize(
        self,
        text: str,
        *,
        voice: str | None = None,
        output: AudioFormat | None = DEFAULT_OUTPUT,
        options: Any = None,
    ) -> Speech:
        """Speaks `text`: an `async with` block that gives an async iterator of `AudioChunk`.

        `voice` and `options` (the vendor's option class) are the vendor's own; `output` is the format of the chunks,
        None for the vendor's own bytes. Raises `ConfigurationError` or `TextTooLongError` at once. Leaving the block
        early cancels the context at the vendor; its later audio is dropped.
        """
        dialect = self._settings.dialect
        expect_text("text", text, dialect.max_text)
        return Speech(self, text, voice, output, dialect.options_for(self._options(options), output))

    def context(
        self,
        *,
        voice: str | None = None,
        output: AudioFormat | None = DEFAULT_OUTPUT,
        options: Any = None,
    ) -> SpeechContext:
        """Speaks text that arrives bit by bit: see `SpeechContext`. Arguments as for `synthesize`."""
        chosen = self._settings.dialect.options_for(self._options(options), output)
        return SpeechContext(self, voice, output, chosen)

    async def classify_voice(self, wav: bytes) -> Mapping[str, Any]:
        """Deepdub: what the vendor's classifier says of a voice, e.g. `{"gender": "female", ...}`.

        `wav` is a WAV file, of which the first second at 16 kHz counts. Raises `VendorError`, `DeadlineError`, and
        `ProtocolError` with a vendor that has no such request. Cancelling it may leave an answer for the next call
        to skip.
        """
        async with self._classifying:  # the answer does not say which question it is for
            link = await self._ready_link()
            link.send(ClassifyVoice(str(uuid.uuid4()), bytes(wav)))
            limit = self._settings.deadlines.first_audio
            with trio.move_on_after(limit):
                return await self._classification(link)
            text = f"{self._settings.dialect.vendor}: deadline first_audio: no answer within {limit:g} s"
            raise DeadlineError(text, "first_audio", limit)

    async def _classification(self, link: Link) -> Mapping[str, Any]:
        while True:
            match (await link.next()).event:
                case VoiceClassified(details):
                    return details
                case Failed() as failed:
                    raise self._settings.dialect.error_of(failed)

    async def _ready_link(self) -> Link:
        """The session's connection, opened again if the vendor closed it or a deadline did."""
        async with self._opening:
            link = self._link
            if link is not None and not link.connection.usable and link.connection.error is not None:
                error = link.connection.error()
                if isinstance(error, AuthError):
                    raise error  # accepted, then refused: opening another one would be refused again
            if link is None or not link.connection.usable:
                link = self._link = await self._new_link()
            return link


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
        self._wire = tts._settings.dialect.wire_format(options)
        self._decoder = SpeechDecoder(self.context_id, self._wire, output, self.metrics)
        self._link: Link | None = None
        self._ended = False

    @property
    def details(self) -> Mapping[str, Any]:
        """What else the vendor said with the audio, such as Deepdub's `diacritized` text."""
        return self._decoder.details

    async def __aenter__(self) -> Self:
        """Sends the request. Cancelling it leaves nothing behind."""
        if self._link is not None or self._ended:
            raise StateError("a Speech can be entered once")
        link = await self._tts._ready_link()
        self.metrics.requested_at = trio.current_time()
        request = Synthesize(self.context_id, self._text, self._voice, self._options)
        link.send(request, byte_rate=self._wire.byte_rate)
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
        if not self._ended and link.connection.is_open(self.context_id):
            link.send(CancelContext(self.context_id))
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
            except VoicecoreError:
                if self._link is not link:  # cancelled by another task meanwhile
                    break
                raise
            self._ended = isinstance(received.event, ContextFinished)
            chunk = self._decoder.decode(received)
            if chunk is not None:
                return chunk
        raise StopAsyncIteration


class SpeechContext:
    """Text in bit by bit, audio out in the order of the text.

    A sentence is spoken as soon as it is complete; `flush` speaks what is left and ends the turn. One iteration
    covers one turn: it ends with the last sample of what came before the `flush`. Iterate again for the next turn.
    Sending and iterating may be in different tasks.
    """

    def __init__(self, tts: TTS, voice: str | None, output: AudioFormat | None, options: Any) -> None:
        self.context_id = str(uuid.uuid4())
        self.metrics: list[Metrics] = []
        self._tts = tts
        self._arguments = (voice, output, options)
        self._cutter = SentenceCutter(tts._settings.dialect.max_text)
        self._parts: deque[Speech | None] = deque()  # None: the end of a turn
        self._news = trio.lowlevel.ParkingLot()
        self._sequence = 0
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.cancel()

    async def send_text(self, text: str) -> None:
        """Adds text. Cancelling it may leave sentences unspoken: leave the block then."""
        self._expect_open()
        await self._speak(self._cutter.feed(text))

    async def flush(self) -> None:
        """Speaks what is left and ends the turn. Cancelling it may leave the turn without its end."""
        self._expect_open()
        await self._speak(self._cutter.flush())
        self._parts.append(None)
        self._news.unpark_all()

    async def cancel(self) -> None:
        """Stops everything that is being spoken; no audio of it is delivered any more. Never waits."""
        self._open = False
        parts, self._parts = self._parts, deque()
        for part in parts:
            if part is not None:
                await part.cancel()
        self._news.unpark_all()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioChunk:
        """The next chunk of this turn. Cancelling it loses nothing."""
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
                self.metrics.append(part.metrics)
                self._parts.append(part)
                self._news.unpark_all()
        await trio.lowlevel.checkpoint()

    def _expect_open(self) -> None:
        if not self._open:
            raise StateError("text is sent inside the `async with` block, before cancel()")


class STT(_Session):
    """A speech-to-text session. Each `stream` has a connection of its own; the first is open already."""

    def stream(
        self,
        *,
        input: AudioFormat = DEFAULT_INPUT,
        options: Any = None,
        include_events: bool = False,
    ) -> SttStream:
        """Recognises audio in the format `input`: an `async with` block that gives an async iterator of `Transcript`.

        With `include_events` the iterator also gives everything else that the vendor says (`SpeechStarted`,
        `LanguageChanged`, ...). Raises `ConfigurationError` at once. Leaving the block before the end drops the
        connection, and with it what was not recognised yet.
        """
        chosen = self._settings.dialect.options_for(self._options(options), input)
        return SttStream(self, input, chosen, include_events)

    async def _take_link(self) -> Link:
        link, self._link = self._link, None
        if link is not None and link.connection.usable:
            return link
        return await self._new_link()


class SttStream:
    """One recognition session. Sending and iterating may be in different tasks.

    Iteration ends when the vendor said that the session is over, after `finish()`; every other end is an error.
    """

    def __init__(self, stt: STT, source: AudioFormat, options: Any, include_events: bool) -> None:
        dialect = stt._settings.dialect
        self.summary: StreamStopped | None = None
        self._stt = stt
        self._dialect = dialect
        self._options = options
        self._include_events = include_events
        self._encoder = StreamEncoder(source, dialect.wire_format(options), dialect.frame_seconds)
        self._link: Link | None = None
        self._finished = False

    async def __aenter__(self) -> Self:
        """Starts the session and waits until the vendor takes audio. Cancelling it drops the connection."""
        if self._link is not None or self.summary is not None:
            raise StateError("an SttStream can be entered once")
        link = await self._stt._take_link()
        try:
            link.send(StartStream(self._options))
            while link.connection.protocol.session_state is not SessionState.STREAMING:
                await link.next()
        except BaseException:
            link.abort()
            raise
        self._link = link
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        if self.summary is None:
            link.abort()
        else:
            await link.close()

    async def send(self, frame: Any) -> None:
        """Sends audio: any buffer in the stream's input format, of any length.

        Waits while the socket is behind. Cancelling it loses nothing that was taken: the frame is either queued
        whole or, when the cancel comes before, not at all.
        """
        link = self._sending()
        await link.wait_writable()
        for piece in self._encoder.encode(frame):
            link.send(self._dialect.audio(piece, self._options))

    async def finish(self) -> None:
        """Says that no more audio comes: the vendor answers what is pending and ends. Never waits long."""
        link = self._sending()
        await link.wait_writable()
        self._finished = True
        silence = self._dialect.trailing_silence(self._options)
        for piece in self._encoder.flush(silence):
            link.send(self._dialect.audio(piece, self._options))
        link.send(StopStream())

    async def configure(self, **changes: Any) -> None:
        """Changes a running session, e.g. `languages=["hi"]`, `continuous_mode=False`."""
        self._sending().send(ConfigureStream(changes))
        await trio.lowlevel.checkpoint()

    async def probe(self) -> None:
        """Sends a latency probe; its answer is a `ProbeAnswered` among the events."""
        self._sending().send(Probe())
        await trio.lowlevel.checkpoint()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """The next transcript (or event). Cancelling it loses nothing."""
        while self.summary is None:
            if self._link is None:
                raise StateError("an SttStream is iterated inside its `async with` block")
            event = (await self._link.next()).event
            if isinstance(event, StreamStopped):
                self.summary = event
            elif isinstance(event, Transcript) or self._include_events:
                return event
        raise StopAsyncIteration

    def _sending(self) -> Link:
        if self._link is None:
            raise StateError("an SttStream is used inside its `async with` block")
        if self._finished:
            raise StateError("nothing can be sent after finish()")
        return self._link
