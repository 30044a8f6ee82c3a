"""The transcoder: the kernels one after the other, however the stream is cut."""

import base64
import struct

import numpy as np
import pytest
from codec_oracles import cut, fixed, noise, quantised
from hypothesis import given
from hypothesis import strategies as st

from voicecore import AudioFormat, codec
from voicecore.errors import Base64Error, ContainerError, FormatError, InvalidBufferError

ENCODINGS = ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]
ENCODERS = {"mulaw": codec.encode_mulaw, "alaw": codec.encode_alaw}
DECODERS = {"mulaw": codec.decode_mulaw, "alaw": codec.decode_alaw}

FORMATS = st.builds(
    AudioFormat, st.sampled_from(ENCODINGS), st.sampled_from([8000, 16000, 44100, 48000]), st.integers(1, 3)
)


def composed(samples, source, target, quality):
    """The same by the kernels; `samples` as the source's ndarray."""
    if source == target:
        return samples
    if source.encoding in DECODERS:
        samples = DECODERS[source.encoding](samples)
    if "pcm_f32le" in (source.encoding, target.encoding) and samples.dtype == np.int16:
        samples = samples / np.float32(32768)
    if source.channels > 1 and target.channels == 1:
        samples = codec.downmix(samples, source.channels)
    samples = codec.resample(samples, source.sample_rate, target.sample_rate, quality=quality)
    if target.channels > 1 and source.channels == 1:
        samples = np.repeat(samples[:, None], target.channels, axis=1)
    if target.encoding in ENCODERS:
        return ENCODERS[target.encoding](samples)
    return quantised(samples) if target.encoding == "pcm_s16le" and samples.dtype != np.int16 else samples


def samples_of(source, frames):
    pcm = noise(frames, source.channels)
    if source.encoding == "pcm_f32le":
        return pcm / np.float32(32768)
    return ENCODERS[source.encoding](pcm) if source.encoding in ENCODERS else pcm


def streamed(transcoder, pieces):
    return np.concatenate([*(transcoder.process(piece) for piece in pieces), transcoder.flush()])


def wav(size, rate=8000, channels=1, tag=1, bits=16):
    block = channels * bits // 8
    fmt = struct.pack("<IHHIIHH", 16, tag, channels, rate, rate * block, block, bits)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + fmt + b"data" + struct.pack("<I", size)


@pytest.mark.fault(19, "tts", "stt")
@pytest.mark.fault(25, "tts", "stt")
@fixed
@given(
    source=FORMATS,
    target=FORMATS,
    quality=st.sampled_from(["hq", "voice", "low_latency"]),
    frames=st.integers(0, 700),
    cuts=st.lists(st.integers(0, 10_000), max_size=8),
)
def test_equals_the_kernels_for_any_cut(source, target, quality, frames, cuts):
    if 1 not in (source.channels, target.channels) and source.channels != target.channels:
        with pytest.raises(FormatError):
            codec.Transcoder(source, target)
        return
    samples = samples_of(source, frames)
    transcoder = codec.Transcoder(source, target, quality=quality)
    expected = composed(samples, source, target, quality)
    for _ in range(2):  # flush left it as new
        result = streamed(transcoder, cut(samples.tobytes(), cuts))
        assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
        assert np.array_equal(result, expected)
    assert transcoder.dangling_bytes == 0


@fixed
@given(sizes=st.lists(st.integers(0, 300), max_size=6), channels=st.integers(1, 2))
def test_arrays_equal_their_bytes(sizes, channels):
    for encoding in ENCODINGS:
        source = AudioFormat(encoding, 48000, channels)
        target = AudioFormat("pcm_s16le", 8000)
        chunks = [samples_of(source, size) for size in sizes]
        ours, twin = codec.Transcoder(source, target), codec.Transcoder(source, target)
        expected = streamed(twin, [chunk.tobytes() for chunk in chunks])
        assert np.array_equal(streamed(ours, chunks), expected)


@fixed
@given(cuts=st.lists(st.integers(0, 2000), max_size=10), channels=st.integers(1, 2))
def test_a_wav_header_is_the_truth(cuts, channels):
    source = AudioFormat("pcm_s16le", 16000, container="wav")
    target = AudioFormat("mulaw", 8000)
    pcm = noise(500, channels)
    data = wav(pcm.nbytes, rate=48000, channels=channels) + pcm.tobytes()
    result = streamed(codec.Transcoder(source, target), cut(data, cuts))
    real = AudioFormat("pcm_s16le", 48000, channels)
    assert np.array_equal(result, composed(pcm, real, target, "voice"))


@fixed
@given(sizes=st.lists(st.integers(0, 400), max_size=6))
def test_base64_equals_its_bytes(sizes):
    source, target = AudioFormat("pcm_s16le", 24000), AudioFormat("mulaw", 8000)
    ours, twin = codec.Transcoder(source, target), codec.Transcoder(source, target)
    for size in sizes:
        data = np.random.default_rng(size).bytes(size)
        text = base64.b64encode(data)
        assert np.array_equal(ours.process_base64(text.decode()), twin.process(data))
    assert np.array_equal(ours.flush(), twin.flush())


def test_a_base64_fault_consumes_nothing():
    source, target = AudioFormat("pcm_s16le", 24000), AudioFormat("pcm_s16le", 8000)
    ours, twin = codec.Transcoder(source, target), codec.Transcoder(source, target)
    chunk = noise(480).tobytes()
    text = base64.b64encode(chunk)
    for _ in range(3):
        with pytest.raises(Base64Error) as caught:
            ours.process_base64(text[:600] + b"*" + text[601:])
        assert caught.value.offset == 600
        assert np.array_equal(ours.process_base64(text), twin.process(chunk))


