"""The case groups of the Autobahn test suite for clients, as own tests: the suite itself wants a Python 2.7.

Its own run is in docs/autobahn.md. Group numbers are Autobahn's: https://github.com/crossbario/autobahn-testsuite.
Groups 9 (speed), 12 and 13 (compression, which we never offer) are left out.
"""

from __future__ import annotations

import base64
import json
import struct

import pytest
from support.wire import Wire, client
from wsproto.events import CloseConnection, Ping, Pong

from voicecore.connection import Phase
from voicecore.errors import ConnectionLostError, ProtocolError
from voicecore.events import Audio, Synthesize, Unknown
from voicecore.vendors.deepdub.open import DeepdubOptions

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
LENGTHS = [30, 125, 126, 127, 128, 65535, 65536, 100_000]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = False) -> bytes:
    size = len(payload)
    short = size if size < 126 else 126 if size < 65536 else 127
    head = bytes([fin << 7 | rsv << 4 | opcode, mask << 7 | short])
    extended = b"" if size < 126 else struct.pack("!H", size) if size < 65536 else struct.pack("!Q", size)
    return head + extended + (bytes(4) if mask else b"") + payload


def message(size: int) -> bytes:
    """A message that nobody knows, of exactly so many bytes."""
    head, tail = b'{"surprise":"', b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


def speaking(chunk: int | None = None) -> Wire:
    wire = Wire(client(), chunk=chunk)
    wire.send(Synthesize("a", "Hi", None, DeepdubOptions()), byte_rate=32_000)
    return wire


def audio(index: int = 0, size: int = 30) -> bytes:
    body = {"index": index, "generationId": "a", "data": base64.b64encode(bytes(size)).decode(), "isFinished": False}
    return json.dumps(body).encode()


def violates(wire: Wire, data: bytes) -> None:
    """The client ends the connection with an error of its own, and says 1002 or 1007 to the peer."""
    wire.deliver(data)
    assert wire.connection.closed
    assert isinstance(wire.error("a"), ProtocolError)
    [goodbye] = [event for event in wire.control if isinstance(event, CloseConnection)]
    assert goodbye.code in (1002, 1007)


@pytest.mark.parametrize("chunk", [None, 1, 997])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", LENGTHS)
def test_1_framing_of_every_length(opcode, size, chunk):
    wire = speaking(chunk if size < 70_000 else None)
    wire.deliver(frame(opcode, message(size)))
    [event] = wire.taken()
    assert isinstance(event, Unknown) and len(event.message["surprise"]) == size - 15


@pytest.mark.parametrize("payload", [b"", b"Hello", b"\x00\xff\xfe\xfd", bytes(125)])
@pytest.mark.parametrize("chunk", [None, 1])
def test_2_a_ping_is_answered_with_its_payload(payload, chunk):
    wire = speaking(chunk)
    wire.deliver(frame(PING, payload))
    assert wire.control == [Pong(payload)]


def test_2_a_ping_of_126_bytes_is_a_violation():
    violates(speaking(), frame(PING, bytes(126)))


def test_2_unsolicited_pongs_are_ignored_and_ten_pings_get_ten_pongs():
    wire = speaking()
    wire.deliver(frame(PONG, b"unasked") + b"".join(frame(PING, b"%d" % i) for i in range(10)))
    assert wire.control == [Pong(b"%d" % i) for i in range(10)]


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, PING, CLOSE])
def test_3_reserved_bits_are_a_violation(rsv, opcode):
    violates(speaking(), frame(opcode, b"" if opcode == CLOSE else b"{}", rsv=rsv))


def test_3_what_came_before_a_violation_is_kept():
    wire = speaking()
    wire.deliver(frame(TEXT, audio()) + frame(TEXT, audio(1), rsv=4) + frame(TEXT, audio(2)))
    assert [event.index for event in wire.taken("a")] == [0]


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_4_reserved_opcodes_are_a_violation(opcode):
    violates(speaking(), frame(opcode, b"x"))


def test_4_a_masked_frame_from_a_server_is_a_violation():
    violates(speaking(), frame(TEXT, b"{}", mask=True))


