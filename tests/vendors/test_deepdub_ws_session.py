"""Deepdub `/ws` as its user and its emulator's clients see it: through memory, on a virtual clock."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio
import trio.testing
from support import here
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream, wrap_server_stream

import voicecore
from voicecore import AudioFormat, Deadlines, DeepdubStreamOptions
from voicecore.emulator import Profile, run_emulator
from voicecore.emulator.worker import EngineError

RUNTIMES = here.BOTH
URL = "ws://localhost/ws"
PCM = AudioFormat("pcm_s16le", 16_000)
RAW = DeepdubStreamOptions(format="s16le", sample_rate=16_000)
TEXT = "Hello there. How are you? Fine"
HELLO = {"action": "status", "connectionId": "c", "message": "connected"}
CONFIG = {"action": "stream-config", "data": {"model": "dd-etts-3.0", "format": "s16le", "sampleRate": 16000}}


def connect(open_stream: Callable, **arguments: object):
    return here.connect_tts("deepdub", api_key="k", url=URL, open_stream=open_stream, **arguments)


async def samples(stream: AsyncIterator) -> np.ndarray:
    return np.concatenate([np.zeros(0, "<i2"), *[chunk.samples async for chunk in stream]])


@asynccontextmanager
async def emulated(profile: Profile | None = None, **arguments: object):
    async with here.hosted(run_emulator(profile, voice="tone", ears="none")) as emulator:
        async with connect(emulator.open_stream, **arguments) as tts:
            yield emulator, tts


async def spoken(text: str = TEXT) -> np.ndarray:
    """Each sentence by itself, as /open's emulator speaks it: through another protocol."""
    async with here.hosted(run_emulator(voice="tone", ears="none")) as emulator:
        options = voicecore.DeepdubOptions(format="s16le", sample_rate=16_000)
        async with here.connect_tts("deepdub", api_key="k", open_stream=emulator.open_stream,
                                         url="ws://localhost/open") as tts:  # fmt: skip
            parts = []
            for sentence in text.replace(". ", ". |").replace("? ", "? |").split("|"):
                async with tts.synthesize(sentence, output=PCM, options=options) as speech:
                    parts.append(await samples(speech))
    return np.concatenate(parts)


PROFILES = [
    Profile(),
    Profile(deepdub_frames="text", last_audio="before_last"),
    Profile(deepdub_turn_end="silence"),
    Profile(deepdub_turn_end="silence", last_audio="before_last"),
]


@pytest.mark.parametrize("profile", PROFILES)
async def test_every_sample_arrives_once_and_in_order(autojump_clock, profile):
    expected = await spoken()
    async with emulated(profile) as (emulator, tts):
        async with tts.synthesize(TEXT, output=PCM, options=RAW) as speech:
            assert np.array_equal(await samples(speech), expected)
        async with tts.context(output=PCM, options=RAW) as context:
            for _ in range(2):
                for token in ("Hello th", "ere. How are", " you? ", "Fine"):
                    await context.send_text(token)
                await context.flush()
                assert np.array_equal(await samples(context), expected)
        assert emulator.connections == 1


@pytest.mark.parametrize("end", ["final", "silence"])
async def test_one_generation_for_a_turn(autojump_clock, end):
    profile = Profile(deepdub_generations="turn", deepdub_turn_end=end)
    async with emulated(profile) as (_, tts), tts.synthesize(TEXT, output=PCM, options=RAW) as speech:
        assert len(await samples(speech)) > 10_000


@pytest.mark.parametrize("output", [AudioFormat("pcm_s16le", 24_000), AudioFormat("mulaw", 8_000)])
async def test_the_format_that_the_caller_wants(autojump_clock, output):
    async with emulated() as (_, tts), tts.synthesize(TEXT, output=output) as speech:
        seconds = len(await samples(speech)) / output.sample_rate
    assert seconds == pytest.approx(len(await spoken()) / 16_000, abs=0.01)


async def test_sentences_are_heard_before_the_flush(autojump_clock):
    async with emulated() as (_, tts), tts.context(output=PCM, options=RAW) as context:
        await context.send_text("Hello there. How")
        await here.sleep(30)  # no deadline runs
        chunk = await anext(context)
        assert len(chunk.samples)


