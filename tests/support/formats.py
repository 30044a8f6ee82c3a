"""Coded streams to decode, made by encoders of other hands, and what two other decoders make of them.

Knows nothing of voicecore. Encoders: FFmpeg's libmp3lame and libopus (PyAV). Decoders: FFmpeg's mp3 and libopus,
and libsndfile (mpg123 and libopus).
"""

from __future__ import annotations

import io
from fractions import Fraction
from functools import cache

import av
import numpy as np
import numpy.typing as npt
import soundfile

F32 = npt.NDArray[np.float32]


def voice(rate: int, seconds: float, channels: int = 1) -> npt.NDArray[np.int16]:
    """Something like a voice: harmonics of a pitch that moves, with pauses; the channels differ."""
    t = np.arange(round(rate * seconds)) / rate
    pitch = 2 * np.pi * np.cumsum(130 + 30 * np.sin(4 * t)) / rate
    loud = np.clip(np.sin(9 * t), 0, 1)
    one = sum(np.sin(k * pitch + k) / k for k in range(1, 20) if k * 160 < rate / 2)
    both = np.stack([one * loud, one * (1 - loud)], axis=1)[:, :channels]
    return np.ascontiguousarray(6000 * both).astype(np.int16)


@cache
def mp3(
    rate: int,
    channels: int = 1,
    bit_rate: int = 32_000,
    seconds: float = 0.5,
    *,
    bare: bool = False,
    options: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """An MP3 file; `bare`: without ID3 and Xing tags, as vendors stream it."""
    wrap = {"write_xing": "0", "id3v2_version": "0"} if bare else {}
    return _encode("libmp3lame", "mp3", rate, channels, bit_rate, seconds, dict(options), wrap)


@cache
def ogg(
    channels: int = 1,
    bit_rate: int = 24_000,
    seconds: float = 0.5,
    *,
    page_seconds: float = 1.0,
    options: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """An Ogg file with Opus."""
    wrap = {"page_duration": str(round(page_seconds * 1e6))}
    return _encode("libopus", "ogg", 48_000, channels, bit_rate, seconds, dict(options), wrap)


def _encode(
    codec: str,
    container: str,
    rate: int,
    channels: int,
    bit_rate: int,
    seconds: float,
    options: dict[str, str],
    wrap: dict[str, str],
) -> bytes:
    layout = "mono" if channels == 1 else "stereo"
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=wrap) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout, options=options)
        stream.bit_rate = bit_rate
        samples = voice(rate, seconds, channels)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate
        frame.pts, frame.time_base = 0, Fraction(1, rate)
        for source in (frame, None):
            output.mux(stream.encode(source))
    return file.getvalue()


def by_ffmpeg(data: bytes) -> F32:
    """FFmpeg's samples, (frames, channels)."""
    with av.open(io.BytesIO(data)) as file:
        frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
    return np.concatenate(frames, axis=1).T


def by_libsndfile(data: bytes) -> F32:
    """libsndfile's samples, (frames, channels)."""
    return soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0]


def pages(data: bytes) -> list[bytes]:
    """The pages of an Ogg file, by its own lengths."""
    found = []
    while data:
        assert data.startswith(b"OggS")
        laces = data[27 : 27 + data[26]]
        end = 27 + len(laces) + sum(laces)
        found.append(data[:end])
        data = data[end:]
    return found


def checksummed(page: bytes) -> bytes:
    """The page with its checksum put right, bit by bit."""
    page = page[:22] + bytes(4) + page[26:]
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc >> 31 else 0)
    return page[:22] + crc.to_bytes(4, "little") + page[26:]
