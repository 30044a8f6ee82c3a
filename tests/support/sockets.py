"""Real sockets where tests have streams in memory: what goes in is there at once, so a virtual clock still holds."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

Pair = tuple[trio.SocketStream, trio.SocketStream]


@contextmanager
def socket_stream_pairs() -> Iterator[Callable[[], Pair]]:
    """In place of `trio.testing.memory_stream_pair`. What a test leaves open, as it may in memory, is closed."""
    made: list[socket.socket] = []

    def stream(end: socket.socket) -> trio.SocketStream:
        made[:] = [other for other in made if other.fileno() >= 0] + [end]
        return trio.SocketStream(trio.socket.from_stdlib_socket(end))

    def pair() -> Pair:
        ours, theirs = socket.socketpair()
        return stream(ours), stream(theirs)

    yield pair
    for end in made:
        end.close()
