"""`voicecore demo`: a sentence out of every text-to-speech vendor and back through every speech-to-text vendor.

Everything runs against the emulator, in this process. Which vendors there are is not said here: whatever is in
`voicecore.vendors.DIALECTS` takes part. Every voice is heard by at least one listener, and every listener hears one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
import trio
import typer

from voicecore.audio import AudioFormat
from voicecore.cli import matrix, output
from voicecore.cli.say import numbers
from voicecore.cli.transcribe import Finals, stt_options
from voicecore.cli.wavfile import AudioWriter
from voicecore.codec import Transcoder
from voicecore.errors import ConfigurationError, VoicecoreError
from voicecore.events import Transcript
from voicecore.on_trio import connect_stt, connect_tts
from voicecore.protocol import Dialect
from voicecore.recognition import SttStream
from voicecore.streams import Metrics
from voicecore.vendors import DIALECTS

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from voicecore.emulator import Emulator

EPILOG = output.epilog(
    ("voicecore demo", "then open demo/report.html"),
    ("voicecore demo --interim --out my-demo", ""),
    ("voicecore demo --formats all", "every format of every vendor, too"),
    ("voicecore demo --json", "the numbers as one JSON object; progress stays on stderr"),
    after=(
        "Exit code 0 only if audio came from every vendor and every transcript matches the sentence; case and "
        f"punctuation do not count.\n\n{output.EXIT_CODES}"
    ),
)
SPOKEN = AudioFormat("pcm_s16le", 24_000)
STREAMED = AudioFormat("pcm_s16le", 48_000, channels=2)  # another rate and stereo, so that the codec has work to do
FRAME_SECONDS = 0.02
KEY = "demo"  # the emulator in this process takes any key
FALLBACK = (
    "the emulator runs without {missing}, so the transcript cannot match the sentence; "
    "to install what it needs: pip install 'voicecore[emulator]'"
)


class Formats(StrEnum):
    """Which formats the vendors speak in."""

    PICKED = "picked"
    ALL = "all"


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the WAV files and report.html go.")] = Path("demo"),
    text: Annotated[
        str | None, typer.Option(help="Another sentence; one that the emulator does not know is taken by dictation.")
    ] = None,
    interim: Annotated[bool, typer.Option("--interim", help="Show interim transcripts while it runs.")] = False,
    formats: Annotated[
        Formats, typer.Option(help="picked: the one that fits best; all: besides, each that a vendor offers.")
    ] = Formats.PICKED,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Speak a sentence through every vendor and transcribe it again, with no network and no key."""
    from voicecore.cli.report import write_report
    from voicecore.emulator.phrases import DEMO_SENTENCE, PHRASES

    _make_directory(out)
    sentence = text or DEMO_SENTENCE
    known = normalised(sentence) in {normalised(phrase) for phrase in PHRASES}
    run = trio.run(_run, sentence, out, interim, not known, formats)
    report = out / "report.html"
    write_report(report, run)
    if as_json:
        output.print_json(as_dict(run, report))
    else:
        _print_table(run, report)
    raise typer.Exit(output.OK if run.ok else output.FAILED)


# --- what is found out -----------------------------------------------------------------------------------


class Heard(NamedTuple):
    """One transcript: when it came (seconds since the first frame was sent) and what it says."""

    at: float
    text: str
    is_final: bool


@dataclass(slots=True)
class Outcome:
    """What one vendor did. Of a listener, the metrics count from the first frame sent to the end of the session:
    `ttfb` is its first transcript, a chunk is a frame that was sent."""

    name: str
    kind: Literal["tts", "stt"]
    partner: str = ""  # whom it was heard by, or whom it heard
    audio: AudioFormat = SPOKEN
    samples: Any = None  # mono int16, of what was spoken or heard
    wav: Path | None = None
    metrics: Metrics = field(default_factory=lambda: Metrics(0.0))
    heard: list[Heard] = field(default_factory=list)
    transcript: str = ""
    matches: bool = False
    problem: str = ""


