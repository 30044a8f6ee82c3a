"""The server's end of a `Connection`, on wsproto: a second implementation of RFC 6455, with no socket and no clock.

`Wire(client("deepdub"))` sends the upgrade and accepts it at second 0; `wire.say({...})` lets the server speak at
`wire.now`; `wire.heard` is every message that the client sent, as a dict or bytes; `wire.at(5.0)` lets time pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from voicecore.connection import Connection
from voicecore.deadlines import Deadlines
from voicecore.events import ServerEvent
from voicecore.protocol import Dialect, Protocol, Role
from voicecore.secret import Secret
from voicecore.vendors.deepdub.open import DeepdubOpen
from voicecore.vendors.sixtydb.stt import SixtydbStt
from voicecore.vendors.sixtydb.tts import SixtydbTts

KEY = "key-that-must-not-show"
DIALECTS: dict[str, type[Dialect]] = {"deepdub": DeepdubOpen, "60db": SixtydbStt, "60db-tts": SixtydbTts}


def client(vendor: str = "deepdub", *, url: str = "", key: str = KEY, **arguments: Any) -> Connection:
    """A connection that has not started. `arguments` go to `Connection`; deadline names among them to `Deadlines`."""
    dialect = DIALECTS[vendor]()
    names = set(arguments) & set(Deadlines.__slots__)
    deadlines = Deadlines(**{name: arguments.pop(name) for name in names})
    target, headers = dialect.upgrade(url or f"ws://vendor.test{dialect.path()}", Secret(key))
    return Connection(Protocol(dialect, Role.CLIENT), target, headers, deadlines=deadlines, **arguments)


class Wire:
    """Both ends and the time. `chunk`: the client gets the server's bytes in pieces of at most this size."""

    def __init__(self, connection: Connection, *, chunk: int | None = None, accept: bool = True) -> None:
        self.connection = connection
        self.now = 0.0
        self.heard: list[Any] = []
        self.control: list[Event] = []  # pings, pongs and closes of the client
        self.request: Request | None = None
        self._chunk = chunk
        self._server = WSConnection(ConnectionType.SERVER)
        connection.start(self.now)
        self.exchange()
        if accept:
            self.accept()

    # --- the server speaks -------------------------------------------------------------------------------

    def accept(self) -> None:
        """Answers the upgrade with 101."""
        self.frames(AcceptConnection())

    def reject(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"no") -> None:
        """Answers the upgrade with another status."""
        fields = {"content-length": str(len(body)), **(headers or {})}
        named = [(name.encode(), value.encode()) for name, value in fields.items()]
        self.frames(RejectConnection(status_code=status, headers=named, has_body=True), RejectData(data=body))

    def say(self, *messages: Mapping[str, Any] | str | bytes, binary: bool = False, pieces: int = 1) -> None:
        """Messages, each as JSON in a text frame (`binary`: in a binary one); bytes as a binary frame, str as text."""
        self.frames(*(event for message in messages for event in frames_of(message, binary, pieces)))

    def frames(self, *events: Event) -> None:
        """WebSocket events as they are, all in one delivery."""
        self.deliver(self.bytes_of(*events))

    def bytes_of(self, *events: Event) -> bytes:
        """What the events look like on the wire; the client has not seen it yet."""
        return b"".join(self._server.send(event) for event in events)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """The server's close frame."""
        self.frames(CloseConnection(code, reason))

    def end(self) -> None:
        """The end of the stream, with or without a goodbye before it."""
        self.connection.receive_data(b"", self.now)

    def deliver(self, data: bytes) -> None:
        """Bytes from the server, in the chunks of this wire; then the client's answers go back."""
        size = self._chunk or max(len(data), 1)
        for start in range(0, len(data), size):
            self.connection.receive_data(data[start : start + size], self.now)
        self.exchange()

    # --- the client --------------------------------------------------------------------------------------

    def send(self, event: Any, **arguments: Any) -> None:
        """The client sends an event, and the server hears it."""
        self.connection.send(event, self.now, **arguments)
        self.exchange()

    def exchange(self) -> bytes:
        """Takes what the client has to send to the server; gives it."""
        data = self.connection.data_to_send(self.now)
        self.connection.data_sent(self.now)
        if data:
            self._server.receive_data(data)
            for event in self._server.events():
                self._hear(event)
        return data

    def _hear(self, event: Event) -> None:
        match event:
            case Request():
                self.request = event
            case TextMessage(data=data):
                self.heard.append(json.loads(data))
            case BytesMessage(data=data):
                self.heard.append(bytes(data))
            case _:
                self.control.append(event)

    def taken(self, context_id: str = "") -> list[ServerEvent]:
        """Everything that the client can read of a context now, without its error."""
        events = []
        while True:
            try:
                received = self.connection.take(context_id)
            except Exception:
                return events
            if received is None:
                return events
            events.append(received.event)

    def error(self, context_id: str = "") -> Exception | None:
        """The error that a context ends in, once all before it is read; None while it goes on."""
        self.taken(context_id)
        try:
            self.connection.take(context_id)
        except Exception as error:
            return error
        return None

    # --- time --------------------------------------------------------------------------------------------

    def at(self, now: float) -> None:
        """The clock is at `now`; every deadline on the way is handled at its second."""
        while (deadline := self.connection.next_deadline()) <= now:
            self.now = max(deadline, self.now)
            self.connection.handle_timeout(self.now)
            self.exchange()
            assert self.connection.next_deadline() > deadline, "a deadline that was handled is still due"
        self.now = now


def frames_of(message: Mapping[str, Any] | str | bytes, binary: bool, pieces: int) -> list[Message]:
    """One message as WebSocket events: `pieces` fragments of it."""
    if isinstance(message, Mapping):
        message = json.dumps(message)
    if binary and isinstance(message, str):
        message = message.encode()
    size = max(1, -(-len(message) // pieces))
    parts = [message[at : at + size] for at in range(0, len(message), size)] or [message]
    kind = TextMessage if isinstance(message, str) else BytesMessage
    return [kind(data=part, message_finished=i == len(parts) - 1) for i, part in enumerate(parts)]


__all__ = ["DIALECTS", "KEY", "Ping", "Pong", "Wire", "client", "frames_of"]
