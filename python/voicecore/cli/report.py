"""The demo's report: one HTML file with everything in it, so that it opens from disk and can be sent to anyone.

No script and nothing from elsewhere: drawings are inline SVG, sound is in `data:` URLs, colours follow the reader's
light or dark setting.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voicecore.cli import matrix

if TYPE_CHECKING:
    from voicecore.cli.demo import Heard, Outcome, Run

WIDTH = 960  # of a drawing, in its own units
LEFT, RIGHT = 8, 8
TOP, BOTTOM, BAR = 22, 104, 12  # of a timeline: its upper and its lower lane, and how high they are
COLUMNS = 480  # of a waveform
NOTHING = "-"
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)  # seconds between ticks
KINDS = {"tts": "text to speech", "stt": "speech to text"}

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b1f27; --soft: #667085; --line: #e3e6ec;
  --wave: #3b6fd4; --one: #3b6fd4; --two: #7aa2ec; --mark: #d97706; --good: #15803d; --bad: #c02626; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1218; --card: #181d26; --ink: #e7eaf0; --soft: #98a2b3;
  --line: #2a313d; --wave: #7aa8ff; --one: #5b8def; --two: #32549a; --mark: #f5a524; --good: #4ade80;
  --bad: #f87171; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 18px; margin: 0; } h3 { font-size: 13px; margin: 18px 0 4px;
  color: var(--soft); font-weight: 600; }
header p { margin: 6px 0; } .soft { color: var(--soft); } .sentence { font-size: 19px; }
.pill { display: inline-block; border-radius: 99px; padding: 1px 11px; font-size: 13px; font-weight: 600;
  border: 1px solid currentColor; vertical-align: 2px; margin-left: 8px; }
.good { color: var(--good); } .bad { color: var(--bad); }
section, .table { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px;
  margin-top: 20px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 13px; } tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; }
td:last-child { white-space: normal; }
.numbers { display: flex; flex-wrap: wrap; gap: 10px 34px; margin: 12px 0 0; }
.numbers div { display: flex; flex-direction: column-reverse; } .numbers dt { color: var(--soft); font-size: 12.5px; }
.numbers dd { margin: 0; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.wave { fill: var(--wave); } .zero, .tick { stroke: var(--line); } .one { fill: var(--one); } .two { fill: var(--two); }
.fan { opacity: .3; } .sent { fill: none; stroke: var(--one); stroke-width: 2; }
.under { fill: var(--one); opacity: .15; }
.interim { stroke: var(--soft); stroke-dasharray: 3 3; } .final { stroke: var(--mark); stroke-width: 2; }
svg .label { fill: var(--ink); } audio { width: 100%; height: 36px; margin-top: 14px; }
blockquote { margin: 4px 0 0; padding: 2px 0 2px 12px; border-left: 3px solid currentColor; font-size: 16px; }
footer { color: var(--soft); font-size: 13px; margin-top: 22px; }
"""


def write_report(path: Path, run: Run) -> None:
    """Writes the page."""
    path.write_text(page(run), encoding="utf-8")


def page(run: Run) -> str:
    """The page as text."""
    verdict = ("good", "all match") if run.ok else ("bad", "failed")
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>voicecore demo</title><style>{STYLE}</style></head><body><main>",
            f'<header><h1>voicecore demo<span class="pill {verdict[0]}">{verdict[1]}</span></h1>',
            f'<p class="sentence">“{escape(run.sentence)}”</p>',
            f'<p class="soft">voice: {escape(run.voice)} · ears: {escape(run.ears)}</p>',
            *(f'<p class="bad">{escape(problem)}</p>' for problem in run.problems),
            "</header>",
            _table(run),
            _formats(run),
            *(_card(outcome) for outcome in run.outcomes),
            _FOOTER,
            "</main></body></html>\n",
        ]
    )


_FOOTER = """<footer><p>First byte: from the request to its first audio, measured at the socket; for speech to text,
from the first frame sent to the first transcript. Real-time factor: seconds spent per second of audio, below 1 is
faster than real time. Chunks: messages with audio received; for speech to text, frames of 20 ms sent, as fast as they
were taken. All of it was measured against the emulator on this machine, not against the vendors.</p></footer>"""


# --- tables and numbers ----------------------------------------------------------------------------------


def numbers(outcome: Outcome) -> list[tuple[str, str]]:
    """What was measured, with its titles."""
    metrics = outcome.metrics
    factor = metrics.real_time_factor
    return [
        ("first byte" if outcome.kind == "tts" else "first transcript", _milliseconds(metrics.ttfb)),
        ("audio", f"{metrics.audio_seconds:.2f} s"),
        ("real-time factor", NOTHING if factor is None else f"{factor:.3f}"),
        ("chunks" if outcome.kind == "tts" else "frames", str(metrics.chunks)),
    ]


def _milliseconds(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds * 1000:.0f} ms"


def _table(run: Run) -> str:
    titles = ("vendor", "first byte", "audio", "real-time factor", "chunks", "transcript")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f'<div class="table"><table><tr>{head}</tr>{"".join(map(_row, run.outcomes))}</table></div>'


