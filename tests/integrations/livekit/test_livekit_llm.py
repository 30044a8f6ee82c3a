"""Chat: deltas, tool calls, usage and errors."""

from __future__ import annotations

import asyncio

import pytest
from emulated import run_emulator, run_proxy
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, APITimeoutError, llm
from livekit.plugins._60db import LLM
from talk import ONCE, QUICK


def chat_about(text: str) -> llm.ChatContext:
    chat = llm.ChatContext()
    chat.add_message(role="system", content="You are a helpful assistant.")
    chat.add_message(role="user", content=text)
    return chat


@llm.function_tool
async def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"Sunny in {city}."


async def test_deltas_then_usage(urls):
    measured = []
    async with LLM(api_key="k", ws_url=urls["60db-llm"]) as model:
        model.on("metrics_collected", measured.append)
        async with model.chat(chat_ctx=chat_about("What a day")) as stream:
            chunks = [chunk async for chunk in stream]
    *said, last = chunks
    assert [chunk.delta.content for chunk in said] == ["You", " said:", " What", " a", " day"]
    assert {chunk.delta.role for chunk in said} == {"assistant"}
    assert len({chunk.id for chunk in chunks}) == 1 and chunks[0].id
    assert last.usage.completion_tokens == 5 and last.usage.total_tokens == last.usage.prompt_tokens + 5
    assert measured[0].total_tokens == last.usage.total_tokens and measured[0].ttft > 0
    assert measured[0].metadata.model_name == "qcall/slm-3b-int4"


async def test_parallel_tool_calls_are_whole(urls):
    async with LLM(api_key="k", ws_url=urls["60db-llm"]) as model:
        answer = await model.chat(
            chat_ctx=chat_about("Tell me the weather of Paris and London"), tools=[get_weather]
        ).collect()
        assert [(call.name, call.arguments) for call in answer.tool_calls] == [
            ("get_weather", '{"city": "Paris"}'),
            ("get_weather", '{"city": "London"}'),
        ]
        assert len({call.call_id for call in answer.tool_calls}) == 2
        chat = chat_about("Tell me the weather of Paris")
        executed = await llm.execute_function_call(answer.tool_calls[0], llm.ToolContext([get_weather]))
        chat.insert(executed.fnc_call)
        chat.insert(executed.fnc_call_out)
        assert (await model.chat(chat_ctx=chat, tools=[get_weather]).collect()).text == "The answer is Sunny in Paris.."


@pytest.mark.parametrize(
    ("choice", "calls"),
    [("none", 0), ("required", 1), ({"type": "function", "function": {"name": "get_weather"}}, 1)],
    ids=str,
)
async def test_tool_choice(urls, choice, calls):
    async with LLM(api_key="k", ws_url=urls["60db-llm"]) as model:
        stream = model.chat(
            chat_ctx=chat_about("Good day"), tools=[get_weather], tool_choice=choice, parallel_tool_calls=True
        )
        assert len((await stream.collect()).tool_calls) == calls


async def test_extra_arguments_are_options_or_sent_as_they_are():
    model = LLM(api_key="k", top_k=5, chat_template_kwargs={"enable_thinking": False})
    stream = model.chat(chat_ctx=chat_about("Hello"), extra_kwargs={"temperature": 0.5, "seed": 7})
    fields = {**stream._options.fields(), **stream._options.extra}
    assert (fields["top_k"], fields["temperature"], fields["seed"]) == (5, 0.5, 7)
    assert fields["chat_template_kwargs"] == {"enable_thinking": False}
    await stream.aclose()
    for refused in ({"temperature": 9}, {"messages": []}):
        with pytest.raises(ValueError, match=r"temperature|messages"):
            model.chat(chat_ctx=chat_about("Hello"), extra_kwargs=refused)
    await model.aclose()


async def test_one_connection_for_one_after_another(urls):
    async with run_proxy(urls["60db-llm"]) as proxy, LLM(api_key="k", ws_url=proxy.url) as model:
        model.prewarm()
        for _ in range(3):
            assert (await model.chat(chat_ctx=chat_about("Hello")).collect()).text
        assert proxy.opened == 1


async def test_a_reply_that_is_left_leaves_nothing():
    with run_emulator("--llm-token-seconds", "0.05") as slow:
        async with LLM(api_key="k", ws_url=slow["60db-llm"]) as model:
            async with model.chat(chat_ctx=chat_about("a b c d e f g h i j k l m n")) as stream:
                await anext(stream)
            stream = model.chat(chat_ctx=chat_about("a b c d e f"))
            await anext(stream)
            await model.aclose()
            assert [chunk async for chunk in stream] == []


# --- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "status", "attempts"),
    [
        (("--fault", "http=429"), 429, 3),
        (("--fault", "http=503"), 503, 3),
        (("--fault", "http=500"), 503, 3),
        (("--no-credit",), 402, 1),
    ],
)
async def test_refusals_have_their_status_and_those_that_may_pass_are_tried_again(flags, status, attempts):
    failures = []
    with run_emulator(*flags) as faulty:
        async with LLM(api_key="k", ws_url=faulty["60db-llm"]) as model:
            model.on("error", failures.append)
            with pytest.raises((APIStatusError, APIConnectionError)) as caught:
                await model.chat(chat_ctx=chat_about("Hello"), conn_options=QUICK).collect()
    cause = caught.value if isinstance(caught.value, APIStatusError) else caught.value.__cause__
    assert cause.status_code == status
    assert len(failures) == attempts and not failures[-1].recoverable


async def test_a_refused_key_is_not_tried_again(urls):
    failures = []
    async with LLM(api_key="bad-key", ws_url=urls["60db-llm"]) as model:
        model.on("error", failures.append)
        with pytest.raises(APIStatusError) as caught:
            await model.chat(chat_ctx=chat_about("Hello"), conn_options=QUICK).collect()
    assert caught.value.status_code == 401 and len(failures) == 1


async def test_nothing_is_asked_again_after_the_first_word():
    heard = []
    with run_emulator("--fault", "drop@2") as faulty:
        async with run_proxy(faulty["60db-llm"]) as proxy, LLM(api_key="k", ws_url=proxy.url) as model:
            with pytest.raises(APIConnectionError):
                async with model.chat(chat_ctx=chat_about("one two three four"), conn_options=QUICK) as stream:
                    async for chunk in stream:
                        heard.append(chunk.delta.content)
            assert proxy.opened == 1
    assert heard


async def test_a_slow_model_is_a_timeout():
    with run_emulator("--llm-token-seconds", "5") as slow:
        async with LLM(api_key="k", ws_url=slow["60db-llm"]) as model:
            with pytest.raises(APITimeoutError, match="first_token"):
                timeout = APIConnectOptions(max_retry=0, timeout=0.2)
                await model.chat(chat_ctx=chat_about("Hello"), conn_options=timeout).collect()


async def test_what_cannot_be_reached():
    async with LLM(api_key="k", ws_url="http://127.0.0.1:9/v1/chat/completions") as model:
        with pytest.raises(APIConnectionError):
            await model.chat(chat_ctx=chat_about("Hello"), conn_options=ONCE).collect()
        await asyncio.sleep(0)
