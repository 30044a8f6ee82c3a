"""int16 and float32, gain, mixing, up-mix and silence: against naive numpy, bit for bit."""

import math

import numpy as np
import pytest
from codec_oracles import fixed, noise, quantised
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from voicecore import codec
from voicecore.errors import ConfigurationError, FormatError, InvalidBufferError

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
#: Below and above the sizes from which calls detach, and some that are no multiple of a block.
SIZES = [0, 1, 511, 513, 960, 200_001]

ANY_FLOAT = st.floats(width=32) | st.sampled_from([0.5 / 32768, 1.5 / 32768, -0.5 / 32768, 1.0, -1.0])
INT16 = arrays.arrays(np.int16, st.integers(0, 80))
FLOAT32 = arrays.arrays(np.float32, st.integers(0, 80), elements=st.floats(-2, 2, width=32))


def assert_equal(result, expected):
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(result, expected, equal_nan=result.dtype == np.float32)


def assert_out_is_used(call, expected):
    """`out=` with room to spare: the result is its beginning, and nothing behind is touched."""
    out = np.full(expected.size + 7, 77, expected.dtype)
    result = call(out)
    assert_equal(result, expected)
    assert np.shares_memory(result, out) or result.size == 0
    assert (out[expected.size :] == 77).all()
    if expected.size:
        with pytest.raises(InvalidBufferError, match="output buffer too small"):
            call(np.empty(expected.size - 1, expected.dtype))
    with pytest.raises(InvalidBufferError, match="out: expected a writable"):
        call(np.empty(expected.size, np.float64))


# --- conversion ------------------------------------------------------------------------------------------


def test_every_sample_to_float_and_back():
    floats = codec.to_float32(EVERY_SAMPLE)
    assert_equal(floats, EVERY_SAMPLE.astype(np.float32) / np.float32(32768))
    assert_equal(codec.to_int16(floats), EVERY_SAMPLE)
    assert_out_is_used(lambda out: codec.to_float32(EVERY_SAMPLE, out=out), floats)
    assert_out_is_used(lambda out: codec.to_int16(floats, out=out), EVERY_SAMPLE)


@fixed
@given(arrays.arrays(np.float32, st.integers(0, 50), elements=ANY_FLOAT))
def test_any_float_is_rounded_and_saturated(x):
    with np.errstate(over="ignore"):
        expected = quantised(np.nan_to_num(x, posinf=2, neginf=-2))
    assert_equal(codec.to_int16(x), expected)
    assert_equal(codec.to_int16(x.tobytes()), expected)


@pytest.mark.parametrize("size", SIZES)
def test_conversion_of_every_size_and_shape(size):
    pcm = noise(size)
    floats = pcm.astype(np.float32) / np.float32(32768)
    stereo = noise(size, 2)
    for form in (pcm, pcm.tobytes(), bytearray(pcm.tobytes()), memoryview(b"x" + pcm.tobytes())[1:]):
        assert_equal(codec.to_float32(form), floats)
    assert_equal(codec.to_int16(bytearray(floats.tobytes())), pcm)
    assert_equal(codec.to_int16(codec.to_float32(stereo)), stereo)


def test_conversion_takes_the_other_dtype_only():
    with pytest.raises(InvalidBufferError, match="pcm: expected int16 or raw bytes, got float32"):
        codec.to_float32(np.zeros(3, np.float32))
    with pytest.raises(InvalidBufferError, match="x: expected float32 or raw bytes, got int16"):
        codec.to_int16(np.zeros(3, np.int16))
    with pytest.raises(InvalidBufferError, match="a multiple of 4 bytes, got 6 bytes"):
        codec.to_int16(bytes(6))


# --- gain ------------------------------------------------------------------------------------------------


def scaled(x, factor):
    with np.errstate(over="ignore"):
        product = x.astype(np.float64) * factor
        return np.clip(np.rint(product), -32768, 32767).astype(np.int16) if x.dtype == np.int16 else np.float32(product)


@fixed
@given(INT16 | FLOAT32, st.floats(-4, 4) | st.floats(allow_nan=False, allow_infinity=False))
def test_gain_is_numpys(x, factor):
    assert_equal(codec.gain(x, factor), scaled(x, factor))


@pytest.mark.parametrize("size", SIZES)
def test_gain_of_every_size_and_shape(size):
    pcm, stereo = noise(size), noise(size, 2)
    assert_equal(codec.gain(pcm.tobytes(), 0.7), scaled(pcm, 0.7))
    assert_equal(codec.gain(bytearray(pcm.tobytes()), -1.7), scaled(pcm, -1.7))
    assert_equal(codec.gain(stereo, factor=0.7), scaled(stereo, 0.7))
    assert_out_is_used(lambda out: codec.gain(pcm, 0.7, out=out), scaled(pcm, 0.7))


def test_gain_in_decibels():
    assert_equal(codec.gain(EVERY_SAMPLE, db=0), EVERY_SAMPLE)
    assert_equal(codec.gain(EVERY_SAMPLE, db=20), scaled(EVERY_SAMPLE, 10))
    assert_equal(codec.gain(EVERY_SAMPLE, db=-math.inf), np.zeros_like(EVERY_SAMPLE))
    x = noise(1000) // 4
    assert codec.dbfs(codec.gain(x, db=6)) - codec.dbfs(x) == pytest.approx(6, abs=1e-3)


