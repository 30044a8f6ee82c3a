"""What one context still has to read: a queue bounded in seconds of audio, its timers, and how it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from voicecore.errors import VoicecoreError
from voicecore.events import Audio, ContextFinished, Event, FlushCompleted, GenerationFinished, ServerEvent
from voicecore.protocol import TimerName
from voicecore.reorder import Reorderer

MAX_BUFFERED_SECONDS = 600.0  # of audio, per context: the longest text that a vendor takes, spoken slowly
MAX_BUFFERED_EVENTS = 10_000  # per inbox: transcripts carry no seconds

WITH_AUDIO = (Audio, GenerationFinished, FlushCompleted, ContextFinished)


class Received(NamedTuple):
    """An event and the time its last byte came."""

    event: ServerEvent
    at: float


@dataclass(slots=True)
class Inbox:
    """What one context still has to read."""

    byte_rate: int
    seconds_limit: float
    timers: dict[TimerName, float] = field(default_factory=dict)
    queue: deque[Received] = field(default_factory=deque)
    seconds: float = 0.0
    order: Reorderer = field(default_factory=Reorderer)
    error: Callable[[], VoicecoreError] | None = None


def seconds_of(event: Event, byte_rate: int) -> float:
    return len(event.data) / byte_rate if isinstance(event, WITH_AUDIO) else 0.0
