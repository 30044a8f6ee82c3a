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
        self._selector = selectors.DefaultSelector()
        self._readable: dict[int, Callable[[float], None]] = {}
        self._served_at = float("-inf")

    def fileno(self) -> int:
        """Readable while a socket is: epoll and kqueue can be waited for themselves."""
        return self._selector.fileno()

    @property
    def empty(self) -> bool:
        """True while there is no socket."""
        return not self._readable

    def add(self, fd: int, readable: Callable[[float], None]) -> None:
        """`readable(now)` is called when something can be read, or might be; it must not raise."""
        self._selector.register(fd, selectors.EVENT_READ)
        self._readable[fd] = readable

    def remove(self, fd: int) -> None:
        """Before the socket is closed."""
        self._selector.unregister(fd)
        del self._readable[fd]

    def close(self) -> None:
        """No socket is left."""
        self._selector.close()

    @property
    def crowded(self) -> bool:
        """True while messages wait for each other."""
        return len(self._readable) >= MANY

    @property
    def due(self) -> float:
        """When to serve what comes while it is crowded."""
        return self._served_at + TICK

    def serve(self, now: float) -> int:
        """Has all read that can be, after the selector became readable. Returns how many sockets that were."""
        self._served_at = now
        if len(self._readable) == 1:  # then it is this one
            [only] = self._readable.values()
            only(now)
            return 1
        ready = self._selector.select(0)
        for key, _ in ready:
            if readable := self._readable.get(key.fd):
                readable(now)
        return len(ready)
