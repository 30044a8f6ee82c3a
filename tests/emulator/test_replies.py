"""What the emulator's language model says: text and tools in, a turn out."""

from __future__ import annotations

import json

import pytest

from voicecore import ConfigurationError
from voicecore.chat import ToolCall
from voicecore.emulator.phrases import PHRASES
from voicecore.emulator.replies import ANSWERS, LlmTurn, parse_script, reply_to, tokens_of

ONE_TEXT = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}


def tool(name: str, parameters: dict | None = None) -> dict:
    return {"type": "function", "function": {"name": name, **({"parameters": parameters} if parameters else {})}}


def asked(text: object, **fields: object) -> dict:
    return {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}], **fields}


@pytest.mark.parametrize("phrase", PHRASES)
def test_every_demo_phrase_has_an_answer_as_heard_and_as_written(phrase):
    written = reply_to(asked(phrase)).content
    assert written == reply_to(asked(phrase.lower().strip(".!?"))).content
    assert written and not written.startswith("You said")
    assert len(set(ANSWERS.values())) == len(PHRASES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anything else.", "You said: Anything else."),
        (
            [{"type": "text", "text": "One"}, {"type": "image_url"}, {"type": "text", "text": "two"}],
            "You said: One two",
        ),
        (None, "You said: "),
    ],
)
def test_everything_else_is_echoed(text, expected):
    assert reply_to(asked(text)).content == expected


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("How is the weather in Paris?", {}, [("get_weather", {"city": "Paris"})]),
        ("How is the weather in Paris and Rome?", {}, [("get_weather", {"city": c}) for c in ("Paris", "Rome")]),
        ("and the weather?", {}, [("get_weather", {"city": "and the weather?"})]),
        ("What time is it?", {}, [("time", {})]),
        ("Hello.", {}, []),
        ("How is the weather in Paris?", {"tool_choice": "none"}, []),
        ("Hello.", {"tool_choice": "required"}, [("get_weather", {"city": "Hello."})]),
        ("Hi.", {"tool_choice": {"type": "function", "function": {"name": "time"}}}, [("time", {})]),
    ],
)
def test_a_tool_is_called_when_its_name_is_said(text, fields, expected):
    turn = reply_to(asked(text, tools=[tool("get_weather", ONE_TEXT), tool("time")], **fields))
    assert [(call.name, json.loads(call.arguments)) for call in turn.tool_calls] == expected
    assert len({call.id for call in turn.tool_calls}) == len(expected)


def test_the_vendors_page_calls_tools_tool():
    assert reply_to(asked("What time is it?", tool=[tool("time")])).tool_calls == (ToolCall("call_0", "time", "{}"),)


def test_a_tools_result_is_answered():
    messages = [{"role": "user", "content": "?"}, {"role": "tool", "content": "sunny", "tool_call_id": "a"}]
    assert reply_to({"messages": messages, "tools": [tool("sunny")]}).content == "The answer is sunny."


@pytest.mark.parametrize("text", ["", "one", " one two\n three ", "  ", "a\u00a0b"])
def test_tokens_are_all_of_the_text(text):
    assert "".join(tokens_of(text)) == text


def test_a_script_as_it_stands_in_a_file():
    script = """[
        {"content": "Hello."},
        {"tool_calls": [{"name": "f", "arguments": {"x": 1}}, {"name": "g", "arguments": "{", "id": "b"}]},
        {"tool_calls": [{"name": "h"}], "indexed": false},
        {"content": "No.", "fault": "http=503", "retry_after": 1.5}
    ]"""
    assert parse_script(script.encode()) == (
        LlmTurn("Hello."),
        LlmTurn(tool_calls=(ToolCall("call_0", "f", '{"x": 1}'), ToolCall("b", "g", "{"))),
        LlmTurn(tool_calls=(ToolCall("call_0", "h", "{}"),), indexed=False),
        LlmTurn("No.", fault="http=503", retry_after=1.5),
    )


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (b"[", "script: expected JSON"),
        (b"\xff", "script: expected JSON"),
        (b"{}", "script: expected a list of turns, got dict"),
        (b'["Hi"]', "turn 0: expected an object, got str"),
        (b'[{}, {"text": "Hi"}]', "turn 1: expected content, tool_calls, .*, got 'text'"),
        (b'[{"content": 1}]', "turn 0: content: got int"),
        (b'[{"tool_calls": [{}]}]', "turn 0: tool call 0: expected an object with a name"),
        (b'[{"fault": "fire"}]', "fault: expected name"),
    ],
)
def test_what_is_no_script_is_refused(script, error):
    with pytest.raises(ConfigurationError, match=error):
        parse_script(script)
