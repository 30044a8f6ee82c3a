"""60db text-to-speech against strangers: a stock client with our emulator, and our client with a stock server.

The client's script follows the vendor's JavaScript quick start line by line; the server's follows the vendor's page.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import trio
from sixtydb_tts_server import Server
from support.formats import by_libsndfile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import serve

import voicecore
from voicecore import AudioFormat, codec
from voicecore.cli.matrix import compare
from voicecore.emulator import Emulator, Profile, run_emulator
from voicecore.emulator.voice import open_voice

TEXT = "Hello, this is a test of the text to speech service."
PCM_16K = AudioFormat("pcm_s16le", 16_000)
NAME = "my-session-1775465918269"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with run_emulator(voice="tone", ears="none") as running:
        yield running


async def in_thread(script: Callable[[], Any]) -> Any:
    with trio.fail_after(60):
        return await trio.to_thread.run_sync(script, abandon_on_cancel=True)


async def with_profile(profile: Profile, script: Callable[[str], Any]) -> Any:
    async with run_emulator(profile, voice="tone", ears="none") as emulator:
        return await in_thread(lambda: script(emulator.urls["60db-tts"]))


async def spoken(text: str, wire: AudioFormat = PCM_16K) -> bytes:
    """What the emulator's voice says, made without any protocol."""
    async with open_voice(engine="tone") as voice, voice.speak(text) as parts:
        pcm = b"".join([bytes(part) async for part in parts])
    transcoder = codec.Transcoder(AudioFormat("pcm_s16le", voice.sample_rate), wire)
    return transcoder.process(pcm).tobytes() + transcoder.flush().tobytes()


# --- a stock client, our emulator ------------------------------------------------------------------------


def send(ws: ClientConnection, **message: Any) -> None:
    ws.send(json.dumps(message))


def receive(ws: ClientConnection) -> dict:
    return json.loads(ws.recv(timeout=30))


def code_after(ws: ClientConnection) -> int | None:
    """The close code, after whatever still comes."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            ws.recv(timeout=30)
    return closed.value.rcvd.code if closed.value.rcvd else None


def truthy(value: Any) -> bool:
    """What JavaScript takes for true: an empty object, too."""
    return isinstance(value, dict) or bool(value)


def quick_start(url: str) -> tuple[bytes, list[str], int | None]:
    """The vendor's script. Gives the audio, the names of what was received, and the close code."""
    audio_chunks, seen = [], []
    with connect(f"{url}?apiKey=sk_live_your_key") as ws:
        while True:
            msg = receive(ws)
            seen.append(next(iter(msg)))
            if truthy(msg.get("connection_established")):
                config = {"audio_encoding": "LINEAR16", "sample_rate_hertz": 16000}
                voice = "fbb75ed2-975a-40c7-9e06-38e30524a9a1"
                send(ws, create_context={"context_id": NAME, "voice_id": voice, "audio_config": config})
            if truthy(msg.get("context_created")):
                send(ws, send_text={"context_id": NAME, "text": TEXT})
                send(ws, flush_context={"context_id": NAME})
            if truthy(msg.get("audio_chunk")):
                audio_chunks.append(base64.b64decode(msg["audio_chunk"]["audioContent"]))
            if truthy(msg.get("flush_completed")):
                send(ws, close_context={"context_id": NAME})
            if truthy(msg.get("context_closed")):
                return b"".join(audio_chunks), seen, code_after(ws)


@pytest.mark.parametrize("envelope", ["object", "boolean"])
@pytest.mark.parametrize("context_ids", ["sent", "left_out"])
@pytest.mark.parametrize("connecting", [False, True])
async def test_the_quick_start_in_every_form(envelope, context_ids, connecting):
    profile = Profile(
        sixtydb_envelope=envelope, sixtydb_context_ids=context_ids, sixtydb_tts_connecting=connecting, chunk_seconds=0.1
    )
    audio, seen, code = await with_profile(profile, quick_start)
    assert audio == await spoken(TEXT)
    assert seen[:1] == ["connecting"] * connecting or seen[0] == "connection_established"
    greeting, *chunks = [name for name in seen if name != "connecting"]
    assert (greeting, chunks[0], chunks[-2:]) == (
        "connection_established",
        "context_created",
        ["flush_completed", "context_closed"],
    )
    assert set(chunks[1:-2]) == {"audio_chunk"} and len(chunks) > 5
    assert code == 1000


@contextmanager
def begin(url: str, name: str = "a", **body: Any) -> Iterator[ClientConnection]:
    with connect(f"{url}?apiKey=k") as ws:
        assert receive(ws)["connection_established"]["service"] == "tts"
        create(ws, name, **body)
        yield ws


def create(ws: ClientConnection, name: str = "a", **body: Any) -> None:
    config = {"audio_encoding": "LINEAR16", "sample_rate_hertz": 16000}
    send(ws, create_context={"context_id": name, "voice_id": "v", "audio_config": config, **body})


def say(ws: ClientConnection, text: str, name: str = "a") -> None:
    send(ws, send_text={"context_id": name, "text": text})
    send(ws, flush_context={"context_id": name})


