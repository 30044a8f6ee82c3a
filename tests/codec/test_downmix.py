"""Downmix: the floored mean, bit-equal to audioop.tomono where that exists."""

import numpy as np
import pytest
from codec_oracles import noise, stdlib_audioop

from voicecore import codec
from voicecore.errors import FormatError, InvalidBufferError

audioop = stdlib_audioop()

EDGES = np.array([-32768, -32767, -2, -1, 0, 1, 2, 32766, 32767], np.int16)


def floored_mean(frames):
    return np.floor_divide(frames.astype(np.int64).sum(axis=1), frames.shape[1]).astype(np.int16)


@pytest.mark.skipif(audioop is None, reason="audioop left the standard library in 3.13")
@pytest.mark.parametrize("frames", [1, 2, 33, 960, 50_000])
def test_stereo_equals_audioop_tomono(frames):
    pcm = noise(frames, channels=2)
    assert codec.downmix(pcm).tobytes() == audioop.tomono(pcm.tobytes(), 2, 0.5, 0.5)


def test_stereo_edges():
    pairs = np.array([(a, b) for a in EDGES for b in EDGES], np.int16)
    assert np.array_equal(codec.downmix(pairs), floored_mean(pairs))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 8, 64])
@pytest.mark.parametrize("frames", [0, 1, 17, 960, 40_001])
def test_int16_is_the_floored_mean(channels, frames):
    pcm = noise(frames * channels).reshape(frames, channels)
    mono = codec.downmix(pcm, channels)
    assert (mono.shape, mono.dtype) == ((frames,), np.int16)
    assert np.array_equal(mono, floored_mean(pcm))


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("frames", [0, 960, 50_000])
def test_float32_is_the_mean(channels, frames):
    pcm = (noise(frames * channels) / np.float32(32768)).reshape(frames, channels)
    mono = codec.downmix(pcm, channels)
    assert (mono.shape, mono.dtype) == ((frames,), np.float32)
    assert np.allclose(mono, pcm.astype(float).mean(axis=1), atol=1e-7)


def test_flat_and_raw_input_is_interleaved():
    pcm = noise(30, channels=3)
    expected = codec.downmix(pcm, 3)
    for flat in (pcm.ravel(), pcm.tobytes(), bytearray(pcm.tobytes()), memoryview(pcm.tobytes())):
        assert np.array_equal(codec.downmix(flat, channels=3), expected)


def test_what_is_refused():
    with pytest.raises(InvalidBufferError, match=r"expected shape \(frames, 2\), got int16 of shape \(4, 3\)"):
        codec.downmix(noise(4, channels=3))
    with pytest.raises(InvalidBufferError, match="5 samples is not a whole number of frames"):
        codec.downmix(noise(5))
    for channels in (0, -1, 65, 2.5, "2", None):
        with pytest.raises(FormatError, match="channels: expected 1 to 64"):
            codec.downmix(noise(4), channels)
