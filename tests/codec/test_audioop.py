"""The drop-in, held against the module it stands in for: same results, same states, same refusals.

The original is in Python 3.11 and 3.12; from 3.13 on `audioop-lts`, its copy, takes its place where it is
installed. Without either, the recorded results at the end remain.
"""

import array
import importlib.util
import math
import subprocess
import sys
import threading
import zlib
from types import ModuleType

import numpy as np
import pytest
from codec_oracles import fixed, stdlib_audioop
from hypothesis import given
from hypothesis import strategies as st

from voicecore import audioop
from voicecore.errors import StateError

original = stdlib_audioop()
needs_original = pytest.mark.skipif(original is None, reason="no audioop: it left the standard library in 3.13")

WIDTHS = (1, 2, 3, 4)
EDGES = st.sampled_from([0, 1, -1, 2, -2, 2**31 - 1, -(2**31), 2**30, -(2**30)])
FACTORS = st.floats() | st.sampled_from([0.5, 1.0, 0.0, -1.0, 2.0, 1e300])
FRAGMENTS = ("max", "minmax", "avg", "rms", "avgpp", "maxpp", "cross", "reverse", "byteswap")
LAWS = ("lin2ulaw", "ulaw2lin", "lin2alaw", "alaw2lin")


def outcome(module, name, *args):
    """What a call gives, or how it is refused: an `error` by its text, all else by its class."""
    try:
        result = getattr(module, name)(*args)
    except module.error as error:
        return "error", str(error)
    except Exception as error:
        return "raised", type(error)
    # A NaN equals itself here.
    return "returned", repr(result)


def assert_same(name, *args):
    assert outcome(audioop, name, *args) == outcome(original, name, *args)


@st.composite
def fragments(draw, width=None, samples=None):
    """A width and a fragment of it: noise, or samples at and beside the edges; now and then with an octet over."""
    width = width or draw(st.sampled_from(WIDTHS))
    samples = draw(st.integers(0, 40)) if samples is None else samples
    if draw(st.booleans()):
        return width, draw(st.binary(min_size=samples * width, max_size=samples * width))
    numbers = draw(st.lists(EDGES, min_size=samples, max_size=samples))
    return width, b"".join((n >> (32 - 8 * width)).to_bytes(width, "little", signed=True) for n in numbers)


# --- against the original --------------------------------------------------------------------------------


@needs_original
def test_every_public_name_is_there():
    public = {name for name in dir(original) if not name.startswith("_")}
    assert public == set(audioop.__all__)
    assert len(audioop.__all__) == 27
    assert audioop.error.__bases__ == original.error.__bases__ == (Exception,)


@needs_original
@fixed
@given(fragments())
def test_functions_of_one_fragment(given_fragment):
    width, fragment = given_fragment
    for name in FRAGMENTS + LAWS:
        assert_same(name, fragment, width)
    for width in (-1, 0, 5, 2**31 - 1, 2**31, 2.0, "2", None, *WIDTHS):
        for name in FRAGMENTS + LAWS:
            assert_same(name, fragment + b"x", width)


@needs_original
@pytest.mark.parametrize("width", WIDTHS)
def test_the_laws_for_every_input(width):
    samples = original.lin2lin(np.arange(-32768, 32768).astype("<i2").tobytes(), 2, width)
    for name in ("lin2ulaw", "lin2alaw"):
        assert getattr(audioop, name)(samples, width) == getattr(original, name)(samples, width)
    for name in ("ulaw2lin", "alaw2lin"):
        assert getattr(audioop, name)(bytes(range(256)), width) == getattr(original, name)(bytes(range(256)), width)


@needs_original
@fixed
@given(fragments(), FACTORS, FACTORS, st.integers(-(2**31), 2**31 - 1), st.integers(-2, 45))
def test_functions_with_numbers(given_fragment, left, right, bias, index):
    width, fragment = given_fragment
    assert_same("mul", fragment, width, left)
    assert_same("tomono", fragment, width, left, right)
    assert_same("tomono", fragment, width, 0.5, 0.5)
    assert_same("tostereo", fragment, width, left, right)
    assert_same("tostereo", fragment, width, 1, 1)
    assert_same("bias", fragment, width, bias)
    assert_same("getsample", fragment, width, index)
    for new_width in (*WIDTHS, 0, 5):
        assert_same("lin2lin", fragment, width, new_width)
    for wrong in (None, "1", 2**31, math.nan):
        for name in ("mul", "bias", "getsample", "lin2lin"):
            assert_same(name, fragment, width, wrong)


