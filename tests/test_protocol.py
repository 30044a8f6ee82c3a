"""The transition tables in both roles, what passes them, and the JSON at their door."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore import events as vocabulary
from voicecore.errors import (
    AuthError,
    Base64Error,
    ConfigurationError,
    MessageError,
    ProtocolError,
    QuotaError,
    RateLimitError,
    VendorError,
)
from voicecore.events import (
    Audio,
    CancelContext,
    ClassifyVoice,
    ClientEvent,
    ContextAccepted,
    ContextFinished,
    Event,
    Failed,
    Malformed,
    ServerEvent,
    StreamStarted,
    Synthesize,
    Transcript,
    Unknown,
)
from voicecore.protocol import (
    ENDED,
    LEFT,
    OVER,
    ContextState,
    Dialect,
    Listening,
    Protocol,
    Role,
    SessionState,
    dump_json,
    parse_json,
    with_query,
)
from voicecore.secret import Secret
from voicecore.vendors import DIALECTS, find_dialect
from voicecore.vendors.deepdub import DeepdubOpen, DeepdubOptions, DeepdubWs
from voicecore.vendors.sixtydb.stt import SixtydbStt, SixtydbSttOptions

EVENTS = [
    kind
    for kind in vars(vocabulary).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind not in (Event, ClientEvent, ServerEvent)
]
OUTSIDE_THE_TABLES = (Unknown, Malformed)
SAMPLES = {
    Synthesize: Synthesize("a", "x", None, DeepdubOptions()),
    CancelContext: CancelContext("a"),
    ClassifyVoice: ClassifyVoice("q", b""),
    ContextAccepted: ContextAccepted("a"),
    Audio: Audio("a", b""),
    ContextFinished: ContextFinished("a"),
    vocabulary.VoiceClassified: vocabulary.VoiceClassified({}),
    vocabulary.StartStream: vocabulary.StartStream(SixtydbSttOptions()),
    vocabulary.SendAudio: vocabulary.SendAudio(b""),
    vocabulary.ConfigureStream: vocabulary.ConfigureStream({}),
    vocabulary.StopStream: vocabulary.StopStream(),
    vocabulary.Probe: vocabulary.Probe(),
    StreamStarted: StreamStarted(),
    vocabulary.SpeechStarted: vocabulary.SpeechStarted(),
    Transcript: Transcript("", True, True),
    vocabulary.LanguageChanged: vocabulary.LanguageChanged(None),
    vocabulary.ModeChanged: vocabulary.ModeChanged(True),
    vocabulary.StreamStopped: vocabulary.StreamStopped(),
    vocabulary.ProbeAnswered: vocabulary.ProbeAnswered({}),
    vocabulary.Connecting: vocabulary.Connecting(),
    vocabulary.Authenticated: vocabulary.Authenticated(),
    vocabulary.ServerReady: vocabulary.ServerReady(),
    Failed: Failed("a", "", ""),
    Unknown: Unknown("new", {}),
    Malformed: Malformed("a", "", ""),
    **{
        kind: kind("a")
        for kind in (
            vocabulary.FlushContext,
            vocabulary.LeaveContext,
            vocabulary.CloseContext,
            vocabulary.GenerationFinished,
            vocabulary.FlushCompleted,
            vocabulary.ContextCancelled,
        )
    },
    vocabulary.OpenContext: vocabulary.OpenContext("a", None, DeepdubOptions()),
    vocabulary.SendText: vocabulary.SendText("a", "x"),
    vocabulary.AudioFault: vocabulary.AudioFault("a"),
    vocabulary.BareAudio: vocabulary.BareAudio("a", b""),
    vocabulary.TransportOpened: vocabulary.TransportOpened("s", 25.0, 20.0),
    vocabulary.Authenticate: vocabulary.Authenticate(Secret("k")),
    **{
        kind: kind()
        for kind in (
            vocabulary.SpeechEnded,
            vocabulary.Processing,
            vocabulary.TransportClosed,
            vocabulary.Heartbeat,
            vocabulary.HeartbeatAnswered,
            vocabulary.Goodbye,
            vocabulary.Ping,
            vocabulary.Pong,
        )
    },
}
SESSION_FAILED = Failed(None, "", "")


def test_every_event_has_a_sample():
    assert set(SAMPLES) == set(EVENTS)


def from_peer(role: Role, event: Event) -> bool:
    return isinstance(event, ServerEvent if role is Role.CLIENT else ClientEvent)


def with_options_of(dialect: type[Dialect], event: Event) -> Event:
    return replace(event, options=dialect.options()) if hasattr(event, "options") else event


def cases(states, samples):
    return [
        pytest.param(
            dialect,
            role,
            state,
            with_options_of(dialect, event),
            id=f"{dialect.name}-{role.value}-{state.name}-{type(event).__name__}",
        )
        for dialect in DIALECTS
        for role in Role
        for state in states
        for event in samples
        if type(event) not in OUTSIDE_THE_TABLES
    ]


SESSION_EVENTS = [event for event in SAMPLES.values() if not hasattr(event, "context_id")] + [SESSION_FAILED]
CONTEXT_EVENTS = [event for event in SAMPLES.values() if hasattr(event, "context_id")]


@pytest.mark.parametrize(("dialect", "role", "state", "event"), cases(SessionState, SESSION_EVENTS))
def test_the_table_of_a_session_decides(dialect, role, state, event):
    protocol = Protocol(dialect(), role)
    protocol.session_state = state
    following = dialect.sessions.get(state, {}).get(type(event))
    step = protocol.received if from_peer(role, event) else protocol.send
    if from_peer(role, event) and state in OVER:
        assert step(event) is None and protocol.late_messages == 1 and protocol.session_state is state
    elif following is not None:
        result = step(event)
        assert protocol.session_state is following
        assert result is event or not from_peer(role, event)
    else:
        with pytest.raises(ProtocolError) as caught:
            step(event)
        expect_state_role_and_message(caught, state, role, event)
        assert protocol.session_state is state


@pytest.mark.parametrize(("dialect", "role", "state", "event"), cases(ContextState, CONTEXT_EVENTS))
def test_the_table_of_a_context_decides(dialect, role, state, event):
    protocol = Protocol(dialect(), role)
    if hasattr(event, "options"):
        event = replace(event, options=dialect.options())
    if state is not ContextState.NEW:
        protocol.contexts["a"] = state
    table = dialect.contexts.get(state, {})
    step = protocol.received if from_peer(role, event) else protocol.send
    if hasattr(event, "options"):
        event = replace(event, options=dialect.options())
    if type(event) in table:
        result = step(event)
        assert protocol.contexts == ({} if table[type(event)] in ENDED else {"a": table[type(event)]})
        ignored = state is ContextState.CANCELLED or (state in LEFT and isinstance(event, Audio))
        assert protocol.late_messages == (from_peer(role, event) and ignored)
        if from_peer(role, event):
            assert result is (None if state in LEFT else event)
    elif state is ContextState.NEW and role is Role.CLIENT and from_peer(role, event):
        assert step(event) is None and protocol.late_messages == 1 and protocol.contexts == {}
    else:
        before = dict(protocol.contexts)
        with pytest.raises(ProtocolError) as caught:
            step(event)
        expect_state_role_and_message(caught, state, role, event)
        assert protocol.contexts == before


def expect_state_role_and_message(caught, state, role, event):
    for word in (state.name, role.value, type(event).__name__):
        assert word in str(caught.value)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("event", SAMPLES.values(), ids=lambda event: type(event).__name__)
def test_each_side_says_its_own_and_hears_the_others(dialect, role, event):
    protocol = Protocol(dialect(), role)
    ours = ClientEvent if role is Role.CLIENT else ServerEvent
    wrong = [protocol.send] * (not isinstance(event, ours)) + [protocol.received] * (not from_peer(role, event))
    for step in wrong:
        with pytest.raises(ProtocolError) as caught:
            step(event)
        expect_state_role_and_message(caught, protocol.session_state, role, event)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", SessionState)
def test_an_unknown_message_is_kept_and_counted_in_every_state(dialect, role, state):
    protocol = Protocol(dialect(), role)
    protocol.session_state = state
    unknown = Unknown("new", {"a": 1})
    assert protocol.received(unknown) is unknown
    assert (protocol.unknown_messages, protocol.session_state) == (1, state)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_unknown_message_is_never_said(dialect):
    for role in Role:
        with pytest.raises(ProtocolError):
            Protocol(dialect(), role).send(Unknown("new", {}))


def test_a_malformed_request_passes_and_steps_nothing():
    protocol = Protocol(DeepdubOpen(), Role.SERVER)
    malformed = Malformed("a", "InvalidInput", "no text")
    assert protocol.received(malformed) is malformed
    assert protocol.contexts == {}
    protocol.send(Failed("a", "InvalidInput", "no text"))


def test_states_lead_somewhere():
    for dialect in DIALECTS:
        for table, start in ((dialect.sessions, dialect.initial), (dialect.contexts, ContextState.NEW)):
            reached = {start, *(end for row in table.values() for end in row.values())}
            assert set(table) <= reached, "a state that nothing leads to"
            assert not table or reached - set(table) <= OVER | ENDED, "a state that nothing leads out of"
        assert set(dialect.graces) <= set(dialect.sessions)


def test_an_event_that_cannot_be_said_leaves_the_state_as_it_was():
    protocol = Protocol(DeepdubOpen(), Role.CLIENT)
    with pytest.raises(ConfigurationError):
        protocol.send(Synthesize("a", "\ud800", None, DeepdubOptions()))
    assert protocol.contexts == {}


def test_the_same_conversation_in_both_roles_ends_in_the_same_states():
    client, server = Protocol(DeepdubOpen(), Role.CLIENT), Protocol(DeepdubOpen(), Role.SERVER)
    request = client.send(Synthesize("a", "x", None, DeepdubOptions()))
    server.receive(request.encode(), text=True)
    states = []
    for event in (ContextAccepted("a"), Audio("a", b"\1", 0), ContextFinished("a", b"\2", 1)):
        client.receive(server.send(event), text=False)
        states.append((client.contexts.get("a"), server.contexts.get("a")))
    assert states == [(ContextState.ACCEPTED,) * 2, (ContextState.SPEAKING,) * 2, (None, None)]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (lambda plain: plain.upgrade_options(DeepdubOptions()), {}),
        (lambda plain: plain.reply(ContextAccepted("a"), Secret("k")), None),
        (lambda plain: plain.http_fault({}, upgrade=True), None),
        (lambda plain: plain.welcome(), ()),
        (lambda plain: plain.start_of({}), None),
        (lambda plain: plain.listening(None), Listening("en", 0.5, None, True, False)),
        (lambda plain: plain.started(None), (StreamStarted(),)),
        (lambda plain: plain.language_of("Hi."), None),
        (lambda plain: plain.segments("Hi.", 7), (("Hi.", 7),)),
        (lambda plain: plain.hangs_up(1), False),
    ],
)
def test_what_a_vendors_file_does_not_say_is_the_plain_case(question, answer):
    assert question(DeepdubOpen()) == answer


# --- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "code", "message", "kind"),
    [
        (DeepdubOpen, "RateLimit", "slow down", RateLimitError),
        (DeepdubOpen, "", "something broke", VendorError),
        (DeepdubOpen, "New", "something broke", VendorError),
        (DeepdubOpen, "", "Invalid API key", AuthError),
        (DeepdubOpen, "RateLimit", "too many for this API key", RateLimitError),
        (SixtydbStt, "INSUFFICIENT_CREDITS", "wallet", QuotaError),
        (SixtydbStt, "", "Unauthorized", AuthError),
        (SixtydbStt, "", "Authentication failed", AuthError),
        (SixtydbStt, "AUTH", "invalid apiKey", AuthError),
    ],
)
def test_a_failure_is_an_error_by_its_code_or_else_by_its_words(dialect, code, message, kind):
    error = dialect().error_of(Failed(None, code, message))
    assert type(error) is kind
    assert (error.vendor, error.code) == (dialect.vendor, code)
    assert str(error) == f"{dialect.vendor}: {message}" + (f" ({code})" if code else "")


def test_a_fault_of_ours_is_its_own_error_and_new_for_each_reader():
    cause = Base64Error("bad", 7)
    first, second = (DeepdubOpen().error_of(Failed(None, "", "", cause=cause)) for _ in range(2))
    assert type(first) is Base64Error and (str(first), first.offset) == ("bad", 7)
    assert first is not second


# --- JSON ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "offset", "words"),
    [
        (b"", 0, "invalid JSON at offset 0"),
        (b"garbage", 0, "invalid JSON at offset 0"),
        (b'{"a": 1', 7, "invalid JSON at offset 7"),
        (b'{"a": 1} x', 9, "invalid JSON at offset 9"),
        (b'{"a" 1}', 5, "invalid JSON at offset 5"),
        ('{"\u00e9\u4f60": }'.encode(), 10, "invalid JSON at offset 10"),
        (b'{"a":NaN}', 5, "invalid JSON at offset 5: NaN and Infinity are not JSON"),
        (b'{"NaN \\" NaN":[1,-Infinity]}', 17, "invalid JSON at offset 17: NaN and Infinity are not JSON"),
        ('{"\u00e9":Infinity}'.encode(), 6, "invalid JSON at offset 6: NaN and Infinity are not JSON"),
        (b'{"a":"\xff"}', 6, "invalid UTF-8 at offset 6"),
        (b'{"a":"\xed\xa0\x80"}', 6, "invalid UTF-8 at offset 6"),
        ("{}".encode("utf-16"), 0, "invalid UTF-8 at offset 0"),
        (b"\xef\xbb\xbf{}", 0, "invalid JSON at offset 0"),
        (b"[1, 2]", 0, "expected a JSON object, got list"),
        (b'"text"', 0, "expected a JSON object, got str"),
        (b"null", 0, "expected a JSON object, got NoneType"),
        (b"[" * 200_000, 0, "nested too deeply"),
        (b'{"a":' * 200_000, 0, "nested too deeply"),
        (b'{"a":' + b"1" * 5000 + b"}", 0, "too many digits"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_json_object_is_refused_with_its_offset(payload, offset, words):
    with pytest.raises(MessageError, match=words) as caught:
        parse_json(payload)
    assert caught.value.offset == offset


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=4))
def test_what_is_dumped_is_parsed_again(message):
    try:
        text = dump_json(message)
    except ConfigurationError:
        assert any(0xD800 <= ord(char) < 0xE000 for char in json.dumps(message, ensure_ascii=False))
        return
    assert parse_json(text.encode()) == message


def fault_of(payload: bytes) -> MessageError | None:
    """Why bytes are no JSON object; None when they are."""
    try:
        assert isinstance(parse_json(payload), dict)
    except MessageError as error:
        return error
    return None


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_typed_error(payload):
    fault = fault_of(payload)
    assert fault is None or 0 <= fault.offset <= len(payload)


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_broken_json_is_located_within_the_message(before, after):
    payload = b'{"key": "' + before + b'", "x": ' + after
    fault = fault_of(payload)
    assert fault is None or 0 <= fault.offset <= len(payload)


@pytest.mark.parametrize(
    "message", [{"a": float("nan")}, {"a": float("inf")}, {"a": b"bytes"}, {"a": {1, 2}}, {"a": "\ud800"}, {(): 1}]
)
def test_what_json_cannot_say_is_refused(message):
    with pytest.raises(ConfigurationError, match="expected what JSON can say"):
        dump_json(message)


def test_json_goes_out_compact_and_in_its_own_script():
    assert dump_json({"t": "\u0633\u0644\u0627\u0645", "n": [1, 2]}) == '{"t":"\u0633\u0644\u0627\u0645","n":[1,2]}'


# --- URLs and names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://h/p", "ws://h/p?k=v%26"),
        ("ws://h/p?a=1", "ws://h/p?a=1&k=v%26"),
        ("ws://h/p?a=&b", "ws://h/p?a=&b=&k=v%26"),
        ("ws://h?a=1", "ws://h?a=1&k=v%26"),
    ],
)
def test_parameters_are_appended_to_the_query(url, expected):
    assert with_query(url, k="v&") == expected


def test_a_vendor_is_found_by_name_kind_and_path():
    assert type(find_dialect("deepdub", "tts")) is DeepdubOpen
    assert type(find_dialect("60db", "stt", "ws://localhost:1/elsewhere")) is SixtydbStt
    assert type(find_dialect("deepdub", "tts", "ws://localhost:1/open?x=y")) is DeepdubOpen
    assert type(find_dialect("deepdub", "tts", "ws://localhost:1/ws?x=y")) is DeepdubWs


def test_a_dialect_is_found_by_its_own_name_too():
    assert type(find_dialect("deepdub-ws", "tts")) is DeepdubWs
    assert type(find_dialect("deepdub-open", "tts")) is DeepdubOpen
    assert type(find_dialect("60db-stt", "stt")) is SixtydbStt
    assert type(find_dialect("deepdub-ws", "tts", "ws://localhost:1/elsewhere")) is DeepdubWs
    with pytest.raises(ConfigurationError, match=r"url: expected the path /ws for deepdub-ws, got /open"):
        find_dialect("deepdub-ws", "tts", "ws://localhost:1/open")
    with pytest.raises(ConfigurationError, match=r"expected one of .* for tts, got '60db-stt'"):
        find_dialect("60db-stt", "tts")


@pytest.mark.parametrize(("vendor", "kind"), [("nobody", "tts"), ("uplift", "stt"), ("deepdub", "stt")])
def test_an_unknown_vendor_is_refused_with_the_known_ones(vendor, kind):
    with pytest.raises(ConfigurationError, match=f"expected one of .* for {kind}, got '{vendor}'"):
        find_dialect(vendor, kind)


def test_what_a_dialect_need_not_say():
    dialect = DeepdubOpen()
    assert dialect.greeting() == () and dialect.started(None) == (StreamStarted(),)
    assert dialect.audio(b"x", None) == vocabulary.SendAudio(b"x") and dialect.trailing_silence(None) == 0.0
    stt = SixtydbStt()
    assert stt.manner(None) == ("en-US", 1.0) and stt.remarks("x", None) == {}
    assert stt.package(b"x", stt.wire_format(SixtydbSttOptions()), 0) == b"x"
