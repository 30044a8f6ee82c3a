"""The contenders. Each opens one stream, does its work and calls `arrived` with the samples of every chunk.

Peers do the least that gives the same samples: JSON, base64, PCM16 at 24 kHz -> 16 kHz, in a loop or a callback. Ours
does that with everything on: contexts, deadlines, keepalive, limits, order, reconnection.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import ssl
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benches.wire.load import STT_PATH, TTS_PATH, WIRE_RATE, Load

OUT_RATE = 16_000
FOREVER = 2.0**31
Arrived = Callable[[Any], None]


@dataclass(frozen=True)
class Job:
    """One stream of a load: where to connect, and what to call."""

    load: Load
    url: str
    context: ssl.SSLContext | None
    begin: Callable[[str], Arrived]


@dataclass(frozen=True)
class Stack:
    name: str
    loop: Literal["trio", "asyncio", "uvloop"]
    run: Callable[[Job], Coroutine[Any, Any, None]]
    needs: str = "voicecore"

    @property
    def available(self) -> bool:
        """True where what it needs is installed."""
        return all(importlib.util.find_spec(module) is not None for module in (self.loop, self.needs))


# --- ours ------------------------------------------------------------------------------------------------


async def ours(job: Job, voice: Any, sleep: Callable[[float], Awaitable[None]]) -> None:
    """`voice` is `voicecore` or `voicecore.aio`: they have the same names."""
    from voicecore.audio import AudioFormat
    from voicecore.deadlines import Deadlines
    from voicecore.vendors.deepdub import DeepdubOptions

    if job.load.mode == "listen":
        await ours_listening(job, voice, sleep)
        return
    options = DeepdubOptions(format="s16le", sample_rate=WIRE_RATE)
    output = AudioFormat("pcm_s16le", OUT_RATE)
    url = job.url + TTS_PATH
    patient = Deadlines(first_audio=60.0)  # the server begins when all are there, and we open 50 connections a second
    async with (
        voice.connect_tts("deepdub", api_key="bench-key", url=url, ssl_context=job.context, deadlines=patient) as tts,
        tts.synthesize("Hello", voice="a", output=output, options=options) as speech,
    ):
        arrived = job.begin(speech.context_id)
        async for chunk in speech:
            arrived(chunk.samples)


async def ours_listening(job: Job, voice: Any, sleep: Callable[[float], Awaitable[None]]) -> None:
    from voicecore.audio import AudioFormat
    from voicecore.vendors.sixtydb import SixtydbSttOptions

    encoding, rate = job.load.encoding
    options = SixtydbSttOptions(encoding=encoding, sample_rate=rate, audio_frames="binary")  # type: ignore[arg-type]
    source = AudioFormat("mulaw" if encoding == "mulaw" else "pcm_s16le", rate)
    url = job.url + STT_PATH
    async with (
        voice.connect_stt("60db", api_key="bench-key", url=url, ssl_context=job.context) as stt,
        stt.stream(input=source, options=options) as stream,
    ):
        await send_frames(job, stream.send, sleep)


async def send_frames(
    job: Job, send: Callable[[bytes], Awaitable[Any]], sleep: Callable[[float], Awaitable[None]]
) -> None:
    """A frame each interval, as a microphone gives them."""
    load, frame = job.load, bytes(range(160)) * (job.load.audio_bytes // 160)
    arrived = job.begin(str(uuid.uuid4()))
    for _ in range(load.chunks):
        await sleep(load.interval)
        await send(frame)
        arrived(frame)


async def ours_trio(job: Job) -> None:
    import trio

    import voicecore

    await ours(job, voicecore, trio.sleep)


async def ours_aio(job: Job) -> None:
    import asyncio

    import voicecore.aio

    await ours(job, voicecore.aio, asyncio.sleep)


# --- what peers do with a message ------------------------------------------------------------------------


class Decoder:
    """A message -> int16 at 16 kHz. `fast`: orjson and pybase64 in place of the standard library."""

    def __init__(self, *, fast: bool) -> None:
        import soxr

        self._resampler = soxr.ResampleStream(WIRE_RATE, OUT_RATE, 1, dtype="int16")
        if fast:
            import orjson
            import pybase64

            self._loads: Any = orjson.loads
            self._decode: Any = pybase64.b64decode
        else:
            self._loads, self._decode = json.loads, base64.b64decode

    def decode(self, payload: str | bytes) -> tuple[Any, bool]:
        """Samples, and whether they are the last."""
        message = self._loads(payload)
        pcm = np.frombuffer(self._decode(message["data"], validate=True), np.int16)
        return self._resampler.resample_chunk(pcm), message["isFinished"]


def request() -> tuple[str, str]:
    """A context's id and the message that begins it."""
    context_id = str(uuid.uuid4())
    fields = {"action": "text-to-speech", "generationId": context_id, "targetText": "Hello", "sampleRate": WIRE_RATE}
    return context_id, json.dumps({**fields, "model": "dd-etts-3.0", "locale": "en-US", "format": "s16le"})


