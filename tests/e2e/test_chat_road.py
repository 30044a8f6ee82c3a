"""The chat over real sockets: on trio and on asyncio, over TLS, through a proxy, refused, and silent about its key."""

from __future__ import annotations

import asyncio
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import trio
import trustme

import voicecore
from voicecore import ChatDeadlines, Reconnect
from voicecore.emulator import Emulator, LlmTurn, Profile, run_emulator
from voicecore.emulator.chatting import ChatService, serve_chat
from voicecore.secret import Secret
from voicecore.vendors.sixtydb.llm import PATH

CANARY = "canary-Zx81-key"
ONCE = Reconnect(attempts=0)
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with run_emulator(voice="tone", ears="none") as running:
        yield running


async def say(url: str, text: str = "Hi", **arguments: object) -> str:
    async with voicecore.connect_llm("60db", url=url, **({"api_key": CANARY, "retry": ONCE} | arguments)) as llm:
        async with llm.chat(text) as reply:
            return await reply.read()


async def closed_port() -> int:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    return port


# --- asyncio ---------------------------------------------------------------------------------------------


async def on_asyncio(script: Callable[[], object]) -> object:
    """Runs an asyncio program beside the emulator; it leaves no task of its own."""

    async def program() -> object:
        result = await script()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    with trio.fail_after(60):
        return await trio.to_thread.run_sync(lambda: asyncio.run(program()), abandon_on_cancel=True)


async def test_the_same_client_on_asyncio(emulator):
    async def script() -> list[str]:
        async with voicecore.connect_llm("60db", api_key="k", url=emulator.urls["60db-llm"]) as llm:
            async with llm.chat("Hi") as reply:
                return [delta.content async for delta in reply]

    assert await on_asyncio(script) == ["You", " said:", " Hi", ""]


async def test_on_asyncio_leaving_early_drops_the_connection():
    async with run_emulator(Profile(llm_token_seconds=0.01), voice="tone", ears="none") as emulator:

        async def script() -> list[str]:
            async with voicecore.connect_llm("60db", api_key="k", url=emulator.urls["60db-llm"]) as llm:
                async with llm.chat("Hi") as reply:
                    async for _ in reply:
                        break
                async with llm.chat("Hi") as reply:
                    return await reply.read()

        assert await on_asyncio(script) == "You said: Hi"
        assert emulator.connections == 2


async def test_on_asyncio_a_timeout_a_cancel_and_a_deadline_leave_nothing():
    async with run_emulator(Profile(llm_token_seconds=3600.0), voice="tone", ears="none") as emulator:

        async def read(**arguments: object) -> None:
            url = emulator.urls["60db-llm"]
            async with voicecore.connect_llm("60db", api_key="k", url=url, retry=ONCE, **arguments) as llm:
                async with llm.chat("Hi") as reply:
                    await reply.read()

        async def script() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await read()
            task = asyncio.create_task(read())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(voicecore.DeadlineError, match="first_token"):
                await read(deadlines=ChatDeadlines(first_token=0.1))

        await on_asyncio(script)


async def test_on_asyncio_a_cancel_in_mid_stream_leaves_the_server_and_keeps_the_text():
    script = (LlmTurn("One two three.", fault="stall@2"), LlmTurn("Next."))
    async with run_emulator(Profile(llm_script=script), voice="tone", ears="none") as emulator:

        async def program() -> tuple[str, str]:
            async with voicecore.connect_llm("60db", api_key="k", url=emulator.urls["60db-llm"]) as llm:
                broken, said = llm.chat("Hi"), asyncio.Event()

                async def listen() -> None:
                    async with broken:
                        async for _ in broken:
                            if broken.content == "One two":
                                said.set()

                task = asyncio.create_task(listen())
                await said.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                async with llm.chat("Hi") as reply:
                    return broken.content, await reply.read()

        assert await on_asyncio(program) == ("One two", "Next.")
        assert emulator.connections == 2


async def test_on_asyncio_errors_and_attempts(emulator):
    script = (LlmTurn(fault="http=503", retry_after=0), LlmTurn("There."))
    async with run_emulator(Profile(llm_script=script), voice="tone", ears="none") as flaky:
        assert await on_asyncio(partial(say, flaky.urls["60db-llm"], retry=Reconnect(base=0.01))) == "There."
    with pytest.raises(voicecore.AuthError):
        await on_asyncio(partial(say, emulator.urls["60db-llm"], api_key="bad"))
    with pytest.raises(voicecore.ConnectionFailedError, match="refused"):
        await on_asyncio(partial(say, f"http://127.0.0.1:{await closed_port()}{PATH}"))


# --- refusals --------------------------------------------------------------------------------------------


async def test_a_refused_port_and_a_name_that_is_none():
    with pytest.raises(voicecore.ConnectionFailedError, match="refused"):
        await say(f"http://127.0.0.1:{await closed_port()}{PATH}")
    with pytest.raises(voicecore.ConnectionFailedError):
        await say(f"http://no-such-host.invalid{PATH}", allow_plaintext=True)


@pytest.mark.parametrize("said", [b"", b"220 smtp ready\r\n", bytes(range(256)) * 9])
async def test_a_peer_that_speaks_something_else(said):
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(said)
        await stream.send_eof()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(voicecore.ConnectionLostError):
            await say(f"http://127.0.0.1:{port}{PATH}")
        nursery.cancel_scope.cancel()


# --- TLS and proxies -------------------------------------------------------------------------------------


