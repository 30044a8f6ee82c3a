"""Uplift on both transports against other people's code: published clients on our emulator, other servers for ours."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import trio
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

import voicecore
from voicecore import AudioFormat
from voicecore.emulator import Emulator, Profile, run_emulator
from voicecore.errors import AuthError, ConnectionFailedError, ConnectionLostError, ProtocolError

HERE = Path(__file__).parent
LIVEKIT = HERE.parent.parent / ".venv-livekit" / "bin" / "python"
PCM = AudioFormat("pcm_s16le", 22_050)
TEXT = "Welcome to the emulator of every vendor."
BARE = {"PATH": ""}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with run_emulator(voice="tone", ears="none") as running:
        yield running


def base_of(emulator: Emulator) -> str:
    """The server without a path, as Socket.IO's clients want it."""
    return emulator.urls["uplift-socketio"].removesuffix("/socket.io/")


async def run_script(python: object, script: str, url: str, stdin: object, **environment: str) -> object:
    with trio.fail_after(90):
        done = await trio.run_process(
            [str(python), str(HERE / script), url],
            stdin=json.dumps(stdin).encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=BARE | environment,
        )
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr.decode())
    return json.loads(done.stdout)


async def spoken(text: str) -> np.ndarray:
    """What the emulator's voice says, made without any protocol."""
    from voicecore.emulator.voice import open_voice

    async with open_voice(engine="tone") as voice, voice.speak(text) as parts:
        assert voice.sample_rate == PCM.sample_rate
        return np.frombuffer(b"".join([bytes(part) async for part in parts]), "<i2")


# --- livekit-plugins-upliftai ----------------------------------------------------------------------------


async def ask_livekit(emulator: Emulator, *requests: dict, key: str = "sk_api_any") -> list[dict]:
    if not LIVEKIT.exists():
        pytest.skip("livekit-plugins-upliftai has an environment of its own: make .stamps/livekit")
    return await run_script(
        LIVEKIT, "livekit_uplift_client.py", base_of(emulator), requests, UPLIFTAI_API_KEY=key, HOME="/nonexistent"
    )


def livekit_request(*texts: str, streamed: bool = False, wire: str = "PCM_22050_16", voice: str = "v_meklc281") -> dict:
    return {"texts": texts, "streamed": streamed, "format": wire, "voice": voice}


def pcm_of(answer: dict) -> np.ndarray:
    assert "pcm" in answer, answer
    return np.frombuffer(base64.b64decode(answer["pcm"]), "<i2")


async def test_livekit_hears_every_sample(emulator):
    stream = livekit_request("Welcome to the ", "emulator of ", "every vendor.", streamed=True)
    wav = livekit_request(TEXT, wire="WAV_22050_16")
    whole, streamed, from_wav = map(pcm_of, await ask_livekit(emulator, livekit_request(TEXT), stream, wav))
    expected = await spoken(TEXT)
    assert np.array_equal(streamed, expected)
    for got in (whole, from_wav):  # the framework pads the end of a whole text with 10 ms
        assert np.array_equal(got[: len(expected)], expected)
        assert len(got) - len(expected) <= PCM.sample_rate // 50 and not got[len(expected) :].any()


async def test_livekit_hears_our_refusals(emulator):
    [refused] = await ask_livekit(emulator, livekit_request(TEXT), key="bad-key")
    assert "Error" in refused["error"]


# --- python-socketio's client ----------------------------------------------------------------------------


def synthesize(request: str, text: str = TEXT, **fields: object) -> list:
    body = {"type": "synthesize", "requestId": request, "text": text, "voiceId": "v_meklc281"}
    return ["synthesize", body | {"outputFormat": "PCM_22050_16"} | fields]


async def ask_socketio(emulator: Emulator, *emits: list, ends: int = 1, token: str = "sk_api_any") -> dict:
    stdin = {"token": token, "emits": emits, "ends": ends}
    return await run_script(sys.executable, "socketio_client.py", base_of(emulator), stdin)


async def test_socketio_client_gets_ready_then_audio_over_a_websocket(emulator):
    answer = await ask_socketio(emulator, synthesize("r1"))
    kinds = [message["type"] for message in answer["heard"]]
    assert kinds == ["ready", "audio_start", *["audio"] * (len(kinds) - 3), "audio_end"]
    sound = b"".join(base64.b64decode(m["audio"]) for m in answer["heard"] if m["type"] == "audio")
    assert sound == (await spoken(TEXT)).tobytes()
    assert answer["transport"] == "websocket"