@needs_original
@fixed
@given(st.data(), st.sampled_from(WIDTHS), st.integers(0, 40))
def test_functions_of_two_fragments(data, width, samples):
    first, second = (data.draw(fragments(width, samples))[1] for _ in range(2))
    assert_same("add", first, second, width)
    assert_same("add", first, second + b"\0" * width, width)
    assert_same("add", first, second, 5)
    assert_same("findfactor", first, second)
    assert_same("findfactor", first, second + b"\0\0")
    pattern = second[: data.draw(st.integers(0, len(second) + 1))]
    assert_same("findfit", first, pattern)
    assert_same("findfit", first, first[2:6])
    assert_same("findfit", pattern, first)
    for length in (-1, 0, 1, samples // 2, samples, samples * width // 2, samples * width):
        assert_same("findmax", first, length)


@needs_original
@fixed
@given(fragments(), st.integers(-40000, 40000), st.integers(-2, 91))
def test_adpcm(given_fragment, predicted, index):
    width, fragment = given_fragment
    wrong = (0, (), (0,), (0, 0, 0), ("0", 0), (0.0, 0), (0, 2**31), [0, 0])
    for state in (None, (predicted, index), (0, 0), *wrong):
        assert_same("lin2adpcm", fragment, width, state)
        assert_same("adpcm2lin", fragment, width, state)
    assert_same("lin2adpcm", fragment, 5, None)
    assert_same("adpcm2lin", fragment, 0, None)


RATES = st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000]) | st.integers(1, 50)


@needs_original
@fixed
@given(
    st.data(),
    st.sampled_from(WIDTHS),
    st.integers(1, 3),
    RATES,
    RATES,
    st.sampled_from([(), (1,), (1, 0), (4, 0), (1, 1), (3, 2), (2**15 - 1, 2), (2**31 - 1, 2**31 - 2)]),
    st.lists(st.integers(0, 30), max_size=6),
)
def test_ratecv_with_its_state(data, width, channels, in_rate, out_rate, weights, pieces):
    state, whole, parts = None, b"", b""
    for frames in pieces:
        _, fragment = data.draw(fragments(width, frames * channels))
        args = (fragment, width, channels, in_rate, out_rate, state, *weights)
        assert_same("ratecv", *args)
        converted, state = audioop.ratecv(*args)
        whole, parts = whole + fragment, parts + converted
    assert audioop.ratecv(whole, width, channels, in_rate, out_rate, None, *weights) == (
        (parts, state) if pieces else original.ratecv(b"", width, channels, in_rate, out_rate, None, *weights)
    )


@needs_original
@pytest.mark.parametrize(
    "args",
    [
        (b"\0" * 5, 2, 1, 8000, 16000, None),
        (b"\0" * 6, 2, 2, 8000, 16000, None),
        (b"\0" * 4, 5, 1, 8000, 16000, None),
        (b"\0" * 4, 2, 0, 8000, 16000, None),
        (b"\0" * 4, 2, -1, 8000, 16000, None),
        (b"\0" * 4, 4, 2**30, 8000, 16000, None),
        (b"\0" * 4, 2, 1, 0, 16000, None),
        (b"\0" * 4, 2, 1, 8000, -1, None),
        (b"\0" * 4, 2, 1, 8000, 16000, None, 0),
        (b"\0" * 4, 2, 1, 8000, 16000, None, 1, -1),
        (b"\0" * 4, 2, 1, 8000, 16000, 0),
        (b"\0" * 4, 2, 1, 8000, 16000, ()),
        (b"\0" * 4, 2, 1, 8000, 16000, (-2,)),
        (b"\0" * 4, 2, 1, 8000, 16000, (-2, [(0, 0)])),
        (b"\0" * 4, 2, 1, 8000, 16000, ("-2", ((0, 0),))),
        (b"\0" * 4, 2, 1, 8000, 16000, (2**31, ((0, 0),))),
        (b"\0" * 4, 2, 1, 8000, 16000, (-2, ((0, 0), (0, 0)))),
        (b"\0" * 4, 2, 1, 8000, 16000, (-2, ())),
        (b"\0" * 4, 2, 1, 8000, 16000, (-2, (0,))),
        (b"\0" * 4, 2, 1, 8000, 16000, (-2, ((0,),))),
        (b"\0" * 4, 2, 1, 8000, 16000, (-2, ((0, 0.5),))),
        (b"\0" * 4, 2, 1, 8000, 16000, (-2, ((0, 2**31),))),
        (b"\0" * 4, 2, 1, 8000, 16000, (-1, ((2**31 - 1, -(2**31)),))),
        (b"\0" * 4, 2, 1, 8000, 16000, (-(2**31), ((7, 8),))),
        (b"\0" * 4, 2, 1, 2**31 - 1, 2**31 - 2, (-9, ((7, 8),))),
        (b"\0" * 2000, 1, 1, 1, 2**31 - 1, None),
        (b"", 2, 1, 8000, 2**31 - 1, None),
        (b"\0" * 4, 2, 1, 8000),
        (b"\0" * 4, 2, 1, 8000, 16000, None, 1, 0, 0),
    ],
)
def test_ratecv_refuses_the_same(args):
    assert_same("ratecv", *args)


