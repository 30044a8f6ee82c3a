"""A socket as bytes in and out, with TLS against the other end of the standard library's: any pieces, and every end."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from voicecore.wire import RECEIVE_BYTES, Tls, Wire

AUTHORITY = trustme.CA()
MUCH = bytes(range(256)) * 2**13  # 2 MB: more than a socket takes at once


class Peer:
    """The server's end of TLS, between two buffers."""

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("vendor.test").configure_cert(context)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def says(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self.outgoing.read()

    def shaken(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True


def ours(name: str = "vendor.test") -> Tls:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return Tls(context, name)


def shake(tls: Tls, peer: Peer) -> None:
    """Both handshakes, and what the server says after its own."""
    done = [False, False]
    while not all(done):
        done[0] = done[0] or tls.shaken()
        peer.incoming.write(tls.to_send())
        done[1] = done[1] or peer.shaken()
        tls.received(peer.outgoing.read() or b"") if peer.outgoing.pending else None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    with ends[0], ends[1]:
        for end in ends:
            end.setblocking(False)
        yield ends


def drained(end: socket.socket, wire: Wire) -> bytes:
    """What arrives at the other end, until the wire is not behind any more."""
    found = b""
    while True:
        done = wire.write()
        try:
            while piece := end.recv(2**20):
                found += piece
        except BlockingIOError:
            if done:
                return found


def test_plain_bytes_in_and_out(pair):
    wire = Wire(pair[0].fileno())
    with pytest.raises(BlockingIOError):
        wire.read()
    pair[1].send(b"hello")
    assert wire.read() == b"hello" and not wire.over
    assert wire.write(b"there") and pair[1].recv(100) == b"there"
    pair[1].close()
    assert wire.read() == b""


def test_what_the_socket_does_not_take_follows_in_order(pair):
    wire = Wire(pair[0].fileno())
    assert not wire.write(MUCH) and wire.behind
    assert not wire.write(b"and more")
    assert drained(pair[1], wire) == MUCH + b"and more" and not wire.behind


def test_what_could_not_be_written_is_not_left_out_later(pair, monkeypatch):
    wire = Wire(pair[0].fileno())
    with monkeypatch.context() as broken:

        def fail(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOBUFS, "no room in the system")

        broken.setattr("os.write", fail)
        for words in (b"one ", b"two "):
            with pytest.raises(OSError, match="no room"):
                wire.write(words)
    assert wire.write(b"three") and pair[1].recv(100) == b"one two three"


def test_a_peer_that_has_gone_is_an_error(pair):
    wire = Wire(pair[0].fileno())
    pair[1].close()
    with pytest.raises(OSError, match="pipe"):
        wire.write(b"hello")


def test_one_read_takes_all_that_came_up_to_its_size(pair):
    wire = Wire(pair[0].fileno())
    pair[1].send(bytes(100_000))
    assert wire.read() == bytes(100_000)
    while True:
        try:
            pair[1].send(bytes(2**16))
        except BlockingIOError:
            break
    assert len(wire.read()) <= RECEIVE_BYTES


@given(st.lists(st.binary(max_size=40_000), max_size=5), st.lists(st.integers(1, 20_000), max_size=8), st.booleans())
def test_tls_gives_the_same_bytes_in_any_pieces(said, sizes, goodbye):
    tls, peer = ours(), Peer()
    shake(tls, peer)
    ends = socket.socketpair()
    with ends[0], ends[1]:
        ends[0].setblocking(False)
        wire = Wire(ends[0].fileno(), tls)
        coded = b"".join(peer.says(data) for data in said if data)
        if goodbye:
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.unwrap()
            coded += peer.outgoing.read()
        found, at = b"", 0
        for size in [*sizes, *[30_000] * (len(coded) // 30_000 + 1)]:
            ends[1].send(coded[at : at + size])
            at += size
            try:
                while not wire.over:
                    found += wire.read()
            except BlockingIOError:
                pass
        assert found == b"".join(said) and wire.over == goodbye


def test_tls_out_in_order_though_the_socket_is_slow(pair):
    tls, peer = ours(), Peer()
    shake(tls, peer)
    wire = Wire(pair[0].fileno(), tls)
    assert not wire.write(MUCH)
    assert not wire.write(b"and more")
    peer.incoming.write(drained(pair[1], wire))
    found = b""
    while len(found) < len(MUCH) + 8:
        found += peer.tls.read(2**20)
    assert found == MUCH + b"and more"


def test_what_came_before_a_damaged_record_is_not_lost(pair):
    tls, peer = ours(), Peer()
    shake(tls, peer)
    wire = Wire(pair[0].fileno(), tls)
    good, bad = peer.says(b"hello"), peer.says(b"there")
    pair[1].send(good + bad[:-1] + bytes([bad[-1] ^ 1]))
    assert wire.read() == b"hello" and wire.over


def test_a_damaged_record_is_an_error_and_a_torn_socket_the_end(pair):
    tls, peer = ours(), Peer()
    shake(tls, peer)
    wire = Wire(pair[0].fileno(), tls)
    record = peer.says(b"hello")
    pair[1].send(record[:-1] + bytes([record[-1] ^ 1]))
    with pytest.raises(ssl.SSLError) as caught:
        wire.read()
    assert not isinstance(caught.value, BlockingIOError)
    pair[1].close()
    assert wire.read() == b""


def test_what_tls_itself_has_to_say_while_reading_goes_out(pair):
    """An update of the keys is answered with one; Python cannot ask for it, so this peer is played."""

    class Updating(Tls):
        def decrypt(self) -> tuple[bytes, bool]:
            return b"words", False

        def to_send(self) -> bytes:
            return b"the new keys"

    wire = Wire(pair[0].fileno(), Updating(ssl.create_default_context(), "vendor.test"))
    pair[1].send(b"a record")
    assert wire.read() == b"words" and pair[1].recv(100) == b"the new keys"


def test_another_name_or_authority_is_refused():
    for tls in (Tls(ssl.create_default_context(), "vendor.test"), ours("other.test")):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake(tls, Peer())
