"""How two pieces of code are compared on a machine whose speed is not steady.

Contenders take turns in one process on one pinned core: in every round each runs one batch of about 2 ms, in
random order, over many distinct buffers (on one repeated buffer a branchy peer looks two to three times better
than in life). What counts is the median of the per-round ratios: both sides of a ratio saw the same machine.

Knows no kernel and no peer.
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BATCH_SECONDS = 0.002
ROUNDS = 41

Batch = Callable[[Sequence[Any]], float]


@dataclass(frozen=True)
class Contender:
    """`statement` is run once for every `x` of `data`, with `names` as its globals."""

    name: str
    statement: str
    names: Mapping[str, Any]
    data: Sequence[Any]

    def compiled(self) -> Batch:
        """A loop without a call of its own, as in `timeit`: returns the seconds for all of `data`."""
        source = (
            "def batch(data):\n"
            "    start = clock()\n"
            f"    for x in data:\n        {self.statement}\n"
            "    return clock() - start\n"
        )
        names: dict[str, Any] = {**self.names, "clock": time.perf_counter}
        exec(source, names)
        batch: Batch = names["batch"]
        return batch


@dataclass(frozen=True)
class Result:
    """Seconds per statement of each contender, one figure per round."""

    rounds: dict[str, list[float]]

    def seconds(self, name: str) -> float:
        return statistics.median(self.rounds[name])

    def ratio(self, ours: str, peer: str) -> float:
        """How many times faster `ours` was."""
        pairs = zip(self.rounds[peer], self.rounds[ours], strict=True)
        return statistics.median(theirs / our for theirs, our in pairs)


def pin_to_one_core() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def measure(contenders: Sequence[Contender], rounds: int = ROUNDS, seed: int = 0) -> Result:
    batches = [_Rotating(contender) for contender in contenders]
    order = random.Random(seed)
    result = Result({contender.name: [] for contender in contenders})
    for _ in range(rounds):
        for batch in order.sample(batches, len(batches)):
            result.rounds[batch.name].append(batch.run())
    return result


class _Rotating:
    """Batches of one contender; each goes on in the data where the last one stopped."""

    def __init__(self, contender: Contender) -> None:
        self.name = contender.name
        self._batch = contender.compiled()
        self._data = itertools.cycle(contender.data)
        self._size = 1
        seconds = 0.0
        while seconds < BATCH_SECONDS / 2:
            seconds = self._batch(self._next(self._size)) or 1e-9
            self._size = max(1, min(10 * self._size, int(self._size * BATCH_SECONDS / seconds)))

    def _next(self, size: int) -> list[Any]:
        return list(itertools.islice(self._data, size))

    def run(self) -> float:
        return self._batch(self._next(self._size)) / self._size
