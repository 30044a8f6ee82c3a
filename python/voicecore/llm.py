"""Chat with a vendor's language model: `connect_llm`, on trio and on asyncio alike.

Runs on either through anyio, which httpx2 brings along; both come with the extra `llm`, and are imported when a client
is made. The protocol is in `chat.py`, the vendor's own in `vendors/sixtydb/llm.py`, HTTP in `http_client.py`. Here are
the waits: deadlines, attempts, and what cancelling leaves behind, which is nothing.
"""

from __future__ import annotations

import os
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from types import TracebackType
from typing import TYPE_CHECKING

from voicecore import chat
from voicecore.chat import ChatDelta, Reply
from voicecore.deadlines import ChatDeadlines
from voicecore.errors import ConfigurationError, DeadlineError, StateError, VoicecoreError
from voicecore.keys import find_key
from voicecore.reconnect import Backoff, Reconnect
from voicecore.secret import Secret, without_query
from voicecore.transport import check_url
from voicecore.vendors.sixtydb import llm as sixtydb
from voicecore.vendors.sixtydb.llm import Message, SixtydbChatOptions

if TYPE_CHECKING:
    import anyio
    import httpx2

    from voicecore.http_client import Answer, HttpClient

DRAIN_SECONDS = 0.2  # for the few bytes after a reply's end mark, so that its connection can be kept
ERROR_BYTES = 64 * 2**10  # of the body of a refusal that are read

_AWAITED = {
    "connect": "connection",
    "first_token": "first token",
    "between_chunks": "next event",
    "total": "end of the reply",
}


