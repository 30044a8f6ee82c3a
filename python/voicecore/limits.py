"""Sliding windows: how many messages of a kind a vendor takes in a stretch of time, kept on our side. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from voicecore.events import ClientEvent
from voicecore.protocol import Rate


class RateLimiter:
    """Counts what was sent on one socket. Times are seconds on any monotonic clock."""

    def __init__(self, rates: Mapping[type[ClientEvent], Rate]) -> None:
        self._rates = rates
        self._sent: dict[type[ClientEvent], deque[float]] = {
            kind: deque(maxlen=rate.messages) for kind, rate in rates.items()
        }

    def allowed_at(self, kind: type[ClientEvent], now: float) -> float:
        """When one more may be sent; `now` or earlier for at once."""
        sent = self._sent.get(kind)
        if sent is None or len(sent) < self._rates[kind].messages:
            return now
        return sent[0] + self._rates[kind].seconds

    def count(self, kind: type[ClientEvent], now: float) -> None:
        """One was sent."""
        if kind in self._sent:
            self._sent[kind].append(now)
