"""What the sessions need of trio or asyncio: a clock, waiting, locks, deadlines, and links to a vendor.

Session logic is written once, against this page; `trio_backend.py` and `aio_backend.py` fill it in with the native
primitives of each. What is waited for is looked at again by whoever waits, so there is no queue and no lost wake-up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from voicecore.reconnect import ConnectLimiter

if TYPE_CHECKING:
    from voicecore.connection import Connection
    from voicecore.link import Link

T = TypeVar("T")


class Lot(Protocol):
    """A place to wait for news; trio's `ParkingLot` is one."""

    def park(self) -> Awaitable[None]:
        """Waits until the next `unpark_all`. To be awaited at once."""

    def unpark_all(self) -> object:
        """Wakes all who wait."""


class Backend(Protocol):
    """One runtime. It has no state: what it gives belongs to the running loop."""

    def check(self) -> None:
        """Raises `StateError`, naming the other runtime's module, unless this one is running."""

    def now(self) -> float:
        """Seconds on the runtime's own clock."""

    def lot(self) -> Lot:
        """An empty one."""

    def lock(self) -> AbstractAsyncContextManager[Any]:
        """A fair one: who came first is served first."""

    def connect_limiter(self) -> ConnectLimiter:
        """The process's own, or rather that of the running loop: its clock may be a test's."""

    def background(self) -> AbstractAsyncContextManager[Any]:
        """A block around links: however it is left, no socket and no task of theirs outlives it."""

    def link(self, connection: Connection, changed: Lot, ended: Callable[[Link], None]) -> Link:
        """A link that has no socket yet. `ended` is called when it is over."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""

    async def checkpoint(self) -> None:
        """Lets others run; who sends in a loop must not keep the loop for himself."""

    async def cancel_point(self) -> None:
        """Before something that is often there already: a checkpoint where every await has to be one (trio)."""

    async def within(self, seconds: float, work: Callable[[], Awaitable[T]], late: Callable[[], Exception]) -> T:
        """What `work` gives. Raises what `late` makes if that takes longer."""


# Opens the socket under a link: a stream on trio, a transport on asyncio.
Opener = Callable[..., Awaitable[Any]]
