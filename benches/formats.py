"""MP3 and Opus against PyAV (FFmpeg) and miniaudio: seconds of audio, in pushes of 20 ms.

A stream at a time, from the first byte to the flush, with a decoder that is set up anew. The peers keep what makes
them faster: PyAV gives whatever sample type its decoder has; for Opus, which it cannot demux by pushes, it is given
the packets; miniaudio pulls from memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import miniaudio
import numpy as np

from benches.cases import Case
from benches.method import Contender
from voicecore import AudioFormat, codec

SECONDS = 5
STREAMS = 8
#: (rate, channels, bit rate)
MP3 = [(22_050, 1, 32_000), (24_000, 1, 64_000), (44_100, 2, 128_000)]
#: (channels, bit rate, application)
OPUS = [(1, 16_000, "voip"), (1, 32_000, "voip"), (2, 96_000, "audio")]


def formats() -> Iterator[Case]:
    for rate, channels, bit_rate in MP3:
        streams = [mp3(rate, channels, bit_rate, seed) for seed in range(STREAMS)]
        cut = [pushes(data) for data in streams]
        contenders = [
            Contender("ours", "run(x)", {"run": Ours(AudioFormat("mp3", rate, channels))}, cut),
            Contender("PyAV", "run(x)", {"run": pyav_mp3}, cut),
            Contender("miniaudio", "run(x)", {"run": Miniaudio(rate, channels)}, streams),
        ]
        size = f"{rate} Hz {channels} ch {bit_rate // 1000}k"
        yield Case("mp3, 5 s", size, contenders, {"PyAV": 1.0, "miniaudio": 1.0})
    for channels, bit_rate, application in OPUS:
        streams = [opus(channels, bit_rate, application, seed) for seed in range(STREAMS)]
        bare = [packets(data) for data in streams]
        source = AudioFormat("opus", 48_000, channels, container="ogg")
        contenders = [
            Contender("ours", "run(x)", {"run": Ours(source)}, [pushes(data) for data in streams]),
            Contender("PyAV opus", "run(x)", {"run": PyavOpus("opus", channels)}, bare),
            Contender("PyAV libopus", "run(x)", {"run": PyavOpus("libopus", channels)}, bare),
            Contender("PyAV int16", "run(x)", {"run": PyavOpus("opus", channels, int16=True)}, bare),
        ]
        size = f"{channels} ch {bit_rate // 1000}k {application}"
        yield Case("opus, 5 s", size, contenders, {"PyAV libopus": 1.0, "PyAV int16": 1.0})


# --- contenders ------------------------------------------------------------------------------------------


class Ours:
    """To int16 at the stream's own rate."""

    def __init__(self, source: AudioFormat) -> None:
        self._transcoder = codec.Transcoder(source, AudioFormat("pcm_s16le", source.sample_rate, source.channels))

    def __call__(self, chunks: list[bytes]) -> int:
        transcoder = self._transcoder
        return sum(len(transcoder.process(chunk)) for chunk in chunks) + len(transcoder.flush())


def pyav_mp3(chunks: list[bytes]) -> int:
    decoder: Any = av.CodecContext.create("mp3", "r")
    frames = 0
    for chunk in (*chunks, None):
        for packet in decoder.parse(chunk):
            frames += sum(frame.to_ndarray().shape[1] for frame in decoder.decode(packet))
    return frames


class PyavOpus:
    """Planes of float, or int16 as we give it: then its resampler converts, as in LiveKit."""

    def __init__(self, name: str, channels: int, *, int16: bool = False) -> None:
        self._name, self._layout, self._int16 = name, "mono" if channels == 1 else "stereo", int16

    def __call__(self, chunks: list[bytes]) -> int:
        decoder: Any = av.CodecContext.create(self._name, "r")
        decoder.sample_rate, decoder.layout = 48_000, self._layout
        frames = (frame for chunk in chunks for frame in decoder.decode(av.Packet(chunk)))
        if self._int16:
            converter = av.AudioResampler("s16", self._layout, 48_000)
            frames = (made for frame in frames for made in converter.resample(frame))
        return sum(frame.to_ndarray().shape[1] for frame in frames)


class Miniaudio:
    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels

    def __call__(self, data: bytes) -> int:
        pulls = miniaudio.stream_any(
            _Source(data),
            source_format=miniaudio.FileFormat.MP3,
            nchannels=self._channels,
            sample_rate=self._rate,
            frames_to_read=self._rate // 50,
        )
        return sum(len(samples) for samples in pulls)


class _Source(miniaudio.StreamableSource):
    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, num_bytes: int) -> bytes:
        return self._file.read(num_bytes)


# --- streams ---------------------------------------------------------------------------------------------


def pushes(data: bytes) -> list[bytes]:
    size = max(1, round(len(data) / SECONDS / 50))
    return [data[at : at + size] for at in range(0, len(data), size)]


def packets(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data)) as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


def mp3(rate: int, channels: int, bit_rate: int, seed: int) -> bytes:
    wrap = {"write_xing": "0", "id3v2_version": "0"}
    return _encoded("libmp3lame", "mp3", voice(rate, channels, seed), rate, bit_rate, {}, wrap)


def opus(channels: int, bit_rate: int, application: str, seed: int) -> bytes:
    options, wrap = {"application": application}, {"page_duration": "20000"}
    return _encoded("libopus", "ogg", voice(48_000, channels, seed), 48_000, bit_rate, options, wrap)


def voice(rate: int, channels: int, seed: int) -> Any:
    """Harmonics of a moving pitch, with pauses and breath; int16 of shape (frames, channels)."""
    random = np.random.default_rng(seed)
    t = np.arange(rate * SECONDS) / rate
    pitch = 2 * np.pi * np.cumsum(random.uniform(90, 220) + 30 * np.sin(4 * t + seed)) / rate
    one = sum(np.sin(k * pitch + k) / k for k in range(1, 20)) + random.normal(0, 0.1, len(t))
    samples = (5000 * np.clip(np.sin(9 * t + seed), 0, 1) * one).astype(np.int16)
    return np.ascontiguousarray(np.stack([samples] * channels, axis=1))


def _encoded(
    name: str, container: str, samples: Any, rate: int, bit_rate: int, options: dict[str, str], wrap: dict[str, str]
) -> bytes:
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=wrap) as output:
        stream: Any = output.add_stream(name, rate=rate, layout=layout, options=options)
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()
