"""Levels: against numpy in double precision, and what 0 dBFS is."""

import math

import numpy as np
import pytest
from codec_oracles import fixed, noise, stdlib_audioop
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from voicecore import codec
from voicecore.errors import InvalidBufferError

audioop = stdlib_audioop()

INT16 = arrays.arrays(np.int16, st.integers(0, 600))
FLOAT32 = arrays.arrays(np.float32, st.integers(0, 600), elements=st.floats(-1, 1, width=32))


def full_scale(x):
    return x.astype(np.float64) / (32768 if x.dtype == np.int16 else 1)


@fixed
@given(INT16 | FLOAT32)
def test_levels_are_those_of_numpy(x):
    levels = full_scale(x)
    rms = math.sqrt(np.mean(levels**2)) if len(x) else 0.0
    assert codec.rms(x) == pytest.approx(rms, rel=1e-12, abs=1e-300)
    assert codec.peak(x) == np.max(np.abs(levels), initial=0)
    assert codec.dbfs(x) == pytest.approx(20 * math.log10(rms) if rms else -math.inf, abs=1e-9)


@pytest.mark.parametrize("size", [1, 159, 960, 300_001])
def test_every_form_of_the_same_samples(size):
    pcm = noise(size)
    rms, peak = codec.rms(pcm), codec.peak(pcm)
    shifted = memoryview(b"x" + pcm.tobytes())[1:]
    for form in (pcm.tobytes(), bytearray(pcm.tobytes()), shifted, pcm.reshape(-1, 1)):
        assert (codec.rms(form), codec.peak(form)) == (rms, peak)
    floats = codec.to_float32(pcm)
    assert codec.rms(floats) == pytest.approx(rms, rel=1e-12)
    assert codec.peak(floats) == peak


@pytest.mark.skipif(audioop is None, reason="audioop left the standard library in 3.13")
def test_audioops_rms_is_the_same_cut_off():
    pcm = noise(5000)
    assert int(codec.rms(pcm) * 32768) == audioop.rms(pcm.tobytes(), 2)
    assert codec.peak(pcm) * 32768 == audioop.max(pcm.tobytes(), 2)


def test_zero_dbfs_is_a_full_scale_square():
    square = np.tile(np.float32([1, -1]), 500)
    assert codec.dbfs(square) == 0
    assert codec.dbfs(np.full(10, -32768, np.int16)) == 0
    assert codec.dbfs(square / 2) == pytest.approx(-6.0206, abs=1e-4)
    sine = np.sin(2 * np.pi * np.arange(8000) / 80).astype(np.float32)
    assert codec.dbfs(sine) == pytest.approx(-3.0103, abs=1e-4)
    assert codec.dbfs(np.stack([square, 0 * square], axis=1)) == pytest.approx(-3.0103, abs=1e-4)


@pytest.mark.parametrize("silent", [b"", b"\0\0", np.zeros(100, np.float32), np.zeros((0, 2), np.int16)])
def test_silence_is_minus_infinity(silent):
    assert (codec.rms(silent), codec.peak(silent), codec.dbfs(silent)) == (0.0, 0.0, -math.inf)


def test_what_is_no_number_shows():
    broken = np.zeros(100, np.float32)
    broken[50] = np.nan
    assert all(math.isnan(level(broken)) for level in (codec.rms, codec.peak, codec.dbfs))
    broken[50] = -np.inf
    assert codec.rms(broken) == codec.peak(broken) == codec.dbfs(broken) == math.inf


@pytest.mark.parametrize("wrong", [b"x", [1], "text", np.zeros(3), np.zeros((4, 2), np.uint8), noise(10)[::2]])
@pytest.mark.parametrize("level", [codec.rms, codec.peak, codec.dbfs])
def test_other_buffers_are_refused(level, wrong):
    with pytest.raises(InvalidBufferError, match="x: expected"):
        level(wrong)