@needs_original
@pytest.mark.parametrize("width", WIDTHS)
def test_long_fragments(width):
    """Longer than any block, and than what keeps the GIL; sums pass what a double holds exactly."""
    random = np.random.default_rng(width)
    samples = random.integers(-(2**31), 2**31, 500_000).astype("<i4").tobytes()
    fragment = original.lin2lin(samples, 4, width)
    for name in FRAGMENTS + LAWS:
        assert_same(name, fragment, width)
    loud = original.lin2lin(b"\0\0\0\x80" * 4_500_000 + b"\1\0\0\x7f" * 3, 4, width)
    for name in ("avg", "rms", "max", "cross"):
        assert_same(name, loud, width)
    for part in (fragment, loud[: 4_500_000 * width]):
        assert_same("rms", original.lin2lin(original.lin2lin(part, width, 2), 2, width), width)
    assert_same("mul", fragment, width, 0.7)
    assert_same("tomono", fragment, width, 0.3, 0.9)
    assert_same("tomono", fragment, width, 0.5, 0.5)
    assert_same("add", fragment, fragment[::-1], width)
    assert_same("lin2adpcm", fragment, width, None)
    for rates in ((48000, 8000), (8000, 48000), (44100, 16000)):
        assert_same("ratecv", fragment, width, 2, *rates, None)
        assert_same("ratecv", fragment, width, 1, *rates, None, 2, 1)


@needs_original
def test_long_searches():
    noise = np.random.default_rng(0).integers(-32768, 32768, 9_000).astype("<i2").tobytes()
    assert_same("findfit", noise, noise[4_000:8_000])
    assert_same("findmax", noise, 1_000)
    lowest = b"\0\x80" * ((1 << 23) + 3)
    assert_same("findfactor", lowest, lowest)
    assert_same("findmax", lowest, (1 << 23) + 1)


# --- buffers ---------------------------------------------------------------------------------------------

SAMPLES = np.arange(-3000, 3000, 2, dtype=np.int16)


@pytest.mark.parametrize(
    "form",
    [
        bytearray,
        memoryview,
        lambda octets: memoryview(b"x" + octets)[1:],
        lambda octets: array.array("h", octets),
        lambda octets: np.frombuffer(octets, np.int16),
        lambda octets: np.frombuffer(octets, ">u4"),
        lambda octets: np.frombuffer(octets, np.float64).reshape(3, 5, -1),
        lambda octets: np.frombuffer(octets, [("left", "<i2"), ("right", "<i2")]),
        lambda octets: type("Octets", (bytes,), {})(octets),
    ],
    ids=range(9),
)
def test_any_bytes_like_object(form):
    octets = SAMPLES.tobytes() * 20
    assert audioop.rms(form(octets), 2) == audioop.rms(octets, 2)
    assert audioop.mul(form(octets), 2, 0.3) == audioop.mul(octets, 2, 0.3)
    assert audioop.add(form(octets), octets, 2) == audioop.add(octets, form(octets), 2)
    assert audioop.ratecv(form(octets), 2, 1, 3, 2, None) == audioop.ratecv(octets, 2, 1, 3, 2, None)
    assert type(audioop.reverse(form(octets), 2)) is bytes


