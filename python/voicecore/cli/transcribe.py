"""`voicecore transcribe`: a file or a pipe of audio, recognised by a vendor while it is sent."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import trio
import typer

from voicecore.audio import AudioFormat
from voicecore.cli import output
from voicecore.cli.convert import ENCODINGS, describe, raw_format
from voicecore.cli.wavfile import BLOCK_BYTES, InputReader, open_input, shown
from voicecore.errors import ConfigurationError
from voicecore.events import Transcript
from voicecore.on_trio import connect_stt
from voicecore.recognition import SttStream
from voicecore.vendors import find_dialect

EPILOG = output.epilog(
    ("voicecore transcribe speech.wav --vendor 60db", ""),
    ("voicecore transcribe speech.wav --vendor 60db --language hi --language en --interim", ""),
    ("arecord -f S16_LE -r 16000 | voicecore transcribe - --vendor 60db", "live, from a microphone"),
    ("voicecore transcribe call.ul --vendor 60db --rate 8000 --encoding mulaw", "raw input"),
    after=(
        "[bold]--json[/bold] prints one object per line: for every transcript {type: transcript, text, is_final, "
        "speech_final, language, confidence, sentence_id, duration}, and at the end {type: end, text, in, cost}.\n\n"
        f"{output.EXIT_CODES}\n\nThe key comes from the environment: SIXTY_DB_API_KEY for 60db."
    ),
)
INTERIM_MS = 300
_SHOWN = ("text", "is_final", "speech_final", "language", "confidence", "sentence_id", "duration")


def transcribe(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A WAV or raw file; - for stdin.")],
    vendor: Annotated[str, typer.Option(help="Who listens, e.g. 60db.")],
    language: Annotated[
        list[str] | None, typer.Option(help="A language code; may be repeated. auto: the vendor detects it.")
    ] = None,
    interim: Annotated[bool, typer.Option("--interim", help="Also show interim results, on stderr.")] = False,
    rate: Annotated[int | None, typer.Option(help="FILE is raw, at this rate in Hz.")] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar=ENCODINGS, help="Encoding of a raw FILE. Default: pcm_s16le.")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of a raw FILE. Default: 1.")] = None,
    url: Annotated[str | None, typer.Option(help="Instead of the vendor's own (ws:// or wss://).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Recognise the speech in a file, as it is sent: finals on stdout as they come."""
    reader = InputReader(shown(source), raw_format(rate, encoding, channels))
    options = stt_options(vendor, url, language, interim)
    teller = _Teller(interim, as_json)
    with open_input(source) as descriptor:
        trio.run(_run, vendor, url, options, reader, descriptor, teller)


def stt_options(vendor: str, url: str | None, languages: list[str] | None, interim: bool) -> Any:
    """The vendor's option class with what the command line can say; not every vendor has every option."""
    kind = find_dialect(vendor, "stt", url).options
    has = {field.name for field in fields(kind)}
    chosen: dict[str, Any] = {}
    if languages:
        if "languages" not in has:
            raise ConfigurationError(f"--language: {vendor} takes none")
        chosen["languages"] = None if languages == ["auto"] else tuple(languages)
    if interim and "interim_results_frequency" in has:
        chosen["interim_results_frequency"] = INTERIM_MS
    return kind(**chosen)


class Finals:
    """The text of a stream so far: a final that refines the one before it takes its place."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._replace = False

    def add(self, transcript: Transcript) -> None:
        """Takes a transcript; interim ones change nothing."""
        if not transcript.is_final:
            return
        if self._replace:
            self._texts.pop()
        self._texts.append(transcript.text)
        self._replace = not transcript.speech_final

    @property
    def text(self) -> str:
        """All utterances, joined."""
        return " ".join(text for text in self._texts if text)


class _Teller:
    """Prints what is recognised."""

    def __init__(self, interim: bool, as_json: bool) -> None:
        self.finals = Finals()
        self._interim = interim
        self._as_json = as_json

    def hear(self, transcript: Transcript) -> None:
        self.finals.add(transcript)
        if self._as_json:
            if transcript.is_final or self._interim:
                body = {name: getattr(transcript, name) for name in _SHOWN}
                output.print_json({"type": "transcript", **body})
        elif transcript.speech_final and transcript.text:
            print(transcript.text, flush=True)
        elif self._interim and transcript.text:
            output.note(f"... {transcript.text}")

    def end(self, reader: InputReader, stream: SttStream) -> None:
        if not self._as_json:
            return
        heard = {**describe(reader.format), "seconds": round(reader.seconds, 6)}
        cost = stream.summary.cost if stream.summary else None
        output.print_json({"type": "end", "text": self.finals.text, "in": heard, "cost": cost})


async def _run(
    vendor: str, url: str | None, options: Any, reader: InputReader, descriptor: int, teller: _Teller
) -> None:
    async with connect_stt(vendor, url=url) as stt:
        samples = _samples(reader, descriptor)
        first = await anext(samples, b"")
        source = _expect_format(reader)
        async with (
            stt.stream(input=source, options=options) as stream,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_send, stream, first, samples)
            async for transcript in stream:
                teller.hear(transcript)
        teller.end(reader, stream)
    reader.check_complete()


async def _send(stream: SttStream, first: bytes, samples: AsyncIterator[bytes]) -> None:
    await stream.send(first)
    async for piece in samples:
        await stream.send(piece)
    await stream.finish()


async def _samples(reader: InputReader, descriptor: int) -> AsyncIterator[bytes]:
    """The samples in the input; the first piece comes once the format is known."""
    while block := await trio.to_thread.run_sync(os.read, descriptor, BLOCK_BYTES, abandon_on_cancel=True):
        if samples := reader.feed(block):
            yield samples
    yield reader.finish()


def _expect_format(reader: InputReader) -> AudioFormat:
    if reader.format is None:
        reader.check_complete()
    assert reader.format is not None
    return reader.format
