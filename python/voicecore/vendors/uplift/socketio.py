"""Engine.IO 4 and Socket.IO 5 on a WebSocket: wire message <-> packet, as two pure functions.

Knows no vendor, socket, clock or state. Source: the two protocols' specifications and protocols.md section 3.2. What
polling alone needs (upgrade, probes) and what binary attachments need is refused; the vendor uses neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from voicecore.errors import ConfigurationError, MessageError, ProtocolError
from voicecore.protocol import dump_json, parse_value

ROOT = "/"  # the default namespace, which is not written
MAX_MILLISECONDS = 10**9


@dataclass(frozen=True, slots=True)
class Packet:
    """One message of the framing."""


@dataclass(frozen=True, slots=True)
class Open(Packet):
    """The server's first packet. It pings every `ping_interval` seconds and waits `ping_timeout` for each answer."""

    session_id: str
    ping_interval: float
    ping_timeout: float


@dataclass(frozen=True, slots=True)
class Close(Packet):
    """Either side ends the transport."""


@dataclass(frozen=True, slots=True)
class Ping(Packet):
    """Said by the server."""

    payload: str = ""


@dataclass(frozen=True, slots=True)
class Pong(Packet):
    """The client's answer, with the same payload."""

    payload: str = ""


@dataclass(frozen=True, slots=True)
class Noop(Packet):
    """Means nothing."""


@dataclass(frozen=True, slots=True)
class Connect(Packet):
    """The client asks for a namespace; the server's answer says that it has joined."""

    namespace: str = ROOT
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Disconnect(Packet):
    """Either side leaves a namespace."""

    namespace: str = ROOT


@dataclass(frozen=True, slots=True)
class Emit(Packet):
    """An event. `arguments`: what follows its name, as JSON values between commas; who reads them parses them, once."""

    namespace: str
    name: str
    arguments: bytes = b""
    ack: int | None = None


@dataclass(frozen=True, slots=True)
class Ack(Packet):
    """The answer to an event with an `ack` number."""

    namespace: str
    ack: int
    arguments: bytes = b""


@dataclass(frozen=True, slots=True)
class ConnectError(Packet):
    """The server refuses a namespace. `data` is an object with a `message`, or a bare text."""

    namespace: str
    data: Mapping[str, Any] | str


def decode(message: bytes) -> Packet:
    """One text message of the WebSocket. Raises `MessageError` for what is no packet, `ProtocolError` for one that
    belongs to polling or to binary attachments. Offsets in errors about JSON count from where the JSON begins."""
    kind, rest = message[:1], message[1:]
    match kind:
        case b"4":
            return _decode_message(rest)
        case b"0":
            return _open(parse_value(rest))
        case b"1" | b"6" if not rest:
            return Close() if kind == b"1" else Noop()
        case b"2":
            return Ping(_text(rest))
        case b"3":
            return Pong(_text(rest))
        case b"5":
            raise ProtocolError("Engine.IO packet 5 (upgrade) belongs to polling, which was never used")
    raise MessageError(f"expected a whole Engine.IO packet of type 0 to 6, got one that begins with {kind!r}")


def encode(packet: Packet) -> str:
    """The text message of a packet. Raises `ConfigurationError` for what JSON cannot say."""
    match packet:
        case Open(session_id, interval, timeout):
            times = {"pingInterval": round(interval * 1000), "pingTimeout": round(timeout * 1000)}
            return "0" + dump_json({"sid": session_id, "upgrades": [], **times, "maxPayload": 1_000_000})
        case Close():
            return "1"
        case Ping(payload):
            return "2" + payload
        case Pong(payload):
            return "3" + payload
        case Noop():
            return "6"
        case Connect(namespace, data):
            return f"40{_prefix(namespace)}{dump_json(data) if data else ''}"
        case Disconnect(namespace):
            return f"41{_prefix(namespace)}"
        case Emit(namespace, name, arguments, ack):
            values = [json.dumps(name, ensure_ascii=False), *([arguments.decode()] if arguments else [])]
            return f"42{_prefix(namespace)}{'' if ack is None else ack}[{','.join(values)}]"
        case Ack(namespace, number, arguments):
            return f"43{_prefix(namespace)}{number}[{arguments.decode()}]"
        case ConnectError(namespace, data):
            body = json.dumps(data, ensure_ascii=False) if isinstance(data, str) else dump_json(data)
            return f"44{_prefix(namespace)}{body}"
    raise ProtocolError(f"{type(packet).__name__} is no packet")