async def test_socketio_client_interleaves_and_may_omit_the_type():
    async with run_emulator(Profile(pace=20.0), voice="tone", ears="none") as emulator:
        emits = [synthesize(f"r{number}", f"Sentence {number}.") for number in range(5)]
        del emits[0][1]["type"]
        answer = await ask_socketio(emulator, *emits, ends=5)
    order = [m["requestId"] for m in answer["heard"] if m["type"] == "audio"]
    assert len({*order[:5]}) > 1, "one after the other"
    for number in range(5):
        mine = [m for m in answer["heard"] if m.get("requestId") == f"r{number}" and m["type"] == "audio"]
        assert [m["sequence"] for m in mine] == list(range(len(mine)))
        sound = b"".join(base64.b64decode(m["audio"]) for m in mine)
        assert sound == (await spoken(f"Sentence {number}.")).tobytes()


async def test_socketio_client_cancels_and_hears_errors():
    async with run_emulator(Profile(pace=2.0), voice="tone", ears="none") as emulator:
        answer = await ask_socketio(
            emulator,
            synthesize("r1", TEXT * 20),
            ["cancel", {"type": "cancel", "requestId": "r1"}],
            synthesize("r2", "x" * 10_001),
            synthesize("r3", "Hi."),
            synthesize("r3", "Hi."),
            ends=3,
        )
    errors = [(m["requestId"], m["code"]) for m in answer["heard"] if m["type"] == "error"]
    assert errors == [("r2", "text_too_long"), ("r3", "duplicate_request")]
    assert [m["requestId"] for m in answer["heard"] if m["type"] == "audio_end"] == ["r3"]


async def test_socketio_client_is_refused_with_44(emulator):
    answer = await ask_socketio(emulator, token="bad-key")
    assert answer["refusals"] == [{"message": "Invalid API key"}] and "One or more namespaces" in answer["failure"]


async def test_socketio_client_is_refused_in_band():
    async with run_emulator(Profile(refusal="in_band"), voice="tone", ears="none") as emulator:
        answer = await ask_socketio(emulator, token="bad-key", ends=2)
    assert [m["type"] for m in answer["heard"]] == ["error", "(disconnect)"]
    assert answer["heard"][0]["code"] == "auth_failed"


@pytest.mark.parametrize("query", ["EIO=4&transport=polling", "", "transport=polling&EIO=4&t=P9x"])
async def test_polling_gets_a_clear_400(emulator, query):
    import urllib.error
    import urllib.request

    def get() -> tuple[int, dict]:
        url = emulator.urls["uplift-socketio"].replace("ws:", "http:")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}?{query}", timeout=30)
        return refused.value.code, json.loads(refused.value.read())

    status, body = await trio.to_thread.run_sync(get)
    assert status == 400 and ("polling" in body["message"] or "EIO=4" in body["message"])


# --- our client against python-socketio's server ---------------------------------------------------------


