"""A server for Uplift's Socket.IO transport on python-socketio and aiohttp, written from the vendor's page alone.

A script and not a test: it prints its port, then serves until its stdin ends. The token says whether it
refuses, the voice how it behaves.
"""

import asyncio
import base64
import sys
import time

import socketio
from aiohttp import web

NAMESPACE = "/text-to-speech/multi-stream"
server = socketio.AsyncServer(async_mode="aiohttp", ping_interval=1, ping_timeout=1)
cancelled: set[str] = set()
REFUSALS = {"wrong-key": "Unauthorized", "one-too-many": "server is full"}


@server.on("connect", namespace=NAMESPACE)
async def connect(sid: str, environ: dict, auth: dict | None) -> None:
    token = (auth or {}).get("token", "")
    if not token.startswith("sk_"):
        raise socketio.exceptions.ConnectionRefusedError(REFUSALS.get(token, "Invalid API key"))
    if token != "sk_no_ready":
        server.start_background_task(say, sid, {"type": "ready", "sessionId": f"session_{sid}"})


async def say(sid: str, message: dict) -> None:
    await server.emit("message", message, to=sid, namespace=NAMESPACE)


@server.on("synthesize", namespace=NAMESPACE)
async def synthesize(sid: str, body: dict) -> None:
    server.start_background_task(speak, sid, body)


@server.on("cancel", namespace=NAMESPACE)
async def cancel(sid: str, body: dict) -> None:
    cancelled.add(body["requestId"])


async def speak(sid: str, body: dict) -> None:
    """The text's bytes, each as a sample, in five chunks."""
    request, voice = body["requestId"], body["voiceId"]
    text = ",".join(sorted(cancelled)) if voice == "v_cancelled" else body["text"]
    samples = b"".join(byte.to_bytes(2, "little") for byte in text.encode())
    await say(sid, {"type": "audio_start", "requestId": request, "timestamp": time.time()})
    size = -(-len(samples) // 10) * 2
    for sequence, at in enumerate(range(0, len(samples), size)):
        sound = samples[at : at + size]
        audio = sound if voice == "v_binary" else base64.b64encode(sound).decode()
        await say(sid, {"type": "audio", "requestId": request, "audio": audio, "sequence": sequence})
        await asyncio.sleep(0.8 if voice == "v_slow" else 0)  # all of it is longer than a ping and its patience
        if voice == "v_leave" and sequence == 1:
            await server.disconnect(sid, namespace=NAMESPACE)
            return
        if request in cancelled:
            return
    await say(sid, {"type": "audio_end", "requestId": request, "timestamp": time.time()})


async def main() -> None:
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


asyncio.run(main())
