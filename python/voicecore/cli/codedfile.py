"""MP3 and Ogg Opus files and pipes: `CodedWriter` takes samples to bytes, with the encoders of the `emulator` extra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voicecore.audio import AudioFormat, Encoding
from voicecore.cli.wavfile import STANDARD, check_writable, standard_output
from voicecore.emulator.encoding import RATES, CodedStream, encodable_rate, expect_encoder
from voicecore.errors import ConfigurationError
from voicecore.vendors.options import expect_one_of, expect_range

BIT_RATE = 64_000  # bit/s of each channel, unless another is asked for
BIT_RATES = (8_000, 320_000)


def coded_format(encoding: Encoding, rate: int | None, in_rate: int, channels: int) -> AudioFormat:
    """The format of a file; `rate` None: whatever keeps all of `in_rate`. Raises `ConfigurationError` for what no
    encoder can make, and for a rate that this coding does not have."""
    expect_one_of(f"rate of {encoding}", rate, RATES[encoding])
    container = "ogg" if encoding == "opus" else "raw"
    audio = AudioFormat(encoding, rate or encodable_rate(encoding, in_rate), channels, container)  # type: ignore[arg-type]
    expect_encoder(audio)
    return audio


class _Pipe:
    """Nothing but writing: an encoder must not try to go back."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        return len(data)


class CodedWriter:
    """As `AudioWriter`: the file is made by the first write. An MP3 file gets tags with its exact length, a pipe none.

    `samples_format` is what `write` takes.
    """

    def __init__(self, path: Path, audio: AudioFormat, bit_rate: int | None) -> None:
        expect_range("bit rate", bit_rate, *BIT_RATES, whole=True)
        self.path = path
        self.format = audio
        self.samples_format = AudioFormat("pcm_s16le", audio.sample_rate, audio.channels)
        self._bit_rate = bit_rate or BIT_RATE * audio.channels
        self._frames = 0
        self._file: Any = None
        self._stream: CodedStream | None = None
        check_writable(path)

    @property
    def seconds(self) -> float:
        """Of audio, so far."""
        return self._frames / self.format.sample_rate

    def write(self, samples: npt.NDArray[np.int16]) -> None:
        """Appends samples."""
        if self._stream is None:
            self._stream = self._open()
        self._frames += len(samples)
        self._stream.write(samples)

    def close(self) -> None:
        """Completes the file."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        try:
            stream.close()
        finally:
            if self.path != STANDARD:
                self._file.close()

    def _open(self) -> CodedStream:
        try:
            self._file = standard_output() if self.path == STANDARD else self.path.open("wb")
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.path}: {error.strerror}") from None
        whole = self.path != STANDARD and self._file.seekable()
        return CodedStream(self.format, self._file if whole else _Pipe(self._file), self._bit_rate, tagged=whole)