def collect(ws: ClientConnection, *until: tuple[str, str]) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    """The audio by context and every other message, until all of `until` have come."""
    audio: dict[str, bytes] = {}
    rest: list[tuple[str, str]] = []
    while not set(until) <= set(rest):
        [(kind, body)] = receive(ws).items()
        name = body["context_id"]
        if kind == "audio_chunk":
            audio[name] = audio.get(name, b"") + base64.b64decode(body["audioContent"])
        else:
            rest.append((kind, name))
    return audio, rest


async def test_each_chunk_of_ogg_opus_is_a_whole_file_that_libsndfile_reads(emulator):
    def script() -> list[bytes]:
        config = {"audio_encoding": "OGG_OPUS", "sample_rate_hertz": 24000}
        with begin(emulator.urls["60db-tts"], audio_config=config) as ws:
            say(ws, "Hello, how are you today?")
            assert "context_created" in receive(ws)
            messages = list(iter(lambda: receive(ws).get("audio_chunk"), None))
            return [base64.b64decode(body["audioContent"]) for body in messages]

    chunks = await in_thread(script)
    files = [by_libsndfile(chunk)[:, 0] for chunk in chunks]
    expected = await spoken("Hello, how are you today?", AudioFormat("pcm_s16le", 24_000))
    assert len(files) > 3 and {len(file) for file in files[:-1]} == {4800}  # 200 ms each, to the sample
    samples = np.concatenate(files)
    assert len(samples) == len(expected) // 2
    assert compare(samples, np.frombuffer(expected, "<i2"), 24_000)[1] > 0.95


async def test_pipelined_with_several_flushes_and_the_rest_at_the_close(emulator):
    def script() -> tuple[dict[str, bytes], list[tuple[str, str]], int | None]:
        with begin(emulator.urls["60db-tts"]) as ws:
            say(ws, "One.")
            say(ws, "Two.")
            send(ws, flush_context={"context_id": "a"})  # with nothing to speak
            send(ws, send_text={"context_id": "a", "text": "Three."})
            send(ws, close_context={"context_id": "a"})
            return *collect(ws, ("context_closed", "a")), code_after(ws)

    audio, rest, code = await in_thread(script)
    assert audio["a"] == b"".join([await spoken(text) for text in ("One.", "Two.", "Three.")])
    kinds = [kind for kind, _ in rest]
    assert kinds == ["context_created", *["flush_completed"] * 4, "context_closed"]
    assert code == 1000


async def test_two_contexts_interleave_and_keep_the_socket_until_both_are_closed():
    def script(url: str) -> tuple[dict[str, bytes], list[tuple[str, str]], int | None]:
        with begin(url) as ws:
            create(ws, "b", audio_config={"audio_encoding": "MULAW", "sample_rate_hertz": 8000})
            say(ws, "This is the first.", "a")
            say(ws, "And this the second.", "b")
            audio, rest = collect(ws, ("flush_completed", "a"), ("flush_completed", "b"))
            send(ws, close_context={"context_id": "a"})
            rest += collect(ws, ("context_closed", "a"))[1]
            say(ws, "Again.", "b")
            more, _ = collect(ws, ("flush_completed", "b"))
            send(ws, close_context={"context_id": "b"})
            return {"a": audio["a"], "b": audio["b"] + more["b"]}, rest, code_after(ws)

    audio, rest, code = await with_profile(Profile(pace=20.0), script)
    mulaw = AudioFormat("mulaw", 8_000)
    assert audio["a"] == await spoken("This is the first.")
    assert audio["b"] == await spoken("And this the second.", mulaw) + await spoken("Again.", mulaw)
    assert (rest[-1], code) == (("context_closed", "a"), 1000)


async def test_a_socket_may_also_end_with_any_context_that_is_closed():
    def script(url: str) -> int | None:
        with begin(url, "a") as ws:
            create(ws, "b")
            send(ws, close_context={"context_id": "a"})
            return code_after(ws)

    assert await with_profile(Profile(sixtydb_closes_after="any"), script) == 1000


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"audio_encoding": "LINEAR16", "sample_rate_hertz": 44100}, "Unsupported sample_rate_hertz: 44100"),
        ({"audio_encoding": "FLAC"}, "audio_encoding"),
        ({"audio_encoding": "OGG_OPUS", "sample_rate_hertz": 48000}, "Unsupported sample_rate_hertz: 48000"),
    ],
)
async def test_a_refused_context_is_named_and_costs_the_others_nothing(emulator, config, words):
    def script() -> tuple[list[dict], dict[str, bytes]]:
        with begin(emulator.urls["60db-tts"], "good") as ws:
            receive(ws)
            create(ws, "bad", audio_config=config)
            say(ws, "Never spoken.", "bad")
            errors = [receive(ws)["error"] for _ in range(3)]
            say(ws, "Hello.", "good")
            return errors, collect(ws, ("flush_completed", "good"))[0]

    errors, audio = await in_thread(script)
    assert words in errors[0]["message"]
    assert [error["context_id"] for error in errors] == ["bad"] * 3
    assert audio == {"good": await spoken("Hello.")}


