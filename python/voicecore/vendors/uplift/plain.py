"""Uplift AI on a plain WebSocket: bare JSON objects, and the key in the upgrade's Authorization header.

Source: the vendor's JavaScript SDK and Pipecat plugin, and protocols.md section 3.1.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import ClassVar

from voicecore.events import Event, Failed, ServerEvent, ServerReady
from voicecore.protocol import Role, SessionState, dump_json
from voicecore.secret import Secret
from voicecore.vendors.uplift.speech import UpliftSpeech


class Uplift(UpliftSpeech):
    """One JSON object per message."""

    name = "uplift"
    default_url = "wss://api.upliftai.org/v1/text-to-speech/multi-stream"
    initial = SessionState.JOINED
    sessions: ClassVar = {
        SessionState.JOINED: {ServerReady: SessionState.READY, Failed: SessionState.FAILED},
        SessionState.READY: {ServerReady: SessionState.READY, Failed: SessionState.READY},
    }
    refuses_by_http = True

    def upgrade(self, url: str, key: Secret) -> tuple[str, dict[str, str]]:
        return url, {"Authorization": f"Bearer {key.reveal()}"}

    def key_of(self, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else None

    def greeting(self) -> Sequence[ServerEvent]:
        return (ServerReady({"sessionId": f"session_{uuid.uuid4().hex}"}),)

    def decode(self, payload: bytes, *, text: bool, role: Role) -> Event:
        return self.request(None, payload) if role is Role.SERVER else self.answer(payload)

    def encode(self, event: Event) -> str:
        return dump_json(self.body(event))
