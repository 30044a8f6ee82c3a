"""Rows as a table: for a terminal, or as Markdown for the README."""

from __future__ import annotations

from collections.abc import Sequence

from benches.rows import LEVELS, Row

COLUMNS = ("kernel", "size", "ours", "peer", "peer's", "ratio", "goal", *LEVELS, "")
RIGHT = ("ours", "peer's", "ratio", "goal", *LEVELS)


def text(rows: Sequence[Row]) -> str:
    lines = [COLUMNS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in RIGHT else cell.ljust(width)
            for name, cell, width in zip(COLUMNS, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    """Only the rows with a goal, and only their misses marked."""
    rule = ["---:" if name in RIGHT else "---" for name in COLUMNS]
    lines = [COLUMNS, rule, *(cells(row) for row in rows if row.goal is not None)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cells(row: Row) -> tuple[str, ...]:
    return (
        row.kernel,
        row.size,
        duration(row.ours_seconds),
        row.peer,
        duration(row.peer_seconds),
        f"{row.ratio:.2f}x",
        "" if row.goal is None else f"{row.goal:.3g}x",
        *(f"{row.levels[level]:.2f}x" if level in row.levels else "" for level in LEVELS),
        "missed" if row.met is False else "",
    )


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e9:.0f} ns" if seconds < 1e-6 else f"{seconds * 1e6:.4g} us"
