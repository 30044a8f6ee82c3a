"""`voicecore say`: one text, spoken by a vendor, into a WAV file or a pipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import trio
import typer

from voicecore.audio import AudioFormat
from voicecore.cli import output
from voicecore.cli.convert import ENCODINGS, describe
from voicecore.cli.wavfile import STANDARD, AudioWriter
from voicecore.errors import VoicecoreError
from voicecore.on_trio import connect_tts
from voicecore.streams import Metrics

EPILOG = output.epilog(
    ("voicecore say 'Hello there.' --vendor deepdub --out hello.wav", ""),
    ("voicecore say - --vendor deepdub < letter.txt", "the text from stdin"),
    ("voicecore say 'Hello.' --vendor deepdub --out - | aplay -f S16_LE -r 24000", "raw samples"),
    ("voicecore say 'Hello.' --vendor 60db --rate 8000 --encoding mulaw", "as a telephone wants it"),
    ("voicecore say 'Hello.' --vendor deepdub --url ws://127.0.0.1:8765/open", "to `voicecore emulate`"),
    after=f"{output.EXIT_CODES}\n\nThe key comes from the environment: DEEPDUB_API_KEY for deepdub, "
    "SIXTY_DB_API_KEY for 60db, VACHANA_API_KEY for vachana, UPLIFTAI_API_KEY for uplift.",
)


def say(
    text: Annotated[str, typer.Argument(help="What to say; - reads it from stdin.")],
    vendor: Annotated[str, typer.Option(help="Who says it: 60db, deepdub, uplift or vachana.")],
    voice: Annotated[str | None, typer.Option(help="The vendor's name for a voice. Default: the vendor's.")] = None,
    rate: Annotated[int, typer.Option(help="Sample rate in Hz.")] = 24_000,
    encoding: Annotated[str, typer.Option(metavar=ENCODINGS, help="Of the samples.")] = "pcm_s16le",
    out: Annotated[Path, typer.Option(help="A WAV file; - writes raw samples to stdout.")] = Path("say.wav"),
    url: Annotated[str | None, typer.Option(help="Instead of the vendor's own (ws:// or wss://).")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON (on stderr when --out is -).")
    ] = False,
) -> None:
    """Speak a text through a vendor, written as it comes."""
    output.stdout_is_audio(out == STANDARD)
    words = sys.stdin.read() if text == "-" else text
    writer = AudioWriter(out, AudioFormat(encoding, rate), raw=out == STANDARD)  # type: ignore[arg-type] # checked there
    with writer:
        metrics = trio.run(_speak, vendor, url, words, voice, writer)
    _tell(vendor, writer, metrics, as_json)


async def _speak(vendor: str, url: str | None, text: str, voice: str | None, writer: AudioWriter) -> Metrics:
    try:
        async with (
            connect_tts(vendor, url=url) as tts,
            tts.synthesize(text, voice=voice, output=writer.format) as speech,
        ):
            async for chunk in speech:
                # in a thread: a player that is slower than the vendor must not stop our answers to its pings
                await trio.to_thread.run_sync(writer.write, chunk.samples, abandon_on_cancel=True)
    except VoicecoreError as error:
        if writer.bytes_written:
            error.add_note(f"{writer.seconds:.3f} s were written to {writer.path}")
        raise
    return speech.metrics


def _tell(vendor: str, writer: AudioWriter, metrics: Metrics, as_json: bool) -> None:
    if as_json:
        value = {"vendor": vendor, "path": str(writer.path), **describe(writer.format), **numbers(metrics)}
        output.print_json(value)
        return
    ttfb, factor = metrics.ttfb or 0.0, metrics.real_time_factor or 0.0
    output.note(
        f"{writer.path}: {metrics.audio_seconds:.3f} s, {writer.format}; first byte after {ttfb:.3f} s, "
        f"real-time factor {factor:.3f}, {metrics.chunks} chunks"
    )


def numbers(metrics: Metrics) -> dict[str, Any]:
    """What was measured, as JSON. Times in seconds."""
    return {
        "ttfb": _rounded(metrics.ttfb),
        "audio_seconds": _rounded(metrics.audio_seconds),
        "real_time_factor": _rounded(metrics.real_time_factor),
        "chunks": metrics.chunks,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
