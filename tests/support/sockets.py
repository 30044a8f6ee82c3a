"""Real sockets where tests have streams in memory: what goes in is there at once, so a virtual clock still holds."""

from __future__ import annotations

import socket

import trio


def socket_stream_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """In place of `trio.testing.memory_stream_pair`."""
    ours, theirs = socket.socketpair()
    return tuple(trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in (ours, theirs))  # type: ignore[return-value]
