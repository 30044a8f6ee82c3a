"""The suite itself: each of its checks finds the mistake that it is for."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import pytest

from voicecore.errors import ConfigurationError, ProtocolError, QuotaError
from voicecore.events import (
    Audio,
    CancelContext,
    ContextAccepted,
    ContextFinished,
    Failed,
    StopStream,
    Synthesize,
    Transcript,
    Unknown,
)
from voicecore.protocol import WHOLE_TEXT_CONTEXT, ContextState, Role, SessionState, parse_json
from voicecore.testing import conformance_cases
from voicecore.vendors.deepdub.open import DeepdubOpen
from voicecore.vendors.sixtydb.stt import SixtydbStt


class Keyless(DeepdubOpen):
    def key_of(self, query, headers):
        return None


class Endless(DeepdubOpen):
    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        return Audio(event.context_id, event.data) if isinstance(event, ContextFinished) else event


class Mixed(DeepdubOpen):
    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        return replace(event, context_id="a") if isinstance(event, Audio) else event


class Cropped(DeepdubOpen):
    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        return replace(event, data=event.data[:-1]) if isinstance(event, Audio) else event


class OtherRate(DeepdubOpen):
    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        other = isinstance(event, Synthesize) and replace(event.options, sample_rate=8_000)
        return replace(event, options=other) if other else event


class OtherText(DeepdubOpen):
    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        return replace(event, text=event.text.strip()) if isinstance(event, Synthesize) else event


class Strict(DeepdubOpen):
    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        if isinstance(event, Unknown):
            raise ProtocolError("no such message")
        return event


class Fragile(DeepdubOpen):
    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        if isinstance(event, Failed):
            parse_json(payload)["error"].strip()
        return event


class Untyped(DeepdubOpen):
    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        return replace(event, index=str(event.index)) if isinstance(event, Audio) and event.index is not None else event


class Codeless(DeepdubOpen):
    errors: ClassVar = {**DeepdubOpen.errors, "Strange": QuotaError}

    def error_of(self, failed):
        return super().error_of(replace(failed, code=failed.code.replace("Strange", "")))


class LateAudioIsAFault(DeepdubOpen):
    contexts: ClassVar = {
        **WHOLE_TEXT_CONTEXT,
        ContextState.CANCELLED: {Audio: ContextState.FINISHED, ContextAccepted: ContextState.CANCELLED},
    }


class CancelTwice(DeepdubOpen):
    def encode(self, event):
        return "{}" if isinstance(event, CancelContext) else super().encode(event)


class Misnaming(DeepdubOpen):
    def error_of(self, failed):
        return ConfigurationError("your own fault")


class Unheard(SixtydbStt):
    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        return replace(event, text="") if isinstance(event, Transcript) else event


class NeverOver(SixtydbStt):
    sessions: ClassVar = {
        **SixtydbStt.sessions,
        SessionState.STREAMING: {**SixtydbStt.sessions[SessionState.STREAMING], StopStream: SessionState.STREAMING},
    }
    graces: ClassVar = {}

    def decode(self, payload, *, text, role):
        event = super().decode(payload, text=text, role=role)
        return Unknown("over", {}) if role is Role.CLIENT and b"session_stopped" in payload else event


@pytest.mark.parametrize(
    ("dialect", "check"),
    [
        (Keyless, "whole_life"),
        (Endless, "whole_life"),
        (Mixed, "two_at_once"),
        (Cropped, "whole_life"),
        (OtherRate, "every_format"),
        (OtherText, "whole_life"),
        (Strict, "unknown_at_every_place"),
        (Fragile, "damaged_messages"),
        (Untyped, "damaged_messages"),
        (Codeless, "every_error_code"),
        (LateAudioIsAFault, "cancel_at_every_place"),
        (CancelTwice, "cancel_at_every_place"),
        (Unheard, "whole_life"),
        (NeverOver, "whole_life"),
    ],
)
def test_a_mistake_is_found(dialect, check):
    cases = [case for case in conformance_cases(dialect) if case.name == f"{dialect.name}-{check}"]
    assert len(cases) == 1
    with pytest.raises((AssertionError, KeyError, ProtocolError)):
        cases[0].run()


def test_the_place_of_a_failure_is_told():
    [case] = [case for case in conformance_cases(Misnaming) if case.name == "deepdub-open-error_at_every_place"]
    with pytest.raises(AssertionError) as caught:
        case.run()
    assert caught.value.__notes__ == ["deepdub-open, after: Synthesize"]


def test_a_switch_is_turned_alone_or_with_the_one_that_it_needs():
    class Switched(DeepdubOpen):
        def __init__(self, *, form: Literal["json", "other"] = "json", ends: bool = True) -> None:
            super().__init__()
            self._said = {ContextFinished} if not ends and form == "json" else set()

        def encode(self, event):
            return None if type(event) in self._said else super().encode(event)

    names = {case.name.removesuffix("-whole_life") for case in conformance_cases(Switched) if "whole_life" in case.name}
    assert names == {"deepdub-open", "deepdub-open-form=other", "deepdub-open-ends=False,form=other"}
