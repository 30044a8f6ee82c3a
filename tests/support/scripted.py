"""Vendors that follow a script, behind a real WebSocket server, through memory: no socket and no clock."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

OpenStream = Callable[[str, object], Awaitable[trio.abc.Stream]]
Script = Callable[[WebSocketConnection], Awaitable[None]]


def play(nursery: trio.Nursery, script: Script, opened: list[str] | None = None) -> OpenStream:
    """An `open_stream` whose every connection runs the script; `opened` collects the URLs."""

    async def open_stream(url: str, ssl_context: object) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        if opened is not None:
            opened.append(url)
        nursery.start_soon(serve, theirs)
        await trio.lowlevel.checkpoint()
        return ours

    async def serve(stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as tasks:
            request = await wrap_server_stream(tasks, stream, message_queue_size=100)
            socket = await request.accept()
            try:
                await script(socket)
            except* ConnectionClosed:
                pass  # the client went
            finally:
                tasks.cancel_scope.cancel()

    return open_stream


@pytest.fixture
async def vendor(nursery: trio.Nursery):
    """Makes an `open_stream` whose every connection runs a script behind a real WebSocket server."""
    return partial(play, nursery)


async def heard(socket: WebSocketConnection) -> dict:
    return json.loads(await socket.get_message())


async def wait_for_the_end(socket: WebSocketConnection) -> None:
    while True:
        await socket.get_message()