@pytest.mark.parametrize(("profile", "seconds"), [(Profile(), 0.0), (Profile(deepdub_turn_end="silence"), 1.0)])
async def test_a_turn_ends_with_is_final_or_a_second_of_silence(autojump_clock, profile, seconds):
    async with emulated(profile) as (_, tts), tts.context(output=PCM, options=RAW) as context:
        for text in (TEXT, "All spoken already. "):
            await context.send_text(text)
            await here.sleep(5)  # what is complete is generated before the flush
            began = here.current_time()
            await context.flush()
            assert len(await samples(context))
            assert here.current_time() - began == pytest.approx(seconds)


async def test_a_vendor_is_chosen_by_name_alone(autojump_clock, monkeypatch):
    seen = []

    async def open_stream(url: str, _: object):
        seen.append(url)
        raise voicecore.ConnectionFailedError("enough")

    for url in (None, "wss://wss.eu.deepdub.ai/ws"):
        monkeypatch.setenv("DEEPDUB_URL", url or "")
        with pytest.raises(voicecore.ConnectionFailedError):
            async with here.connect_tts("deepdub-ws", api_key="k", open_stream=open_stream):
                pass
    assert seen == ["wss://wss.deepdub.ai/ws", "wss://wss.eu.deepdub.ai/ws"]
    monkeypatch.setenv("DEEPDUB_URL", "wss://wsapi.deepdub.ai/open")
    with pytest.raises(voicecore.ConfigurationError, match="expected the path /ws"):
        here.connect_tts("deepdub-ws", api_key="k")


# --- cancel, seen by the user ----------------------------------------------------------------------------


async def test_the_next_speech_waits_for_the_confirmation_and_gets_the_same_socket(autojump_clock):
    expected = await spoken()
    async with emulated(Profile(pace=1.0), max_connections=1) as (emulator, tts):
        async with tts.synthesize("Something else entirely. And more of it.", output=PCM, options=RAW) as speech:
            await anext(speech)
        async with tts.synthesize(TEXT, output=PCM, options=RAW) as speech:
            assert np.array_equal(await samples(speech), expected)
        assert emulator.connections == 1


async def test_barge_in_on_a_context(autojump_clock):
    expected = await spoken()
    async with emulated(Profile(pace=1.0), max_connections=1) as (emulator, tts):
        for _ in range(3):
            async with tts.context(output=PCM, options=RAW) as context:
                await context.send_text("Something else entirely. And more")
                await anext(context)
                await context.cancel()
                assert not len(await samples(context))
        async with tts.synthesize(TEXT, output=PCM, options=RAW) as speech:
            assert np.array_equal(await samples(speech), expected)
        assert emulator.connections == 1


async def test_each_speech_at_a_time_has_a_socket_of_its_own_up_to_the_limit(autojump_clock):
    expected = await spoken()
    async with emulated(Profile(pace=1.0), max_connections=2) as (emulator, tts):

        async def one() -> None:
            async with tts.synthesize(TEXT, output=PCM, options=RAW) as speech:
                assert np.array_equal(await samples(speech), expected)

        async with here.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one)
        assert emulator.connections == 2


async def test_an_idle_session_lives_on_the_vendors_ping(autojump_clock):
    async with emulated(max_connections=1) as (emulator, tts):
        await here.sleep(3600)
        async with tts.synthesize(TEXT, options=RAW) as speech:
            assert len(await samples(speech))
        assert emulator.connections == 1


# --- a scripted vendor -----------------------------------------------------------------------------------


@pytest.fixture
async def vendor(nursery: trio.Nursery):
    """Makes an `open_stream` whose every connection runs a script behind a real WebSocket server."""

    def play(script: Callable, opened: list[float]) -> Callable:
        async def open_stream(url: str, _: object) -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()
            opened.append(here.current_time())
            nursery.start_soon(serve, theirs)
            await trio.lowlevel.checkpoint()
            return ours

        async def serve(stream: trio.abc.Stream) -> None:
            async with here.open_nursery() as tasks:
                socket = await (await wrap_server_stream(tasks, stream)).accept()
                try:
                    await socket.send_message(json.dumps(HELLO))
                    await script(socket, len(opened))
                except ConnectionClosed:
                    pass
                tasks.cancel_scope.cancel()

        return open_stream

    return play


