"""A stock WebSocket library on the other side, from protocols.md section 2 alone and with nothing of voicecore.

First our client against an independent server, then an independent client against our emulator.
"""

from __future__ import annotations

import base64
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import trio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

import voicecore
from voicecore import AudioFormat
from voicecore.emulator import Profile, run_emulator

PCM_16K = AudioFormat("pcm_s16le", 16_000)
SECOND = np.random.default_rng(7).integers(-20_000, 20_000, 16_000).astype("<i2").tobytes()
HEADER = struct.pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16, b"data", 0xFFFFFFFF
)


@contextmanager
def serving(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    """An independent server; its `Content-Type`, key and path are checked as the sheet has them."""

    def check(socket: ServerConnection, request: object) -> object:
        good = request.headers.get("X-API-Key-ID") == "k-1" and request.headers.get("X-API-Request-ID")
        body = json.dumps({"detail": {"error_code": "MISSING_API_KEY"}})
        return None if good else socket.respond(401, body)

    server: Server = serve(handler, "127.0.0.1", 0, process_request=check)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()
        thread.join()


# --- our client, text to speech --------------------------------------------------------------------------


def message(kind: str, audio: bytes, index: int) -> str:
    body = {"audio": base64.b64encode(audio).decode(), "chunk_index": index, "is_final": kind == "complete"}
    return json.dumps({"type": kind, "request_id": "any", "data": body})


def per_chunk(pcm: bytes) -> list[bytes]:
    return [HEADER + pcm[at : at + 3000] for at in range(0, len(pcm), 3000)]


def first_chunk(pcm: bytes) -> list[bytes]:
    whole = HEADER + pcm
    return [whole[at : at + 3001] for at in range(0, len(whole), 3001)]


def header_alone(pcm: bytes) -> list[bytes]:
    return [HEADER, *(pcm[at : at + 3001] for at in range(0, len(pcm), 3001))]


def split_header(pcm: bytes) -> list[bytes]:
    return [HEADER[:7], HEADER[7:43], HEADER[43:] + pcm[:11], pcm[11:]]


WAVS = [per_chunk, first_chunk, header_alone, split_header]


def speaker(cut: Callable[[bytes], list[bytes]], form: str) -> Callable[[ServerConnection], None]:
    """Answers requests one after the other, in one of the forms that the sheet has."""

    def handler(socket: ServerConnection) -> None:
        assert socket.request.path == "/api/v1/tts" and socket.request.headers["Content-Type"] == "application/json"
        for text in socket:
            request = json.loads(text)
            assert {"text", "voice", "model", "audio_config"} <= set(request)
            config = request["audio_config"]
            assert {"sample_rate", "encoding", "num_channels", "sample_width", "container"} <= set(config)
            chunks = cut(SECOND) if config["container"] == "wav" else [SECOND[:9], SECOND[9:]]
            if form != "bare":
                socket.send(json.dumps({"type": "start", "request_id": "any", "message": ""}))
            for index, chunk in enumerate(chunks[:-1]):
                socket.send(message("audio", chunk, index) if form == "json" else chunk)
            if form == "json":
                socket.send(message("complete", chunks[-1], len(chunks)))
            else:
                socket.send(chunks[-1])
            if form == "binary":
                socket.send(json.dumps({"type": "complete", "data": None}))
            if form == "bare":
                return  # which closes with 1000

    return handler


@pytest.mark.parametrize("cut", WAVS)
@pytest.mark.parametrize("form", ["json", "binary", "bare"])
async def test_our_client_hears_every_form(cut, form):
    with serving(speaker(cut, form)) as base, trio.fail_after(30):
        async with voicecore.connect_tts("vachana", api_key="k-1", url=f"{base}/api/v1/tts") as session:
            for container in ("wav", "raw"):
                options = voicecore.VachanaTtsOptions(container=container, sample_rate=16_000)
                async with session.synthesize("Hi", output=PCM_16K, options=options) as speech:
                    assert b"".join([chunk.data async for chunk in speech]) == SECOND


async def test_our_client_is_refused_by_http():
    with serving(speaker(per_chunk, "json")) as base:
        with pytest.raises(voicecore.AuthError, match="401") as caught:
            async with voicecore.connect_tts("vachana", api_key="k-2", url=f"{base}/api/v1/tts"):
                pass
    assert "k-2" not in str(caught.value)


# --- our client, speech to text --------------------------------------------------------------------------


@pytest.mark.parametrize("closes", [True, False])
async def test_our_client_streams_and_ends(closes):
    """Frames of exactly 1024 bytes; the transcript comes after the last of them, and nobody says stop."""
    asked: list[dict[str, str]] = []

    def handler(socket: ServerConnection) -> None:
        asked.append(dict(socket.request.headers.raw_items()))
        config = {"sample_rate": 8000, "chunk_size": 512}
        socket.send(json.dumps({"type": "connected", "message": "ready", "request_id": "r", "config": config}))
        heard = b""
        while len(heard) < 2 * (8000 + 8000):  # a second of sound, a second of silence
            frame = socket.recv()
            assert isinstance(frame, bytes) and len(frame) == 1024
            heard += frame
        assert any(heard[:16_000]) and not any(heard[17_000:])
        for kind in ("vad_start", "vad_end", "processing"):
            socket.send(json.dumps({"type": kind, "timestamp": "t"}))
        body = {"type": "transcript", "text": "नमस्ते", "segment_index": "1", "latency": 320, "audio_duration_ms": 1000}
        socket.send(json.dumps(body))
        if not closes:
            socket.recv()  # until the client goes

    options = voicecore.VachanaSttOptions(languages=("hi-IN", "en-IN"), format="transcribe", sample_rate=8000)
    with serving(handler) as base, trio.fail_after(30):
        url = f"{base}/stt/v3/stream"
        async with voicecore.connect_stt("vachana", api_key="k-1", url=url) as session:
            async with session.stream(input=PCM_16K, options=options) as stream:
                for at in range(0, len(SECOND), 777):
                    await stream.send(SECOND[at : at + 777])
                await stream.finish()
                [transcript] = [transcript async for transcript in stream]
    assert (transcript.text, transcript.sentence_id, transcript.duration, transcript.latency) == ("नमस्ते", 1, 1.0, 0.32)
    sent = {name.lower(): value for name, value in asked[-1].items()}
    assert (sent["lang_code"], sent["x-sample-rate"], sent["x-format"]) == ("hi-IN,en-IN", "8000", "transcribe")


# --- an independent client -------------------------------------------------------------------------------

KEY = {"X-API-Key-ID": "k"}
CONFIG = {"sample_rate": 16000, "encoding": "linear_pcm", "num_channels": 1, "sample_width": 2, "container": "raw"}
REQUEST = {"text": "Hello there.", "voice": "Pranav", "model": "timbre-v2.5", "audio_config": CONFIG}


async def in_thread(script: Callable[[], object]) -> object:
    with trio.fail_after(60):
        return await trio.to_thread.run_sync(script, abandon_on_cancel=True)


@pytest.fixture
async def emulator():
    async with run_emulator(Profile(pace=1.0), voice="tone", ears="none") as running:
        yield running


def received(socket: object) -> list[dict]:
    """All messages up to the end or an error."""
    seen = [json.loads(socket.recv(timeout=30))]
    while seen[-1]["type"] not in ("complete", "error"):
        seen.append(json.loads(socket.recv(timeout=30)))
    return seen


async def test_the_emulator_speaks_sequential_requests_on_one_socket(emulator):
    def script() -> list[list[dict]]:
        with connect(emulator.urls["vachana-tts"], additional_headers=KEY) as socket:
            answers = []
            for number in range(2):
                socket.send(json.dumps(REQUEST | {"request_id": f"r{number}"}))
                answers.append(received(socket))
            return answers

    for number, (start, *chunks) in enumerate(await in_thread(script)):
        assert (start["type"], start["request_id"], chunks[-1]["request_id"]) == ("start", f"r{number}", f"r{number}")
        assert [chunk["data"]["chunk_index"] for chunk in chunks] == list(range(len(chunks)))
        assert [chunk["data"]["is_final"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_the_emulator_does_not_multiplex(emulator):
    def script() -> list[dict]:
        with connect(emulator.urls["vachana-tts"], additional_headers=KEY) as socket:
            for _ in range(2):
                socket.send(json.dumps(REQUEST))
            return received(socket)

    seen = await in_thread(script)
    assert seen[-1]["type"] == "error" and "1 concurrent" in seen[-1]["message"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"model": None}, "'model' is required"),
        ({"voice": None}, "'voice' is required"),
        ({"text": ""}, "text"),
        ({"audio_config": {**CONFIG, "sample_rate": 11025}}, "sample_rate"),
        ({"audio_config": {**CONFIG, "container": "mp3", "bitrate": "97k"}}, "bitrate"),
        ({"speed": 1.2}, "speed"),
    ],
)
async def test_the_emulator_refuses_bad_fields_by_name_and_serves_on(emulator, change, word):
    def script() -> list[dict]:
        with connect(emulator.urls["vachana-tts"], additional_headers=KEY) as socket:
            socket.send(json.dumps(REQUEST | change))
            [error] = received(socket)
            socket.send(json.dumps(REQUEST))
            return [error, received(socket)[-1]]

    error, after = await in_thread(script)
    assert error["type"] == "error" and word in error["message"]
    assert after["type"] == "complete"


