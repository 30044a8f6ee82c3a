"""A TCP proxy that makes faults, between any client and any server; on trio. It knows nothing of what it carries.

    async with run_fault_proxy("127.0.0.1", 8765, down=Faults(latency=0.2, slice_bytes=1)) as proxy:
        ... connect to proxy.port; later: proxy.down = Faults(then="blackhole")

`proxy.open_stream` gives a connection through memory instead, for `connect_tts(open_stream=...)` on a virtual clock.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import trio
import trio.testing

from voicecore.errors import ConfigurationError
from voicecore.nursery import flat_nursery

Fault = Literal["close", "half_close", "reset", "blackhole", "stall", "corrupt", "duplicate"]
Stream = trio.abc.HalfCloseableStream
Connect = Callable[[], Awaitable[Stream]]
READ_BYTES = 16 * 2**10
IN_FLIGHT = 1000  # pieces that may be under way, for the latency


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to one direction. Whole and at once by default.

    `latency`: seconds that each byte is under way. `bytes_per_second`: of the line. `slice_bytes`: at most so many
    bytes are delivered at once (1: every split there is). After `after` bytes of a connection, `then` happens, once:
    close: both directions end in order. half_close: this direction ends, the other goes on. reset: the connection is
    torn (RST). blackhole: everything after is swallowed, the end too, and neither side is told. stall: nothing more is
    read, so that the sender's window closes. corrupt: the lowest bit of the next byte is flipped. duplicate: the next
    piece comes twice.
    """

    latency: float = 0.0
    bytes_per_second: float = float("inf")
    slice_bytes: int | None = None
    after: int = 0
    then: Fault | None = None

    def __post_init__(self) -> None:
        if not self.latency >= 0 or not self.bytes_per_second > 0 or self.after < 0:
            raise ConfigurationError(f"faults: expected latency and after from 0, bytes_per_second above 0, got {self}")
        if self.slice_bytes is not None and self.slice_bytes < 1:
            raise ConfigurationError(f"faults.slice_bytes: expected at least 1, got {self.slice_bytes}")


WHOLE = Faults()


class FaultProxy:
    """A running proxy. `up` (client to server) and `down` may be changed at any time; `connections` counts."""

    def __init__(self, connect: Connect, nursery: trio.Nursery, up: Faults, down: Faults) -> None:
        self.up = up
        self.down = down
        self.port = 0
        self.connections = 0
        self._connect = connect
        self._nursery = nursery
        self._lines: set[trio.CancelScope] = set()

    async def open_stream(self, url: str = "", ssl_context: object = None) -> trio.abc.Stream:
        """A connection through memory: what is sent there goes through the faults to the server."""
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.serve, theirs)
        await trio.lowlevel.checkpoint()
        return ours

    def drop_all(self) -> None:
        """Tears every connection that is open now, as a restart of the server does."""
        for line in self._lines:
            line.cancel()

    async def serve(self, client: Stream) -> None:
        """Carries one client's connection until either side is gone."""
        self.connections += 1
        server: Stream | None = None
        with trio.CancelScope() as line:
            self._lines.add(line)
            try:
                server = await self._connect()
                async with trio.open_nursery() as nursery:
                    up = _Direction(client, server, lambda: self.up, line)
                    down = _Direction(server, client, lambda: self.down, line)
                    nursery.start_soon(up.run, down.ended)
                    nursery.start_soon(down.run, up.ended)
            except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                pass  # one side is gone: so is the line
            finally:
                self._lines.discard(line)
                with trio.CancelScope(shield=True):  # closing by force never waits, and both are to be closed
                    await trio.aclose_forcefully(client)
                    if server is not None:
                        await trio.aclose_forcefully(server)


@asynccontextmanager
async def run_fault_proxy(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    up: Faults = WHOLE,
    down: Faults = WHOLE,
    open_stream: Connect | None = None,
) -> AsyncIterator[FaultProxy]:
    """Listens on a free loopback port and connects to `host:port`, or to what `open_stream()` gives."""
    connect: Connect = open_stream or partial(trio.open_tcp_stream, host, port)
    async with flat_nursery() as nursery:
        proxy = FaultProxy(connect, nursery, up, down)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, proxy.serve, listeners)
        yield proxy


class _Direction:
    """What goes from one side of a connection to the other."""

    def __init__(self, source: Stream, sink: Stream, faults: Callable[[], Faults], line: trio.CancelScope) -> None:
        self._source = source
        self._sink = sink
        self._faults = faults
        self._line = line
        self.ended = trio.Event()  # the source says nothing more
        self._swallowed = False  # ... and nobody is to be told
        self._passed = 0
        self._fired: Faults | None = None  # whose `then` has happened
        self._torn = False
        self._delivered = trio.Event()
        self._to_deliver, self._under_way = trio.open_memory_channel[tuple[float, bytes]](IN_FLIGHT)

    async def run(self, other_ended: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver)
            async with self._to_deliver:
                await self._read()
                self.ended.set()
                if self._swallowed:
                    await other_ended.wait()

    async def _read(self) -> None:
        while data := bytes(await self._source.receive_some(READ_BYTES)):
            while data:
                faults = self._faults()
                left = faults.after - self._passed if faults.then and self._fired is not faults else len(data)
                if left <= 0:
                    self._fired = faults
                    data = await self._fire(faults.then, data)
                    continue
                size = min(len(data), left, faults.slice_bytes or len(data))
                await self._pass(data[:size], faults)
                data = data[size:]

    async def _pass(self, piece: bytes, faults: Faults) -> None:
        self._passed += len(piece)
        await self._to_deliver.send((trio.current_time() + faults.latency, piece))

    async def _fire(self, fault: Fault | None, data: bytes) -> bytes:
        """Makes the fault; gives what is still to be passed on."""
        match fault:
            case "corrupt":
                return bytes([data[0] ^ 1]) + data[1:]
            case "duplicate":
                await self._pass(data, self._faults())
                return data
            case "stall":
                await trio.sleep_forever()
            case "blackhole":
                self._swallowed = True
            case "half_close":
                self._to_deliver.close()
            case "close" | "reset":
                self._torn = fault == "reset"
                self._to_deliver.close()
                await self._delivered.wait()  # what came before is not lost
                if self._torn:
                    _reset_on_close(self._source, self._sink)
                self._line.cancel()
        while await self._source.receive_some(READ_BYTES):
            pass  # what comes after a blackhole or a half close
        return b""

    async def _deliver(self) -> None:
        async with self._under_way:
            async for at, piece in self._under_way:
                await trio.sleep_until(at)
                await self._sink.send_all(piece)
                rate = self._faults().bytes_per_second
                if rate != float("inf"):
                    await trio.sleep(len(piece) / rate)
        self._delivered.set()
        if not self._torn:
            await self._sink.send_eof()


def _reset_on_close(*streams: Stream) -> None:
    for stream in streams:
        if isinstance(stream, trio.SocketStream):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
