"""What is compared with what, and the ratio that is the goal (from the project's measured anchors).

A goal names a peer and the least ratio of its time to ours. Frames of 20 ms unless a size is given.
"""

from __future__ import annotations

import base64
import importlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pybase64
import soxr

import voicecore.audioop
from benches.method import Contender
from voicecore import AudioFormat, codec

DISTINCT = 500
#: Bulk buffers are long enough to be no pattern; a few of them exceed any cache.
BULK_DISTINCT = 16
BULK_FRAMES = 320_000
STREAMS = 100
#: The ways to call us: with a new array for the result, and with the caller's.
OURS = ("ours", "ours, out=")


def _audioop() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("audioop")


audioop = _audioop()


@dataclass(frozen=True)
class Case:
    """Those of `OURS` against the others. `goals`: peer -> least ratio; "best" is the fastest of the others."""

    kernel: str
    size: str
    contenders: list[Contender]
    goals: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.kernel}, {self.size}"

    @property
    def ours(self) -> list[str]:
        return [contender.name for contender in self.contenders if contender.name in OURS]

    @property
    def peers(self) -> list[str]:
        return [contender.name for contender in self.contenders if contender.name not in OURS]


def cases() -> Iterator[Case]:
    yield from g711()
    yield from downmix()
    yield from base64_text()
    yield from messages()
    yield from drop_in()
    yield from hot_path()
    yield from bank()
    yield from resampling()


# --- signals ---------------------------------------------------------------------------------------------


def speech(frames: int, channels: int = 1) -> list[np.ndarray]:
    """Distinct int16 buffers with the amplitudes of speech: many small ones, few large ones."""
    random = np.random.default_rng(frames)
    shape = (frames,) if channels == 1 else (frames, channels)
    count = BULK_DISTINCT if frames >= BULK_FRAMES // 10 else DISTINCT
    loud = (random.laplace(0, 2500, shape) for _ in range(count))
    return [np.clip(samples, -32768, 32767).astype(np.int16) for samples in loud]


def as_bytes(arrays: list[np.ndarray]) -> list[bytes]:
    return [samples.tobytes() for samples in arrays]


