"""Engine.IO 4 / Socket.IO 5: each packet both ways, and everything that is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voicecore.errors import ConfigurationError, MessageError, ProtocolError
from voicecore.vendors.uplift.socketio import (
    Ack,
    Close,
    Connect,
    ConnectError,
    Disconnect,
    Emit,
    Noop,
    Open,
    Packet,
    Ping,
    Pong,
    decode,
    encode,
)

NS = "/text-to-speech/multi-stream"

# As captured from two published clients (protocols.md section 3.2).
WIRE = [
    (
        '0{"sid":"E1","pingInterval":25000,"pingTimeout":20000,"upgrades":[],"maxPayload":1000000}',
        Open("E1", 25.0, 20.0),
    ),
    ("1", Close()),
    ("2", Ping()),
    ("2probe", Ping("probe")),
    ("3", Pong()),
    ("3probe", Pong("probe")),
    ("6", Noop()),
    ("40", Connect()),
    ('40{"token":"k"}', Connect("/", {"token": "k"})),
    (f'40{NS},{{"token":"sk_api_x"}}', Connect(NS, {"token": "sk_api_x"})),
    (f"40{NS},", Connect(NS)),
    ("41", Disconnect()),
    (f"41{NS},", Disconnect(NS)),
    ('42["x"]', Emit("/", "x")),
    ('42["x",1]', Emit("/", "x", b"1")),
    (f'42{NS},["message",{{"type":"ready"}}]', Emit(NS, "message", b'{"type":"ready"}')),
    (f'42{NS},12["x",1,"b"]', Emit(NS, "x", b'1,"b"', 12)),
    (f"43{NS},12[]", Ack(NS, 12)),
    ("437[1,2]", Ack("/", 7, b"1,2")),
    (f'44{NS},{{"message":"no"}}', ConnectError(NS, {"message": "no"})),
    ('44"no"', ConnectError("/", "no")),
]


@pytest.mark.parametrize(("text", "packet"), WIRE)
def test_a_packet_and_its_text(text, packet):
    assert decode(text.encode()) == packet
    written = encode(packet)
    assert decode(written.encode()) == packet
    head, other = (part.partition("{")[0] for part in (written, text))
    assert head == other or text == f"40{NS},"


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ('42[ "x" , {"a": 1} ] ', Emit("/", "x", b'{"a": 1}')),
        ('42["a\\"b\\u0041"]', Emit("/", 'a"bA')),
        ('42["x",[[1]]]', Emit("/", "x", b"[[1]]")),
        ("41/ns", Disconnect("/ns")),
        ("40/ns", Connect("/ns")),
        ('42/ns?q=1,["x"]', Emit("/ns?q=1", "x")),
        ('0{"sid":"a","pingInterval":300,"pingTimeout":200.5}', Open("a", 0.3, 0.2005)),
        ('0{"sid":"a","pingInterval":0,"pingTimeout":500}', Open("a", 0.0, 0.5)),  # python-engineio below a second
        ("2\u0627", Ping("\u0627")),
    ],
)
def test_what_other_writers_may_write(text, packet):
    assert decode(text.encode()) == packet


@pytest.mark.parametrize("text", ["45-[]", '451-["x",{"_placeholder":true,"num":0}]', "46", '461-/ns,1["x"]'])
def test_binary_attachments_are_refused_with_a_clear_error(text):
    with pytest.raises(ProtocolError, match="binary attachments are not supported"):
        decode(text.encode())


@pytest.mark.parametrize("text", ["5", "5x"])
def test_an_upgrade_belongs_to_polling(text):
    with pytest.raises(ProtocolError, match="polling"):
        decode(text.encode())


MALFORMED = [
    "",
    "7",
    "9",
    "x",
    "{}",
    " 2",
    "1x",
    "6x",
    "4",
    "47",
    "4x",
    "0",
    "0{",
    "0[]",
    "0{}",
    '0{"sid":"a"}',
    '0{"sid":7,"pingInterval":1,"pingTimeout":1}',
    '0{"sid":"a","pingInterval":"25000","pingTimeout":1}',
    '0{"sid":"a","pingInterval":0,"pingTimeout":0}',
    '0{"sid":"a","pingInterval":-1,"pingTimeout":1}',
    '0{"sid":"a","pingInterval":1,"pingTimeout":true}',
    '0{"sid":"a","pingInterval":1,"pingTimeout":1e300}',
    '0{"sid":"a","pingInterval":NaN,"pingTimeout":1}',
    "40{",
    "40[]",
    "40/ns,7",
    '40/ns,"token"',
    "41/ns,{}",
    "41x",
    "417",
    '441{"message":"no"}',
    "42",
    "42/ns,",
    "42/ns",
    "42x",
    "42{}",
    '42"x"',
    "42[]",
    "42[1]",
    "42[null,1]",
    '42["x"',
    '42["x',
    '42["x",',
    '42["x",]',
    '42["x" 1]',
    '42["\\x"]',
    '42["x\n"]',
    '42/ns,9999999999999999["x"]',
    '42["x",1',
    "43",
    "43[]",
    "43/ns,[]",
    "431",
    "431{}",
    "431[",
    "44",
    "44/ns,",
    "44[]",
    "447",
    "44null",
    "44{",
    "44/ns,{]",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_every_malformed_packet_is_a_typed_error(text):
    with pytest.raises(MessageError):
        decode(text.encode())


@pytest.mark.parametrize("message", [b"2\xff", b"3\xff", b"40/\xff,", b'42["\xff"]', b"0\xff", b'44"\xff"'])
def test_text_that_is_no_utf8_is_a_typed_error(message):
    with pytest.raises(MessageError, match="UTF-8"):
        decode(message)


@pytest.mark.parametrize("text", ['40/ns,{"token":"sekrit', '41{"token":"sekrit"}', '4{"token":"sekrit"}', 'x"sekrit"'])
def test_a_key_in_a_broken_packet_does_not_show(text):
    with pytest.raises(MessageError) as caught:
        decode(text.encode())
    assert "sekrit" not in str(caught.value)


@pytest.mark.parametrize("namespace", ["", "ns", "/a,b"])
def test_a_namespace_that_cannot_be_written_is_refused(namespace):
    with pytest.raises(ConfigurationError, match="namespace"):
        encode(Disconnect(namespace))


def test_what_is_no_packet_is_not_encoded():
    with pytest.raises(ProtocolError, match="Packet is no packet"):
        encode(Packet())


# --- properties ------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SPACES = st.just("/") | TEXT.map(lambda text: "/" + text.replace(",", "")).filter(lambda name: name != "/")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda below: st.lists(below, max_size=2) | st.dictionaries(TEXT, below, max_size=2),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)
ARGUMENTS = st.lists(VALUES, max_size=3).map(lambda values: json.dumps(values, ensure_ascii=False)[1:-1].encode())
NUMBERS = st.integers(0, 10**15 - 1)
PACKETS = st.one_of(
    st.builds(
        Open, TEXT, st.integers(1, 10**8).map(lambda ms: ms / 1000), st.integers(1, 10**8).map(lambda m: m / 1000)
    ),
    st.just(Close()),
    st.builds(Ping, TEXT),
    st.builds(Pong, TEXT),
    st.just(Noop()),
    st.builds(Connect, SPACES, OBJECTS),
    st.builds(Disconnect, SPACES),
    st.builds(Emit, SPACES, TEXT, ARGUMENTS, st.none() | NUMBERS),
    st.builds(Ack, SPACES, NUMBERS, ARGUMENTS),
    st.builds(ConnectError, SPACES, OBJECTS | TEXT),
)


@given(PACKETS)
def test_what_is_encoded_is_decoded(packet):
    assert decode(encode(packet).encode()) == packet


def taken(message: bytes) -> Packet | None:
    try:
        return decode(message)
    except (MessageError, ProtocolError):
        return None


@given(st.binary(max_size=60))
@example(b"4" * 60)
@example(b'42["' + b"\\" * 50)
def test_any_bytes_are_a_packet_or_a_typed_error(message):
    assert isinstance(taken(message), Packet | None)


@given(PACKETS, st.data())
def test_a_packet_with_one_byte_changed_or_cut_is_a_packet_or_a_typed_error(packet, data):
    message = bytearray(encode(packet).encode())
    at = data.draw(st.integers(0, len(message) - 1))
    for change in (bytes(message[:at]), bytes(message[:at] + message[at + 1 :])):
        taken(change)
    message[at] = data.draw(st.integers(0, 255))
    packet = taken(bytes(message))
    assert packet is None or decode(encode(packet).encode()) == packet


@given(st.text("0123456[]{}/,\"'x-\\ \n", max_size=40))
def test_any_mix_of_the_frames_own_characters_is_a_packet_or_a_typed_error(text):
    packet = taken(text.encode())
    assert packet is None or taken(encode(packet).encode()) == packet
