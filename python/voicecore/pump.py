"""Reads all sockets of a loop at few wake-ups.

A loop that sleeps between two messages pays more for waking up than for the message. While many streams run, what comes
within a millisecond of the last wake-up is read at the next one, together: network cards moderate their interrupts so.
A loop with few sockets wakes up for each message at once.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable

MANY = 32  # sockets: below, nothing is held up
TICK = 0.001  # seconds: for so long at most a message waits for others


class Pump:
    """The sockets of one loop, and when to look at them. The loop itself is the caller's."""

    def __init__(self) -> None:
        self._sockets = selectors.DefaultSelector()
        self._served_at = float("-inf")

    def fileno(self) -> int:
        """Readable while a socket is: epoll and kqueue can be waited for themselves."""
        return self._sockets.fileno()

    @property
    def empty(self) -> bool:
        """True while there is no socket."""
        return not self._sockets.get_map()

    def add(self, fd: int, readable: Callable[[float], None]) -> None:
        """`readable(now)` is called while something can be read, and once more if the socket is removed meanwhile. It
        must not raise."""
        self._sockets.register(fd, selectors.EVENT_READ, readable)

    def remove(self, fd: int) -> None:
        """Before the socket is closed."""
        self._sockets.unregister(fd)

    def close(self) -> None:
        """No socket is left."""
        self._sockets.close()

    @property
    def crowded(self) -> bool:
        """True while messages wait for each other."""
        return len(self._sockets.get_map()) >= MANY

    @property
    def due(self) -> float:
        """When to serve what comes while it is crowded."""
        return self._served_at + TICK

    def serve(self, now: float) -> int:
        """Has all read that can be. Returns how many sockets that were."""
        self._served_at = now
        ready = self._sockets.select(0)
        for key, _ in ready:
            key.data(now)
        return len(ready)
