"""What trio gives the sessions: its own primitives under the names of `backend.py`, and TCP and TLS streams."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import trio

from voicecore.backend import Lot
from voicecore.connection import Connection
from voicecore.errors import ConnectionFailedError, StateError, TlsError
from voicecore.link import Link
from voicecore.nursery import flat_nursery
from voicecore.reconnect import ConnectLimiter
from voicecore.transport import Target, reason_of
from voicecore.trio_link import SecureSocket, TrioLink
from voicecore.wire import Tls

T = TypeVar("T")
OpenStream = Callable[[str, ssl.SSLContext | None], Awaitable[trio.abc.Stream]]

FAIR = 8  # events that a task may take in a row before others run

_LIMITER: trio.lowlevel.RunVar[ConnectLimiter] = trio.lowlevel.RunVar("voicecore.connect_limiter")


class TaskLot:
    """What the sessions need of a `ParkingLot`, and nothing else: every chunk of audio passes here."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: list[trio.lowlevel.Task] = []

    def park(self) -> Awaitable[None]:
        task = trio.lowlevel.current_task()
        self._tasks.append(task)

        def leave(_: object) -> trio.lowlevel.Abort:
            self._tasks.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        return trio.lowlevel.wait_task_rescheduled(leave)

    def unpark_all(self) -> None:
        if self._tasks:
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                trio.lowlevel.reschedule(task)


class TrioBackend:
    """See `backend.Backend`."""

    now = staticmethod(trio.current_time)
    sleep = staticmethod(trio.sleep)
    checkpoint = staticmethod(trio.lowlevel.checkpoint)
    background = staticmethod(flat_nursery)

    def __init__(self) -> None:
        self._at_once = 0  # awaits in a row that had nothing to wait for

    async def cancel_point(self) -> None:
        """Others get their turn now and then: to go round the loop costs as much as a chunk's decoding."""
        self._at_once = (self._at_once + 1) % FAIR
        if self._at_once:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()

    def check(self) -> None:
        if not trio.lowlevel.in_trio_task():
            raise StateError("voicecore.connect_tts and connect_stt run on trio; on asyncio use voicecore.aio's")

    def lot(self) -> Lot:
        return TaskLot()

    def lock(self) -> AbstractAsyncContextManager[None]:
        return trio.Lock()

    def connect_limiter(self) -> ConnectLimiter:
        try:
            return _LIMITER.get()
        except LookupError:
            limiter = ConnectLimiter()
            _LIMITER.set(limiter)
            return limiter

    def link(self, connection: Connection, changed: Lot, ended: Callable[[Link], None]) -> Link:
        return TrioLink(self, connection, changed, ended)

    async def within(self, seconds: float, work: Callable[[], Awaitable[T]], late: Callable[[], Exception]) -> T:
        with trio.move_on_after(seconds):
            return await work()
        raise late()


async def open_stream(url: str, ssl_context: ssl.SSLContext | None) -> trio.SocketStream | SecureSocket:
    """Connects. Raises `ConnectionFailedError` or `TlsError`. Cancelling it leaves no socket behind."""
    target = Target.of(url)
    try:
        tcp = await trio.open_tcp_stream(target.host, target.port)
    except OSError as error:
        raise ConnectionFailedError(f"connecting to {target.shown}: {reason_of(error)}") from None
    tcp.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
    if not target.secure:
        return tcp
    tls = Tls(ssl_context or ssl.create_default_context(), target.host)
    try:
        await _shake_hands(tcp, tls)
    except BaseException as error:
        await trio.aclose_forcefully(tcp)
        if isinstance(error, trio.BrokenResourceError | ssl.SSLError):
            raise TlsError(f"TLS with {target.shown}: {reason_of(error)}") from None
        raise
    return SecureSocket(tcp, tls)


async def _shake_hands(tcp: trio.SocketStream, tls: Tls) -> None:
    while not tls.shaken():
        await tcp.send_all(tls.to_send())
        tls.received(bytes(await tcp.receive_some()))
    await tcp.send_all(tls.to_send())
