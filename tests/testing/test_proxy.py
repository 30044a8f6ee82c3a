"""The fault proxy: what each fault does to bytes, on a virtual clock; and over real TCP where only TCP can show it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from voicecore.errors import ConfigurationError
from voicecore.testing import FaultProxy, Faults, run_fault_proxy

TEXT = bytes(range(200))


class Server:
    """The other end of whatever goes through the proxy, through memory."""

    def __init__(self) -> None:
        self.streams: list[trio.testing.MemoryReceiveStream] = []

    async def connect(self) -> trio.abc.HalfCloseableStream:
        ours, theirs = trio.testing.memory_stream_pair()
        self.streams.append(ours)
        await trio.lowlevel.checkpoint()
        return theirs


@asynccontextmanager
async def through(**faults: Faults) -> AsyncIterator[tuple[FaultProxy, trio.abc.Stream, trio.abc.Stream]]:
    server = Server()
    async with run_fault_proxy(open_stream=server.connect, **faults) as proxy:
        client = await proxy.open_stream()
        await trio.testing.wait_all_tasks_blocked()
        yield proxy, client, server.streams[0]


async def read_all(stream: trio.abc.Stream, count: int | None = None) -> list[bytes]:
    """Every delivery until the end, or until `count` bytes came."""
    pieces = []
    while count is None or sum(map(len, pieces)) < count:
        data = bytes(await stream.receive_some(10_000))
        if not data:
            break
        pieces.append(data)
    return pieces


async def test_whole_and_at_once_without_faults(autojump_clock):
    async with through() as (proxy, client, server):
        await client.send_all(TEXT)
        assert await read_all(server, 200) == [TEXT]
        await server.send_all(TEXT[::-1])
        assert await read_all(client, 200) == [TEXT[::-1]]
        assert (trio.current_time(), proxy.connections) == (0.0, 1)


async def test_latency_delays_and_does_not_slow_the_line(autojump_clock):
    async with through(down=Faults(latency=0.5)) as (_, client, server):
        began = trio.current_time()
        for _ in range(5):
            await server.send_all(TEXT)
            await trio.sleep(0.1)
        await read_all(client, 1000)
        assert trio.current_time() - began == pytest.approx(0.9)


async def test_bandwidth(autojump_clock):
    async with through(down=Faults(bytes_per_second=100)) as (_, client, server):
        began = trio.current_time()
        await server.send_all(TEXT)
        await server.send_all(TEXT)
        await read_all(client, 400)
        assert trio.current_time() - began == pytest.approx(2.0)


async def test_split_at_every_byte(autojump_clock):
    async with through(up=Faults(slice_bytes=1, bytes_per_second=1e6)) as (_, client, server):
        await client.send_all(TEXT)
        assert await read_all(server, 200) == [bytes([byte]) for byte in TEXT]


async def test_close_after_so_many_bytes_ends_both_directions(autojump_clock):
    async with through(down=Faults(after=50, then="close")) as (_, client, server):
        await server.send_all(TEXT)
        assert b"".join(await read_all(client)) == TEXT[:50]
        assert await read_all(server) == []


async def test_half_close_ends_one_direction_only(autojump_clock):
    async with through(down=Faults(after=50, then="half_close")) as (_, client, server):
        await server.send_all(TEXT)
        assert b"".join(await read_all(client)) == TEXT[:50]
        await client.send_all(TEXT)
        assert b"".join(await read_all(server, 200)) == TEXT
        await server.send_all(TEXT)  # swallowed


async def test_blackhole_swallows_and_tells_nobody(autojump_clock):
    async with through(down=Faults(after=50, then="blackhole")) as (_, client, server):
        await server.send_all(TEXT)
        assert b"".join(await read_all(client, 50)) == TEXT[:50]
        await server.send_all(TEXT)
        with trio.move_on_after(1000) as scope:
            await client.receive_some(1)
        assert scope.cancelled_caught
        await client.send_all(b"up is whole")
        assert await read_all(server, 11) == [b"up is whole"]


async def test_blackhole_swallows_the_end_until_the_other_side_is_gone_too(autojump_clock):
    async with through(down=Faults(then="blackhole")) as (_, client, server):
        await server.send_all(TEXT)
        await server.send_eof()
        with trio.move_on_after(1000) as scope:
            await client.receive_some(1)
        assert scope.cancelled_caught
        await client.send_eof()
        assert await read_all(server) == [] == await read_all(client)


async def test_corrupt_flips_one_bit_once(autojump_clock):
    async with through(up=Faults(after=7, then="corrupt")) as (_, client, server):
        await client.send_all(TEXT)
        await client.send_all(TEXT)
        came = b"".join(await read_all(server, 400))
        assert [i for i in range(400) if came[i] != (TEXT + TEXT)[i]] == [7]
        assert came[7] ^ 7 == 1


async def test_duplicate_sends_a_piece_twice(autojump_clock):
    async with through(up=Faults(after=200, then="duplicate")) as (_, client, server):
        for piece in (TEXT, b"twice", b"end"):
            await client.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        assert b"".join(await read_all(server, 213)) == TEXT + b"twicetwiceend"


async def test_a_fault_can_begin_in_mid_stream(autojump_clock):
    async with through() as (proxy, client, server):
        await server.send_all(TEXT)
        assert await read_all(client, 200) == [TEXT]
        proxy.down = Faults(then="blackhole")
        await server.send_all(TEXT)
        await trio.testing.wait_all_tasks_blocked()
        proxy.down = Faults()
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(10) as scope:
            await client.receive_some(1)
        assert scope.cancelled_caught, "a line that fell into a hole stays there"


async def test_drop_all_is_a_restart_of_the_server(autojump_clock):
    async with through() as (proxy, client, _):
        proxy.drop_all()
        assert await read_all(client) == []
        again = await proxy.open_stream()
        await again.send_all(b"x")
        assert proxy.connections == 2


async def test_the_end_of_either_side_reaches_the_other(autojump_clock):
    async with through() as (_, client, server):
        await client.aclose()
        assert await read_all(server) == []


@pytest.mark.parametrize(
    "wrong", [{"latency": -1}, {"bytes_per_second": 0}, {"after": -1}, {"slice_bytes": 0}, {"latency": float("nan")}]
)
def test_impossible_faults_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="faults"):
        Faults(**wrong)


# --- over TCP --------------------------------------------------------------------------------------------


@asynccontextmanager
async def tcp(serve, **faults: Faults) -> AsyncIterator[trio.SocketStream]:
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        port = listener.socket.getsockname()[1]
        async with run_fault_proxy("127.0.0.1", port, **faults) as proxy:
            with trio.fail_after(30):
                async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as client:
                    yield client
        nursery.cancel_scope.cancel()


async def test_reset_tears_the_connection():
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(TEXT)
        await trio.sleep_forever()

    async with tcp(serve, down=Faults(after=100, then="reset")) as client:
        with pytest.raises(trio.BrokenResourceError) as torn:
            while True:
                await client.receive_some(1000)
        assert isinstance(torn.value.__cause__, ConnectionResetError)


async def test_stall_closes_the_senders_window():
    sent = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal sent
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(bytes(65536))
                sent += 65536

    async with tcp(serve, down=Faults(after=1000, then="stall")) as client:
        await read_all(client, 1000)
        before = -1
        while sent != before:  # until the buffers of the system are full
            before = sent
            await trio.sleep(0.2)
        assert sent < 64 * 2**20


async def test_nothing_listens_behind_the_proxy():
    async with run_fault_proxy("127.0.0.1", 1) as proxy, await trio.open_tcp_stream("127.0.0.1", proxy.port) as client:
        with trio.fail_after(30):
            assert await client.receive_some(1) == b""
