"""The user's way in, on trio: sessions with a vendor.

`TTS` and `STT` own their links (sockets) inside one nursery, so that nothing outlives `async with`; what they give
the user is in `speech.py` and `recognition.py`. Every wait here can be cancelled.
"""

from __future__ import annotations

import os
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import trio

from voicecore.audio import AudioFormat
from voicecore.connection import Connection
from voicecore.deadlines import Deadlines
from voicecore.errors import AuthError, ConfigurationError, DeadlineError, VoicecoreError
from voicecore.events import ClassifyVoice, Failed, OpenContext, Synthesize, VoiceClassified
from voicecore.inbox import MAX_BUFFERED_SECONDS
from voicecore.keys import find_key
from voicecore.link import Link
from voicecore.nursery import flat_nursery
from voicecore.protocol import Dialect, Protocol, Role
from voicecore.recognition import SttStream
from voicecore.secret import Secret
from voicecore.speech import SentenceContext, Speech, SpeechContext, StreamedContext
from voicecore.transport import check_url, open_stream
from voicecore.vendors import find_dialect
from voicecore.vendors.options import expect_one_of, expect_range, expect_text

DEFAULT_OUTPUT = AudioFormat("pcm_s16le", 16_000)
DEFAULT_INPUT = AudioFormat("pcm_s16le", 16_000)
MAX_CONNECTIONS = 4  # of a session, with a vendor that serves one utterance at a time on each

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
    on_limit: Literal["wait", "raise"] = "wait",
    max_connections: int = MAX_CONNECTIONS,
    open_stream: OpenStream = open_stream,
) -> AbstractAsyncContextManager[TTS]:
    """A text-to-speech session with a vendor, for `async with`.

    The key comes from `api_key` or the vendor's environment variable; `url` is the whole URL, else the vendor's
    variable, else the vendor's own. `max_buffered` bounds, in seconds of audio, what may wait for a slow consumer of
    one context. A request over a limit of the vendor waits or, with `on_limit="raise"`, raises `RateLimitError` with
    `retry_after`. A vendor that serves one utterance at a time on a connection gets up to `max_connections` of them;
    further requests wait for a free one. Raises `ConfigurationError` (a `ValueError`) at once for a missing key or a
    bad argument. Entering connects, and raises `AuthError`, `ConnectionFailedError`, `TlsError` or `DeadlineError`;
    cancelling that leaves nothing behind.
    """
    dialect, whole_url, key = _find(vendor, "tts", api_key, url, allow_plaintext)
    limits = deadlines or Deadlines()
    expect_one_of("on_limit", on_limit, ("wait", "raise"))
    expect_range("max_connections", max_connections, 1, 1000, whole=True)
    settings = _Settings(
        dialect, key, whole_url, limits, max_buffered, ssl_context, open_stream, on_limit, max_connections
    )
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
    on_limit: Literal["wait", "raise"] = "wait"
    max_connections: int = 1


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
async def _session(make: Callable[[trio.Nursery], _S]) -> AsyncIterator[_S]:
    async with flat_nursery() as nursery:
        session = make(nursery)
        await session._open()
        yield session
        await session._close()


class _Session:
    """What text-to-speech and speech-to-text share: links to one vendor, opened when needed, closed together."""

    def __init__(self, settings: _Settings, nursery: trio.Nursery) -> None:
        self.dialect = settings.dialect
        self._settings = settings
        self._nursery = nursery
        self._links: dict[Link, None] = {}  # in the order of their opening
        self._changed = trio.lowlevel.ParkingLot()  # something happened to a link
        self._refusal: Callable[[], VoicecoreError] | None = None

    async def _close(self) -> None:
        async with trio.open_nursery() as nursery:
            for link in tuple(self._links):
                nursery.start_soon(link.close)

    async def _new_link(self, options: Any = None) -> Link:
        """Opens a connection and waits until the vendor accepts work."""
        began = trio.current_time()
        stream = await self._open_stream()
        connection = self._new_connection(options)
        connection.start(began)
        link = Link(connection, stream, self._changed)
        self._links[link] = None
        self._nursery.start_soon(self._run_link, link)
        try:
            await link.wait_ready()
        except BaseException:
            link.abort()
            raise
        return link

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
            buffered_seconds=settings.max_buffered,
        )

    async def _open_stream(self) -> trio.abc.Stream:
        limit = self._settings.deadlines.connect
        with trio.move_on_after(limit):
            return await self._settings.open_stream(self._settings.url, self._settings.ssl_context)
        vendor = self.dialect.vendor
        raise DeadlineError(f"{vendor}: deadline connect: no connection within {limit:g} s", "connect", limit)

    async def _run_link(self, link: Link) -> None:
        try:
            await link.run()
        finally:
            self._note_refusal(link)
            self._links.pop(link, None)
            self._changed.unpark_all()

    def _note_refusal(self, link: Link) -> None:
        error = link.connection.error
        if error is not None and isinstance(error(), AuthError):
            self._refusal = error

    def _raise_refusal(self) -> None:
        """A key that was refused once is refused again: no other connection is opened with it."""
        for link in self._links:
            self._note_refusal(link)
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
            with trio.move_on_after(limit):
                return await self._classification(link)
            text = f"{self.dialect.vendor}: deadline first_audio: no answer within {limit:g} s"
            raise DeadlineError(text, "first_audio", limit)

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
        Raises `DeadlineError` when that takes as long as a whole utterance may.
        """
        limit = self._settings.deadlines.total
        with trio.move_on_after(limit):
            while True:
                link = await self._link_with_room()
                now = trio.current_time()
                at = max(link.connection.allowed_at(kind, now) for kind in (Synthesize, OpenContext))
                if at <= now or self._settings.on_limit == "raise":
                    return link  # the connection refuses what is over the limit
                await trio.sleep_until(at)
        text = f"{self.dialect.vendor}: deadline total: no connection was free within {limit:g} s"
        raise DeadlineError(text, "total", limit)

    async def _link_with_room(self) -> Link:
        while True:
            async with self._opening:
                self._raise_refusal()
                live = [link for link in self._links if link.connection.usable]
                for link in live:
                    if link.connection.has_room:
                        return link
                    if link.connection.retired and link.connection.idle:
                        link.begin_close()
                if sum(not link.connection.retired for link in live) < self._most_links:
                    return await self._new_link()
            await self._changed.park()

    @property
    def _most_links(self) -> int:
        return 1 if self.dialect.max_contexts is None else self._settings.max_connections


class STT(_Session):
    """A speech-to-text session. Each `stream` has a connection of its own; the first is open already."""

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
            if not self.dialect.options_in_upgrade or options == self._first_options:
                return link
            link.begin_close()
        return await self._new_link(options)