def _formats(run: Run) -> str:
    """The matrix vendor x format; nothing if it was not asked for."""
    if not run.cells:
        return ""
    head = "".join(f"<th>{title}</th>" for title in ("vendor", *matrix.COLUMNS))
    rows = "".join(_format_row(vendor, row) for vendor, row in matrix.summary(run.cells).items())
    titles = ("vendor", "format", "on the wire", "audio", "bytes", "delay", "likeness", "")
    details = "".join(map(_format_details, run.cells))
    return (
        f'<div class="table"><h2>Formats</h2><table><tr>{head}</tr>{rows}</table>'
        f"<details><summary>Each of them</summary><table><tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>"
        f"{details}</table></details></div>"
    )


def _format_row(vendor: str, row: dict[str, tuple[int, int]]) -> str:
    marks = [matrix.mark(row.get(column)) for column in matrix.COLUMNS]
    cells = "".join(f'<td class="{"bad" if mark[0] == "✗" else "good"}">{mark}</td>' for mark in marks)
    return f"<tr><td>{escape(vendor)}</td>{cells}</tr>"


def _format_details(cell: matrix.Cell) -> str:
    measured = (
        f"{cell.metrics.audio_seconds:.3f} s",
        f"{cell.metrics.bytes_received}",
        _milliseconds(cell.delay),
        f"{cell.likeness:.3f}",
    )
    words = "".join(f"<td>{escape(text)}</td>" for text in (cell.vendor, cell.asked, str(cell.wire), *measured))
    return f'<tr>{words}<td class="{"good" if cell.ok else "bad"}">{escape(cell.problem or "✓")}</td></tr>'


def _row(outcome: Outcome) -> str:
    cells = "".join(f"<td>{value}</td>" for _, value in numbers(outcome))
    return f"<tr><td>{escape(outcome.name)}</td>{cells}<td>{_words(outcome)}</td></tr>"


def _words(outcome: Outcome) -> str:
    verdict = "good" if outcome.matches and not outcome.problem else "bad"
    return f'<span class="{verdict}">{escape(outcome.problem or outcome.transcript or NOTHING)}</span>'


def _card(outcome: Outcome) -> str:
    tiles = "".join(f"<div><dt>{title}</dt><dd>{value}</dd></div>" for title, value in numbers(outcome))
    return "\n".join(
        [
            f'<section id="{escape(outcome.name)}">',
            f'<h2>{escape(outcome.name)} <span class="soft">{_role(outcome)}</span></h2>',
            f'<dl class="numbers">{tiles}</dl>',
            *_drawings(outcome),
            f"<h3>Transcript</h3><blockquote>{_words(outcome)}</blockquote></section>",
        ]
    )


def _role(outcome: Outcome) -> str:
    relation = "heard by" if outcome.kind == "tts" else "hears"
    partner = f", {relation} {escape(outcome.partner)}" if outcome.partner else ""
    return f"{KINDS[outcome.kind]}{partner} · {escape(str(outcome.audio))}"


def _drawings(outcome: Outcome) -> Iterator[str]:
    """A vendor that gave nothing has an empty drawing, so that its card says so."""
    samples = np.zeros(0, np.int16) if outcome.samples is None else outcome.samples
    yield f"<h3>Waveform</h3>{waveform(samples, outcome.metrics.audio_seconds)}"
    if outcome.kind == "tts":
        yield "<h3>Chunks: when each came after the request (above), and when it plays (below)</h3>"
        yield arrival_timeline(outcome)
    else:
        yield "<h3>Audio sent, and when each transcript came, after the first frame</h3>"
        yield listening_timeline(outcome)
    if outcome.kind == "tts" and outcome.wav is not None:
        sound = base64.b64encode(outcome.wav.read_bytes()).decode()
        yield f'<audio controls preload="none" src="data:audio/wav;base64,{sound}"></audio>'


# --- drawings --------------------------------------------------------------------------------------------


