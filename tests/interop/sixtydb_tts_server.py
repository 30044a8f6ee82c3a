"""60db's text-to-speech socket after the vendor's page alone, on the `websockets` library: nothing of voicecore.

It speaks a ramp: the n-th flushed character of a context is the sample n. Forms: "object", "boolean" (`true` where the
page has it, and audio that names no context), "empty" (`{}`).
"""

from __future__ import annotations

import base64
import json
import struct
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

PIECE = 100  # samples of one audio message


class Server:
    """One handler for `websockets.sync.server.serve`. `seen`: every message by connection."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.seen: list[list[dict]] = []

    def __call__(self, ws: ServerConnection) -> None:
        seen: list[dict] = []
        self.seen.append(seen)
        if parse_qs(urlsplit(ws.request.path).query).get("apiKey") != ["sk_live"]:
            ws.send(json.dumps({"error": {"message": "Invalid API key"}}))
            ws.close(1008, "Invalid API key")
            return
        self.say(ws, "connection_established", {"service": "tts", "user_id": 43})
        texts: dict[str, list[str]] = {}
        spoken: dict[str, int] = {}
        for frame in ws:
            message = json.loads(frame)
            seen.append(message)
            [(name, body)] = message.items()
            context_id = body["context_id"]
            if name == "create_context":
                assert body["audio_config"] == {"audio_encoding": "LINEAR16", "sample_rate_hertz": 16000}
                texts[context_id], spoken[context_id] = [], 0
                self.say(ws, "context_created", {"context_id": context_id})
            elif name == "send_text":
                texts[context_id].append(body["text"])
            elif name == "flush_context":
                count = len("".join(texts[context_id]))
                texts[context_id].clear()
                self.speak(ws, context_id, spoken[context_id], count)
                spoken[context_id] += count
                self.say(ws, "flush_completed", {"context_id": context_id})
            elif name == "close_context":
                del texts[context_id]
                self.say(ws, "context_closed", {"context_id": context_id})
                if not texts:
                    return  # the page: the server closes the socket

    def speak(self, ws: ServerConnection, context_id: str, first: int, count: int) -> None:
        for at in range(first, first + count, PIECE):
            samples = range(at, min(at + PIECE, first + count))
            content = base64.b64encode(struct.pack(f"<{len(samples)}h", *samples)).decode()
            named = {"context_id": context_id} if self.form == "object" else {}
            ws.send(json.dumps({"audio_chunk": {**named, "audioContent": content}}))

    def say(self, ws: ServerConnection, name: str, body: dict[str, Any]) -> None:
        with suppress(ConnectionClosed):  # a client that says goodbye does not wait for the answer
            ws.send(json.dumps({name: {"object": body, "boolean": True, "empty": {}}[self.form]}))
