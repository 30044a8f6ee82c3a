"""Text in pieces -> sentences: nothing lost, nothing changed, nothing longer than the limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.errors import ConfigurationError
from voicecore.sentences import SentenceCutter


def cut(text: str, longest: int = 1000, step: int | None = None) -> list[str]:
    cutter = SentenceCutter(longest)
    size = step or max(len(text), 1)
    pieces = [piece for at in range(0, len(text), size) for piece in cutter.feed(text[at : at + size])]
    return pieces + cutter.flush()


CASES = {
    "one": ("Hello", ["Hello"]),
    "nothing": ("", []),
    "two": ("Hello. How are you?", ["Hello. ", "How are you?"]),
    "marks": ("A! B? C… D", ["A! ", "B? ", "C… ", "D"]),
    "several marks": ("What?! No... Yes", ["What?! ", "No... ", "Yes"]),
    "spaces stay": ("A.   B", ["A.   ", "B"]),
    "lines": ("Title\nText\n\nMore", ["Title\n", "Text\n\n", "More"]),
    "only spaces": (" \n ", [" \n "]),
    "leading lines": ("\n\nHello. Bye", ["\n\nHello. ", "Bye"]),
    "decimals": ("It costs 3.14 dollars. Yes", ["It costs 3.14 dollars. ", "Yes"]),
    "thousands": ("1.000.000 is much. Yes", ["1.000.000 is much. ", "Yes"]),
    "hosts": ("See api.60db.ai now. Yes", ["See api.60db.ai now. ", "Yes"]),
    "titles": ("Dr. Who met Mrs. Smith vs. Prof. X. Then", ["Dr. Who met Mrs. Smith vs. Prof. X. ", "Then"]),
    "titles of any case": ("DR. Who. Then", ["DR. Who. ", "Then"]),
    "titles in brackets": ("He (Dr. Who) came. Then", ["He (Dr. Who) came. ", "Then"]),
    "abbreviations": ("Fruit, e.g. apples, i.e. food. Then", ["Fruit, e.g. apples, i.e. food. ", "Then"]),
    "words that end like titles": ("He lost. Then", ["He lost. ", "Then"]),
    "quotes": ('"Stop." He did.', ['"Stop." ', "He did."]),
    "a quoted title is a word": ('"No." He left', ['"No." ', "He left"]),
    "curly quotes": ("“Stop.” He did.", ["“Stop.” ", "He did."]),
    "brackets": ("(Stop.) [Go!] Now", ["(Stop.) ", "[Go!] ", "Now"]),
    "Hindi": ("नमस्ते। आप कैसे हैं? ठीक", ["नमस्ते। ", "आप कैसे हैं? ", "ठीक"]),
    "Urdu": ("آپ کیسے ہیں؟ میں ٹھیک ہوں۔ شکریہ", ["آپ کیسے ہیں؟ ", "میں ٹھیک ہوں۔ ", "شکریہ"]),  # noqa: RUF001
    "Chinese": ("你好。你好吗？很好！再见", ["你好。", "你好吗？", "很好！", "再见"]),  # noqa: RUF001
    "Chinese with spaces": ("你好。 你好吗？", ["你好。 ", "你好吗？"]),  # noqa: RUF001
    "Japanese quotes": ("「はい。」と言った。終わり", ["「はい。」", "と言った。", "終わり"]),
    "several wide marks": ("什么？！好", ["什么？！", "好"]),  # noqa: RUF001
}


@pytest.mark.parametrize(("text", "pieces"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("step", [None, 1, 2, 3])
def test_a_sentence_ends_at_its_mark(text, pieces, step):
    if step is None:
        assert cut(text) == pieces
    assert "".join(cut(text, step=step)) == text
    assert [piece.strip() for piece in cut(text, step=step)] == [piece.strip() for piece in pieces if piece]


def test_a_sentence_comes_as_soon_as_it_is_complete():
    cutter = SentenceCutter(100)
    assert [cutter.feed(part) for part in ("Hel", "lo.", " ", "How", " are you?\n", "Fine")] == [
        [],
        [],
        ["Hello. "],
        [],
        ["How are you?\n"],
        [],
    ]
    assert cutter.flush() == ["Fine"]
    assert cutter.flush() == []


def test_a_wide_mark_waits_for_what_closes_it():
    cutter = SentenceCutter(100)
    assert [cutter.feed(part) for part in ("「好", "。", "」", "是")] == [[], [], [], ["「好。」"]]


@pytest.mark.parametrize(
    ("text", "longest", "pieces"),
    [
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("ab cd ef gh", 6, ["ab cd ", "ef gh"]),
        ("ab cd ef gh", 5, ["ab ", "cd ", "ef gh"]),
        ("one two. three", 5, ["one ", "two. ", "three"]),
        ("abcd", 4, ["abcd"]),
        ("abcde", 4, ["abcd", "e"]),
        ("a", 1, ["a"]),
        ("ab", 1, ["a", "b"]),
        (" ab", 2, [" a", "b"]),
    ],
)
def test_no_piece_is_longer_than_the_limit(text, longest, pieces):
    assert cut(text, longest) == pieces


def test_a_text_without_an_end_is_not_held_for_ever():
    cutter = SentenceCutter(10)
    assert cutter.feed("x" * 25) == ["x" * 10, "x" * 10]
    assert cutter.flush() == ["x" * 5]


@pytest.mark.parametrize("longest", [0, -1])
def test_a_limit_is_at_least_one_character(longest):
    with pytest.raises(ConfigurationError, match="longest: expected at least 1"):
        SentenceCutter(longest)


TEXT = st.text(st.sampled_from("ab .!?\n\"'”)】。？۔। Dr"), max_size=60) | st.text(max_size=40)  # noqa: RUF001


@given(st.lists(TEXT, max_size=8), st.integers(1, 30))
def test_the_pieces_joined_are_the_text(parts, longest):
    cutter = SentenceCutter(longest)
    pieces = [piece for part in parts for piece in cutter.feed(part)] + cutter.flush()
    assert "".join(pieces) == "".join(parts)
    assert all(0 < len(piece) <= longest for piece in pieces)


@given(TEXT)
def test_no_sentence_that_was_given_goes_on(text):
    cutter = SentenceCutter(1000)
    for piece in cutter.feed(text):
        assert piece[-1].isspace() or piece.rstrip("\"'”’)]»」』）】")[-1] in "。！？"  # noqa: RUF001
        assert piece.strip()


@pytest.mark.parametrize("text", ["." * 50_000, '."' * 25_000, ".)" * 20_000 + "x", "。" * 50_000, "a " * 25_000])
def test_no_text_makes_it_slow(text):
    assert "".join(cut(text, longest=100_000)) == text  # quadratic work here would take minutes