@pytest.mark.parametrize("message", ["{nonsense", '{"sing":{}}', '{"send_text":{"context_id":"nobody","text":"x"}}'])
async def test_nonsense_is_answered_with_an_error_and_the_socket_goes_on(emulator, message):
    def script() -> tuple[dict, dict[str, bytes]]:
        with begin(emulator.urls["60db-tts"]) as ws:
            receive(ws)
            ws.send(message)
            error = receive(ws)["error"]
            say(ws, "Hello.")
            return error, collect(ws, ("flush_completed", "a"))[0]

    error, audio = await in_thread(script)
    assert error["message"] and error.get("context_id") in (None, "nobody")
    assert audio == {"a": await spoken("Hello.")}


async def test_the_same_context_created_twice_is_an_error(emulator):
    def script() -> dict:
        with begin(emulator.urls["60db-tts"]) as ws:
            receive(ws)
            create(ws)
            return receive(ws)["error"]

    assert (await in_thread(script))["context_id"] == "a"


async def test_more_than_fifty_thousand_characters_are_refused(emulator):
    def script() -> dict:
        with begin(emulator.urls["60db-tts"]) as ws:
            receive(ws)
            send(ws, send_text={"context_id": "a", "text": "x" * 50_000})
            send(ws, send_text={"context_id": "a", "text": "y"})
            return receive(ws)["error"]

    error = await in_thread(script)
    assert "50000" in error["message"] and error["context_id"] == "a"


@pytest.mark.parametrize(
    ("profile", "key", "words"),
    [(Profile(), "bad", "API key"), (Profile(no_credit=True), "k", "insufficient credits")],
)
async def test_a_bad_key_and_an_empty_wallet_are_an_error_and_1008(profile, key, words):
    def script(url: str) -> tuple[list[dict], int | None]:
        said = []
        with connect(f"{url}?apiKey={key}") as ws:
            while not said or "error" not in said[-1]:
                said.append(receive(ws))
            return said, code_after(ws)

    said, code = await with_profile(profile, script)
    assert words in said[-1]["error"]["message"] and code == 1008
    assert said[-1]["error"].get("error_code") == ("INSUFFICIENT_CREDITS" if profile.no_credit else None)


# --- our client, a stock server --------------------------------------------------------------------------


@contextmanager
def stock_server(form: str) -> Iterator[tuple[str, Server]]:
    handler = Server(form)
    # with a bound, this library's server hangs for ten seconds when it answers a goodbye that fills its queue
    with serve(handler, "127.0.0.1", 0, max_queue=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws/tts", handler
        finally:
            server.shutdown()
            thread.join()


async def ramp(speech: Any) -> tuple[int, int]:
    """The first and the last sample, each one more than the one before."""
    samples = np.concatenate([chunk.samples async for chunk in speech])
    assert np.array_equal(samples, np.arange(samples[0], samples[0] + len(samples)))
    return int(samples[0]), int(samples[-1])


@pytest.mark.parametrize("form", ["object", "boolean", "empty"])
async def test_our_client_speaks_by_the_vendors_page(form):
    with stock_server(form) as (url, server), trio.fail_after(60):
        async with voicecore.connect_tts("60db", api_key="sk_live", url=url) as tts:
            async with tts.synthesize("x" * 1234, voice="v", output=PCM_16K) as speech:
                assert await ramp(speech) == (0, 1233)
            async with tts.context(voice="v", output=PCM_16K) as context:
                for turn in range(3):
                    for _ in range(10):
                        await context.send_text("y" * 50)
                    await context.flush()
                    assert await ramp(context) == (500 * turn, 500 * turn + 499)
    [seen] = server.seen
    kinds = [next(iter(message)) for message in seen]
    request = ["create_context", "send_text", "flush_context"]
    turn = ["send_text"] * 10 + ["flush_context"]
    assert kinds[:-1] == [*request, "create_context", *turn * 3, "close_context"]  # the last one ends the socket
    assert kinds[-1] == "close_context"


async def test_our_client_keeps_twenty_contexts_apart_on_one_socket():
    got: dict[int, tuple[int, int]] = {}

    async def speak(number: int) -> None:
        async with tts.synthesize("x" * (number * 100), output=PCM_16K) as speech:
            got[number] = await ramp(speech)

    with stock_server("object") as (url, server), trio.fail_after(60):
        async with voicecore.connect_tts("60db", api_key="sk_live", url=url) as tts, trio.open_nursery() as nursery:
            for number in range(1, 21):
                nursery.start_soon(speak, number)
    assert got == {number: (0, number * 100 - 1) for number in range(1, 21)}
    assert len(server.seen) == 1


async def test_our_client_is_refused_once():
    with stock_server("object") as (url, server), trio.fail_after(60):
        with pytest.raises(voicecore.AuthError, match="Invalid API key"):
            async with voicecore.connect_tts("60db", api_key="wrong", url=url):
                pass
    assert len(server.seen) == 1
