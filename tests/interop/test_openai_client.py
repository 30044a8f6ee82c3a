"""The official openai client, an implementation that shares nothing with ours, pointed at the emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import openai
import pytest
import trio

from voicecore.emulator import Emulator, LlmTurn, Profile, run_emulator
from voicecore.emulator.faults import parse_fault

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
QUESTION = [{"role": "user", "content": "What is the weather in Paris and Rome?"}]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with run_emulator(voice="tone", ears="none") as running:
        yield running


async def ask(emulator: Emulator, script: Callable[[openai.OpenAI], object], key: str = "any") -> object:
    """Runs a script with a client, in a thread: the client is a blocking one."""

    def run() -> object:
        base = emulator.urls["60db-llm"].removesuffix("/chat/completions")
        with openai.OpenAI(api_key=key, base_url=base, max_retries=0, timeout=30) as client:
            return script(client)

    with trio.fail_after(60):
        return await trio.to_thread.run_sync(run, abandon_on_cancel=True)


async def test_a_whole_reply(emulator):
    def script(client: openai.OpenAI) -> object:
        return client.chat.completions.create(
            model="60db-tiny",
            messages=[{"role": "user", "content": "one two"}],
            stream=False,
            extra_body={"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}},
        )

    done = await ask(emulator, script)
    assert (done.object, done.model) == ("chat.completion", "60db-tiny")
    assert done.choices[0].message.content == "You said: one two"
    assert done.choices[0].finish_reason == "stop"
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (2, 4, 6)
    assert done.chat_id
    assert emulator.chat.requests[-1]["chat_template_kwargs"] == {"enable_thinking": False}


async def test_a_streamed_reply(emulator):
    def script(client: openai.OpenAI) -> object:
        return list(
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "one two"}], stream=True)
        )

    chunks = await ask(emulator, script)
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "You said: one two"
    assert [choice.finish_reason for choice in choices][-1] == "stop"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.choices and chunk.usage] == [6]
    assert [chunk.type for chunk in chunks if not chunk.choices] == ["chat_id", "done"]  # the vendor's own events


async def test_the_streaming_helper(emulator):
    def script(client: openai.OpenAI) -> object:
        asked = {"model": "m", "messages": [{"role": "user", "content": "one two"}]}
        with client.chat.completions.stream(**asked) as stream:
            return stream.get_final_completion().choices[0].message.content

    assert await ask(emulator, script) == "You said: one two"


async def test_parallel_calls_are_put_together_by_index(emulator):
    def script(client: openai.OpenAI) -> object:
        calls: dict[int, list[str]] = {}
        stream = client.chat.completions.create(model="m", messages=QUESTION, tools=[WEATHER], stream=True)
        for chunk in stream:
            for choice in chunk.choices or ():
                for piece in choice.delta.tool_calls or ():
                    call = calls.setdefault(piece.index, ["", "", ""])
                    call[0] += piece.id or ""
                    call[1] += piece.function.name or ""
                    call[2] += piece.function.arguments or ""
        return list(calls.values())

    name, cities = "get_weather", ("Paris", "Rome")
    assert await ask(emulator, script) == [
        [f"call_{i}", name, f'{{"city": "{city}"}}'] for i, city in enumerate(cities)
    ]


async def test_tools_and_their_results(emulator):
    def script(client: openai.OpenAI) -> object:
        first = client.chat.completions.create(model="m", messages=QUESTION, tools=[WEATHER], stream=False)
        message = first.choices[0].message
        results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls]
        second = client.chat.completions.create(
            model="m", messages=[*QUESTION, message, *results], tools=[WEATHER], stream=False
        )
        return first.choices[0].finish_reason, len(results), second.choices[0].message.content

    assert await ask(emulator, script) == ("tool_calls", 2, "The answer is sunny.")


def hello(client: openai.OpenAI) -> object:
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=False)


async def test_a_bad_key(emulator):
    with pytest.raises(openai.AuthenticationError, match="Invalid API key"):
        await ask(emulator, hello, key="bad")


@pytest.mark.parametrize(
    ("profile", "kind", "status"),
    [
        (Profile(no_credit=True), openai.APIStatusError, 402),
        (Profile(faults=(parse_fault("http=429"),)), openai.RateLimitError, 429),
        (Profile(faults=(parse_fault("http=500"),)), openai.InternalServerError, 500),
        (Profile(faults=(parse_fault("http=503"),)), openai.InternalServerError, 503),
    ],
)
async def test_errors(profile, kind, status):
    async with run_emulator(profile, voice="tone", ears="none") as emulator:
        with pytest.raises(kind) as caught:
            await ask(emulator, hello)
    assert caught.value.status_code == status


async def test_a_bad_request(emulator):
    def script(client: openai.OpenAI) -> object:
        return client.chat.completions.create(model="m", messages=[], stream=False)

    with pytest.raises(openai.BadRequestError, match="messages"):
        await ask(emulator, script)


async def test_its_own_attempts_find_the_turn_that_works():
    script = (LlmTurn(fault="http=503", retry_after=0.01), LlmTurn("At last."))
    async with run_emulator(Profile(llm_script=script), voice="tone", ears="none") as emulator:
        done = await ask(emulator, lambda client: hello(client.with_options(max_retries=2)))
    assert done.choices[0].message.content == "At last."


async def test_a_truncated_stream_is_an_error(emulator):
    def script(client: openai.OpenAI) -> object:
        return list(client.chat.completions.create(model="m", messages=QUESTION, stream=True))

    async with run_emulator(Profile(faults=(parse_fault("drop@1"),)), voice="tone", ears="none") as broken:
        with pytest.raises(openai.APIConnectionError):
            await ask(broken, script)
