"""Streams against p99 lateness, a line for each stack, both axes logarithmic, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benches.wire.report import LATE, curves

LEFT, TOP, WIDTH, HEIGHT = 70, 20, 520, 340
STREAMS = (50, 1300)
MICROSECONDS = (50.0, 100_000.0)
COLORS = (
    "#1f5fa8",
    "#c2571a",
    "#3a8f4d",
    "#8a3fa0",
    "#b8932a",
    "#555",
    "#d0508a",
    "#2aa0a8",
    "#7a5a3a",
    "#aaa",
    "#000",
)


def plot(runs: Sequence[dict[str, Any]]) -> str:
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 420" font-family="sans-serif" font-size="12">'
        '<rect width="800" height="420" fill="#fff"/>'
    ]
    for streams in (50, 100, 200, 400, 800):
        parts.append(text(x_of(streams), TOP + HEIGHT + 18, str(streams), "middle"))
    for late in (100.0, 1000.0, 10_000.0, 100_000.0):
        y = y_of(late)
        parts.append(f'<path d="M{LEFT} {y:.1f}h{WIDTH}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y + 4, f"{late / 1000:g} ms", "end"))
    parts.append(f'<path d="M{LEFT} {y_of(LATE):.1f}h{WIDTH}" stroke="#c00" stroke-dasharray="4 4"/>')
    for number, (stack, points) in enumerate(curves(runs).items()):
        color = COLORS[number % len(COLORS)]
        line = " ".join(f"{x_of(streams):.1f},{y_of(late):.1f}" for streams, late in points)
        y = TOP + 14 + 18 * number
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<path d="M610 {y - 4}h20" stroke="{color}" stroke-width="2"/>' + text(636, y, stack, "start"))
    parts.append(text(LEFT + WIDTH / 2, TOP + HEIGHT + 40, "streams on one core; p99 lateness of a chunk", "middle"))
    return "\n".join([*parts, "</svg>\n"])


def x_of(streams: float) -> float:
    return LEFT + WIDTH * share(streams, *STREAMS)


def y_of(late: float) -> float:
    return TOP + HEIGHT * (1 - share(min(max(late, MICROSECONDS[0]), MICROSECONDS[1]), *MICROSECONDS))


def share(value: float, low: float, high: float) -> float:
    return math.log(value / low) / math.log(high / low)


def text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'
