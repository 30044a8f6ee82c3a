"""A closed grammar of whole phrases: phrases -> JSGF for the recogniser, its words -> the phrase as written.

Pure text; knows no recogniser but for JSGF, which is the W3C's JSpeech Grammar Format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

WORD = re.compile(r"\w+(?:'\w+)*")
# The recogniser's own word for a pause, made up so that it is in no dictionary.
PAUSE = "voicecorepause"


def words_of(text: str) -> list[str]:
    """The words to be heard: lower case, no punctuation."""
    return WORD.findall(text.lower())


class Grammar:
    """Any number of the `phrases`, one after the other."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._written = {tuple(words_of(phrase)): phrase for phrase in phrases}

    @property
    def words(self) -> list[str]:
        return sorted({word for words in self._written for word in words})

    def jsgf(self) -> str:
        """Pauses may come around the phrases, and inside them at a comma."""
        phrases = " | ".join(self._rule(phrase) for phrase in self._written.values())
        sequence = f"[{PAUSE}] <phrase> ([{PAUSE}] <phrase>)* [{PAUSE}]"
        return f"#JSGF V1.0; grammar voicecore; <phrase> = {phrases} ; public <heard> = {sequence} ;"

    @staticmethod
    def _rule(phrase: str) -> str:
        return f" [{PAUSE}] ".join(" ".join(words_of(part)) for part in phrase.split(",") if words_of(part))

    def written(self, heard: Sequence[str]) -> str:
        """The phrases that these words are, as they are written; "" if they are not whole phrases."""
        texts = self._match(tuple(heard))
        return " ".join(texts) if texts is not None else ""

    def written_so_far(self, heard: Sequence[str]) -> str:
        """As `written`, of which the last phrase may be unfinished."""
        for end in range(len(heard), -1, -1):
            texts = self._match(tuple(heard[:end]))
            rest = self._beginning(tuple(heard[end:]))
            if texts is not None and rest is not None:
                return " ".join([*texts, rest]).strip()
        return ""

    def _match(self, heard: tuple[str, ...]) -> list[str] | None:
        if not heard:
            return []
        for words, phrase in self._written.items():
            if heard[: len(words)] == words:
                rest = self._match(heard[len(words) :])
                if rest is not None:
                    return [phrase, *rest]
        return None

    def _beginning(self, heard: tuple[str, ...]) -> str | None:
        for words, phrase in self._written.items():
            if heard == words[: len(heard)]:
                return _first_words(phrase, len(heard))
        return None


def _first_words(phrase: str, count: int) -> str:
    ends = [match.end() for match in WORD.finditer(phrase.lower())]
    return phrase[: ends[count - 1]] if count else ""
