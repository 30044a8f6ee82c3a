"""What one context still has to read: a queue bounded in seconds of audio, its timers, and how it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple
from weakref import ReferenceType

from voicecore.errors import VoicecoreError
from voicecore.events import Audio, AudioFault, ContextFinished, Event, FlushCompleted, GenerationFinished, ServerEvent
from voicecore.protocol import ContextState, TimerName
from voicecore.reorder import Reorderer

MAX_BUFFERED_SECONDS = 600.0  # of audio, per context: the longest text that a vendor takes, spoken slowly
MAX_BUFFERED_EVENTS = 10_000  # per inbox: transcripts carry no seconds
MAX_BEFORE = 8  # contexts on other connections that are looked at for what is played before one

WITH_AUDIO = (Audio, GenerationFinished, FlushCompleted, ContextFinished)


Overflow = Literal["fail", "drop_oldest", "wait"]


class Received(NamedTuple):
    """An event, the time its last byte came, and how many seconds of audio it is."""

    event: ServerEvent
    at: float
    seconds: float = 0.0


@dataclass(slots=True, weakref_slot=True)
class Inbox:
    """What one context still has to read."""

    byte_rate: int
    seconds_limit: float
    timers: dict[TimerName, float] = field(default_factory=dict)
    queue: deque[Received] = field(default_factory=deque)
    seconds: float = 0.0
    peak: float = 0.0  # seconds of audio, the most that ever waited
    heard_until: float = 0.0  # when a listener who began with the first sample has heard all that came
    orders: dict[str | None, Reorderer] = field(default_factory=dict)  # by generation: each has numbers of its own
    error: Callable[[], VoicecoreError] | None = None
    before: ReferenceType[Inbox] | None = None  # what is played before this
    steady: ContextState | None = (
        None  # while in this state, more audio moves one deadline away and changes nothing else
    )

    def in_order(self, event: ServerEvent) -> list[ServerEvent]:
        """What may be read now that this came: a message that is ahead of its turn waits for those before it."""
        if isinstance(event, Audio):
            order = self.orders.get(event.generation)
            if order is None:
                order = self.orders[event.generation] = Reorderer()
            return order.push(event)
        if isinstance(event, GenerationFinished):
            return [*self.orders.pop(event.generation, Reorderer()).flush(), event]
        return [*self.late_order(), event]

    def put_next(self, audio: Audio, now: float) -> bool:
        """`in_order` and `put` for audio that is in its turn, and fits; False, with nothing done, for any other."""
        own = len(audio.data) / self.byte_rate
        seconds = self.seconds + own
        order = self.orders.get(audio.generation)
        if order is None or seconds > self.seconds_limit or len(self.queue) >= MAX_BUFFERED_EVENTS:
            return False
        if not order.is_next(audio):
            return False
        self.seconds = seconds
        if seconds > self.peak:
            self.peak = seconds
        self.heard_until = (self.heard_until if self.heard_until > now else now) + own
        self.queue.append(Received(audio, now, own))
        return True

    def late_order(self) -> list[ServerEvent]:
        """The wait is over: everything that was held back; and the numbers begin again."""
        held = [event for order in self.orders.values() for event in order.flush()]
        self.orders.clear()
        return held

    @property
    def out_of_order(self) -> bool:
        """True while a message waits for those before it."""
        return any(order.waiting for order in self.orders.values())

    def is_ahead(self, now: float, seconds: float, known: set[int]) -> bool:
        """True if a listener has more than so many seconds to hear before anything that comes now. `known`: the ids of
        inboxes of which that is true."""
        inbox: Inbox | None = self
        for _ in range(MAX_BEFORE):
            if inbox is None:
                return False
            if inbox.heard_until - now > seconds or id(inbox) in known:
                return True
            inbox = None if inbox.before is None else inbox.before()
        return False

    def fits(self, seconds: float) -> bool:
        """True while one more event, of so many seconds, is within the bounds."""
        return self.seconds + seconds <= self.seconds_limit and len(self.queue) < MAX_BUFFERED_EVENTS

    def put(self, event: ServerEvent, now: float) -> None:
        """Adds an event."""
        seconds = seconds_of(event, self.byte_rate)
        self.seconds += seconds
        self.peak = max(self.peak, self.seconds)
        self.heard_until = max(self.heard_until, now) + seconds
        self.queue.append(Received(event, now, seconds))

    def pop(self) -> Received:
        """Takes the oldest event."""
        received = self.queue.popleft()
        self.seconds -= received.seconds
        return received

    def make_room(self, context_id: str, seconds: float, now: float) -> None:
        """Drops the oldest audio until so many seconds fit, and says how much it was; what ends a turn stays."""
        missing = duplicates = dropped = 0
        kept: deque[Received] = deque()
        while self.queue and not self.fits(seconds):
            received = self.pop()
            match received.event:
                case Audio(data=data):
                    dropped += len(data)
                case AudioFault():
                    missing += received.event.missing
                    duplicates += received.event.duplicates
                    dropped += received.event.dropped
                case GenerationFinished() | FlushCompleted() | ContextFinished():
                    dropped += len(received.event.data)
                    kept.append(Received(replace(received.event, data=b""), received.at))
                case _:
                    kept.append(received)
        self.queue.extendleft(reversed(kept))
        if missing or duplicates or dropped:
            self.queue.appendleft(Received(AudioFault(context_id, missing, duplicates, dropped), now))


def seconds_of(event: Event, byte_rate: int) -> float:
    return len(event.data) / byte_rate if isinstance(event, WITH_AUDIO) else 0.0