def chunk(generation: str, number: int, **more: object) -> str:
    data = base64.b64encode(np.full(160, number, "<i2").tobytes()).decode()
    return json.dumps({"generationId": generation, "index": 0, "isFinished": False, "data": data, **more})


async def hear_until(socket: WebSocketConnection, action: str) -> None:
    while json.loads(await socket.get_message())["action"] != action:
        pass


async def test_a_cancel_that_is_never_confirmed_costs_its_second_and_the_socket(vendor, autojump_clock):
    opened: list[float] = []

    async def script(socket: WebSocketConnection, number: int) -> None:
        await hear_until(socket, "end-stream")
        await socket.send_message(chunk("g", number, isFinished=number > 1, isFinal=number > 1))
        while True:
            await socket.get_message()

    open_stream = vendor(script, opened)
    async with connect(open_stream, max_connections=1, deadlines=Deadlines(close=2.5)) as tts:
        async with tts.synthesize("x", output=PCM, options=RAW) as speech:
            await anext(speech)
        left = here.current_time()
        async with tts.synthesize("y", output=PCM, options=RAW) as speech:
            assert set(await samples(speech)) == {2}
    assert opened[1] - left == pytest.approx(2.5) and len(opened) == 2


async def test_audio_around_the_confirmation_never_reaches_the_next_speech(vendor, autojump_clock):
    opened: list[float] = []

    async def script(socket: WebSocketConnection, _: int) -> None:
        await hear_until(socket, "end-stream")
        await socket.send_message(chunk("g1", 1))
        await hear_until(socket, "cancel")
        for late in (chunk("g1", 1, index=1), chunk("g2", 1)):
            await socket.send_message(late)
        await socket.send_message(json.dumps({"generationId": "g1", "isFinished": True, "isCancelled": True}))
        for late in (chunk("g1", 1, index=2), chunk("g2", 1, index=1)):
            await socket.send_message(late)
        await hear_until(socket, "end-stream")
        for later in (chunk("g2", 1, index=2), chunk("g4", 1, index=3), chunk("g5", 2)):
            await socket.send_message(later)
        await socket.send_message(chunk("g5", 2, index=1, isFinished=True, isFinal=True))
        await socket.get_message()

    async with connect(vendor(script, opened), max_connections=1) as tts:
        async with tts.synthesize("x", output=PCM, options=RAW) as speech:
            await anext(speech)
        async with tts.synthesize("y", output=PCM, options=RAW) as speech:
            assert np.array_equal(await samples(speech), np.full(320, 2))
    assert len(opened) == 1


async def test_an_error_of_the_session_keeps_the_session(vendor, autojump_clock):
    opened: list[float] = []

    async def script(socket: WebSocketConnection, _: int) -> None:
        wrong = json.dumps({"action": "error", "message": "queue route not found for model: dd-x", "time": 1})
        await hear_until(socket, "stream-config")
        await socket.send_message(wrong)
        await hear_until(socket, "end-stream")
        await socket.send_message(wrong)  # for the text, too
        await hear_until(socket, "cancel")
        await socket.send_message(json.dumps({"action": "status", "message": "cancelled"}))
        await hear_until(socket, "end-stream")
        await socket.send_message(chunk("g", 2, isFinished=True, isFinal=True))
        await socket.get_message()

    async with connect(vendor(script, opened), max_connections=1) as tts:
        with pytest.raises(voicecore.InvalidRequestError, match="queue route not found for model: dd-x"):
            async with tts.synthesize("x", options=DeepdubStreamOptions(model="dd-x")) as speech:
                await samples(speech)
        async with tts.synthesize("y", output=PCM, options=RAW) as speech:
            assert set(await samples(speech)) == {2}
    assert len(opened) == 1


# --- the emulator, by a client that knows only the sheet -------------------------------------------------


@asynccontextmanager
async def raw_client(profile: Profile | None = None, key: str = "k"):
    async with here.hosted(run_emulator(profile, voice="tone", ears="none")) as emulator:
        stream = await emulator.open_stream(URL)
        async with here.open_nursery() as nursery:
            socket = await wrap_client_stream(
                nursery, stream, "localhost", "/ws", extra_headers=[(b"x-api-key", key.encode())]
            )
            yield emulator, socket
            nursery.cancel_scope.cancel()


async def tell(socket: WebSocketConnection, *messages: dict | str) -> None:
    for message in messages:
        await socket.send_message(message if isinstance(message, str) else json.dumps(message))


