"""Deepdub `/ws`: the vendor's own client against our emulator, and our client against a server from the sheet alone."""

from __future__ import annotations

import base64
import json
import math
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

import voicecore
from voicecore import AudioFormat, DeepdubStreamOptions, codec
from voicecore.emulator import Profile, run_emulator
from voicecore.emulator.voice import open_voice

CLIENT = Path(__file__).with_name("deepdub_ws_client.py")
TURNS = [["Hello th", "ere. How are", " you? Fine"], ["And again."]]
SENTENCES = [["Hello there. ", "How are you? ", "Fine"], ["And again."]]
STREAM = {"model": "dd-etts-3.2", "locale": "en-US", "voice_prompt_id": "vp_1", "sample_rate": 16000}

# --- the vendor's client, our emulator -------------------------------------------------------------------


async def ask(profile: Profile, key: str = "dd-any", cancelled: str | None = None, **arguments: object) -> dict:
    asked = {"arguments": {**STREAM, **arguments}, "turns": TURNS, "cancelled": cancelled}
    async with run_emulator(profile, voice="tone", ears="none") as emulator:
        url = emulator.urls["deepdub-ws"]
        with trio.fail_after(60):
            done = await trio.run_process(
                [sys.executable, str(CLIENT)],
                stdin=json.dumps(asked).encode(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env={"DEEPDUB_API_KEY": key, "DEEPDUB_BASE_WEBSOCKET_STREAMING_URL": url, "PATH": ""},
            )
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr.decode())
    return json.loads(done.stdout)


async def spoken(sentences: list[str], rate: int = 16_000) -> bytes:
    """What the emulator's voice says, made without any protocol."""
    parts = []
    async with open_voice(engine="tone") as voice:
        for sentence in sentences:
            async with voice.speak(sentence) as pieces:
                pcm = b"".join([bytes(piece) async for piece in pieces])
            road = codec.Transcoder(AudioFormat("pcm_s16le", voice.sample_rate), AudioFormat("pcm_s16le", rate))
            parts.append(np.concatenate([road.process(pcm), road.flush()]).tobytes())
    return b"".join(parts)


def pieces(turn: dict) -> list[bytes]:
    assert "error" not in turn, turn
    return [base64.b64decode(piece) for piece in turn["pieces"]]


@pytest.mark.parametrize("frames", ["binary", "text"])
@pytest.mark.parametrize("end", ["final", "silence"])
async def test_it_gets_every_sample_of_every_turn(frames, end):
    answer = await ask(Profile(deepdub_frames=frames, deepdub_turn_end=end), format="s16le", first_audio_timeout=50)
    assert uuid.UUID(answer["connection_id"]) and answer["pong"] == {"action": "pong"}
    for turn, sentences in zip(answer["turns"], SENTENCES, strict=True):
        assert b"".join(pieces(turn)) == await spoken(sentences)
        assert len(turn["generations"]) == len(sentences) and turn["final"] is (end == "final")


async def test_its_wav_chunks_and_its_mulaw():
    wav = await ask(Profile(), format="wav", accept_emojis=True, realtime=False, target_gender="male")
    for turn, sentences in zip(wav["turns"], SENTENCES, strict=True):
        assert all(piece[:4] == b"RIFF" for piece in pieces(turn))
        assert b"".join(piece[0x44:] for piece in pieces(turn)) == await spoken(sentences)
    mulaw = await ask(Profile(deepdub_generations="turn"), format="mulaw", sample_rate=8000)
    assert all(len(turn["generations"]) == 1 for turn in mulaw["turns"])
    assert len(b"".join(pieces(mulaw["turns"][1]))) == pytest.approx(len(await spoken(SENTENCES[1], 8000)) / 2, abs=1)


async def test_it_cancels_and_goes_on():
    answer = await ask(Profile(pace=4.0), cancelled="One long sentence that is stopped. And more", format="s16le")
    assert answer["cancelled"]["isFinished"] and answer["cancelled"]["generationId"]
    assert b"".join(pieces(answer["turns"][0])) == await spoken(SENTENCES[0])


async def test_it_hears_our_refusals():
    with pytest.raises(subprocess.SubprocessError, match="Invalid API key"):
        await ask(Profile(), key="bad-key")
    answer = await ask(Profile(), model="gpt")
    assert answer["pong"]["message"] == "queue route not found for model: gpt"  # its ping takes whatever comes next
    assert answer["turns"][0]["error"] == "please send 'stream-config' action with model before streaming text"


# --- our client, a server that knows only the sheet ------------------------------------------------------


def tone(text: str) -> bytes:
    """A tenth of a second for each letter, of a pitch of its own."""
    return b"".join(
        struct.pack("<h", round(8000 * math.sin(ord(letter) * n / 160))) for letter in text for n in range(1600)
    )


