"""`python -m benches [--json PATH] [--markdown PATH] [--only TEXT]`: one table of ratios against the goals.

A ratio is the peer's time over ours: the median of the per-round ratios (see `benches.method`). The columns of lower
SIMD levels are ratios against the same peer, from fewer rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benches.method import ROUNDS, pin_to_one_core
from benches.rows import LEVELS, Row, ratios_at, rows
from benches.table import markdown, text
from benches.two_cores import speedup

LEVEL_ROUNDS = 11
TWO_CORES = "bank on two cores"
TWO_CORES_GOAL = 1.8


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches")
    parser.add_argument("--json", type=Path, help="also write all rows to this file")
    parser.add_argument("--markdown", type=Path, help="also write the rows with a goal to this file, for the README")
    parser.add_argument("--only", default="", help="only the kernels whose name contains this")
    options = parser.parse_args()
    all_cores = os.sched_getaffinity(0)
    pin_to_one_core()
    measured = with_levels(list(rows(options.only, ROUNDS)), options.only)
    if options.only in TWO_CORES and len(all_cores) > 1:
        os.sched_setaffinity(0, all_cores)
        measured.append(Row(TWO_CORES, "1 -> 2 threads", None, "one core", None, speedup(), TWO_CORES_GOAL))
    print(text(measured))
    met = [row.met for row in measured]
    print(f"{met.count(True)} goals met, {met.count(False)} missed")
    if options.json:
        entries = [asdict(row) | {"met": row.met} for row in measured]
        options.json.write_text(json.dumps({"machine": machine(), "rows": entries}, indent=1))
    if options.markdown:
        options.markdown.write_text(markdown(measured))


def with_levels(measured: list[Row], only: str) -> list[Row]:
    for level in LEVELS if measured else ():
        ratios = ratios_at(level, only, LEVEL_ROUNDS)
        measured = [replace(row, levels=row.levels | {level: ratios[row.key]}) for row in measured]
    return measured


def machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "machine": platform.platform(), "load": os.getloadavg()}


if __name__ == "__main__":
    main()
