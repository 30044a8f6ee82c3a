"""Conversations as the vendors publish them, replayed in both roles.

A line's message is a JSON object, in a text or a binary frame; a string in a binary frame is raw audio in base64, a
string in a text frame is that text: a packet of Socket.IO. The message of a close frame is its code. Where the options
are in the upgrade, the start is no line.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.wire import Wire, client

from voicecore.errors import AuthError, QuotaError, RateLimitError, VendorError, VendorUnavailableError
from voicecore.events import (
    CURRENT,
    Authenticate,
    CancelContext,
    ContextFinished,
    Event,
    Goodbye,
    HeartbeatAnswered,
    Malformed,
    OpenContext,
    StartStream,
    StopStream,
    Synthesize,
    Unknown,
)
from voicecore.protocol import ContextState, Protocol, Role, SessionState
from voicecore.vendors.deepdub import DeepdubOpen, DeepdubWs
from voicecore.vendors.sixtydb.stt import SixtydbStt
from voicecore.vendors.sixtydb.tts import SixtydbTts
from voicecore.vendors.uplift import Uplift, UpliftSocketIO
from voicecore.vendors.vachana import VachanaStt, VachanaTts

FOLDER = Path(__file__).parent.parent / "transcripts"
# By the longest prefix that fits: the name of the client and what makes the dialect, in the form the server speaks.
VENDORS = {
    "deepdub": ("deepdub", DeepdubOpen),
    "deepdub-ws": ("deepdub-ws", DeepdubWs),
    "60db-stt": ("60db", SixtydbStt),
    "60db-tts": ("60db-tts", SixtydbTts),
    "uplift-socketio": ("uplift-socketio", UpliftSocketIO),
    "uplift": ("uplift", Uplift),
    "vachana-tts-page": ("vachana-tts", partial(VachanaTts, form="binary", end="close")),
    "vachana-tts-binary": ("vachana-tts", partial(VachanaTts, form="binary")),
    "vachana-tts": ("vachana-tts", VachanaTts),
    "vachana-stt": ("vachana-stt", VachanaStt),
}
PATHS = sorted(path for path in FOLDER.glob("*.jsonl") if path.name.startswith(tuple(VENDORS)))
KEY = "sk_api_x"  # where a transcript has one

# What the client reads, in order, and the error at the end if there is one.
OUTCOMES: dict[str, tuple[list[str], type[VendorError] | None]] = {
    "deepdub-example": (["ContextAccepted", "Audio", "Audio", "ContextFinished"], None),
    "deepdub-binary-frames": (["ContextAccepted", "Audio", "Audio", "ContextFinished"], None),
    "deepdub-javascript": (["ContextAccepted", "Audio", "ContextFinished"], None),
    "deepdub-python-client": (["ContextAccepted", "ContextFinished"], None),
    "deepdub-rate-limit": ([], RateLimitError),
    "deepdub-trial-key": ([], QuotaError),
    "deepdub-accent": (["ContextAccepted", "ContextFinished"], None),
    "deepdub-gender": (["VoiceClassified", "Failed"], None),
    "deepdub-ws-example": (["Audio", "GenerationFinished", "Audio", "FlushCompleted"], None),
    "deepdub-ws-python-client": (["Audio", "GenerationFinished", "Audio", "FlushCompleted"], None),
    "deepdub-ws-two-turns": (["Audio", "FlushCompleted", "Audio", "FlushCompleted"], None),
    "deepdub-ws-cancel": (["Audio"], None),
    "deepdub-ws-not-configured": (["ServerReady", "Failed", "Pong"], None),
    "deepdub-ws-worker-error": (["Audio"], VendorError),
    "60db-stt-quick-start": (["Authenticated", "ServerReady", "Transcript", "StreamStopped"], None),
    "60db-stt-livekit": (["Authenticated", "ServerReady", "Transcript", "StreamStopped"], None),
    "60db-stt-reference": (
        ["Connecting", "ServerReady", "Authenticated", "StreamStarted", "SpeechStarted", "Transcript", "StreamStopped"],
        None,
    ),
    "60db-stt-linear": (
        ["Connecting", "Authenticated", "ServerReady", "StreamStarted", "Transcript", "Transcript", "StreamStopped"],
        None,
    ),
    "60db-stt-two-finals": (
        ["Authenticated", "ServerReady", "StreamStarted", "Transcript", "Transcript", "Transcript", "StreamStopped"],
        None,
    ),
    "60db-stt-config": (
        ["Authenticated", "ServerReady", "LanguageChanged", "ModeChanged", "ProbeAnswered", "StreamStopped"],
        None,
    ),
    "60db-stt-no-credit": (["Connecting"], QuotaError),
    "60db-stt-concurrency": (["Authenticated"], RateLimitError),
    "60db-tts-quick-start": (["ContextAccepted", "Audio", "Audio", "FlushCompleted", "ContextFinished"], None),
    "60db-tts-livekit": (["Audio", "FlushCompleted"], None),
    "60db-tts-reference": (["ContextAccepted", "Audio", "FlushCompleted", "ContextFinished"], None),
    "60db-tts-turns": (
        ["ContextAccepted", "Audio", "FlushCompleted", "Audio", "FlushCompleted", "ContextFinished"],
        None,
    ),
    "60db-tts-empty-bodies": (["ContextAccepted", "Audio", "FlushCompleted", "ContextFinished"], None),
    "60db-tts-no-credit": (["Connecting"], QuotaError),
    "60db-tts-context-error": ([], VendorError),
    "vachana-tts-page": (["BareAudio", "BareAudio", "ContextFinished"], None),
    "vachana-tts-json": (["ContextAccepted", "Audio", "Audio", "ContextFinished"], None),
    "vachana-tts-last-audio": (["ContextAccepted", "Audio", "ContextFinished"], None),
    "vachana-tts-binary": (["ContextAccepted", "BareAudio", "BareAudio", "ContextFinished"], None),
    "vachana-tts-clone": (["ContextAccepted", "Audio", "ContextFinished"], None),
    "vachana-tts-sequential": (["ContextAccepted", "ContextFinished", "ContextAccepted", "ContextFinished"], None),
    "vachana-tts-error": ([], RateLimitError),
    "vachana-stt-session": (["ServerReady", "Processing", "Transcript", "StreamStopped"], None),
    "vachana-stt-vad": (
        ["ServerReady", "SpeechStarted", "SpeechEnded", "Processing", "Transcript", "StreamStopped"],
        None,
    ),
    "vachana-stt-error": (["ServerReady"], VendorError),
    "uplift-example": (["ContextAccepted", "Audio", "Audio", "ContextFinished"], None),
    "uplift-interleaved": (["ContextAccepted", "Audio", "Audio", "ContextFinished"] * 2, None),
    "uplift-rate-limit": ([], RateLimitError),
    "uplift-synthesis-failed": (["ContextAccepted", "Audio"], VendorUnavailableError),
    "uplift-auth-failed": ([], AuthError),
    "uplift-socketio-trace": (["ContextAccepted", "Audio", "ContextFinished"], None),
    "uplift-socketio-cancel": (["ContextAccepted", "Audio"], None),
    "uplift-socketio-refused": (["TransportOpened"], AuthError),
}


class Line(NamedTuple):
    """One message of a conversation."""

    sender: str
    text: bool
    message: dict[str, Any] | bytes | str | int

    @property
    def payload(self) -> bytes:
        """As it is on the wire."""
        if isinstance(self.message, str):
            return self.message.encode()
        return self.message if isinstance(self.message, bytes) else json.dumps(self.message).encode()


def read(path: Path) -> list[Line]:
    head, *rest = map(json.loads, path.read_text().splitlines())
    assert head["source"]
    lines = []
    for line in rest:
        assert set(line) == {"from", "frame", "message"} and line["frame"] in ("text", "binary", "close")
        message = line["message"]
        sound = isinstance(message, str) and line["frame"] == "binary"
        raw = base64.b64decode(message, validate=True) if sound else message
        lines.append(Line(line["from"], line["frame"] == "text", raw))
    return lines


def vendor_of(path: Path) -> tuple[str, Any]:
    return VENDORS[max((prefix for prefix in VENDORS if path.name.startswith(prefix)), key=len)]


def id_of(lines: list[Line]) -> str | None:
    """The id that the server gave to a request without one."""
    named = (line.message.get("generationId") for line in lines if isinstance(line.message, dict))
    return next((name for name in named if name), None)


def request(dialect: Any, line: Line, lines: list[Line]) -> Event:
    event = dialect.decode(line.payload, text=line.text, role=Role.SERVER)
    assert not isinstance(event, Malformed | Unknown), event
    if isinstance(event, Synthesize) and isinstance(dialect, DeepdubOpen) and "generationId" not in line.message:
        return replace(event, context_id=id_of(lines))
    return event


def set_fields(message: Any, *, given: Any = None) -> Any:
    """What a message says: null is absent, and an id that only one side gave is not compared.

    To Deepdub's `/ws`, `config` and `data` are the same, and so is a text beside them.
    """
    if isinstance(message, str):
        head, *_ = re.split(r"[\[{]", message, maxsplit=1)
        return head, json.loads(message.removeprefix(head) or "null")
    if not isinstance(message, dict):
        return message
    if message.get("action") in ("stream-config", "stream-text"):
        fields = message.get("data") or message.get("config") or {"text": message.get("text")}
        return {"action": message["action"], "data": {name: v for name, v in fields.items() if v is not None}}
    keep = {name: value for name, value in message.items() if value is not None or message.get("type") == "config"}
    for name in ("generationId", "request_id"):
        if isinstance(given, dict) and name not in given:
            keep.pop(name, None)
    return keep


def named(event: Event, asked: list[str]) -> Event:
    """The event with the id of the utterance at work, where its message names none."""
    return replace(event, context_id=asked[-1]) if getattr(event, "context_id", None) == CURRENT else event


def say(wire: Wire, event: Event) -> None:
    """Lets the client say what the user asks of it; what answers the vendor it has said already."""
    if isinstance(event, CancelContext):
        wire.connection.cancel(event.context_id, wire.now)
    elif isinstance(event, Goodbye):
        wire.connection.close(wire.now)
    elif not isinstance(event, Authenticate | HeartbeatAnswered):
        wire.send(event, **({"byte_rate": 88_200} if isinstance(event, Synthesize | OpenContext) else {}))
    wire.exchange()


def test_every_transcript_has_an_outcome():
    assert {path.stem for path in PATHS} == set(OUTCOMES)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("chunk", [None, 1])
def test_our_client_says_and_hears_what_the_vendor_publishes(path, chunk):
    vendor, dialect = vendor_of(path)
    lines = read(path)
    events, error = OUTCOMES[path.stem]
    wire = Wire(client(vendor, key=KEY), chunk=chunk)
    in_upgrade = dialect().options_in_upgrade
    asked: list[str] = []
    for line in lines:
        if line.sender == "server":
            wire.close(line.message) if isinstance(line.message, int) else wire.say(line.message, binary=not line.text)
            if in_upgrade and line is lines[0]:
                wire.send(StartStream(dialect().options()))
            continue
        event = request(dialect(), line, lines)
        asked += [event.context_id] if isinstance(event, Synthesize | OpenContext) else []
        say(wire, event)
        assert set_fields(wire.heard[-1], given=line.message) == set_fields(line.message)
    if in_upgrade and error is None:
        wire.send(StopStream())
        wire.at(1.0)
    inboxes = asked or [""]
    read_events = [type(event).__name__ for inbox in inboxes for event in wire.taken(inbox)]
    assert [name for name in read_events if error is None or name != "Failed"] == events
    closed = any(isinstance(line.message, int) for line in lines)
    assert closed or type(wire.error(inboxes[-1])) is (type(None) if error is None else error)
    protocol = wire.connection.protocol
    for inbox in asked if wire.connection.protocol.dialect.max_contexts == 1 else ():
        wire.connection.leave(inbox, wire.now)
    if protocol.dialect.vendor == "uplift":
        for inbox in asked:
            wire.connection.forget(inbox)
    confirmed = sum(b"isCancelled" in line.payload for line in lines)  # nobody waits for the answer to a cancel
    assert (protocol.late_messages, protocol.unknown_messages) == (confirmed, 0)
    ended = wire.connection.closed
    assert ended or set(protocol.contexts.values()) <= {ContextState.CLOSING}  # a page may end early


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_our_server_hears_and_says_what_the_vendor_publishes(path):
    _, dialect = vendor_of(path)
    lines = read(path)
    server = Protocol(dialect(), Role.SERVER)
    asked: list[str] = []
    if server.dialect.options_in_upgrade:
        server.received(StartStream(server.dialect.options()))
    for line in lines:
        if line.sender == "client":
            event = request(dialect(), line, lines)
            asked += [event.context_id] if isinstance(event, Synthesize | OpenContext) else []
            assert server.received(event) is event
            continue
        if isinstance(line.message, int):
            assert server.send(ContextFinished(asked[-1])) is None and server.dialect.closes_after_context
            continue
        event = dialect().decode(line.payload, text=line.text, role=Role.CLIENT)
        event = named(event, asked)
        said = server.send(event)
        payload = said.encode() if isinstance(said, str) else said
        assert named(dialect().decode(payload, text=isinstance(said, str), role=Role.CLIENT), asked) == event
        if isinstance(line.message, dict):
            names = set(json.loads(payload)) | {"requestId", "time"}
            assert set(line.message) - {"timestamp"} <= names | {"isFinished", "server_info", "is_partial"}
    assert server.unknown_messages == 0
    error = OUTCOMES[path.stem][1]
    if dialect is DeepdubWs:
        assert server.session_state is SessionState.READY
    elif server.dialect.streams_text:
        assert set(server.contexts.values()) <= {ContextState.CLOSING}
    elif server.dialect.kind == "tts":
        last = lines[-1].message
        names_it = isinstance(last, dict) and (
            last.get("generationId") or last.get("requestId", "unknown") != "unknown"
        )
        failed_without_a_name = isinstance(last, dict) and error is not None and not names_it
        left = set(server.contexts.values()) - {ContextState.CANCELLED}
        assert bool(left) is failed_without_a_name
    elif server.dialect.options_in_upgrade:  # and no message that stops
        assert server.session_state is (SessionState.STREAMING if error is None else SessionState.FAILED)
    else:
        assert server.session_state in (SessionState.STOPPED, SessionState.FAILED)
