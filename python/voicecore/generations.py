"""Which parts of speech are over, for a vendor that names these in its messages and not the context. Pure.

A vendor speaks a turn in several generations, each with a name and an index from 0. Its messages belong to the context
at work, unless they are left over from an earlier one: a generation that was heard of before a context ended, or that
was complete before a turn ended, is over with it. After a cancel there may be generations of which nothing was heard
yet: from then on a generation counts only from its beginning. (One that begins after the next context has its text
cannot be told from that context's own; a vendor that confirms a cancel promises that there is none.)
"""

from __future__ import annotations

from collections import deque

MAX_OVER = 100  # generations that are remembered as over: what is late, is late by a few of them


class Generations:
    """Of one connection, which has one context at a time."""

    def __init__(self) -> None:
        self._heard: dict[str, bool] = {}  # of the context at work; True: complete
        self._over: deque[str] = deque(maxlen=MAX_OVER)
        self._cancelled = False

    def is_over(self, name: str, index: int | None) -> bool:
        """True if a message of this generation is left over from an earlier turn or context."""
        unheard = name not in self._heard
        return name in self._over or (unheard and self._cancelled and bool(index))

    def hear(self, name: str, *, finished: bool) -> None:
        """A message of it came for the context at work."""
        self._heard[name] = finished or self._heard.get(name, False)

    def end_turn(self) -> None:
        """What is complete is over; what goes on belongs to the next turn."""
        self._over.extend(name for name, finished in self._heard.items() if finished)
        self._heard = {name: False for name, finished in self._heard.items() if not finished}

    def end_context(self, *, cancelled: bool) -> None:
        """All that was heard of is over."""
        self._over.extend(self._heard)
        self._heard = {}
        self._cancelled = self._cancelled or cancelled