@pytest.mark.parametrize("chunk", [None, 1])
def test_5_fragments_with_control_frames_between(chunk):
    wire, data = speaking(chunk), audio()
    pieces = [data[:5], b"", data[5:9], data[9:]]
    wire.deliver(frame(TEXT, pieces[0], fin=False) + frame(PING, b"1") + frame(CONT, pieces[1], fin=False))
    wire.deliver(frame(CONT, pieces[2], fin=False) + frame(PING, b"2") + frame(CONT, pieces[3]))
    assert wire.taken("a") == [Audio("a", bytes(30), 0)]
    assert wire.control == [Pong(b"1"), Pong(b"2")]


@pytest.mark.parametrize(
    "frames",
    [
        frame(CONT, b"{}"),
        frame(CONT, b"{}", fin=False),
        frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
        frame(TEXT, b"{", fin=False) + frame(BINARY, b"}"),
        frame(TEXT, b"{}") + frame(CONT, b"{}"),
        frame(PING, b"x", fin=False),
        frame(CLOSE, b"", fin=False),
    ],
)
def test_5_fragments_out_of_order_are_a_violation(frames):
    violates(speaking(), frames)


GREEK = '{"surprise":"κόσμε"}'.encode()


@pytest.mark.parametrize("cut", range(1, len(GREEK)))
def test_6_utf_8_may_be_cut_anywhere(cut):
    wire = speaking()
    wire.deliver(frame(TEXT, GREEK[:cut], fin=False) + frame(CONT, GREEK[cut:]))
    assert wire.taken()[0].message == {"surprise": "κόσμε"}


@pytest.mark.parametrize(
    "text",
    [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xfe", b"\xe1"],
)
def test_6_what_is_no_utf_8_is_a_violation(text):
    violates(speaking(), frame(TEXT, b'{"surprise":"' + text + b'"}'))


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_7_a_close_is_answered_with_its_code_and_ends_everything(code):
    wire = speaking()
    wire.deliver(frame(TEXT, audio()) + frame(CLOSE, struct.pack("!H", code) + b"bye") + frame(TEXT, audio(1)))
    assert [event.index for event in wire.taken("a")] == [0]
    error = wire.error("a")
    assert isinstance(error, ConnectionLostError) and (error.code, error.reason) == (code, "bye")
    [answer] = wire.control
    assert answer.code == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_7_a_code_that_may_not_be_sent_is_a_violation(code):
    violates(speaking(), frame(CLOSE, struct.pack("!H", code)))


@pytest.mark.parametrize("payload", [b"\x03", struct.pack("!H", 1000) + b"\xff\xfe", bytes(126)])
def test_7_a_close_that_is_none_is_a_violation(payload):
    violates(speaking(), frame(CLOSE, payload))


def test_7_an_empty_close_ends_without_a_code():
    wire = speaking()
    wire.deliver(frame(CLOSE))
    error = wire.error("a")
    assert isinstance(error, ConnectionLostError) and error.code == 1005 and wire.connection.closed


def test_7_after_our_own_close_what_still_comes_is_dropped():
    wire = speaking()
    wire.connection.close(wire.now)
    wire.exchange()
    wire.deliver(frame(TEXT, audio()) + frame(PING, b"x"))
    assert wire.taken("a") == [] and wire.connection.phase is Phase.CLOSING


def test_10_a_large_message_in_small_fragments():
    wire, data = speaking(), audio(size=65_536)
    pieces = [data[at : at + 1300] for at in range(0, len(data), 1300)]
    wire.deliver(
        b"".join(frame(CONT if i else TEXT, piece, fin=i == len(pieces) - 1) for i, piece in enumerate(pieces))
    )
    assert wire.taken("a") == [Audio("a", bytes(65_536), 0)]


def test_our_own_frames_are_masked_and_whole():
    wire = speaking()
    data = wire.exchange()
    assert data == b"" and wire.heard, "wsproto, the other end, refuses unmasked frames"
    assert not [event for event in wire.control if isinstance(event, Ping)]
