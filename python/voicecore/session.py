"""The user's way in: sessions with a vendor, on any runtime that fills in `backend.py`.

`TTS` and `STT` own their links (sockets) inside one block, so that nothing outlives `async with`; what they give
the user is in `speech.py` and `recognition.py`. Every wait here can be cancelled.
"""

from __future__ import annotations

import os
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from voicecore.audio import AudioFormat
from voicecore.backend import Backend, Opener
from voicecore.connection import Connection
from voicecore.deadlines import Deadlines
from voicecore.errors import AuthError, ConfigurationError, ConnectionLostError, DeadlineError, VoicecoreError
from voicecore.events import ClassifyVoice, Event, Failed, OpenContext, Synthesize, VoiceClassified
from voicecore.inbox import MAX_BUFFERED_SECONDS, Overflow
from voicecore.keys import find_key
from voicecore.link import Link
from voicecore.protocol import Dialect, Protocol, Role
from voicecore.recognition import SttStream
from voicecore.reconnect import Backoff, Reconnect, Reconnected, Reconnecting, is_loss
from voicecore.secret import Secret
from voicecore.speech import SentenceContext, Speech, SpeechContext, StreamedContext
from voicecore.transport import check_url
from voicecore.vendors import find_dialect
from voicecore.vendors.options import expect_one_of, expect_range, expect_text

DEFAULT_OUTPUT = AudioFormat("pcm_s16le", 16_000)
DEFAULT_INPUT = AudioFormat("pcm_s16le", 16_000)
MAX_CONNECTIONS = 4  # of a session, with a vendor that serves one utterance at a time on each

_S = TypeVar("_S", "TTS", "STT")
_O = TypeVar("_O", bound=Opener)


class Connector(Generic[_O]):
    """Opens sessions on one runtime. `_O`: what opens a socket there."""

    def __init__(self, backend: Backend, open_stream: _O) -> None:
        self._backend = backend
        self._open_stream = open_stream

    def connect_tts(
        self,
        vendor: str,
        *,
        api_key: str | Secret | None = None,
        url: str | None = None,
        deadlines: Deadlines | None = None,
        ssl_context: ssl.SSLContext | None = None,
        max_buffered: float = MAX_BUFFERED_SECONDS,
        on_overflow: Overflow = "fail",
        allow_plaintext: bool = False,
        on_limit: Literal["wait", "raise"] = "wait",
        max_connections: int = MAX_CONNECTIONS,
        read_interval: float = 0.0,
        reconnect: Reconnect | None = None,
        on_event: Callable[[Event], None] | None = None,
        open_stream: _O | None = None,
    ) -> AbstractAsyncContextManager[TTS]:
        """A text-to-speech session with a vendor, for `async with`.

        `vendor` may name one of its protocols ("deepdub-ws"). The key comes from `api_key` or the vendor's environment
        variable; `url` is the whole URL, else the vendor's variable, else the vendor's own. `max_buffered` bounds, in
        seconds of audio, what may wait for a slow consumer of one context; then `on_overflow` decides: "fail" that
        context, "drop_oldest" audio of it, or "wait", which stops reading the socket: the vendor feels it, but gets no
        answer to its pings meanwhile either. A request over a limit of the vendor waits or, with `on_limit="raise"`,
        raises `RateLimitError` with `retry_after`. A vendor that serves one utterance at a time on a connection gets
        up to `max_connections` of them; further requests wait for a free one. `read_interval`, in seconds up to 0.1:
        while all that is being spoken on a connection is half a second ahead of a listener, it is read so often and not
        at every message, which takes less CPU; for who plays the audio as it comes. A connection that is lost is opened
        again as `reconnect` says, and a request that got no audio yet is sent again; one that did never is. `on_event`
        is called with each `Reconnecting`, `Reconnected` and `FormatMismatch`. `open_stream` opens the socket in place
        of our own: on trio it is called with the URL and the SSL context and gives a stream; on asyncio it is called
        with the protocol to connect, too.

        Raises `ConfigurationError` (a `ValueError`) at once for a missing key or a bad argument. Entering connects,
        and raises `AuthError`, `ConnectionFailedError`, `TlsError`, `DeadlineError`, or `StateError` on the wrong
        runtime; cancelling that leaves nothing behind.
        """
        dialect, whole_url, key = _find(vendor, "tts", api_key, url, allow_plaintext)
        limits = deadlines or Deadlines()
        expect_one_of("on_overflow", on_overflow, ("fail", "drop_oldest", "wait"))
        expect_one_of("on_limit", on_limit, ("wait", "raise"))
        expect_range("max_connections", max_connections, 1, 1000, whole=True)
        expect_range("read_interval", read_interval, 0, 0.1)
        bound = _Bound(max_buffered, on_overflow)
        again = _Again(reconnect or Reconnect(), on_event)
        opener = open_stream or self._open_stream
        settings = _Settings(
            self._backend,
            dialect,
            key,
            whole_url,
            limits,
            bound,
            ssl_context,
            opener,
            again,
            on_limit,
            max_connections,
            read_interval,
        )
        return _session(self._backend, partial(TTS, settings))

    def connect_stt(
        self,
        vendor: str,
        *,
        api_key: str | Secret | None = None,
        url: str | None = None,
        deadlines: Deadlines | None = None,
        ssl_context: ssl.SSLContext | None = None,
        max_buffered: float = MAX_BUFFERED_SECONDS,
        on_overflow: Overflow = "fail",
        allow_plaintext: bool = False,
        reconnect: Reconnect | None = None,
        on_event: Callable[[Event], None] | None = None,
        open_stream: _O | None = None,
    ) -> AbstractAsyncContextManager[STT]:
        """A speech-to-text session with a vendor, for `async with`. Arguments and errors as for `connect_tts`.

        After a lost connection the last `reconnect.replay` seconds of audio that no final covers are sent again; what
        is older is reported as an `AudioGap`.
        """
        dialect, whole_url, key = _find(vendor, "stt", api_key, url, allow_plaintext)
        limits = deadlines or Deadlines()
        expect_one_of("on_overflow", on_overflow, ("fail", "drop_oldest", "wait"))
        bound = _Bound(max_buffered, on_overflow)
        again = _Again(reconnect or Reconnect(), on_event)
        opener = open_stream or self._open_stream
        settings = _Settings(self._backend, dialect, key, whole_url, limits, bound, ssl_context, opener, again)
        return _session(self._backend, partial(STT, settings))


