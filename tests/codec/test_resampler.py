"""Resampling: lengths, chunks and dtypes agree exactly; soxr is the second opinion on the sound."""

import numpy as np
import pytest
from codec_oracles import fixed, noise, quantised, tones
from hypothesis import given
from hypothesis import strategies as st

from voicecore import codec
from voicecore.errors import FormatError, InvalidBufferError

PAIRS = [(48000, 8000), (48000, 16000), (44100, 16000), (8000, 16000), (16000, 48000), (22050, 8000)]
ODD_PAIRS = [(11025, 16000), (44100, 48000), (32000, 8000), (8000, 44100), (8000, 8000), (4000, 192000)]
QUALITIES = ["hq", "voice", "low_latency"]


def rounded(frames, in_rate, out_rate):
    return (2 * frames * out_rate + in_rate) // (2 * in_rate)


def streamed(resampler, chunks):
    return np.concatenate([*(resampler.process(chunk) for chunk in chunks), resampler.flush()])


@pytest.mark.parametrize(("in_rate", "out_rate"), PAIRS + ODD_PAIRS)
@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("frames", [0, 1, 2, 441, 4321])
def test_length_is_exact(in_rate, out_rate, quality, frames):
    once = codec.resample(noise(frames), in_rate, out_rate, quality=quality)
    assert (once.shape, once.dtype) == ((rounded(frames, in_rate, out_rate),), np.int16)


@pytest.mark.fault(25, "tts", "stt")
@pytest.mark.parametrize(("in_rate", "out_rate"), PAIRS + ODD_PAIRS[:3])
@fixed
@given(
    sizes=st.lists(st.integers(0, 700), max_size=8),
    quality=st.sampled_from(QUALITIES),
    channels=st.integers(1, 3),
    dtype=st.sampled_from(["int16", "float32"]),
)
def test_chunks_do_not_matter(in_rate, out_rate, sizes, quality, channels, dtype):
    signal = noise(sum(sizes), channels)
    if dtype == "float32":
        signal = signal / np.float32(32768)
    chunks = np.split(signal, np.cumsum(sizes)[:-1]) if sizes else []
    resampler = codec.Resampler(in_rate, out_rate, channels=channels, dtype=dtype, quality=quality)
    result = streamed(resampler, chunks)
    once = codec.resample(signal, in_rate, out_rate, quality=quality)
    assert result.dtype == once.dtype == np.dtype(dtype)
    assert np.array_equal(result, once)
    # flush left it as new
    assert np.array_equal(streamed(resampler, chunks), once)


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_long_signal_equals_its_chunks(quality):
    signal = noise(100_000, 2)
    resampler = codec.Resampler(48000, 16000, channels=2, quality=quality)
    chunks = np.split(signal, range(960, 100_000, 960))
    assert np.array_equal(streamed(resampler, chunks), codec.resample(signal, 48000, 16000, quality=quality))


@pytest.mark.parametrize(("in_rate", "out_rate"), PAIRS)
@pytest.mark.parametrize("quality", QUALITIES)
def test_dtypes_agree_within_one_step(in_rate, out_rate, quality):
    signal = noise(5000)
    whole = codec.resample(signal, in_rate, out_rate, quality=quality).astype(int)
    floats = codec.resample(signal / np.float32(32768), in_rate, out_rate, quality=quality)
    assert np.abs(whole - quantised(floats).astype(int)).max() <= 1


@pytest.mark.parametrize("channels", [2, 3])
def test_channels_are_independent(channels):
    signal = noise(3000, channels)
    together = codec.resample(signal, 48000, 16000)
    for channel in range(channels):
        alone = codec.resample(np.ascontiguousarray(signal[:, channel]), 48000, 16000)
        assert np.array_equal(together[:, channel], alone)


WITHOUT_COPY = [*PAIRS, (11025, 16000), (44100, 48000), (32000, 8000), (8000, 44100)]


