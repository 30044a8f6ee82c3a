"""60db chat completions: options and messages in, the vendor's request out."""

from __future__ import annotations

import json

import pytest

import voicecore
from voicecore import SixtydbChatOptions
from voicecore.vendors.sixtydb.llm import request_body

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}


def body(messages=HI, tools=(), *, stream=True, **options):
    return json.loads(request_body(messages, tools, SixtydbChatOptions(**options), stream=stream))


def test_the_vendors_own_example():
    """The page's first example, field by field."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "How are you? How can I improve my English communication?"},
    ]
    assert body(messages, top_k=20, enable_thinking=False) == {
        "model": "60db-tiny",
        "messages": messages,
        "top_k": 20,
        "chat_template_kwargs": {"enable_thinking": False},
        "stream": True,
    }


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, {}),
        ({"temperature": 0, "top_p": 1, "max_tokens": 5}, {"temperature": 0, "top_p": 1, "max_tokens": 5}),
        (
            {"chat_template_kwargs": {"a": 1}, "enable_thinking": True},
            {"chat_template_kwargs": {"a": 1, "enable_thinking": True}},
        ),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"parallel_tool_calls": False, "save_chat": False}, {"parallel_tool_calls": False, "save_chat": False}),
        ({"chat_id": "7"}, {"chat_id": "7"}),
        ({"extra": {"stop": ["x"]}}, {"stop": ["x"]}),
    ],
)
def test_only_what_is_set_is_sent(options, fields):
    assert body(**options) == {"model": "60db-tiny", "messages": HI, "stream": True, **fields}


def test_tools_are_sent_under_the_common_name():
    assert body(tools=[TOOL], stream=False) == {"model": "60db-tiny", "messages": HI, "stream": False, "tools": [TOOL]}


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("model", ""),
        ("model", None),
        ("temperature", 2.1),
        ("temperature", True),
        ("top_p", -0.1),
        ("top_k", 0),
        ("top_k", 1.5),
        ("max_tokens", 0),
        ("enable_thinking", 1),
        ("save_chat", "no"),
        ("parallel_tool_calls", 0),
        ("tool_choice", {"type": "function"}),
        ("chat_id", 7),
        ("chat_template_kwargs", [1]),
        ("extra", None),
        ("extra", {"messages": []}),
        ("extra", {"model": "x"}),
        ("extra", {"stream": False}),
    ],
)
def test_an_option_outside_its_range_is_refused_by_name(option, wrong):
    with pytest.raises(voicecore.ConfigurationError, match=option):
        SixtydbChatOptions(**{option: wrong})
