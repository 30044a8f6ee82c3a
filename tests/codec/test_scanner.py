"""The JSON scanner: values as json.loads gives them, acceptance as orjson's, audio as base64's."""

import base64
import json
from functools import reduce

import numpy as np
import pytest
from codec_oracles import fixed
from hypothesis import given
from hypothesis import strategies as st

from voicecore import codec
from voicecore.errors import Base64Error, FormatError, InvalidBufferError, MessageError

AUDIO = ("chunk", "audio")
FIELDS = (("chunk", "id"), ("seq",), ("chunk",), ("a", "b", "c"))
SCANNER = codec.AudioMessageScanner(AUDIO, FIELDS)

KEYS = st.sampled_from(["chunk", "audio", "id", "seq", "a", "b", "c", "\N{HIRAGANA LETTER A}", 'q"\\'])
BASE64 = st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    BASE64,
)
TREES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=5),
    max_leaves=25,
)


def field(message, path):
    """What `message` holds at `path`; None also for what is no scalar."""
    value = reduce(lambda tree, key: tree.get(key) if isinstance(tree, dict) else None, path, message)
    return None if isinstance(value, dict | list) else value


def scanned(message, **options):
    audio, values = SCANNER.scan(message, **options)
    return None if audio is None else audio.tobytes(), values


@fixed
@given(tree=TREES, chunk=st.dictionaries(KEYS, SCALARS), audio=BASE64, spaced=st.booleans())
def test_equals_json_loads(tree, chunk, audio, spaced):
    whole = {"a": tree, "chunk": {**chunk, "audio": audio}, "seq": chunk.get("seq")}
    text = json.dumps(whole, indent=1 if spaced else None, ensure_ascii=spaced)
    expected = (base64.b64decode(audio), tuple(field(whole, path) for path in FIELDS))
    for form in (text, text.encode(), bytearray(text.encode()), memoryview(text.encode())):
        assert scanned(form) == expected


@fixed
@given(TREES)
def test_any_other_json_has_no_audio(tree):
    has_audio = isinstance(field(tree, AUDIO), str)
    if not has_audio:
        assert scanned(json.dumps(tree)) == (None, tuple(field(tree, path) for path in FIELDS))


def test_types_of_values():
    message = '{"chunk": {"id": "x\\u00e9"}, "seq": 7, "a": {"b": {"c": 7.0}}}'
    values = scanned(message)[1]
    assert values == ("x\N{LATIN SMALL LETTER E WITH ACUTE}", 7, None, 7.0)
    assert [type(value) for value in values] == [str, int, type(None), float]
    assert scanned('{"seq": true, "chunk": null}')[1] == (None, True, None, None)


def test_a_key_that_comes_twice_counts_as_json_loads_has_it():
    message = '{"seq": 1, "chunk": {"audio": "QUJD", "id": "old"}, "seq": 2, "chunk": {"audio": "QQ=="}}'
    assert scanned(message) == (b"A", (None, 2, None, None))


def test_no_fields_and_top_level_audio():
    audio, values = codec.AudioMessageScanner(["audio"]).scan(b'{"audio":"QUJD"}')
    assert (audio.tobytes(), audio.dtype, values) == (b"ABC", np.uint8, ())


def test_escaped_slashes_are_base64_too():
    assert scanned(r'{"chunk": {"audio": "\/\/8="}}')[0] == b"\xff\xff"


@pytest.mark.parametrize("audio", ["null", "3", "[]", "{}", "true"])
def test_audio_that_is_no_string_is_none(audio):
    assert scanned(f'{{"chunk": {{"audio": {audio}}}}}')[0] is None


def test_empty_audio_is_not_none():
    assert scanned('{"chunk": {"audio": ""}}')[0] == b""


@pytest.mark.parametrize("tail", [{}, {"seq": "A" * 44}, {"note": "é\n" * 700}], ids=["bare", "token", "text"])
@pytest.mark.parametrize("size", [0, 1, 959, 960, 65_536, 200_000, 300_000])
def test_large_messages(size, tail):
    data = np.random.default_rng(size).bytes(size)
    text = json.dumps({"seq": 1, "chunk": {"audio": base64.b64encode(data).decode()}, **tail})
    out = np.zeros(350_000, np.uint8)
    for form in (text, bytearray(text.encode())):
        assert scanned(form)[0] == data
        assert scanned(form, out=out)[0] == data
    assert not out[size:].any()


@fixed
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), kind=st.sampled_from(["set", "insert", "delete", "cut"]))
def test_accepts_exactly_what_orjson_accepts(at, byte, kind):
    orjson = pytest.importorskip("orjson")
    good = '{"chunk": {"id": "é\\n", "audio": "QUJD"}, "seq": -1.5e3, "a": [true, null, {"b": 0}]}'.encode()
    at %= len(good)
    new = bytes([byte])
    broken = {
        "set": good[:at] + new + good[at + 1 :],
        "insert": good[:at] + new + good[at:],
        "delete": good[:at] + good[at + 1 :],
        "cut": good[:at],
    }[kind]
    try:
        valid = orjson.loads(broken)
    except orjson.JSONDecodeError:
        with pytest.raises(MessageError) as caught:
            SCANNER.scan(broken)
        assert 0 <= caught.value.offset <= len(broken)
        return
    try:
        assert SCANNER.scan(broken)[1] == tuple(field(valid, path) for path in FIELDS)
    except Base64Error:
        assert field(valid, AUDIO) != "QUJD"


@pytest.mark.parametrize(
    ("message", "offset"), [("", 0), ("{", 1), ('{"a": 1} x', 9), ('{"a": \ud800}', 6), (b'{"a": \xff}', 6)]
)
def test_offset_of_what_is_not_json(message, offset):
    with pytest.raises(MessageError) as caught:
        SCANNER.scan(message)
    assert caught.value.offset == offset


def test_offset_of_what_is_not_base64_counts_in_its_text():
    with pytest.raises(Base64Error) as caught:
        SCANNER.scan('{"chunk": {"audio": "QUJDQU*D"}}')
    assert caught.value.offset == 6


def test_the_whole_message_is_validated_behind_the_audio():
    with pytest.raises(MessageError):
        SCANNER.scan('{"chunk": {"audio": "QUJD"}, "seq": 01}')


def test_out_that_is_too_small_is_refused():
    with pytest.raises(InvalidBufferError, match="expected at least 3 items, got 2"):
        SCANNER.scan('{"chunk": {"audio": "QUJD"}}', out=bytearray(2))


def test_paths_have_keys():
    for audio, fields in (((), ()), (("a",), ((),))):
        with pytest.raises(FormatError, match="a path of at least one key"):
            codec.AudioMessageScanner(audio, fields)
    with pytest.raises(TypeError):
        codec.AudioMessageScanner("audio")
    with pytest.raises(TypeError):
        codec.AudioMessageScanner(("audio",), ("id",))
