"""Memory of every kind: what is borrowed, copied, refused, and what two threads may do."""

import array
import threading

import numpy as np
import pytest
from codec_oracles import noise

from voicecore import AudioFormat, codec
from voicecore.errors import InvalidBufferError, StateError

PCM = noise(1000)
CODES = codec.encode_mulaw(PCM)

#: Sizes below and above the ones from which calls detach.
SIZES = [0, 1, 1000, 200_000]


def read_only(samples):
    view = samples.view()
    view.flags.writeable = False
    return view


# --- what is taken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "form",
    [
        lambda pcm: pcm.tobytes(),
        lambda pcm: bytearray(pcm.tobytes()),
        memoryview,
        read_only,
        lambda pcm: memoryview(pcm.tobytes()),
        lambda pcm: memoryview(bytearray(pcm.tobytes())),
        lambda pcm: np.frombuffer(pcm.tobytes(), np.int16),
        lambda pcm: np.frombuffer(pcm.tobytes(), np.int16)[:],
        lambda pcm: np.frombuffer(bytearray(pcm.tobytes()), np.uint8),
        lambda pcm: pcm.view(np.int8),
        lambda pcm: array.array("h", pcm.tobytes()),
        lambda pcm: memoryview(pcm).cast("B"),
        lambda pcm: memoryview(pcm).cast("B").cast("b"),
        lambda pcm: memoryview(pcm.tobytes()).cast("c"),
        lambda pcm: pcm.astype("<i2"),
    ],
    ids=range(15),
)
def test_every_exporter_gives_the_same(form, size):
    pcm = noise(size)
    expected = codec.encode_mulaw(pcm)
    given = form(pcm)
    for _ in range(2):
        assert np.array_equal(codec.encode_mulaw(given), expected)
        assert np.array_equal(codec.encode_mulaw(given, out=np.empty(size, np.uint8)), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_unaligned_memory_is_copied(size, dtype):
    pcm = noise(size) if dtype == np.int16 else noise(size) / np.float32(32768)
    shifted = np.frombuffer(b"x" + pcm.tobytes(), dtype, offset=1)
    assert size == 0 or not shifted.flags.aligned
    assert np.array_equal(codec.encode_mulaw(shifted), codec.encode_mulaw(pcm))
    assert np.array_equal(codec.downmix(shifted, 1), pcm)
    raw = memoryview(b"x" + noise(size).tobytes())[1:]
    assert np.array_equal(codec.encode_mulaw(raw), codec.encode_mulaw(noise(size)))


@pytest.mark.parametrize(
    "call",
    [
        codec.encode_mulaw,
        codec.decode_mulaw,
        codec.encode_alaw,
        codec.decode_alaw,
        codec.downmix,
        codec.decode_base64,
        lambda empty: codec.resample(empty, 48000, 8000),
        codec.Resampler(8000, 48000).process,
        codec.Transcoder(AudioFormat("pcm_s16le", 8000), AudioFormat("alaw", 16000)).process,
    ],
)
def test_zero_length_gives_zero_length(call):
    for empty in (b"", bytearray(), memoryview(b""), np.empty(0, np.uint8)):
        assert call(empty).shape == (0,)


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "actual"),
    [
        (b"abc", "a multiple of 2 bytes, got 3 bytes"),
        (PCM[::2], r"got shape \[500\], not C-contiguous"),
        (PCM[::-1], "not C-contiguous"),
        (PCM.reshape(10, 100).T, "not C-contiguous"),
        (memoryview(PCM)[::2], "got a non-contiguous buffer"),
        (PCM.astype(">i2"), "got dtype >i2"),
        (memoryview(PCM.astype(">i2")), 'got format ">h"'),
        (PCM.astype(np.uint16), "got dtype uint16"),
        (PCM.astype(np.int32), "got dtype int32"),
        (PCM.astype(np.float64), "got dtype float64"),
        (PCM > 0, "got dtype bool"),
        (array.array("i", [1]), 'got format "i"'),
        (PCM.reshape(10, 10, 10), r"got shape \[10, 10, 10\]"),
        (np.int16(3), "got dtype|got 0 dimensions|got int16"),
        (np.array(3, np.int16), r"got shape \[\]"),
        (CODES.reshape(500, 2), r"int16 or raw bytes, got raw bytes of shape \(500, 2\)"),
        ([1, 2, 3], "got list"),
        ("text", "got str"),
        (None, "got NoneType"),
        (3, "got int"),
    ],
)
def test_other_input_is_refused_with_expected_and_actual(given, actual):
    with pytest.raises(InvalidBufferError, match=f"pcm: expected .*{actual}"):
        codec.encode_mulaw(given)


