"""Cuts text that arrives bit by bit into sentences, for vendors that take whole texts.

Pure. Nothing is lost or changed: the pieces, joined, are the text. A sentence ends at a terminator followed by white
space, so that numbers ("3.14") and host names stay whole; a few titles ("Dr. Who") do too. Full-width terminators, as
of Chinese and Japanese, need no space: they end a sentence once something else follows them.
"""

from __future__ import annotations

import re

from voicecore.errors import ConfigurationError

_WIDE = "。！？"  # noqa: RUF001 - full-width marks
_CLOSING = r"\"'”’)\]»」』）】"  # noqa: RUF001 - what may follow a terminator and still belongs to the sentence
_OPENING = "\"'“‘([«「『（【"  # noqa: RUF001
_END = re.compile(
    rf"(?<=[.!?…।۔؟{_WIDE}])[{_CLOSING}]*\s+"  # noqa: RUF001 - Hindi and Urdu
    rf"|(?<=[{_WIDE}])(?![{_WIDE}])[{_CLOSING}]*(?![{_CLOSING}\s])(?=.)"
    r"|\n+"
)
_TITLES = frozenset({"mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "e.g.", "i.e.", "etc.", "no."})


class SentenceCutter:
    """`feed` gives the sentences that are complete, `flush` what is left. No piece is longer than `longest`."""

    def __init__(self, longest: int) -> None:
        if longest < 1:
            raise ConfigurationError(f"longest: expected at least 1 character, got {longest}")
        self._longest = longest
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """Adds text; the sentences that it completed, in order."""
        self._rest += text
        pieces, start = [], 0
        for end in _END.finditer(self._rest):
            if self._rest[start : end.start()].rsplit(None, 1)[-1:] and not self._is_title(start, end):
                pieces.append(self._rest[start : end.end()])
                start = end.end()
        self._rest = self._rest[start:]
        return [part for piece in pieces for part in self._within_limit(piece)] + self._overlong()

    def flush(self) -> list[str]:
        """What is left, whether or not it ends a sentence."""
        rest, self._rest = self._rest, ""
        return self._within_limit(rest) if rest else []

    def _is_title(self, start: int, end: re.Match[str]) -> bool:
        word = self._rest[start : end.start()].rsplit(None, 1)[-1]
        return end[0][:1].isspace() and word.lstrip(_OPENING).lower() in _TITLES

    def _overlong(self) -> list[str]:
        """A text without an end in sight is cut at the limit rather than held for ever."""
        *parts, self._rest = self._within_limit(self._rest)
        return parts

    def _within_limit(self, piece: str) -> list[str]:
        """Cuts at the last space before the limit, or at the limit."""
        parts = []
        while len(piece) > self._longest:
            cut = piece.rfind(" ", 1, self._longest) + 1 or self._longest
            parts.append(piece[:cut])
            piece = piece[cut:]
        return [*parts, piece]
