"""The suite that every dialect must pass: one list of checks, made from the dialect's own tables.

    @pytest.mark.parametrize("case", conformance_cases(MyDialect), ids=str)
    def test_conformance(case):
        case.run()

A dialect is checked as its constructor makes it and with each of the constructor's switches turned. The places of a
conversation are found by walking the tables from the start, both ends at once; what a dialect has no message for is
never reached, so nothing is asked of it there. A check that fails raises, with the place where it failed as a note.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any, get_type_hints

from wsproto.events import CloseConnection, Pong

from voicecore.audio import AudioFormat, Encoding
from voicecore.connection import SESSION, TERMINAL_CLOSE_CODES, Phase
from voicecore.errors import (
    AuthError,
    ConnectionLostError,
    DeadlineError,
    MessageError,
    ProtocolError,
    VendorError,
    VoicecoreError,
)
from voicecore.events import (
    Audio,
    CancelContext,
    ClientEvent,
    Connecting,
    ContextFinished,
    Event,
    Failed,
    FlushCompleted,
    FlushContext,
    OpenContext,
    SendAudio,
    SendText,
    ServerEvent,
    StartStream,
    StreamStopped,
    Synthesize,
    TransportOpened,
    Unknown,
)
from voicecore.protocol import (
    CONTEXT_DEADLINES,
    ENDED,
    OVER,
    SESSION_DEADLINES,
    ContextState,
    Dialect,
    Role,
    SessionState,
)
from voicecore.testing.damage import body_of, damaged, fits, like
from voicecore.testing.talk import KEY, TEXT, A, B, Step, Talk
from voicecore.testing.ways import (
    Make,
    Path,
    decoded,
    life,
    multiplexes,
    places,
    replay,
    takes_several,
    utter,
    variants,
    where_of,
)
from voicecore.testing.wire import frames_of

GARBAGE: tuple[str | bytes, ...] = ("", "garbage {", "[]", '{"a":NaN}', "[" * 5000, "\0", b"", b"\xff\0\xfe", b"{}")
UNKNOWN: tuple[Any, ...] = ({"type": "of_tomorrow"}, {"of_tomorrow": {}}, {"of_tomorrow": True})
CALLERS: tuple[Encoding, ...] = ("pcm_s16le", "pcm_f32le", "mulaw", "alaw")  # what a caller can ask for
RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000)
CLOSE_CODES = (1000, 1001, 1006, 1008, 1011)  # 1006: the end of the stream without a word
ENDS = (ContextFinished, FlushCompleted, StreamStopped)
_DEADLINES: dict[Any, str] = {**CONTEXT_DEADLINES, **SESSION_DEADLINES}


@dataclass(frozen=True, slots=True)
class Case:
    """One check of one dialect."""

    name: str
    check: Callable[[], None]

    def run(self) -> None:
        """Raises (most often `AssertionError`) if the dialect does not pass."""
        self.check()

    def __str__(self) -> str:
        return self.name


def conformance_cases(dialect: type[Dialect]) -> list[Case]:
    """Every check of a dialect, for each of its variants."""
    checks = _EVERY_KIND + (_TTS if dialect.kind == "tts" else ())
    checked = [(name, make, check) for name, make in variants(dialect) for check in checks]
    checked.append((dialect.name, dialect, every_split))  # the longest of them, and no switch changes what it tries
    return [Case(f"{name}-{check.__name__}", partial(check, make)) for name, make, check in checked]


def _at_every_place(check: Callable[[Make, Path], None]) -> Callable[[Make], None]:
    def everywhere(make: Make) -> None:
        for path in places(make):
            try:
                check(make, path)
            except BaseException as error:
                names = [step.kind.__name__ if step.kind else "(time)" for step in path]
                error.add_note(f"{make().name}, after: {', '.join(names) or 'the upgrade'}")
                raise

    everywhere.__name__ = check.__name__
    return everywhere


def _inbox(dialect: Dialect) -> str:
    """Where the client reads what was asked for."""
    return A if dialect.kind == "tts" else SESSION


def _shown(error: VoicecoreError) -> VoicecoreError:
    """The error, after looking that it says enough and not too much."""
    assert str(error) and KEY not in str(error) + repr(error), "the key is in an error"
    return error


# --- checks ----------------------------------------------------------------------------------------------


def _expect_what_was_said(talk: Talk) -> None:
    """The client read all that the server said, each thing once and in order."""
    inboxes = [SESSION, *(c for c in (A, B) if talk.expected(c))]
    for context_id in inboxes:
        assert talk.wire.taken(context_id) == talk.expected(context_id)
    assert isinstance(talk.expected(inboxes[-1])[-1], ENDS), "the conversation did not come to its end"
    assert (talk.client.late_messages, talk.client.unknown_messages) == (0, 0)


def whole_life(make: Make) -> None:
    """A conversation from the greeting to the end; both ends mean the same."""
    talk = life(make)
    _expect_what_was_said(talk)
    wire = talk.dialect.wire_format(talk.options)
    asked = [event for event, _ in talk.heard if hasattr(event, "options")]
    assert asked and all(talk.dialect.wire_format(event.options) == wire for event in asked), "another format is heard"
    heard = "".join(event.text for event, _ in talk.heard if isinstance(event, (Synthesize, SendText)))
    asked_for = [event for event, _ in talk.heard if isinstance(event, (Synthesize, FlushContext))]
    assert heard == TEXT * len(asked_for) * (1 + talk.dialect.streams_text), "another text is heard"
    frames = [event.data for event, _ in talk.heard if isinstance(event, SendAudio)]
    assert frames == [bytes(talk.dialect.frame_bytes(wire))] * (3 * (talk.dialect.kind == "stt"))
    assert talk.dialect.kind == "tts" or talk.client.session_state in OVER, "the session is not over"


def every_format(make: Make) -> None:
    """Whatever the caller's format is, and whichever of the vendor's is asked for, both ends mean the same one and the
    audio comes through."""
    assert make().offers or make().kind == "stt", "no format is offered"
    wanted = [{"wanted": AudioFormat(encoding, rate)} for encoding, rate in product(CALLERS, RATES)]
    for asked_for in [*wanted, *({"options": options} for options in make().offers.values())]:
        talk = life(make, **asked_for)
        _expect_what_was_said(talk)
        wire = talk.dialect.wire_format(talk.options)
        asked = [event.options for event, _ in talk.heard if hasattr(event, "options")]
        assert {talk.dialect.wire_format(options) for options in asked} == {wire}
        frames = [event.data for event, _ in talk.heard if isinstance(event, SendAudio)]
        assert set(frames) <= {bytes(talk.dialect.frame_bytes(wire))}


def two_at_once(make: Make) -> None:
    """Two utterances: interleaved on a socket that takes them, else the second has no room before the first ends."""
    talk = life(make)
    if multiplexes(make):
        order = [event.context_id for event, _ in talk.said if isinstance(event, Audio)]
        assert order != sorted(order)
    several = takes_several(make())
    talk = Talk(make())
    talk.greet()
    talk.ask(A)
    assert talk.connection.has_room is several
    talk.speak(A)
    assert talk.connection.has_room is several


def every_chunk(make: Make) -> None:
    """The server's bytes, however many come at a time, tell the same."""
    for chunk in (1, 2, 3, 7, 100):
        _expect_what_was_said(life(make, chunk=chunk))


