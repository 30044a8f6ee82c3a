"""A stock WebSocket library and nothing of voicecore's client, from the vendors' pages alone, against our emulator.

The 60db script follows the vendor's JavaScript quick start line by line.
"""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
import trio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from voicecore import codec
from voicecore.emulator import Emulator, Profile, run_emulator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with run_emulator(voice="tone", ears="none") as running:
        yield running


async def in_thread(script: Callable[[], object]) -> object:
    with trio.fail_after(60):
        return await trio.to_thread.run_sync(script, abandon_on_cancel=True)


def ask_json(socket: ClientConnection) -> dict:
    message = socket.recv(timeout=30)
    return json.loads(message)


def drain(socket: ClientConnection) -> None:
    while True:
        socket.recv(timeout=30)


# --- 60db speech to text ---------------------------------------------------------------------------------


def quick_start(url: str, start: dict, frames: list[bytes | str]) -> list[dict]:
    """The vendor's quick start: wait to be authenticated, start, wait for `connected`, send, stop, until stopped."""
    seen = []
    with connect(f"{url}?apiKey=sk_live_your_key") as ws:
        while True:
            msg = ask_json(ws)
            seen.append(msg)
            if msg.get("connection_established"):
                ws.send(json.dumps(start))
            if msg.get("type") == "connected":
                for frame in frames:
                    ws.send(frame)
                ws.send(json.dumps({"type": "stop"}))
            if msg.get("type") == "session_stopped":
                break
        with pytest.raises(ConnectionClosed) as closed:
            drain(ws)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000
    return seen


def noise(seconds: float, rate: int) -> np.ndarray:
    samples = np.random.default_rng(1).normal(0, 6000, int(seconds * rate))
    return samples.clip(-32768, 32767).astype("<i2")


START = {
    "type": "start",
    "languages": ["en"],
    "config": {"encoding": "mulaw", "sample_rate": 8000, "continuous_mode": True},
}


async def test_60db_quick_start_in_mulaw(emulator):
    audio = codec.encode_mulaw(noise(1.2, 8000)).tobytes()
    frames = [audio[at : at + 480] for at in range(0, len(audio), 480)]
    seen = await in_thread(lambda: quick_start(emulator.urls["60db-stt"], START, frames))
    assert [next(iter(m)) for m in seen[:2]] == ["connecting", "connection_established"]
    kinds = [m.get("type") for m in seen[2:]]
    assert kinds[:2] == ["connected", "session_started"]
    assert "speech_started" in kinds
    final = next(m for m in seen if m.get("type") == "transcription")
    assert {"text", "is_final", "speech_final", "is_partial", "language", "confidence"} <= set(final)
    assert (final["text"], final["confidence"], final["processing_mode"]) == ("", 0.0, "speech_end_no_result")
    assert seen[-1]["billing_summary"]["total_duration_seconds"] == pytest.approx(1.2)


@pytest.mark.parametrize("encoding", ["linear", "LINEAR16"])
@pytest.mark.parametrize("binary", [True, False])
async def test_60db_linear_as_json_and_as_binary(emulator, encoding, binary):
    audio = noise(1.0, 16000).tobytes()

    def frame(data: bytes) -> bytes | str:
        body = {"type": "audio", "audio": base64.b64encode(data).decode(), "encoding": "linear", "sample_rate": 16000}
        return data if binary else json.dumps(body)

    frames = [frame(audio[at : at + 1920]) for at in range(0, len(audio), 1920)]
    start = START | {"config": {"encoding": encoding, "sample_rate": 16000}}
    seen = await in_thread(lambda: quick_start(emulator.urls["60db-stt"], start, frames))
    assert seen[-1]["billing_summary"]["total_duration_seconds"] == pytest.approx(1.0)


async def test_60db_config_probe_and_health(emulator):
    def script() -> tuple[list[dict], bytes]:
        with connect(f"{emulator.urls['60db-stt']}?apiKey=k") as ws:
            ask_json(ws), ask_json(ws)
            ws.send(json.dumps(START))
            ask_json(ws), ask_json(ws)
            ws.send('{"type":"config","languages":["hi"],"continuous_mode":false}')
            ws.send('{"type":"config","languages":null}')
            ws.send('{"type":"test"}')
            answers = [ask_json(ws) for _ in range(4)]
        plain = emulator.urls["60db-stt"].replace("ws:", "http:")
        with urllib.request.urlopen(plain, timeout=30) as response:
            return answers, response.read()

    answers, health = await in_thread(script)
    assert [a["type"] for a in answers] == ["language_changed", "mode_changed", "language_changed", "test_response"]
    assert (answers[0]["language_code"], answers[1]["continuous_mode"]) == (["hi"], False)
    assert health == b"ok"