async def ask(socket: WebSocketConnection, *messages: dict | str) -> dict:
    await tell(socket, *messages)
    return json.loads(await socket.get_message())


def text(words: str) -> dict:
    return {"action": "stream-text", "data": {"text": words}}


END = {"action": "end-stream"}


async def turn(socket: WebSocketConnection, *messages: dict) -> list[dict]:
    """Every message up to `isFinal`."""
    answers = [await ask(socket, *messages)]
    while not answers[-1].get("isFinal"):
        answers.append(await ask(socket))
    return answers


def sound(answers: list[dict]) -> bytes:
    return b"".join(base64.b64decode(answer.get("data", "")) for answer in answers)


async def greeted(socket: WebSocketConnection, *messages: dict) -> None:
    assert (await ask(socket))["message"] == "connected"
    await tell(socket, *messages)


@here.only_trio
async def test_the_emulator_names_each_mistake_in_the_vendors_words(autojump_clock):
    prompt = {"model": "dd-etts-3.0", "voicePrompt": "?"}
    mistakes = [
        ("not json", "Invalid message format"),
        ({"action": "dance"}, "Invalid message format"),
        (text("too early"), "please send 'stream-config' action with model before streaming text"),
        (END, "please send 'stream-config' action with model before streaming text"),
        ({"action": "stream-config", "config": {}}, "model is required in configuration"),
        ({"action": "stream-config", "data": {"model": "gpt"}}, "queue route not found for model: gpt"),
        ({"action": "stream-config", "data": prompt}, "voicePrompt must be base64-encoded: "),
    ]
    async with raw_client() as (_, socket):
        await greeted(socket)
        for mistake, words in mistakes:
            answer = await ask(socket, mistake)
            assert answer["action"] == "error" and answer["message"].startswith(words)
            assert isinstance(answer["time"], int)
        assert sound(await turn(socket, CONFIG, text("Hi."), END))  # the session stays open


@here.only_trio
async def test_the_emulator_speaks_a_generation_for_each_sentence(autojump_clock):
    async with raw_client() as (_, socket):
        await greeted(socket, CONFIG)
        answers = await turn(socket, text("Hello th"), text("ere. How are you? Fi"), text("ne"), END)
        names = list(dict.fromkeys(answer["generationId"] for answer in answers))
        assert len(names) == 3
        for name in names:
            generation = [answer for answer in answers if answer["generationId"] == name]
            assert [answer["index"] for answer in generation] == list(range(len(generation)))
            assert [answer["isFinished"] for answer in generation] == [False] * (len(generation) - 1) + [True]
        assert sound(answers) == (await spoken()).tobytes()
        assert await ask(socket, {"action": "ping"}) == {"action": "pong"}
        assert sound(await turn(socket, text(TEXT), END)) == sound(answers)  # the configuration is kept


@here.only_trio
async def test_a_turn_without_text_is_final_at_once(autojump_clock):
    async with raw_client() as (_, socket):
        await greeted(socket, CONFIG)
        [answer] = await turn(socket, END)
        assert answer["isFinished"] and answer["isFinal"] and "data" not in answer


@here.only_trio
async def test_another_configuration_affects_later_text_only(autojump_clock):
    other = {"action": "stream-config", "data": {**CONFIG["data"], "sampleRate": 8000}}
    async with raw_client() as (_, socket):
        await greeted(socket, CONFIG)
        answers = await turn(socket, text("Fine"), other, text("Fine"), END)
        names = [answer["generationId"] for answer in answers]
        first, second = (sound([a for a in answers if a["generationId"] == name]) for name in dict.fromkeys(names))
        assert len(first) == pytest.approx(2 * len(second), abs=4)


@here.only_trio
async def test_inline_tags_are_not_spoken_wherever_they_are_split(autojump_clock):
    async with raw_client() as (_, socket):
        await greeted(socket, CONFIG)
        plain = sound(await turn(socket, text("Fine"), END))
        parts = ("[happy]", "<conf", 'ig locale="en-GB" targetGender=', '"female" />', "Fine [def", "ault]")
        tagged = [text(part) for part in parts]
        assert sound(await turn(socket, *tagged, END)) == plain


