"""The other end: a process that greets, then paces prebuilt messages on plain sockets. `python -m benches.wire.server`.

It is as cheap as it can be, so that the client is what is measured: one thread, no WebSocket library, no copies. The
load comes as JSON on the command line; the port and, at the end, the start of the pacing are printed, as JSON lines.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import json
import selectors
import socket
import ssl
import struct
import sys
import time
from pathlib import Path

from benches.wire.load import DISTINCT, STT_PATH, Load, frame, message, messages, sounds

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SEND_BUFFER = 4 * 2**20  # so that a client that is late does not stop the pacing
FRAME_HEAD = 8  # of a masked frame of 126 bytes to 64 KB
GOODBYE = struct.pack("!BBH", 0x88, 2, 1000)
LEAD = 0.1  # seconds from the last connection to the first message
GREETING = ({"connecting": True}, {"connection_established": {"service": "stt"}}, {"type": "connected"})


class Peer:
    """One client's connection, past its upgrade and its first message."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.read_ahead = b""
        head = self._until(b"\r\n\r\n").decode()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        key = next(value for name, value in fields.items() if name.lower() == "sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest())
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        sock.sendall(answer + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        path = head.split(" ", 2)[1]
        if path.startswith(STT_PATH):
            sock.sendall(b"".join(frame(json.dumps(said).encode()) for said in GREETING))
        self.request = json.loads(self._message())
        if path.startswith(STT_PATH):
            sock.sendall(frame(b'{"type":"session_started","session_id":"1","language":"EN"}'))
        self.context_id = str(self.request.get("generationId", "")).encode()

    def _more(self) -> None:
        data = self.sock.recv(2**16)
        if not data:
            raise ConnectionError("the client left before its first message")
        self.read_ahead += data

    def _until(self, end: bytes) -> bytes:
        while end not in self.read_ahead:
            self._more()
        found, self.read_ahead = self.read_ahead.split(end, 1)
        return found

    def _take(self, size: int) -> bytes:
        while len(self.read_ahead) < size:
            self._more()
        taken, self.read_ahead = self.read_ahead[:size], self.read_ahead[size:]
        return taken

    def _message(self) -> bytes:
        """One masked frame."""
        size = self._take(2)[1] & 0x7F
        if size == 126:
            [size] = struct.unpack("!H", self._take(2))
        mask, data = self._take(4), self._take(size)
        return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def serve(load: Load, certificate: Path | None) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    say(port=listener.getsockname()[1])
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    peers = []
    while len(peers) < load.streams:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        peers.append(Peer(context.wrap_socket(sock, server_side=True) if context else sock))
    {"pace": pace, "burst": burst, "listen": listen}[load.mode](load, peers)


def pace(load: Load, peers: list[Peer]) -> None:
    """One message to each stream at its time. Those that are due go out in the order of their times."""
    pool, clock = sounds(load), time.monotonic
    start = clock() + LEAD
    due = [(start + load.phase(number), number, 0) for number in range(load.streams)]
    heapq.heapify(due)
    late = []
    while due:
        at, number, index = due[0]
        if (wait := at - clock()) > 0:
            time.sleep(wait)
        late.append(clock() - at)
        peer, last = peers[number], index == load.chunks - 1
        peer.sock.sendall(message(pool[index % DISTINCT], peer.context_id, index, last))
        if last:
            heapq.heappop(due)
        else:
            heapq.heapreplace(due, (at + load.interval, number, index + 1))
    late.sort()
    say(start=start, order=[peer.context_id.decode() for peer in peers], server_p99=late[len(late) * 99 // 100])
    drain(peers)


def burst(load: Load, peers: list[Peer]) -> None:
    """Everything at once, to each stream in turn."""
    for peer in peers:
        peer.sock.sendall(b"".join(messages(load, peer.context_id)))
    say(start=0.0, order=[], server_p99=0.0)
    drain(peers)


def listen(load: Load, peers: list[Peer]) -> None:
    say(start=0.0, order=[], server_p99=0.0)
    drain(peers, load.chunks * (load.audio_bytes + FRAME_HEAD))


def drain(peers: list[Peer], expected: int = 0) -> None:
    """Reads and drops what comes; after so many bytes says goodbye, and leaves when that is answered."""
    selector, left = selectors.DefaultSelector(), {}
    for peer in peers:
        left[peer.sock] = expected - len(peer.read_ahead)
        if left[peer.sock] <= 0:
            peer.sock.sendall(GOODBYE)
        peer.sock.setblocking(False)
        selector.register(peer.sock, selectors.EVENT_READ)
    while left:
        for key, _ in selector.select():
            sock: socket.socket = key.fileobj  # type: ignore[assignment]
            try:
                size = len(sock.recv(2**18))
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except OSError:
                size = 0
            if not size or left[sock] <= 0:
                selector.unregister(sock)
                sock.close()
                del left[sock]
                continue
            left[sock] -= size
            if left[sock] <= 0:
                sock.sendall(GOODBYE)


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    serve(Load(**json.loads(sys.argv[1])), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