@pytest.mark.parametrize("system", ["vachana-tts", "vachana-stt"])
@pytest.mark.parametrize("headers", [{}, {"X-API-Key-ID": "bad"}, {"Authorization": "Bearer k"}])
async def test_the_emulator_refuses_keys_at_the_upgrade(emulator, system, headers):
    def script() -> int:
        with pytest.raises(InvalidStatus) as refused, connect(emulator.urls[system], additional_headers=headers):
            pass
        return refused.value.response.status_code

    assert await in_thread(script) == 401


def stt_session(url: str, headers: dict[str, str], frames: list[bytes | str]) -> tuple[list[dict], int]:
    """What the server says until it closes, and its code."""
    seen = []
    with connect(url, additional_headers=KEY | headers) as socket:
        for frame in frames:
            socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                seen.append(json.loads(socket.recv(timeout=30)))
    return seen, closed.value.rcvd.code


@pytest.mark.parametrize(
    ("headers", "frames", "word"),
    [
        ({}, [], "lang_code"),
        ({"lang_code": "xx"}, [], "languages"),
        ({"lang_code": "hi-IN", "x-sample-rate": "24000"}, [], "sample_rate"),
        ({"lang_code": "hi-IN"}, [bytes(2048)], "1024"),
        ({"lang_code": "hi-IN"}, ["{nonsense"], "JSON"),
    ],
)
async def test_the_emulator_refuses_bad_headers_and_frames_by_name(emulator, headers, frames, word):
    seen, code = await in_thread(lambda: stt_session(emulator.urls["vachana-stt"], headers, frames))
    assert (seen[-1]["type"], code) == ("error", 1008)
    assert word in seen[-1]["message"]
    assert [message["type"] for message in seen[:-1]] == (["connected"] if frames else [])


async def test_the_older_path_serves_the_same(emulator):
    """Speech without words to ears that understand none: an empty transcript is still the answer."""
    noise = np.random.default_rng(1).normal(0, 6000, 16_000).clip(-32768, 32767).astype("<i2").tobytes()
    audio = noise + bytes(32_000)

    def script() -> list[str]:
        url = emulator.urls["vachana-stt"].removesuffix("/stream")
        with connect(url, additional_headers=KEY | {"lang_code": "en-IN,hi-IN"}) as socket:
            for at in range(0, len(audio), 1024):
                socket.send(audio[at : at + 1024])
            seen = [json.loads(socket.recv(timeout=30)) for _ in range(5)]
        assert seen[-1]["text"] == "" and not set(seen[-1]) & {"processing_mode", "confidence"}
        return [message["type"] for message in seen]

    assert await in_thread(script) == ["connected", "speech_start", "speech_end", "processing", "transcript"]
