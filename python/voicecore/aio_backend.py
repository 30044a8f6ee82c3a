"""What asyncio gives the sessions: its own primitives under the names of `backend.py`, and TCP and TLS transports."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar
from weakref import WeakKeyDictionary

from voicecore.aio_link import AioLink
from voicecore.aio_transport import SocketTransport
from voicecore.backend import Lot
from voicecore.connection import Connection
from voicecore.errors import ConnectionFailedError, StateError, TlsError
from voicecore.link import Link
from voicecore.reconnect import ConnectLimiter
from voicecore.transport import Target, reason_of
from voicecore.wire import RECEIVE_BYTES, Tls

T = TypeVar("T")
OpenTransport = Callable[[str, ssl.SSLContext | None, asyncio.Protocol], Awaitable[object]]

_LIMITERS: WeakKeyDictionary[asyncio.AbstractEventLoop, ConnectLimiter] = WeakKeyDictionary()


class AioLot:
    """A future for each who waits."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []

    def park(self) -> asyncio.Future[None]:
        future = self._loop.create_future()
        if self._waiting:  # those who were cancelled are gone
            self._waiting = [other for other in self._waiting if not other.done()]
        self._waiting.append(future)
        return future

    def unpark_all(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class AioBackend:
    """See `backend.Backend`."""

    def check(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            text = "voicecore.aio.connect_tts and connect_stt run on asyncio; on trio use voicecore's own"
            raise StateError(text) from None

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def lot(self) -> Lot:
        return AioLot()

    def lock(self) -> AbstractAsyncContextManager[None]:
        return asyncio.Lock()

    def connect_limiter(self) -> ConnectLimiter:
        return _LIMITERS.setdefault(asyncio.get_running_loop(), ConnectLimiter())

    def background(self) -> AbstractAsyncContextManager[set[AioLink]]:
        return _Links()

    def link(self, connection: Connection, changed: Lot, ended: Callable[[Link], None]) -> Link:
        return AioLink(self, connection, changed, ended)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)

    async def cancel_point(self) -> None:
        """Nothing: an inbox that is not empty is soon read up, and then there is a wait."""

    async def within(self, seconds: float, work: Callable[[], Awaitable[T]], late: Callable[[], Exception]) -> T:
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds) as scope:
                return await work()
        except TimeoutError:
            if not scope.expired():
                raise
        raise late()


class _Links:
    """The links of a session. Not a generator: a loop that ends closes those it finds, at once and in any order, and a
    session that is left open then must still find its own."""

    def __init__(self) -> None:
        self._links: set[AioLink] = set()

    async def __aenter__(self) -> set[AioLink]:
        return self._links

    async def __aexit__(self, *_: object) -> None:
        await _end_all(self._links)


async def _end_all(links: set[AioLink]) -> None:
    """Tears what is still open; waits until the sockets are closed, even in a task that is cancelled again."""
    cancelled: asyncio.CancelledError | None = None
    for link in tuple(links):
        link.abort()
    for link in tuple(links):
        try:
            await link.gone()
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def open_transport(url: str, ssl_context: ssl.SSLContext | None, protocol: asyncio.Protocol) -> None:
    """Connects. Raises `ConnectionFailedError` or `TlsError`. Cancelling it leaves no socket behind."""
    target = Target.of(url)
    try:
        tcp = await _connect(target)
    except OSError as error:
        raise ConnectionFailedError(f"connecting to {target.shown}: {_reason(error)}") from None
    try:
        tls = Tls(ssl_context or ssl.create_default_context(), target.host) if target.secure else None
        if tls is not None:
            await _shake_hands(tcp, tls)
        SocketTransport(tcp, tls, protocol)
    except OSError as error:
        tcp.close()
        raise TlsError(f"TLS with {target.shown}: {reason_of(error)}") from None
    except BaseException:
        tcp.close()
        raise


async def _connect(target: Target) -> socket.socket:
    """To the first address that answers."""
    loop = asyncio.get_running_loop()
    refused: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM):
        tcp = socket.socket(family, kind, protocol)
        try:
            tcp.setblocking(False)
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(tcp, address)
        except OSError as error:
            tcp.close()
            refused = refused or error
        except BaseException:
            tcp.close()
            raise
        else:
            return tcp
    raise refused or OSError("the name has no address")


def _reason(error: OSError) -> str:
    """asyncio says which call failed; the system's own words say why."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else reason_of(error)


async def _shake_hands(tcp: socket.socket, tls: Tls) -> None:
    loop = asyncio.get_running_loop()
    while not tls.shaken():
        await loop.sock_sendall(tcp, tls.to_send())
        tls.received(await loop.sock_recv(tcp, RECEIVE_BYTES))
    await loop.sock_sendall(tcp, tls.to_send())