class _Bound(NamedTuple):
    """What may wait for a slow consumer, in seconds of audio of one context, and what happens beyond."""

    seconds: float
    on_overflow: Overflow


class _Again(NamedTuple):
    """How connections are opened again, and who is told."""

    policy: Reconnect
    on_event: Callable[[Event], None] | None


@dataclass(frozen=True, slots=True)
class _Settings:
    """What it takes to open one more connection to the same vendor."""

    backend: Backend
    dialect: Dialect
    key: Secret
    url: str
    deadlines: Deadlines
    bound: _Bound
    ssl_context: ssl.SSLContext | None
    open_stream: Opener
    again: _Again
    on_limit: Literal["wait", "raise"] = "wait"
    max_connections: int = 1
    read_interval: float = 0.0


def _find(
    vendor: str, kind: str, api_key: str | Secret | None, url: str | None, allow_plaintext: bool
) -> tuple[Dialect, str, Secret]:
    """The dialect, the URL and the key: an argument beats the environment, which beats the vendor's own."""
    dialect = find_dialect(vendor, kind, url)
    url = url or os.environ.get(dialect.url_variable) or dialect.default_url
    check_url(url, allow_plaintext=allow_plaintext)
    key = find_key(vendor, api_key, dialect.key_variable)
    return find_dialect(vendor, kind, url), url, key


@asynccontextmanager
async def _session(backend: Backend, make: Callable[[Any], _S]) -> AsyncIterator[_S]:
    backend.check()
    async with backend.background() as background:
        session = make(background)
        await session._open()
        yield session
        await session._close()