@here.only_trio
async def test_cancel_names_the_generation_that_it_stopped_and_keeps_the_configuration(autojump_clock):
    async with raw_client(Profile(pace=1.0)) as (_, socket):
        await greeted(socket, CONFIG)
        first = await ask(socket, text("A long sentence that takes its time. And more"))
        stopped = await ask(socket, {"action": "cancel"})
        while "isCancelled" not in stopped:
            stopped = await ask(socket)
        assert stopped == {"generationId": first["generationId"], "isFinished": True, "isCancelled": True}
        again = await turn(socket, text(TEXT), END)
        assert sound(again) == (await spoken()).tobytes()  # "And more" is forgotten
        assert first["generationId"] not in {answer["generationId"] for answer in again}


@here.only_trio
async def test_cancel_with_nothing_to_stop_is_a_status(autojump_clock):
    async with raw_client() as (_, socket):
        await greeted(socket, CONFIG)
        for _ in range(2):
            assert await ask(socket, {"action": "cancel"}) == {"action": "status", "message": "cancelled"}


@here.only_trio
async def test_wav_chunks_have_a_header_each(autojump_clock):
    config = {"action": "stream-config", "config": {"model": "dd-etts-3.0", "format": "flac", "sampleRate": 16000}}
    async with raw_client() as (_, socket):
        await greeted(socket, config)
        pieces = [base64.b64decode(answer["data"]) for answer in await turn(socket, text(TEXT), END)]
        assert all(piece[:4] == b"RIFF" and piece[0x3C:0x40] == b"data" for piece in pieces) and len(pieces) > 3
        assert b"".join(piece[0x44:] for piece in pieces) == (await spoken()).tobytes()


@here.only_trio
@pytest.mark.parametrize("frames", ["binary", "text"])
async def test_audio_comes_in_the_frames_that_were_chosen(autojump_clock, frames):
    async with raw_client(Profile(deepdub_frames=frames)) as (_, socket):
        await greeted(socket, CONFIG, text("Hi."), END)
        assert isinstance(await socket.get_message(), bytes if frames == "binary" else str)


@here.only_trio
async def test_a_refused_key_is_an_error_instead_of_the_greeting(autojump_clock):
    async with raw_client(key="bad") as (_, socket):
        answer = await ask(socket)
        assert (answer["action"], answer["message"]) == ("error", "Invalid API key")
        with pytest.raises(ConnectionClosed):
            await socket.get_message()


@pytest.mark.parametrize(
    ("profile", "kind"),
    [
        (Profile(no_credit=True), voicecore.QuotaError),
        (Profile(key=voicecore.Secret("other")), voicecore.AuthError),
        (Profile(key=voicecore.Secret("other"), refusal="http"), voicecore.AuthError),
        (Profile(key=voicecore.Secret("other"), refusal="silent"), voicecore.AuthError),
    ],
)
async def test_a_refusal_is_typed(autojump_clock, profile, kind):
    with pytest.raises(kind):
        async with emulated(profile, max_connections=1) as (_, tts), tts.synthesize("Hi.") as speech:
            await samples(speech)


async def test_after_a_refused_context_the_emulator_still_answers(autojump_clock):
    async with emulated(Profile(no_credit=True), max_connections=1) as (emulator, tts):
        for _ in range(2):
            with pytest.raises(voicecore.QuotaError):
                async with tts.synthesize("Hi.") as speech:
                    await samples(speech)
        assert emulator.connections == 1


@here.only_trio
async def test_a_generation_that_fails_ends_alone(autojump_clock, monkeypatch):
    async with raw_client() as (emulator, socket):
        speak = emulator.voice.speak

        @asynccontextmanager
        async def sometimes(words: str, **arguments: object):
            if "fail" in words:
                raise EngineError("the voice broke")
            async with speak(words, **arguments) as pieces:
                yield pieces

        monkeypatch.setattr(type(emulator.voice), "speak", lambda _, *a, **k: sometimes(*a, **k))
        await greeted(socket, CONFIG)
        answers = await turn(socket, text("Hello there. This will fail. Fine"), END)
        [error] = [answer for answer in answers if "error" in answer]
        assert set(error) == {"generationId", "error"} and error["error"] == "the voice broke"
        assert error["generationId"] not in {answer["generationId"] for answer in answers if answer is not error}
        assert len({answer["generationId"] for answer in answers}) == 3
