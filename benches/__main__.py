"""`python -m benches [--json PATH] [--only TEXT]`: one table of ratios against the goals.

A ratio is the peer's time over ours: the median of the per-round ratios (see `benches.method`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from benches.cases import Case, cases
from benches.formats import formats
from benches.method import Result, measure, pin_to_one_core
from benches.two_cores import speedup

COLUMNS = ("kernel", "size", "ours", "peer", "peer's", "ratio", "goal", "")
RIGHT = ("ours", "peer's", "ratio", "goal")
TWO_CORES = "bank on two cores"
TWO_CORES_GOAL = 1.8


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--only", default="", help="only the kernels whose name contains this")
    options = parser.parse_args()
    all_cores = os.sched_getaffinity(0)
    pin_to_one_core()
    rows: list[dict[str, Any]] = []
    for case in (*cases(), *formats()):
        if options.only in case.name:
            rows += rows_of(case, measure(case.contenders))
    if options.only in TWO_CORES and len(all_cores) > 1:
        os.sched_setaffinity(0, all_cores)
        rows.append(row(TWO_CORES, "1 -> 2 threads", None, "one core", None, speedup(), TWO_CORES_GOAL))
    print(table(rows))
    met = [entry["met"] for entry in rows]
    print(f"{met.count(True)} goals met, {met.count(False)} missed")
    if options.json:
        machine = {"python": platform.python_version(), "machine": platform.platform(), "load": os.getloadavg()}
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


def rows_of(case: Case, result: Result) -> list[dict[str, Any]]:
    """One row per peer; the goal "best" belongs to the peer that did best."""
    ours, *peers = (contender.name for contender in case.contenders)
    best = min(peers, key=lambda peer: result.ratios[peer])
    goals = {best if peer == "best" else peer: goal for peer, goal in case.goals.items()}
    return [
        row(
            case.kernel,
            case.size,
            result.seconds[ours],
            peer,
            result.seconds[peer],
            result.ratios[peer],
            goals.get(peer),
        )
        for peer in peers
    ]


def row(
    kernel: str, size: str, ours: float | None, peer: str, theirs: float | None, ratio: float, goal: float | None
) -> dict[str, Any]:
    met = None if goal is None else ratio >= goal
    return {
        "kernel": kernel,
        "size": size,
        "ours_seconds": ours,
        "peer": peer,
        "peer_seconds": theirs,
        "ratio": ratio,
        "goal": goal,
        "met": met,
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [COLUMNS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in RIGHT else cell.ljust(width)
            for name, cell, width in zip(COLUMNS, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def cells(entry: dict[str, Any]) -> tuple[str, ...]:
    return (
        entry["kernel"],
        entry["size"],
        duration(entry["ours_seconds"]),
        entry["peer"],
        duration(entry["peer_seconds"]),
        f"{entry['ratio']:.2f}x",
        "" if entry["goal"] is None else f"{entry['goal']:.3g}x",
        {None: "", True: "ok", False: "MISSED"}[entry["met"]],
    )


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e9:.0f} ns" if seconds < 1e-6 else f"{seconds * 1e6:.4g} us"


main()
