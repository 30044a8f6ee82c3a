"""How the emulator behaves where a vendor's documents leave a choice, and what it refuses. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voicecore.protocol import Dialect
from voicecore.secret import Secret
from voicecore.vendors.deepdub import DeepdubOpen
from voicecore.vendors.sixtydb import SixtydbStt, SixtydbTts

REFUSED_PREFIX = "bad"  # a key that begins so is refused, so that anyone can test a refusal


@dataclass(frozen=True, slots=True)
class Profile:
    """One emulator's choices; the defaults satisfy every published client that we read.

    `key` None accepts any non-empty key that does not begin with "bad". `refusal` is how a bad key is refused: as the
    vendor does, by HTTP 401, by an error and close 1008, or by 1008 alone. `pace` is how much faster than real time
    audio is sent, 0 for as fast as it is made. `chunk_seconds` is the length of one audio message.
    """

    key: Secret | None = None
    refusal: Literal["vendor", "http", "in_band", "silent"] = "vendor"
    no_credit: bool = False
    max_contexts: int | None = None
    chunk_seconds: float = 0.2
    pace: float = 0.0
    deepdub_frames: Literal["binary", "text"] = "binary"
    last_audio: Literal["in_last", "before_last"] = "in_last"
    sixtydb_handshake: Literal["after_start", "before_start"] = "after_start"
    sixtydb_envelope: Literal["object", "boolean"] = "object"
    sixtydb_context_ids: Literal["sent", "left_out"] = "sent"
    sixtydb_tts_connecting: bool = False
    sixtydb_closes_after: Literal["last", "any"] = "last"

    def accepts(self, key: str | None) -> bool:
        """True for a key that this emulator takes."""
        if self.key is not None:
            return key is not None and Secret(key) == self.key
        return bool(key) and not str(key).startswith(REFUSED_PREFIX)

    def dialects(self) -> dict[str, Dialect]:
        """Every dialect that is served, by the path of its URL."""
        served: list[Dialect] = [
            DeepdubOpen(binary_frames=self.deepdub_frames == "binary"),
            SixtydbStt(
                boolean_envelope=self.sixtydb_envelope == "boolean",
                connected_first=self.sixtydb_handshake == "before_start",
            ),
            SixtydbTts(
                boolean_envelope=self.sixtydb_envelope == "boolean",
                nameless=self.sixtydb_context_ids == "left_out",
                connecting=self.sixtydb_tts_connecting,
                closes_after=self.sixtydb_closes_after,
            ),
        ]
        return {dialect.path(): dialect for dialect in served}
