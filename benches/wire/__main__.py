"""`make bench-wire`: every stack under the same loads, in turns; a table, JSON, Markdown and the plot.

In each round every stack runs once, in random order, in a client process of its own. What counts is the median over the
rounds; CPU time holds on a machine that has other work, lateness and streams per core need a quiet one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from benches.wire.load import Load
from benches.wire.plot import plot
from benches.wire.report import markdown
from benches.wire.runs import Overloaded, run
from benches.wire.stacks import STACKS

LATE = 5000.0  # microseconds: streams count while their p99 is below
LADDER = (50, 100, 150, 200, 250, 300, 400, 500, 600, 800, 1000, 1300)
PACE = Load(chunks=250)
BURST = Load("burst", streams=1)
LISTEN = Load("listen", streams=50, chunks=200)
IDLE = Load(chunks=4, warm=2, interval=0.5)
GROUPS: dict[str, dict[str, Load]] = {
    "pace": {"120 streams": PACE},
    "flat": {f"{streams} streams": replace(PACE, streams=streams, chunks=200) for streams in (10, 50, 200, 600)},
    "burst": {
        "1.3 KB": replace(BURST, chunks=9000, warm=1000),
        "5.5 KB": replace(BURST, chunks=5000, warm=500, audio_bytes=4096),
        "22 KB": replace(BURST, chunks=1500, warm=150, audio_bytes=16_384),
    },
    "send": {f"{size} B": replace(LISTEN, audio_bytes=size) for size in (160, 640, 960)},
    "tls": {
        "120 streams": replace(PACE, tls=True),
        "burst 1.3 KB": replace(BURST, chunks=9000, warm=1000, tls=True),
        "burst 22 KB": replace(BURST, chunks=1500, warm=150, audio_bytes=16_384, tls=True),
    },
    "memory": {f"{streams} idle": replace(IDLE, streams=streams) for streams in (100, 400)},
    "capacity": {f"{streams}": replace(PACE, streams=streams, chunks=150) for streams in LADDER},
}
QUICK = ("pace", "burst")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.wire", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=GROUPS, help="these groups; all of them by default")
    parser.add_argument("--stacks", nargs="*", choices=STACKS, help="these; all of them by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help=f"one short round of {' and '.join(QUICK)}")
    parser.add_argument("--json", type=Path, help="the runs are added to those that this file has")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--plot", type=Path, help="streams against p99, as SVG; needs the group capacity")
    chosen = parser.parse_args()
    done: list[dict[str, Any]] = []
    if chosen.json and chosen.json.exists():
        done = json.loads(chosen.json.read_text())["runs"]
    groups = chosen.only if chosen.only is not None else list(QUICK if chosen.quick else GROUPS)
    stacks = [name for name in chosen.stacks or STACKS if STACKS[name].available]
    first = 1 + max((run["round"] for run in done), default=0)
    for number in range(first, first + (1 if chosen.quick else chosen.rounds)):
        for group in groups:
            done += one_round(group, stacks, number, short=chosen.quick)
            if chosen.json:
                chosen.json.write_text(json.dumps({"machine": machine(), "runs": done}, indent=1))
    text = markdown(done)
    print(text)
    if chosen.markdown:
        chosen.markdown.write_text(text)
    if chosen.plot:
        chosen.plot.write_text(plot(done))


def one_round(group: str, stacks: list[str], number: int, *, short: bool) -> list[dict[str, Any]]:
    """Each load on each stack. A stack that is late under a number of streams is not tried with more."""
    done, out = [], set()
    for case, load in GROUPS[group].items():
        if short:
            load = shortened(load)
        for stack in random.Random(number).sample(stacks, len(stacks)):
            if stack in out:
                continue
            try:
                found = run(stack, load)
            except Overloaded as fault:
                print(f"{group} {case} {stack}: {fault}", flush=True)
                out.add(stack)
                continue
            print(f"{group} {case} {stack}: " + " ".join(f"{k}={v:.0f}" for k, v in found.items()), flush=True)
            key = {"round": number, "group": group, "case": case, "streams": load.streams, "stack": stack}
            done.append(key | found)
            if group == "capacity" and found["p99"] > 4 * LATE:
                out.add(stack)
    return done


def shortened(load: Load) -> Load:
    return replace(load, chunks=max(load.chunks // 4, 60), warm=min(load.warm, 20))


def machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "machine": platform.platform(), "load": os.getloadavg()}


if __name__ == "__main__":
    main()