@dataclass(slots=True)
class Run:
    """The whole demo."""

    sentence: str
    voice: str
    ears: str
    outcomes: list[Outcome] = field(default_factory=list)
    cells: list[matrix.Cell] = field(default_factory=list)  # of the matrix vendor x format, if it was asked for
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Audio came from every vendor, in every format that was tried, and every transcript matches."""
        return not self.problems


def normalised(text: str) -> str:
    """`text` without case and punctuation."""
    return " ".join(re.sub(r"[^\w\s']", " ", text.casefold()).replace("'", "").split())


def pairs(voices: list[Outcome], ears: list[type[Dialect]]) -> Iterator[tuple[Outcome, type[Dialect]]]:
    """Who is heard by whom, so that each has a partner; the shorter list is used again."""
    if not voices or not ears:
        return iter(())
    count = max(len(voices), len(ears))
    return zip(islice(cycle(voices), count), islice(cycle(ears), count), strict=True)


# --- the run ---------------------------------------------------------------------------------------------


async def _run(sentence: str, out: Path, interim: bool, dictation: bool, formats: Formats) -> Run:
    from voicecore.cli.emulate import describe_ears, describe_voice, missing_engines
    from voicecore.emulator import run_emulator

    with _Stage(interim) as stage:
        stage.say(f"[bold]“{sentence}”[/bold]")
        async with run_emulator(dictation=dictation) as emulator:
            run = Run(sentence, describe_voice(emulator), describe_ears(emulator))
            stage.say(f"[dim]voice: {run.voice}; ears: {run.ears}[/dim]")
            await _speak_all(run, emulator, out, stage)
            await _listen_all(run, emulator, out, stage)
            if formats is Formats.ALL:
                await _try_formats(run, emulator, stage)
            missing = missing_engines(emulator)
    run.problems += _problems(run, missing)
    return run


async def _speak_all(run: Run, emulator: Emulator, out: Path, stage: _Stage) -> None:
    for dialect in _of_kind("tts"):
        outcome = Outcome(dialect.name, "tts")
        run.outcomes.append(outcome)
        try:
            await _speak(dialect, emulator.urls[dialect.name], run.sentence, outcome, stage)
            outcome.wav = _write_wav(out, outcome, outcome.samples)
        except (VoicecoreError, BaseExceptionGroup) as error:
            outcome.problem = _known(error)
        stage.say(_summary(outcome))


async def _speak(dialect: type[Dialect], url: str, sentence: str, outcome: Outcome, stage: _Stage) -> None:
    pieces = []
    with stage.task(f"{dialect.name} speaks", total=None) as advance:
        async with (
            connect_tts(dialect.vendor, api_key=KEY, url=url) as tts,
            tts.synthesize(sentence, output=SPOKEN) as speech,
        ):
            outcome.metrics = speech.metrics
            async for chunk in speech:
                pieces.append(chunk.samples)
                advance(chunk.duration)
    outcome.samples = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


async def _listen_all(run: Run, emulator: Emulator, out: Path, stage: _Stage) -> None:
    spoken = [outcome for outcome in run.outcomes if outcome.metrics.chunks]
    for voice, dialect in pairs(spoken, _of_kind("stt")):
        outcome = Outcome(dialect.name, "stt", voice.name, STREAMED, voice.samples)
        voice.partner = dialect.name
        run.outcomes.append(outcome)
        try:
            await _listen(dialect, emulator.urls[dialect.name], outcome, out, stage)
        except (VoicecoreError, BaseExceptionGroup) as error:
            outcome.problem = _known(error)
        outcome.matches = normalised(outcome.transcript) == normalised(run.sentence)
        voice.transcript, voice.matches = outcome.transcript, outcome.matches
        stage.say(_summary(outcome))


async def _listen(dialect: type[Dialect], url: str, outcome: Outcome, out: Path, stage: _Stage) -> None:
    stereo = _streamed(outcome.samples)
    outcome.wav = _write_wav(out, outcome, stereo)
    finals = Finals()
    options = stt_options(dialect.vendor, url, None, stage.interim)
    with stage.task(f"{dialect.name} hears {outcome.partner}", total=len(stereo) / STREAMED.sample_rate) as advance:
        async with (
            connect_stt(dialect.vendor, api_key=KEY, url=url) as stt,
            stt.stream(input=STREAMED, options=options) as stream,
            trio.open_nursery() as nursery,
        ):
            metrics = outcome.metrics = Metrics(trio.current_time())
            nursery.start_soon(_send, stream, stereo, metrics, advance)
            async for transcript in stream:
                finals.add(transcript)
                _hear(outcome, transcript, stage)
            metrics.finished_at = trio.current_time()
    outcome.transcript = finals.text


def _hear(outcome: Outcome, transcript: Transcript, stage: _Stage) -> None:
    now, metrics = trio.current_time(), outcome.metrics
    if metrics.first_audio_at is None:
        metrics.first_audio_at = now
    outcome.heard.append(Heard(now - metrics.requested_at, transcript.text, transcript.is_final))
    if stage.interim and not transcript.is_final:
        stage.say(f"  [dim]... {transcript.text}[/dim]")


async def _send(stream: SttStream, stereo: Any, metrics: Metrics, advance: Callable[[float], None]) -> None:
    """Streams in frames, as fast as they are taken."""
    size = round(FRAME_SECONDS * STREAMED.sample_rate)
    for at in range(0, len(stereo), size):
        frame = stereo[at : at + size]
        await stream.send(frame)
        seconds = len(frame) / STREAMED.sample_rate
        metrics.chunks += 1
        metrics.audio_seconds += seconds
        metrics.arrivals.append((trio.current_time() - metrics.requested_at, seconds))
        advance(seconds)
    await stream.finish()


async def _try_formats(run: Run, emulator: Emulator, stage: _Stage) -> None:
    for dialect in _of_kind("tts"):
        name, offered = dialect.name, len(dialect.offers)
        try:
            with stage.task(f"{name} speaks in {offered} formats", total=offered, unit="formats") as advance:
                async with connect_tts(dialect.vendor, api_key=KEY, url=emulator.urls[name]) as tts:
                    cells = await matrix.try_every_format(tts, run.sentence, advance)
        except (VoicecoreError, BaseExceptionGroup) as error:
            run.problems.append(f"{name}: {_known(error)}")
            continue
        run.cells += cells
        good = sum(cell.ok for cell in cells)
        colour, sign = ("green", "✓") if good == offered else ("red", "✗")
        stage.say(f"[{colour}]{sign}[/{colour}] {name} spoke in {good} of {offered} formats")


def _streamed(samples: Any) -> Any:
    """What was spoken, at the rate and with the channels of what is streamed."""
    transcoder = Transcoder(SPOKEN, STREAMED, quality="hq")
    return np.concatenate([transcoder.process(samples), transcoder.flush()])


def _write_wav(out: Path, outcome: Outcome, samples: Any) -> Path:
    name = outcome.name if outcome.kind == "tts" else f"{outcome.name}-heard-{outcome.partner}"
    path = out / f"{name}.wav"
    with AudioWriter(path, outcome.audio) as writer:
        writer.write(samples)
    return path


def _of_kind(kind: str) -> list[type[Dialect]]:
    return [dialect for dialect in DIALECTS if dialect.kind == kind]


def _known(error: BaseException) -> str:
    """The words of a vendor's failure, so that the other vendors still have their turn. Raises what is none."""
    alone = output.the_one(error)
    if isinstance(alone, VoicecoreError):
        return str(alone)
    raise error


