"""The server's end of a `Connection`, on wsproto: a second implementation of RFC 6455, with no socket and no clock.

`Wire(connection)` sends the upgrade and accepts it at second 0; `wire.frames(...)` lets the server speak at `wire.now`;
`wire.messages` is every message that the client sent; `wire.at(5.0)` lets time pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from voicecore.connection import Connection
from voicecore.errors import VoicecoreError
from voicecore.events import ServerEvent


class Wire:
    """Both ends and the time. `chunk`: the client gets the server's bytes in pieces of at most this size; `cut`: no
    piece reaches across this byte of everything that the server sends."""

    def __init__(self, connection: Connection, *, chunk: int | None = None, cut: int = 0, accept: bool = True) -> None:
        self.connection = connection
        self.now = 0.0
        self.messages: list[str | bytes] = []
        self.control: list[Event] = []  # pings, pongs and closes of the client
        self.request: Request | None = None
        self.delivered = 0  # bytes that the client got
        self._chunk = chunk
        self._cut = cut
        self._partial: list[Any] = []
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
        at = 0
        while at < len(data):
            size = min(self._chunk or len(data), len(data) - at)
            to_cut = self._cut - self.delivered
            size = to_cut if 0 < to_cut < size else size
            self.connection.receive_data(data[at : at + size], self.now)
            at += size
            self.delivered += size
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

    def hear(self, message: str | bytes) -> None:
        """The server got a whole message."""
        self.messages.append(message)

    def _hear(self, event: Event) -> None:
        match event:
            case Request():
                self.request = event
            case TextMessage() | BytesMessage():
                self._partial.append(event.data)
                if event.message_finished:
                    whole, self._partial = type(event.data)().join(self._partial), []
                    self.hear(whole if isinstance(whole, str) else bytes(whole))
            case _:
                self.control.append(event)

    def taken(self, context_id: str = "") -> list[ServerEvent]:
        """Everything that the client can read of a context now, without its error."""
        events: list[ServerEvent] = []
        while True:
            try:
                received = self.connection.take(context_id)
            except VoicecoreError:
                return events
            if received is None:
                return events
            events.append(received.event)

    def error(self, context_id: str = "") -> VoicecoreError | None:
        """The error that a context ends in, once all before it is read; None while it goes on."""
        self.taken(context_id)
        try:
            self.connection.take(context_id)
        except VoicecoreError as error:
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


def frames_of(message: str | bytes, pieces: int = 1) -> list[Message[Any]]:
    """One message as WebSocket events: `pieces` fragments of it."""
    size = max(1, -(-len(message) // pieces))
    parts = [message[at : at + size] for at in range(0, len(message), size)] or [message]
    last = len(parts) - 1
    if isinstance(message, str):
        return [TextMessage(data=part, message_finished=i == last) for i, part in enumerate(parts)]  # type: ignore[arg-type]
    return [BytesMessage(data=part, message_finished=i == last) for i, part in enumerate(parts)]  # type: ignore[arg-type]