def every_split(make: Make) -> None:
    """The server's bytes cut into two at every byte tell the same."""
    for cut in range(1, life(make).wire.delivered):
        _expect_what_was_said(life(make, cut=cut))


def all_in_one_delivery(make: Make) -> None:
    """The greeting comes with the answer to the upgrade, and several messages at once."""
    _expect_what_was_said(life(make, together=True))


def fragments(make: Make) -> None:
    """Messages in fragments, with a ping after each; all pings are answered."""
    talk = life(make, pieces=3)
    _expect_what_was_said(talk)
    pongs = [event for event in talk.wire.control if isinstance(event, Pong)]
    assert len(pongs) == talk.pings > 0


def every_error_code(make: Make) -> None:
    """Each code of the dialect's table comes out as its class."""
    for code, kind in make().errors.items():
        talk = Talk(make())
        talk.greet()
        if talk.dialect.kind == "tts":
            talk.ask(A)
        else:
            talk.start()
        inbox = _inbox(talk.dialect)
        assert talk.say(Failed(inbox or None, code, "no")) or talk.say(Failed(None, code, "no")), "no way to say it"
        if getattr(decoded(make(), talk.said[-1][1], Role.CLIENT), "code", None) == "":
            return  # our server has no codes to say
        error = talk.wire.error(inbox)
        assert type(error) is kind and error.code == code, f"{code}: expected {kind.__name__}, got {error!r}"


