"""Faults inside a stream, for every system, through memory and on the virtual clock. Numbers: docs/faults.md."""

from __future__ import annotations

import base64
import gc
import json
import random
from contextlib import suppress
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from support import here
from support.systems import EVERY, OTHER, PCM, STT, TEXT, TTS, connect, noise, recognised, said, work

import voicecore
from voicecore import AudioFormat, Deadlines, Reconnect
from voicecore.emulator import speaking
from voicecore.emulator.encoding import chunks_of
from voicecore.emulator.faults import parse_fault
from voicecore.errors import MessageError, ProtocolError
from voicecore.events import Audio, ContextFinished, Event, Failed, Malformed, SendAudio
from voicecore.inbox import Received
from voicecore.protocol import Role
from voicecore.streams import Metrics, SpeechDecoder, StreamEncoder
from voicecore.testing import Talk, run_fault_proxy

RUNTIMES = here.BOTH
every = pytest.mark.parametrize("dialect", EVERY)
tts_only = pytest.mark.parametrize("dialect", TTS)
stt_only = pytest.mark.parametrize("dialect", STT)
NEVER = Reconnect(attempts=0)
LONG = TEXT * 4


async def ends_in(session) -> tuple[voicecore.VoicecoreError, float]:
    """The error that work ends in, and when."""
    try:
        await work(session)
    except voicecore.VoicecoreError as error:
        return error, here.current_time()
    raise AssertionError("it came to a normal end")


# --- deadlines -------------------------------------------------------------------------------------------


@pytest.mark.fault(7)
@every
async def test_connect_fires_at_its_second(dialect, autojump_clock):
    class Nobody:
        @staticmethod
        async def open_stream(url: str, ssl_context: object) -> trio.abc.Stream:
            await trio.sleep_forever()

    with pytest.raises(voicecore.DeadlineError) as caught:
        async with connect(dialect, Nobody, deadlines=Deadlines(connect=3), reconnect=NEVER):
            pass
    assert (caught.value.deadline, here.current_time()) == ("connect", 3.0)


@pytest.mark.fault(7)
@tts_only
@pytest.mark.parametrize(
    ("fault", "name", "limits", "at"),
    [
        ("stall", "first_audio", {"first_audio": 4.0}, 4.0),
        ("stall@1", "between_chunks", {"between_chunks": 4.0}, 4.0),
        ("slow=2", "total", {"total": 5.0}, 5.0),
        ("late=6", "first_audio", {"first_audio": 4.0}, 4.0),
    ],
)
async def test_each_deadline_of_an_utterance_fires_at_its_second(
    dialect, fault, name, limits, at, emulate, autojump_clock
):
    emulator = await emulate(faults=(parse_fault(fault),), chunk_seconds=0.2)
    async with connect(dialect, emulator, deadlines=Deadlines(**limits), reconnect=NEVER) as session:
        began = here.current_time()
        error, ended = await ends_in(session)
    assert isinstance(error, voicecore.DeadlineError) and error.deadline == name
    assert f"deadline {name}" in str(error) and ended - began == pytest.approx(at)


@pytest.mark.fault(6)
@tts_only
async def test_a_part_and_then_silence_is_an_error_with_what_came(dialect, emulate, autojump_clock):
    emulator = await emulate()
    async with connect(dialect, emulator) as tts:
        whole = await said(tts)
    emulator = await emulate(faults=(parse_fault("stall@2"),))
    async with connect(dialect, emulator, reconnect=NEVER) as tts:
        async with tts.synthesize(TEXT) as speech:
            part = []
            with pytest.raises(voicecore.DeadlineError, match="between_chunks"):
                async for chunk in speech:
                    part.append(chunk.samples)
    got = np.concatenate(part)
    assert 0 < len(got) < len(whole) and np.array_equal(got, whole[: len(got)])
    assert speech.metrics.audio_seconds == pytest.approx(len(got) / PCM.sample_rate)


@pytest.mark.fault(6)
@pytest.mark.fault(7)
@stt_only
async def test_a_recogniser_that_falls_silent_after_finish_is_a_deadline(dialect, emulate, autojump_clock):
    emulator = await emulate(faults=(parse_fault("stall"),))
    limits = Deadlines(between_chunks=4)
    async with connect(dialect, emulator, deadlines=limits, reconnect=NEVER) as session:
        began = here.current_time()
        error, ended = await ends_in(session)
    assert isinstance(error, voicecore.DeadlineError) and error.deadline == "between_chunks"
    assert 4.0 <= ended - began <= 4.0 + 2.0, "the second of audio is heard at the pace of speech first"


