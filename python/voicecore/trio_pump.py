"""The pump of a trio run: one system task, for as long as there are sockets."""

from __future__ import annotations

from collections.abc import Callable

import trio

from voicecore.pump import Pump

_RUNNING: trio.lowlevel.RunVar[TrioPump | None] = trio.lowlevel.RunVar("voicecore.pump", None)


class TrioPump:
    """Waits for all sockets in one task, and has them read there."""

    def __init__(self) -> None:
        self._pump = Pump()
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        trio.lowlevel.spawn_system_task(self._run)

    def add(self, fd: int, readable: Callable[[float], None]) -> None:
        """See `Pump.add`."""
        self._pump.add(fd, readable)

    def remove(self, fd: int) -> None:
        """See `Pump.remove`."""
        self._pump.remove(fd)

    async def leave(self) -> None:
        """Ends the task if no socket is left."""
        if self._pump.empty and not self._ended.is_set():
            if _RUNNING.get() is self:
                _RUNNING.set(None)
            self._scope.cancel()
            with trio.CancelScope(shield=True):
                await self._ended.wait()

    async def _run(self) -> None:
        pump, served = self._pump, 0
        with self._scope:
            while True:
                if not (pump.crowded and served > 1):
                    await trio.lowlevel.wait_readable(pump.fileno())
                if pump.crowded:
                    await trio.sleep_until(pump.due)
                served = pump.serve(trio.current_time())
        pump.close()
        self._ended.set()


def running_pump() -> TrioPump:
    """The pump of this run."""
    pump = _RUNNING.get()
    if pump is None:
        pump = TrioPump()
        _RUNNING.set(pump)
    return pump
