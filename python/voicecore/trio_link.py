"""The trio driver: moves bytes between a trio stream and a sans-IO `Connection`. It holds no protocol logic."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import trio

from voicecore.backend import Backend, Lot, Opener
from voicecore.connection import Connection
from voicecore.link import Link
from voicecore.nursery import flat_nursery

RECEIVE_BYTES = 16 * 2**10  # a larger buffer costs more than what a message takes to read
RECEIVE_BYTES_BEHIND = 256 * 2**10  # after a read that filled it


class TrioLink(Link):
    """A reader, a writer and a timer, in the session's nursery."""

    def __init__(self, backend: Backend, connection: Connection, changed: Lot, ended: Callable[[Link], None]) -> None:
        super().__init__(backend, connection, changed, ended)
        self._stream: trio.abc.Stream
        self._writer = backend.lot()
        self._room = backend.lot()
        self._writing = False
        self._receive_bytes = RECEIVE_BYTES
        self._rest = b""  # of what is being written
        self._timer = trio.CancelScope()
        self._tasks = trio.CancelScope()
        self._socket: int | None = None  # of a plain TCP stream: bytes go straight in and out

    async def _open(self, opener: Opener, background: Any, began: float) -> None:
        self._stream = await opener()
        if isinstance(self._stream, trio.SocketStream):
            self._socket = self._stream.socket.fileno()
        self.connection.start(began)
        background.start_soon(self._run)

    async def _run(self) -> None:
        """Moves bytes until the connection is closed. Cancelling it aborts the socket."""
        try:
            async with flat_nursery() as nursery:
                self._tasks = nursery.cancel_scope
                nursery.start_soon(self._write)
                nursery.start_soon(self._watch_time)
                await self._read()
            await self._write_rest()
        finally:
            try:
                self.abort()
                await trio.aclose_forcefully(self._stream)
            finally:
                self._socket = None
                self._over()

    def _consumed(self) -> None:
        self._room.unpark_all()

    async def _read(self) -> None:
        connection = self.connection
        while not connection.closed:
            while connection.congested:
                await self._room.park()
            try:
                data = await self._receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                data = b""
            connection.receive_data(data, trio.current_time())
            self._wake()

    async def _receive(self) -> bytes:
        """What has come. A plain socket is waited for first: mostly there is nothing yet to read."""
        if self._socket is None:
            return bytes(await self._stream.receive_some(RECEIVE_BYTES_BEHIND))
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                data = os.read(self._socket, self._receive_bytes)
            except BlockingIOError:
                continue
            behind = len(data) >= RECEIVE_BYTES
            self._receive_bytes = RECEIVE_BYTES_BEHIND if behind else RECEIVE_BYTES
            return data

    async def _write(self) -> None:
        connection = self.connection
        while True:
            data = self._rest or connection.data_to_send(trio.current_time())
            if not data:
                await self._writer.park()
                continue
            self._rest = b""
            self._rearm()
            self._writing = True
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the reader sees the end, with whatever the peer still had to say
            self._writing = False
            connection.data_sent(trio.current_time())
            self._senders.unpark_all()

    def _write_now(self) -> None:
        """Without a turn of the loop, into a plain socket that has room; the rest is the writer's."""
        if self._socket is not None and not self._writing:
            data = self.connection.data_to_send(trio.current_time())
            try:
                data = data[os.write(self._socket, data) :]
            except BlockingIOError:
                pass
            except OSError:
                self._writing = True  # half a frame may be out: nothing more can be said; the reader sees the end
                return
            if not data:
                self.connection.data_sent(trio.current_time())
                return
            self._writing, self._rest = True, data
        self._writer.unpark_all()

    async def _write_rest(self) -> None:
        """Sends the close frame that answers the peer's or tells it of its violation; no one waits for it long."""
        data = self.connection.data_to_send(trio.current_time())
        if self._writing or self.connection.must_abort or not data:
            return  # after half a frame nothing more can be said
        with trio.move_on_after(self.connection.deadlines.close):
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def _watch_time(self) -> None:
        connection = self.connection
        while True:
            with trio.CancelScope(deadline=connection.next_deadline()) as self._timer:
                await trio.sleep_forever()
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
            self._rearm()
