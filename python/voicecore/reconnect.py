"""When a connection that was lost is opened again, and when it is given up. Pure: times and chance come from outside.

The delay is full jitter on an exponential (AWS Architecture Blog, "Exponential Backoff And Jitter"): clients that lost
their server at the same moment do not come back at the same moment. What counts as success is useful work, audio or a
transcript, and not the handshake: a server that accepts and then closes is given up like one that refuses.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from voicecore.errors import ConfigurationError, ConnectionLostError, DeadlineError, VoicecoreError
from voicecore.events import Event

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reconnecting(Event):
    """A connection that ended in `error` is opened again, `delay` seconds from now. `attempt` counts those in a row."""

    attempt: int
    delay: float
    error: VoicecoreError


@dataclass(frozen=True, slots=True)
class Reconnected(Event):
    """... and is open. `replayed`: seconds of audio that were sent again, for speech-to-text."""

    attempt: int
    replayed: float = 0.0


@dataclass(frozen=True, slots=True)
class AudioGap(Event):
    """`seconds` of audio may never have been recognised: they were sent before a connection was lost, and too long
    before it to be sent again."""

    seconds: float


def is_loss(error: VoicecoreError) -> bool:
    """True for an error that says that the connection is gone, and that another one may serve."""
    dead = isinstance(error, DeadlineError) and error.deadline in ("keepalive", "send")
    return error.retryable and (dead or isinstance(error, ConnectionLostError))


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How often a session may open its connection again. `Reconnect(attempts=0)` never does.

    `attempts`: in a row, without useful work between. `per_minute`: in any 60 s. `lifetime`: in the life of a session.
    `base`, `cap`: seconds; the n-th attempt in a row waits a random time up to min(cap, base * 2**n), and at least
    what the vendor asked for (`Retry-After`). `replay`: seconds of audio that speech-to-text keeps to send again.
    """

    attempts: int = 4
    per_minute: int = 10
    lifetime: int = 1000
    base: float = 0.25
    cap: float = 10.0
    replay: float = 15.0

    def __post_init__(self) -> None:
        for name in ("attempts", "per_minute", "lifetime"):
            count = getattr(self, name)
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise ConfigurationError(f"reconnect.{name}: expected a whole number from 0, got {count!r}")
        for name in ("base", "cap", "replay"):
            seconds = getattr(self, name)
            if not (isinstance(seconds, (int, float)) and 0 < seconds < float("inf")):
                raise ConfigurationError(f"reconnect.{name}: expected more than 0 s, got {seconds!r}")


class Backoff:
    """One session's attempts, held against its policy. `chance(low, high)` picks a time between the two."""

    def __init__(self, policy: Reconnect, chance: Callable[[float, float], float] = random.uniform) -> None:
        self.in_a_row = 0
        self.total = 0
        self._policy = policy
        self._chance = chance
        self._recent: deque[float] = deque()

    def delay(self, error: VoicecoreError, now: float) -> float | None:
        """Counts one more attempt after `error`; seconds to wait before it, or None when there is to be none."""
        policy = self._policy
        while self._recent and self._recent[0] <= now - WINDOW_SECONDS:
            self._recent.popleft()
        spent = (
            self.in_a_row >= policy.attempts or self.total >= policy.lifetime or len(self._recent) >= policy.per_minute
        )
        if spent or not error.retryable:
            return None
        wait = self._chance(0.0, min(policy.cap, policy.base * 2**self.in_a_row))
        self.in_a_row += 1
        self.total += 1
        wait += error.retry_after or 0.0
        self._recent.append(now + wait)
        return wait

    def succeeded(self) -> None:
        """Useful work was done: audio or a transcript came."""
        self.in_a_row = 0


class ConnectLimiter:
    """Spreads the connections that this process opens to one host: at most `per_second`, after a burst of `burst`."""

    def __init__(self, per_second: float = 50.0, burst: int = 20) -> None:
        self._gap = 1.0 / per_second
        self._slack = (burst - 1) * self._gap
        self._next: dict[str, float] = {}  # when the bucket of a host is full again

    def reserve(self, host: str, now: float) -> float:
        """Takes the next place; seconds until it."""
        free_at = max(self._next.get(host, now), now)
        self._next[host] = free_at + self._gap
        return max(0.0, free_at - now - self._slack)