async def test_60db_other_handshake_order_and_boolean_envelope():
    profile = Profile(sixtydb_handshake="before_start", sixtydb_envelope="boolean")

    def script(url: str) -> list[dict]:
        with connect(f"{url}?apiKey=k") as ws:
            before = [ask_json(ws) for _ in range(3)]
            ws.send(json.dumps(START))
            return [*before, ask_json(ws)]

    async with run_emulator(profile, voice="tone", ears="none") as emulator:
        seen = await in_thread(lambda: script(emulator.urls["60db-stt"]))
    assert seen[1]["type"] == "connected"
    assert seen[2] == {"connection_established": True}
    assert seen[3]["type"] == "session_started"


@pytest.mark.parametrize(
    "message",
    ["{nonsense", '{"type":"stop"}', '{"type":"start","languages":["a","b","c","d","e","f"]}', b"audio before start"],
)
async def test_60db_answers_a_bad_message_with_an_error_and_1008(emulator, message):
    def script() -> tuple[dict, int]:
        with connect(f"{emulator.urls['60db-stt']}?apiKey=k") as ws:
            ask_json(ws), ask_json(ws)
            ws.send(message)
            error = ask_json(ws)
            with pytest.raises(ConnectionClosed) as closed:
                drain(ws)
        return error, closed.value.rcvd.code

    error, code = await in_thread(script)
    assert (error["type"], code) == ("error", 1008)
    assert error["error"]


async def test_60db_a_client_that_errs_in_mid_session_costs_nobody_else_anything(emulator):
    """Its error is answered while a final is still on its way; the emulator serves on."""
    speech = codec.encode_mulaw(noise(1.0, 8000)).tobytes() + b"\xff" * 8000

    def script() -> list[dict]:
        seen = []
        with connect(f"{emulator.urls['60db-stt']}?apiKey=k") as ws:
            ws.send(json.dumps(START))
            for at in range(0, len(speech), 480):
                ws.send(speech[at : at + 480])
            ws.send("{nonsense")
            with pytest.raises(ConnectionClosed):
                while True:
                    seen.append(ask_json(ws))
        return seen

    for _ in range(3):
        seen = await in_thread(script)
        assert seen[-1]["type"] == "error"
    frames = [speech[:480]]
    assert (await in_thread(lambda: quick_start(emulator.urls["60db-stt"], START, frames)))[-1]["billing_summary"]


async def test_60db_refuses_a_bad_key_in_band():
    def script(url: str) -> tuple[list[dict], int]:
        with connect(f"{url}?apiKey=bad") as ws:
            said = [ask_json(ws), ask_json(ws)]
            with pytest.raises(ConnectionClosed) as closed:
                drain(ws)
        return said, closed.value.rcvd.code

    async with run_emulator(voice="tone", ears="none") as emulator:
        said, code = await in_thread(lambda: script(emulator.urls["60db-stt"]))
    assert (said[-1]["type"], code) == ("error", 1008)


# --- Deepdub /open ---------------------------------------------------------------------------------------


def generate(url: str, request: dict, headers: dict | None = None) -> list[dict]:
    """The vendor's Python example: send one request, collect until `isFinished` or `error`."""
    received = []
    with connect(url, additional_headers={"x-api-key": "k"} if headers is None else headers) as ws:
        ws.send(json.dumps(request))
        while True:
            received.append(ask_json(ws))
            if received[-1].get("isFinished") or "error" in received[-1]:
                return received


REQUEST = {
    "action": "text-to-speech",
    "model": "dd-etts-3.0",
    "targetText": "Hello from Deepdub!",
    "locale": "en-US",
    "voicePromptId": "vp_12345abcde",
}


