"""Files and pipes of audio, raw or WAV: `InputReader` takes bytes to samples, `AudioWriter` samples to bytes.
`MediaReader` recognises MP3 and Opus in Ogg besides, which are for the `Transcoder` to decode.

Reading is the codec's `WavReader`, which trusts no size in a header since vendors' streams lie in them. A file is
not a stream: here a `data` chunk that ends before its declared size is an error.
Source: Microsoft's RIFF/WAVE registry (format tags 1, 3, 6, 7; a `fact` chunk for all but PCM).
"""

from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from voicecore.audio import AudioFormat
from voicecore.codec import WavReader, detect
from voicecore.errors import ConfigurationError, ContainerError

BLOCK_BYTES = 64 * 2**10
STREAMING_SIZE = 0xFFFF_FFFF  # what a writer says that cannot know
PLACEHOLDER_SIZE = 0x7FFF_F000  # sizes from here on, and 0, are placeholders: SoX writes this one
HEADER_SEARCH_BYTES = 2**20  # a `data` chunk behind more than this is not checked for its size
DETECT_BYTES = 4 * 2**20  # an MP3 whose ID3 tag (a picture) is longer is not recognised
STANDARD = Path("-")

_TAGS = {"pcm_s16le": 1, "pcm_s24le": 1, "pcm_s32le": 1, "pcm_f32le": 3, "alaw": 6, "mulaw": 7}


# --- reading ---------------------------------------------------------------------------------------------


class InputReader:
    """Bytes of a WAV (or, with `assumed`, raw) input in, bytes of samples out. Does no input itself."""

    def __init__(self, name: str, assumed: AudioFormat | None = None) -> None:
        self.delivered = 0  # bytes of samples
        self._name = name
        self._assumed = assumed
        self._reader = WavReader(assumed)
        self._head = bytearray()
        self._declared: int | None = None

    @property
    def format(self) -> AudioFormat | None:
        """The format of the samples; None until it is known."""
        return self._reader.format

    @property
    def seconds(self) -> float:
        """Of audio, so far."""
        return self.delivered / self.format.byte_rate if self.format else 0.0

    def feed(self, data: bytes) -> bytes:
        """The samples in the next bytes of the input. Raises `ContainerError` for a header that is none."""
        self._look_for_size(data)
        try:
            return self._count(self._reader.feed(data))
        except ContainerError as error:
            raise self._refuse(str(error)) from None

    def finish(self) -> bytes:
        """The last samples. Call `check_complete` once they are used."""
        try:
            return self._count(self._reader.finish())
        except ContainerError as error:
            raise self._refuse(str(error)) from None

    def check_complete(self) -> None:
        """Raises `ContainerError` if the input ended before the size that its header declares."""
        if self.format is None:
            raise self._refuse("no audio: the input is empty")
        declared = self._declared
        if declared is not None and 0 < self.delivered < declared < PLACEHOLDER_SIZE:
            raise self._refuse(f"truncated: expected {declared} bytes of audio, got {self.delivered}")

    def _refuse(self, why: str) -> ContainerError:
        return ContainerError(f"{self._name}: {why}")

    def _count(self, samples: bytes) -> bytes:
        self.delivered += len(samples)
        found = self.format
        if self._assumed is not None and found is not None and found != self._assumed:
            raise ConfigurationError(
                f"{self._name}: expected raw {self._assumed} as the options say, got a WAV header with {found}"
            )
        return samples

    def _look_for_size(self, data: bytes) -> None:
        if self._declared is None and len(self._head) < HEADER_SEARCH_BYTES:
            self._head += data
            self._declared = _declared_size(self._head)


class MediaReader(InputReader):
    """As `InputReader`; an MP3 or Ogg input passes through as it is, under the format that it has by its content."""

    def __init__(self, name: str, assumed: AudioFormat | None = None) -> None:
        super().__init__(name, assumed)
        self._waiting: bytearray | None = None if assumed else bytearray()
        self._coded: AudioFormat | None = None

    @property
    def format(self) -> AudioFormat | None:
        """The format of what `feed` gives; None until it is known."""
        return self._coded or super().format

    def feed(self, data: bytes) -> bytes:
        """The samples, or the coded bytes, in the next bytes of the input."""
        if self._waiting is None:
            return self._pass(data)
        self._waiting += data
        if not self._waiting.startswith(b"RIFF"):
            self._coded = detect(self._waiting)
            if self._coded is None and len(self._waiting) < DETECT_BYTES:
                return b""
        return self._decided()

    def finish(self) -> bytes:
        """The last samples."""
        waiting = b"" if self._waiting is None else self._decided()
        return waiting if self._coded else waiting + super().finish()

    def _decided(self) -> bytes:
        waiting, self._waiting = bytes(self._waiting or b""), None
        return self._pass(waiting)

    def _pass(self, data: bytes) -> bytes:
        if self._coded is None:
            return super().feed(data)
        self.delivered += len(data)
        return data


