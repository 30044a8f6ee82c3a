"""The emulator's server: one port, every vendor on its own path, the vendors' files in the SERVER role.

A small front door reads the HTTP head: an upgrade goes to trio-websocket (a WebSocket implementation that shares
nothing with the client's), chat completions to `chatting.py`, and any other request is answered as the vendors answer
a health check.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import h11
import trio
import trio.testing
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketRequest, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from voicecore.emulator.chatting import ChatService, serve_chat
from voicecore.emulator.ears import Ears, open_ears
from voicecore.emulator.faults import refusal_of
from voicecore.emulator.faulty_peer import FaultyPeer
from voicecore.emulator.listening import Listener
from voicecore.emulator.peer import Gone, Peer, refuse
from voicecore.emulator.profile import Profile
from voicecore.emulator.speaking import Speaker
from voicecore.emulator.voice import Voice, open_voice
from voicecore.events import Malformed, StartStream
from voicecore.nursery import flat_nursery
from voicecore.protocol import Dialect, Protocol, Role
from voicecore.vendors.sixtydb import llm as sixtydb_llm

HEAD_SECONDS = 10.0
HEAD_BYTES = 64 * 2**10
MAX_MESSAGE_BYTES = 16 * 2**20
MESSAGE_QUEUE = 1000  # trio-websocket stops answering pings when its queue is full


@dataclass(slots=True)
class Emulator:
    """A running emulator: the URLs by system, and the engines behind them."""

    urls: dict[str, str]
    voice: Voice
    ears: Ears
    profile: Profile
    by_path: Mapping[str, Dialect]
    nursery: trio.Nursery
    chat: ChatService
    connections: int = 0

    def dialect_at(self, path: str) -> Dialect | None:
        """What is served on a path; the slash at its end may be missing."""
        return self.by_path.get(path) or self.by_path.get(f"{path}/")

    async def open_stream(self, url: str, ssl_context: ssl.SSLContext | None = None) -> trio.abc.Stream:
        """A connection through memory, for `connect_tts(open_stream=...)`: no socket, so it runs on a virtual clock."""
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(_serve, self, theirs)
        return ours


@asynccontextmanager
async def run_emulator(
    profile: Profile | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    voice: str = "auto",
    ears: str = "auto",
    dictation: bool = False,
) -> AsyncIterator[Emulator]:
    """Serves every vendor while the block runs. Port 0 takes a free one; `urls` of what it gives are ready to use.

    `voice`: "auto", "espeak" or "tone"; `ears`: "auto", "pocketsphinx" or "none". Nothing outlives the block.
    """
    profile = profile or Profile()
    mode = "dictation" if dictation else "grammar"
    async with (
        open_voice(engine=voice) as speaker,
        open_ears(engine=ears, mode=mode) as listener,
        flat_nursery() as nursery,
    ):
        listeners = await trio.open_tcp_listeners(port, host=host)
        address = listeners[0].socket.getsockname()
        by_path = profile.dialects()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        urls = {dialect.name: f"ws://{shown}:{address[1]}{path}" for path, dialect in by_path.items()}
        urls[sixtydb_llm.NAME] = f"http://{shown}:{address[1]}{sixtydb_llm.PATH}"
        emulator = Emulator(urls, speaker, listener, profile, by_path, nursery, ChatService(profile))
        nursery.start_soon(trio.serve_listeners, partial(_serve, emulator), listeners)
        yield emulator


async def _serve(emulator: Emulator, stream: trio.abc.HalfCloseableStream) -> None:
    try:
        head = await _read_head(stream)
        if head is None:
            return
        if b"websocket" in head.header("upgrade").lower():
            await _serve_websocket(emulator, _Replayed(head.raw, stream))
        elif urlsplit(head.target).path == sixtydb_llm.PATH:
            emulator.connections += 1
            await serve_chat(emulator.chat, _Replayed(head.raw, stream))
        else:
            await _answer_plain(emulator, head, stream)
    except* (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed, HandshakeError):
        pass  # the client went away; where nurseries were open, that comes in a group
    except* LocalProtocolError:
        pass  # its ping crossed our close: trio-websocket would answer, and wsproto no longer can
    finally:
        await trio.aclose_forcefully(stream)


# --- the front door --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Head:
    """The head of an HTTP request, and the bytes that it came in."""

    raw: bytes
    target: str
    headers: tuple[tuple[bytes, bytes], ...]

    def header(self, name: str) -> bytes:
        return next((value for key, value in self.headers if key == name.encode()), b"")


async def _read_head(stream: trio.abc.HalfCloseableStream) -> _Head | None:
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    raw = bytearray()
    with trio.move_on_after(HEAD_SECONDS):
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError:
                await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return None
            if isinstance(event, h11.Request):
                return _Head(bytes(raw), event.target.decode("latin-1"), tuple(event.headers))
            data = bytes(await stream.receive_some(HEAD_BYTES)) if event is h11.NEED_DATA else b""
            if not data:
                return None
            raw += data
            parser.receive_data(data)
    return None


async def _answer_plain(emulator: Emulator, head: _Head, stream: trio.abc.HalfCloseableStream) -> None:
    """60db answers `200 ok` to a GET on its WebSocket's port; so does every path that we serve and that allows it."""
    target = urlsplit(head.target)
    dialect = emulator.dialect_at(target.path)
    fault = dialect and dialect.http_fault(dict(parse_qsl(target.query)), upgrade=False)
    known = dialect is not None or target.path in ("/", "/ws/health")
    status, body = ("200 OK", b"ok") if known else ("404 Not Found", b"no such path")
    if fault:
        status, body = "400 Bad Request", fault.encode()
    fields = f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close"
    await stream.send_all(f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + body)