def as_floats(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [samples / np.float32(32768) for samples in arrays]


def label(frames: int) -> str:
    return "bulk" if frames == BULK_FRAMES else str(frames)


# --- kernels ---------------------------------------------------------------------------------------------


def g711() -> Iterator[Case]:
    goals: dict[tuple[str, int], dict[str, float]] = {
        ("encode_mulaw", 160): {"audioop": 20},
        ("encode_mulaw", BULK_FRAMES): {"audioop": 130, "memcpy": 1 / 1.2},
        ("decode_mulaw", 160): {"audioop": 1.5},
        ("decode_mulaw", 960): {"audioop": 4},
        ("decode_mulaw", BULK_FRAMES): {"audioop": 6.5},
    }
    for law, theirs in (("mulaw", "ulaw"), ("alaw", "alaw")):
        for frames in (160, 960, BULK_FRAMES):
            for kind, peer in (("encode", f"audioop.lin2{theirs}(x, 2)"), ("decode", f"audioop.{theirs}2lin(x, 2)")):
                kernel = f"{kind}_{law}"
                yield g711_case(kernel, peer, frames, goals.get((kernel, frames), {}))
    for frames in (160, 960, BULK_FRAMES):
        yield from (alaw_case(kind, frames) for kind in ("encode", "decode"))


def g711_case(kernel: str, peer: str, frames: int, goals: dict[str, float]) -> Case:
    encoding = kernel.startswith("encode")
    data = as_bytes(speech(frames)) if encoding else as_bytes_mulaw(frames)
    out = np.empty(frames, np.uint8 if encoding else np.int16)
    copy = np.empty(len(data[0]), np.uint8)
    names = {"ours": getattr(codec, kernel), "audioop": audioop, "out": out, "copy": copy, "copyto": np.copyto}
    contenders = [
        Contender("ours", "ours(x)", names, data),
        Contender("ours, out=", "ours(x, out=out)", names, data),
        Contender("audioop", peer, names, data),
    ]
    if frames == BULK_FRAMES:
        arrays = [np.frombuffer(octets, np.uint8) for octets in data]
        contenders.append(Contender("memcpy", "copyto(copy, x)", names, arrays))
    return Case(kernel, label(frames), contenders, goals)


def alaw_case(kind: str, frames: int) -> Case:
    """The law without a figure of its own: it is to be as fast as its twin."""
    data = as_bytes(speech(frames)) if kind == "encode" else as_bytes_mulaw(frames)
    names = {law: getattr(codec, f"{kind}_{law}") for law in ("alaw", "mulaw")}
    contenders = [Contender("ours", "alaw(x)", names, data), Contender("our mu-law", "mulaw(x)", names, data)]
    return Case(f"{kind}_alaw", label(frames), contenders, {"our mu-law": 0.8})


def downmix() -> Iterator[Case]:
    for frames, goal in ((960, 20.0), (BULK_FRAMES, 15.0)):
        data = as_bytes(speech(frames, 2))
        names = {"ours": codec.downmix, "audioop": audioop, "out": np.empty(frames, np.int16)}
        contenders = [
            Contender("ours", "ours(x)", names, data),
            Contender("ours, out=", "ours(x, out=out)", names, data),
            Contender("audioop", "audioop.tomono(x, 2, 0.5, 0.5)", names, data),
        ]
        yield Case("downmix", label(frames), contenders, {"audioop": goal})


def base64_text() -> Iterator[Case]:
    for size, name, goal in ((960, "960 B", 2.5), (65_536, "64 KB", 2.5), (1 << 20, "1 MB", 1.2)):
        data = [base64.b64encode(octets) for octets in as_bytes(speech(size // 2))]
        names = {
            "ours": codec.decode_base64,
            "pybase64": pybase64.b64decode,
            "out": np.empty(size, np.uint8),
        }
        contenders = [
            Contender("ours", "ours(x)", names, data),
            Contender("ours, out=", "ours(x, out=out)", names, data),
            Contender("pybase64", "pybase64(x, validate=True)", names, data),
        ]
        yield Case("decode_base64", name, contenders, {"pybase64": goal})


def messages() -> Iterator[Case]:
    for size, name, goal in ((960, "960 B", 5.0), (65_536, "64 KB", 12.0)):
        texts = [base64.b64encode(octets).decode() for octets in as_bytes(speech(size // 2))]
        data = [
            json.dumps({"audio_chunk": {"context_id": f"ctx-{i}", "audioContent": text, "final": False}}).encode()
            for i, text in enumerate(texts)
        ]
        scanner = codec.AudioMessageScanner(("audio_chunk", "audioContent"), (("audio_chunk", "context_id"),))
        names = {
            "ours": scanner.scan,
            "loads": orjson.loads,
            "b64": pybase64.b64decode,
            "frombuffer": np.frombuffer,
        }
        peer = "m = loads(x)['audio_chunk']; m['context_id']; frombuffer(b64(m['audioContent'], validate=True), 'u1')"
        contenders = [
            Contender("ours", "ours(x)", names, data),
            Contender("orjson+pybase64", peer, names, data),
        ]
        yield Case("JSON message", name, contenders, {"orjson+pybase64": goal})


# --- voicecore.audioop against the original --------------------------------------------------------------

#: Calls on 960 samples by their width, each to be faster than the original. Wider samples were 16 bits once.
DROP_IN = {
    2: (
        "add(x, x, 2)",
        "alaw2lin(x, 2)",
        "avg(x, 2)",
        "bias(x, 2, 7)",
        "byteswap(x, 2)",
        "cross(x, 2)",
        "lin2adpcm(x, 2, None)",
        "lin2alaw(x, 2)",
        "lin2lin(x, 2, 4)",
        "lin2ulaw(x, 2)",
        "max(x, 2)",
        "maxpp(x, 2)",
        "minmax(x, 2)",
        "mul(x, 2, 0.7)",
        "ratecv(x, 2, 1, 48000, 8000, None)",
        "ratecv(x, 2, 1, 8000, 16000, None)",
        "ratecv(x, 2, 1, 8000, 11025, None, 2, 1)",
        "reverse(x, 2)",
        "rms(x, 2)",
        "tomono(x, 2, 0.3, 0.6)",
        "tostereo(x, 2, 0.3, 0.6)",
        "ulaw2lin(x, 2)",
    ),
    3: ("rms(x, 3)",),
    4: ("rms(x, 4)",),
}


def drop_in() -> Iterator[Case]:
    names = {"ours": voicecore.audioop, "original": audioop}
    for width, calls in DROP_IN.items():
        data = [audioop.lin2lin(octets, 2, width) for octets in as_bytes(speech(960))]
        for call in calls:
            contenders = [Contender("ours", f"ours.{call}", names, data)]
            contenders.append(Contender("audioop", f"original.{call}", names, data))
            yield Case(f"audioop.{call}", "960", contenders, {"audioop": 1.0})


# --- the hot path ----------------------------------------------------------------------------------------

STEREO = AudioFormat("pcm_s16le", 48_000, channels=2)
MULAW = AudioFormat("mulaw", 8_000)


class AudioopPath:
    def __init__(self) -> None:
        self.state: Any = None

    def __call__(self, frame: bytes) -> bytes:
        mono = audioop.tomono(frame, 2, 0.5, 0.5)
        narrow, self.state = audioop.ratecv(mono, 2, 1, 48_000, 8_000, self.state)
        return audioop.lin2ulaw(narrow, 2)


class SoxrPath:
    def __init__(self) -> None:
        self.stream = soxr.ResampleStream(48_000, 8_000, 1, dtype="int16", quality="HQ")
        # The fastest mu-law that numpy has: a table of all 65 536 codes.
        self.table = codec.encode_mulaw(np.arange(65_536, dtype=np.uint16).view(np.int16))

    def __call__(self, frame: bytes) -> np.ndarray:
        stereo = np.frombuffer(frame, np.int16).reshape(-1, 2).astype(np.int32)
        mono = ((stereo[:, 0] + stereo[:, 1]) >> 1).astype(np.int16)
        return self.table[self.stream.resample_chunk(mono).view(np.uint16)]


def hot_path() -> Iterator[Case]:
    data = as_bytes(speech(960, 2))
    peers = {"audioop": AudioopPath(), "soxr": SoxrPath()}
    for quality in ("hq", "voice"):
        transcoder = codec.Transcoder(STEREO, MULAW, quality=quality)
        names = {"ours": transcoder.process, "out": np.empty(200, np.uint8), **peers}
        contenders = [
            Contender("ours", "ours(x)", names, data),
            Contender("ours, out=", "ours(x, out=out)", names, data),
            Contender("audioop", "audioop(x)", names, data),
            Contender("numpy+soxr HQ", "soxr(x)", names, data),
        ]
        goals = {"audioop": 10.0, "numpy+soxr HQ": 7.0} if quality == "hq" else {}
        yield Case(f"48k stereo -> 8k mu-law, {quality}", "20 ms", contenders, goals)


def bank() -> Iterator[Case]:
    """One call per tick of many streams; the statement is one tick."""
    paths = [
        ("48k stereo -> 8k mu-law", STEREO, MULAW, as_bytes(speech(960, 2))),
        ("8k mu-law -> 16k", MULAW, AudioFormat("pcm_s16le", 16_000), as_bytes_mulaw(160)),
        ("8k mu-law -> 8k", MULAW, AudioFormat("pcm_s16le", 8_000), as_bytes_mulaw(160)),
    ]
    for name, source, target, frames in paths:
        ticks = [frames[i : i + STREAMS] for i in range(0, DISTINCT, STREAMS)]
        together = codec.TranscoderBank([codec.Transcoder(source, target) for _ in range(STREAMS)])
        singles = [codec.Transcoder(source, target).process for _ in range(STREAMS)]
        names = {"ours": together.process, "singles": singles}
        contenders = [
            Contender("ours", "ours(x)", names, ticks),
            Contender("single calls", "[call(f) for call, f in zip(singles, x)]", names, ticks),
        ]
        yield Case(f"bank, {name}", f"{STREAMS} streams", contenders, {"single calls": 1.5})


def as_bytes_mulaw(frames: int) -> list[bytes]:
    return as_bytes([codec.encode_mulaw(samples) for samples in speech(frames)])


# --- resampling ------------------------------------------------------------------------------------------

#: (from, to): stream goals for hq and voice, bulk goals for hq and voice
RATES = {
    (48_000, 8_000): (3.2, 5.0, 1.5, 2.0),
    (48_000, 16_000): (2.5, 5.0, 1.3, 2.0),
    (44_100, 16_000): (2.0, 3.5, 1.1, 2.0),
    (8_000, 16_000): (3.3, 3.5, 1.0, 2.0),
    (24_000, 8_000): (3.1, 3.5, 1.2, 2.0),
    (22_050, 8_000): (2.6, 3.5, 1.0, 2.0),
    (16_000, 48_000): (2.3, 3.5, 1.0, 2.0),
}
BULK_SECONDS = 10


def resampling() -> Iterator[Case]:
    for (in_rate, out_rate), goals in RATES.items():
        yield from resample_stream(in_rate, out_rate, goals[:2])
    for (in_rate, out_rate), goals in RATES.items():
        yield from resample_bulk(in_rate, out_rate, goals[2:])


def resample_stream(in_rate: int, out_rate: int, goals: tuple[float, ...]) -> Iterator[Case]:
    pcm = speech(in_rate // 50)
    for quality, goal in zip(("hq", "voice"), goals, strict=True):
        ours = codec.Resampler(in_rate, out_rate, quality=quality)
        soxr16, soxr32 = (soxr.ResampleStream(in_rate, out_rate, 1, dtype=d) for d in ("int16", "float32"))
        names = {"ours": ours.process, "soxr16": soxr16.resample_chunk, "soxr32": soxr32.resample_chunk}
        contenders = [
            Contender("ours", "ours(x)", names, pcm),
            Contender("soxr HQ int16", "soxr16(x)", names, pcm),
            Contender("soxr HQ float32", "soxr32(x)", names, as_floats(pcm)),
        ]
        yield Case(f"resample {in_rate}->{out_rate} {quality}", "20 ms", contenders, {"best": goal})


def resample_bulk(in_rate: int, out_rate: int, goals: tuple[float, ...]) -> Iterator[Case]:
    pcm = speech(in_rate * BULK_SECONDS)[:4]
    for quality, goal in zip(("hq", "voice"), goals, strict=True):
        names = {"resample": codec.resample, "soxr": soxr.resample}
        contenders = [
            Contender("ours", f"resample(x, {in_rate}, {out_rate}, quality='{quality}')", names, pcm),
            Contender("soxr HQ int16", f"soxr(x, {in_rate}, {out_rate})", names, pcm),
            Contender("soxr HQ float32", f"soxr(x, {in_rate}, {out_rate})", names, as_floats(pcm)),
        ]
        yield Case(f"resample {in_rate}->{out_rate} {quality}", f"{BULK_SECONDS} s", contenders, {"best": goal})
