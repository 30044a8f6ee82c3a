"""A connected socket as bytes in and bytes out, with TLS or without. Nothing here waits."""

from __future__ import annotations

import os
import ssl
import threading

RECEIVE_BYTES = 256 * 2**10
RECORD_BYTES = 16 * 2**10  # of plain text in the largest TLS record


class _Buffer(threading.local):
    """One for each thread: so large a buffer would be mapped anew for each read."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(RECEIVE_BYTES))


_BUFFER = _Buffer()


class Tls:
    """The client's end of TLS, between two buffers. Every error is an `ssl.SSLError`."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shaken(self) -> bool:
        """Goes on with the handshake; False while the peer has to say more."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def received(self, data: bytes) -> None:
        """Takes bytes from the socket; b"" for its end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def to_send(self) -> bytes:
        """What is to go out."""
        return self._outgoing.read()

    def encrypt(self, data: bytes) -> bytes:
        """What is to go out with `data` in it."""
        if data:
            self._tls.write(data)
        return self.to_send()

    def decrypt(self) -> tuple[bytes, bool]:
        """What whole records hold, and whether nothing follows: the peer has said so, or a record is damaged."""
        pieces: list[bytes] = []
        over = False
        try:
            while self._incoming.pending and not over:
                pieces.append(self._tls.read(RECORD_BYTES))
                over = not pieces[-1]
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            if not pieces:
                raise
            over = True
        return b"".join(pieces), over


class Wire:
    """Reads and writes a non-blocking socket. The socket stays its owner's, who closes it."""

    def __init__(self, fd: int, tls: Tls | None = None) -> None:
        self.fd = fd
        self.over = False  # TLS has ended: no more is to be read
        self._tls = tls
        self._rest = bytearray()  # what the socket did not take

    @property
    def behind(self) -> bool:
        """True while the socket has not taken all that was written."""
        return bool(self._rest)

    def read(self) -> bytes:
        """What has come; b"" at the end. Raises `BlockingIOError` if that is nothing yet, or another `OSError`."""
        buffer = _BUFFER.view
        data = bytes(buffer[: os.readv(self.fd, (buffer,))])
        if self._tls is None or not data:
            return data
        self._tls.received(data)
        return self._plain(self._tls)

    def _plain(self, tls: Tls) -> bytes:
        data, self.over = tls.decrypt()
        if answer := tls.to_send():
            self._put(answer)
        if not (data or self.over):
            raise BlockingIOError
        return data

    def write(self, data: bytes = b"") -> bool:
        """Takes all of `data`; False if the socket did not: call again when it can take more. Raises `OSError`."""
        return self._put(data if self._tls is None else self._tls.encrypt(data))

    def _put(self, data: bytes) -> bool:
        if not self._rest:
            taken = 0
            try:
                taken = _written(self.fd, data)
            finally:  # a later try leaves nothing out
                self._rest += data[taken:]
        else:
            self._rest += data
            with memoryview(self._rest) as rest:
                taken = _written(self.fd, rest)
            del self._rest[:taken]
        return not self._rest


def _written(fd: int, data: bytes | memoryview) -> int:
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