def _make_directory(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the directory {out}: {error.strerror}") from None


def _problems(run: Run, missing: Iterable[str]) -> Iterator[str]:
    lacking = " and ".join(missing)
    for outcome in run.outcomes:
        if outcome.problem:
            yield f"{outcome.name}: {outcome.problem}"
        elif outcome.kind == "tts" and not outcome.metrics.chunks:
            yield f"{outcome.name}: no audio"
        elif outcome.kind == "stt" and not outcome.matches:
            yield f"{outcome.name}: heard {outcome.transcript!r} from {outcome.partner}, expected {run.sentence!r}"
    for dialect in _of_kind("stt"):
        if not any(outcome.name == dialect.name for outcome in run.outcomes):
            yield f"{dialect.name}: nothing to hear"
    yield from (f"{cell.vendor}, {cell.asked}: {cell.problem}" for cell in run.cells if not cell.ok)
    if lacking:
        yield FALLBACK.format(missing=lacking)


# --- what is shown ---------------------------------------------------------------------------------------


class _Stage:
    """Progress on stderr: a live bar on a terminal, and a line for each step in any case."""

    def __init__(self, interim: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.interim = interim
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[done]}"),
            console=self._console,
            transient=True,
        )

    def __enter__(self) -> _Stage:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._progress.console.print(text)

    def task(self, title: str, total: float | None, unit: str = "s of audio") -> _Task:
        return _Task(self._progress, title, total, unit)