@needs_original
@pytest.mark.parametrize(
    "wrong",
    ["text", None, 3, [1, 2], np.arange(10)[::2], np.zeros((2, 2)).T, memoryview(b"abcd")[::2]],
    ids=range(7),
)
def test_what_is_no_buffer_is_refused_in_the_same_words(wrong):
    refused = []
    for module in (audioop, original):
        with pytest.raises((TypeError, ValueError, BufferError)) as caught:
            module.rms(wrong, 2)
        refused.append((type(caught.value), str(caught.value)))
    assert refused[0] == refused[1]


def test_arguments_are_positional():
    with pytest.raises(TypeError):
        audioop.rms(b"", width=2)
    with pytest.raises(TypeError):
        audioop.rms(b"")
    with pytest.raises(TypeError):
        audioop.rms(b"", 2, 3)


def test_a_buffer_that_another_thread_writes_to():
    shared, stop = bytearray(SAMPLES.tobytes() * 50), threading.Event()

    def write():
        while not stop.is_set():
            shared[:2] = b"\x7f\x7f"
            shared[:2] = b"\0\0"

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            assert len(audioop.lin2ulaw(shared, 2)) == len(shared) // 2
    finally:
        stop.set()
        writer.join()


# --- install ---------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(monkeypatch):
    """`sys.modules` with no audioop in it, put back afterwards."""
    monkeypatch.setitem(sys.modules, "audioop", ModuleType("audioop"))
    del sys.modules["audioop"]
    return sys.modules


def test_install_is_idempotent_and_uninstall_undoes_it(loaded):
    audioop.uninstall()
    audioop.install()
    audioop.install()
    assert importlib.import_module("audioop") is audioop
    audioop.uninstall()
    audioop.uninstall()
    assert "audioop" not in loaded


def test_install_replaces_another_module_only_when_told(loaded):
    other = loaded["audioop"] = ModuleType("audioop")
    with pytest.raises(StateError, match=r"expected no module audioop to be loaded, got <module 'audioop'>"):
        audioop.install()
    audioop.uninstall()
    assert loaded["audioop"] is other
    audioop.install(replace=True)
    audioop.install()
    assert loaded["audioop"] is audioop
    audioop.uninstall()
    assert loaded["audioop"] is other


def test_importing_installs_nothing():
    code = "import sys, voicecore.audioop; assert 'audioop' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


PYDUB = """
import voicecore.audioop
voicecore.audioop.install()
import pydub
from pydub.generators import Sine
assert pydub.audio_segment.audioop is pydub.utils.audioop is voicecore.audioop
tone = Sine(440).to_audio_segment(duration=1000, volume=-6.0)
assert (tone.frame_rate, tone.sample_width, tone.channels) == (44100, 2, 1)
assert 16400 <= tone.max <= 16430 and abs(tone.dBFS + 9.01) < 0.02, (tone.max, tone.dBFS)
assert abs((tone - 6).dBFS + 15.01) < 0.02
telephone = tone.set_frame_rate(8000).set_sample_width(1)
assert telephone.frame_count() == 8000 and abs(telephone.dBFS + 9.01) < 0.2, telephone.dBFS
stereo = tone.set_channels(2)
assert stereo.channels == 2 and stereo.set_channels(1).raw_data == tone.raw_data
assert tone.overlay(tone.invert_phase()).rms == 0
assert tone.reverse().reverse().raw_data == tone.raw_data
assert pydub.AudioSegment.silent(500).append(tone, crossfade=100).duration_seconds == 1.4
"""


