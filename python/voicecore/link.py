"""The trio driver: moves bytes between a socket and a sans-IO `Connection`. It holds no protocol logic.

Bytes belong to the link's own writer, so that a cancelled caller never leaves half a frame on the wire; what it had
queued is still sent.
"""

from __future__ import annotations

import trio

from voicecore.connection import SESSION, Connection
from voicecore.events import Event
from voicecore.inbox import Received
from voicecore.nursery import flat_nursery

RECEIVE_BYTES = 64 * 2**10


class Link:
    """One connection and the socket under it."""

    def __init__(self, connection: Connection, stream: trio.abc.Stream, changed: trio.lowlevel.ParkingLot) -> None:
        """`changed` is unparked whenever something happened, for those who wait for any link of a session."""
        self.connection = connection
        self._stream = stream
        self._changed = changed
        self._readers: dict[str, trio.lowlevel.ParkingLot] = {}
        self._senders = trio.lowlevel.ParkingLot()
        self._writer = trio.lowlevel.ParkingLot()
        self._consumed = trio.lowlevel.ParkingLot()
        self._writing = False
        self._timer = trio.CancelScope()
        self._tasks = trio.CancelScope()
        self._done = trio.Event()

    async def run(self) -> None:
        """Moves bytes until the connection is closed. Cancelling it aborts the socket."""
        try:
            async with flat_nursery() as nursery:
                self._tasks = nursery.cancel_scope
                nursery.start_soon(self._write)
                nursery.start_soon(self._watch_time)
                await self._read()
            await self._write_rest()
        finally:
            self.abort()
            self._done.set()
            await trio.aclose_forcefully(self._stream)

    async def close(self) -> None:
        """Says goodbye and waits for the end, at most `deadlines.close`. Cancelling it aborts the socket."""
        if not self.connection.closed:
            self.begin_close()
        await self._done.wait()

    def abort(self) -> None:
        """Ends at once, without a word to the peer."""
        self.connection.abort()
        self._wake()

    async def wait_ready(self) -> None:
        """Waits until the vendor accepts work. Raises why it does not."""
        await trio.lowlevel.checkpoint()
        while not self.connection.ready:
            if self.connection.error is not None:
                raise self.connection.error()
            await self._lot(SESSION).park()

    def send(self, event: Event, *, byte_rate: int = 1) -> None:
        """Queues an event; the writer sends it."""
        self.connection.send(event, trio.current_time(), byte_rate=byte_rate)
        self._wake()

    def cancel(self, context_id: str) -> None:
        """Stops a context at the vendor, where that is possible, and drops what still comes."""
        self.connection.cancel(context_id, trio.current_time())
        self._wake()

    def leave(self, context_id: str) -> None:
        """Nothing more is wanted of a context."""
        self.connection.leave(context_id, trio.current_time())
        self._wake()

    def begin_close(self) -> None:
        """Says goodbye; `run` ends within `deadlines.close`."""
        self.connection.close(trio.current_time())
        self._wake()

    async def wait_writable(self) -> None:
        """Waits until the socket has taken most of what is queued, or the connection is over."""
        await trio.lowlevel.checkpoint()
        while not self.connection.can_send and self.connection.error is None:
            await self._senders.park()

    async def next(self, context_id: str = SESSION) -> Received:
        """The next event of a context. Cancelling it loses nothing: the event stays in the inbox."""
        await trio.lowlevel.checkpoint()
        while (received := self.take(context_id)) is None:
            await self.news(context_id)
        return received

    def take(self, context_id: str) -> Received | None:
        """The next event of a context, if there is one. Raises its error once all is read."""
        received = self.connection.take(context_id)
        self._consumed.unpark_all()
        return received

    def nudge(self, context_id: str) -> None:
        """Wakes whoever waits for news of a context."""
        self._lot(context_id).unpark_all()

    async def news(self, context_id: str) -> None:
        """Waits until something may have happened to a context."""
        await self._lot(context_id).park()

    def forget(self, context_id: str) -> None:
        """Nobody reads this context any more."""
        self.connection.forget(context_id)
        self._consumed.unpark_all()
        self._readers.pop(context_id, trio.lowlevel.ParkingLot()).unpark_all()

    def _lot(self, context_id: str) -> trio.lowlevel.ParkingLot:
        return self._readers.setdefault(context_id, trio.lowlevel.ParkingLot())

    async def _read(self) -> None:
        connection = self.connection
        while not connection.closed:
            while connection.congested:
                await self._consumed.park()
            try:
                data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            connection.receive_data(data, trio.current_time())
            self._wake()

    async def _write(self) -> None:
        connection = self.connection
        while True:
            data = connection.data_to_send(trio.current_time())
            if not data:
                await self._writer.park()
                continue
            self._rearm()
            self._writing = True
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the reader sees the end, with whatever the peer still had to say
            self._writing = False
            connection.data_sent(trio.current_time())
            self._senders.unpark_all()

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

    def _wake(self) -> None:
        connection = self.connection
        for context_id in connection.touched():
            if lot := self._readers.get(context_id):
                lot.unpark_all()
        self._writer.unpark_all()
        self._changed.unpark_all()
        if connection.closed:
            self._senders.unpark_all()
            self._tasks.cancel()
        else:
            self._rearm()
