"""The chat client against scripted servers, through memory, on a virtual clock: no socket, no sleep."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from support.memory_http import MemoryTransport, Server, event, finished, said

import voicecore
from voicecore import ChatDeadlines, Reconnect, SixtydbChatOptions
from voicecore.emulator import LlmTurn, Profile, run_emulator
from voicecore.emulator.faults import parse_fault

URL = "http://localhost/v1/chat/completions"
ONCE = Reconnect(attempts=0)
Script = Callable[[Server], Awaitable[None]]


@pytest.fixture
async def vendor(nursery: trio.Nursery):
    """Makes a transport whose n-th connection runs the n-th script, the last again and again."""

    def play(*scripts: Script) -> MemoryTransport:
        opened = 0

        async def open_stream(url: str, _: object) -> trio.abc.Stream:
            nonlocal opened
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(serve, scripts[min(opened, len(scripts) - 1)], theirs)
            opened += 1
            transport.opened = opened
            await trio.lowlevel.checkpoint()
            return ours

        transport = MemoryTransport(open_stream)
        transport.opened = 0
        return transport

    async def serve(script: Script, stream: trio.abc.Stream) -> None:
        server = Server(stream)
        try:
            await script(server)
        except trio.BrokenResourceError:
            return
        finally:
            await trio.aclose_forcefully(stream)

    return play


def connect(transport, **arguments):
    return voicecore.connect_llm("60db", api_key="k", url=URL, transport=transport, **arguments)


async def reply_of(transport, **arguments):
    """The finished reply to one message."""
    async with connect(transport, **arguments) as llm, llm.chat("Hello") as reply:
        await reply.read()
    return reply


async def greets(server: Server) -> None:
    while True:
        await server.request()
        await server.reply(["Hello", " there"])


async def silence(server: Server) -> None:
    await server.request()
    await server.client_left()


def refuses(status: int, body: object = "", **headers: str) -> Script:
    async def script(server: Server) -> None:
        await server.request()
        await server.refuse(status, body, connection="close", **headers)

    return script


# --- replies ---------------------------------------------------------------------------------------------


async def test_a_reply_comes_delta_by_delta(vendor, autojump_clock):
    heard = SimpleNamespace()

    async def script(server: Server) -> None:
        heard.body = await server.request()
        heard.headers = server.headers
        await server.head()
        await server.events({"type": "chat_id", "chat_id": "7"}, {"type": "mood"})
        for word in ("Hello", " there"):
            await trio.sleep(1)
            await server.events(said(word))
        await server.events(finished(), "[DONE]")
        await server.end()

    options = SixtydbChatOptions(temperature=0.5, top_k=20, enable_thinking=False)
    async with connect(vendor(script), options=options) as llm:
        async with llm.chat([{"role": "user", "content": "Hi"}]) as reply:
            got = [(delta.content, delta.finish_reason) async for delta in reply]
    assert got == [("Hello", None), (" there", None), ("", "stop")]
    assert (reply.content, reply.chat_id, reply.finish_reason) == ("Hello there", "7", "stop")
    assert reply.usage == voicecore.Usage(3, 2, 5)
    assert reply.unknown_counts == {"mood": 1}
    assert (reply.metrics.ttft, reply.metrics.duration, reply.metrics.attempts) == (1.0, 2.0, 1)
    assert heard.headers["authorization"] == "Bearer k"
    assert heard.body == {
        "model": "60db-tiny",
        "temperature": 0.5,
        "top_k": 20,
        "chat_template_kwargs": {"enable_thinking": False},
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }


async def test_a_whole_reply_is_one_delta(vendor, autojump_clock):
    choice = {"message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}
    async with connect(vendor(refuses(200, {"choices": [choice], "response_time_ms": 20}))) as llm:
        async with llm.chat("Hi", stream=False) as reply:
            assert [delta.content async for delta in reply] == ["Hello there"]
    assert reply.response_time == 0.02


async def test_a_server_may_answer_in_the_form_that_was_not_asked_for(vendor, autojump_clock):
    async with connect(vendor(greets)) as llm, llm.chat("Hi", stream=False) as reply:
        assert await reply.read() == "Hello there"


@pytest.mark.fault(15, "60db-llm")
async def test_one_connection_serves_chat_after_chat_and_one_left_early_is_not_used_again(vendor, autojump_clock):
    async def slow(server: Server) -> None:
        while True:
            await server.request()
            await server.head()
            await server.events(said("Hello"))
            await trio.sleep(1)
            await server.events(finished(), "[DONE]")
            await server.end()

    transport = vendor(slow)
    async with connect(transport) as llm:
        for _ in range(3):
            async with llm.chat("Hi") as reply:
                assert await reply.read() == "Hello"
        assert transport.opened == 1
        async with llm.chat("Hi") as reply:
            async for _ in reply:
                break
        async with llm.chat("Hi") as reply:
            await reply.read()
        assert transport.opened == 2


async def test_many_chats_at_once(vendor, autojump_clock):
    async def echo(server: Server) -> None:
        while True:
            said_to_it = (await server.request())["messages"][0]["content"]
            await trio.sleep(1)
            await server.reply([said_to_it, "!"])

    got: dict[int, str] = {}

    async def ask(number: int) -> None:
        async with llm.chat(str(number)) as reply:
            got[number] = await reply.read()

    async with connect(vendor(echo)) as llm, trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(ask, number)
    assert got == {number: f"{number}!" for number in range(50)}


async def test_a_conversation_with_parallel_tools(autojump_clock):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]
    messages: list[dict[str, object]] = [{"role": "user", "content": "What is the weather in Paris and Rome?"}]
    async with run_emulator(voice="tone", ears="none") as emulator:
        async with connect(MemoryTransport(emulator.open_stream)) as llm:
            async with llm.chat(messages, tools=tools) as reply:
                pieces = [call.arguments async for delta in reply for call in delta.tool_calls]
            assert [call.parse() for call in reply.tool_calls] == [{"city": "Paris"}, {"city": "Rome"}]
            assert "".join(pieces) == "".join(call.arguments for call in reply.tool_calls)
            assert reply.finish_reason == "tool_calls"
            messages.append(reply.message)
            messages += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in reply.tool_calls]
            async with llm.chat(messages, tools=tools) as reply:
                assert await reply.read() == "The answer is sunny."
        assert emulator.chat.requests[-1]["messages"] == messages


async def test_a_long_history_goes_through_the_emulators_front_door(autojump_clock):
    text = "word " * 100_000
    async with run_emulator(voice="tone", ears="none") as emulator:
        async with connect(MemoryTransport(emulator.open_stream)) as llm, llm.chat(text, stream=False) as reply:
            assert await reply.read() == f"You said: {text}"


# --- deadlines -------------------------------------------------------------------------------------------


async def late(transport, deadlines: ChatDeadlines, *, stream: bool = True) -> tuple[str, float, float]:
    """The deadline that passed, its length, and the seconds until then."""
    began = trio.current_time()
    with pytest.raises(voicecore.DeadlineError) as caught:
        async with connect(transport, deadlines=deadlines, retry=ONCE) as llm:
            async with llm.chat("Hi", stream=stream) as reply:
                await reply.read()
    assert f"deadline {caught.value.deadline}" in str(caught.value)
    return caught.value.deadline, caught.value.seconds, round(trio.current_time() - began, 6)


async def test_deadline_connect(autojump_clock):
    async def open_stream(url: str, _: object) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    assert await late(MemoryTransport(open_stream), ChatDeadlines(connect=4)) == ("connect", 4, 4)


@pytest.mark.fault(7, "60db-llm")
async def test_deadline_first_token_with_no_answer_at_all(vendor, autojump_clock):
    assert await late(vendor(silence), ChatDeadlines(first_token=5)) == ("first_token", 5, 5)


async def test_deadline_first_token_is_not_moved_by_what_is_no_token(vendor, autojump_clock):
    async def script(server: Server) -> None:
        await server.request()
        await server.head()
        await server.events({"type": "chat_id", "chat_id": "7"})
        while True:
            await server.data(": thinking\n\n")
            await trio.sleep(1)

    assert await late(vendor(script), ChatDeadlines(first_token=5.5)) == ("first_token", 5.5, 5.5)


@pytest.mark.fault(7, "60db-llm")
@pytest.mark.fault(8, "60db-llm")
async def test_deadline_between_chunks(vendor, autojump_clock):
    async def script(server: Server) -> None:
        await server.request()
        await server.head()
        for _ in range(4):
            await trio.sleep(2)
            await server.events(said("a"))
        await server.client_left()

    assert await late(vendor(script), ChatDeadlines(between_chunks=3)) == ("between_chunks", 3, 11)


@pytest.mark.fault(7, "60db-llm")
async def test_deadline_total(vendor, autojump_clock):
    async def script(server: Server) -> None:
        await server.request()
        await server.head()
        while True:
            await server.events(said("a"))
            await trio.sleep(1)

    assert await late(vendor(script), ChatDeadlines(total=7.5)) == ("total", 7.5, 7.5)


async def test_a_whole_reply_has_the_total_deadline_only(vendor, autojump_clock):
    deadlines = ChatDeadlines(first_token=1, between_chunks=1, total=9)
    assert await late(vendor(silence), deadlines, stream=False) == ("total", 9, 9)


@pytest.mark.fault(10, "60db-llm")
async def test_a_slow_consumer_misses_no_deadline(vendor, autojump_clock):
    async def script(server: Server) -> None:
        await server.request()
        await server.head()
        for word in ("a", "b", "c"):
            await trio.sleep(1)
            await server.events(said(word))
        await server.events(finished(), "[DONE]")
        await server.end()

    deadlines = ChatDeadlines(first_token=3, between_chunks=2)
    async with connect(vendor(script), deadlines=deadlines) as llm, llm.chat("Hi") as reply:
        await trio.sleep(50)
        async for _ in reply:
            await trio.sleep(10)
    assert reply.content == "abc"


# --- errors and attempts ---------------------------------------------------------------------------------


@pytest.mark.fault(6, "60db-llm")
async def test_a_refused_request_is_sent_again_when_the_vendor_says(vendor, autojump_clock):
    transport = vendor(refuses(503, retry_after="3"), refuses(429, retry_after="4"), greets)
    began = trio.current_time()
    reply = await reply_of(transport)
    assert (reply.content, reply.metrics.attempts) == ("Hello there", 3)
    assert 7.0 <= trio.current_time() - began <= 7.75


@pytest.mark.fault(2, "60db-llm")
@pytest.mark.fault(3, "60db-llm")
async def test_attempts_end(vendor, autojump_clock):
    transport = vendor(refuses(500, {"error": {"message": "worker died"}}))
    with pytest.raises(voicecore.VendorUnavailableError, match="worker died"):
        await reply_of(transport, retry=Reconnect(attempts=3))
    assert transport.opened == 4


@pytest.mark.fault(1, "60db-llm")
@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, voicecore.AuthError), (402, voicecore.QuotaError), (404, voicecore.InvalidRequestError)],
)
async def test_what_cannot_change_is_not_tried_again(vendor, autojump_clock, status, kind):
    transport = vendor(refuses(status), greets)
    with pytest.raises(kind):
        await reply_of(transport)
    assert transport.opened == 1


async def test_a_refusal_that_is_cut_off_is_still_a_refusal(vendor, autojump_clock):
    async def script(server: Server) -> None:
        await server.request()
        await server.head(401, "application/json", content_length="100")
        await server.data('{"error":')

    with pytest.raises(voicecore.AuthError, match="401"):
        await reply_of(vendor(script))


async def test_a_refusal_without_end_is_read_no_further(vendor, autojump_clock):
    async def script(server: Server) -> None:
        await server.request()
        await server.head(400, "text/plain")
        while True:
            await server.data("no " * 10_000)
            await trio.sleep(0.1)

    began = trio.current_time()
    with pytest.raises(voicecore.InvalidRequestError, match="400: no no"):
        await reply_of(vendor(script))
    assert trio.current_time() - began < 1


async def test_nobody_waits_longer_than_the_whole_may_take(vendor, autojump_clock):
    began = trio.current_time()
    with pytest.raises(voicecore.RateLimitError) as caught:
        await reply_of(vendor(refuses(429, retry_after="60")), deadlines=ChatDeadlines(total=30))
    assert caught.value.retry_after == 60
    assert trio.current_time() == began


async def test_a_redirect_is_not_followed(vendor, autojump_clock):
    transport = vendor(refuses(307, location="http://elsewhere.example/"))
    with pytest.raises(voicecore.ConnectionFailedError, match="307"):
        await reply_of(transport)
    assert transport.opened == 1


async def lost_before_a_token(server: Server) -> None:
    await server.request()
    await server.head()
    await server.events({"type": "chat_id", "chat_id": "lost"})


async def lost_at_once(server: Server) -> None:
    await server.request()


async def fails_before_a_token(server: Server) -> None:
    await server.request()
    await server.head()
    await server.events({"error": {"message": "no worker", "code": 503}})


@pytest.mark.fault(17, "60db-llm")
@pytest.mark.parametrize("first", [lost_before_a_token, lost_at_once, fails_before_a_token])
async def test_a_reply_that_did_not_begin_is_asked_for_again(vendor, autojump_clock, first):
    transport = vendor(first, greets)
    reply = await reply_of(transport)
    assert (reply.content, reply.chat_id, transport.opened) == ("Hello there", None, 2)


@pytest.mark.fault(4, "60db-llm")
@pytest.mark.fault(9, "60db-llm")
@pytest.mark.fault(29, "60db-llm")
async def test_a_kept_connection_that_the_server_dropped_is_replaced(vendor, autojump_clock):
    async def once(server: Server) -> None:
        await server.request()
        await server.reply(["one"])

    transport = vendor(once)
    async with connect(transport) as llm:
        for _ in range(2):
            async with llm.chat("Hi") as reply:
                assert await reply.read() == "one"
    assert transport.opened == 2


async def spoiled(
    vendor, ending: Callable[[Server], Awaitable[None]], kind: type[Exception]
) -> voicecore.llm.ChatStream:
    """A reply of which "Hello there" came before `ending`; it is an error of this kind, and asked for once."""

    async def script(server: Server) -> None:
        await server.request()
        await server.head()
        await server.events(said("Hello"), said(" there"))
        await ending(server)

    transport, got = vendor(script), []
    async with connect(transport) as llm, llm.chat("Hi") as reply:
        for _ in range(2):  # the error stays
            with pytest.raises(kind) as caught:
                async for delta in reply:
                    got.append(delta.content)
            assert type(caught.value) is kind
    assert got == ["Hello", " there"]
    assert (reply.content, transport.opened) == ("Hello there", 1)


@pytest.mark.fault(6, "60db-llm")
@pytest.mark.fault(17, "60db-llm")
async def test_a_stream_without_its_end_mark_is_lost_and_what_came_is_kept(vendor, autojump_clock):
    async def tidy(server: Server) -> None:
        await server.events(finished())
        await server.end()

    async def cut(server: Server) -> None:
        await server.data(event(said(" and more"))[:-5])

    for ending in (Server.end, cut):
        await spoiled(vendor, ending, voicecore.ConnectionLostError)

    transport, deltas = vendor(lambda server: _tidy(server, tidy)), []
    async with connect(transport) as llm, llm.chat("Hi") as reply:
        with pytest.raises(voicecore.ConnectionLostError, match="end mark"):
            deltas += [delta async for delta in reply]
    assert reply.finish_reason == "stop"


async def _tidy(server: Server, ending: Script) -> None:
    await server.request()
    await server.head()
    await ending(server)


@pytest.mark.fault(30, "60db-llm")
async def test_garbage_in_the_stream(vendor, autojump_clock):
    async def json(server: Server) -> None:
        await server.events("{not json")
        await server.client_left()

    async def http(server: Server) -> None:
        await server.stream.send_all(b"zz\r\nwhat?")
        await server.client_left()

    await spoiled(vendor, json, voicecore.ProtocolError)
    await spoiled(vendor, http, voicecore.ConnectionLostError)


async def test_an_error_in_the_stream(vendor, autojump_clock):
    async def overloaded(server: Server) -> None:
        await server.events({"error": {"message": "slow down", "type": "rate_limit_error"}})
        await server.client_left()

    await spoiled(vendor, overloaded, voicecore.RateLimitError)


async def test_a_page_is_no_reply(vendor, autojump_clock):
    async def portal(server: Server) -> None:
        await server.request()
        await server.head(200, "text/html")
        await server.end()

    with pytest.raises(voicecore.ProtocolError, match="text/html"):
        await reply_of(vendor(portal))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("http=401", voicecore.AuthError),
        ("http=402", voicecore.QuotaError),
        ("http=418", voicecore.InvalidRequestError),
        ("http=429", voicecore.RateLimitError),
        ("http=500", voicecore.VendorUnavailableError),
        ("http=503", voicecore.VendorUnavailableError),
        ("drop", voicecore.ConnectionLostError),
        ("drop@2", voicecore.ConnectionLostError),
        ("unended", voicecore.ConnectionLostError),
        ("garbage", voicecore.ProtocolError),
        ("truncate@1", voicecore.ProtocolError),
        ("error@1", voicecore.VendorUnavailableError),
        ("stall", voicecore.DeadlineError),
        ("stall@2", voicecore.DeadlineError),
        ("slow=21", voicecore.DeadlineError),
        ("late=31", voicecore.DeadlineError),
    ],
)
async def test_the_emulators_faults_are_seen_as_what_they_are(autojump_clock, fault, kind):
    profiles = Profile(faults=(parse_fault(fault),)), Profile(llm_script=(LlmTurn("One two three.", fault=fault),))
    for profile in profiles:  # everybody's fault, and one turn's
        async with run_emulator(profile, voice="tone", ears="none") as emulator:
            with pytest.raises(kind) as caught:
                await reply_of(MemoryTransport(emulator.open_stream), retry=ONCE)
            assert type(caught.value) is kind


@pytest.mark.parametrize("fault", ["late=3", "slow=3", "duplicate", "close=1011", "http=503@1"])
async def test_a_fault_that_does_no_harm_to_a_chat(autojump_clock, fault):
    async with run_emulator(Profile(faults=(parse_fault(fault),)), voice="tone", ears="none") as emulator:
        reply = await reply_of(MemoryTransport(emulator.open_stream), retry=Reconnect(attempts=1))
    assert reply.content == "You said: Hello"
    assert reply.metrics.attempts == (2 if fault.startswith("http") else 1)
    seconds = {"late=3": 3, "slow=3": 9}.get(fault)
    assert seconds is None or reply.metrics.duration == pytest.approx(seconds, abs=0.01)


async def test_the_emulators_script_may_fail_first(autojump_clock):
    script = (LlmTurn(fault="http=503", retry_after=2), LlmTurn("At last."))
    async with run_emulator(Profile(llm_script=script), voice="tone", ears="none") as emulator:
        reply = await reply_of(MemoryTransport(emulator.open_stream))
    assert (reply.content, reply.metrics.attempts) == ("At last.", 2)


# --- cancelling ------------------------------------------------------------------------------------------


async def test_leaving_early_closes_the_connection(vendor, autojump_clock):
    left = trio.Event()

    async def script(server: Server) -> None:
        await server.request()
        await server.head()
        await server.events(said("a"))
        await server.client_left()
        left.set()

    async with connect(vendor(script)) as llm:
        async with llm.chat("Hi") as reply:
            async for _ in reply:
                break
        with trio.fail_after(1):
            await left.wait()
        with pytest.raises(voicecore.StateError):
            await anext(reply)


@pytest.mark.fault(14, "60db-llm")
async def test_nothing_is_left_wherever_it_is_cancelled(autojump_clock):
    opened: list[trio.abc.Stream] = []

    async def open_stream(url: str, context: object) -> trio.abc.Stream:
        await trio.sleep(0.1)
        opened.append(await emulator.open_stream(url))
        return opened[-1]

    async def road() -> None:
        async with connect(MemoryTransport(open_stream)) as llm:
            for stream in (True, False):
                async with llm.chat("one two three", stream=stream) as reply:
                    await reply.read()

    profile = Profile(llm_token_seconds=0.1)
    async with run_emulator(profile, voice="tone", ears="none") as emulator:
        began = trio.current_time()
        await road()
        length = trio.current_time() - began
        await trio.sleep(1)
        tasks = trio.lowlevel.current_statistics().tasks_living
        for step in range(int(length * 50) + 1):
            opened.clear()
            with trio.move_on_after(step / 50) as scope:
                await road()
            assert scope.cancelled_caught or step / 50 >= length
            for stream in opened:
                with pytest.raises(trio.ClosedResourceError):
                    await stream.send_all(b"x")
            await trio.sleep(1)  # the emulator finds out when it sends its next token
            assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_a_chat_is_entered_once_and_read_inside_its_block(vendor, autojump_clock):
    async with connect(vendor(greets)) as llm:
        reply = llm.chat("Hi")
        with pytest.raises(voicecore.StateError):
            await anext(reply)
        async with reply:
            await reply.read()
        with pytest.raises(voicecore.StateError):
            async with reply:
                pass


# --- at construction -------------------------------------------------------------------------------------


def test_a_missing_key_names_its_variable_at_construction():
    with pytest.raises(ValueError, match="SIXTY_DB_API_KEY"):
        voicecore.connect_llm("60db")


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "ws://localhost/v1"},
        {"url": "http:///v1"},
        {"url": "http://example.com/v1/chat/completions"},
        {"url": "https://user:sekrit@example.com/v1"},
        {"url": "https://example.com/v1?key=sekrit"},
        {"api_key": "two words"},
        {"options": voicecore.SixtydbSttOptions()},
        {"vendor": "deepdub"},
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments):
    with pytest.raises(voicecore.ConfigurationError) as caught:
        voicecore.connect_llm(**({"vendor": "60db", "api_key": "sekrit"} | arguments))
    assert "sekrit" not in str(caught.value)


def test_the_environment_is_read_and_an_argument_beats_it(monkeypatch):
    monkeypatch.setenv("SIXTY_DB_API_KEY", "k")
    monkeypatch.setenv("SIXTY_DB_LLM_URL", "ws://wrong.example/v1")
    with pytest.raises(voicecore.ConfigurationError, match=r"wrong\.example"):
        voicecore.connect_llm()
    voicecore.connect_llm(url=URL)


@pytest.mark.parametrize("name", ["connect", "first_token", "between_chunks", "total"])
def test_deadlines_are_positive(name):
    with pytest.raises(voicecore.ConfigurationError, match=f"deadlines.{name}"):
        ChatDeadlines(**{name: 0})


@pytest.mark.parametrize(
    ("messages", "tools"),
    [
        ([], ()),
        ({"role": "user"}, ()),
        ([{"role": "robot", "content": "x"}], ()),
        (["x"], ()),
        ([{"role": "user", "content": object()}], ()),
        ("Hi", [{"type": "function"}]),
    ],
)
async def test_bad_requests_are_refused_before_they_are_sent(vendor, autojump_clock, messages, tools):
    transport = vendor(greets)
    async with connect(transport) as llm:
        with pytest.raises(voicecore.ConfigurationError):
            llm.chat(messages, tools=tools)
    assert transport.opened == 0


def test_importing_voicecore_needs_no_httpx2_and_chat_says_what_it_needs():
    code = (
        "import sys; sys.modules['httpx2'] = None\n"
        "import voicecore\n"
        "assert 'anyio' not in sys.modules\n"
        "try: voicecore.connect_llm(api_key='k')\n"
        "except voicecore.ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'voicecore[llm]'" in done.stdout
