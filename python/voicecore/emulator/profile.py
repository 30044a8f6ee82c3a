"""How the emulator behaves where a vendor's documents leave a choice, and what it refuses. Plain data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from voicecore import vendors
from voicecore.emulator.faults import EmulatorFault
from voicecore.emulator.replies import LlmTurn
from voicecore.protocol import Dialect
from voicecore.secret import Secret
from voicecore.vendors.deepdub import DeepdubOpen, DeepdubWs
from voicecore.vendors.sixtydb import SixtydbStt, SixtydbTts
from voicecore.vendors.uplift import Uplift, UpliftSocketIO
from voicecore.vendors.vachana import VachanaStt, VachanaTts

REFUSED_PREFIX = "bad"  # a key that begins so is refused, so that anyone can test a refusal


@dataclass(frozen=True, slots=True)
class Profile:
    """One emulator's choices; the defaults satisfy every published client that we read.

    `key` None accepts any non-empty key that does not begin with "bad". `refusal` is how a bad key is refused: as the
    vendor does, by HTTP 401, by an error and close 1008, or by 1008 alone. `pace` is how much faster than real time
    audio is sent, 0 for as fast as it is made. `chunk_seconds` is the length of one audio message.
    `uplift_after_cancel`: what Uplift still says of a cancelled utterance (nothing, its end, or all of its audio);
    `uplift_unknown_voice`: whether it answers a voice that it does not have. `llm_script`: what the language model
    answers, request by request; a small grammar once it is over. `llm_token_seconds` is the time that one token takes.
    """

    key: Secret | None = None
    refusal: Literal["vendor", "http", "in_band", "silent"] = "vendor"
    no_credit: bool = False
    llm_script: tuple[LlmTurn, ...] = ()
    llm_token_seconds: float = 0.0
    max_contexts: int | None = None
    chunk_seconds: float = 0.2
    pace: float = 0.0
    deepdub_frames: Literal["binary", "text"] = "binary"
    deepdub_generations: Literal["sentence", "turn"] = "sentence"
    deepdub_turn_end: Literal["final", "silence"] = "final"
    last_audio: Literal["in_last", "before_last"] = "in_last"
    sixtydb_handshake: Literal["after_start", "before_start"] = "after_start"
    sixtydb_envelope: Literal["object", "boolean"] = "object"
    uplift_after_cancel: Literal["silence", "end", "audio"] = "silence"
    uplift_unknown_voice: Literal["silent", "error"] = "silent"
    sixtydb_context_ids: Literal["sent", "left_out"] = "sent"
    sixtydb_tts_connecting: bool = False
    sixtydb_closes_after: Literal["last", "any"] = "last"
    vachana_form: Literal["json", "binary"] = "json"
    vachana_end: Literal["complete", "complete_and_close", "close"] = "complete"
    vachana_wav: Literal["per_chunk", "first_chunk", "header_first"] = "per_chunk"
    vachana_odd_splits: bool = False
    faults: tuple[EmulatorFault, ...] = ()

    def accepts(self, key: str | None) -> bool:
        """True for a key that this emulator takes."""
        if self.key is not None:
            return key is not None and Secret(key) == self.key
        return bool(key) and not str(key).startswith(REFUSED_PREFIX)

    def dialects(self) -> dict[str, Dialect]:
        """Every dialect that is served, by the path of its URL."""
        uplift: dict[str, Any] = {
            "after_cancel": self.uplift_after_cancel,
            "unknown_voice": self.uplift_unknown_voice,
            "clock": time.time,
        }
        served: list[Dialect] = [
            DeepdubOpen(binary_frames=self.deepdub_frames == "binary"),
            DeepdubWs(
                binary_frames=self.deepdub_frames == "binary",
                says_final=self.deepdub_turn_end == "final",
                speaks_early=self.deepdub_generations == "sentence",
                now=time.time,
            ),
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
            VachanaTts(
                form=self.vachana_form,
                end=self.vachana_end,
                wav=self.vachana_wav,
                odd_splits=self.vachana_odd_splits,
            ),
            VachanaStt(timestamp=lambda: datetime.now(UTC).isoformat()),
            Uplift(**uplift),
            UpliftSocketIO(**uplift, refuses_in_band=self.refusal == "in_band"),
        ]
        chosen = {type(dialect) for dialect in served}
        served += [kind() for kind in vendors.DIALECTS if kind not in chosen]  # one that leaves no choice
        older = {path: dialect for dialect in served for path in dialect.older_paths}
        return older | {dialect.path(): dialect for dialect in served}