class _Scale:
    """Seconds to the x of a drawing."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(seconds, 1e-3)

    def x(self, at: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * at / self.seconds:.1f}"

    def axis(self, top: float, bottom: float, *, above: bool = False) -> str:
        """Ticks at round times from `top` to `bottom`, labelled below, or `above`."""
        step = next((step for step in STEPS if self.seconds / step <= 10), STEPS[-1])
        y = top - 6 if above else bottom + 15
        return "".join(
            self._tick(step * index, top, bottom, y) for index in range(int(self.seconds / step * 1.0001) + 1)
        )

    def _tick(self, at: float, top: float, bottom: float, y: float) -> str:
        x = self.x(at)
        anchor = "start" if at == 0 else "end" if float(x) > WIDTH - 30 else "middle"
        label = f"{at:g} s" if self.seconds > 1 else f"{at * 1000:g} ms"
        line = f'<line class="tick" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'
        return f'{line}<text x="{x}" y="{y}" text-anchor="{anchor}">{label}</text>'


def _svg(height: float, label: str, *parts: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>{''.join(parts)}</svg>"
    )


def waveform(samples: Any, seconds: float) -> str:
    """The envelope of mono int16 samples."""
    height, middle = 120.0, 52.0
    scale = _Scale(seconds)
    axis = scale.axis(2, 2 * middle - 2)
    zero = f'<line class="zero" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle}" y2="{middle}"/>'
    if not len(samples):
        return _svg(height, "no audio", axis, zero)
    columns = np.array_split(samples.astype(np.float64) / 32768, min(COLUMNS, len(samples)))
    loudest = max(float(np.abs(samples.astype(np.int32)).max()) / 32768, 1e-3)
    gain = (middle - 4) / loudest
    step = (WIDTH - LEFT - RIGHT) / len(columns)
    xs = [LEFT + step * (index + 0.5) for index in range(len(columns))]
    above = [f"{x:.1f},{middle - gain * column.max() - 0.4:.1f}" for x, column in zip(xs, columns, strict=True)]
    below = [f"{x:.1f},{middle - gain * column.min() + 0.4:.1f}" for x, column in zip(xs, columns, strict=True)]
    shape = f'<polygon class="wave" points="{" ".join([*above, *reversed(below)])}"/>'
    return _svg(height, f"waveform, {seconds:.2f} s", axis, zero, shape)


def arrival_timeline(outcome: Outcome) -> str:
    """Each chunk as a fan from the moment it came (above) to the time in which it plays (below).

    The two have a scale each: audio that comes much faster than it plays would be one line above.
    """
    plays = list(playback(outcome))
    arrivals = _Scale(max([outcome.metrics.duration or 0.0, *(came for came, _, _ in plays)]))
    playing = _Scale(max((end for _, _, end in plays), default=0.0))
    parts = [arrivals.axis(TOP, TOP + BAR, above=True), playing.axis(BOTTOM, BOTTOM + BAR)]
    for index, (came, start, end) in enumerate(plays):
        title = f"chunk {index + 1}: came at {came:.3f} s, plays from {start:.2f} s to {end:.2f} s"
        parts.append(_fan(("one", "two")[index % 2], title, arrivals.x(came), playing.x(start), playing.x(end)))
    return _svg(BOTTOM + BAR + 20, f"{len(plays)} chunks: arrival and playback", *parts)


def _fan(colour: str, title: str, came: str, start: str, end: str) -> str:
    width = float(end) - float(start)
    return (
        f"<g><title>{title}</title>"
        f'<polygon class="{colour} fan" points="{came},{TOP + BAR} {start},{BOTTOM} {end},{BOTTOM}"/>'
        f'<rect class="{colour}" x="{float(came) - 1.5:.1f}" y="{TOP}" width="3" height="{BAR}"/>'
        f'<rect class="{colour}" x="{start}" y="{BOTTOM}" width="{width:.1f}" height="{BAR}"/></g>'
    )


def playback(outcome: Outcome) -> Iterator[tuple[float, float, float]]:
    """Of each chunk: when it came, and from when to when a player would play it that starts with the first."""
    free = 0.0
    for came, seconds in outcome.metrics.arrivals:
        start = max(free, came)
        free = start + seconds
        yield came, start, free


def listening_timeline(outcome: Outcome) -> str:
    """The audio sent so far, over time, with a mark for every transcript."""
    metrics = outcome.metrics
    last = max([metrics.duration or 0.0, *(heard.at for heard in outcome.heard)])
    scale = _Scale(last)
    line, sent = [f"{scale.x(0)},{BOTTOM}"], 0.0
    for at, seconds in metrics.arrivals:
        sent += seconds
        line.append(f"{scale.x(at)},{BOTTOM - (BOTTOM - TOP) * sent / max(metrics.audio_seconds, 1e-3):.1f}")
    line.append(f"{scale.x(last)},{line[-1].split(',')[1]}")
    area = " ".join([*line, f"{scale.x(last)},{BOTTOM}"])
    parts = [
        scale.axis(TOP, BOTTOM),
        f'<polygon class="under" points="{area}"/><polyline class="sent" points="{" ".join(line)}"/>',
        *(_transcript_mark(scale, heard) for heard in outcome.heard),
        f'<text class="label" x="{LEFT}" y="{TOP - 8}">audio sent: {metrics.audio_seconds:.2f} s</text>',
    ]
    return _svg(BOTTOM + 20, f"{metrics.chunks} frames sent, {len(outcome.heard)} transcripts", *parts)


def _transcript_mark(scale: _Scale, heard: Heard) -> str:
    kind = "final" if heard.is_final else "interim"
    x = scale.x(heard.at)
    title = f"<title>{kind} at {heard.at:.3f} s: {escape(heard.text)}</title>"
    mark = f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP - 4}" y2="{BOTTOM}"/>'
    label = f'<text class="label" x="{x}" y="{TOP - 8}" text-anchor="end">final</text>' if heard.is_final else ""
    return f"<g>{title}{mark}{label}</g>"