def test_gain_wants_one_finite_factor():
    for factor in (math.nan, math.inf, -math.inf):
        with pytest.raises(FormatError, match="factor: expected a finite number, got"):
            codec.gain(b"", factor)
    for db in (math.nan, math.inf, 1e9):
        with pytest.raises(FormatError, match="db: expected decibels of a finite factor, got"):
            codec.gain(b"", db=db)
    with pytest.raises(ConfigurationError, match="gain: expected factor or db, got neither"):
        codec.gain(b"")
    with pytest.raises(ConfigurationError, match="gain: expected factor or db, got both"):
        codec.gain(b"", 1.0, db=0.0)


# --- mixing ----------------------------------------------------------------------------------------------


def mixed(streams):
    total = np.zeros(max(map(len, streams)), np.float64)
    for stream in streams:
        total[: len(stream)] += stream
    if streams[0].dtype == np.int16:
        return np.clip(total, -32768, 32767).astype(np.int16)
    return np.clip(total.astype(np.float32), -1, 1)


@fixed
@given(st.lists(INT16, min_size=1, max_size=9) | st.lists(FLOAT32, min_size=1, max_size=9))
def test_mix_is_the_saturated_sum(streams):
    assert_equal(codec.mix(streams), mixed(streams))
    assert_equal(codec.mix(tuple(reversed(streams[:2]))), mixed(streams[:2]))


@pytest.mark.parametrize("size", SIZES)
def test_mix_of_every_size_and_form(size):
    streams = [noise(size, seed=1), noise(size // 2, seed=2), noise(size // 3 + 1, seed=3)]
    expected = mixed(streams)
    forms = [streams[0].tobytes(), bytearray(streams[1].tobytes()), memoryview(b"x" + streams[2].tobytes())[1:]]
    assert_equal(codec.mix(forms), expected)
    assert_equal(codec.mix([stream.reshape(-1, 1) for stream in streams]), expected)
    assert_out_is_used(lambda out: codec.mix(streams, out=out), expected)


def test_mix_saturates_once_at_the_end():
    loud, back = np.full(4, 30000, np.int16), np.full(4, -30000, np.int16)
    assert codec.mix([loud, loud, back, back]).tolist() == [0] * 4
    assert codec.mix([loud, loud]).tolist() == [32767] * 4
    assert codec.mix([codec.to_float32(loud)] * 2).tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ([], "streams: expected at least one, got none"),
        ([b"ab", b"abc"], "streams: expected whole int16 samples, a multiple of 2 bytes, got 3 bytes"),
        ([b"ab", np.zeros(2, np.float32)], "streams: expected int16 or raw bytes, got float32"),
        ([np.zeros(2, np.float32), b"abcd"], "streams: expected float32, as the first one is, got raw bytes"),
        ([np.zeros((2, 2), np.int16)], r"streams: expected shape \(frames, 1\), got int16 of shape \(2, 2\)"),
        ([np.zeros(2)], "streams: expected bytes or a C-contiguous buffer .* got dtype float64"),
    ],
)
def test_mix_refuses(streams, message):
    with pytest.raises(InvalidBufferError, match=message):
        codec.mix(streams)


def test_mix_does_not_write_over_what_it_reads():
    memory = noise(100)
    for streams in ([memory[40:], noise(20)], [noise(20), memory[40:]]):
        with pytest.raises(InvalidBufferError, match="memory that overlaps the input"):
            codec.mix(streams, out=memory)
    with pytest.raises(TypeError):
        codec.mix(3)


# --- up-mix and silence ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3, 64])
def test_upmix_copies(size, channels):
    size = min(size, 20_001)
    mono = noise(size)
    expected = mono if channels == 1 else np.repeat(mono[:, None], channels, axis=1)
    assert_equal(codec.upmix(mono, channels), expected)
    assert_equal(codec.upmix(bytearray(mono.tobytes()), channels=channels), expected)
    assert_equal(codec.upmix(codec.to_float32(mono), channels), codec.to_float32(expected))
    assert_out_is_used(lambda out: codec.upmix(mono, channels, out=out), expected)
    if channels > 1 and size:
        assert_equal(codec.downmix(codec.upmix(mono, channels), channels), mono)


def test_upmix_refuses():
    assert codec.upmix(b"\1\0").tolist() == [[1, 1]]
    with pytest.raises(InvalidBufferError, match=r"mono: expected shape \(frames, 1\)"):
        codec.upmix(noise(4, 2))
    for channels in (0, 65, -1):
        with pytest.raises(FormatError, match="channels: expected 1 to 64"):
            codec.upmix(b"", channels)


@pytest.mark.parametrize("frames", [0, 1, 160, 200_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("dtype", ["int16", np.float32])
def test_silence_is_zeros(frames, channels, dtype):
    expected = np.zeros((frames, channels)[: 2 if channels > 1 else 1], dtype)
    assert_equal(codec.silence(frames, channels, dtype), expected)
    assert_out_is_used(lambda out: codec.silence(frames, channels, dtype, out=out), expected)


def test_silence_refuses():
    assert_equal(codec.silence(3), np.zeros(3, np.int16))
    for frames in (-1, 0.5, "1"):
        with pytest.raises(FormatError, match="frames: expected 0 or more, got"):
            codec.silence(frames)
    with pytest.raises(FormatError, match="dtype: expected int16 or float32, got 'uint8'"):
        codec.silence(1, 1, "uint8")
    with pytest.raises((MemoryError, ValueError)):
        codec.silence(2**62, 2)