@pytest.fixture
async def tls_server(nursery: trio.Nursery):
    """A language model behind TLS with a given certificate; gives its port."""

    async def start(certificate: trustme.LeafCert) -> int:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)

        async def serve(stream: trio.SSLStream) -> None:
            try:
                await serve_chat(ChatService(Profile()), stream)
            except trio.BrokenResourceError:
                return

        listeners = await nursery.start(partial(trio.serve_ssl_over_tcp, serve, 0, context, https_compatible=True))
        return listeners[0].transport_listener.socket.getsockname()[1]

    return start


@pytest.mark.fault(28, "60db-llm")
async def test_tls_is_verified(tls_server, emulator):
    authority, other = trustme.CA(), trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    good = await tls_server(authority.issue_cert("localhost"))
    wrong_host = await tls_server(authority.issue_cert("elsewhere.example"))
    unknown_issuer = await tls_server(other.issue_cert("localhost"))

    assert await say(f"https://localhost:{good}{PATH}", ssl_context=trusting) == "You said: Hi"
    for port in (wrong_host, unknown_issuer):
        with pytest.raises(voicecore.TlsError, match="certificate"):
            await say(f"https://localhost:{port}{PATH}", ssl_context=trusting)
    with pytest.raises(voicecore.TlsError, match="certificate"):
        await say(f"https://localhost:{good}{PATH}")
    with pytest.raises(voicecore.TlsError):
        await say(emulator.urls["60db-llm"].replace("http:", "https:"))


@pytest.fixture
async def proxy(nursery: trio.Nursery):
    """An HTTP proxy that opens tunnels, and what was asked of it in the clear."""
    asked: list[bytes] = []

    async def serve(client: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await client.receive_some()
        asked.append(head)
        host, _, port = head.split()[1].decode().rpartition(":")
        server = await trio.open_tcp_stream(host, int(port))
        await client.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        async with server, trio.open_nursery() as pumps:
            pumps.start_soon(pump, client, server, pumps.cancel_scope)
            pumps.start_soon(pump, server, client, pumps.cancel_scope)

    async def pump(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        try:
            while data := await source.receive_some():
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    listeners = await nursery.start(trio.serve_tcp, serve, 0)
    return f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", asked


@pytest.mark.parametrize("by", ["argument", "environment"])
async def test_a_proxy_carries_the_tunnel_and_sees_no_key(tls_server, proxy, monkeypatch, by):
    address, asked = proxy
    authority, trusting = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusting)
    port = await tls_server(authority.issue_cert("localhost"))
    if by == "environment":
        monkeypatch.setenv("HTTPS_PROXY", address)
    arguments = {"proxy": address} if by == "argument" else {}
    assert await say(f"https://localhost:{port}{PATH}", ssl_context=trusting, **arguments) == "You said: Hi"
    assert len(asked) == 1
    assert asked[0].startswith(f"CONNECT localhost:{port} ".encode())
    assert CANARY.encode() not in asked[0]


async def test_a_proxy_that_refuses_or_is_not_there(monkeypatch):
    async def serve(client: trio.SocketStream) -> None:
        await client.receive_some()
        await client.send_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(voicecore.ConnectionFailedError, match="407") as caught:
            await say("https://api.60db.ai/v1", proxy=f"http://me:{CANARY}@127.0.0.1:{port}")
        assert CANARY not in str(caught.value)
        nursery.cancel_scope.cancel()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{await closed_port()}")
    with pytest.raises(voicecore.ConnectionFailedError, match="refused"):
        await say("https://api.60db.ai/v1")


async def test_a_proxy_that_says_nothing_is_still_connecting():
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, lambda client: trio.sleep_forever(), 0)
        silent = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        with pytest.raises(voicecore.DeadlineError) as caught:
            await say("https://api.60db.ai/v1", proxy=silent, deadlines=ChatDeadlines(connect=0.1, first_token=0.1))
        assert caught.value.deadline == "connect"
        nursery.cancel_scope.cancel()


async def test_a_key_in_clear_text_to_this_machine_goes_through_no_proxy(emulator, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{await closed_port()}")
    assert await say(emulator.urls["60db-llm"]) == "You said: Hi"


# --- the key ---------------------------------------------------------------------------------------------


@pytest.mark.fault(20, "60db-llm")
async def test_the_key_shows_nowhere(emulator, caplog, capfd):
    """Accepted, refused and not reached, with every logger at DEBUG, httpx2's and httpcore's among them."""
    caplog.set_level(logging.DEBUG)
    url, shown = emulator.urls["60db-llm"], []
    async with voicecore.connect_llm("60db", api_key=Secret(CANARY), url=url) as llm:
        async with llm.chat("Hello") as reply:
            async for delta in reply:
                shown.append(repr(delta))
            shown.append(repr([vars(llm), vars(reply), vars(llm._http)]))
    unreachable = f"http://127.0.0.1:{await closed_port()}{PATH}"
    for address, key in ((url, Secret(f"bad-{CANARY}")), (unreachable, Secret(CANARY))):
        try:
            await say(address, api_key=key)
        except voicecore.VoicecoreError as error:
            while error is not None:
                shown.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
                error = error.__context__  # also what `from None` hides
        else:
            raise AssertionError("it was accepted")
    assert {record.name.partition(".")[0] for record in caplog.records} >= {"httpx2", "httpcore2"}
    captured = capfd.readouterr()
    for text in [*shown, *(record.getMessage() for record in caplog.records), captured.out, captured.err]:
        assert CANARY not in text