class _Session:
    """What text-to-speech and speech-to-text share: links to one vendor, opened when needed, closed together."""

    def __init__(self, settings: _Settings, background: Any) -> None:
        self.dialect = settings.dialect
        self.backend = settings.backend
        self._settings = settings
        self._background = background
        self._links: dict[Link, bool] = {}  # in the order of their opening; True: its end was noted
        self._changed = self.backend.lot()  # something happened to a link
        self._refusal: Callable[[], VoicecoreError] | None = None
        self._loss: Callable[[], VoicecoreError] | None = None  # what the last connection ended in, if not in order
        self.backoff = Backoff(settings.again.policy)

    async def _close(self) -> None:
        links = tuple(self._links)
        for link in links:
            link.begin_close()
        for link in links:
            await link.close()

    async def _link_again(self, error: VoicecoreError, options: Any = None) -> Link:
        """A connection in place of one that ended in `error`. Raises the last error once the policy gives up."""
        while True:
            delay = self.backoff.delay(error, self.backend.now())
            if delay is None:
                raise error
            self.report(Reconnecting(self.backoff.in_a_row, delay, error))
            await self.backend.sleep(delay)
            try:
                link = await self._new_link(options)
            except VoicecoreError as next_error:
                error = next_error
            else:
                self.report(Reconnected(self.backoff.in_a_row))
                return link

    def report(self, event: Event) -> None:
        """Tells the caller what the session does on its own, and what it was surprised by."""
        if self._settings.again.on_event is not None:
            self._settings.again.on_event(event)

    async def _new_link(self, options: Any = None) -> Link:
        """Opens a connection and waits until the vendor accepts work."""
        await self._wait_for_a_place()
        link = self.backend.link(self._new_connection(options), self._changed, self._link_ended)
        self._links[link] = False
        try:
            await self._open_link(link)
            await link.wait_ready()
        except BaseException:
            link.abort()
            raise
        return link

    async def _wait_for_a_place(self) -> None:
        """A process with many sessions does not open them all at once to one host."""
        host = urlsplit(self._settings.url).netloc
        await self.backend.sleep(self.backend.connect_limiter().reserve(host, self.backend.now()))

    def _new_connection(self, options: Any) -> Connection:
        """In a frame of its own: the key is in the URL or the headers, and no frame of a traceback may hold it."""
        settings, dialect = self._settings, self.dialect
        url, headers = dialect.upgrade(settings.url, settings.key)
        if dialect.options_in_upgrade:
            headers |= dialect.upgrade_options(options)
        return Connection(
            Protocol(dialect, Role.CLIENT),
            url,
            headers,
            key=settings.key,
            deadlines=settings.deadlines,
            buffered_seconds=settings.bound.seconds,
            on_overflow=settings.bound.on_overflow,
            read_interval=settings.read_interval,
        )

    async def _open_link(self, link: Link) -> None:
        settings, limit, began = self._settings, self._settings.deadlines.connect, self.backend.now()

        def late() -> DeadlineError:
            vendor = self.dialect.vendor
            return DeadlineError(f"{vendor}: deadline connect: no connection within {limit:g} s", "connect", limit)

        async def connect() -> None:
            await link.open(settings.open_stream, settings.url, settings.ssl_context, self._background, began)

        await self.backend.within(limit, connect, late)

    def _link_ended(self, link: Link) -> None:
        self._note_end(link)
        del self._links[link]
        self._changed.unpark_all()

    def _note_end(self, link: Link) -> None:
        """Remembers why a connection ended, for whoever needs the next one."""
        why = link.connection.error
        if why is None or link.connection.ended_by_us or self._links[link]:
            return
        self._links[link] = True
        error = why()
        if isinstance(error, AuthError):
            self._refusal = why
        elif is_loss(error) and not (isinstance(error, ConnectionLostError) and error.code == 1000):
            self._loss = why

    def _raise_refusal(self) -> None:
        """A key that was refused once is refused again: no other connection is opened with it."""
        for link in self._links:
            self._note_end(link)
        if self._refusal is not None:
            raise self._refusal()

    def _options(self, options: Any) -> Any:
        kind = self.dialect.options
        if options is None:
            return kind()
        if not isinstance(options, kind):
            raise ConfigurationError(f"options: expected {kind.__name__}, got {type(options).__name__}")
        return options