@pytest.mark.skipif(importlib.util.find_spec("pydub") is None, reason="pydub is not installed")
def test_pydub_works_on_it():
    """Also on 3.13, where pydub's own `import audioop` fails. Its import warns, so it gets a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", PYDUB]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# --- recorded --------------------------------------------------------------------------------------------


def pseudo_random(octets):
    """The same octets on every machine and version."""
    state, made = 1, bytearray()
    for _ in range(octets):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        made.append(state >> 16 & 0xFF)
    return bytes(made)


def calls(module):
    """Each function over all widths, as one checksum."""
    fragment = pseudo_random(2400)
    states = {"lin2adpcm": (-1234, 40), "adpcm2lin": (1234, 40)}
    more = {
        "getsample": [(7,)],
        "mul": [(0.7,), (-3.1,)],
        "bias": [(1000,), (-7,)],
        "tomono": [(0.5, 0.5), (0.9, -0.3)],
        "tostereo": [(1, 1), (0.9, -0.3)],
        "lin2lin": [(1,), (2,), (3,), (4,)],
        "ratecv": [(2, 44100, 16000, None), (1, 8000, 11025, None, 3, 2)],
        "lin2adpcm": [(None,), (states["lin2adpcm"],)],
        "adpcm2lin": [(None,), (states["adpcm2lin"],)],
    }
    of_two = {"findfit": fragment[200:260], "findfactor": fragment[::-1], "findmax": 60}
    for name in sorted(set(audioop.__all__) - {"error"}):
        function = getattr(module, name)
        if name in of_two:
            results = [function(fragment, of_two[name])]
        elif name == "add":
            results = [function(fragment, fragment[::-1], width) for width in WIDTHS]
        else:
            results = [function(fragment, width, *args) for width in WIDTHS for args in more.get(name, [()])]
        yield name, zlib.crc32(repr(results).encode())


#: What CPython 3.11.7 gives.
RECORDED = {
    "add": 0x1BC84D58,
    "adpcm2lin": 0x066657D8,
    "alaw2lin": 0x2EF2ACAE,
    "avg": 0x040F444C,
    "avgpp": 0xF3513245,
    "bias": 0xFDA7A37C,
    "byteswap": 0x58487F4B,
    "cross": 0xA79FA74A,
    "findfactor": 0xDA4E40EE,
    "findfit": 0x80446481,
    "findmax": 0xEE58F098,
    "getsample": 0x7B3E57BF,
    "lin2adpcm": 0x74667726,
    "lin2alaw": 0x41A80E1D,
    "lin2lin": 0xF6DC6B70,
    "lin2ulaw": 0xF6567A83,
    "max": 0x1322BD2A,
    "maxpp": 0x86F8EE26,
    "minmax": 0x891DBE27,
    "mul": 0x581F5BD5,
    "ratecv": 0xAC3EEC8A,
    "reverse": 0xA8ADF90C,
    "rms": 0x5B7AF047,
    "tomono": 0xDC1E99E3,
    "tostereo": 0x8E796FED,
    "ulaw2lin": 0xE71F9284,
}


@pytest.mark.parametrize("module", [audioop, pytest.param(original, marks=needs_original)], ids=["ours", "original"])
def test_recorded_results(module):
    assert dict(calls(module)) == RECORDED


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: audioop.rms(b"", 5), "Size should be 1, 2, 3 or 4"),
        (lambda: audioop.rms(b"x", 2), "not a whole number of frames"),
        (lambda: audioop.tomono(b"ab", 2, 1, 1), "not a whole number of frames"),
        (lambda: audioop.getsample(b"ab", 2, 1), "Index out of range"),
        (lambda: audioop.add(b"ab", b"", 2), "Lengths should be the same"),
        (lambda: audioop.findmax(b"x", 0), "Strings should be even-sized"),
        (lambda: audioop.findmax(b"ab", 2), "Input sample should be longer"),
        (lambda: audioop.findfit(b"", b"ab"), "First sample should be longer"),
        (lambda: audioop.findfactor(b"", b"ab"), "Samples should be same size"),
        (lambda: audioop.ratecv(b"", 2, 0, 1, 1, None), "# of channels should be >= 1"),
        (lambda: audioop.ratecv(b"", 2, 1, 0, 1, None), "sampling rate not > 0"),
        (lambda: audioop.ratecv(b"", 2, 1, 1, 1, None, 0), "weightA should be >= 1, weightB should be >= 0"),
        (lambda: audioop.ratecv(b"", 2, 1, 1, 1, (-1, ())), "illegal state argument"),
    ],
)
def test_errors_say_what_they_said(call, message):
    with pytest.raises(audioop.error) as caught:
        call()
    assert str(caught.value) == message


def test_a_state_that_no_call_returned_is_followed_or_refused():
    converted, (position, _) = audioop.ratecv(b"\1\0", 2, 1, 8000, 8000, (10, ((65536, 65536),)))
    assert (len(converted), position) == (2 * 12, -1)
    with pytest.raises(MemoryError):
        audioop.ratecv(bytes(4000), 4, 1000, 1, 2**31 - 1, (2**31 - 1, ((0, 0),) * 1000))
