"""The named deadlines of a connection. Plain data: who keeps them is `connection.py`."""

from __future__ import annotations

from dataclasses import dataclass

from voicecore.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long, in seconds, each wait may take. `float("inf")` switches one off.

    `connect`: from the first byte to a session that can work. `first_audio`: from a request to its first audio.
    `between_chunks`: from one message of a context to its next (for speech-to-text: after `finish()`). `total`: a
    whole utterance. `send`: one write to the socket. `close`: the closing handshake. `keepalive`: a ping after this
    much silence, and the peer is given up for dead after twice as much.
    """

    connect: float = 10.0
    first_audio: float = 10.0
    between_chunks: float = 10.0
    total: float = 600.0
    send: float = 5.0
    close: float = 1.0
    keepalive: float = 20.0

    def __post_init__(self) -> None:
        _expect_seconds(self)


@dataclass(frozen=True, slots=True)
class ChatDeadlines:
    """How long, in seconds, each wait of a chat may take. `float("inf")` switches one off.

    `connect`: until the request can be sent. `first_token`: from then to the first token; a reply that comes whole has
    none. `between_chunks`: from one event to the next. Both count the time that is spent waiting, not what the caller
    does meanwhile. `total`: from the request to its end, attempts and pauses included.
    """

    connect: float = 10.0
    first_token: float = 30.0
    between_chunks: float = 20.0
    total: float = 300.0

    def __post_init__(self) -> None:
        _expect_seconds(self)


def _expect_seconds(deadlines: Deadlines | ChatDeadlines) -> None:
    for name in deadlines.__slots__:
        seconds = getattr(deadlines, name)
        if not (isinstance(seconds, (int, float)) and seconds > 0):
            raise ConfigurationError(f"deadlines.{name}: expected more than 0 s, got {seconds!r}")
