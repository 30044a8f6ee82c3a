"""The framer: whatever the chunks, the frames are those of the whole signal."""

import numpy as np
import pytest
from codec_oracles import cut, fixed, noise
from hypothesis import given
from hypothesis import strategies as st

from voicecore import codec
from voicecore.errors import ConfigurationError, FormatError, InvalidBufferError


def shaped(signal, frame_samples):
    """The whole frames of a signal, and what is left."""
    count = len(signal) // frame_samples
    return signal[: count * frame_samples].reshape(count, frame_samples, *signal.shape[1:]), signal[
        count * frame_samples :
    ]


def signal_of(frames, channels, dtype):
    pcm = noise(frames, channels, seed=frames)
    return pcm if dtype == "int16" else codec.to_float32(pcm)


@fixed
@given(
    st.integers(0, 200),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["int16", "float32"]),
    st.integers(1, 50),
    st.lists(st.integers(0, 5000), max_size=8),
    st.booleans(),
)
def test_frames_do_not_depend_on_the_chunks(frames, channels, dtype, frame_samples, cuts, pad):
    signal = signal_of(frames, channels, dtype)
    expected, rest = shaped(signal, frame_samples)
    framer = codec.Framer(frame_samples, channels=channels, dtype=dtype)
    chunks = cut(signal.tobytes(), cuts)
    made = [
        framer.process(form(chunk)) for chunk, form in zip(chunks, [bytes, bytearray, memoryview] * 9, strict=False)
    ]
    assert all(frame.dtype == dtype and frame.shape[1:] == expected.shape[1:] for frame in made)
    assert np.array_equal(np.concatenate(made), expected)
    tail = framer.flush(pad)
    if pad and len(rest):
        rest = np.concatenate([rest, np.zeros((frame_samples - len(rest), *rest.shape[1:]), dtype)])
    assert (tail.dtype, tail.shape) == (rest.dtype, rest.shape)
    assert np.array_equal(tail, rest)
    assert len(framer.flush(pad=True)) == 0
    assert framer.dangling_bytes == 0


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("channels", [1, 2])
def test_arrays_and_large_chunks(channels, dtype):
    signal = signal_of(300_007, channels, dtype)
    expected, rest = shaped(signal, 160)
    framer = codec.Framer(160, channels=channels, dtype=np.dtype(dtype))
    for form in (np.ascontiguousarray, bytearray, bytes):
        whole = form(signal) if form is np.ascontiguousarray else form(signal.tobytes())
        assert np.array_equal(framer.process(whole), expected)
        assert np.array_equal(framer.flush(), rest)


def test_duration_is_samples_at_a_rate():
    framer = codec.Framer(duration=0.02, sample_rate=8000)
    assert (framer.frame_samples, framer.channels, framer.dtype) == (160, 1, "int16")
    assert repr(framer) == "Framer(160, channels=1, dtype='int16')"
    assert codec.Framer(duration=0.01, sample_rate=44100).frame_samples == 441
    assert framer.process(bytes(640)).shape == (2, 160)
    assert [frame.shape for frame in framer.process(bytes(640))] == [(160,), (160,)]
    assert framer.process(b"").shape == (0, 160)
    assert codec.Framer(5, channels=2).process(b"").shape == (0, 5, 2)


def test_out_is_written_and_too_small_a_one_consumes_nothing():
    signal = noise(100, 2)
    framer = codec.Framer(10, channels=2)
    framer.process(signal[:5])
    with pytest.raises(InvalidBufferError, match="output buffer too small: expected at least 180 items, got 160"):
        framer.process(signal[5:95], out=np.empty(160, np.int16))
    for out in (np.empty(400, np.int16), np.empty((20, 20), np.int16)):
        framer.reset()
        framer.process(signal[:5])
        frames = framer.process(signal[5:95], out=out)
        assert frames.shape == (9, 10, 2)
        assert np.shares_memory(frames, out)
        assert np.array_equal(frames, shaped(signal[:90], 10)[0])
        assert np.array_equal(framer.flush(), signal[90:95])
    with pytest.raises(InvalidBufferError, match="memory that overlaps the input"):
        framer.process(signal, out=signal.reshape(-1))


def test_reset_and_flush_begin_a_new_stream():
    framer = codec.Framer(10)
    framer.process(bytes(7))
    assert framer.flush().shape == (3,)
    assert framer.dangling_bytes == 1
    framer.process(bytes(7))
    framer.reset()
    assert framer.dangling_bytes == 0
    assert framer.process(bytes(20)).shape == (1, 10)


@pytest.mark.parametrize(
    "wrong", [{}, {"duration": 0.02}, {"sample_rate": 8000}, {"frame_samples": 1, "duration": 0.1}]
)
def test_the_size_is_given_in_one_way(wrong):
    with pytest.raises(ConfigurationError, match="expected frame_samples, or duration and sample_rate"):
        codec.Framer(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frame_samples": 0}, "frame_samples: expected 1 to 1048576, got 0"),
        ({"frame_samples": -1}, "frame_samples: expected 1 to 1048576, got -1"),
        ({"frame_samples": 2**20 + 1}, "frame_samples: expected 1 to 1048576"),
        ({"frame_samples": 1.5}, "frame_samples: expected 1 to 1048576, got 1.5"),
        ({"frame_samples": 1, "channels": 0}, "channels: expected 1 to 64, got 0"),
        ({"frame_samples": 1, "dtype": "uint8"}, "dtype: expected int16 or float32, got 'uint8'"),
        ({"duration": 0.02, "sample_rate": 11025}, r"duration: expected .*, got 0.02 s, 220.5 samples at 11025 Hz"),
        ({"duration": 0.0, "sample_rate": 8000}, "duration: expected"),
        ({"duration": float("nan"), "sample_rate": 8000}, "duration: expected"),
        ({"duration": 1e9, "sample_rate": 8000}, "duration: expected"),
        ({"duration": 0.02, "sample_rate": 0}, "sample_rate: expected 4000 to 192000 Hz"),
    ],
)
def test_other_parameters_are_refused(wrong, message):
    with pytest.raises(FormatError, match=message):
        codec.Framer(**wrong)


@pytest.mark.parametrize("wrong", [np.zeros(4, np.float32), np.zeros(4, np.int16), np.zeros((4, 3), np.int16), "text"])
def test_other_buffers_are_refused(wrong):
    with pytest.raises(InvalidBufferError, match="x: expected"):
        codec.Framer(2, channels=2).process(wrong)