class TTS(_Session):
    """A text-to-speech session. `synthesize` and `context` may be used by many tasks at once."""

    def __init__(self, settings: _Settings, background: Any) -> None:
        super().__init__(settings, background)
        self._leasing = self.backend.lock()
        self._classifying = self.backend.lock()

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
        expect_text("text", text, self.dialect.max_text)
        return Speech(self, text, voice, output, self.dialect.options_for(self._options(options), output))

    def context(
        self,
        *,
        voice: str | None = None,
        output: AudioFormat | None = DEFAULT_OUTPUT,
        options: Any = None,
    ) -> SpeechContext:
        """Speaks text that arrives bit by bit: see `SpeechContext`. Arguments as for `synthesize`."""
        chosen = self.dialect.options_for(self._options(options), output)
        kind = StreamedContext if self.dialect.streams_text else SentenceContext
        return kind(self, voice, output, chosen)

    async def classify_voice(self, wav: bytes) -> Mapping[str, Any]:
        """Deepdub: what the vendor's classifier says of a voice, e.g. `{"gender": "female", ...}`.

        `wav` is a WAV file, of which the first second at 16 kHz counts. Raises `VendorError`, `DeadlineError`, and
        `ProtocolError` with a vendor that has no such request. Cancelling it may leave an answer for the next call
        to skip.
        """
        async with self._classifying:  # the answer does not say which question it is for
            link = await self._lease()
            link.send(ClassifyVoice(str(uuid.uuid4()), bytes(wav)))
            limit = self._settings.deadlines.first_audio
            text = f"{self.dialect.vendor}: deadline first_audio: no answer within {limit:g} s"
            return await self.backend.within(
                limit, partial(self._classification, link), lambda: DeadlineError(text, "first_audio", limit)
            )

    async def _classification(self, link: Link) -> Mapping[str, Any]:
        while True:
            match (await link.next()).event:
                case VoiceClassified(details):
                    return details
                case Failed() as failed:
                    raise self.dialect.error_of(failed)

    async def _open(self) -> None:
        await self._lease()

    async def _lease(self) -> Link:
        """A connection with room for one more request, which is to be sent at once.

        Opens one where that is allowed, else waits for the first that is free; and waits for the vendor's limits.
        Those who wait are served in order. Raises `DeadlineError` when that takes as long as a whole utterance may.
        """
        limit = self._settings.deadlines.total
        text = f"{self.dialect.vendor}: deadline total: no connection was free within {limit:g} s"
        return await self.backend.within(limit, self._lease_in_turn, lambda: DeadlineError(text, "total", limit))

    async def _lease_in_turn(self) -> Link:
        async with self._leasing:
            while True:
                link = await self._link_with_room()
                now = self.backend.now()
                at = max(link.connection.allowed_at(kind, now) for kind in (Synthesize, OpenContext))
                if at <= now or self._settings.on_limit == "raise":
                    return link  # the connection refuses what is over the limit
                await self.backend.sleep(at - now)

    async def _link_with_room(self) -> Link:
        while True:
            self._raise_refusal()
            for link in self._links:
                if link.connection.has_room:
                    return link
                if link.connection.retired and link.connection.idle:
                    link.begin_close()
            if self._may_open:
                loss, self._loss = self._loss, None
                return await (self._new_link() if loss is None else self._link_again(loss()))
            await self._changed.park()

    @property
    def _may_open(self) -> bool:
        """True while one more socket is allowed; one that is being closed counts until it is gone."""
        if self.dialect.max_contexts is not None:
            return len(self._links) < self._settings.max_connections
        return not any(link.connection.usable and not link.connection.retired for link in self._links)


class STT(_Session):
    """A speech-to-text session. Each `stream` has a connection of its own; the first is open already."""

    @property
    def replay(self) -> float:
        """Seconds of audio that a stream keeps to send again."""
        return self._settings.again.policy.replay

    async def _open(self) -> None:
        self._first_options = self.dialect.options_for(self.dialect.options(), DEFAULT_INPUT)
        self._first: Link | None = await self._new_link(self._first_options)

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
        chosen = self.dialect.options_for(self._options(options), input)
        return SttStream(self, input, chosen, include_events)

    async def _take_link(self, options: Any) -> Link:
        """A connection of its own for a session: the first, if it is still good and the options can be chosen there."""
        link, self._first = self._first, None
        if link is not None and link.connection.usable:
            suits = not self.dialect.options_in_upgrade or options == self._first_options
            if suits and link.connection.has_room:
                return link
            link.begin_close()
        return await self._new_link(options)
