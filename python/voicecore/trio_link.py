"""The trio driver: moves bytes between a trio stream and a sans-IO `Connection`. It holds no protocol logic."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import trio

from voicecore.backend import Backend, Lot, Opener
from voicecore.connection import Connection
from voicecore.link import Link
from voicecore.nursery import flat_nursery
from voicecore.trio_pump import running_pump
from voicecore.wire import RECEIVE_BYTES, Tls, Wire


class SecureSocket(NamedTuple):
    """A socket, and the TLS on it, whose handshake is done."""

    stream: trio.SocketStream
    tls: Tls


class TrioLink(Link):
    """A reader, a writer and a timer, in the session's nursery. A plain socket is read by the pump of all links."""

    def __init__(self, backend: Backend, connection: Connection, changed: Lot, ended: Callable[[Link], None]) -> None:
        super().__init__(backend, connection, changed, ended)
        self._stream: trio.abc.Stream
        self._wire: Wire | None = None  # of a socket: bytes go straight in and out
        self._writer = backend.lot()
        self._room = backend.lot()
        self._pause = backend.lot()  # who has the socket read
        self._urgent = backend.lot()  # who rests, since there is time
        self._leisure = 0.0  # seconds
        self._holding = False  # nothing is read, for a consumer that is behind
        self._writing = False
        self._timer = trio.CancelScope()
        self._tasks = trio.CancelScope()
        self._fault: BaseException | None = None

    async def _open(self, opener: Opener, background: Any, began: float) -> None:
        opened, tls = await opener(), None
        if isinstance(opened, SecureSocket):
            opened, tls = opened
        self._stream = opened
        if isinstance(opened, trio.SocketStream):
            self._wire = Wire(opened.socket.fileno(), tls)
        self.connection.start(began)
        background.start_soon(self._run)

    async def _run(self) -> None:
        """Moves bytes until the connection is closed. Cancelling it aborts the socket."""
        try:
            async with flat_nursery() as nursery:
                self._tasks = nursery.cancel_scope
                nursery.start_soon(self._write)
                nursery.start_soon(self._watch_time)
                await (self._read() if self._wire is None else self._have_read(self._wire))
            if self._fault is not None:
                raise self._fault
            await self._write_rest()
        finally:
            try:
                self.abort()
                self._wire = None
                await trio.aclose_forcefully(self._stream)
            finally:
                self._over()

    def _consumed(self) -> None:
        self._room.unpark_all()

    async def _read(self) -> None:
        connection = self.connection
        while not connection.closed:
            while connection.congested:
                await self._room.park()
            try:
                data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):  # a caller's stream may raise any
                data = b""
            connection.receive_data(data, trio.current_time())
            self._wake()

    async def _have_read(self, wire: Wire) -> None:
        pump = running_pump()
        try:
            while True:
                pump.add(wire.fd, self._readable)
                try:
                    await self._pause.park()
                finally:
                    pump.remove(wire.fd)
                while self.connection.congested:
                    await self._room.park()
                self._holding = False
                if self._leisure:
                    with trio.move_on_after(self._leisure):
                        await self._urgent.park()
                self._leisure = 0.0
        finally:
            await pump.leave()

    def _readable(self, now: float) -> None:
        """In the pump's task, which others need too: a fault of ours is this link's end, and nobody else's."""
        try:
            self._read_now(now)
        except BaseException as fault:  # noqa: BLE001 - it is raised in the link's own task
            self._fault = fault
            self._tasks.cancel()

    def _read_now(self, now: float) -> None:
        """Takes what has come, without a wait."""
        if (wire := self._wire) is None or self._holding:
            return
        try:
            data = wire.read()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.connection.receive_data(data, now)
        if wire.over and data:
            self.connection.receive_data(b"", now)
        self._wake()
        if wire.over or not data:
            self._tasks.cancel()  # there is nothing more to read
        if self.connection.congested:
            self._holding = True
            self._pause.unpark_all()
        elif len(data) < RECEIVE_BYTES and (leisure := self.connection.leisure(now)):
            self._leisure = leisure
            self._pause.unpark_all()

    async def _write(self) -> None:
        connection = self.connection
        while True:
            data = b"" if self._writing else connection.data_to_send(trio.current_time())
            if not (data or self._writing):
                await self._writer.park()
                continue
            self._writing = True
            self._rearm()
            try:
                await self._send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                return  # the reader sees the end, with whatever the peer still had to say
            self._writing = False
            connection.data_sent(trio.current_time())
            self._senders.unpark_all()

    async def _send_all(self, data: bytes) -> None:
        """With what the socket did not take before."""
        if (wire := self._wire) is None:
            await self._stream.send_all(data)
            return
        while not wire.write(data):
            data = b""
            await trio.lowlevel.wait_writable(wire.fd)

    def _write_now(self) -> None:
        """Without a turn of the loop, into a socket that has room; the rest is the writer's."""
        if self._wire is not None and not self._writing:
            data = self.connection.data_to_send(trio.current_time())
            try:
                self._writing = not self._wire.write(data)
            except OSError:
                self._writing = True  # half a frame may be out: nothing more can be said; the reader sees the end
                return
            if not self._writing:
                self.connection.data_sent(trio.current_time())
                return
        self._writer.unpark_all()

    async def _write_rest(self) -> None:
        """Sends the close frame that answers the peer's or tells it of its violation; no one waits for it long."""
        data = self.connection.data_to_send(trio.current_time())
        if self._writing or self.connection.must_abort or not data:
            return  # after half a frame nothing more can be said
        with trio.move_on_after(self.connection.deadlines.close), suppress(trio.BrokenResourceError, OSError):
            await self._send_all(data)

    async def _watch_time(self) -> None:
        connection = self.connection
        while True:
            with trio.CancelScope(deadline=connection.next_deadline()) as self._timer:
                await trio.sleep_forever()
            self._read_now(trio.current_time())  # no deadline passes over what has come
            if connection.next_deadline() <= trio.current_time():
                connection.handle_timeout(trio.current_time())
                self._wake()

    def _rearm(self) -> None:
        """A deadline that came nearer moves the timer; one that went away lets it fire and look again."""
        deadline = self.connection.next_deadline()
        if deadline < self._timer.deadline:
            self._timer.deadline = deadline

    def _moved(self) -> None:
        if self.connection.has_data and not self.connection.closed:
            self._write_now()
        if self.connection.closed:
            self._tasks.cancel()
        else:
            self._urgent.unpark_all()
            self._rearm()