@pytest.mark.parametrize(
    ("out", "actual"),
    [
        (np.empty(999, np.uint8), "expected at least 1000 items, got 999"),
        (np.empty(1000, np.int8), "got dtype int8"),
        (np.empty(1000, np.int16), "got dtype int16"),
        (read_only(np.empty(1000, np.uint8)), "got a read-only one"),
        (np.empty(2000, np.uint8)[::2], "not C-contiguous"),
        (np.empty((500, 2), np.uint8), r"shape \(frames,\), got shape \[500, 2\]"),
        (np.array(0, np.uint8), r"got shape \[\]"),
        (bytes(1000), "got a read-only one"),
        (bytearray(999), "expected at least 1000 items, got 999"),
        (memoryview(bytearray(2000))[::2], "got memoryview"),
        ([0] * 1000, "got list"),
        ("x" * 1000, "got str"),
    ],
)
def test_other_out_is_refused_with_expected_and_actual(out, actual):
    with pytest.raises(InvalidBufferError, match=actual):
        codec.encode_mulaw(PCM, out=out)


def test_big_endian_and_unaligned_out_are_refused():
    for out in (np.empty(1000, ">i2"), np.frombuffer(bytearray(2001), np.int16, offset=1)):
        with pytest.raises(InvalidBufferError, match="out: expected a writable, aligned array of int16"):
            codec.decode_mulaw(CODES, out=out)


@pytest.mark.parametrize("size", SIZES[1:])
def test_out_that_overlaps_the_input_is_refused(size):
    memory = np.zeros(4 * size, np.int16)
    for start in (0, size - 1, 2 * size - 1):  # out begins with, inside and at the end of the input
        codes = memory.view(np.uint8)[: 4 * size]
        with pytest.raises(InvalidBufferError, match="memory that overlaps the input"):
            codec.decode_mulaw(codes, out=memory[start:])
    codes = memory.view(np.uint8)[: 2 * size]
    assert codec.decode_mulaw(codes, out=memory[size : 3 * size]).base is not None


# --- what comes out --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_out_of_the_exact_shape_is_returned_itself(size):
    pcm, out = noise(size), np.empty(size, np.uint8)
    assert codec.encode_mulaw(pcm, out=out) is out


@pytest.mark.parametrize("size", SIZES)
def test_a_larger_out_gives_a_view_and_keeps_its_rest(size):
    pcm, out = noise(size), np.full(size + 5, 99, np.uint8)
    result = codec.encode_mulaw(pcm, out=out)
    assert result.base is out
    assert np.array_equal(result, codec.encode_mulaw(pcm))
    assert out[size:].tolist() == [99] * 5
    result[:] = 1  # a view can be written to
    assert size == 0 or out[0] == 1


@pytest.mark.parametrize("size", SIZES)
def test_out_can_be_any_writable_buffer(size):
    codes = np.resize(CODES, size)
    for out in (bytearray(2 * size + 4), memoryview(bytearray(2 * size + 4)), array.array("h", bytes(2 * size + 4))):
        result = codec.decode_mulaw(codes, out=out)
        assert np.array_equal(result, codec.decode_mulaw(codes))
        assert bytes(memoryview(out).cast("B"))[: 2 * size] == result.tobytes()