# --- the consumer ----------------------------------------------------------------------------------------


@pytest.mark.fault(10)
@every
async def test_a_consumer_that_pauses_keeps_its_call(dialect, emulate, monkeypatch, autojump_clock):
    """The server pings every second and waits one: https://github.com/python-websockets/websockets/issues/1555."""
    monkeypatch.setattr(dialect, "server_ping", (1.0, 1.0))
    emulator = await emulate(chunk_seconds=0.05, pace=1)
    async with connect(dialect, emulator, reconnect=NEVER) as session:
        if dialect.kind == "tts":
            whole, got = await said(session), []
            async with session.synthesize(TEXT) as speech:
                async for chunk in speech:
                    got.append(chunk.samples)
                    if len(got) in (1, 10):
                        await here.sleep(30)
            assert np.array_equal(np.concatenate(got), whole)
            assert emulator.connections == 1
        else:
            async with session.stream(include_events=True) as stream:
                await stream.send(noise(2.0, PCM))
                await here.sleep(30)
                await stream.finish()
                assert [event async for event in stream]
            assert stream.summary is not None and emulator.connections == 1


@pytest.mark.fault(11)
@tts_only
async def test_what_waits_for_a_consumer_is_bounded_and_its_policy_is_kept(dialect, emulate, autojump_clock):
    emulator = await emulate(chunk_seconds=0.1)
    async with connect(dialect, emulator) as tts:
        whole = await said(tts, LONG)
    bound = {"max_buffered": 1.0, "reconnect": NEVER}
    async with connect(dialect, emulator, on_overflow="fail", **bound) as tts:
        got, error = await slowly(tts)
        assert isinstance(error, voicecore.QueueOverflowError)
        assert np.array_equal(got, whole[: len(got)]) and 0 < len(got) <= 1.3 * PCM.sample_rate
    async with connect(dialect, emulator, on_overflow="drop_oldest", **bound) as tts:
        async with tts.synthesize(LONG) as speech:
            await here.sleep(5)
            rest = [chunk.samples async for chunk in speech]
        assert speech.metrics.dropped_bytes > 0
        assert sum(map(len, rest)) < 1.5 * PCM.sample_rate < len(whole)
    async with connect(dialect, emulator, on_overflow="wait", **bound) as tts:
        got, error = await slowly(tts)
        assert error is None and np.array_equal(got, whole)


async def slowly(tts) -> tuple[np.ndarray, voicecore.VoicecoreError | None]:
    got: list[np.ndarray] = []
    try:
        async with tts.synthesize(LONG) as speech:
            await here.sleep(5)
            async for chunk in speech:
                got.append(chunk.samples)
    except voicecore.VoicecoreError as error:
        return np.concatenate(got), error
    return np.concatenate(got), None


# --- turns that are interrupted --------------------------------------------------------------------------


@pytest.mark.fault(15)
@tts_only
async def test_audio_of_an_interrupted_turn_is_never_heard_in_the_next(dialect, emulate, autojump_clock):
    emulator, chance = await emulate(chunk_seconds=0.05, pace=2), random.Random(15)
    async with connect(dialect, emulator) as tts:
        alone = await said(tts, OTHER)
        for _ in range(10):
            async with tts.synthesize(LONG) as speech:
                with here.move_on_after(chance.uniform(0, 1)):
                    async for _ in speech:
                        pass
            assert np.array_equal(await said(tts, OTHER), alone)
            async with tts.context() as turn:
                await turn.send_text(LONG)
                with here.move_on_after(chance.uniform(0, 1)):
                    await anext(turn)
            assert np.array_equal(await said(tts, OTHER), alone)
            if dialect.rates:
                await here.sleep(10)


@pytest.mark.fault(15)
@stt_only
async def test_a_final_of_a_stream_that_was_left_is_never_read_in_the_next(dialect, emulate, autojump_clock):
    emulator, chance = await emulate(), random.Random(15)
    async with connect(dialect, emulator) as stt:
        fresh = await recognised(stt)
        for _ in range(10):
            async with stt.stream() as stream:
                await stream.send(noise(chance.uniform(0.1, 2.0), PCM))
                await here.sleep(chance.uniform(0, 0.1))
            assert [type(event) for event in await recognised(stt)] == [type(event) for event in fresh]


CAP = 5


