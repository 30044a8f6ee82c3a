"""The asyncio driver: moves bytes between an asyncio transport and a sans-IO `Connection`. It holds no protocol logic.

There is no task: the transport's callbacks feed the connection, one timer keeps its next deadline, and whoever waits
has a future of his own. Works on any loop that has `add_reader` (uvloop).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from voicecore.backend import Backend, Lot, Opener
from voicecore.connection import Connection
from voicecore.link import Link
from voicecore.wire import RECEIVE_BYTES

NEVER = float("inf")


class AioLink(Link, asyncio.Protocol):
    """The `asyncio.Protocol` of one socket."""

    def __init__(self, backend: Backend, connection: Connection, changed: Lot, ended: Callable[[Link], None]) -> None:
        super().__init__(backend, connection, changed, ended)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._background: set[AioLink] = set()
        self._began = 0.0
        self._writing = False  # the transport has bytes that the socket did not take yet
        self._write_due = False
        self._holding = False  # nothing is read, for a consumer that is behind
        self._resting: asyncio.TimerHandle | None = None  # nothing is read for a moment, since there is time
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER

    async def _open(self, opener: Opener, background: Any, began: float) -> None:
        self._background, self._began = background, began
        await opener(self)

    async def gone(self) -> None:
        """Waits for the end of the socket after an abort: a turn or two of the loop, however often cancelled."""
        cancelled: asyncio.CancelledError | None = None
        while self in self._background:
            try:
                await self._end.park()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    # --- what the transport tells ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=1, low=0)  # TLS on asyncio pauses at 0 bytes for a limit of 0
        self._background.add(self)
        self.connection.start(self._began)
        self._moved()

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        connection.receive_data(data, self._now())
        self._write_due = True  # at once, here
        self._wake()
        self._write()
        if connection.closed:
            return
        if connection.congested:
            self._holding = True
            self._socket.pause_reading()
        elif len(data) < RECEIVE_BYTES and (leisure := connection.leisure(self._now())):
            self._socket.pause_reading()
            self._resting = self._loop.call_later(leisure, self._read_on)

    def eof_received(self) -> None:
        self.connection.receive_data(b"", self._now())
        self._wake()

    def pause_writing(self) -> None:
        self._writing = True

    def resume_writing(self) -> None:
        self._writing = False
        self.connection.data_sent(self._now())
        self._moved()

    def connection_lost(self, error: Exception | None) -> None:
        self.connection.receive_data(b"", self._now())
        self._wake()
        self._set_timer(NEVER)
        self._read_on()
        self._background.discard(self)
        self._end.unpark_all()
        self._over()

    # --- what the connection asks for --------------------------------------------------------------------

    @property
    def _socket(self) -> asyncio.Transport:
        assert self._transport is not None, "a link is used before it is open"
        return self._transport

    def _moved(self) -> None:
        if self.connection.closed:
            self._finish()
            return
        self._read_on()
        self._rearm()
        if not self._write_due:  # soon, and not now: what the peer said last is read before a write can fail
            self._write_due = True
            self._loop.call_soon(self._write)

    def _consumed(self) -> None:
        if self._holding and not self.connection.congested:
            self._holding = False
            if not self._socket.is_closing():
                self._socket.resume_reading()

    def _read_on(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
            if not self._socket.is_closing():
                self._socket.resume_reading()

    def _write(self) -> None:
        self._write_due = False
        connection = self.connection
        while self._writable() and (data := connection.data_to_send(self._now())):
            self._socket.write(data)
            if self._writing:
                self._rearm()
            else:
                connection.data_sent(self._now())
        self._senders.unpark_all()

    def _writable(self) -> bool:
        return not (self._writing or self.connection.closed or self._socket.is_closing())

    def _finish(self) -> None:
        """Sends the close frame that answers the peer's or tells it of its violation; no one waits for it long."""
        connection, transport = self.connection, self._transport
        if transport is None:
            return
        if not connection.must_abort and not transport.is_closing():
            if data := connection.data_to_send(self._now()):
                transport.write(data)
            if self._writing:
                self._set_timer(min(self._timer_at, self._now() + connection.deadlines.close))
                return
        self._set_timer(NEVER)
        transport.abort()

    def _rearm(self) -> None:
        """A deadline that came nearer moves the timer; one that went away lets it fire and look again."""
        deadline = self.connection.next_deadline()
        if deadline < self._timer_at:
            self._set_timer(deadline)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = None if at == NEVER else self._loop.call_at(at, self._expired)

    def _expired(self) -> None:
        self._timer, self._timer_at = None, NEVER
        if self.connection.closed:
            self._socket.abort()
            return
        self.connection.handle_timeout(self._now())
        self._wake()
