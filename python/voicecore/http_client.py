"""HTTP for the chat, on httpx2: one POST whose answer is read as it comes, and what goes wrong in voicecore's words.

Proxies and TLS are httpx2's business. It runs on trio and on asyncio, and so does everything here. It knows no message
and keeps no deadline: who calls it cancels it, which leaves no socket behind.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from voicecore.errors import (
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ProtocolError,
    TlsError,
    VoicecoreError,
)
from voicecore.secret import Secret, without_query
from voicecore.transport import is_loopback

HEADERS = {
    "content-type": "application/json",
    "accept": "text/event-stream, application/json",
    "accept-encoding": "identity",  # a compressor would hold tokens back
}


class HttpClient:
    """Posts to one URL; connections are kept and used again."""

    def __init__(
        self,
        vendor: str,
        url: str,
        key: Secret,
        *,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | httpx2.Proxy | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.shown_url = without_query(url)
        self._vendor = vendor
        self._url = url
        self._client = _new_client(url, key, ssl_context, proxy, transport)

    async def post(self, body: bytes, on_connected: Callable[[], None]) -> Answer:
        """Sends `body` and waits for the head of the answer; `on_connected` is called when the sending begins.

        Raises `ConnectionFailedError`, `TlsError`, `ConnectionLostError`. Cancelling it drops the connection.
        """

        async def trace(name: str, info: Mapping[str, Any]) -> None:
            # a tunnel through a proxy is opened by a request of its own, which is still connecting
            if name.endswith("send_request_headers.started") and info["request"].method == b"POST":
                on_connected()

        request = self._client.build_request("POST", self._url, content=body, extensions={"trace": trace})
        try:
            response = await self._client.send(request, stream=True)
        except httpx2.HTTPError as error:
            failure = self._failure(error)
        else:
            return Answer(response, self._failure)
        raise failure  # outside the block, so that no frame that knows the key hangs on it

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    def _failure(self, error: httpx2.HTTPError) -> VoicecoreError:
        where, why = f"{self._vendor}: {self.shown_url}", _reason(error)
        match error:
            case httpx2.ConnectError() if _is_tls(error):
                return TlsError(f"TLS with {where}: {why}")
            case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError():
                return ConnectionFailedError(f"connecting to {where}: {why}")
            case httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError():
                return ConfigurationError(f"{where}: {why}")
            case httpx2.DecodingError():
                return ProtocolError(f"{where}: the answer's content encoding: {why}")
        return ConnectionLostError(f"{where}: the connection ended before the answer did: {why}", reason=why)


class Answer:
    """The head of an answer, and its body as it comes."""

    def __init__(self, response: httpx2.Response, failure: Callable[[httpx2.HTTPError], VoicecoreError]) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._failure = failure
        self._body = response.aiter_bytes()

    async def receive(self) -> bytes:
        """More of the body; b"" at its end. Raises `ConnectionLostError`. Cancelling it drops the connection."""
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            return b""
        except httpx2.HTTPError as error:
            failure = self._failure(error)
        raise failure

    async def aclose(self) -> None:
        """The connection is kept if the body was read to its end, else dropped.

        An iteration that is closed early leaves a generator of httpx2's behind (2.16), for the garbage collector to
        complain about. So the connection goes first, and the iteration then ends by itself.
        """
        try:
            await self._response.aclose()
            async for _ in self._body:
                pass
        except (httpx2.HTTPError, httpx2.StreamError):
            return
        finally:
            await self._body.aclose()


def _new_client(
    url: str,
    key: Secret,
    ssl_context: ssl.SSLContext | None,
    proxy: str | httpx2.Proxy | None,
    transport: httpx2.AsyncBaseTransport | None,
) -> httpx2.AsyncClient:
    """In a frame of its own: no frame of a traceback may hold the key.

    The environment's proxies are not asked to reach this machine: they would see the key in clear text.
    """
    parts = urlsplit(url)
    local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    return httpx2.AsyncClient(
        headers={**HEADERS, "authorization": f"Bearer {key.reveal()}"},
        verify=ssl_context or True,
        proxy=proxy,
        transport=transport,
        trust_env=not local,
        timeout=None,
        follow_redirects=False,
    )


def _causes(error: BaseException) -> list[BaseException]:
    """An error and what led to it, the last the deepest; of a group, its first. httpcore2 hides causes in contexts."""
    chain: list[BaseException] = []
    inner: BaseException | None = error
    while inner is not None and inner not in chain:
        chain.append(inner)
        inner = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else inner.__cause__ or inner.__context__
    return chain


def _is_tls(error: BaseException) -> bool:
    return any(isinstance(cause, ssl.SSLError) for cause in _causes(error))


def _reason(error: BaseException) -> str:
    """The words of the deepest cause; the system's own where it has a number, since trio and asyncio add their own."""
    deepest = _causes(error)[-1]
    if isinstance(deepest, (ConnectionError, TimeoutError)) and deepest.errno:
        return os.strerror(deepest.errno)
    return getattr(deepest, "strerror", None) or str(deepest) or str(error) or type(deepest).__name__