class _Task:
    """One bar, gone when its block ends. Gives the function that advances it by so many units."""

    def __init__(self, progress: Progress, title: str, total: float | None, unit: str) -> None:
        self._progress = progress
        self._unit = unit
        self._done = 0.0
        self._id: TaskID = progress.add_task(title, total=total, done="")

    def __enter__(self) -> Callable[[float], None]:
        return self._advance

    def _advance(self, more: float) -> None:
        self._done += more
        self._progress.update(self._id, completed=self._done, done=f"{round(self._done, 2):g} {self._unit}")

    def __exit__(self, *_: object) -> None:
        self._progress.remove_task(self._id)


def _summary(outcome: Outcome) -> str:
    from rich.markup import escape

    metrics = outcome.metrics
    if outcome.problem:
        return f"[red]✗[/red] {outcome.name}: {escape(outcome.problem)}"
    if outcome.kind == "tts":
        done = f"spoke {metrics.audio_seconds:.2f} s of audio in {metrics.duration or 0:.2f} s"
        return f"[green]✓[/green] {outcome.name} {done}"
    mark = "[green]✓[/green]" if outcome.matches else "[red]✗[/red]"
    return f"{mark} {outcome.name} heard {outcome.partner}: “{escape(outcome.transcript)}”"


def _print_table(run: Run, report: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("vendor", "first byte", "audio", "real-time factor", "chunks", "transcript"):
        table.add_column(title, justify="left" if title in ("vendor", "transcript") else "right")
    for outcome in run.outcomes:
        table.add_row(*_cells(outcome))
    console = Console(highlight=False)
    console.print(table)
    if run.cells:
        console.print(_format_table(run.cells))
    print(f"report: {report}")
    for problem in run.problems:
        output.note(f"error: {problem}")


def _format_table(cells: list[matrix.Cell]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("vendor", *matrix.COLUMNS):
        table.add_column(title)
    for vendor, row in matrix.summary(cells).items():
        marks = [matrix.mark(row.get(column)) for column in matrix.COLUMNS]
        table.add_row(vendor, *(Text(mark, style="red" if mark[0] == "✗" else "green") for mark in marks))
    return table


def _cells(outcome: Outcome) -> list[Any]:
    from rich.text import Text

    metrics = outcome.metrics
    return [
        outcome.name,
        "-" if metrics.ttfb is None else f"{metrics.ttfb * 1000:.0f} ms",
        f"{metrics.audio_seconds:.2f} s",
        "-" if metrics.real_time_factor is None else f"{metrics.real_time_factor:.3f}",
        str(metrics.chunks),
        Text(outcome.problem or outcome.transcript or "-", style="green" if outcome.matches else "red"),
    ]


def as_dict(run: Run, report: Path) -> dict[str, Any]:
    """The whole run as JSON."""
    return {
        "ok": run.ok,
        "sentence": run.sentence,
        "voice": run.voice,
        "ears": run.ears,
        "vendors": [_outcome_dict(outcome) for outcome in run.outcomes],
        **({"formats": matrix.as_dicts(run.cells)} if run.cells else {}),
        "report": str(report),
        "problems": run.problems,
    }


def _outcome_dict(outcome: Outcome) -> dict[str, Any]:
    return {
        "vendor": outcome.name,
        "kind": outcome.kind,
        "partner": outcome.partner,
        "wav": None if outcome.wav is None else str(outcome.wav),
        **numbers(outcome.metrics),
        "transcript": outcome.transcript,
        "matches": outcome.matches,
        "problem": outcome.problem or None,
    }