def _declared_size(head: bytes | bytearray) -> int | None:
    """The size that the first `data` chunk declares; None while it is not in `head`."""
    if head[:4] != b"RIFF":
        return None
    at = 12
    while at + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        if name == b"data":
            return int(size)
        at += 8 + size + size % 2
    return None


@contextmanager
def open_input(path: Path) -> Iterator[int]:
    """A file descriptor to read from; `-` is stdin. Raises `ConfigurationError` when it cannot be opened."""
    if path == STANDARD:
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def shown(path: Path) -> str:
    """The input's name in a message."""
    return "stdin" if path == STANDARD else str(path)


# --- writing ---------------------------------------------------------------------------------------------


def wav_header(audio: AudioFormat, data_bytes: int | None) -> bytes:
    """A WAV header for `audio`; `data_bytes` None when the length is not known yet."""
    frame = audio.frame_bytes
    bits = 8 * frame // audio.channels
    tag = _TAGS[audio.encoding]
    fmt = struct.pack("<HHIIHH", tag, audio.channels, audio.sample_rate, audio.byte_rate, frame, bits)
    known = data_bytes is not None and data_bytes < PLACEHOLDER_SIZE
    size = data_bytes if known and data_bytes is not None else STREAMING_SIZE
    chunks = _chunk(b"fmt ", fmt)
    if tag != 1:  # all but PCM: an extension of no bytes, and the number of frames
        frames = size // frame if known else STREAMING_SIZE
        chunks = _chunk(b"fmt ", fmt + bytes(2)) + _chunk(b"fact", struct.pack("<I", frames))
    riff = 4 + len(chunks) + 8 + size + size % 2 if known else STREAMING_SIZE
    return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + chunks + struct.pack("<4sI", b"data", size)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body


class AudioWriter:
    """Writes samples to a file as WAV or raw. The file is made by the first write, so a failure before any audio
    leaves nothing behind and nothing overwritten. Leaving the block completes the header where the file can seek.
    """

    def __init__(self, path: Path, audio: AudioFormat, *, raw: bool = False) -> None:
        self.path = path
        self.format = audio
        self.bytes_written = 0
        self._raw = raw
        self._file: Any = None
        check_writable(path)

    @property
    def seconds(self) -> float:
        """Of audio, so far."""
        return self.bytes_written / self.format.byte_rate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, samples: Any) -> None:
        """Appends samples: any C-contiguous buffer of whole frames in the writer's format."""
        if self._file is None:
            self._open()
        data = memoryview(samples).cast("B") if memoryview(samples).nbytes else memoryview(b"")
        self.bytes_written += data.nbytes
        self._write_all(data)

    def close(self) -> None:
        """Completes the file."""
        output, self._file = self._file, None
        if output is None:
            return
        try:
            if not self._raw:
                self._complete(output)
            output.flush()
        finally:
            if self.path != STANDARD:
                output.close()

    def _open(self) -> None:
        try:
            self._file = standard_output() if self.path == STANDARD else self.path.open("wb", buffering=0)
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.path}: {error.strerror}") from None
        if not self._raw:
            self._write_all(wav_header(self.format, None))

    def _write_all(self, data: bytes | memoryview) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _complete(self, output: Any) -> None:
        if self.bytes_written % 2:
            output.write(b"\0")
        # stdout may be a file that others append to: its header keeps the streaming sizes
        if self.path != STANDARD and output.seekable():
            output.seek(0)
            output.write(wav_header(self.format, self.bytes_written))


def standard_output() -> BinaryIO | io.FileIO:
    """Unbuffered, so that a thread that waits for a slow reader holds no lock at the interpreter's exit."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return sys.stdout.buffer  # no real file, as in a test
    return io.FileIO(descriptor, "wb", closefd=False)


def check_writable(path: Path) -> None:
    """A wrong path is better found before a vendor is paid."""
    if path == STANDARD:
        return
    if path.is_dir():
        raise ConfigurationError(f"cannot write {path}: it is a directory")
    if not path.parent.is_dir():
        raise ConfigurationError(f"cannot write {path}: there is no directory {path.parent}")