# --- checks at every place -------------------------------------------------------------------------------


@_at_every_place
def close_at_every_place(make: Make, path: Path) -> None:
    """An end of the socket is an error, unless the vendor has no other end; what had come stays readable."""
    for code in CLOSE_CODES:
        talk = replay(make, path)
        inbox = _inbox(talk.dialect)
        state = talk.state() if inbox else talk.client.session_state
        followed, failed = talk.followed(inbox), talk.connection.failure(inbox)
        normal = followed and code == 1000 and state in talk.dialect.ended_by_close
        end: list[ServerEvent] = [ContextFinished(A) if inbox else StreamStopped()] if normal else []
        _close(talk, code)
        assert talk.connection.closed and talk.connection.next_deadline() == float("inf")
        assert talk.wire.taken(inbox) == talk.expected(inbox) + end, f"close {code}"
        error = talk.connection.failure(inbox)
        if failed is not None:
            assert type(error) is type(failed)
        elif followed and not normal:
            _expect_loss(talk, error, code)
        _expect_refusal_of_more(talk)


def _close(talk: Talk, code: int) -> None:
    if code != 1006:
        talk.wire.close(code)
    talk.wire.end()


def _expect_loss(talk: Talk, error: VoicecoreError | None, code: int) -> None:
    worked = any(not isinstance(event, (Connecting, TransportOpened)) for event, _ in talk.said)
    if code == 1008 and not worked:
        assert type(error) is AuthError, "a socket closed with 1008 before anything was said is a refused key"
        return
    assert type(error) is ConnectionLostError, f"close {code}: expected ConnectionLostError, got {error!r}"
    assert (_shown(error).retryable, error.code) == (code not in TERMINAL_CLOSE_CODES, code)


def _expect_refusal_of_more(talk: Talk) -> None:
    begin = StartStream if talk.dialect.kind == "stt" else OpenContext if talk.dialect.streams_text else Synthesize
    try:
        talk.connection.send(talk.sample(begin, B), talk.wire.now)
    except VoicecoreError as error:
        assert type(error) is type(talk.connection.error and talk.connection.error()), "not what ended the connection"
        return
    raise AssertionError("a closed connection takes a request")


@_at_every_place
def close_behind_a_message_at_every_place(make: Make, path: Path) -> None:
    """Any message and the vendor's close come in one delivery: nothing is said to a socket that is closed."""
    for role, message in _messages(make):
        if role is Role.CLIENT:
            talk = replay(make, path)
            if talk.connection.phase is Phase.OPEN:
                talk.wire.frames(*frames_of(message), CloseConnection(code=1008))
                assert talk.connection.closed and isinstance(
                    talk.connection.error and talk.connection.error(), VoicecoreError
                )


@_at_every_place
def error_at_every_place(make: Make, path: Path) -> None:
    """The vendor's error, with and without a context's name, ends what it is about, and nothing else."""
    for context_id in {_inbox(make()) or None, None}:
        talk = replay(make, path)
        inbox = _inbox(talk.dialect)
        followed, failed = talk.followed(inbox), talk.connection.failure(inbox)
        codes = [code for code, kind in talk.dialect.errors.items() if kind is not AuthError]  # which may end more
        if not talk.say(Failed(context_id, next(iter(codes), ""), "it failed")):
            continue
        error = talk.connection.failure(inbox)
        fatal = talk.client.session_state is SessionState.FAILED
        assert talk.connection.usable is (talk.client.session_state not in OVER)
        assert talk.wire.taken(inbox) == talk.expected(inbox)
        if followed and (fatal or inbox):
            assert isinstance(error, VendorError), repr(error)
            assert (_shown(error), error.vendor) == (error, talk.dialect.vendor)
        elif not fatal and talk.state() is not None:  # nobody reads on behind an end
            assert type(error) is type(failed)


