"""One connection and the socket under it, as the sessions see it. It holds no protocol logic.

How bytes move is the runtime's own: `trio_link.py` and `aio_link.py`. Both own the outgoing bytes, so that a cancelled
caller never leaves half a frame on the wire; what it had queued is still sent.
"""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from voicecore.backend import Backend, Lot, Opener
from voicecore.connection import SESSION, Connection
from voicecore.events import Event
from voicecore.inbox import Received


class Link(ABC):
    """Sending, waiting and reading, for any number of tasks at once."""

    def __init__(self, backend: Backend, connection: Connection, changed: Lot, ended: Callable[[Link], None]) -> None:
        """`changed` is unparked whenever something happened, for those who wait for any link of a session."""
        self.connection = connection
        self._backend = backend
        self._now = backend.now
        self._changed = changed
        self._on_end = ended
        self._readers: dict[str, Lot] = {}
        self._senders = backend.lot()
        self._end = backend.lot()
        self._ended = False

    async def open(
        self, opener: Opener, url: str, ssl_context: ssl.SSLContext | None, background: Any, began: float
    ) -> None:
        """Opens the socket and sends the upgrade; from then on bytes move in the `background`, till the end.

        The connect deadline counts from `began`. Raises `ConnectionFailedError`; cancelling it leaves no socket behind.
        """
        try:
            await self._open(partial(opener, url, ssl_context), background, began)
        except BaseException:
            self.connection.abort()
            self._over()
            raise

    @abstractmethod
    async def _open(self, opener: Opener, background: Any, began: float) -> None:
        """As `open`; the opener has the URL already."""

    @abstractmethod
    def _moved(self) -> None:
        """The connection changed: there may be bytes to send, another deadline, or the end."""

    async def close(self) -> None:
        """Says goodbye and waits for the end, at most `deadlines.close`."""
        self.begin_close()
        while not self._ended:
            await self._end.park()

    def abort(self) -> None:
        """Ends at once, without a word to the peer."""
        self.connection.abort()
        self._wake()

    async def wait_ready(self) -> None:
        """Waits until the vendor accepts work. Raises why it does not."""
        await self._backend.cancel_point()
        while not self.connection.ready:
            if self.connection.error is not None:
                raise self.connection.error()
            await self._lot(SESSION).park()

    def send(self, *events: Event, byte_rate: int = 1) -> None:
        """Queues events; they are sent without further ado, together."""
        for event in events:
            self.connection.send(event, self._now(), byte_rate=byte_rate)
        self._wake()

    def cancel(self, context_id: str) -> None:
        """Stops a context at the vendor, where that is possible, and drops what still comes."""
        self.connection.cancel(context_id, self._now())
        self._wake()

    def leave(self, context_id: str) -> None:
        """Nothing more is wanted of a context."""
        self.connection.leave(context_id, self._now())
        self._wake()

    def begin_close(self) -> None:
        """Says goodbye; the end comes within `deadlines.close`."""
        if not self.connection.closed:
            self.connection.close(self._now())
            self._wake()

    async def wait_writable(self) -> None:
        """Waits until the socket has taken most of what is queued, or the connection is over."""
        await self._backend.checkpoint()
        while not self.connection.can_send and self.connection.error is None:
            await self._senders.park()

    async def next(self, context_id: str = SESSION) -> Received:
        """The next event of a context. Cancelling it loses nothing: the event stays in the inbox."""
        if self.connection.congested:  # whose deadlines passed while nothing was read learns that before anything is
            await self._backend.checkpoint()
        elif self.connection.has_news(context_id):
            await self._backend.cancel_point()
        else:
            await self.news(context_id)
        while (received := self.take(context_id)) is None:
            await self.news(context_id)
        return received

    def take(self, context_id: str) -> Received | None:
        """The next event of a context, if there is one. Raises its error once all is read."""
        received = self.connection.take(context_id)
        if received is not None:
            self._consumed()
        return received

    def nudge(self, context_id: str) -> None:
        """Wakes whoever waits for news of a context."""
        self._lot(context_id).unpark_all()

    def news(self, context_id: str) -> Awaitable[None]:
        """Waits until something may have happened to a context. To be awaited at once."""
        return self._lot(context_id).park()

    def forget(self, context_id: str) -> None:
        """Nobody reads this context any more."""
        self.connection.forget(context_id)
        self._consumed()
        if lot := self._readers.pop(context_id, None):
            lot.unpark_all()

    @abstractmethod
    def _consumed(self) -> None:
        """An inbox may have room again."""

    def _lot(self, context_id: str) -> Lot:
        if (lot := self._readers.get(context_id)) is None:
            lot = self._readers[context_id] = self._backend.lot()
        return lot

    def _wake(self) -> None:
        """Tells all who wait, and sees to what the change asks for."""
        for context_id in self.connection.touched():
            if lot := self._readers.get(context_id):
                lot.unpark_all()
        if self.connection.calm:
            return
        self._changed.unpark_all()
        if self.connection.closed:
            self._senders.unpark_all()
        self._moved()

    def _over(self) -> None:
        """The socket is gone, or there never was one."""
        if self._ended:
            return
        self._ended = True
        self._end.unpark_all()
        self._on_end(self)