@pytest.mark.fault(16)
@tts_only
async def test_100_rapid_barge_ins_at_a_vendor_that_caps_its_contexts(dialect, emulate, autojump_clock):
    emulator = await emulate(max_contexts=CAP, chunk_seconds=0.05, pace=1)
    async with connect(dialect, emulator) as tts:
        alone = await said(tts, OTHER)
        for _ in range(100):
            async with tts.synthesize(LONG) as speech:
                await anext(speech)
            if dialect.rates:
                await here.sleep(2)
        assert np.array_equal(await said(tts, OTHER), alone)


# --- losses ----------------------------------------------------------------------------------------------


@pytest.mark.fault(17)
@tts_only
async def test_nothing_is_said_twice_after_a_loss(dialect, emulate, autojump_clock):
    emulator = await emulate(chunk_seconds=0.1, pace=1)
    async with here.hosted(run_fault_proxy(open_stream=partial(emulator.open_stream, ""))) as proxy:
        async with connect(dialect, proxy) as tts:
            whole = await said(tts)
            for chunks in (1, 3, 8):
                got: list[np.ndarray] = []
                with pytest.raises(voicecore.ConnectionLostError):
                    async with tts.synthesize(TEXT) as speech:
                        async for chunk in speech:
                            got.append(chunk.samples)
                            if len(got) == chunks:
                                proxy.drop_all()
                part = np.concatenate(got)
                assert 0 < len(part) < len(whole) and np.array_equal(part, whole[: len(part)])
            assert np.array_equal(await said(tts), whole), "the session goes on"


@pytest.mark.fault(18)
@stt_only
@pytest.mark.parametrize("seed", range(6))
async def test_no_audio_is_lost_when_a_stream_is_cut(dialect, seed, emulate, autojump_clock):
    """Cut at random times: what the last connection heard is the end of the audio, and no gap was reported."""
    emulator, chance = await emulate(), random.Random(seed)
    audio = noise(6.0, PCM)
    gaps: list[Event] = []
    async with (
        here.hosted(run_fault_proxy(open_stream=partial(emulator.open_stream, ""))) as proxy,
        here.open_nursery() as nursery,
    ):

        async def cut() -> None:
            for _ in range(3):
                await here.sleep(chance.uniform(0.1, 2.0))
                proxy.drop_all()

        async with connect(dialect, proxy, on_event=gaps.append) as stt, stt.stream() as stream:
            nursery.start_soon(cut)
            for at in range(0, len(audio), 3200):
                await stream.send(audio[at : at + 3200])
                await here.sleep(0.1)
            await stream.finish()
            async for _ in stream:
                pass
        nursery.cancel_scope.cancel()
    assert not [event for event in gaps if isinstance(event, voicecore.AudioGap)]
    heard = bytes(emulator.ears.heard[-1]).rstrip(b"\0")
    assert audio.rstrip(b"\0").endswith(heard) and len(emulator.ears.heard) > 1
    covered = sum(len(part) for part in emulator.ears.heard)
    assert covered >= len(audio), "what the connections heard does not add up to the audio"


# --- bytes -----------------------------------------------------------------------------------------------


def wires(dialect) -> list[AudioFormat]:
    """Every format that the dialect may be asked for by the formats of a caller."""
    rates, encodings = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000), ("pcm_s16le", "pcm_f32le", "mulaw", "alaw")
    wanted = [AudioFormat(encoding, rate) for encoding in encodings for rate in rates]
    served = dialect()
    return list({served.wire_format(served.options_for(served.options(), audio)): None for audio in wanted})


FORMATS = [pytest.param(case.values[0], wire, id=f"{case.id}-{wire}") for case in TTS for wire in wires(case.values[0])]
SAMPLES = np.random.default_rng(1).integers(-9000, 9000, 2400).astype("<i2")


def packages(dialect, wire: AudioFormat) -> bytes:
    """The samples as the vendor sends them: in chunks, each wrapped as it wraps them."""
    raw = AudioFormat(wire.encoding, wire.sample_rate)
    data = voicecore.codec.Transcoder(AudioFormat("pcm_s16le", wire.sample_rate), raw).process(SAMPLES).tobytes()
    size, served = len(data) // 4, dialect()
    return b"".join(served.package(data[at * size : (at + 1) * size], wire, at) for at in range(4))


