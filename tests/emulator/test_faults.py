"""The emulator's faults by flag: each is seen by our client as what it is, on a virtual clock."""

from __future__ import annotations

import numpy as np
import pytest
from support import here

import voicecore
from voicecore import Deadlines, Reconnect
from voicecore.emulator import Profile, run_emulator
from voicecore.emulator.faults import FAULTS, EmulatorFault, parse_fault

RUNTIMES = here.BOTH
NEVER = Reconnect(attempts=0)
TEXT = "A sentence that is long enough for several messages of audio."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stall@3", EmulatorFault("stall", 0.0, 3)),
        ("close=1011@2", EmulatorFault("close", 1011.0, 2)),
        ("late=0.5", EmulatorFault("late", 0.5)),
        ("duplicate", EmulatorFault("duplicate")),
    ],
)
def test_a_fault_as_it_is_written(text, fault):
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["", "surprise", "close", "stall=3", "late=x", "close=1011@", "close=-1", "LATE=1"])
def test_what_is_no_fault_is_refused(text):
    with pytest.raises(voicecore.ConfigurationError, match="fault"):
        parse_fault(text)


async def speak(fault: str | None, **deadlines: float) -> tuple[bytes, voicecore.VoicecoreError | None, object]:
    """What a client gets of a text, how it ends, and its metrics."""
    profile = Profile(faults=() if fault is None else (parse_fault(fault),))
    samples: list[np.ndarray] = []
    error = None
    async with here.hosted(run_emulator(profile, voice="tone", ears="none")) as emulator:
        url, limits = "ws://localhost/open", Deadlines(**deadlines)
        try:
            async with here.connect_tts(
                "deepdub", api_key="k", url=url, open_stream=emulator.open_stream, deadlines=limits, reconnect=NEVER
            ) as tts:
                async with tts.synthesize(TEXT) as speech:
                    async for chunk in speech:
                        samples.append(chunk.samples)
        except voicecore.VoicecoreError as caught:
            return b"".join(s.tobytes() for s in samples), caught, None
    return b"".join(s.tobytes() for s in samples), error, speech.metrics


async def test_without_faults(autojump_clock):
    whole, error, metrics = await speak(None)
    assert whole and error is None and metrics.ttfb == 0.0


async def test_late_and_slow(autojump_clock):
    whole, _, _ = await speak(None)
    late, _, metrics = await speak("late=3")
    assert late == whole and metrics.ttfb == pytest.approx(3.0)
    slow, _, metrics = await speak("slow=0.5")
    assert slow == whole and metrics.duration == pytest.approx(0.5 * (metrics.chunks - 1), abs=0.51)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("stall@2", voicecore.DeadlineError, "between_chunks"),
        ("stall", voicecore.DeadlineError, "first_audio"),
        ("close=1011@2", voicecore.ConnectionLostError, "1011"),
        ("close=1000@2", voicecore.ConnectionLostError, "1000"),
        ("close=1008@2", voicecore.ConnectionLostError, "1008"),
        ("drop@2", voicecore.ConnectionLostError, "1006"),
        ("error@2", voicecore.VendorError, "a fault of the emulator"),
        ("garbage@2", voicecore.ProtocolError, "JSON"),
        ("truncate@2", voicecore.ProtocolError, "JSON"),
        ("http=503", voicecore.VendorUnavailableError, "503"),
        ("http=429", voicecore.RateLimitError, "429"),
    ],
)
async def test_a_stream_that_ends_early_is_never_a_normal_end(autojump_clock, fault, kind, words):
    whole, _, _ = await speak(None)
    part, error, _ = await speak(fault)
    assert isinstance(error, kind) and words in str(error)
    assert whole.startswith(part) and len(part) < len(whole)


@pytest.mark.parametrize("fault", ["duplicate", "reorder"])
async def test_what_can_be_repaired_is(autojump_clock, fault):
    whole, _, _ = await speak(None)
    repaired, error, metrics = await speak(fault)
    assert repaired == whole and error is None
    assert bool(metrics.duplicate_messages) is (fault == "duplicate") and metrics.missing_messages == 0


async def test_a_message_that_is_lost_is_reported(autojump_clock):
    whole, _, _ = await speak(None)
    rest, error, metrics = await speak("lose@1")
    assert error is None and metrics.missing_messages == 1 and len(rest) < len(whole)


async def test_a_client_that_says_nothing_is_closed(autojump_clock):
    profile = Profile(faults=(parse_fault("idle=10"),))
    async with here.hosted(run_emulator(profile, voice="tone", ears="none")) as emulator:
        async with here.connect_tts(
            "deepdub", api_key="k", url="ws://localhost/open", open_stream=emulator.open_stream
        ) as tts:
            await here.sleep(11)
            async with tts.synthesize(TEXT) as speech:
                assert [chunk async for chunk in speech], "another connection took its place"
        assert emulator.connections == 2


async def test_a_vendor_that_is_back_after_two_refusals(autojump_clock):
    """A connection that worked is lost; the next two are refused with 503 and Retry-After: 1."""
    events: list = []
    profile = Profile()
    async with here.hosted(run_emulator(profile, voice="tone", ears="none")) as emulator:
        async with here.connect_tts(
            "deepdub", api_key="k", url="ws://localhost/open", open_stream=emulator.open_stream, on_event=events.append
        ) as tts:
            emulator.profile = Profile(faults=(parse_fault("http=503@3"),))
            link = next(iter(tts._links))
            link.connection._expired("keepalive", here.current_time())
            link._wake()
            async with tts.synthesize(TEXT) as speech:
                assert [chunk async for chunk in speech]
    waits = [event.delay for event in events if isinstance(event, voicecore.Reconnecting)]
    assert len(waits) == 3 and all(wait >= 1.0 for wait in waits[1:])


def test_every_fault_is_described():
    assert all(text.lstrip("=") for text in FAULTS.values())