class _Replayed(trio.abc.HalfCloseableStream):
    """A stream of which the first bytes were read already."""

    def __init__(self, read: bytes, stream: trio.abc.HalfCloseableStream) -> None:
        self._read = read
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._read:
            await trio.lowlevel.checkpoint()
            count = len(self._read) if max_bytes is None else max_bytes
            data, self._read = self._read[:count], self._read[count:]
            return data
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


# --- WebSockets ------------------------------------------------------------------------------------------


async def _serve_websocket(emulator: Emulator, stream: trio.abc.Stream) -> None:
    async with trio.open_nursery() as nursery:
        request = await wrap_server_stream(
            nursery, stream, message_queue_size=MESSAGE_QUEUE, max_message_size=MAX_MESSAGE_BYTES
        )
        await _serve_request(emulator, request)
        nursery.cancel_scope.cancel()


async def _serve_request(emulator: Emulator, request: WebSocketRequest) -> None:
    target = urlsplit(request.path)
    dialect = emulator.dialect_at(target.path)
    if dialect is None:
        await request.reject(404, body=b"no such path")
        return
    query = dict(parse_qsl(target.query))
    if fault := dialect.http_fault(query, upgrade=True):
        await request.reject(400, body=fault.encode())
        return
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers}
    accepted = dialect.key_in_band or emulator.profile.accepts(dialect.key_of(query, headers))
    refusal = emulator.profile.refusal
    if not accepted and (refusal == "http" or (refusal == "vendor" and dialect.refuses_by_http)):
        await request.reject(401, body=b"invalid API key")
        return
    status = refusal_of(emulator.profile.faults, emulator.connections)
    emulator.connections += 1
    if status is not None:
        await request.reject(status, extra_headers=[(b"Retry-After", b"1")], body=b"a fault of the emulator")
        return
    socket = await request.accept()
    peer: Peer = Peer(socket, Protocol(dialect, Role.SERVER))
    if emulator.profile.faults:
        peer = FaultyPeer(socket, Protocol(dialect, Role.SERVER), emulator.profile.faults)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.write)
        try:
            if accepted:
                await _serve_vendor(emulator, peer, dialect.start_of(headers))
            else:
                await refuse(peer, emulator.profile)
        except* Gone:
            pass  # the ordinary end of a client that has what it wanted
        nursery.cancel_scope.cancel()


async def _serve_vendor(emulator: Emulator, peer: Peer, start: StartStream | Malformed | None) -> None:
    dialect = peer.protocol.dialect
    async with trio.open_nursery() as nursery:
        if dialect.server_ping is not None:
            nursery.start_soon(peer.keep_alive, *dialect.server_ping)
        if dialect.kind == "tts":
            await Speaker(peer, emulator.voice, emulator.profile, nursery).run()
        else:
            await Listener(peer, emulator.ears, emulator.profile, nursery, start).run()
        nursery.cancel_scope.cancel()
