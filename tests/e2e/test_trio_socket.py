"""The trio link on a real socket, which it reads and writes without a stream: what a full or torn one does to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from support.wire import client
from websockets.server import ServerProtocol

from voicecore.errors import ConnectionLostError
from voicecore.events import ClassifyVoice
from voicecore.link import Link
from voicecore.trio_backend import TrioBackend

MUCH = 3_000_000  # bytes: more than the socket takes at once


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Link, ServerProtocol, trio.SocketStream]]:
    """A link that is open, and the server's end of its socket."""
    backend, connection = TrioBackend(), client()
    ours, theirs = trio.socket.socketpair()
    with trio.fail_after(20):
        async with backend.background() as background:
            link = backend.link(connection, backend.lot(), lambda _: None)

            async def opener(*_: object) -> trio.SocketStream:
                return trio.SocketStream(ours)

            await link.open(opener, "ws://vendor.test/open", None, background, trio.current_time())
            server, stream = ServerProtocol(max_size=None), trio.SocketStream(theirs)
            server.receive_data(await stream.receive_some())
            [request] = server.events_received()
            server.send_response(server.accept(request))
            await stream.send_all(b"".join(server.data_to_send()))
            await link.wait_ready()
            try:
                yield link, server, stream
            finally:
                link.abort()
                stream.socket.close()


async def test_what_a_full_socket_does_not_take_follows_whole():
    async with pair() as (link, server, stream):
        link.send(ClassifyVoice("first", bytes(MUCH)))
        link.send(ClassifyVoice("second", b""))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.wait_writable)
            heard: list[bytes] = []
            while len(heard) < 2:
                server.receive_data(await stream.receive_some())
                heard += [bytes(frame.data) for frame in server.events_received()]
    assert [b"first" in heard[0], b"second" in heard[1], len(heard[0]) > MUCH] == [True] * 3


async def test_a_socket_that_is_full_and_torn_ends_the_link():
    async with pair() as (link, _, stream):
        link.send(ClassifyVoice("first", bytes(MUCH)))
        await stream.aclose()
        with pytest.raises(ConnectionLostError):
            await link.next()


async def test_a_write_after_the_peer_has_gone_is_no_error_of_its_own():
    async with pair() as (link, _, stream):
        stream.socket.close()  # at once: the link has had no turn to notice
        link.send(ClassifyVoice("late", b""))
        link.send(ClassifyVoice("later", b""))
        with pytest.raises(ConnectionLostError):
            await link.next()


async def test_a_fault_of_ours_ends_the_link_that_has_it_and_is_raised_there():
    def fail(data: bytes, now: float) -> None:
        raise ValueError("a fault of ours")

    async with pair() as (healthy, server, stream):
        with pytest.raises(ValueError, match="a fault of ours"):
            async with pair() as (link, _, other):
                link.connection.receive_data = fail
                await other.send_all(b"x")
                await trio.sleep_forever()
        server.send_ping(b"?")
        await stream.send_all(b"".join(server.data_to_send()))
        server.receive_data(await stream.receive_some())
        assert [event.opcode.name for event in server.events_received()] == ["PONG"]
        assert not healthy.connection.closed