@pytest.mark.parametrize("container", ["raw", "wav"])
def test_out_takes_the_result_and_one_too_small_changes_nothing(container):
    source = AudioFormat("pcm_s16le", 48000, 2, container)
    target = AudioFormat("pcm_s16le", 16000, 2)
    ours, twin = codec.Transcoder(source, target), codec.Transcoder(source, target)
    chunk = noise(960, 2).tobytes()
    head = wav(0x7FFFFFFF, rate=48000, channels=2) if container == "wav" else b""
    for piece in (head + chunk, chunk, chunk[:-1], chunk[-1:]):
        expected = twin.process(piece)
        if len(expected):
            with pytest.raises(InvalidBufferError, match="output buffer too small"):
                ours.process(piece, out=np.empty((len(expected) - 1, 2), np.int16))
        for_exactly = np.empty((len(expected), 2), np.int16)
        assert np.array_equal(ours.process(piece, out=for_exactly), expected)
    assert np.array_equal(ours.flush(), twin.flush())


@pytest.mark.parametrize("frames", [20_000, 200_000])
def test_a_long_chunk_from_mutable_memory_and_into_out(frames):
    source, target = AudioFormat("pcm_s16le", 48000, 2), AudioFormat("mulaw", 8000)
    pcm = noise(frames, 2)
    expected = composed(pcm, source, target, "voice")
    out = np.zeros(50_000, np.uint8)
    transcoder = codec.Transcoder(source, target)
    for data in (pcm, pcm.tobytes(), bytearray(pcm.tobytes())):
        first = transcoder.process(data, out=out)
        assert np.shares_memory(first, out)
        assert np.array_equal(np.concatenate([first, transcoder.flush()]), expected)
        assert not out[len(first) :].any()


def test_a_huge_wav_result_is_no_view_of_a_far_larger_array():
    source = AudioFormat("pcm_s16le", 48000, container="wav")
    transcoder = codec.Transcoder(source, AudioFormat("pcm_s16le", 48000))
    pcm = noise(960)
    result = transcoder.process(wav(0, rate=48000) + pcm.tobytes())
    assert result.flags.owndata
    assert np.array_equal(result, pcm[: len(result)])


def test_dangling_bytes_are_dropped_and_counted():
    transcoder = codec.Transcoder(AudioFormat("pcm_s16le", 8000), AudioFormat("pcm_s16le", 8000))
    assert transcoder.process(b"\1\2\3").tolist() == [0x0201]
    assert transcoder.flush().tolist() == []
    assert transcoder.dangling_bytes == 1
    assert transcoder.process(b"\4\5").tolist() == [0x0504]


def test_reset_forgets():
    source, target = AudioFormat("pcm_s16le", 48000), AudioFormat("pcm_s16le", 8000)
    transcoder = codec.Transcoder(source, target)
    transcoder.process(noise(1001).tobytes()[:-1])
    transcoder.reset()
    pcm = noise(960)
    assert np.array_equal(streamed(transcoder, [pcm]), composed(pcm, source, target, "voice"))


def test_a_container_fault():
    transcoder = codec.Transcoder(AudioFormat("pcm_s16le", 8000, container="wav"), AudioFormat("pcm_s16le", 8000))
    with pytest.raises(ContainerError):
        transcoder.process(wav(0)[:12] + b"fmt \0\0\0\0")
    with pytest.raises(ContainerError):  # the stream has ended
        transcoder.process(b"\0\0")
    transcoder.reset()
    with pytest.raises(FormatError, match="8-bit PCM"):
        transcoder.process(wav(0, bits=8))
    transcoder.reset()
    assert transcoder.process(wav(4) + bytes(4)).tolist() == [0, 0]


def test_what_is_refused():
    pcm, stereo = AudioFormat("pcm_s16le", 8000), AudioFormat("pcm_s16le", 8000, 2)
    with pytest.raises(FormatError, match="container"):
        codec.Transcoder(pcm, AudioFormat("pcm_s16le", 8000, container="wav"))
    with pytest.raises(FormatError, match="quality"):
        codec.Transcoder(pcm, pcm, quality="best")
    with pytest.raises(AttributeError):
        codec.Transcoder("pcm_s16le", pcm)
    with pytest.raises(InvalidBufferError, match="data: expected bytes or samples of pcm_s16le 8000 Hz 1 ch"):
        codec.Transcoder(pcm, pcm).process(np.zeros(4, np.float32))
    with pytest.raises(InvalidBufferError, match=r"expected shape \(frames, 2\)"):
        codec.Transcoder(stereo, pcm).process(np.zeros(4, np.int16))
    with pytest.raises(InvalidBufferError, match="out: expected a writable, aligned array of int16"):
        codec.Transcoder(pcm, pcm).process(bytes(4), out=np.zeros(4, np.uint8))


def test_attributes():
    source, target = AudioFormat("pcm_s16le", 48000, 2), AudioFormat("mulaw", 8000)
    transcoder = codec.Transcoder(source, target)
    assert transcoder.source is source
    assert transcoder.target is target
    assert 0 < transcoder.latency < 0.01
    assert codec.Transcoder(source, source).latency == 0
    assert repr(transcoder) == "Transcoder(pcm_s16le 48000 Hz 2 ch -> mulaw 8000 Hz 1 ch)"
