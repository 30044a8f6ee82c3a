"""What a client process notes while it runs: the time of each chunk, and its own CPU time between two moments."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches.wire.load import Load

clock = time.monotonic


class Tally:
    """`arrived(stream)` gives the function to call with each chunk of samples, once it is in the user's hands."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.at: dict[str, list[float]] = {}
        self.samples = 0
        self._started = 0
        self._warm = 0
        self._finished = 0
        self._cpu: list[float] = []
        self._wall: list[float] = []
        self._memory: list[float] = [memory_kb()]

    def stream(self, context_id: str) -> Callable[[Any], None]:
        """Called with each chunk, for which the clock is read; all else happens at three chunks of a stream."""
        at: list[float] = []
        self.at[context_id] = at
        load = self.load
        first, warm, last = 1, load.warm, load.chunks

        def arrived(samples: Any) -> None:
            at.append(clock())
            count = len(at)
            if count == first:
                self._count_first(samples)
            if count == warm:
                self._count_warm()
            if count == last:
                self._count_last()

        return arrived

    def _count_first(self, samples: Any) -> None:
        self.samples = len(samples)
        self._started += 1
        if self._started == self.load.streams:
            gc.collect()
            self._memory.append(memory_kb())

    def _count_warm(self) -> None:
        self._warm += 1
        if self._warm == self.load.streams:
            self._note()

    def _count_last(self) -> None:
        self._finished += 1
        if self._finished == 1:
            self._note()

    def _note(self) -> None:
        self._cpu.append(cpu())
        self._wall.append(clock())

    def result(self) -> dict[str, Any]:
        """Microseconds of CPU and of wall time per chunk between the last warm-up and the first end."""
        if len(self._cpu) < 2:
            raise RuntimeError("the load was too short: a stream ended before all were warm")
        begin, end = self._wall[0], self._wall[1]
        counted = max(1, sum(begin < at <= end for times in self.at.values() for at in times))
        return {
            "cpu_us": (self._cpu[1] - self._cpu[0]) / counted * 1e6,
            "wall_us": (end - begin) / counted * 1e6,
            "load": (self._cpu[1] - self._cpu[0]) / (end - begin),
            "kb": (self._memory[-1] - self._memory[0]) / self.load.streams,
            "samples": self.samples,
            "chunks": sum(map(len, self.at.values())),
        }


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory_kb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024