Receive = Callable[[], Awaitable[str | bytes]]
Send = Callable[[Any], Awaitable[Any]]
Sleep = Callable[[float], Awaitable[None]]


async def peer(job: Job, receive: Receive, send: Send, sleep: Sleep, *, fast: bool) -> None:
    if job.load.mode == "listen":
        for _ in range(3):
            await receive()
        await send('{"type":"start"}')
        await receive()
        await send_frames(job, send, sleep)
        return
    context_id, message = request()
    decoder, arrived, last = Decoder(fast=fast), job.begin(context_id), False
    await send(message)
    while not last:
        samples, last = decoder.decode(await receive())
        arrived(samples)


def url_of(job: Job) -> str:
    return job.url + (STT_PATH if job.load.mode == "listen" else TTS_PATH)


# --- peers -----------------------------------------------------------------------------------------------


def trio_websocket(*, fast: bool) -> Callable[[Job], Coroutine[Any, Any, None]]:
    async def run(job: Job) -> None:
        import trio
        from trio_websocket import open_websocket_url

        async with open_websocket_url(url_of(job), ssl_context=job.context) as ws:
            await peer(job, ws.get_message, ws.send_message, trio.sleep, fast=fast)

    return run


def websockets_trio(*, fast: bool) -> Callable[[Job], Coroutine[Any, Any, None]]:
    async def run(job: Job) -> None:
        import trio
        from websockets.trio.client import connect

        options = {} if job.context is None else {"ssl": job.context}
        async with connect(url_of(job), compression=None, **options) as ws:
            await peer(job, ws.recv, ws.send, trio.sleep, fast=fast)

    return run


def websockets_asyncio(*, fast: bool) -> Callable[[Job], Coroutine[Any, Any, None]]:
    async def run(job: Job) -> None:
        import asyncio

        from websockets.asyncio.client import connect

        async with connect(url_of(job), compression=None, ssl=job.context) as ws:
            await peer(job, ws.recv, ws.send, asyncio.sleep, fast=fast)

    return run


def aiohttp_client(*, fast: bool) -> Callable[[Job], Coroutine[Any, Any, None]]:
    async def run(job: Job) -> None:
        import asyncio

        import aiohttp

        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url_of(job), ssl=job.context or True) as ws,
        ):

            async def receive() -> Any:
                return (await ws.receive()).data

            async def send(data: str | bytes) -> None:
                await (ws.send_str(data) if isinstance(data, str) else ws.send_bytes(data))

            await peer(job, receive, send, asyncio.sleep, fast=fast)

    return run


def picows_client(*, fast: bool) -> Callable[[Job], Coroutine[Any, Any, None]]:
    """Its own way: everything happens in the callback of a frame."""

    async def run(job: Job) -> None:
        import asyncio

        from picows import WSListener, WSMsgType, ws_connect

        listening = job.load.mode == "listen"
        decoder, done = Decoder(fast=fast), asyncio.Event()
        context_id, message = request()
        arrived = (lambda samples: None) if listening else job.begin(context_id)
        greeting = 4 if listening else 0

        class Listener(WSListener):  # type: ignore[misc]
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                nonlocal greeting
                if greeting:
                    greeting -= 1
                    if greeting == 1:
                        transport.send(WSMsgType.TEXT, b'{"type":"start"}')
                    elif greeting == 0:
                        done.set()
                    return
                payload = frame.get_payload_as_memoryview() if fast else frame.get_payload_as_bytes()
                samples, last = decoder.decode(payload)
                arrived(samples)
                if last:
                    done.set()

        transport, _ = await ws_connect(Listener, url_of(job), ssl_context=job.context)
        if listening:
            await done.wait()

            async def send(data: bytes) -> None:
                transport.send(WSMsgType.BINARY, data)

            await send_frames(job, send, asyncio.sleep)
        else:
            transport.send(WSMsgType.TEXT, message.encode())
            await done.wait()
        transport.disconnect()

    return run


STACKS = {
    stack.name: stack
    for stack in (
        Stack("voicecore trio", "trio", ours_trio),
        Stack("voicecore asyncio", "asyncio", ours_aio),
        Stack("voicecore uvloop", "uvloop", ours_aio),
        Stack("trio-websocket", "trio", trio_websocket(fast=False), "trio_websocket"),
        Stack("websockets.trio", "trio", websockets_trio(fast=False), "websockets.trio"),
        Stack("websockets.trio +", "trio", websockets_trio(fast=True), "websockets.trio"),
        Stack("websockets asyncio", "asyncio", websockets_asyncio(fast=False), "websockets"),
        Stack("websockets uvloop +", "uvloop", websockets_asyncio(fast=True), "websockets"),
        Stack("aiohttp asyncio", "asyncio", aiohttp_client(fast=False), "aiohttp"),
        Stack("picows asyncio +", "asyncio", picows_client(fast=True), "picows"),
        Stack("picows uvloop +", "uvloop", picows_client(fast=True), "picows"),
    )
}
