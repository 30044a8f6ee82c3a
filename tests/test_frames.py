"""Bytes in any pieces -> whole data frames and the rest. That the rest is judged rightly: `test_websocket_cases.py`."""

from __future__ import annotations

import struct
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.frames import BINARY, LONGEST, REST, TEXT, FrameCutter


def frame(first: int, payload: bytes, *, mask: bool = False) -> bytes:
    size = len(payload)
    short = size if size < 126 else 126 if size < 65536 else 127
    extended = b"" if size < 126 else struct.pack("!H", size) if size < 65536 else struct.pack("!Q", size)
    return bytes([first, mask << 7 | short]) + extended + (bytes(4) if mask else b"") + payload


def cut(*pieces: bytes) -> list[tuple[int, bytes]]:
    """What a cutter makes of them; neighbours that are the library's are joined."""
    cutter = FrameCutter()
    found = [piece for data in pieces for piece in cutter.cut(data)]
    joined: list[tuple[int, bytes]] = []
    for kind, group in groupby(found, key=lambda piece: piece[0]):
        payloads = [payload for _, payload in group]
        joined += [(kind, b"".join(payloads))] if kind == REST else [(kind, payload) for payload in payloads]
    return joined


PING, PONG = 0x89, 0x8A
SIZES = st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536, 65_537])
FRAMES = st.lists(st.tuples(st.sampled_from([TEXT, BINARY, PING, PONG]), SIZES), max_size=6)


@given(FRAMES, st.lists(st.integers(0, 200_000), max_size=6))
def test_any_pieces_give_the_same_frames(frames, cuts):
    whole, expected = b"", []
    for number, (first, size) in enumerate(frames):
        payload = bytes([number]) * (min(size, 125) if first in (PING, PONG) else size)
        whole += frame(first, payload)
        plain = first in (TEXT, BINARY) and size <= LONGEST
        expected.append((first, payload) if plain else (REST, frame(first, payload)))
    edges = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(edges)]
    assert cut(*pieces) == cut(whole)
    assert [entry for entry in cut(whole) if entry[0] != REST] == [entry for entry in expected if entry[0] != REST]
    rest = b"".join(payload for kind, payload in expected if kind == REST)
    assert b"".join(payload for kind, payload in cut(*pieces) if kind == REST) == rest


def test_byte_by_byte():
    whole = frame(TEXT, b"a" * 300) + frame(PING, b"p") + frame(BINARY, b"") + frame(TEXT, b"b")
    expected = [(TEXT, b"a" * 300), (REST, frame(PING, b"p")), (BINARY, b""), (TEXT, b"b")]
    assert cut(*(whole[at : at + 1] for at in range(len(whole)))) == cut(whole) == expected


def test_between_fragments_everything_is_the_librarys():
    message = frame(0x01, b"a") + frame(PING, b"") + frame(TEXT, b"not allowed here") + frame(0x80, b"end")
    assert cut(message + frame(TEXT, b"after")) == [(REST, message), (TEXT, b"after")]


@pytest.mark.parametrize("first", [0xC1, 0x83, 0x88, 0x8B, 0x03])
def test_after_a_violation_or_a_close_all_is_the_librarys(first):
    whole = frame(first, b"") + frame(TEXT, b"after")
    assert cut(whole) == [(REST, whole)]


def test_after_a_masked_frame_all_is_the_librarys():
    whole = frame(TEXT, b"x", mask=True) + frame(TEXT, b"after")
    assert cut(whole) == [(REST, whole)]


def test_a_long_message_is_not_held():
    cutter = FrameCutter()
    head = struct.pack("!BBQ", TEXT, 127, LONGEST + 1)
    assert cutter.cut(head + b"begin") == [(REST, head + b"begin")]
