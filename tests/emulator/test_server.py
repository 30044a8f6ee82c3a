"""The emulator outlives what its clients do to a connection."""

from __future__ import annotations

import pytest
import trio
from support.systems import EVERY, connect, emulate, work
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request

__all__ = ["emulate"]
PING = b"\x89\x80\x00\x00\x00\x00"  # masked, as a client's; by hand, since no library sends one after a close


async def closed_by(emulator, path: str) -> trio.abc.Stream:
    """A connection that the emulator said goodbye to, because of its key."""
    stream = await emulator.open_stream("ws://localhost", None)
    client = WSConnection(ConnectionType.CLIENT)
    await stream.send_all(
        client.send(Request("localhost", path + "?EIO=4&transport=websocket", extra_headers=[(b"x-api-key", b"bad")]))
    )
    seen: list[type] = []
    while CloseConnection not in seen:
        data = await stream.receive_some()
        assert data, seen
        client.receive_data(data)
        seen += [type(event) for event in client.events()]
    assert seen[0] is AcceptConnection
    return stream


@pytest.mark.parametrize("dialect", EVERY)
async def test_a_ping_that_crosses_the_goodbye_costs_one_connection(dialect, emulate, autojump_clock):
    emulator = await emulate(refusal="silent")
    stream = await closed_by(emulator, dialect.path())
    await stream.send_all(PING)
    with trio.move_on_after(60):
        while await stream.receive_some():
            pass
    async with connect(dialect, emulator) as session:
        await work(session)
