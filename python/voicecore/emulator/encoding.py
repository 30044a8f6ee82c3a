"""Encoders: 16-bit samples in, the messages of any wire format out. The emulator speaks through them.

Knows no vendor and no socket. Bare samples are our own codec's; MP3 and Opus in Ogg are made by LAME and libopus, which
PyAV brings (the `emulator` extra).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from voicecore.audio import AudioFormat, Encoding
from voicecore.codec import Transcoder
from voicecore.errors import ConfigurationError
from voicecore.protocol import Coding

# What each can encode; any other rate is resampled to the next one of these, and the stream says so.
RATES: dict[Encoding, tuple[int, ...]] = {
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),
}
MAX_CHANNELS = 2
_LIBRARIES: dict[Encoding, tuple[str, str]] = {"mp3": ("libmp3lame", "mp3"), "opus": ("libopus", "ogg")}
_LAYOUTS = {1: "mono", 2: "stereo"}
_UNTAGGED = {"write_xing": "0", "id3v2_version": "0"}  # as a stream has it: its length is not known yet


def encodable_rate(encoding: Encoding, wanted: int) -> int:
    """The rate to encode at, in Hz: the lowest that loses nothing, or the highest there is."""
    return min((rate for rate in RATES[encoding] if rate >= wanted), default=RATES[encoding][-1])


def expect_encoder(audio: AudioFormat) -> None:
    """Raises `ConfigurationError` if this machine cannot make this format."""
    if not audio.is_coded:
        return
    if importlib.util.find_spec("av") is None:
        raise ConfigurationError(f"no encoder for {audio.encoding}: pip install 'voicecore[emulator]'")
    if audio.channels > MAX_CHANNELS:
        raise ConfigurationError(f"channels: expected 1 or 2 for {audio.encoding}, got {audio.channels}")


class Sink(Protocol):
    """Where encoded bytes go; a file that can seek gets the length into its head at the end."""

    def write(self, data: bytes, /) -> Any: ...


class CodedStream:
    """One MP3 or Ogg Opus stream into a sink, in pages of `page_seconds` (Ogg). Call `close`, or it lacks its end.

    `tagged`: an MP3 begins with the tags that let a player trim it to the exact length; the sink must be able to seek.
    """

    def __init__(
        self, audio: AudioFormat, sink: Sink, bit_rate: int, *, page_seconds: float = 1.0, tagged: bool = False
    ) -> None:
        """`audio` is coded, at one of `RATES`. Raises `ConfigurationError` where `expect_encoder` does."""
        expect_encoder(audio)
        import av

        library, container = _LIBRARIES[audio.encoding]
        options = {"flush_packets": "1"}
        if container == "ogg":
            options["page_duration"] = str(round(page_seconds * 1e6))
        elif not tagged:
            options |= _UNTAGGED
        self._audio = audio
        self._layout = _LAYOUTS[audio.channels]
        self._file: Any = av.open(sink, "w", format=container, options=options)
        self._stream: Any = self._file.add_stream(library, audio.sample_rate, layout=self._layout, bit_rate=bit_rate)
        self._frames = 0

    def write(self, samples: npt.NDArray[np.int16]) -> None:
        """Appends samples of shape `(frames,)` or `(frames, channels)`, at the stream's rate."""
        if not len(samples):
            return
        from av import AudioFrame

        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=self._layout)
        frame.sample_rate, frame.time_base = self._audio.sample_rate, Fraction(1, self._audio.sample_rate)
        frame.pts = self._frames
        self._frames += len(samples)
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Encodes what is left. Nothing at all is written for no samples."""
        if self._frames:
            self._file.mux(self._stream.encode(None))
        self._file.close()


class _Memory:
    """A sink to take bytes from."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


class Chunk(NamedTuple):
    """One message's audio, before the vendor wraps it, and how long it lasts in seconds."""

    data: bytes
    seconds: float