def test_out_for_several_channels_is_flat_or_wide():
    stereo = noise(100, 2)
    expected = codec.encode_mulaw(stereo)
    for out in (np.empty((100, 2), np.uint8), np.empty((120, 2), np.uint8), np.empty(230, np.uint8), bytearray(230)):
        result = codec.encode_mulaw(stereo, out=out)
        assert result.shape == (100, 2)
        assert np.array_equal(result, expected)
    for out in (np.empty((100, 3), np.uint8), np.empty((99, 2), np.uint8)):
        with pytest.raises(InvalidBufferError):
            codec.encode_mulaw(stereo, out=out)


@pytest.mark.parametrize("pcm", [PCM, PCM.reshape(500, 2)], ids=["mono", "stereo"])
def test_results_own_their_memory(pcm):
    first = codec.encode_mulaw(pcm)
    assert first.flags.owndata
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert not np.shares_memory(first, codec.encode_mulaw(pcm))


def test_a_view_keeps_out_alive():
    result = codec.encode_mulaw(PCM, out=bytearray(5000))
    assert np.array_equal(result, CODES)


def test_borrowed_memory_is_let_go():
    memory = bytearray(PCM.tobytes())
    codec.encode_mulaw(memory)
    memory.append(0)  # no export is left
    with pytest.raises(InvalidBufferError):
        codec.encode_mulaw(memory)
    memory.append(0)


# --- threads ---------------------------------------------------------------------------------------------

LONG = noise(3_000_000)
ROUNDS = 200


def meet(work, poke):
    """Runs `work` in a thread again and again until `poke` has met it at work; returns what work gave."""
    results = []
    for _ in range(ROUNDS):
        thread = threading.Thread(target=lambda: results.append(work()))
        thread.start()
        met = False
        while thread.is_alive() and not met:
            met = poke()
        thread.join()
        if met:
            return results
    raise AssertionError(f"no call met the other in {ROUNDS} rounds")


def refused(call):
    """Whether `call` finds its object in use."""
    try:
        call()
    except StateError as error:
        return "expected one thread at a time" in str(error)
    return False


def test_two_threads_in_one_resampler():
    resampler = codec.Resampler(48000, 16000)

    def work():
        resampler.reset()
        return np.concatenate([resampler.process(LONG), resampler.flush()])

    # an empty chunk changes nothing, so the worker's result stays what it is
    meet(work, lambda: refused(lambda: resampler.process(b"")))
    assert np.array_equal(work(), codec.resample(LONG, 48000, 16000))


def test_two_threads_in_one_transcoder():
    transcoder = codec.Transcoder(AudioFormat("pcm_s16le", 48000), AudioFormat("mulaw", 8000))
    bank = codec.TranscoderBank([transcoder])
    for poke in (lambda: transcoder.process(b""), transcoder.reset, lambda: bank.process([b""])):
        meet(lambda: transcoder.process(LONG), lambda poke=poke: refused(poke))


def test_a_bytearray_cannot_be_resized_while_it_is_read():
    memory = bytearray(LONG.tobytes())
    expected = codec.encode_mulaw(LONG)

    def resize():
        try:
            memory.extend(b"\0\0")
        except BufferError:
            return True
        del memory[-2:]
        return False

    results = meet(lambda: codec.encode_mulaw(memory), resize)
    assert all(np.array_equal(result[: len(expected)], expected) for result in results)


def test_a_thread_that_writes_meanwhile_changes_samples_only():
    memory = LONG.copy()
    allowed = codec.encode_mulaw(np.array([1, -1], np.int16)).tolist()
    memory[:] = 1

    def scribble():
        memory[::2] = -1
        memory[::2] = 1
        return True

    for result in meet(lambda: codec.encode_mulaw(memory), scribble):
        assert set(np.unique(result).tolist()) <= set(allowed)


def test_other_threads_run_while_a_long_call_works():
    turns = 0

    def count():
        nonlocal turns
        turns += 1
        return turns > 10

    turns_before = turns
    meet(lambda: codec.resample(LONG, 44100, 16000), count)
    assert turns > turns_before
