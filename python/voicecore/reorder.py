"""Puts numbered audio of one context in order, within a window; drops what came twice; says what never came. Pure.

Vendors number their messages and do not promise their order. A number is believed only as far as the audio agrees: the
same number with other audio is no duplicate but a vendor that does not count, and passes.
"""

from __future__ import annotations

from voicecore.events import Audio, AudioFault, ServerEvent

WINDOW_SECONDS = 0.2  # how long a message that is ahead of its turn waits for those before it
WINDOW_MESSAGES = 16

Print = tuple[int, bytes, bytes]


def look_of(data: bytes) -> Print:
    """Enough of some audio to know it again; a hash of all of it would cost more than its decoding."""
    return len(data), data[:32], data[-32:]


class Reorderer:
    """One context's numbered audio. `waiting` is true while something is held back."""

    def __init__(self) -> None:
        self._next = 0  # every vendor that numbers begins with 0
        self._ahead: dict[int, Audio] = {}
        self._passed: dict[int, Print] = {}  # number -> what its audio looked like, of the last few
        self._counts = True  # False: the same number came with other audio
        self._given_up: range = range(0)

    @property
    def waiting(self) -> bool:
        """True while a message is held back for those before it."""
        return bool(self._ahead)

    def is_next(self, audio: Audio) -> bool:
        """As `push` for a message that is in its turn, or has no number; False, with nothing done, for any other."""
        if audio.index is None or not self._counts:
            return not self._ahead
        if audio.index != self._next or self._ahead:
            return False
        self._note(audio.index, audio)
        self._next += 1
        return True

    def push(self, audio: Audio) -> list[ServerEvent]:
        """Takes the next message that came; gives what may be played now, in order."""
        index = audio.index
        if not isinstance(index, int) or not self._counts:
            return [audio]
        known = self._passed.get(index)
        if known is not None and known != look_of(audio.data):
            self._counts = False
            return [*self.flush(), audio]
        if known is not None or index in self._ahead:
            return [AudioFault(audio.context_id, duplicates=1)]
        if index in self._given_up:
            return []  # too late: it is counted as missing already
        if index <= self._next:
            return [audio, *self._passes(audio, index)]
        self._ahead[index] = audio
        return self.flush() if len(self._ahead) > WINDOW_MESSAGES else []

    def flush(self) -> list[ServerEvent]:
        """The wait is over: everything that is held back, and how many are missing before it."""
        played: list[ServerEvent] = []
        while self._ahead:
            index = min(self._ahead)  # above `_next`, or it would have been played
            audio = self._ahead.pop(index)
            self._given_up = range(self._next, index)
            missing = AudioFault(audio.context_id, missing=index - self._next)
            played += [missing, audio, *self._passes(audio, index)]
        return played

    def _passes(self, audio: Audio, index: int) -> list[ServerEvent]:
        """Notes that a message was played; gives those that waited for it."""
        played: list[ServerEvent] = []
        self._note(index, audio)
        self._next = max(self._next, index + 1)
        while (following := self._ahead.pop(self._next, None)) is not None:
            played.append(following)
            self._note(self._next, following)
            self._next += 1
        return played

    def _note(self, index: int, audio: Audio) -> None:
        self._passed[index] = look_of(audio.data)
        if len(self._passed) > 2 * WINDOW_MESSAGES:
            del self._passed[next(iter(self._passed))]