async def test_deepdub_ack_then_chunks_then_the_last(emulator):
    received = await in_thread(lambda: generate(emulator.urls["deepdub-open"], REQUEST))
    ack, *chunks = received
    assert (ack["data"], ack["isFinished"], "index" in ack) == ("", False, False)
    assert [chunk["index"] for chunk in chunks] == list(range(len(chunks)))
    assert {message["generationId"] for message in received} == {ack["generationId"]}
    first = base64.b64decode(chunks[0]["data"])
    assert first[:4] == b"RIFF"  # wav is the default
    assert int.from_bytes(first[24:28], "little") == 48000
    assert int.from_bytes(first[0x40:0x44], "little") == len(first) - 0x44


async def test_deepdub_key_in_the_query_and_the_id_of_the_client(emulator):
    url = emulator.urls["deepdub-open"] + "?x-api-key=k"
    mine = "4da9902b-9141-4fb7-9efb-d616ce266ed9"
    received = await in_thread(lambda: generate(url, REQUEST | {"generationId": mine, "format": "s16le"}, {}))
    assert {message["generationId"] for message in received} == {mine}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"sampleRate": 12345}, "sampleRate"),
        ({"tempo": 1.0, "targetDuration": 2.0}, "tempo"),
        ({"temperature": 1.5}, "temperature"),
        ({"format": "flac"}, "format"),
        ({"targetText": ""}, "targetText"),
        ({"targetText": "x" * 50_001}, "50000"),
        ({"model": None}, "model"),
        ({"locale": None}, "locale"),
        ({"accentControl": {"accentLocale": "fr-FR"}}, "accentControl"),
        ({"action": "sing"}, "action"),
    ],
)
async def test_deepdub_refuses_bad_fields_by_name(emulator, change, word):
    [error] = await in_thread(lambda: generate(emulator.urls["deepdub-open"], REQUEST | change))
    assert error["errorType"] == "InvalidInput"
    assert word in error["error"]


async def test_deepdub_keeps_the_socket_open_after_an_error(emulator):
    def script() -> list[dict]:
        with connect(emulator.urls["deepdub-open"], additional_headers={"x-api-key": "k"}) as ws:
            ws.send("{nonsense")
            answers = [ask_json(ws)]
            ws.send(json.dumps(REQUEST))
            return [*answers, ask_json(ws)]

    error, ack = await in_thread(script)
    assert "JSON" in error["error"]
    assert ack["isFinished"] is False


async def test_deepdub_limits_concurrent_generations_when_told_to():
    def script(url: str) -> list[dict]:
        with connect(url, additional_headers={"x-api-key": "k"}) as ws:
            for _ in range(3):
                ws.send(json.dumps(REQUEST))
            seen = [ask_json(ws)]
            while "error" not in seen[-1]:
                seen.append(ask_json(ws))
            return seen

    async with run_emulator(Profile(max_contexts=2, pace=1.0), voice="tone", ears="none") as emulator:
        seen = await in_thread(lambda: script(emulator.urls["deepdub-open"]))
    assert seen[-1]["errorType"] == "RateLimit"
    assert seen[-1]["generationId"] not in {m["generationId"] for m in seen[:-1]}


async def test_deepdub_refuses_keys_and_paths_at_the_upgrade(emulator):
    def status(url: str, key: str | None) -> int:
        headers = {} if key is None else {"x-api-key": key}
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
            pass
        return refused.value.response.status_code

    url = emulator.urls["deepdub-open"]
    assert await in_thread(lambda: status(url, "bad")) == 401
    assert await in_thread(lambda: status(url, None)) == 401
    assert await in_thread(lambda: status(url.replace("/open", "/nowhere"), "k")) == 404


@pytest.mark.parametrize(("hertz", "gender"), [(110, "male"), (220, "female")])
async def test_deepdub_gender_classify_listens(emulator, hertz, gender):
    from voicecore.vendors.deepdub.common import wav_header

    phase = np.arange(16000) * hertz / 16000
    pcm = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 6)) * 5000
    wav = wav_header(16000, 32000) + pcm.astype("<i2").tobytes()
    body = {"action": "gender-classify", "generationId": "x", "audio": base64.b64encode(wav).decode()}

    def script() -> dict:
        with connect(emulator.urls["deepdub-open"], additional_headers={"x-api-key": "k"}) as ws:
            ws.send(json.dumps(body | {"sample_rate": 16000}))
            return ask_json(ws)

    answer = await in_thread(script)
    assert answer["gender"] == gender
    assert "generationId" not in answer
