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
        for name in self.__slots__:
            seconds = getattr(self, name)
            if not (isinstance(seconds, (int, float)) and seconds > 0):
                raise ConfigurationError(f"deadlines.{name}: expected more than 0 s, got {seconds!r}")
