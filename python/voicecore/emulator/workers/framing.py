"""The frames between the emulator and a worker process, and the worker's main loop.

A frame is two lengths, a JSON header and a payload of bytes. Every request carries an `id`; the worker answers
it with any number of frames of that id, the last of kind `end` or `error`. A worker serves one request at a
time: a request that arrives while another is being answered means that nobody wants the older answer any more.

Both ends import this file, and the worker's end imports nothing else of voicecore: standard library only.
"""

from __future__ import annotations

import json
import os
import select
import signal
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

LENGTHS = struct.Struct("!II")
MAX_HEADER_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 4 << 20
STDIN, STDOUT, STDERR = 0, 1, 2

Header = dict[str, Any]


class Frame(NamedTuple):
    header: Header
    payload: bytes


class FramingError(ValueError):
    """Bytes that are no frame."""


def encode(header: Header, payload: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    _check_lengths(len(text), len(payload))
    return LENGTHS.pack(len(text), len(payload)) + text + payload


def _check_lengths(header: int, payload: int) -> None:
    if header > MAX_HEADER_BYTES or payload > MAX_PAYLOAD_BYTES:
        raise FramingError(
            f"a frame of {header} + {payload} bytes is over the limit of {MAX_HEADER_BYTES} + {MAX_PAYLOAD_BYTES}"
        )


class FrameParser:
    """Bytes in any pieces -> frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> None:
        self._buffer += data

    def next(self) -> Frame | None:
        """The next whole frame, or None until more bytes have come."""
        if len(self._buffer) < LENGTHS.size:
            return None
        header_size, payload_size = LENGTHS.unpack_from(self._buffer)
        _check_lengths(header_size, payload_size)
        header_end = LENGTHS.size + header_size
        if len(self._buffer) < header_end + payload_size:
            return None
        header = json.loads(self._buffer[LENGTHS.size : header_end])
        payload = bytes(self._buffer[header_end : header_end + payload_size])
        del self._buffer[: header_end + payload_size]
        return Frame(header, payload)


# --- the worker's end ------------------------------------------------------------------------------------


class Emit(Protocol):
    def __call__(self, header: Header, payload: bytes = b"") -> bool:
        """Send one frame of the answer. False when nobody wants the rest of it."""
        ...


Answer = Callable[[Frame, Emit], None]
Start = Callable[[Header], tuple[Header, Answer]]


def serve(start: Start) -> None:
    """Read the setup frame, call `start` with its header, then answer requests until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's business; stdin closes when it ends
    output = _private_stdout()
    answer = _start(start, output)
    while answer is not None and (request := _read_frame()) is not None:
        _write(output, {"id": request.header["id"], **_outcome(answer, request, output)})


def _start(start: Start, output: int) -> Answer | None:
    setup = _read_frame()
    if setup is None:
        return None
    try:
        ready, answer = start(setup.header)
    except Exception as error:  # noqa: BLE001  the process edge: the server reports what stopped the engine
        _write(output, {"kind": "error", "message": _describe(error)})
        return None
    _write(output, {"kind": "ready", **ready})
    return answer


def _outcome(answer: Answer, request: Frame, output: int) -> Header:
    def emit(header: Header, payload: bytes = b"") -> bool:
        _write(output, {"id": request.header["id"], **header}, payload)
        return not _superseded()

    try:
        answer(request, emit)
    except Exception as error:  # noqa: BLE001  the process edge: one bad request must not end the worker
        return {"kind": "error", "message": _describe(error)}
    return {"kind": "end"}


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _private_stdout() -> int:
    """Keep stdout for frames alone: whatever a library prints goes to stderr."""
    private = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    return private


def _superseded() -> bool:
    """Something more on stdin: the next request, or its end."""
    return bool(select.select([STDIN], [], [], 0)[0])


def _read_frame() -> Frame | None:
    """One frame from stdin, read without a buffer so that `_superseded` sees what follows it. None at the end."""
    lengths = _read_exactly(LENGTHS.size)
    if lengths is None:
        return None
    header_size, payload_size = LENGTHS.unpack(lengths)
    _check_lengths(header_size, payload_size)
    header = _read_exactly(header_size)
    payload = _read_exactly(payload_size)
    if header is None or payload is None:
        return None
    return Frame(json.loads(header), payload)


def _read_exactly(size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        piece = os.read(STDIN, size - len(data))
        if not piece:
            return None
        data += piece
    return bytes(data)


def _write(output: int, header: Header, payload: bytes = b"") -> None:
    data = memoryview(encode(header, payload))
    try:
        while data:
            data = data[os.write(output, data) :]
    except BrokenPipeError:
        os._exit(0)  # the server is gone; nothing to clean up, and no traceback through an engine's C callback
