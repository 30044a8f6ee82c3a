"""What the codec is held against: slow, obvious code of other hands, and signals to feed.

Knows nothing of voicecore. The G.711 functions follow the reference code of ITU-T G.191 line by line.
"""

from __future__ import annotations

import importlib
import warnings
from itertools import pairwise
from types import ModuleType

import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, settings

I16 = npt.NDArray[np.int16]

#: The same examples on every run, however slow the machine.
fixed = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)


def stdlib_audioop() -> ModuleType | None:
    """The `audioop` of Python 3.11 and 3.12 (or audioop-lts), whose import warns; None without one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module("audioop")
        except ModuleNotFoundError:
            return None


# --- ITU-T G.191 -----------------------------------------------------------------------------------------


def mulaw_compress(sample: int) -> int:
    magnitude = min(((~sample if sample < 0 else sample) >> 2) + 33, 0x1FFF)
    segment = 1
    rest = magnitude >> 6
    while rest:
        segment += 1
        rest >>= 1
    code = ((8 - segment) << 4) | (0xF - ((magnitude >> segment) & 0xF))
    return code | 0x80 if sample >= 0 else code


def alaw_compress(sample: int) -> int:
    code = (~sample if sample < 0 else sample) >> 4
    if code > 15:
        exponent = 1
        while code > 31:
            code >>= 1
            exponent += 1
        code += (exponent << 4) - 16
    return (code | 0x80 if sample >= 0 else code) ^ 0x55


def mulaw_expand(code: int) -> int:
    sign = -1 if code < 0x80 else 1
    mantissa = ~code & 0xFF
    exponent = (mantissa >> 4) & 0x7
    step = 4 << (exponent + 1)
    return sign * ((0x80 << exponent) + step * (mantissa & 0xF) + step // 2 - 4 * 33)


def alaw_expand(code: int) -> int:
    magnitude = (code ^ 0x55) & 0x7F
    exponent, mantissa = magnitude >> 4, magnitude & 0xF
    mantissa = ((mantissa + 16 if exponent else mantissa) << 4) + 8
    mantissa <<= max(exponent - 1, 0)
    return mantissa if code > 127 else -mantissa


# --- signals ---------------------------------------------------------------------------------------------


def noise(frames: int, channels: int = 1, seed: int = 0) -> I16:
    """White int16 noise over the full scale; `(frames,)` or `(frames, channels)`."""
    shape = (frames,) if channels == 1 else (frames, channels)
    return np.random.default_rng(seed).integers(-32768, 32768, shape).astype(np.int16)


def tones(frames: int, rate: int, below: float, seed: int = 0) -> npt.NDArray[np.float32]:
    """Twelve sines below `below` Hz, together under 0.5."""
    random = np.random.default_rng(seed)
    time = np.arange(frames) / rate
    waves = [np.sin(2 * np.pi * f * time + p) for f, p in random.uniform((50, 0), (below, 6), (12, 2))]
    return (np.sum(waves, axis=0) / 24).astype(np.float32)


def quantised(floats: npt.NDArray[np.float32]) -> I16:
    """float32 to int16: scaled, rounded to nearest with ties to even, saturated."""
    return np.clip(np.rint(floats * np.float32(32768)), -32768, 32767).astype(np.int16)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in pieces; the cuts may lie anywhere, also twice at the same place."""
    edges = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]
