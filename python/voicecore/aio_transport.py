"""An asyncio transport over a socket that the pump of its loop reads; and that pump."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from weakref import WeakValueDictionary

from voicecore.pump import Pump
from voicecore.wire import Tls, Wire

# By the id of its loop, which a pump keeps alive: one that is forgotten with its loop holds no socket open.
_PUMPS: WeakValueDictionary[int, AioPump] = WeakValueDictionary()


class AioPump:
    """Waits for all sockets of a loop with one callback, for as long as there are sockets."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pump = Pump()
        self._timer: asyncio.TimerHandle | None = None
        loop.add_reader(self._pump.fileno(), self._ready)

    def add(self, fd: int, readable: Callable[[float], None]) -> None:
        """See `Pump.add`."""
        self._pump.add(fd, readable)

    def remove(self, fd: int) -> None:
        """See `Pump.remove`."""
        self._pump.remove(fd)

    def leave(self) -> None:
        """Ends if no socket is left."""
        if not self._pump.empty or _PUMPS.get(id(self._loop)) is not self:
            return
        del _PUMPS[id(self._loop)]
        self._loop.remove_reader(self._pump.fileno())
        if self._timer is not None:
            self._timer.cancel()
        self._pump.close()

    def _ready(self) -> None:
        if self._pump.crowded and self._pump.due > self._loop.time():
            self._later()
        else:
            self._serve()

    def _later(self) -> None:
        """What is ready stays so: nothing is listened for until then."""
        if self._timer is None:
            self._loop.remove_reader(self._pump.fileno())
        self._timer = self._loop.call_at(self._pump.due, self._serve)

    def _serve(self) -> None:
        served = self._pump.serve(self._loop.time())
        if self._pump.crowded and served > 1:
            self._later()
        elif self._timer is not None:
            self._timer = None
            self._loop.add_reader(self._pump.fileno(), self._ready)


def running_pump() -> AioPump:
    """The pump of the running loop."""
    loop = asyncio.get_running_loop()
    pump = _PUMPS.get(id(loop))
    if pump is None:
        pump = _PUMPS[id(loop)] = AioPump(loop)
    return pump


class SocketTransport(asyncio.Transport):
    """What asyncio's own transports do for a socket, as far as a link asks for it: any write that the socket does not
    take at once pauses the writer, and the end of the peer's bytes is the end."""

    def __init__(self, sock: socket.socket, tls: Tls | None, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": sock})
        self._socket = sock
        self._wire = Wire(sock.fileno(), tls)
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._pump = running_pump()
        self._reading = False
        self._closing = False
        protocol.connection_made(self)
        self.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The limit is 0."""

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._pump.remove(self._wire.fd)

    def resume_reading(self) -> None:
        if not (self._reading or self._closing):
            self._reading = True
            self._pump.add(self._wire.fd, self._readable)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        behind = self._wire.behind
        try:
            done = self._wire.write(bytes(data))
        except OSError as error:
            self._end(error)
            return
        if not (done or behind):
            self._loop.add_writer(self._wire.fd, self._writable)
            self._protocol.pause_writing()

    def abort(self) -> None:
        self._end(None)

    close = abort

    def _writable(self) -> None:
        try:
            done = self._wire.write()
        except OSError as error:
            self._end(error)
            return
        if done:
            self._loop.remove_writer(self._wire.fd)
            self._protocol.resume_writing()

    def _readable(self, _: float) -> None:
        """In the pump's callback, which others need too: a fault of ours is this link's end, and nobody else's."""
        try:
            self._read()
        except Exception as fault:  # noqa: BLE001 - as asyncio's own transports do
            self._loop.call_exception_handler({"message": "reading failed", "exception": fault, "transport": self})
            self._end(fault)

    def _read(self) -> None:
        if self._closing:
            return
        try:
            data = self._wire.read()
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        if (self._wire.over or not data) and not self._closing:
            self._protocol.eof_received()
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._closing:
            return
        self.pause_reading()
        self._closing = True
        self._loop.remove_writer(self._wire.fd)
        self._loop.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._socket.close()
            self._pump.leave()
