"""httpx2 through memory, so that HTTP runs on a virtual clock, and what a scripted HTTP server needs to say.

`MemoryTransport(open_stream)` gives `connect_llm(transport=...)` a stream of its own for every connection.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import h11
import httpcore2
import httpx2
import trio

OpenStream = Callable[[str, "ssl.SSLContext | None"], Awaitable[trio.abc.Stream]]


class MemoryTransport(httpx2.AsyncHTTPTransport):
    """httpx2's own transport and pool, over streams that `open_stream` gives."""

    def __init__(self, open_stream: OpenStream) -> None:
        super().__init__(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self._pool = httpcore2.AsyncConnectionPool(max_connections=100, network_backend=_Backend(open_stream))


class _Backend(httpcore2.AsyncNetworkBackend):
    def __init__(self, open_stream: OpenStream) -> None:
        self._open_stream = open_stream

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        return _Stream(await self._open_stream(f"http://{host}:{port}", None))


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore2.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._stream.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore2.WriteError(str(error)) from error

    async def aclose(self) -> None:
        await self._stream.aclose()


class Server:
    """One connection of a scripted server."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._h11 = h11.Connection(h11.SERVER)
        self.headers: dict[str, str] = {}

    async def request(self) -> dict[str, Any]:
        """The JSON of the next request; its head goes to `headers`."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        body = b""
        while not isinstance(event := self._h11.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                self._h11.receive_data(bytes(await self.stream.receive_some()))
            elif isinstance(event, h11.Request):
                self.headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                raise trio.BrokenResourceError  # the client went away
        return json.loads(body)

    async def send(self, event: h11.Event) -> None:
        await self.stream.send_all(self._h11.send(event) or b"")

    async def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        fields = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        await self.send(h11.Response(status_code=status, headers=list(fields.items())))

    async def data(self, text: str | bytes) -> None:
        await self.send(h11.Data(data=text.encode() if isinstance(text, str) else text))

    async def events(self, *messages: Any) -> None:
        await self.data("".join(map(event, messages)))

    async def end(self) -> None:
        await self.send(h11.EndOfMessage())

    async def reply(self, words: Iterable[str]) -> None:
        """A whole streamed answer."""
        await self.head()
        await self.events(*map(said, words), finished(), "[DONE]")
        await self.end()

    async def refuse(self, status: int, body: Any = "", **headers: str) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        await self.head(status, "application/json", content_length=str(len(text.encode())), **headers)
        await self.data(text)
        await self.end()

    async def client_left(self) -> None:
        """Waits until the client has closed."""
        try:
            while await self.stream.receive_some():
                pass
        except trio.BrokenResourceError:
            return


def event(message: Any) -> str:
    """One server-sent event: a dict as JSON, a text as it is."""
    return f"data: {message if isinstance(message, str) else json.dumps(message)}\n\n"


def said(content: str) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": content}}]}


def finished(reason: str = "stop") -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}
