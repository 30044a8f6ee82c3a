"""`voicecore convert`: audio files between rates, encodings, channels and containers, in constant memory.

Reads and writes WAV, raw samples, MP3 and Opus in Ogg.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from voicecore.audio import AudioFormat
from voicecore.cli import output
from voicecore.cli.wavfile import BLOCK_BYTES, STANDARD, AudioWriter, MediaReader, open_input, shown
from voicecore.codec import Transcoder
from voicecore.errors import CodecError, ConfigurationError, ContainerError

if TYPE_CHECKING:
    from voicecore.cli.codedfile import CodedWriter

EPILOG = output.epilog(
    ("voicecore convert in.wav out.wav --rate 16000 --channels 1", ""),
    ("voicecore convert in.wav phone.wav --rate 8000 --encoding mulaw", ""),
    ("voicecore convert in.mp3 out.wav --rate 16000", "MP3, or Opus in Ogg"),
    ("voicecore convert in.wav out.mp3 --bit-rate 96000", "as its name says; .ogg and .opus are Opus"),
    ("voicecore convert call.ul out.wav --in-rate 8000 --in-encoding mulaw", "raw input"),
    ("voicecore convert - - --rate 8000 --raw < in.wav > out.pcm", "a pipe"),
)
CODED = ("mp3", "opus")
WRITTEN = ("pcm_s16le", "pcm_f32le", "mulaw", "alaw")
ENCODINGS = "|".join(WRITTEN)
WIDE = ("pcm_s24le", "pcm_s32le")
OUT_ENCODINGS = "|".join((*WRITTEN, *WIDE, *CODED))
BY_SUFFIX = {".mp3": "mp3", ".ogg": "opus", ".opus": "opus"}  # of OUT; all else is WAV


class Quality(StrEnum):
    """Of the sample-rate conversion."""

    HQ = "hq"
    VOICE = "voice"
    LOW_LATENCY = "low_latency"


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A WAV, MP3, Ogg (Opus) or raw file; - for stdin.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A .wav, .mp3, .ogg or .opus file; - for stdout.")],
    rate: Annotated[int | None, typer.Option(help="Sample rate of OUT in Hz. Default: as IN.")] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar=OUT_ENCODINGS, help="Encoding of OUT. Default: as its name says, else as IN.")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of OUT. Default: as IN.")] = None,
    quality: Annotated[Quality, typer.Option(help="Of the sample-rate conversion.")] = Quality.HQ,
    in_rate: Annotated[int | None, typer.Option(help="IN is raw, at this rate in Hz.")] = None,
    in_encoding: Annotated[
        str | None, typer.Option(metavar=ENCODINGS, help="Encoding of raw IN. Default: pcm_s16le.")
    ] = None,
    in_channels: Annotated[int | None, typer.Option(help="Channels of raw IN. Default: 1.")] = None,
    bit_rate: Annotated[
        int | None, typer.Option(help="Of an MP3 or Opus OUT, in bit/s. Default: 64000 for each channel.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write bare samples without a WAV header.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON (on stderr when OUT is -).")
    ] = False,
) -> None:
    """Convert audio between rates, channels and encodings.

    Works as a stream, in constant memory; what IN is, is seen from its content. A WAV that goes to a pipe has
    streaming sizes (0xFFFFFFFF). To write MP3 or Opus takes pip install 'voicecore[emulator]'.

    An IN that is cut short is an error; what there was of it is in OUT.
    """
    output.stdout_is_audio(target == STANDARD)
    assumed = raw_format(in_rate, in_encoding, in_channels)
    _refuse_same_file(source, target)
    wanted = _Wanted(_encoding(encoding, target, raw, bit_rate), rate, channels, quality.value)
    job = _Job(MediaReader(shown(source), assumed), wanted, target, raw, bit_rate)
    with open_input(source) as descriptor:
        job.run(descriptor)
    _tell(job, as_json)


def raw_format(rate: int | None, encoding: str | None, channels: int | None) -> AudioFormat | None:
    """The format of raw input that the options describe; None for WAV input."""
    if rate is None:
        if encoding is not None or channels is not None:
            raise ConfigurationError("raw input: its sample rate is needed beside its encoding or channels")
        return None
    return AudioFormat(encoding or "pcm_s16le", rate, channels or 1)  # type: ignore[arg-type] # checked there


def _encoding(given: str | None, target: Path, raw: bool, bit_rate: int | None) -> str | None:
    """The encoding of OUT, by option and name. Raises `ConfigurationError` where these do not fit together."""
    named = None if raw else BY_SUFFIX.get(target.suffix.lower())
    encoding = given or named
    if named is not None and encoding != named:
        raise ConfigurationError(f"encoding: expected {named} in {target}, got {encoding}")
    if encoding in CODED and target.suffix.lower() == ".wav":
        raise ConfigurationError(f"OUT: expected another name than .wav for {encoding}, got {target}")
    if encoding in CODED and raw:
        raise ConfigurationError(f"--raw: expected an encoding with samples, got {encoding}")
    if encoding not in CODED and bit_rate is not None:
        raise ConfigurationError(f"--bit-rate: expected mp3 or opus, got {encoding or 'an encoding as IN'}")
    return encoding


class _Wanted(NamedTuple):
    """What the options say of OUT; None: as IN, and pcm_s16le if OUT cannot have that encoding."""

    encoding: str | None
    rate: int | None
    channels: int | None
    quality: Literal["hq", "voice", "low_latency"]

    def of(self, source: AudioFormat) -> AudioFormat:
        """The format of OUT for this IN."""
        channels = source.channels if self.channels is None else self.channels
        if self.encoding in CODED:
            from voicecore.cli.codedfile import coded_format

            return coded_format(self.encoding, self.rate, source.sample_rate, channels)  # type: ignore[arg-type]
        return AudioFormat(
            self.encoding or ("pcm_s16le" if source.is_coded else source.encoding),  # type: ignore[arg-type] # checked there
            source.sample_rate if self.rate is None else self.rate,
            channels,
        )


class _Job:
    """One conversion: the input's format, once it is known, decides the rest."""

    def __init__(
        self, reader: MediaReader, wanted: _Wanted, target: Path, raw: bool, bit_rate: int | None = None
    ) -> None:
        self.reader = reader
        self._wanted = wanted
        self._target = target
        self._raw = raw
        self._bit_rate = bit_rate
        self._transcoder: Transcoder | None = None
        self._pack: Callable[[Any], Any] = lambda samples: samples
        self.writer: AudioWriter | CodedWriter | None = None

    def run(self, descriptor: int) -> None:
        """Reads everything, writes everything; what was written before an error is a complete file."""
        try:
            for block in _blocks(descriptor):
                self._pass(self.reader.feed(block))
            self._pass(self.reader.finish())
            self._finish()
        except CodecError as error:
            if self.writer is not None:
                error.add_note(f"{self.writer.seconds:.3f} s were written to {self._target}")
            raise
        finally:
            if self.writer is not None:
                self.writer.close()

    @property
    def seconds(self) -> float:
        """Of IN; a coded stream is as long as what came of it."""
        coded = self.reader.format is not None and self.reader.format.is_coded
        return self.writer.seconds if coded and self.writer is not None else self.reader.seconds

    @property
    def damage(self) -> dict[str, int]:
        """Of a coded IN: what was skipped, and what was made up."""
        transcoder = self._transcoder
        if transcoder is None or not transcoder.source.is_coded:
            return {}
        return {"skipped_bytes": transcoder.skipped_bytes, "concealed_frames": transcoder.concealed_frames}

    def _pass(self, samples: bytes) -> None:
        source = self.reader.format
        if source is None:
            return
        if self._transcoder is None or self.writer is None:
            self._start(source)
        assert self._transcoder is not None
        assert self.writer is not None
        self.writer.write(self._pack(self._transcoder.process(samples)))

    def _start(self, source: AudioFormat) -> None:
        target = samples = self._wanted.of(source)
        if target.is_coded:
            from voicecore.cli.codedfile import CodedWriter

            self.writer = CodedWriter(self._target, target, self._bit_rate)
            samples = self.writer.samples_format
        elif target.encoding in WIDE:
            from voicecore.emulator.encoding import WIDENERS

            self._pack = WIDENERS[target.encoding]
            samples = AudioFormat("pcm_f32le", target.sample_rate, target.channels)
        self.writer = self.writer or AudioWriter(self._target, target, raw=self._raw)
        self._transcoder = Transcoder(source, samples, quality=self._wanted.quality)

    def _finish(self) -> None:
        if self._transcoder is not None and self.writer is not None:
            self.writer.write(self._pack(self._transcoder.flush()))
        self.reader.check_complete()
        assert self._transcoder is not None
        dangling, source = self._transcoder.dangling_bytes, self._transcoder.source
        if dangling:
            whole = "an incomplete packet" if source.is_coded else f"a frame of {source.frame_bytes}"
            raise ContainerError(f"the input ends with {dangling} bytes of {whole}")


def _blocks(descriptor: int) -> Iterator[bytes]:
    while block := os.read(descriptor, BLOCK_BYTES):
        yield block


def _refuse_same_file(source: Path, target: Path) -> None:
    if STANDARD not in (source, target) and source.exists() and target.exists() and source.samefile(target):
        raise ConfigurationError(f"IN and OUT are the same file: {source}")


def _tell(job: _Job, as_json: bool) -> None:
    writer = job.writer
    assert writer is not None  # a run that ends has seen a format
    if as_json:
        value = {
            "in": {**describe(job.reader.format), "seconds": round(job.seconds, 6), **job.damage},
            "out": {**describe(writer.format), "seconds": round(writer.seconds, 6), "path": str(writer.path)},
        }
        output.print_json(value)
    elif sys.stderr.isatty():
        output.note(f"{writer.path}: {writer.seconds:.3f} s, {writer.format}")
        if any(job.damage.values()):
            output.note("IN is damaged: " + ", ".join(f"{name} {count}" for name, count in job.damage.items()))


def describe(audio: AudioFormat | None) -> dict[str, str | int]:
    """A format as JSON."""
    assert audio is not None
    return {"encoding": audio.encoding, "sample_rate": audio.sample_rate, "channels": audio.channels}