@pytest.mark.fault(19)
@pytest.mark.fault(25)
@pytest.mark.parametrize(("dialect", "wire"), FORMATS)
@given(cuts=st.lists(st.integers(0, 6000), max_size=12))
def test_any_chunking_of_any_format_gives_the_same_samples(dialect, wire, cuts):
    data = packages(dialect, wire)
    for output in (AudioFormat("pcm_s16le", wire.sample_rate), PCM):
        assert np.array_equal(decoded(data, wire, output, cuts), decoded(data, wire, output, []))


@pytest.mark.fault(23, "deepdub-open", "deepdub-ws", "uplift", "uplift-socketio", "vachana-tts")
@pytest.mark.parametrize(("dialect", "wire"), [case for case in FORMATS if case.values[1].container == "wav"])
def test_wav_headers_are_taken_off_wherever_they_are_cut(dialect, wire):
    data, output = packages(dialect, wire), AudioFormat("pcm_s16le", wire.sample_rate)
    whole = decoded(data, wire, output, [])
    assert len(whole) == len(SAMPLES), "a header is heard, or a sample is lost"
    for cut in range(1, len(data), 7):
        assert np.array_equal(decoded(data, wire, output, [cut]), whole)


def decoded(data: bytes, wire: AudioFormat, output: AudioFormat, cuts: list[int]) -> np.ndarray:
    decoder = SpeechDecoder("c", wire, output, Metrics(0.0))
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    events = [Audio("c", data[a:b]) for a, b in pairwise(edges)]
    chunks = [decoder.decode(Received(event, 0.0)) for event in [*events, ContextFinished("c")]]
    return np.concatenate([chunk.samples for chunk in chunks if chunk is not None])


@pytest.mark.fault(19)
@pytest.mark.fault(25)
@stt_only
@given(cuts=st.lists(st.integers(0, 9000), max_size=12))
def test_any_chunking_of_a_microphone_gives_the_same_frames(dialect, cuts):
    source, audio = AudioFormat("pcm_s16le", 48_000, channels=2), np.tile(SAMPLES, 2).tobytes()
    served = dialect()
    wire = served.wire_format(served.options_for(served.options(), source))

    def frames(edges: list[int]) -> list[bytes]:
        encoder = StreamEncoder(source, wire, served.frame_bytes(wire), whole=served.whole_frames)
        pieces = [encoder.encode(audio[a:b]) for a, b in pairwise(edges)]
        return [frame for piece in [*pieces, encoder.flush()] for frame in piece]

    assert frames([0, *sorted(min(cut, len(audio)) for cut in cuts), len(audio)]) == frames([0, len(audio)])


def mangled(text: str) -> list[str]:
    """Base64 that is none, though it looks like it."""
    return [
        text[:-1],
        f"data:audio/wav;base64,{text}",
        text[:8] + "\n" + text[8:],
        text[:8] + "*" + text[9:],
        text[:4] + "====" + text[4:],
        text[:8] + "\u00e9" + text[9:],
    ]


@pytest.mark.fault(21)
@pytest.mark.parametrize("dialect", [case for case in EVERY if case.values[0].name != "vachana-stt"])
def test_base64_that_is_none_is_never_sound(dialect):
    """Where audio travels as base64, in either role: what hears it gets a typed error and no byte of the message."""
    message, data, role = one_with_audio(dialect)
    text = base64.b64encode(data).decode()
    assert text in (message if isinstance(message, str) else message.decode())
    assert isinstance(heard(dialect, message, role), (Audio, SendAudio))
    for wrong in mangled(text):
        quoted = json.dumps(wrong)[1:-1]
        broken = (
            message.replace(text, quoted)
            if isinstance(message, str)
            else message.replace(text.encode(), quoted.encode())
        )
        assert isinstance(heard(dialect, broken, role), (Malformed, Failed, MessageError, ProtocolError)), wrong


def one_with_audio(dialect) -> tuple[str | bytes, bytes, Role]:
    """A message with audio, the audio, and who hears it."""
    talk = Talk(dialect())
    talk.greet()
    if dialect.kind == "stt":
        served, data = dialect(), bytes(range(100))
        return served.encode(served.audio(data, served.options_for(served.options(), PCM))), data, Role.SERVER
    talk.ask("a")
    talk.speak("a")
    event, message = next(said for said in reversed(talk.said) if isinstance(said[0], Audio))
    return message, event.data, Role.CLIENT


def heard(dialect, message: str | bytes, role: Role) -> Event | Exception | None:
    payload = message.encode() if isinstance(message, str) else message
    try:
        return dialect().decode(payload, text=isinstance(message, str), role=role)
    except (MessageError, ProtocolError) as error:
        return error