@_at_every_place
def unknown_at_every_place(make: Make, path: Path) -> None:
    """A message type of tomorrow is kept and counted, and changes nothing."""
    talk = replay(make, path)
    where, usable = where_of(talk), talk.connection.usable
    talk.wire.frames(*frames_of(_unknown_message(make)))
    assert (where_of(talk), talk.connection.usable) == (where, usable)
    assert talk.client.unknown_messages == 1
    if talk.connection.failure(SESSION) is None:
        assert isinstance(talk.wire.taken(SESSION)[-1], Unknown)


@_at_every_place
def garbage_at_every_place(make: Make, path: Path) -> None:
    """What is no message ends the connection with an error; nobody waits for more."""
    for junk in GARBAGE:
        talk = replay(make, path)
        inbox = _inbox(talk.dialect)
        followed, failed = talk.followed(inbox), talk.connection.failure(inbox)
        talk.wire.frames(*frames_of(junk))
        if not talk.connection.closed:
            assert _is_message(talk.dialect, junk), f"{junk!r} passes without a word"
            continue
        assert isinstance(talk.connection.error and talk.connection.error(), ProtocolError | VendorError)
        assert talk.wire.taken(inbox) == talk.expected(inbox)
        if followed and failed is None:
            assert isinstance(talk.connection.failure(inbox), ProtocolError | VendorError)


@_at_every_place
def silence_at_every_place(make: Make, path: Path) -> None:
    """A vendor that says nothing more is given up by a named deadline, whatever was going on."""
    talk = replay(make, path)
    inbox = _inbox(talk.dialect)
    state = talk.state() if inbox else talk.client.session_state
    followed = talk.followed(inbox) and talk.connection.failure(inbox) is None
    talk.wire.at(talk.wire.now + 10_000)
    assert talk.connection.closed
    error, read = talk.connection.failure(inbox), talk.wire.taken(inbox)
    if followed and not (read and isinstance(read[-1], ENDS)):
        assert isinstance(error, DeadlineError), repr(error)
        _shown(error)
        named = _DEADLINES.get(state)
        if named is not None and state not in {*talk.dialect.context_graces, *talk.dialect.graces}:
            # A turn may begin while the timer of what came before it still runs.
            assert error.deadline in (named, "between_chunks"), f"{state}: expected {named}, got {error}"


@_at_every_place
def goodbye_at_every_place(make: Make, path: Path) -> None:
    """Closing ends with the peer's answer, or without one by the deadline."""
    for answers in (True, False):
        talk = replay(make, path)
        talk.connection.close(talk.wire.now)
        talk.wire.exchange()
        talk.listen()
        [said] = [event for event in talk.wire.control if isinstance(event, CloseConnection)]
        assert said.code == 1000 and not talk.connection.usable
        if answers:
            talk.wire.frames(said.response())
        else:
            talk.wire.at(talk.wire.now + talk.connection.deadlines.close)
        assert talk.connection.closed and talk.connection.must_abort is not answers


@_at_every_place
def cancel_at_every_place(make: Make, path: Path) -> None:
    """What comes after a cancel is dropped and counted; the socket lives on, unless to end it is the cancel."""
    for forgotten in (False, True):
        talk = replay(make, path)
        was_open, failed = talk.connection.is_open(A), talk.connection.failure(A)
        talk.send(CancelContext(A))
        if not was_open:
            assert talk.heard[-1][1] is None or not isinstance(talk.heard[-1][0], CancelContext), "nothing to cancel"
            continue
        if talk.dialect.drops_on_cancel:
            assert talk.connection.phase is Phase.CLOSING
            continue
        if forgotten:
            talk.connection.forget(A)
        late = sum(talk.do(Step(Audio, A)) for _ in range(2))
        assert talk.client.late_messages == late, "late audio is not counted"
        confirmed = any(talk.do(Step(kind, A)) for kind in _confirmations(talk))
        assert forgotten or talk.wire.taken(A) == talk.expected(A), "late audio is delivered"
        assert forgotten or type(talk.connection.failure(A)) is type(failed)
        assert talk.connection.usable
        if confirmed and talk.connection.has_room:
            talk.wire.at(talk.wire.now + 2 * talk.connection.deadlines.close)
            utter(talk, B)
            assert talk.wire.taken(B) == talk.expected(B)