class SheetServer:
    """Protocols.md 4.2, line by line. `final`: it says `isFinal`. Each word is a generation."""

    def __init__(self, *, final: bool) -> None:
        self.final = final
        self.connections: list[list[dict]] = []

    def __call__(self, ws: ServerConnection) -> None:
        seen: list[dict] = []
        self.connections.append(seen)
        if ws.request is None or ws.request.headers.get("x-api-key") != "dd-key":
            ws.send(json.dumps({"action": "error", "message": "Invalid API key"}))
            return
        ws.send(json.dumps({"action": "status", "connectionId": str(uuid.uuid4()), "message": "connected"}))
        with suppress(ConnectionClosed):
            self.talk(ws, seen)

    def talk(self, ws: ServerConnection, seen: list[dict]) -> None:
        config, buffered, last = None, "", None
        for raw in ws:
            message = json.loads(raw)
            seen.append(message)
            match message:
                case {"action": "stream-config", "data": dict(config)}:
                    assert config["model"]
                case {"action": "stream-text"} if config is None:
                    ws.send(json.dumps({"action": "error", "message": "please send 'stream-config'", "time": 1}))
                case {"action": "stream-text", "data": {"text": str(text)}}:
                    *words, buffered = (buffered + text).split(" ")
                    for word in words:
                        last = self.generate(ws, word, {})
                case {"action": "end-stream"}:
                    more = {"isFinal": True} if self.final else {}
                    if buffered:
                        last = self.generate(ws, buffered, more)
                    elif more and last:
                        ws.send(json.dumps({"generationId": last, "isFinished": True, **more}))
                    buffered = ""
                case {"action": "cancel"}:
                    buffered = ""
                    ws.send(json.dumps({"generationId": last, "isFinished": True, "isCancelled": True}))
                case {"action": "ping"}:
                    ws.send(json.dumps({"action": "pong"}))

    def generate(self, ws: ServerConnection, word: str, more: dict) -> str:
        name, sound = str(uuid.uuid4()), tone(word)
        for index, at in enumerate(range(0, len(sound), 1601)):  # odd: samples are cut
            data = base64.b64encode(sound[at : at + 1601]).decode()
            ws.send(json.dumps({"generationId": name, "index": index, "isFinished": False, "data": data}).encode())
        ws.send(json.dumps({"generationId": name, "index": index + 1, "isFinished": True, **more}))
        return name


@contextmanager
def serving(handler: SheetServer) -> Iterator[str]:
    with serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=Server.serve_forever, args=(server,))
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws"
        finally:
            server.shutdown()
            thread.join()


OPTIONS = DeepdubStreamOptions(format="s16le", sample_rate=16_000)
PCM = AudioFormat("pcm_s16le", 16_000)


async def heard(stream) -> bytes:
    return b"".join([chunk.samples.tobytes() async for chunk in stream])


@pytest.mark.parametrize("final", [True, False])
async def test_our_client_hears_every_sample_of_a_stranger(final):
    handler = SheetServer(final=final)
    with serving(handler) as url, trio.fail_after(60):
        async with voicecore.connect_tts("deepdub", api_key="dd-key", url=url) as tts:
            async with tts.synthesize("abc de f", voice="vp", output=PCM, options=OPTIONS) as speech:
                assert await heard(speech) == tone("abcdef")
            async with tts.context(voice="vp", output=PCM, options=OPTIONS) as context:
                for texts, sound in ((("ab", "c d", "e"), "abcde"), (("ghi ",), "ghi")):
                    for text in texts:
                        await context.send_text(text)
                    await context.flush()
                    assert await heard(context) == tone(sound)
    [seen] = handler.connections
    actions = [message["action"] for message in seen]
    assert actions[:3] == ["stream-config", "stream-text", "end-stream"] and actions.count("end-stream") == 3
    assert seen[0]["data"]["voicePromptId"] == "vp" and "cancel" not in actions


async def test_our_client_cancels_at_a_stranger_and_goes_on_there():
    handler = SheetServer(final=True)
    with serving(handler) as url, trio.fail_after(60):
        async with voicecore.connect_tts("deepdub", api_key="dd-key", url=url, max_connections=1) as tts:
            for _ in range(5):
                async with tts.context(output=PCM, options=OPTIONS) as context:
                    await context.send_text("abcdefgh ijklmnop")  # never flushed, so never over
                    await anext(context)
            async with tts.synthesize("xyz", output=PCM, options=OPTIONS) as speech:
                assert await heard(speech) == tone("xyz")
    [seen] = handler.connections
    assert [message["action"] for message in seen].count("cancel") == 5


async def test_our_client_is_refused_by_a_stranger():
    with serving(SheetServer(final=True)) as url, trio.fail_after(60):
        with pytest.raises(voicecore.AuthError, match="Invalid API key"):
            async with voicecore.connect_tts("deepdub", api_key="dd-other", url=url):
                pass
