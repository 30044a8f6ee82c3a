"""The emulator's 60db text-to-speech: what takes time, and each of its switches met by our own client. No socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

import voicecore
from voicecore import AudioFormat
from voicecore.emulator import Emulator, Profile, run_emulator

PCM_16K = AudioFormat("pcm_s16le", 16_000)
URL = "ws://localhost/ws/tts"
Stranger = tuple[WebSocketConnection, list[bytes]]


@asynccontextmanager
async def stranger(emulator: Emulator, *, mute_after: float = float("inf")) -> AsyncIterator[Stranger]:
    """Another WebSocket implementation's client, and what it got. `mute_after` seconds it says nothing any more."""
    stream = await emulator.open_stream(URL)
    got: list[bytes] = []
    until = trio.current_time() + mute_after
    send = stream.send_all

    async def send_all(data: bytes) -> None:
        if trio.current_time() < until:
            await send(data)

    receive = stream.receive_some

    async def receive_some(max_bytes: int | None = None) -> bytes:
        got.append(bytes(await receive(max_bytes)))
        return got[-1]

    stream.receive_some, stream.send_all = receive_some, send_all
    async with trio.open_nursery() as nursery:
        socket = await wrap_client_stream(nursery, stream, "localhost", "/ws/tts?apiKey=k")
        yield socket, got
        nursery.cancel_scope.cancel()


async def test_it_pings_every_thirty_seconds(autojump_clock):
    async with run_emulator(voice="tone", ears="none") as emulator, stranger(emulator) as (socket, got):
        assert "connection_established" in json.loads(await socket.get_message())
        began, pings = trio.current_time(), []
        with trio.move_on_after(95):
            while True:
                await trio.sleep(0.5)
                pings += [round(trio.current_time() - began)] * sum(frame[:1] == b"\x89" for frame in got)
                got.clear()
    assert len(pings) == 3 and all(abs(at - expected) <= 1 for at, expected in zip(pings, (30, 60, 90), strict=True))


async def test_a_client_that_does_not_answer_a_ping_is_closed_ten_seconds_later(autojump_clock):
    async with run_emulator(voice="tone", ears="none") as emulator, stranger(emulator, mute_after=5) as (socket, _):
        await socket.get_message()
        began = trio.current_time()
        with pytest.raises(ConnectionClosed) as closed, trio.fail_after(100):
            await socket.get_message()
        assert (closed.value.reason.code, trio.current_time() - began) == (1011, pytest.approx(40))


PROFILES = [
    Profile(),
    Profile(sixtydb_envelope="boolean"),
    Profile(sixtydb_context_ids="left_out"),
    Profile(sixtydb_envelope="boolean", sixtydb_context_ids="left_out"),
    Profile(sixtydb_tts_connecting=True),
    Profile(sixtydb_closes_after="any"),
    Profile(last_audio="before_last", chunk_seconds=0.05, pace=10.0),
]


@pytest.mark.parametrize("profile", PROFILES)
async def test_our_client_gets_the_same_from_every_profile(autojump_clock, profile):
    async with run_emulator(profile, voice="tone", ears="none") as emulator:
        async with voicecore.connect_tts("60db", api_key="k", url=URL, open_stream=emulator.open_stream) as tts:
            async with tts.synthesize("One two three.", output=PCM_16K) as speech:
                whole = np.concatenate([chunk.samples async for chunk in speech])
            async with tts.context(output=PCM_16K) as context:
                for _ in range(2):
                    for piece in ("One ", "two", " three."):
                        await context.send_text(piece)
                    await context.flush()
                    assert np.array_equal(np.concatenate([chunk.samples async for chunk in context]), whole)
        assert emulator.connections == 1


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
async def test_every_rate_and_mulaw_come_at_their_length(autojump_clock, rate):
    async with run_emulator(voice="tone", ears="none") as emulator:
        async with voicecore.connect_tts("60db", api_key="k", url=URL, open_stream=emulator.open_stream) as tts:
            lengths = []
            for options in (
                voicecore.SixtydbTtsOptions("LINEAR16", rate),
                voicecore.SixtydbTtsOptions("PCM", rate),
                voicecore.SixtydbTtsOptions("MULAW"),
                voicecore.SixtydbTtsOptions("PCM", rate, speed=2.0),
            ):
                async with tts.synthesize("One two three four.", output=PCM_16K, options=options) as speech:
                    lengths.append(sum([len(chunk.samples) async for chunk in speech]))
            async with tts.synthesize("One two three four.", output=None, options=options) as speech:
                raw = sum([len(chunk.data) async for chunk in speech])
    assert lengths[1:3] == pytest.approx([lengths[0]] * 2, abs=2)
    assert lengths[3] == pytest.approx(lengths[0] / 2, rel=0.05)
    assert raw / 2 / rate == pytest.approx(lengths[3] / 16_000, abs=0.001)


async def test_a_wallet_that_is_empty_is_a_quota_error(autojump_clock):
    async with run_emulator(Profile(no_credit=True), voice="tone", ears="none") as emulator:
        with pytest.raises(voicecore.QuotaError, match="INSUFFICIENT_CREDITS"):
            async with voicecore.connect_tts("60db", api_key="k", url=URL, open_stream=emulator.open_stream) as tts:
                async with tts.synthesize("x") as speech:
                    async for _ in speech:
                        pass


@pytest.mark.parametrize("refusal", ["vendor", "http", "in_band", "silent"])
async def test_a_bad_key_is_an_auth_error_however_it_is_refused(autojump_clock, refusal):
    async with run_emulator(Profile(refusal=refusal), voice="tone", ears="none") as emulator:
        with pytest.raises(voicecore.AuthError):
            async with voicecore.connect_tts("60db", api_key="bad", url=URL, open_stream=emulator.open_stream):
                pass
        assert emulator.connections <= 1


async def test_barge_in_a_hundred_times_leaves_nothing_speaking(autojump_clock):
    """The socket is dropped by each, and the emulator stops speaking with it."""
    async with run_emulator(Profile(pace=1.0), voice="tone", ears="none") as emulator:
        await trio.testing.wait_all_tasks_blocked()
        tasks = trio.lowlevel.current_statistics().tasks_living
        async with voicecore.connect_tts("60db", api_key="k", url=URL, open_stream=emulator.open_stream) as tts:
            for _ in range(100):
                async with tts.context(output=PCM_16K) as context:
                    await context.send_text("This is a long sentence that nobody will hear to its end.")
                    await context.flush()
                    async for _ in context:
                        break
            async with tts.synthesize("The end.", output=PCM_16K) as speech:
                assert [chunk async for chunk in speech]
        await trio.sleep(5)
        assert emulator.connections == 101
        assert trio.lowlevel.current_statistics().tasks_living == tasks
