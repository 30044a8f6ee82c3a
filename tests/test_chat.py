"""Chat completions without any I/O: events -> messages -> deltas -> a reply, and the vendor's errors."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import voicecore
from voicecore.chat import (
    DONE,
    MAX_EVENT_BYTES,
    MAX_KEPT_EVENTS,
    MAX_REPLY_BYTES,
    MAX_TOOL_CALLS,
    ChatDelta,
    Events,
    Reply,
    ToolCall,
    ToolCallDelta,
    Usage,
    Whole,
    framing_of,
    refusal,
)
from voicecore.secret import Secret

KEY = Secret("canary-Zx81-key")
TEXT = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]}


def reply() -> Reply:
    return Reply("60db", KEY, frozenset({"chat_id", "done"}))


def told(*messages: object) -> Reply:
    """A reply that was given these messages."""
    got = reply()
    for message in messages:
        got.receive(message if isinstance(message, bytes) else json.dumps(message).encode())
    return got


def delta(**fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": fields}]}


def calls(*wire: dict[str, object]) -> dict[str, object]:
    return delta(tool_calls=list(wire))


def wire_call(name: str = "", arguments: str = "", **fields: object) -> dict[str, object]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value}
    return {**fields, "function": function}


# --- server-sent events ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\r\n\r\ndata:  b\r\r", [b"a", b" b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b": keep alive\n\nevent: x\nid: 7\nretry: 3\ndata: a\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"event: only\n\n\n\n", []),
        (b"data: half", []),
        ("data: \u00fc\n\n".encode(), ["\u00fc".encode()]),
    ],
)
def test_events_wherever_they_are_cut(text, expected):
    for size in (1, 2, 3, len(text)):
        events = Events()
        got = [data for at in range(0, len(text), size) for data in events.receive_data(text[at : at + size])]
        assert got == expected, size


LINES = st.sampled_from([b"data: a", b"data:b", b": c", b"event: d", b"", b"", b"data: [DONE]", b"data"])


@pytest.mark.fault(19, "60db-llm")
@given(st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]))), st.lists(st.integers(0, 200)))
def test_how_a_stream_is_cut_never_changes_its_events(lines, cuts):
    text = b"".join(line + end for line, end in lines)
    whole, cut, at = Events(), Events(), 0
    expected, got = whole.receive_data(text), []
    for stop in [*sorted(stop for stop in cuts if stop < len(text)), len(text)]:
        got += cut.receive_data(text[at:stop])
        at = stop
    assert (got, cut.end()) == (expected, whole.end())


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"data: [DONE]", [DONE]), (b"data: [DONE]\n", [DONE]), (b"data: {}", []), (b"data: [DO", []), (b"", [])],
)
def test_only_an_end_mark_may_lack_its_blank_line(text, expected):
    events = Events()
    assert events.receive_data(text) == []
    assert events.end() == expected


@pytest.mark.fault(11, "60db-llm")
def test_an_event_and_a_reply_have_bounds():
    with pytest.raises(voicecore.ProtocolError, match=str(MAX_EVENT_BYTES)):
        Events().receive_data(b"data: " + b"x" * MAX_EVENT_BYTES)
    lines = Events()
    with pytest.raises(voicecore.ProtocolError):
        for _ in range(20):
            lines.receive_data(b"data: " + b"x" * (MAX_EVENT_BYTES // 16) + b"\n")
    total = Events()
    comment = b": " + b"x" * 2**16 + b"\n\n"
    with pytest.raises(voicecore.ProtocolError, match=str(MAX_REPLY_BYTES)):
        for _ in range(MAX_REPLY_BYTES // 2**16 + 1):
            total.receive_data(comment)
    with pytest.raises(voicecore.ProtocolError, match=str(MAX_REPLY_BYTES)):
        Whole().receive_data(bytes(MAX_REPLY_BYTES + 1))


def test_the_framing_is_what_the_answer_says_it_is():
    assert isinstance(framing_of("60db", "text/event-stream; charset=utf-8"), Events)
    assert isinstance(framing_of("60db", "Application/JSON"), Whole)
    with pytest.raises(voicecore.ProtocolError, match="text/html"):
        framing_of("60db", "text/html")


# --- replies ---------------------------------------------------------------------------------------------


def test_a_reply_is_the_sum_of_its_deltas():
    got = reply()
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9}}
    messages = [{"type": "chat_id", "chat_id": "7"}, TEXT, delta(content=" you", reasoning_content="Hm."), last]
    deltas = [got.receive(json.dumps(message).encode()) for message in messages]
    assert deltas == [
        None,
        ChatDelta("Hi"),
        ChatDelta(" you", "Hm."),
        ChatDelta(finish_reason="stop", usage=Usage(9)),
    ]
    assert (got.content, got.reasoning, got.chat_id, got.id, got.model) == ("Hi you", "Hm.", "7", "c", "m")
    assert not got.done
    assert got.receive(b" [DONE]") is None
    assert got.done
    assert got.receive(b"anything") is None
    assert got.message == {"role": "assistant", "content": "Hi you"}


def test_a_whole_reply_is_read_like_a_streamed_one():
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "b"}]}
    got = told(
        {
            "choices": [{"message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            "chat_id": "x",
            "response_time_ms": 1250,
        }
    )
    assert got.tool_calls == (ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}"))
    assert (got.usage, got.chat_id, got.response_time) == (Usage(1, 2, 3), "x", 1.25)
    assert got.message == {"role": "assistant", "content": None, "tool_calls": message["tool_calls"]}


def test_the_last_event_may_carry_usage_without_choices():
    got = reply()
    assert got.receive(b'{"choices":[],"usage":{"total_tokens":5}}') == ChatDelta(usage=Usage(0, 0, 5))
    assert got.receive(b'{"type":"done","usage":{"total_tokens":6}}') == ChatDelta(usage=Usage(0, 0, 6))
    assert not got.unknown_counts


def test_a_role_alone_is_no_token():
    got = told(delta(role="assistant", content=""), {"choices": [{"delta": {"content": None}, "finish_reason": None}]})
    assert not got.begun


def test_unknown_events_are_kept_and_counted():
    got = told(*[{"type": "mood", "value": n} for n in range(MAX_KEPT_EVENTS + 5)], {"x": 1}, {"type": 3})
    assert got.unknown_counts == {"mood": MAX_KEPT_EVENTS + 5, "untyped": 1, "3": 1}
    assert len(got.unknown_events) == MAX_KEPT_EVENTS
    assert got.unknown_events[-1] == {"type": 3}


def test_other_choices_are_not_mixed_in():
    got = told({"choices": [{"index": 1, "delta": {"content": "no"}}]}, delta(content="yes"))
    assert got.content == "yes"
    assert got.unknown_counts == {"choices": 1}


@pytest.mark.parametrize(
    "message",
    [
        b"{not json",
        b"[]",
        b'"text"',
        b'{"choices":{}}',
        b'{"choices":[{"delta":[]}]}',
        b'{"choices":[{"delta":{"content":["a"]}}]}',
        b'{"choices":[{"delta":{"tool_calls":{}}}]}',
        b'{"choices":[{"delta":{"tool_calls":[3]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":3}}]}}]}',
        b'{"choices":[],"usage":[]}',
        b'{"id":3}',
        b"\xff",
    ],
)
def test_a_malformed_message_is_a_protocol_error_that_does_not_show_it(message):
    with pytest.raises(voicecore.ProtocolError, match="60db: client, waiting for the first token") as caught:
        reply().receive(message)
    assert "not json" not in str(caught.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_value_anywhere_makes_anything_but_our_errors(value):
    for message in (
        dict.fromkeys(("choices", "usage", "id", "chat_id", "response_time_ms", "type"), value),
        {"choices": [{"index": value, "delta": value, "finish_reason": value}]},
        delta(content=value, tool_calls=value),
        calls({"index": value, "id": value, "function": {"name": value, "arguments": value}}),
        {"error": value},
        {"error": {"message": value, "code": value, "type": value}},
    ):
        try:
            told(message)
        except voicecore.VoicecoreError:
            continue


# --- tool calls ------------------------------------------------------------------------------------------

WEATHER, TIME = ToolCall("a", "weather", '{"city":"Rome"}'), ToolCall("b", "time", '{"zone":"CET"}')


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(
            [
                wire_call("weather", index=0, id="a"),
                wire_call("time", index=1, id="b"),
                wire_call(arguments='{"city":', index=0),
                wire_call(arguments='{"zone":', index=1),
                wire_call(arguments='"Rome"}', index=0),
                wire_call(arguments='"CET"}', index=1),
            ],
            id="interleaved, with index",
        ),
        pytest.param(
            [
                wire_call("weather", '{"city":', id="a"),
                wire_call(arguments='"Rome"}'),
                wire_call("time", id="b"),
                wire_call(arguments='{"zone":"CET"}'),
            ],
            id="without index",
        ),
        pytest.param(
            [
                wire_call("weather", '{"city":', id="a"),
                wire_call("time", '{"zone":', id="b"),
                wire_call(arguments='"Rome"}', id="a"),
                wire_call(arguments='"CET"}', id="b"),
            ],
            id="interleaved by id",
        ),
        pytest.param(
            [
                wire_call("weather", '{"city":"Rome"}', index=0, id="a"),
                wire_call("time", '{"zone":', index=0, id="b"),
                wire_call(arguments='"CET"}', index=0),
            ],
            id="index 0 for all",
        ),
        pytest.param(
            [
                wire_call("weather", '{"city":', index=0, id="a"),
                wire_call("weather", '"Rome"}', index=0, id="a"),
                wire_call("time", '{"zone":"CET"}', index=1, id="b"),
            ],
            id="name and id repeated",
        ),
        pytest.param(
            [
                wire_call(arguments='{"city":', index=3),
                wire_call("weather", '"Rome"}', index=3, id="a"),
                wire_call("time", '{"zone":"CET"}', index=9, id="b"),
            ],
            id="name late, indexes with gaps",
        ),
    ],
)
def test_parallel_calls_are_put_together(wire):
    assert told(*map(calls, wire)).tool_calls == (WEATHER, TIME)
    assert told(calls(*wire)).tool_calls == (WEATHER, TIME)


def test_calls_without_ids_are_told_apart_by_their_names_and_get_ids():
    got = told(calls(wire_call("f", "{}")), calls(wire_call("f", '{"x"')), calls(wire_call(arguments=":1}")))
    assert got.tool_calls == (ToolCall("call_0", "f", "{}"), ToolCall("call_1", "f", '{"x":1}'))


def test_a_delta_tells_what_is_new_and_where():
    got = reply()
    first = got.receive(json.dumps(calls(wire_call("f", "{", id="a"))).encode())
    second = got.receive(json.dumps(calls(wire_call("f", "}", id="a"))).encode())
    assert first.tool_calls == (ToolCallDelta(0, "a", "f", "{"),)
    assert second.tool_calls == (ToolCallDelta(0, "", "", "}"),)


def test_arguments_that_come_as_an_object_are_text_again():
    got = told(calls({"id": "a", "function": {"name": "f", "arguments": {"x": "\u00fc"}}}))
    assert got.tool_calls[0].parse() == {"x": "\u00fc"}


def test_arguments_are_parsed_or_refused():
    assert ToolCall("a", "f", "").parse() == {}
    for arguments in ("[1]", '{"x":', "text"):
        with pytest.raises(voicecore.ProtocolError, match="'f'"):
            ToolCall("a", "f", arguments).parse()


def test_there_is_a_most_of_calls():
    with pytest.raises(voicecore.ProtocolError, match=str(MAX_TOOL_CALLS)):
        told(*[calls(wire_call("f", id=str(n))) for n in range(MAX_TOOL_CALLS + 1)])


# --- errors ----------------------------------------------------------------------------------------------


def refused(status: int, body: object = b"", **headers: str) -> voicecore.VoicecoreError:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal("60db", "https://x/y", status, named, text, KEY)


@pytest.mark.fault(30, "60db-llm")
@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, voicecore.InvalidRequestError, False),
        (401, voicecore.AuthError, False),
        (402, voicecore.QuotaError, False),
        (403, voicecore.AuthError, False),
        (404, voicecore.InvalidRequestError, False),
        (408, voicecore.VendorUnavailableError, True),
        (422, voicecore.InvalidRequestError, False),
        (429, voicecore.RateLimitError, True),
        (500, voicecore.VendorUnavailableError, True),
        (503, voicecore.VendorUnavailableError, True),
        (307, voicecore.ConnectionFailedError, False),
    ],
)
def test_a_status_has_its_error(status, kind, retryable):
    error = refused(status)
    assert (type(error), error.retryable) == (kind, retryable)
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("body", "shown", "code"),
    [
        ({"error": {"message": "No\n credit", "code": "X"}}, "60db: HTTP 400: No credit", "X"),
        ({"error": "no", "error_code": "E1"}, "60db: HTTP 400: no", "E1"),
        ({"message": "no", "success": False}, "60db: HTTP 400: no", "400"),
        ({"detail": [{"loc": 1}]}, '60db: HTTP 400: [{"loc": 1}]', "400"),
        (b"plain words", "60db: HTTP 400: plain words", "400"),
        (b"<html>gateway</html>", "60db: HTTP 400", "400"),
        (b"\xff\xfe", "60db: HTTP 400: \ufffd\ufffd", "400"),
    ],
)
def test_the_vendors_words_are_shown(body, shown, code):
    error = refused(400, body)
    assert (str(error), error.code) == (shown, code)


@pytest.mark.fault(20, "60db-llm")
def test_an_echoed_key_and_long_words_are_not_shown():
    error = refused(401, {"error": {"message": f"bad key {KEY.reveal()} " + "x" * 1000, "code": KEY.reveal()}})
    assert KEY.reveal() not in str(error) + error.code
    assert len(str(error)) < 400
    with pytest.raises(voicecore.VendorError) as caught:
        told({"error": {"message": f"bad key {KEY.reveal()}"}})
    assert str(caught.value) == "60db: bad key ***"


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:57 GMT", "date": DATE}, 20.0),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:07 GMT", "date": DATE}, 0.0),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:57 GMT"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "1e400"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert refused(429, **headers).retry_after == seconds


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"error": {"message": "x", "type": "rate_limit_error"}}, voicecore.RateLimitError),
        ({"error": {"message": "x", "code": "insufficient_quota"}}, voicecore.QuotaError),
        ({"error": {"message": "x", "code": 429}}, voicecore.RateLimitError),
        ({"error": {"message": "x", "code": 400}}, voicecore.InvalidRequestError),
        ({"error": "worker died"}, voicecore.VendorUnavailableError),
        ({"type": "error", "message": "worker died"}, voicecore.VendorUnavailableError),
        ({"type": "error", "error": "x", "error_code": "INSUFFICIENT_CREDITS"}, voicecore.QuotaError),
    ],
)
def test_an_error_in_the_stream_keeps_what_came_before(message, kind):
    got = told(TEXT)
    with pytest.raises(kind) as caught:
        got.receive(json.dumps(message).encode())
    assert type(caught.value) is kind
    assert got.content == "Hi"


def test_a_reply_without_a_word_is_still_a_message_of_the_history():
    assert told(delta(role="assistant")).message == {"role": "assistant", "content": ""}