class SampleChunks:
    """Chunks of so many samples each, every one packed for itself: bare samples, or whole coded files."""

    def __init__(self, transcoder: Transcoder, pack: Callable[[Any], bytes], seconds: float | None) -> None:
        """`seconds` of a chunk; None: all of it is one."""
        self._transcoder = transcoder
        self._pack = pack
        raw = transcoder.target
        self._raw = raw
        self._size = sys.maxsize if seconds is None else round(seconds * raw.sample_rate) * raw.frame_bytes
        self._rest = bytearray()

    def feed(self, pcm: bytes) -> list[Chunk]:
        """The chunks that are complete. One is held back, since the last may travel with the end."""
        self._rest += self._transcoder.process(pcm).tobytes()
        chunks = []
        while len(self._rest) > self._size:
            chunks.append(self._chunk(self._rest[: self._size]))
            del self._rest[: self._size]
        return chunks

    def finish(self) -> Chunk:
        """What is left; its data is empty if that is nothing."""
        rest = self._rest + self._transcoder.flush().tobytes()
        return self._chunk(rest) if rest else Chunk(b"", 0.0)

    def _chunk(self, samples: bytearray) -> Chunk:
        return Chunk(self._pack(samples), len(samples) / self._raw.byte_rate)


class StreamChunks:
    """Chunks of one coded stream, cut where so much audio has gone in."""

    def __init__(self, transcoder: Transcoder, audio: AudioFormat, bit_rate: int, seconds: float) -> None:
        self._transcoder = transcoder
        self._memory = _Memory()
        self._stream = CodedStream(audio, self._memory, bit_rate, page_seconds=seconds)
        self._rate = audio.sample_rate
        self._due = round(seconds * audio.sample_rate)  # frames
        self._frames = 0  # since the last chunk

    def feed(self, pcm: bytes) -> list[Chunk]:
        """The chunk that is due, if one is."""
        self._encode(self._transcoder.process(pcm))
        return [] if self._frames < self._due else [chunk for chunk in (self._take(),) if chunk.data]

    def finish(self) -> Chunk:
        """The end of the stream; its data is empty if there never was any audio."""
        self._encode(self._transcoder.flush())
        self._stream.close()
        return self._take()

    def _encode(self, samples: Any) -> None:
        self._stream.write(samples)
        self._frames += len(samples)

    def _take(self) -> Chunk:
        frames, self._frames = self._frames, 0
        return Chunk(self._memory.take(), frames / self._rate)


def chunks_of(in_rate: int, wire: AudioFormat, coding: Coding, seconds: float) -> SampleChunks | StreamChunks:
    """What turns mono samples at `in_rate` into messages of about `seconds` in a vendor's format."""
    voice = AudioFormat("pcm_s16le", in_rate)
    if not wire.is_coded:
        wide = wire.encoding in WIDENERS
        raw = AudioFormat("pcm_f32le" if wide else wire.encoding, wire.sample_rate, wire.channels)
        return SampleChunks(Transcoder(voice, raw), WIDENERS.get(wire.encoding, bytes), seconds)
    rate = encodable_rate(wire.encoding, wire.sample_rate)
    audio = AudioFormat(wire.encoding, rate, wire.channels, wire.container)
    transcoder = Transcoder(voice, AudioFormat("pcm_s16le", rate, wire.channels))
    if coding.pieces == "stream":
        return StreamChunks(transcoder, audio, coding.bit_rate, seconds)
    return SampleChunks(
        transcoder,
        lambda samples: encode_file(samples, audio, coding.bit_rate),
        seconds if coding.pieces == "files" else None,
    )


def encode_file(samples: Any, audio: AudioFormat, bit_rate: int) -> bytes:
    """A whole file of int16 samples (any buffer)."""
    memory = _Memory()
    stream = CodedStream(audio, memory, bit_rate)
    stream.write(np.frombuffer(samples, "<i2").reshape(-1, audio.channels))
    stream.close()
    return memory.take()


def _whole_numbers(samples: Any) -> npt.NDArray[np.int32]:
    """float32 in [-1, 1] (any buffer) as 32-bit integers."""
    scaled = np.rint(np.frombuffer(samples, "<f4").astype(np.float64) * 2**31)
    whole: npt.NDArray[np.int32] = np.clip(scaled, -(2**31), 2**31 - 1).astype("<i4")
    return whole


WIDENERS: dict[Encoding, Callable[[Any], bytes]] = {
    "pcm_s24le": lambda samples: _whole_numbers(samples).view(np.uint8).reshape(-1, 4)[:, 1:].tobytes(),
    "pcm_s32le": lambda samples: _whole_numbers(samples).tobytes(),
}
