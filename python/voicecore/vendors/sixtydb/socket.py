"""What both of 60db's sockets share: the key in the query, the greeting, and bodies that may be anything.

The vendor's pages give a body now as `true`, now as an object: a key's presence counts, never its truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from voicecore.events import Authenticated, Connecting
from voicecore.protocol import Dialect, SessionState, with_query
from voicecore.secret import Secret

GREETING = Connecting("Authenticating...")


class SixtydbSocket(Dialect):
    """`boolean_envelope`: the SERVER says `true` where it could say an object."""

    vendor = "60db"
    key_variable = "SIXTY_DB_API_KEY"
    initial = SessionState.OPENING
    server_ping = (30.0, 10.0)

    def __init__(self, *, boolean_envelope: bool = False) -> None:
        self._boolean_envelope = boolean_envelope

    def upgrade(self, url: str, key: Secret) -> tuple[str, dict[str, str]]:
        if "token" in dict(parse_qsl(urlsplit(url).query)):
            return url, {}  # a session token with its workspace_id, which the caller put into the URL
        return with_query(url, apiKey=key.reveal()), {}

    def key_of(self, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        return query.get("apiKey") or query.get("token")

    def account(self) -> Authenticated:
        """SERVER: what is said to a key that is accepted."""
        service = self.kind
        return Authenticated({"service": service, "user_id": 1, "credit_balance": 10.0, "workspace": "emulator"})

    def envelope(self, body: Mapping[str, Any]) -> Any:
        """SERVER: a body in the form that this one gives it."""
        return True if self._boolean_envelope else dict(body)


def connecting_of(message: Mapping[str, Any]) -> Connecting:
    return Connecting(str(message.get("message") or ""), number_of(message.get("timestamp")))


def number_of(value: Any) -> float | None:
    """A number, or text that is one; None for anything else."""
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def text_of(value: Any) -> str | None:
    return None if value is None else str(value)


def object_of(value: Any) -> dict[str, Any]:
    """An object; an empty one for `true` and anything else."""
    return value if isinstance(value, dict) else {}
