"""Uplift AI on Socket.IO: the same messages as events of one namespace, with the key in the request to join it.

Source: the vendor's WebSocket page, traces of two published Socket.IO clients, and protocols.md section 3.2. The
namespace is no path: the path of the URL is always `/socket.io/`. Polling is never used.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

from voicecore.errors import AuthError, ConnectionFailedError, ProtocolError, VoicecoreError
from voicecore.events import (
    Authenticate,
    Authenticated,
    CancelContext,
    ClientEvent,
    Event,
    Failed,
    Goodbye,
    Heartbeat,
    HeartbeatAnswered,
    Malformed,
    ServerEvent,
    ServerReady,
    Synthesize,
    TransportClosed,
    TransportOpened,
    Unknown,
)
from voicecore.protocol import Role, SessionState, dump_json, parse_value, with_query
from voicecore.secret import Secret
from voicecore.vendors.uplift import socketio
from voicecore.vendors.uplift.speech import UpliftSpeech

NAMESPACE = "/text-to-speech/multi-stream"
QUERY = {"EIO": "4", "transport": "websocket"}
PING_SECONDS, PONG_SECONDS = 25.0, 20.0  # the library's defaults; the vendor's are not known
REFUSED = "connect_error"  # what Socket.IO calls it; it has no code on the wire
KEY_WORDS = ("api key", "apikey", "auth", "token", "credential", "forbidden", "invalid key", "jwt")


def _stay(state: SessionState) -> dict[type[Event], SessionState]:
    """What may come at any time, and what ends it all."""
    at_any_time: dict[type[Event], SessionState] = dict.fromkeys((Heartbeat, HeartbeatAnswered), state)
    return at_any_time | dict.fromkeys((TransportClosed, Goodbye), SessionState.STOPPED) | {Failed: SessionState.FAILED}


class UpliftSocketIO(UpliftSpeech):
    """Socket.IO 5 over Engine.IO 4. `refuses_in_band`: the SERVER lets a bad key join, to tell it and disconnect."""

    name = "uplift-socketio"
    default_url = "wss://api.upliftai.org/socket.io/"
    key_in_band = True
    pings_in_band = True
    server_ping = (PING_SECONDS, PONG_SECONDS)
    initial = SessionState.OPENING
    sessions: ClassVar = {
        SessionState.OPENING: {
            **_stay(SessionState.OPENING),
            TransportOpened: SessionState.OPENING_GREETED,
        },
        SessionState.OPENING_GREETED: {
            **_stay(SessionState.OPENING_GREETED),
            Authenticate: SessionState.OPENING_GREETED,
            Authenticated: SessionState.JOINED,
        },
        SessionState.JOINED: {
            **_stay(SessionState.JOINED),
            ServerReady: SessionState.READY,
        },
        SessionState.READY: {
            **_stay(SessionState.READY),
            ServerReady: SessionState.READY,
            Failed: SessionState.READY,
        },
        SessionState.FAILED: {TransportClosed: SessionState.STOPPED},
    }

    def __init__(self, *, refuses_in_band: bool = False, **choices: Any) -> None:
        super().__init__(**choices)
        self._refuses_in_band = refuses_in_band

    def upgrade(self, url: str, key: Secret) -> tuple[str, dict[str, str]]:
        given = dict(parse_qsl(urlsplit(url).query))
        return with_query(url, **{name: value for name, value in QUERY.items() if name not in given}), {}

    def key_of(self, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        return None  # it comes in band

    def http_fault(self, query: Mapping[str, str], *, upgrade: bool) -> str | None:
        if query.get("EIO") != QUERY["EIO"]:
            return _refused(5, "Unsupported protocol version: expected EIO=4")
        if not upgrade or query.get("transport") != QUERY["transport"]:
            return _refused(0, "Transport unknown: expected transport=websocket; there is no polling here")
        return _refused(1, "Session ID unknown: there is no polling here to upgrade from") if "sid" in query else None

    def greeting(self) -> Sequence[ServerEvent]:
        return (TransportOpened(uuid.uuid4().hex, PING_SECONDS, PONG_SECONDS),)

    def welcome(self) -> Sequence[ServerEvent]:
        return self._joined(), ServerReady({"sessionId": f"session_{uuid.uuid4().hex}"})

    def refusal(self) -> Sequence[ServerEvent]:
        if self._refuses_in_band:
            return self._joined(), Failed(None, "auth_failed", "Invalid API key"), TransportClosed()
        return (Failed(None, REFUSED, "Invalid API key"),)

    def reply(self, event: ServerEvent, key: Secret) -> ClientEvent | None:
        match event:
            case TransportOpened():
                return Authenticate(key)
            case Heartbeat(payload):
                return HeartbeatAnswered(payload)
        return None

    def error_of(self, failed: Failed) -> VoicecoreError:
        """A refused namespace is the key's fault only where its message speaks of one."""
        if failed.code != REFUSED:
            return super().error_of(failed)
        text = f"{self.vendor}: the namespace {NAMESPACE} was refused: {failed.message}"
        if any(word in failed.message.lower() for word in KEY_WORDS):
            return AuthError(text, self.vendor, REFUSED)
        return ConnectionFailedError(text)

    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event | None:
        if not text:
            raise ProtocolError("binary frame: binary attachments are not supported: expected audio as base64")
        packet = socketio.decode(payload)
        if isinstance(packet, (socketio.Noop, socketio.Ack)):
            return None
        return self._client_packet(packet) if role is Role.SERVER else self._server_packet(packet)

    def _server_packet(self, packet: socketio.Packet) -> Event:
        match packet:
            case socketio.Emit(namespace=str(space), name="message", arguments=arguments) if space == NAMESPACE:
                return self.answer(arguments)
            case socketio.Ping(payload):
                return Heartbeat(payload)
            case socketio.Open(session_id, interval, timeout):
                return TransportOpened(session_id, interval, timeout)
            case socketio.Connect(namespace, data) if namespace == NAMESPACE:
                return Authenticated(data)
            case socketio.ConnectError(namespace, data) if namespace == NAMESPACE:
                return Failed(None, REFUSED, *_reason(data))
            case socketio.Close():
                return TransportClosed()
            case socketio.Disconnect(namespace) if namespace == NAMESPACE:
                return TransportClosed()
        return _unknown(packet)

    def _client_packet(self, packet: socketio.Packet) -> Event:
        match packet:
            case socketio.Emit(namespace, "synthesize" | "cancel" as name, arguments) if namespace == NAMESPACE:
                return self.request(name, arguments)
            case socketio.Pong(payload):
                return HeartbeatAnswered(payload)
            case socketio.Connect(namespace, data) if namespace == NAMESPACE:
                token = data.get("token")
                return Authenticate(Secret(token if isinstance(token, str) else ""))
            case socketio.Connect(namespace):
                return Malformed(None, REFUSED, "Invalid namespace", {"namespace": namespace})
            case socketio.Close():
                return Goodbye()
            case socketio.Disconnect(namespace) if namespace == NAMESPACE:
                return Goodbye()
            case socketio.Ping():
                raise ProtocolError("Engine.IO ping: expected from the server only")
        return _unknown(packet)

    def encode(self, event: Event) -> str:
        return socketio.encode(self._packet(event))

    def _packet(self, event: Event) -> socketio.Packet:
        match event:
            case Synthesize():
                return self._emit("synthesize", event)
            case CancelContext():
                return self._emit("cancel", event)
            case Authenticate(key):
                return socketio.Connect(NAMESPACE, {"token": key.reveal()})
            case HeartbeatAnswered(payload):
                return socketio.Pong(payload)
            case Goodbye():
                return socketio.Disconnect(NAMESPACE)
            case TransportOpened(session_id, interval, timeout):
                return socketio.Open(session_id, interval, timeout)
            case Heartbeat(payload):
                return socketio.Ping(payload)
            case Authenticated(details):
                return socketio.Connect(NAMESPACE, details)
            case Failed(code="connect_error", message=message, details=details):
                return socketio.ConnectError(details.get("namespace", NAMESPACE), {"message": message})
            case TransportClosed():
                return socketio.Disconnect(NAMESPACE)
        return self._emit("message", event)

    def _emit(self, name: Literal["synthesize", "cancel", "message"], event: Event) -> socketio.Emit:
        return socketio.Emit(NAMESPACE, name, dump_json(self.body(event)).encode())

    def _joined(self) -> Authenticated:
        return Authenticated({"sid": uuid.uuid4().hex})


def _refused(code: int, message: str) -> str:
    """An Engine.IO server's answer to a bad request."""
    return dump_json({"code": code, "message": message})


def _reason(data: Mapping[str, Any] | str) -> tuple[str, Mapping[str, Any]]:
    """What a refusal says, and what else it holds."""
    if isinstance(data, str):
        return data, {}
    return str(data.get("message") or "no reason given"), data


def _unknown(packet: socketio.Packet) -> Unknown:
    """Kept and counted. Its arguments, which nobody has parsed yet, are checked to be JSON."""
    match packet:
        case socketio.Emit(namespace, name, arguments):
            values = parse_value(b"[" + arguments + b"]")
            return Unknown(name, {"namespace": namespace, "arguments": values})
    return Unknown(type(packet).__name__, {"namespace": getattr(packet, "namespace", "")})
