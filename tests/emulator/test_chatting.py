"""The emulator's HTTP, byte by byte through memory: what it takes, refuses and keeps open."""

from __future__ import annotations

import json

import h11
import pytest
import trio
import trio.testing

from voicecore.chat import ToolCall
from voicecore.emulator.chatting import IDLE_SECONDS, MAX_BODY_BYTES, ChatService, serve_chat
from voicecore.emulator.faults import parse_fault
from voicecore.emulator.profile import Profile
from voicecore.emulator.replies import LlmTurn
from voicecore.vendors.sixtydb.llm import PATH

HELLO = {"messages": [{"role": "user", "content": "Hello you"}]}


class Client:
    """An h11 client on a memory stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.h11 = h11.Connection(h11.CLIENT)
        self.status = 0
        self.headers: dict[str, str] = {}

    async def post(self, body: object, *, method: str = "POST", path: str = PATH, **headers: str) -> bytes:
        """The answer's body; its head is in `status` and `headers`."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        if self.h11.our_state is h11.DONE:
            self.h11.start_next_cycle()
        named = {"host": "x", "authorization": "Bearer k", "content-length": str(len(text)), **headers}
        request = h11.Request(method=method, target=path, headers=list(named.items()))
        await self.stream.send_all(self.h11.send(request))
        if headers.get("expect"):
            assert isinstance(await self.event(), h11.InformationalResponse)
        await self.stream.send_all(self.h11.send(h11.Data(data=text)) + self.h11.send(h11.EndOfMessage()))
        got = b""
        while not isinstance(event := await self.event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                self.status = event.status_code
                self.headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                got += event.data
        return got

    async def event(self) -> h11.Event:
        while (event := self.h11.next_event()) is h11.NEED_DATA:
            self.h11.receive_data(bytes(await self.stream.receive_some()))
        return event


@pytest.fixture
async def connect(nursery: trio.Nursery):
    def start(profile: Profile | None = None) -> Client:
        ours, theirs = trio.testing.memory_stream_pair()

        async def serve() -> None:
            await serve_chat(ChatService(profile or Profile()), theirs)
            await theirs.aclose()

        nursery.start_soon(serve)
        return Client(ours)

    return start


def events(body: bytes) -> list[object]:
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_a_stream_is_the_default_and_has_the_vendors_own_events(connect, autojump_clock):
    client = connect(Profile(llm_token_seconds=0.5))
    first, *chunks, last, done, end = events(await client.post(HELLO))
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert first == {"type": "chat_id", "chat_id": done["chat_id"]}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [
        {"role": "assistant", "content": ""},
        *({"content": c} for c in ("You", " said:", " Hello", " you")),
    ]
    assert last["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
    assert (done["type"], done["response_time_ms"], end) == ("done", 2000, "[DONE]")
    assert len({chunk["id"] for chunk in [*chunks, last]}) == 1


@pytest.mark.parametrize("fields", [{"save_chat": False}, {"chat_id": "mine"}])
async def test_only_a_new_chat_that_is_kept_gets_an_id_first(connect, fields):
    first, *_, done, _ = events(await connect().post({**HELLO, **fields}))
    assert "choices" in first
    assert done["chat_id"] == fields.get("chat_id", done["chat_id"])


async def test_a_whole_reply(connect, autojump_clock):
    call = ToolCall("a", "f", '{"x": 1}')
    client = connect(Profile(llm_script=(LlmTurn(tool_calls=(call,)), LlmTurn("Two.")), llm_token_seconds=0.25))
    said = json.loads(await client.post({**HELLO, "stream": False, "model": "mine"}))
    assert (said["object"], said["model"], said["response_time_ms"]) == ("chat.completion", "mine", 750)
    assert said["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [call.message()]},
            "finish_reason": "tool_calls",
        }
    ]
    said = json.loads(await client.post({**HELLO, "stream": False}))  # on the same connection, the next of the script
    assert said["choices"][0]["message"]["content"] == "Two."
    said = json.loads(await client.post({**HELLO, "stream": False}))  # then the grammar
    assert said["choices"][0]["message"]["content"] == "You said: Hello you"


@pytest.mark.parametrize("indexed", [True, False])
async def test_the_deltas_of_parallel_calls(connect, indexed):
    calls = (ToolCall("a", "f", '{"x": 1, "y": 2}'), ToolCall("b", "g", "{}"))
    body = await connect(Profile(llm_script=(LlmTurn(tool_calls=calls, indexed=indexed),))).post(HELLO)
    pieces = [
        piece
        for message in events(body)[:-1]
        for choice in message.get("choices", ())
        for piece in choice["delta"].get("tool_calls", ())
    ]
    assert [piece.get("index") for piece in pieces] == ([0, 0, 0, 0, 0, 1, 1] if indexed else [None] * 7)
    assert "".join(piece["function"]["arguments"] for piece in pieces) == '{"x": 1, "y": 2}{}'


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (HELLO, {"authorization": "Bearer bad"}, 401, "invalid_api_key"),
        (HELLO, {"authorization": "Basic k"}, 401, "invalid_api_key"),
        (HELLO, {"authorization": ""}, 401, "invalid_api_key"),
        (b"{not json", {}, 400, "invalid_json"),
        ({}, {}, 400, "missing_messages"),
        ({"messages": []}, {}, 400, "missing_messages"),
        ({"messages": [{"role": "robot"}]}, {}, 422, "invalid_role"),
        ({**HELLO, "tools": [{"type": "function"}]}, {}, 422, "invalid_tools"),
        ({**HELLO, "tools": {"a": 1}}, {}, 422, "invalid_tools"),
    ],
)
async def test_refusals_say_why_and_keep_the_connection(connect, body, headers, status, code):
    client = connect()
    error = json.loads(await client.post(body, **headers))["error"]
    assert (client.status, error["code"]) == (status, code)
    assert error["message"]
    await client.post({**HELLO, "stream": False})
    assert client.status == 200


