"""The bank: what its transcoders give one by one."""

import numpy as np
import pytest
from codec_oracles import noise

from voicecore import AudioFormat, codec
from voicecore.errors import CodecError, ConfigurationError, InvalidBufferError

SOURCES = [
    AudioFormat("pcm_s16le", 48000, 2),
    AudioFormat("mulaw", 8000),
    AudioFormat("pcm_f32le", 16000),
    AudioFormat("pcm_s16le", 44100),
]
TARGETS = [
    AudioFormat("mulaw", 8000),
    AudioFormat("pcm_s16le", 16000),
    AudioFormat("pcm_s16le", 48000, 2),
    AudioFormat("pcm_f32le", 16000),
]


def transcoders(count):
    return [codec.Transcoder(SOURCES[i % 4], TARGETS[i % 4]) for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 4, 50])
@pytest.mark.parametrize("size", [0, 7, 640, 3840])
def test_equals_single_calls(count, size):
    bank, singles = codec.TranscoderBank(transcoders(count)), transcoders(count)
    assert len(bank) == count
    for turn in range(3):
        frames = [noise(size, seed=turn * count + i).tobytes()[:size] for i in range(count)]
        results = bank.process(frames)
        assert isinstance(results, list)
        for result, single, frame in zip(results, singles, frames, strict=True):
            expected = single.process(frame)
            assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
            assert np.array_equal(result, expected)


@pytest.mark.parametrize("threads", [2, 3, 64])
def test_threads_change_nothing(threads):
    count = 120  # 120 frames of 3840 bytes: enough for several threads
    bank, singles = codec.TranscoderBank(transcoders(count), threads=threads), transcoders(count)
    for turn in range(3):
        frames = [noise(1920, seed=turn * count + i).tobytes() for i in range(count)]
        frames[7] = bytearray(frames[7])
        for result, single, frame in zip(bank.process(frames), singles, frames, strict=True):
            assert np.array_equal(result, single.process(frame))


def test_a_failure_among_threads_names_its_stream():
    wav, raw = AudioFormat("pcm_s16le", 8000, container="wav"), AudioFormat("pcm_s16le", 8000)
    sources = [wav if i in (30, 60) else raw for i in range(80)]
    bank = codec.TranscoderBank([codec.Transcoder(source, raw) for source in sources], threads=4)
    bad_header = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(4000)
    with pytest.raises(CodecError) as caught:
        bank.process([bad_header if source is wav else bytes(4000) for source in sources])
    assert caught.value.index == 30
    assert [i for i, output in enumerate(caught.value.outputs) if output is None] == [30, 60]


@pytest.mark.parametrize("threads", [0, -1, 65])
def test_threads_are_1_to_64(threads):
    with pytest.raises(ConfigurationError, match=f"threads: expected 1 to 64, got {threads}"):
        codec.TranscoderBank([], threads=threads)


def test_results_outlive_each_other_and_the_bank():
    bank = codec.TranscoderBank(transcoders(4))
    frames = [noise(1920, seed=i).tobytes() for i in range(4)]
    kept = bank.process(frames)
    before = [result.copy() for result in kept]
    last = kept.pop()
    bank.process(frames[::-1])
    del bank, kept
    assert np.array_equal(last, before[3])
    assert last.flags.writeable and last.flags.aligned and last.flags.c_contiguous


def test_frames_of_every_kind():
    bank, singles = codec.TranscoderBank(transcoders(4)), transcoders(4)
    pcm = noise(960, 2)
    frames = [pcm, bytearray(160), noise(320) / np.float32(32768), memoryview(noise(882).tobytes())]
    for result, single, frame in zip(bank.process(tuple(frames)), singles, frames, strict=True):
        assert np.array_equal(result, single.process(frame))


def test_a_transcoder_comes_once():
    one = transcoders(1)
    with pytest.raises(ConfigurationError, match="transcoders: expected distinct ones"):
        codec.TranscoderBank(one + transcoders(2) + one)
    with pytest.raises(TypeError):
        codec.TranscoderBank([None])


def test_a_refused_frame_changes_no_stream():
    bank, twin = codec.TranscoderBank(transcoders(4)), codec.TranscoderBank(transcoders(4))
    good = [bytes(640)] * 4
    for bad in ([*good[:3], noise(4)[::2]], [*good[:3], None], good[:3], [*good, b""]):
        with pytest.raises(InvalidBufferError):
            bank.process(bad)
    frames = [noise(320, seed=i).tobytes() for i in range(4)]
    for result, expected in zip(bank.process(frames), twin.process(frames), strict=True):
        assert np.array_equal(result, expected)


def test_a_stream_that_fails_leaves_the_others_their_results():
    wav = AudioFormat("pcm_s16le", 8000, container="wav")
    raw = AudioFormat("pcm_s16le", 8000)
    bank = codec.TranscoderBank([codec.Transcoder(source, raw) for source in (raw, wav, raw)])
    bad_header = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(16)
    with pytest.raises(CodecError) as caught:
        bank.process([b"\1\0", bad_header, b"\2\0"])
    assert caught.value.index == 1
    first, failed, last = caught.value.outputs
    assert (first.tolist(), failed, last.tolist()) == ([1], None, [2])
