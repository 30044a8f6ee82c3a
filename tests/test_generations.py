"""Which generations are over: names and indices in, yes or no out."""

from __future__ import annotations

from voicecore.generations import MAX_OVER, Generations


def heard(*names: str, finished: tuple[str, ...] = ()) -> Generations:
    generations = Generations()
    for name in names:
        generations.hear(name, finished=False)
    for name in finished:
        generations.hear(name, finished=True)
    return generations


def test_nothing_is_over_before_a_turn_or_a_context_ends():
    generations = heard("a", finished=("b",))
    assert not any(generations.is_over(name, index) for name in "abc" for index in (None, 0, 7))


def test_the_end_of_a_turn_takes_what_is_complete_and_leaves_what_goes_on():
    generations = heard("a", "b", finished=("b",))
    generations.end_turn()
    assert generations.is_over("b", 0) and not generations.is_over("a", 3)


def test_what_went_on_over_a_turn_is_over_once_it_is_complete_and_the_next_turn_ends():
    generations = heard("a")
    generations.end_turn()
    generations.hear("a", finished=True)
    assert not generations.is_over("a", 4)
    generations.end_turn()
    assert generations.is_over("a", 4)


def test_what_is_complete_stays_complete():
    generations = heard("a", finished=("a",))
    generations.hear("a", finished=False)
    generations.end_turn()
    assert generations.is_over("a", 0)


def test_the_end_of_a_context_takes_all_that_was_heard():
    generations = heard("a", finished=("b",))
    generations.end_context(cancelled=False)
    assert generations.is_over("a", 0) and generations.is_over("b", None) and not generations.is_over("c", 5)


def test_after_a_cancel_a_generation_counts_from_its_beginning():
    generations = heard("a")
    generations.end_context(cancelled=True)
    assert generations.is_over("c", 1) and not generations.is_over("c", 0) and not generations.is_over("c", None)
    generations.hear("c", finished=False)
    assert not generations.is_over("c", 1)
    generations.end_context(cancelled=False)
    assert generations.is_over("d", 1), "a cancel is remembered"


def test_what_is_remembered_is_bounded():
    generations = heard(*map(str, range(MAX_OVER + 1)))
    generations.end_context(cancelled=False)
    assert not generations.is_over("0", 0)
    assert all(generations.is_over(str(number), 0) for number in range(1, MAX_OVER + 1))