def connect_llm(
    vendor: str = sixtydb.VENDOR,
    *,
    api_key: str | Secret | None = None,
    url: str | None = None,
    options: SixtydbChatOptions | None = None,
    deadlines: ChatDeadlines | None = None,
    retry: Reconnect | None = None,
    ssl_context: ssl.SSLContext | None = None,
    proxy: str | httpx2.Proxy | None = None,
    allow_plaintext: bool = False,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> AbstractAsyncContextManager[LLM]:
    """A client of a vendor's language model, for `async with`, on trio or asyncio. Needs the extra `llm`.

    The key comes from `api_key` or the vendor's environment variable; `url` is the whole URL, else the vendor's
    variable, else the vendor's own. `options` hold for every chat that gives none. `retry`: how often a request is
    sent again before its first token, for errors that are `retryable`; never after it. `proxy` and `transport` are
    httpx2's; without them its environment variables (`HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`) count, except on the
    way to this machine. Raises `ConfigurationError` (a `ValueError`) at once for a missing key or a bad argument.
    Entering opens no connection yet; the first chat does.
    """
    if vendor != sixtydb.VENDOR:
        raise ConfigurationError(f"vendor: expected {sixtydb.VENDOR} for chat, got {vendor!r}")
    whole_url = url or os.environ.get(sixtydb.URL_VARIABLE) or sixtydb.DEFAULT_URL
    check_url(whole_url, allow_plaintext=allow_plaintext, plain="http", secure="https")
    key = find_key(vendor, api_key, sixtydb.KEY_VARIABLE)
    _expect_no_key(whole_url, key)
    _expect_extra()
    policy = retry or Reconnect(attempts=2)
    settings = _Settings(key, _options(options), deadlines or ChatDeadlines(), policy)
    return _client(settings, whole_url, ssl_context, proxy, transport)


@dataclass(frozen=True, slots=True)
class _Settings:
    key: Secret
    options: SixtydbChatOptions
    deadlines: ChatDeadlines
    retry: Reconnect


def _expect_no_key(url: str, key: Secret) -> None:
    """httpx2 logs URLs, and takes a user part for a password of its own."""
    authority = url.partition("://")[2].partition("/")[0]
    if "@" in authority or key.reveal() in url:
        raise ConfigurationError(f"url: expected no key or user in it, got {without_query(url)!r} with one")


def _expect_extra() -> None:
    try:
        import anyio  # noqa: F401
        import httpx2  # noqa: F401
    except ImportError:
        raise ConfigurationError("chat needs httpx2: pip install 'voicecore[llm]'") from None


def _options(options: SixtydbChatOptions | None) -> SixtydbChatOptions:
    if options is None:
        return SixtydbChatOptions()
    if not isinstance(options, SixtydbChatOptions):
        raise ConfigurationError(f"options: expected SixtydbChatOptions, got {type(options).__name__}")
    return options


@asynccontextmanager
async def _client(
    settings: _Settings,
    url: str,
    ssl_context: ssl.SSLContext | None,
    proxy: str | httpx2.Proxy | None,
    transport: httpx2.AsyncBaseTransport | None,
) -> AsyncIterator[LLM]:
    from voicecore.http_client import HttpClient

    http = HttpClient(sixtydb.VENDOR, url, settings.key, ssl_context=ssl_context, proxy=proxy, transport=transport)
    llm = LLM(settings, http)
    try:
        yield llm
    finally:
        await http.aclose()


class LLM:
    """A client of a language model. `chat` may be used by many tasks at once."""

    def __init__(self, settings: _Settings, http: HttpClient) -> None:
        self._settings = settings
        self._http = http

    def chat(
        self,
        messages: str | Sequence[Message],
        *,
        tools: Sequence[Message] = (),
        options: SixtydbChatOptions | None = None,
        stream: bool = True,
    ) -> ChatStream:
        """Asks for a reply: an `async with` block that gives an async iterator of `ChatDelta`.

        `messages` are OpenAI's (`{"role": "user", "content": "Hello"}`); a plain text is one message of the user's.
        `tools` are its function definitions. With `stream=False` the reply comes whole, as one delta. Raises
        `ConfigurationError` at once. Leaving the block early drops the connection, and with it the rest of the reply.
        """
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        chosen = self._settings.options if options is None else _options(options)
        body = sixtydb.request_body(said, tools, chosen, stream=stream)
        return ChatStream(self._http, self._settings, body, streamed=stream)


class _State(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class ChatMetrics:
    """Seconds from entering the block: `ttft` to the first token, `duration` to the end. `attempts`: requests sent."""

    ttft: float | None
    duration: float | None
    attempts: int


class ChatStream(Reply):
    """A reply that is on its way. It ends as finished, cancelled or failed; what came before stays readable.

    `content`, `reasoning`, `tool_calls`, `usage`, `chat_id`, `finish_reason` and `message` hold what came so far;
    `unknown_events` and `unknown_counts` what the vendor said besides.
    """

    def __init__(self, http: HttpClient, settings: _Settings, body: bytes, *, streamed: bool) -> None:
        super().__init__(sixtydb.VENDOR, settings.key, sixtydb.EVENTS)
        self._http = http
        self._deadlines = settings.deadlines
        self._backoff = Backoff(settings.retry)
        self._body = body
        self._streamed = streamed
        self._state = _State.NEW
        self._answer: Answer | None = None
        self._framing: chat.Framing = chat.Whole()
        self._ready: deque[ChatDelta] = deque()
        self._failure: VoicecoreError | None = None
        self._patience = _Patience.fresh("total", float("inf"))
        self._began = self._total_at = 0.0
        self._first_at: float | None = None
        self._ended_at: float | None = None
        self._attempts = 0

    @property
    def metrics(self) -> ChatMetrics:
        """What was measured so far."""
        first, ended = (None if at is None else at - self._began for at in (self._first_at, self._ended_at))
        return ChatMetrics(first, ended, self._attempts)

    async def __aenter__(self) -> ChatStream:
        """Sends the request and waits until the vendor accepts it. Cancelling it leaves nothing behind.

        Raises `AuthError`, `QuotaError`, `RateLimitError`, `InvalidRequestError`, `VendorUnavailableError`,
        `ConnectionFailedError`, `TlsError`, `ConnectionLostError`, `DeadlineError`.
        """
        if self._state is not _State.NEW:
            raise StateError("a chat can be entered once; call chat() again")
        self._state = _State.OPEN
        self._began = _now()
        self._total_at = self._began + self._deadlines.total
        try:
            await self._open_until_accepted(None)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    def __aiter__(self) -> ChatStream:
        return self

    async def __anext__(self) -> ChatDelta:
        """The next delta. Raises what ended the reply early. Cancelling it drops the connection and the rest."""
        import anyio.lowlevel

        await anyio.lowlevel.checkpoint()
        while True:
            if self._ready:
                return self._ready.popleft()
            if self._failure is not None:
                raise self._failure
            if self.done:
                raise StopAsyncIteration
            await self._advance()

    async def read(self) -> str:
        """Reads the reply to its end and gives its text. Cancelling it loses no more than leaving the block does."""
        async for _ in self:
            pass
        return self.content

    async def _advance(self) -> None:
        """Receives more, or sends the request again if nothing was said yet."""
        if self._state is not _State.OPEN:
            raise StateError("the chat is not open: use `async with llm.chat(...) as reply`")
        try:
            await self._receive()
        except VoicecoreError as error:
            self._failure = error
        if self._failure is not None and not self.begun:
            failure, self._failure = self._failure, None
            try:
                await self._open_until_accepted(failure)
            except VoicecoreError as error:
                self._failure = error

    async def _receive(self) -> None:
        assert self._answer is not None
        with self._limit(self._patience) as limit:
            data = await self._answer.receive()
        self._patience = limit.rest()
        payloads = self._framing.receive_data(data) if data else self._framing.end()
        for payload in payloads:
            delta = self.receive(payload)
            if delta is not None:
                self._first_at = _now() if self._first_at is None else self._first_at
                self._ready.append(delta)
            if self.begun:
                self._patience = _Patience.fresh("between_chunks", self._deadlines.between_chunks)
        if self.done:
            self._ended_at = _now()
        elif not data:
            raise chat.cut_short(sixtydb.VENDOR)

    # --- attempts ----------------------------------------------------------------------------------------

    async def _open_until_accepted(self, error: VoicecoreError | None) -> None:
        """Sends the request, again after each `error` that allows it. Raises the last."""
        while True:
            if error is not None:
                await self._pause(error)
            try:
                await self._open()
            except VoicecoreError as next_error:
                error = next_error
            else:
                return

    async def _pause(self, error: VoicecoreError) -> None:
        """Waits before another attempt. Raises `error` if there is to be none, or no time for it."""
        import anyio

        await self._drop()
        delay = self._backoff.delay(error, _now())
        if delay is None or _now() + delay >= self._total_at:
            raise error
        await anyio.sleep(delay)

    async def _open(self) -> None:
        self.clear()
        self._attempts += 1
        deadlines = self._deadlines
        with self._limit(_Patience.fresh("connect", deadlines.connect)) as limit:
            token = _Patience.fresh("first_token", deadlines.first_token if self._streamed else float("inf"))
            self._answer = await self._http.post(self._body, lambda: limit.change(token))
            if not 200 <= self._answer.status < 300:
                raise await self._refusal(self._answer)
        self._patience = limit.rest()
        self._framing = chat.framing_of(sixtydb.VENDOR, self._answer.headers.get("content-type", ""))

    async def _refusal(self, answer: Answer) -> VoicecoreError:
        body = bytearray()
        with suppress(VoicecoreError):  # the status is known, whatever becomes of the words
            while len(body) < ERROR_BYTES and (data := await answer.receive()):
                body += data
        return chat.refusal(
            sixtydb.VENDOR, self._http.shown_url, answer.status, answer.headers, bytes(body[:ERROR_BYTES]), self._key
        )

    async def _leave(self) -> None:
        import anyio

        self._state = _State.CLOSED
        try:
            if self.done and self._answer is not None:
                with anyio.move_on_after(DRAIN_SECONDS):
                    await self._drain(self._answer)
        finally:
            await self._drop()

    @staticmethod
    async def _drain(answer: Answer) -> None:
        with suppress(VoicecoreError):  # the reply is whole; only its connection cannot be kept
            while await answer.receive():
                pass

    async def _drop(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            await answer.aclose()

    # --- deadlines ---------------------------------------------------------------------------------------

    @contextmanager
    def _limit(self, patience: _Patience) -> Iterator[_Limit]:
        """Runs its block under a deadline and the total one, whichever is nearer. Raises `DeadlineError`."""
        limit = _Limit(patience, self._total_at, self._deadlines.total)
        with limit.scope:
            yield limit
        if limit.scope.cancelled_caught:
            raise limit.error()


@dataclass(frozen=True, slots=True)
class _Patience:
    """How long a named wait may still take; `left` shrinks only while someone waits."""

    name: str
    whole: float
    left: float

    @classmethod
    def fresh(cls, name: str, seconds: float) -> _Patience:
        return cls(name, seconds, seconds)


class _Limit:
    """A cancel scope that knows the name of its deadline."""

    def __init__(self, patience: _Patience, total_at: float, total: float) -> None:
        import anyio

        self._total_at = total_at
        self._total = total
        self.scope: anyio.CancelScope = anyio.CancelScope()
        self.change(patience)

    def change(self, patience: _Patience) -> None:
        """From now on it is another wait."""
        self._patience = patience
        self._at = _now() + patience.left
        self.scope.deadline = min(self._at, self._total_at)

    def rest(self) -> _Patience:
        """What is left of it."""
        return replace(self._patience, left=max(0.0, self._at - _now()))

    def error(self) -> DeadlineError:
        total = self._total_at <= self._at
        name, seconds = ("total", self._total) if total else (self._patience.name, self._patience.whole)
        text = f"{sixtydb.VENDOR}: deadline {name}: no {_AWAITED[name]} within {seconds:g} s"
        return DeadlineError(text, name, seconds)


def _now() -> float:
    import anyio

    return anyio.current_time()
