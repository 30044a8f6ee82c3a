"""Scripted vendors behind a real WebSocket server, through memory: no socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

Script = Callable[[WebSocketConnection], Awaitable[None]]
OpenStream = Callable[[str, object], Awaitable[trio.abc.Stream]]


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
            except ConnectionClosed:
                return
            finally:
                tasks.cancel_scope.cancel()

    return open_stream
