"""The server's end of a `Connection` (`voicecore.testing.Wire`), speaking and hearing JSON.

`Wire(client("deepdub"))` sends the upgrade and accepts it at second 0; `wire.say({...})` lets the server speak at
`wire.now`; `wire.heard` is every message that the client sent, as a dict or bytes; `wire.at(5.0)` lets time pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wsproto.events import Message, Ping, Pong

from voicecore import testing
from voicecore.connection import Connection
from voicecore.deadlines import Deadlines
from voicecore.protocol import Dialect, Protocol, Role
from voicecore.secret import Secret
from voicecore.testing import wire
from voicecore.vendors import DIALECTS as SERVED

KEY = "key-that-must-not-show"
DIALECTS: dict[str, type[Dialect]] = {dialect.name: dialect for dialect in SERVED}
DIALECTS |= {"deepdub": DIALECTS["deepdub-open"], "60db": DIALECTS["60db-stt"]}


def client(vendor: str = "deepdub", *, url: str = "", key: str = KEY, **arguments: Any) -> Connection:
    """A connection that has not started. `arguments` go to `Connection`; deadline names among them to `Deadlines`."""
    dialect = DIALECTS[vendor]()
    names = set(arguments) & set(Deadlines.__slots__)
    deadlines = Deadlines(**{name: arguments.pop(name) for name in names})
    secret = Secret(key)
    target, headers = dialect.upgrade(url or f"ws://vendor.test{dialect.path()}", secret)
    return Connection(Protocol(dialect, Role.CLIENT), target, headers, key=secret, deadlines=deadlines, **arguments)


class Wire(testing.Wire):
    """Both ends and the time, in JSON."""

    def __init__(self, connection: Connection, **arguments: Any) -> None:
        self.heard: list[Any] = []
        super().__init__(connection, **arguments)

    def say(self, *messages: Mapping[str, Any] | str | bytes, binary: bool = False, pieces: int = 1) -> None:
        """Messages, each as JSON in a text frame (`binary`: in a binary one); bytes as a binary frame, str as text."""
        self.frames(*(event for message in messages for event in frames_of(message, binary, pieces)))

    def hear(self, message: str | bytes) -> None:
        super().hear(message)
        is_json = isinstance(message, str) and message.startswith("{")  # a packet of Socket.IO is not
        self.heard.append(json.loads(message) if is_json else message)


def frames_of(message: Mapping[str, Any] | str | bytes, binary: bool, pieces: int) -> list[Message[Any]]:
    """One message as WebSocket events: `pieces` fragments of it."""
    if isinstance(message, Mapping):
        message = json.dumps(message)
    if binary and isinstance(message, str):
        message = message.encode()
    return wire.frames_of(message, pieces)


__all__ = ["DIALECTS", "KEY", "Ping", "Pong", "Wire", "client", "frames_of"]