COMPRESSED = {
    "60db-tts": voicecore.SixtydbTtsOptions(encoding="OGG_OPUS", sample_rate=24_000),
    "deepdub-open": voicecore.DeepdubOptions(format="mp3"),
    "deepdub-ws": voicecore.DeepdubStreamOptions(format="mp3"),
    "uplift": voicecore.UpliftOptions(format="MP3_22050_32"),
    "uplift-socketio": voicecore.UpliftOptions(format="OGG_22050_16"),
    "vachana-tts": voicecore.VachanaTtsOptions(container="mp3"),
}


class DamagedChunks:
    """Coded audio of which half of every chunk is something else."""

    def __init__(self, chunks) -> None:
        self._chunks = chunks

    def feed(self, pcm: bytes) -> list:
        return [damaged(chunk) for chunk in self._chunks.feed(pcm)]

    def finish(self):
        return damaged(self._chunks.finish())


def damaged(chunk):
    """Half of the bytes are others; a container's first page stays."""
    size = len(chunk.data)
    return chunk._replace(data=chunk.data[: size // 2] + b"\x55" * (size - size // 2))


@pytest.mark.fault(24)
@tts_only
async def test_garbage_in_compressed_audio_is_counted_or_fails_that_utterance(
    dialect, emulate, autojump_clock, monkeypatch
):
    emulator, options = await emulate(), COMPRESSED[dialect.name]
    async with connect(dialect, emulator) as tts:
        with monkeypatch.context() as patch:
            patch.setattr(speaking, "chunks_of", lambda *choices: DamagedChunks(chunks_of(*choices)))
            with suppress(voicecore.CodecError):
                async with tts.synthesize(TEXT, options=options) as speech:
                    async for _ in speech:
                        pass
                assert speech.metrics.skipped_bytes + speech.metrics.concealed_frames
        async with tts.synthesize(TEXT, options=options) as speech:
            assert sum([len(chunk.samples) async for chunk in speech])
        assert not speech.metrics.skipped_bytes + speech.metrics.concealed_frames


# --- numbers ---------------------------------------------------------------------------------------------

NUMBERED = [case for case in TTS if case.values[0].vendor in ("deepdub", "uplift")]


@pytest.mark.fault(22)
@pytest.mark.parametrize("dialect", NUMBERED)
@pytest.mark.parametrize("fault", ["reorder", "duplicate", "lose@2"])
async def test_numbered_messages_are_put_in_order_played_once_and_missed(dialect, fault, emulate, autojump_clock):
    emulator = await emulate(chunk_seconds=0.05)
    async with connect(dialect, emulator) as tts:
        whole = await said(tts)
    emulator = await emulate(chunk_seconds=0.05, faults=(parse_fault(fault),))
    async with connect(dialect, emulator) as tts, tts.synthesize(TEXT) as speech:
        got = np.concatenate([chunk.samples async for chunk in speech])
    assert np.array_equal(got, whole) is not fault.startswith("lose")
    counted = speech.metrics.duplicate_messages, speech.metrics.missing_messages
    assert [bool(count) for count in counted] == [fault == "duplicate", fault.startswith("lose")]


# --- memory ----------------------------------------------------------------------------------------------


@pytest.mark.fault(26)
@every
async def test_a_session_that_works_for_long_holds_no_more_than_at_first(dialect, emulate, autojump_clock):
    emulator = await emulate()

    async def rounds(session, count: int) -> int:
        for _ in range(count):
            await (said(session, "Hi.") if dialect.kind == "tts" else recognised(session, seconds=0.1))
            await here.sleep(60)
        emulator.ears.heard.clear()
        gc.collect()
        return len(gc.get_objects())

    async with connect(dialect, emulator) as session:
        before = await rounds(session, 60)
        after = await rounds(session, 50)  # after as many requests 60db's socket is changed
    assert after - before < 50, "each use leaves something behind"


@pytest.mark.fault(26)
@every
async def test_an_idle_hour_leaves_nothing(dialect, emulate, autojump_clock):
    emulator = await emulate()
    async with connect(dialect, emulator) as session:
        await work(session)
        await here.sleep(3600)
        gc.collect()
        before = len(gc.get_objects())
        await here.sleep(3600)
        gc.collect()
        assert len(gc.get_objects()) - before < 50
        await work(session)
