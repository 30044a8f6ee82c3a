"""Numbered audio in any order: permutations within the window, duplicates, gaps; and vendors that do not count."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import Wire, client

from voicecore.events import Audio, AudioFault, ContextFinished, FlushCompleted, Synthesize
from voicecore.inbox import Inbox
from voicecore.reorder import WINDOW_MESSAGES, Reorderer
from voicecore.vendors.deepdub import DeepdubOptions


def chunk(index: int | None, data: bytes | None = None) -> Audio:
    return Audio("a", b"%d" % (index or 0) if data is None else data, index)


def play(messages) -> tuple[list, Reorderer]:
    order = Reorderer()
    return [event for message in messages for event in order.push(message)], order


def in_order(events) -> list[int]:
    return [event.index for event in events if isinstance(event, Audio)]


def faults(events) -> tuple[int, int]:
    found = [event for event in events if isinstance(event, AudioFault)]
    return sum(f.missing for f in found), sum(f.duplicates for f in found)


@pytest.mark.fault(22, "deepdub-open", "deepdub-ws", "uplift", "uplift-socketio")
@given(st.integers(1, 60), st.randoms(use_true_random=False))
def test_any_order_within_the_window_is_repaired(count, chance: random.Random):
    numbers = sorted(range(count), key=lambda i: i + chance.uniform(0, WINDOW_MESSAGES / 2))
    events, order = play(map(chunk, numbers))
    assert in_order(events) == list(range(count)) and faults(events) == (0, 0) and not order.waiting


@given(st.lists(st.integers(0, 20), max_size=60))
def test_what_comes_twice_is_played_once(repeats):
    numbers = [i for i in range(21) for _ in range(1 + repeats.count(i))]
    events, _ = play(map(chunk, numbers))
    assert in_order(events) == list(range(21)) and faults(events) == (0, len(numbers) - 21)


@given(st.sets(st.integers(1, 39), max_size=20))
def test_what_never_comes_is_counted_and_the_rest_is_played(lost):
    events, order = play(chunk(i) for i in range(41) if i not in lost)
    events += order.flush()
    assert in_order(events) == [i for i in range(41) if i not in lost]
    assert faults(events) == (len(lost), 0)


def test_a_message_that_comes_after_it_was_given_up_is_not_played_out_of_order():
    order = Reorderer()
    assert in_order([*order.push(chunk(0)), *order.push(chunk(2)), *order.flush()]) == [0, 2]
    assert order.push(chunk(1)) == [] and in_order(order.push(chunk(3))) == [3]


def test_a_vendor_that_does_not_count_loses_nothing():
    for numbers in ([0, 0, 0, 0], [None, None, None]):
        messages = [chunk(n, b"%d" % i) for i, n in enumerate(numbers)]
        assert play(messages)[0] == messages


def test_the_window_is_bounded():
    events, order = play(chunk(i) for i in range(1, WINDOW_MESSAGES + 2))
    assert in_order(events) == list(range(1, WINDOW_MESSAGES + 2)) and faults(events) == (1, 0)
    assert not order.waiting


# --- in a connection -------------------------------------------------------------------------------------


def speaking() -> Wire:
    wire = Wire(client("deepdub"))
    wire.send(Synthesize("a", "Hi", None, DeepdubOptions()))
    return wire


def message(index: int, *, last: bool = False) -> dict:
    return {"index": index, "generationId": "a", "data": "AAAA", "isFinished": last}


def test_a_message_ahead_of_its_turn_waits_a_fifth_of_a_second():
    wire = speaking()
    wire.say(message(0), message(2))
    assert in_order(wire.taken("a")) == [0]
    wire.at(0.19)
    assert wire.taken("a") == []
    wire.at(0.2)
    assert wire.taken("a") == [AudioFault("a", missing=1), Audio("a", bytes(3), 2)]


def test_the_end_waits_for_nothing():
    wire = speaking()
    wire.say(message(0), message(2), message(3, last=True))
    events = wire.taken("a")
    assert in_order(events) == [0, 2] and faults(events) == (1, 0) and isinstance(events[-1], ContextFinished)
    assert wire.connection.next_deadline() == pytest.approx(20.0), "only the keepalive is left"


def test_the_numbers_begin_again_with_each_turn():
    inbox = Inbox(1, 600.0)
    events = [*inbox.in_order(chunk(0)), *inbox.in_order(chunk(2)), *inbox.in_order(FlushCompleted("a"))]
    assert in_order(events) == [0, 2]
    assert in_order(inbox.in_order(chunk(0))) == [0]


def test_each_generation_has_numbers_of_its_own():
    inbox = Inbox(1, 600.0)
    numbered = [Audio("a", b"%d" % i, i, generation=name) for i in range(3) for name in ("one", "two")]
    events = [ready for audio in numbered for ready in inbox.in_order(audio)]
    assert events == numbered
