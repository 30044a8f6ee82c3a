"""The matrix vendor x format: each format that a vendor offers, spoken by the emulator, decoded by the client and held
against the same speech in the format that voicecore would pick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from voicecore.audio import AudioFormat
from voicecore.codec import resample
from voicecore.errors import VoicecoreError
from voicecore.session import TTS
from voicecore.streams import Metrics

REFERENCE = AudioFormat("pcm_s16le", 48_000)
COLUMNS = ("pcm", "wav", "24/32 bit", "mulaw", "alaw", "mp3", "opus")

LEAST_LIKENESS = 0.97  # of two equal things it is 1
EXACT = 0.002  # seconds: a resampler's last samples
# An MP3 that is streamed keeps its coder's delay, 1105 samples, and the padding of its last frames.
MP3_DELAY = 1106
MP3_EXTRA = 1105 + 2 * 1152


@dataclass(slots=True)
class Cell:
    """One format of one vendor. `asked`: in the vendor's words. `delay` in seconds; `likeness` is the correlation."""

    vendor: str
    asked: str
    wire: AudioFormat
    metrics: Metrics = field(default_factory=lambda: Metrics(0.0))
    delay: float = 0.0
    likeness: float = 0.0
    problem: str = ""

    @property
    def column(self) -> str:
        """Its place in a table."""
        if self.wire.encoding == "pcm_s16le":
            return "wav" if self.wire.container == "wav" else "pcm"
        return "24/32 bit" if self.wire.encoding.startswith("pcm") else self.wire.encoding

    @property
    def ok(self) -> bool:
        """The speech came through."""
        return not self.problem


async def try_every_format(tts: TTS, sentence: str, advance: Callable[[float], None] = lambda more: None) -> list[Cell]:
    """The row of one vendor. `advance` is called with 1 for each format."""
    cells = []
    expected, _ = await _spoken(tts, sentence, REFERENCE, None)
    for asked, options in tts.dialect.offers.items():
        cell = Cell(tts.dialect.name, asked, tts.dialect.wire_format(options))
        cells.append(cell)
        try:
            await _try(cell, tts, sentence, options, expected)
        except VoicecoreError as error:
            cell.problem = str(error)
        advance(1)
    return cells


async def _try(cell: Cell, tts: TTS, sentence: str, options: Any, expected: Any) -> None:
    rate = cell.wire.sample_rate
    got, cell.metrics = await _spoken(tts, sentence, AudioFormat("pcm_s16le", rate), options)
    expected = resample(expected, REFERENCE.sample_rate, rate)
    cell.delay, cell.likeness = compare(got, expected, rate)
    extra = (len(got) - len(expected)) / rate
    cell.problem = "; ".join(_faults(cell, extra))


async def _spoken(tts: TTS, sentence: str, output: AudioFormat, options: Any) -> tuple[Any, Metrics]:
    async with tts.synthesize(sentence, output=output, options=options) as speech:
        pieces = [chunk.samples async for chunk in speech]
    return np.concatenate([np.zeros(0, np.int16), *pieces]), speech.metrics


def compare(got: Any, expected: Any, rate: int) -> tuple[float, float]:
    """How much later than `expected` it comes (seconds), and how alike both are then: their highest correlation."""
    if not (np.any(got) and np.any(expected)):
        return 0.0, 0.0
    size = 1 << (len(got) + len(expected)).bit_length()
    one, other = (np.fft.rfft(np.asarray(samples, np.float64), size) for samples in (got, expected))
    products = np.fft.irfft(one * np.conj(other), size)
    at = int(np.argmax(products))
    energy = np.sqrt(_sum_of_squares(got) * _sum_of_squares(expected))
    return (at if at < size // 2 else at - size) / rate, float(products[at] / energy)


def _sum_of_squares(samples: Any) -> float:
    return float(np.sum(np.square(samples, dtype=np.float64)))


def _faults(cell: Cell, extra: float) -> Iterator[str]:
    """`extra`: seconds of audio more than expected."""
    wire, metrics = cell.wire, cell.metrics
    streamed = wire.encoding == "mp3"
    rate = min(wire.sample_rate, 48_000)
    if cell.likeness < LEAST_LIKENESS:
        yield f"expected the same speech, got a likeness of {cell.likeness:.3f}"
    if not -EXACT <= cell.delay <= (MP3_DELAY / rate if streamed else EXACT):
        yield f"it is {1000 * cell.delay:.1f} ms late"
    if not -EXACT <= extra <= (MP3_EXTRA / rate if streamed else EXACT):
        yield f"it is {1000 * extra:.1f} ms longer than it was spoken"
    if metrics.format_mismatches or metrics.wire_format != wire:
        yield f"expected {wire} on the wire, found {metrics.wire_format}"
    if damage := metrics.skipped_bytes + metrics.concealed_frames + metrics.dangling_bytes:
        yield f"damaged on the wire, in {damage} places"


def summary(cells: Iterable[Cell]) -> dict[str, dict[str, tuple[int, int]]]:
    """By vendor and column: how many formats came through, and how many there are."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for cell in cells:
        row = found.setdefault(cell.vendor, {})
        good, all_of_them = row.get(cell.column, (0, 0))
        row[cell.column] = (good + cell.ok, all_of_them + 1)
    return found


def mark(counts: tuple[int, int] | None) -> str:
    """One place of the table as text."""
    if counts is None:
        return "-"
    good, all_of_them = counts
    return f"✓ {good}" if good == all_of_them else f"✗ {good} of {all_of_them}"


def as_dicts(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Every format as JSON."""
    return [
        {
            "vendor": cell.vendor,
            "asked": cell.asked,
            "wire": str(cell.wire),
            "ok": cell.ok,
            "seconds": round(cell.metrics.audio_seconds, 6),
            "bytes": cell.metrics.bytes_received,
            "delay": round(cell.delay, 6),
            "likeness": round(cell.likeness, 6),
            "problem": cell.problem or None,
        }
        for cell in cells
    ]
