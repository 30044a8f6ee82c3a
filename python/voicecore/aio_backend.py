"""What asyncio gives the sessions: its own primitives under the names of `backend.py`, and TCP and TLS transports."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar
from weakref import WeakKeyDictionary

from voicecore.aio_link import AioLink
from voicecore.backend import Lot
from voicecore.connection import Connection
from voicecore.errors import ConnectionFailedError, StateError, TlsError
from voicecore.link import Link
from voicecore.reconnect import ConnectLimiter
from voicecore.transport import Target, reason_of

T = TypeVar("T")
OpenTransport = Callable[[str, ssl.SSLContext | None, asyncio.Protocol], Awaitable[object]]

# A socket that was open: asyncio connects and shakes hands in one call, and trio's `open_stream` tells them apart.
_TLS_FAULTS = (ssl.SSLError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
_LIMITERS: WeakKeyDictionary[asyncio.AbstractEventLoop, ConnectLimiter] = WeakKeyDictionary()


class AioLot:
    """A future for each who waits."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []

    async def park(self) -> None:
        future = self._loop.create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future in self._waiting:
                self._waiting.remove(future)
            raise

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
    context = (ssl_context or ssl.create_default_context()) if target.secure else None
    name = target.host if target.secure else None
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: protocol, target.host, target.port, ssl=context, server_hostname=name)
    except OSError as error:
        if target.secure and isinstance(error, _TLS_FAULTS):
            raise TlsError(f"TLS with {target.shown}: {_reason(error)}") from None
        raise ConnectionFailedError(f"connecting to {target.shown}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    """asyncio says which calls failed; the system's own words for the first say why."""
    number = re.search(r"\[Errno (\d+)\]", str(error))
    return os.strerror(int(number[1])) if number else reason_of(error)