@pytest.mark.parametrize(("in_rate", "out_rate"), WITHOUT_COPY)
@pytest.mark.parametrize(("quality", "error"), [("hq", 3e-8), ("voice", 6e-7)])
def test_sines_in_the_pass_band_come_out_as_sines(in_rate, out_rate, quality, error):
    below = 0.9 * min(in_rate, out_rate) / 2
    result = codec.resample(tones(in_rate // 2, in_rate, below), in_rate, out_rate, quality=quality)
    assert rms_inside(result, tones(out_rate // 2, out_rate, below)) < error


@pytest.mark.parametrize(("in_rate", "out_rate"), WITHOUT_COPY)
@pytest.mark.parametrize("quality", ["hq", "voice"])
def test_soxr_agrees(in_rate, out_rate, quality):
    soxr = pytest.importorskip("soxr")
    signal = tones(in_rate // 2, in_rate, below=0.9 * min(in_rate, out_rate) / 2)
    ours = codec.resample(signal, in_rate, out_rate, quality=quality)
    # soxr's one-shot is off by some 1e-5 itself where the ratio is not whole.
    assert rms_inside(ours, soxr.resample(signal, in_rate, out_rate, quality="VHQ")) < 3e-5


def rms_inside(result, expected):
    """Root mean square of the difference, the edges left out."""
    frames = min(len(result), len(expected))
    inside = slice(frames // 5, -frames // 5)
    return np.sqrt(np.mean((result[:frames][inside] - expected[:frames][inside]) ** 2))


@pytest.mark.parametrize(("quality", "rejection"), [("hq", 1e-5), ("voice", 3e-4)])
def test_what_lies_beyond_the_band_is_gone(quality, rejection):
    beyond = np.sin(2 * np.pi * 5000 * np.arange(48000) / 48000).astype(np.float32) * np.float32(0.5)
    assert np.abs(codec.resample(beyond, 48000, 8000, quality=quality)[500:-500]).max() < rejection


@pytest.mark.parametrize("quality", QUALITIES)
def test_silence_stays_silent(quality):
    assert not codec.resample(np.zeros(5000, np.int16), 44100, 16000, quality=quality).any()


@pytest.mark.parametrize(("in_rate", "out_rate"), PAIRS)
@pytest.mark.parametrize("quality", QUALITIES)
def test_latency_is_what_is_held_back(in_rate, out_rate, quality):
    resampler = codec.Resampler(in_rate, out_rate, quality=quality)
    fed = emitted = 0.0
    held = []
    for _ in range(40):
        fed += 160 / in_rate
        emitted += len(resampler.process(noise(160))) / out_rate
        held.append(fed - emitted)
    assert resampler.latency == pytest.approx(np.mean(held[20:]), abs=2 / min(in_rate, out_rate))


def test_latency_grows_with_quality():
    low, voice, hq = (codec.Resampler(48000, 8000, quality=q).latency for q in reversed(QUALITIES))
    assert 0 < low < voice < hq < 0.02


def test_reset_forgets():
    resampler = codec.Resampler(48000, 16000)
    resampler.process(noise(1000, seed=1))
    resampler.reset()
    assert np.array_equal(streamed(resampler, [noise(999)]), codec.resample(noise(999), 48000, 16000))


def test_flush_of_nothing_is_empty():
    assert codec.Resampler(48000, 8000, channels=2).flush().shape == (0, 2)
    assert codec.Resampler(48000, 8000, dtype="float32").flush().dtype == np.float32


def test_raw_bytes_are_samples_of_the_dtype():
    stereo = noise(700, 2)
    floats = stereo / np.float32(32768)
    for signal, dtype in ((stereo, np.int16), (floats, np.dtype("float32"))):
        resampler = codec.Resampler(48000, 16000, channels=2, dtype=dtype)
        assert np.array_equal(streamed(resampler, [signal.tobytes()]), codec.resample(signal, 48000, 16000))


def test_out_takes_the_result_and_one_too_small_changes_nothing():
    resampler, twin = codec.Resampler(8000, 16000), codec.Resampler(8000, 16000)
    for _ in range(3):
        chunk = noise(160)
        with pytest.raises(InvalidBufferError, match="output buffer too small"):
            resampler.process(chunk, out=np.empty(3, np.int16))
        out = np.empty(1000, np.int16)
        result = resampler.process(chunk, out=out)
        assert np.shares_memory(result, out)
        assert np.array_equal(result, twin.process(chunk))


def test_attributes():
    resampler = codec.Resampler(44100, 16000, channels=2, dtype="float32", quality="voice")
    assert (resampler.in_rate, resampler.out_rate, resampler.channels) == (44100, 16000, 2)
    assert resampler.dtype == "float32"
    assert repr(resampler) == "Resampler(44100, 16000, channels=2, dtype='float32')"


@pytest.mark.parametrize("rate", [0, -8000, 3999, 192_001, 2**40, 8000.0, "8000", None])
def test_rates_outside_the_range_are_refused(rate):
    with pytest.raises(FormatError, match="in_rate: expected 4000 to 192000 Hz"):
        codec.Resampler(rate, 8000)
    with pytest.raises(FormatError, match="out_rate: expected 4000 to 192000 Hz"):
        codec.resample(noise(4), 8000, rate)


def test_other_parameters_outside_their_range_are_refused():
    with pytest.raises(FormatError, match="channels: expected 1 to 64, got 0"):
        codec.Resampler(8000, 16000, channels=0)
    with pytest.raises(FormatError, match="channels"):
        codec.resample(np.zeros((2, 65), np.int16), 8000, 16000)
    with pytest.raises(FormatError, match="quality: expected hq, voice or low_latency, got HQ"):
        codec.Resampler(8000, 16000, quality="HQ")
    for dtype in ("int32", ">i2", "no such thing", np.float64):
        with pytest.raises(FormatError, match="dtype: expected int16 or float32"):
            codec.Resampler(8000, 16000, dtype=dtype)


def test_input_of_another_dtype_or_shape_is_refused():
    stereo = codec.Resampler(48000, 8000, channels=2)
    with pytest.raises(InvalidBufferError, match="expected int16 or raw bytes, got float32"):
        stereo.process(np.zeros((4, 2), np.float32))
    for shape in ((4,), (4, 3), (4, 1)):
        with pytest.raises(InvalidBufferError, match=r"expected shape \(frames, 2\)"):
            stereo.process(np.zeros(shape, np.int16))
    with pytest.raises(InvalidBufferError, match="3 samples is not a whole number of frames"):
        stereo.process(bytes(6))
    with pytest.raises(InvalidBufferError, match="multiple of 2 bytes"):
        stereo.process(bytes(5))
    mono = codec.Resampler(48000, 8000)
    assert mono.process(np.zeros((480, 1), np.int16)).ndim == 1
