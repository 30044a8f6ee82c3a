from __future__ import annotations

import pytest

from voicecore.emulator.grammar import PAUSE, Grammar, words_of

GRAMMAR = Grammar(["I'm sorry, I can't.", "Please hold!", "Please hold the line."])


def test_words_are_lower_case_without_punctuation() -> None:
    assert words_of("I'm sorry, I can't.") == ["i'm", "sorry", "i", "can't"]


def test_jsgf_allows_a_pause_at_a_comma_and_around_phrases() -> None:
    jsgf = GRAMMAR.jsgf()
    assert f"i'm sorry [{PAUSE}] i can't" in jsgf
    assert f"public <heard> = [{PAUSE}] <phrase> ([{PAUSE}] <phrase>)* [{PAUSE}] ;" in jsgf


@pytest.mark.parametrize(
    ("heard", "written"),
    [
        ("please hold", "Please hold!"),
        ("please hold the line", "Please hold the line."),
        ("i'm sorry i can't please hold", "I'm sorry, I can't. Please hold!"),
        ("please hold please hold the line", "Please hold! Please hold the line."),
        ("please", ""),
        ("hold", ""),
        ("", ""),
    ],
)
def test_words_become_phrases_as_written(heard: str, written: str) -> None:
    assert GRAMMAR.written(heard.split()) == written


@pytest.mark.parametrize(
    ("heard", "written"),
    [
        ("", ""),
        ("please", "Please"),
        ("i'm sorry", "I'm sorry"),
        ("i'm sorry i", "I'm sorry, I"),
        ("please hold", "Please hold!"),
        ("please hold the", "Please hold the"),
        ("i'm sorry i can't please", "I'm sorry, I can't. Please"),
        ("hold", ""),
    ],
)
def test_words_so_far_end_in_an_unfinished_phrase(heard: str, written: str) -> None:
    assert GRAMMAR.written_so_far(heard.split()) == written


def test_every_word_of_the_phrases_once_and_in_order() -> None:
    assert GRAMMAR.words == sorted(set(GRAMMAR.words)) and {"sorry", "line", "hold"} <= set(GRAMMAR.words)
