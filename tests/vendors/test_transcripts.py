"""Conversations as the vendors publish them, replayed in both roles.

A line's message is a JSON object, in a text or a binary frame; a string in a binary frame is raw audio in base64.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.wire import Wire, client

from voicecore.errors import QuotaError, RateLimitError, VendorError
from voicecore.events import CURRENT, Event, Malformed, OpenContext, Synthesize, Unknown
from voicecore.protocol import ContextState, Protocol, Role, SessionState
from voicecore.vendors.deepdub.open import DeepdubOpen
from voicecore.vendors.sixtydb.stt import SixtydbStt
from voicecore.vendors.sixtydb.tts import SixtydbTts

FOLDER = Path(__file__).parent.parent / "transcripts"
VENDORS = {"deepdub": ("deepdub", DeepdubOpen), "60db-stt": ("60db", SixtydbStt), "60db-tts": ("60db-tts", SixtydbTts)}
PATHS = sorted(path for prefix in VENDORS for path in FOLDER.glob(f"{prefix}-*.jsonl"))

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
}


class Line(NamedTuple):
    """One message of a conversation."""

    sender: str
    text: bool
    message: dict[str, Any] | bytes

    @property
    def payload(self) -> bytes:
        """As it is on the wire."""
        return self.message if isinstance(self.message, bytes) else json.dumps(self.message).encode()


def read(path: Path) -> list[Line]:
    head, *rest = map(json.loads, path.read_text().splitlines())
    assert head["source"]
    lines = []
    for line in rest:
        assert set(line) == {"from", "frame", "message"} and line["frame"] in ("text", "binary")
        message = line["message"]
        raw = base64.b64decode(message, validate=True) if isinstance(message, str) else message
        lines.append(Line(line["from"], line["frame"] == "text", raw))
    return lines


def vendor_of(path: Path) -> tuple[str, Any]:
    return next(vendor for prefix, vendor in VENDORS.items() if path.name.startswith(prefix))


def id_of(lines: list[Line]) -> str | None:
    """The id that the server gave to a request without one."""
    named = (line.message.get("generationId") for line in lines if isinstance(line.message, dict))
    return next((name for name in named if name), None)


def request(dialect: Any, line: Line, lines: list[Line]) -> Event:
    event = dialect.decode(line.payload, text=line.text, role=Role.SERVER)
    assert not isinstance(event, Malformed | Unknown), event
    if isinstance(event, Synthesize) and "generationId" not in line.message:
        return replace(event, context_id=id_of(lines))
    return event


def set_fields(message: Any, *, given: Any = None) -> Any:
    """What a message says: null is absent, and an id that only one side gave is not compared."""
    if not isinstance(message, dict):
        return message
    keep = {name: value for name, value in message.items() if value is not None or message.get("type") == "config"}
    if isinstance(given, dict) and "generationId" not in given:
        keep.pop("generationId", None)
    return keep


def test_every_transcript_has_an_outcome():
    assert {path.stem for path in PATHS} == set(OUTCOMES)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("chunk", [None, 1])
def test_our_client_says_and_hears_what_the_vendor_publishes(path, chunk):
    vendor, dialect = vendor_of(path)
    lines = read(path)
    events, error = OUTCOMES[path.stem]
    wire = Wire(client(vendor), chunk=chunk)
    asked: list[str] = []
    for line in lines:
        if line.sender == "server":
            wire.say(line.message, binary=not line.text)
            continue
        event = request(dialect(), line, lines)
        begins = isinstance(event, Synthesize | OpenContext)
        asked += [event.context_id] if begins else []
        wire.send(event, **({"byte_rate": 88_200} if begins else {}))
        assert set_fields(wire.heard[-1], given=line.message) == set_fields(line.message)
    inbox = asked[0] if asked else ""
    read_events = [type(event).__name__ for event in wire.taken(inbox)]
    assert [name for name in read_events if error is None or name != "Failed"] == events
    assert type(wire.error(inbox)) is (type(None) if error is None else error)
    protocol = wire.connection.protocol
    assert (protocol.late_messages, protocol.unknown_messages) == (0, 0)
    assert set(protocol.contexts.values()) <= {ContextState.CLOSING}  # a page may end before the answer


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_our_server_hears_and_says_what_the_vendor_publishes(path):
    _, dialect = vendor_of(path)
    lines = read(path)
    server = Protocol(dialect(), Role.SERVER)
    for line in lines:
        if line.sender == "client":
            event = request(dialect(), line, lines)
            assert server.received(event) is event
            continue
        event = dialect().decode(line.payload, text=line.text, role=Role.CLIENT)
        if getattr(event, "context_id", None) == CURRENT:
            [context_id] = server.contexts
            event = replace(event, context_id=context_id)
        said = server.send(event)
        payload = said.encode() if isinstance(said, str) else said
        assert dialect().decode(payload, text=isinstance(said, str), role=Role.CLIENT) == event
        names = set(json.loads(payload))
        assert set(line.message) - {"timestamp"} <= names | {"isFinished", "server_info", "is_partial"}
    assert server.unknown_messages == 0
    if dialect is DeepdubOpen:
        failed_without_a_name = OUTCOMES[path.stem][1] is not None and "generationId" not in lines[-1].message
        assert bool(server.contexts) is failed_without_a_name
    elif dialect.kind == "tts":
        assert set(server.contexts.values()) <= {ContextState.CLOSING}
    else:
        assert server.session_state in (SessionState.STOPPED, SessionState.FAILED)
