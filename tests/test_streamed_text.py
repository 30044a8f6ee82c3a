"""Text that comes bit by bit: the life cycle of its contexts in the protocol and in the connection."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wire import Wire, client
from wsproto.utilities import LocalProtocolError

from voicecore.errors import (
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    QueueOverflowError,
    VendorError,
    VoicecoreError,
)
from voicecore.events import (
    CURRENT,
    Audio,
    CancelContext,
    CloseContext,
    ContextAccepted,
    ContextFinished,
    Failed,
    FlushCompleted,
    FlushContext,
    LeaveContext,
    OpenContext,
    SendText,
)
from voicecore.protocol import ContextState, Protocol, Role, SessionState
from voicecore.vendors.sixtydb.tts import SixtydbTts, SixtydbTtsOptions

OPTIONS = SixtydbTtsOptions("LINEAR16", 16000)
OPEN, REQUESTED, SPEAKING = ContextState.OPEN, ContextState.REQUESTED, ContextState.SPEAKING
CANCELLED, LINGERING = ContextState.CANCELLED, ContextState.LINGERING
DEADLINES = {"first_audio": 3.0, "between_chunks": 4.0, "total": 20.0, "keepalive": float("inf")}


def protocol(role: Role = Role.CLIENT, *contexts: str) -> Protocol:
    """A conversation in which work can begin, with these contexts open."""
    made = Protocol(SixtydbTts(), role)
    made.session_state = SessionState.READY
    for name in contexts:
        (made.send if role is Role.CLIENT else made.received)(OpenContext(name, "v", OPTIONS))
    return made


def wired(*contexts: str, **arguments: float) -> Wire:
    """A connection with these contexts open."""
    wire = Wire(client("60db-tts", **(DEADLINES | arguments)))
    wire.say({"connection_established": {}})
    for name in contexts:
        wire.send(OpenContext(name, "v", OPTIONS), byte_rate=32_000)
    wire.heard.clear()
    return wire


def turn(wire: Wire, name: str = "a") -> None:
    wire.send(SendText(name, "Hello."))
    wire.send(FlushContext(name))


def chunk(name: str = "a", data: bytes = b"\1\2") -> dict:
    return {"audio_chunk": {"context_id": name, "audioContent": base64.b64encode(data).decode()}}


def completed(name: str = "a") -> dict:
    return {"flush_completed": {"context_id": name}}


def state(wire: Wire, name: str = "a") -> ContextState | None:
    return wire.connection.protocol.contexts.get(name)


# --- the protocol: flushes are counted -------------------------------------------------------------------


def test_a_turn_is_over_when_every_flush_of_it_is():
    made = protocol(Role.CLIENT, "a")
    for count in (1, 2, 3):
        made.send(FlushContext("a"))
        assert (made.flushes["a"], made.contexts["a"]) == (count, REQUESTED)
    made.received(Audio("a", b"x"))
    for left, following in ((2, REQUESTED), (1, REQUESTED), (0, OPEN)):
        made.received(FlushCompleted("a"))
        assert (made.flushes["a"], made.contexts["a"]) == (left, following)


def test_a_flush_while_audio_comes_is_a_turn_of_its_own():
    made = protocol(Role.CLIENT, "a")
    made.send(FlushContext("a"))
    made.received(Audio("a", b"x"))
    made.send(SendText("a", "more"))
    made.send(FlushContext("a"))
    assert made.contexts["a"] is SPEAKING
    made.received(FlushCompleted("a"))
    assert made.contexts["a"] is REQUESTED


def test_a_completed_flush_that_nobody_asked_for_is_an_error():
    with pytest.raises(ProtocolError, match="FlushCompleted is not allowed for the client in state OPEN"):
        protocol(Role.CLIENT, "a").received(FlushCompleted("a"))


def test_a_cancelled_context_lingers_once_every_flush_of_it_is_completed():
    made = protocol(Role.CLIENT, "a")
    made.send(FlushContext("a"))
    made.send(FlushContext("a"))
    made.send(CancelContext("a"))
    for following in (CANCELLED, LINGERING):
        assert made.received(Audio("a", b"x")) is None
        assert made.received(FlushCompleted("a")) is None
        assert made.contexts["a"] is following
    assert made.late_messages == 4


@pytest.mark.parametrize("end", [ContextFinished("a"), Failed("a", "", "")])
def test_nothing_is_counted_for_a_context_that_has_ended(end):
    made = protocol(Role.CLIENT, "a")
    made.send(FlushContext("a"))
    made.received(end)
    assert (made.contexts, made.flushes) == ({}, {})


def test_the_server_counts_alike():
    made = protocol(Role.SERVER, "a")
    made.received(FlushContext("a"))
    made.received(FlushContext("a"))
    made.send(Audio("a", b"x"))
    made.send(FlushCompleted("a"))
    assert (made.flushes["a"], made.contexts["a"]) == (1, REQUESTED)
    made.send(FlushCompleted("a"))
    with pytest.raises(ProtocolError):
        made.send(FlushCompleted("a"))


def test_an_ill_timed_message_says_which_context_it_named():
    with pytest.raises(ProtocolError) as caught:
        protocol(Role.SERVER).received(SendText("nobody", "x"))
    assert caught.value.context_id == "nobody"


# --- the protocol: messages that name no context ---------------------------------------------------------


def nameless(made: Protocol, message: bytes) -> object:
    return made.receive(message, text=True)


def test_current_is_the_context_that_is_at_work():
    made = protocol(Role.CLIENT, "a", "b", "c")
    assert nameless(made, b'{"context_created":{}}') == ContextAccepted("a")  # none is: the first
    made.send(FlushContext("b"))
    assert nameless(made, b'{"context_created":{}}') == ContextAccepted("b")
    assert nameless(made, b'{"flush_completed":{}}') == FlushCompleted("b")


def test_current_is_the_cancelled_context_until_the_vendor_is_done_with_it():
    made = protocol(Role.CLIENT, "b", "a")
    made.send(FlushContext("a"))
    made.send(CancelContext("a"))
    assert nameless(made, b'{"audio_chunk":{"audioContent":"AAAA"}}') is None
    assert nameless(made, b'{"flush_completed":true}') is None
    made.send(FlushContext("b"))
    assert nameless(made, b'{"audio_chunk":{"audioContent":"AAAA"}}') == Audio("b", bytes(3))


def test_current_of_several_is_an_error_and_no_guess():
    made = protocol(Role.CLIENT, "a", "b")
    for name in "ab":
        made.send(FlushContext(name))
    with pytest.raises(ProtocolError, match="60db-tts: expected a message that names its context while 2 are at work"):
        nameless(made, b'{"audio_chunk":{"audioContent":"AAAA"}}')


def test_without_any_context_a_nameless_message_is_late():
    made = protocol()
    assert nameless(made, b'{"audio_chunk":{"audioContent":"AAAA"}}') is None
    assert (made.late_messages, made.contexts) == (1, {})
    assert SixtydbTts().decode(b'{"audio_chunk":{}}', text=True, role=Role.CLIENT).context_id == CURRENT


# --- the connection: leaving, cancelling, saying goodbye -------------------------------------------------


def test_a_context_that_was_left_at_rest_lingers_and_nothing_is_said():
    wire = wired("a")
    wire.connection.leave("a", 0.0)
    wire.exchange()
    assert (state(wire), wire.heard, wire.connection.idle) == (LINGERING, [], True)
    wire.say(chunk())
    assert wire.connection.protocol.late_messages == 1 and wire.taken("a") == []


@pytest.mark.parametrize("said", [[], [chunk()]], ids=["unanswered", "speaking"])
def test_a_context_that_was_left_at_work_is_cancelled_and_the_socket_dropped(said):
    wire = wired("a")
    turn(wire)
    wire.say(*said)
    wire.connection.leave("a", 0.0)
    wire.exchange()
    assert [type(event).__name__ for event in wire.control] == ["CloseConnection"]
    assert [next(iter(message)) for message in wire.heard] == ["send_text", "flush_context"]  # and no close_context
    assert not wire.connection.usable


@pytest.mark.parametrize("other", ["at work", "at rest"])
def test_the_socket_is_not_dropped_while_somebody_else_is_served_there(other):
    wire = wired("a", "b")
    turn(wire)
    if other == "at work":
        turn(wire, "b")
    wire.connection.cancel("a", 0.0)
    wire.exchange()
    assert wire.connection.usable and (state(wire), wire.control) == (CANCELLED, [])
    wire.say(chunk(), chunk(), completed(), chunk())
    assert state(wire) is LINGERING and wire.connection.protocol.late_messages == 4
    if other == "at rest":
        turn(wire, "b")
    wire.say(chunk("b"), completed("b"))
    assert wire.taken("b") == [Audio("b", b"\1\2"), FlushCompleted("b")]


def test_the_last_one_who_is_cancelled_takes_the_socket_along():
    wire = wired("a", "b")
    turn(wire)
    turn(wire, "b")
    wire.connection.cancel("a", 0.0)
    wire.connection.cancel("b", 0.0)
    assert not wire.connection.usable


def test_goodbye_closes_what_lingers_and_nothing_that_would_be_spoken_first():
    wire = wired("left", "cancelled", "has text", "done")
    turn(wire, "cancelled")
    wire.connection.cancel("cancelled", 0.0)
    wire.send(SendText("has text", "unspoken"))
    wire.say({"context_closed": {"context_id": "done"}})
    wire.connection.leave("left", 0.0)
    wire.heard.clear()
    wire.connection.close(0.0)
    wire.exchange()
    assert wire.heard == [{"close_context": {"context_id": "left"}}]
    assert [type(event).__name__ for event in wire.control] == ["CloseConnection"]


def test_what_was_cancelled_and_then_completed_lingers_and_is_closed():
    wire = wired("a", "b")
    turn(wire)
    wire.connection.cancel("a", 0.0)
    wire.say(completed())
    wire.heard.clear()
    wire.connection.close(0.0)
    wire.exchange()
    assert wire.heard == [{"close_context": {"context_id": "a"}}]


def test_a_socket_is_retired_after_its_contexts_and_serves_them_to_their_end():
    wire = wired(*(str(number) for number in range(49)))
    assert wire.connection.has_room
    wire.send(OpenContext("last", "v", OPTIONS), byte_rate=32_000)
    assert wire.connection.retired and not wire.connection.has_room and not wire.connection.idle
    turn(wire, "last")
    wire.say(chunk("last"), completed("last"))
    assert wire.taken("last") == [Audio("last", b"\1\2"), FlushCompleted("last")]


def test_tables_refuse_what_makes_no_sense():
    made = protocol(Role.CLIENT, "a")
    made.send(LeaveContext("a"))
    for event in (SendText("a", "x"), FlushContext("a"), LeaveContext("a"), OpenContext("a", "v", OPTIONS)):
        with pytest.raises(ProtocolError):
            made.send(event)
    made.send(CloseContext("a"))
    assert made.received(ContextFinished("a")) is None and made.contexts == {}


# --- the connection: deadlines belong to turns -----------------------------------------------------------


def expired(wire: Wire, name: str = "a") -> str:
    error = wire.error(name)
    assert isinstance(error, DeadlineError)
    return error.deadline


def test_between_turns_no_deadline_runs():
    wire = wired("a")
    wire.send(SendText("a", "not flushed yet"))
    wire.at(10_000.0)
    turn(wire)
    wire.say(chunk(), completed())
    wire.at(20_000.0)
    assert wire.error("a") is None and wire.connection.usable


def test_each_turn_has_a_first_audio_of_its_own():
    wire = wired("a")
    turn(wire)
    wire.at(2.9)
    wire.say(chunk(), completed())
    wire.at(100.0)
    turn(wire)
    wire.at(102.9)
    assert wire.error("a") is None
    wire.at(103.0)
    assert expired(wire) == "first_audio"


def test_a_pipelined_turn_has_its_time_from_the_end_of_the_one_before():
    wire = wired("a")
    turn(wire)
    turn(wire)
    wire.at(2.0)
    wire.say(chunk(), completed())
    wire.at(4.9)
    assert wire.error("a") is None
    wire.at(5.0)
    assert expired(wire) == "first_audio"


def test_a_turn_that_stalls_ends_by_between_chunks_whatever_we_say_meanwhile():
    wire = wired("a")
    turn(wire)
    wire.say(chunk())
    for second in (1.0, 2.0, 3.0):
        wire.at(second)
        turn(wire)
    wire.at(3.9)
    assert wire.error("a") is None
    wire.at(4.0)
    assert expired(wire) == "between_chunks"


def test_total_is_of_one_turn():
    wire = wired("a")
    for start in (0.0, 30.0):
        wire.at(start)
        turn(wire)
        for second in range(1, 20):
            wire.at(start + second)
            wire.say(chunk())
        if not start:
            wire.say(completed())
    assert wire.error("a") is None
    wire.at(50.0)
    assert expired(wire) == "total"


def test_a_context_that_was_given_up_takes_a_socket_along_that_serves_nobody_else():
    alone, shared = wired("a"), wired("a", "b")
    for wire in (alone, shared):
        turn(wire)
        wire.at(3.0)
        assert expired(wire) == "first_audio"
    assert (alone.connection.usable, shared.connection.usable) == (False, True)
    turn(shared, "b")
    shared.say(chunk("b"), completed("b"))
    assert shared.taken("b") == [Audio("b", b"\1\2"), FlushCompleted("b")]


def test_an_overflow_is_given_up_alike():
    wire = wired("a", buffered_seconds=0.1)
    turn(wire)
    wire.say(*[chunk(data=bytes(1600))] * 3)
    assert [len(event.data) for event in wire.taken("a")] == [1600, 1600]
    assert isinstance(wire.error("a"), QueueOverflowError) and not wire.connection.usable


# --- the connection: how it ends -------------------------------------------------------------------------


def test_a_context_that_finished_is_not_failed_by_the_end_of_the_socket():
    wire = wired("a", "b")
    turn(wire)
    wire.say(chunk(), completed(), {"context_closed": {"context_id": "a"}})
    wire.close(1000)
    assert wire.taken("a") == [Audio("a", b"\1\2"), FlushCompleted("a"), ContextFinished("a")]
    assert wire.error("a") is None
    assert isinstance(wire.error("b"), ConnectionLostError)


def test_an_error_of_the_session_spares_what_is_at_rest_while_others_work():
    wire = wired("rest", "work")
    turn(wire, "work")
    wire.say(chunk("work"), {"error": "broken"})
    assert type(wire.error("work")) is VendorError and wire.error("rest") is None
    assert state(wire, "rest") is OPEN


# --- anything in any order -------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", None])
KINDS = ("context_created", "flush_completed", "context_closed", "error")
SAID = st.one_of(
    st.builds(lambda kind, name: {kind: {"context_id": name} if name else True}, st.sampled_from(KINDS), NAMES),
    st.builds(lambda name: chunk(name) if name else {"audio_chunk": {"audioContent": "AAAA"}}, NAMES),
)
ASKED = st.builds(
    lambda make, name: make(name),
    st.sampled_from(
        [lambda name: OpenContext(name, "v", OPTIONS), lambda name: SendText(name, "x"), FlushContext, CloseContext]
    ),
    st.sampled_from(["a", "b"]),
)
LEFT_BY_THE_USER = st.tuples(st.sampled_from(["cancel", "leave", "forget"]), st.sampled_from(["a", "b"]))


@settings(max_examples=300)
@given(st.lists(st.one_of(SAID, ASKED, ASKED, LEFT_BY_THE_USER, st.floats(0, 5)), max_size=30))
def test_whatever_comes_in_whatever_order_is_an_event_or_a_typed_error(steps):
    wire = wired()
    left: set[str] = set()
    for step in steps:
        with contextlib.suppress(VoicecoreError, LocalProtocolError):  # the latter is of our peer, once it is closing
            match step:
                case dict():
                    wire.say(step)
                case float():
                    wire.at(wire.now + step)
                case ("forget", name):
                    wire.connection.forget(name)
                case (way, name):
                    getattr(wire.connection, way)(name, wire.now)
                    wire.exchange()
                    left |= {name} if wire.connection.usable else set()
                case OpenContext(name):
                    wire.send(step, byte_rate=32_000)
                    left.discard(name)
                    wire.taken(name)
                case _:
                    wire.send(step)
        for name in left & wire.connection.protocol.contexts.keys() if wire.connection.usable else ():
            assert state(wire, name) in (CANCELLED, LINGERING)
    wire.at(wire.now + 10_000)  # asserts progress at every deadline
    for name in "ab":
        assert wire.error(name) is None or isinstance(wire.error(name), VoicecoreError)


def test_what_we_say_gives_the_vendor_no_more_time():
    wire = wired("a")
    turn(wire)
    wire.at(1.0)
    wire.say(chunk())
    wire.at(2.0)
    wire.send(CloseContext("a"))
    assert state(wire) is ContextState.CLOSING
    assert wire.connection.next_deadline() == 5.0
    wire.say(chunk())
    assert wire.connection.next_deadline() == 6.0