@pytest.fixture
async def socketio_url() -> AsyncIterator[str]:
    process = await trio.lowlevel.open_process(
        [sys.executable, str(HERE / "socketio_server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        with trio.fail_after(60):
            port = b""
            while not port.endswith(b"\n"):
                port += await process.stdout.receive_some(10)
        yield f"ws://127.0.0.1:{int(port)}/socket.io/"
    finally:
        await process.stdin.aclose()
        with trio.move_on_after(20):
            await process.wait()
        if process.returncode is None:
            process.kill()


async def heard_by_us(tts: voicecore.TTS, text: str, voice: str = "v_meklc281") -> str:
    async with tts.synthesize(text, voice=voice, output=PCM) as speech:
        samples = np.concatenate([chunk.samples async for chunk in speech])
    return samples.astype(np.uint8).tobytes().decode()


async def test_our_client_speaks_to_a_python_socketio_server(socketio_url):
    with trio.fail_after(60):
        async with voicecore.connect_tts("uplift", api_key="sk_1", url=socketio_url) as tts:
            texts = [f"Sentence {number}: سلام" for number in range(10)]
            answers = {}

            async def one(text: str) -> None:
                answers[text] = await heard_by_us(tts, text)

            async with trio.open_nursery() as nursery:
                for text in texts:
                    nursery.start_soon(one, text)
            assert answers == {text: text for text in texts}
            # four seconds with a ping in each, and the server gives up a second after one that is not answered
            assert await heard_by_us(tts, "a slow one", "v_slow") == "a slow one"


async def test_our_client_proceeds_without_ready(socketio_url):
    with trio.fail_after(60):
        async with voicecore.connect_tts("uplift", api_key="sk_no_ready", url=socketio_url) as tts:
            assert await heard_by_us(tts, "Hello") == "Hello"


@pytest.mark.parametrize(
    ("key", "words", "kind"),
    [("wrong-key", "Unauthorized", AuthError), ("one-too-many", "server is full", ConnectionFailedError)],
)
async def test_our_client_is_refused_by_a_python_socketio_server(socketio_url, key, words, kind):
    with trio.fail_after(60), pytest.raises(kind, match=words) as caught:
        async with voicecore.connect_tts("uplift", api_key=key, url=socketio_url):
            pass
    assert type(caught.value) is kind


async def test_our_client_cancels_at_a_python_socketio_server(socketio_url):
    with trio.fail_after(60):
        async with voicecore.connect_tts("uplift", api_key="sk_1", url=socketio_url) as tts:
            async with tts.synthesize("one two three", voice="v_slow", output=PCM) as speech:
                await anext(aiter(speech))
            assert await heard_by_us(tts, "whom did I cancel?", "v_cancelled") == speech.context_id


@pytest.mark.parametrize(("voice", "kind"), [("v_leave", ConnectionLostError), ("v_binary", ProtocolError)])
async def test_our_client_says_how_a_session_ended(socketio_url, voice, kind):
    words = {"v_leave": "ended the session", "v_binary": "binary attachments are not supported"}[voice]
    with trio.fail_after(60):
        async with voicecore.connect_tts("uplift", api_key="sk_1", url=socketio_url) as tts:
            with pytest.raises(kind, match=words):
                await heard_by_us(tts, "one two three", voice)
            assert await heard_by_us(tts, "again") == "again"  # on a new connection


# --- the plain transport ---------------------------------------------------------------------------------


@contextmanager
def plain_server() -> Iterator[str]:
    """`websockets`' own server, written from the messages of the vendor's page: the text comes back as samples."""

    def handle(socket: ServerConnection) -> None:
        if socket.request.headers.get("Authorization") != "Bearer sk_1":
            socket.send('{"type":"error","requestId":"unknown","code":"auth_failed","message":"Invalid API key"}')
            return
        socket.send('{"type":"ready","sessionId":"session_1"}')
        for text in socket:
            message = json.loads(text)
            assert set(message) == {"type", "requestId", "text", "voiceId", "outputFormat"}
            name = {"requestId": message["requestId"]}
            samples = np.frombuffer(message["text"].encode(), np.uint8).astype("<i2").tobytes()
            socket.send(json.dumps({"type": "audio_start", "timestamp": 1.5, **name}))
            for sequence, at in enumerate(range(0, len(samples), 3)):  # an odd byte is carried
                sound = base64.b64encode(samples[at : at + 3]).decode()
                socket.send(json.dumps({"type": "audio", "audio": sound, "sequence": sequence, **name}))
            socket.send(json.dumps({"type": "audio_end", "timestamp": 2, **name}))

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1/text-to-speech/multi-stream"
        finally:
            server.shutdown()
            thread.join()


async def test_our_plain_client_speaks_to_a_stock_server():
    with plain_server() as url, trio.fail_after(60):
        async with voicecore.connect_tts("uplift", api_key="sk_1", url=url) as tts:
            assert await heard_by_us(tts, "Hello سلام") == "Hello سلام"
            async with tts.context(voice="v_8eelc901", output=PCM) as context:
                await context.send_text("One. Two. Thr")
                await context.send_text("ee.")
                await context.flush()
                said = np.concatenate([chunk.samples async for chunk in context])
            assert said.astype(np.uint8).tobytes().decode().replace(" ", "") == "One.Two.Three."


async def test_our_plain_client_is_refused_in_band_by_a_stock_server():
    with plain_server() as url, trio.fail_after(60), pytest.raises(AuthError, match="Invalid API key"):
        async with voicecore.connect_tts("uplift", api_key="sk_2", url=url):
            pass


async def test_a_stock_client_speaks_to_the_plain_emulator(emulator):
    def script() -> list[dict]:
        headers = {"Authorization": "Bearer sk_api_any"}
        with connect(emulator.urls["uplift"], additional_headers=headers) as socket:
            said = [json.loads(socket.recv(timeout=30))]
            socket.send(json.dumps(synthesize("r1")[1]))
            while said[-1]["type"] != "audio_end":
                said.append(json.loads(socket.recv(timeout=30)))
            return said

    said = await trio.to_thread.run_sync(script)
    assert [said[0]["type"], said[1]["type"]] == ["ready", "audio_start"]
    sound = b"".join(base64.b64decode(message["audio"]) for message in said if message["type"] == "audio")
    assert sound == (await spoken(TEXT)).tobytes()
