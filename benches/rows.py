"""What the table is made of: a row for each way to call ours and each peer, at the SIMD level in force.

`python -m benches.rows ROUNDS [TEXT]` prints the rows as JSON: the level is fixed per process, so the table's other
levels come from processes of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain

from benches.cases import Case, cases
from benches.formats import formats
from benches.method import measure, pin_to_one_core

#: Below what this machine has; see `VOICECORE_SIMD` in ARCHITECTURE.md.
LEVELS = ("avx2", "scalar")


@dataclass(frozen=True)
class Row:
    """`ratio` is the peer's time over ours; `levels` has the same at each of `LEVELS`."""

    kernel: str
    size: str
    ours_seconds: float | None
    peer: str
    peer_seconds: float | None
    ratio: float
    goal: float | None
    levels: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.ratio >= self.goal

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kernel, self.size, self.peer


def rows(only: str, rounds: int) -> Iterator[Row]:
    """Of the kernels whose name contains `only`."""
    for case in chain(cases(), formats()):
        if only in case.name:
            yield from rows_of(case, rounds)


def rows_of(case: Case, rounds: int) -> Iterator[Row]:
    """The goal "best" belongs to the peer that did best."""
    result = measure(case.contenders, rounds)
    for ours in case.ours:
        ratios = {peer: result.ratio(ours, peer) for peer in case.peers}
        best = min(ratios, key=ratios.__getitem__)
        goals = {best if peer == "best" else peer: goal for peer, goal in case.goals.items()}
        kernel = case.kernel + ours.removeprefix("ours")
        for peer, ratio in ratios.items():
            seconds = result.seconds(ours), result.seconds(peer)
            yield Row(kernel, case.size, seconds[0], peer, seconds[1], ratio, goals.get(peer))


def ratios_at(level: str, only: str, rounds: int) -> dict[tuple[str, str, str], float]:
    """The ratios by `Row.key`, measured in a process that is held to `level`."""
    command = [sys.executable, "-m", "benches.rows", str(rounds), only]
    done = subprocess.run(command, env=os.environ | {"VOICECORE_SIMD": level}, stdout=subprocess.PIPE, check=True)
    measured = (Row(**entry) for entry in json.loads(done.stdout))
    return {row.key: row.ratio for row in measured}


if __name__ == "__main__":
    pin_to_one_core()
    rounds, only = [*sys.argv[1:], ""][:2]
    print(json.dumps([asdict(row) for row in rows(only, int(rounds))]))