def _confirmations(talk: Talk) -> list[type[Event]]:
    """What tells that a context which was cancelled is over."""
    table = talk.dialect.contexts.get(ContextState.CANCELLED, {})
    return [kind for kind, state in table.items() if state in ENDED and kind is not Failed]


@_at_every_place
def cancel_unconfirmed_at_every_place(make: Make, path: Path) -> None:
    """A socket that serves one context at a time is given up when it does not confirm a cancel."""
    talk = replay(make, path)
    if not talk.connection.is_open(A):
        return
    talk.send(CancelContext(A))
    waits = talk.dialect.max_contexts is not None and A in talk.client.contexts
    talk.wire.at(talk.wire.now + talk.connection.deadlines.close)
    assert talk.connection.closed is (waits or talk.dialect.drops_on_cancel)


@_at_every_place
def another_beside_every_place(make: Make, path: Path) -> None:
    """Wherever one context is, another on the same socket is served as if it were alone."""
    talk = replay(make, path)
    alone = talk.state() in (None, ContextState.NEW)
    if not (talk.connection.ready and talk.connection.has_room and (alone or multiplexes(make))):
        return
    state, held = talk.state(), list(talk.expected(A))
    utter(talk, B)
    assert talk.wire.taken(B) == talk.expected(B) and isinstance(talk.expected(B)[-1], ENDS)
    assert talk.state() is state and talk.wire.taken(A) == held == talk.expected(A)


# --- messages that are wrong in one place ----------------------------------------------------------------


@cache
def _messages(make: Make) -> tuple[tuple[Role, str | bytes], ...]:
    """One message of each kind that either side says, with the role that hears it."""
    found: dict[tuple[Role, type[Event], bool], str | bytes] = {}
    for talk in (life(make), *(replay(make, path) for path in places(make))):
        said = [(Role.CLIENT, event, message) for event, message in talk.said]
        heard = [(Role.SERVER, event, message) for event, message in talk.heard if message is not None]
        for role, event, message in [*said, *heard]:
            found.setdefault((role, type(event), getattr(event, "context_id", None) is None), message)
    return tuple((role, message) for (role, *_), message in found.items())


def _unknown_message(make: Make) -> str | bytes:
    """A message of a type that does not exist, in this dialect's framing."""
    for role, message in _messages(make):
        parts = body_of(message)
        if role is Role.CLIENT and parts is not None:
            for body in UNKNOWN:
                candidate = like(message, parts[0], body, parts[2])
                if isinstance(decoded(make(), candidate, role), Unknown):
                    return candidate
    raise AssertionError("no message of an unknown type is decoded as Unknown")


def _is_message(dialect: Dialect, message: str | bytes) -> bool:
    """True if it means something to this dialect's client, be it that nothing is to be done."""
    payload = message.encode() if isinstance(message, str) else message
    try:
        dialect.decode(payload, text=isinstance(message, str), role=Role.CLIENT)
    except (MessageError, ProtocolError):
        return False
    return True


def damaged_messages(make: Make) -> None:
    """Any field of any message may be missing or of another type: an event whose fields fit, or a typed error."""
    dialect = make()
    for role, message in _messages(make):
        for wrong in damaged(message):
            try:
                _expect_fitting(decoded(dialect, wrong, role), role)
            except BaseException as error:
                error.add_note(f"the {role.value} hears {wrong!r}")
                raise


def _expect_fitting(event: Event | None, role: Role) -> None:
    if event is None:
        return
    assert isinstance(event, ServerEvent if role is Role.CLIENT else ClientEvent), f"{event} is of the other side"
    for field, hint in get_type_hints(type(event)).items():
        value = getattr(event, field)
        assert fits(value, hint), f"{type(event).__name__}.{field}: expected {hint}, got {value!r}"


_EVERY_KIND: tuple[Callable[[Make], None], ...] = (
    whole_life,
    every_format,
    every_chunk,
    all_in_one_delivery,
    fragments,
    every_error_code,
    close_at_every_place,
    close_behind_a_message_at_every_place,
    error_at_every_place,
    unknown_at_every_place,
    garbage_at_every_place,
    silence_at_every_place,
    goodbye_at_every_place,
    damaged_messages,
)
_TTS: tuple[Callable[[Make], None], ...] = (
    two_at_once,
    cancel_at_every_place,
    cancel_unconfirmed_at_every_place,
    another_beside_every_place,
)