@pytest.mark.parametrize(("method", "path", "status"), [("PUT", PATH, 405), ("POST", "/v1/models", 404)])
async def test_other_methods_and_paths(connect, method, path, status):
    client = connect()
    await client.post(HELLO, method=method, path=path)
    assert client.status == status


@pytest.mark.parametrize(
    ("profile", "status", "after"),
    [
        (Profile(no_credit=True), 402, None),
        (Profile(faults=(parse_fault("http=429"),)), 429, "1"),
        (Profile(faults=(parse_fault("http=500@1"),)), 500, "1"),
        (Profile(faults=(parse_fault("http=500@0"),)), 200, None),
        (Profile(llm_script=(LlmTurn(fault="http=503", retry_after=1.5),)), 503, "1.5"),
        (Profile(llm_script=(LlmTurn(fault="http=503"),)), 503, None),
    ],
)
async def test_faults_by_flag(connect, profile, status, after):
    client = connect(profile)
    await client.post(HELLO)
    assert (client.status, client.headers.get("retry-after")) == (status, after)


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [("error", 500, "internal_error"), ("garbage", 200, "{garbage"), ("truncate", 200, '"chat.completion"')],
)
async def test_faults_of_a_whole_reply(connect, fault, status, body):
    client = connect(Profile(llm_script=(LlmTurn("One.", fault=fault), LlmTurn("Two."))))
    spoiled = await client.post({**HELLO, "stream": False})
    assert client.status == status and body in spoiled.decode() and "Two." not in spoiled.decode()
    assert "Two." in (await client.post({**HELLO, "stream": False})).decode()


async def test_a_refused_request_costs_no_turn_of_the_script(connect):
    client = connect(Profile(llm_script=(LlmTurn("One."),), faults=(parse_fault("http=503@2"),)))
    for status in (503, 503, 200):
        body = await client.post({**HELLO, "stream": False})
        assert client.status == status
    assert "One." in body.decode()


async def test_who_stalls_is_left(connect, autojump_clock):
    client = connect(Profile(faults=(parse_fault("stall"), parse_fault("idle=5"))))
    with trio.move_on_after(100):
        await client.post(HELLO)
    assert client.h11.their_state is h11.SEND_BODY
    await client.stream.send_eof()
    assert await client.stream.receive_some() == b""


async def test_a_body_may_wait_to_be_asked_for(connect):
    client = connect()
    await client.post({**HELLO, "stream": False}, expect="100-continue")
    assert client.status == 200


async def test_a_body_that_is_too_long_is_refused_and_the_connection_ended(connect):
    client = connect()
    await client.post(b" " * (MAX_BODY_BYTES + 2**20))
    assert client.status == 413
    assert await client.stream.receive_some() == b""


HALF = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answered"), [(b"", b""), (b"nonsense\r\n\r\n", b"HTTP/1.1 400"), (HALF, b"HTTP/1.1 400")]
)
async def test_a_client_that_goes_or_talks_nonsense(connect, sent, answered):
    client = connect()
    if sent:
        await client.stream.send_all(sent)
    await client.stream.send_eof()
    answer = b""
    while data := await client.stream.receive_some():
        answer += data
    assert answer.partition(b" \r\n")[0] == answered


@pytest.mark.parametrize(("faults", "seconds"), [((), IDLE_SECONDS), ((parse_fault("idle=5"),), 5)])
async def test_a_connection_that_asks_nothing_is_closed(connect, autojump_clock, faults, seconds):
    client = connect(Profile(faults=faults))
    await client.post({**HELLO, "stream": False})
    began = trio.current_time()
    assert await client.stream.receive_some() == b""
    assert trio.current_time() - began == seconds


async def test_what_was_asked_is_remembered() -> None:
    service = ChatService(Profile())
    service.turn(HELLO)
    assert list(service.requests) == [HELLO]
