"""Runs -> Markdown tables: medians over the rounds, and ratios to voicecore on trio as medians of each round's."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

OURS = "voicecore trio"
LATE = 5000.0
Run = dict[str, Any]


def markdown(runs: Sequence[Run]) -> str:
    return "\n".join(part for part in (costs(runs), lateness(runs), memory(runs), capacity(runs)) if part)


def costs(runs: Sequence[Run]) -> str:
    """CPU of the client per chunk, message or frame."""
    columns = unique((run["group"], run["case"]) for run in runs if run["group"] not in ("memory", "capacity"))
    if not columns:
        return ""
    head = ["CPU us each (ours on trio is so many times cheaper)", *(f"{group}: {case}" for group, case in columns)]
    rows = [[stack, *(cost(runs, stack, *column) for column in columns)] for stack in stacks_of(runs)]
    return table(head, rows)


def cost(runs: Sequence[Run], stack: str, group: str, case: str) -> str:
    def by_round(name: str) -> dict[int, float]:
        chosen = (run for run in runs if (run["stack"], run["group"], run["case"]) == (name, group, case))
        return {run["round"]: run["cpu_us"] for run in chosen}

    theirs, ours = by_round(stack), by_round(OURS)
    if not theirs:
        return ""
    ratios = [theirs[number] / ours[number] for number in theirs.keys() & ours.keys()]
    ratio = f" ({statistics.median(ratios):.2f}x)" if ratios and stack != OURS else ""
    return f"{statistics.median(theirs.values()):.1f}{ratio}"


def lateness(runs: Sequence[Run]) -> str:
    """Behind the time that a message was due, at 120 streams."""
    chosen = [run for run in runs if run["group"] == "pace"]
    rows = []
    for stack in stacks_of(chosen):
        mine = [run for run in chosen if run["stack"] == stack]
        medians = (statistics.median(run[name] for run in mine) for name in ("p50", "p99", "server_p99"))
        rows.append([stack, *(f"{value:.0f}" for value in medians)])
    return table(["lateness, us", "p50", "p99", "of it the server's p99"], rows) if rows else ""


def memory(runs: Sequence[Run]) -> str:
    """KB of one more connection: the slope between two numbers of them."""
    chosen = [run for run in runs if run["group"] == "memory"]
    rows = []
    for stack in stacks_of(chosen):
        held = {run["streams"]: run["kb"] * run["streams"] for run in chosen if run["stack"] == stack}
        if len(held) > 1:
            few, many = min(held), max(held)
            rows.append([stack, f"{(held[many] - held[few]) / (many - few):.1f}"])
    return table(["", "KB per connection"], rows) if rows else ""


def capacity(runs: Sequence[Run]) -> str:
    rows = [[stack, str(most_streams(points))] for stack, points in curves(runs).items()]
    return table(["", "streams on one core with p99 <= 5 ms"], rows) if rows else ""


def curves(runs: Sequence[Run]) -> dict[str, list[tuple[int, float]]]:
    """Of each stack: (streams, p99 in us), the median of the rounds."""
    chosen = [run for run in runs if run["group"] == "capacity"]
    found: dict[str, list[tuple[int, float]]] = {}
    for stack in stacks_of(chosen):
        mine = [run for run in chosen if run["stack"] == stack]
        for streams in sorted({run["streams"] for run in mine}):
            p99 = statistics.median(run["p99"] for run in mine if run["streams"] == streams)
            found.setdefault(stack, []).append((streams, p99))
    return found


def most_streams(points: Sequence[tuple[int, float]]) -> int:
    """The last step before the first that was late."""
    most = 0
    for streams, p99 in points:
        if p99 > LATE:
            break
        most = streams
    return most


def stacks_of(runs: Sequence[Run]) -> list[str]:
    names = unique(run["stack"] for run in runs)
    return sorted(names, key=lambda name: (not name.startswith("voicecore"), name))


def unique(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *rows))