_SPACE = b" \t\r\n"
_HEAD = re.compile(rb"(?:(/[^,]*)(?:,|\Z))?(\d{1,15})?")  # namespace, number of the acknowledgement
_NAME = re.compile(rb'\[\s*("(?:[^"\\]|\\.)*")\s*', re.DOTALL)


def _decode_message(message: bytes) -> Packet:
    """A Socket.IO packet."""
    kind, rest = message[:1], message[1:]
    if kind in (b"5", b"6"):
        raise ProtocolError(f"Socket.IO packet {kind.decode()}: binary attachments are not supported: expected JSON")
    head = _HEAD.match(rest)
    assert head is not None  # it matches nothing, too
    namespace, ack = _text(head[1] or ROOT.encode()), None if head[2] is None else int(head[2])
    body = rest[head.end() :]
    match kind:
        case b"0" if ack is None:
            return Connect(namespace, _object(body) if body else {})
        case b"1" if ack is None and not body:
            return Disconnect(namespace)
        case b"2":
            return Emit(namespace, *_event(body), ack)
        case b"3" if ack is not None:
            return Ack(namespace, ack, _between(body, 1))
        case b"4" if ack is None:
            return ConnectError(namespace, _reason(parse_value(body)))
    raise MessageError(f"expected a whole Socket.IO packet of type 0 to 6, got one that begins with {kind!r}")


def _event(body: bytes) -> tuple[str, bytes]:
    """The name and the arguments."""
    found = _NAME.match(body)
    if found is None or body[found.end() : found.end() + 1] not in (b",", b"]"):
        raise MessageError(f"expected an event as an array that begins with its name, got {_shown(body)}")
    name = parse_value(found[1])
    if body[found.end() :].rstrip(_SPACE) == b"]":
        return name, b""
    arguments = _between(body, found.end() + 1)
    if not arguments:
        raise MessageError(f"expected an argument after the comma, got {_shown(body)}")
    return name, arguments


def _between(body: bytes, start: int) -> bytes:
    """From `start` to the bracket that ends the array."""
    end = len(body.rstrip(_SPACE)) - 1
    if not (body.startswith(b"[") and end >= start and body[end : end + 1] == b"]"):
        raise MessageError(f"expected an array, got {_shown(body)}")
    return body[start:end].strip(_SPACE)


def _open(data: Any) -> Open:
    match data:
        case {"sid": str(session_id), "pingInterval": interval, "pingTimeout": timeout}:
            if _is_time(interval, 0) and _is_time(timeout, 1):
                return Open(session_id, interval / 1000, timeout / 1000)
    raise MessageError("Engine.IO open: expected sid, pingInterval and pingTimeout in milliseconds, got something else")


def _is_time(value: Any, least: int) -> bool:
    """Milliseconds. An interval may be 0: python-engineio rounds one below a second down to that."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= MAX_MILLISECONDS


def _object(body: bytes) -> dict[str, Any]:
    value = parse_value(body)
    if not isinstance(value, dict):
        raise MessageError(f"expected a JSON object, got {type(value).__name__}")
    return value


def _reason(value: Any) -> Mapping[str, Any] | str:
    if not isinstance(value, (dict, str)):
        raise MessageError(f"Socket.IO refusal: expected an object or a text, got {type(value).__name__}")
    return value


def _prefix(namespace: str) -> str:
    if not namespace.startswith("/") or "," in namespace:
        raise ConfigurationError(f"namespace: expected a path without commas, got {namespace!r}")
    return "" if namespace == ROOT else f"{namespace},"


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MessageError(f"invalid UTF-8 at offset {error.start}", error.start) from None


def _shown(data: bytes) -> str:
    """The beginning of an event; keys are in other packets, of which nothing is shown."""
    return repr(data[:20])
