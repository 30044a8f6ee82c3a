"""Every dialect as a session uses it, against the emulator, through memory and on the virtual clock."""

from __future__ import annotations

from itertools import count
from urllib.parse import urlsplit

import numpy as np
import pytest
from support import here
from support.systems import EVERY, OTHER, PCM, STT, TEXT, TTS, client_tasks, connect, noise, recognised, said

import voicecore
from voicecore import AudioFormat
from voicecore.cli.matrix import compare
from voicecore.codec import Transcoder
from voicecore.emulator.faults import EmulatorFault
from voicecore.events import Failed
from voicecore.protocol import Fault
from voicecore.vendors import DIALECTS, find_dialect

RUNTIMES = here.BOTH
OUTPUTS = [
    PCM,
    AudioFormat("pcm_s16le", 24_000),
    AudioFormat("pcm_s16le", 48_000),
    AudioFormat("pcm_f32le", 24_000),
    AudioFormat("mulaw", 8_000),
]
INPUTS = [PCM, AudioFormat("mulaw", 8_000), AudioFormat("pcm_s16le", 48_000, channels=2)]


async def turn(context) -> np.ndarray:
    return np.concatenate([chunk.samples async for chunk in context])


# --- finding a dialect -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", EVERY)
def test_a_dialect_is_found_by_its_url_or_for_its_vendor(dialect):
    assert type(find_dialect(dialect.vendor, dialect.kind, dialect.default_url)) is dialect
    assert type(find_dialect(dialect.vendor, dialect.kind)).vendor == dialect.vendor


def test_names_and_paths_are_unique():
    for what in (lambda dialect: dialect.name, lambda dialect: (dialect.vendor, dialect.kind, dialect.path())):
        assert len({what(dialect) for dialect in DIALECTS}) == len(DIALECTS)


@pytest.mark.parametrize("dialect", EVERY)
async def test_the_emulator_serves_every_dialect_on_the_vendors_path(dialect, emulate, autojump_clock):
    emulator = await emulate()
    assert urlsplit(emulator.urls[dialect.name]).path == dialect.path()


# --- keys ------------------------------------------------------------------------------------------------


@pytest.mark.fault(1)
@pytest.mark.fault(30)
@pytest.mark.parametrize("dialect", EVERY)
@pytest.mark.parametrize("refusal", ["vendor", "http", "in_band", "silent"])
async def test_a_bad_key_is_an_auth_error(dialect, refusal, emulate, autojump_clock):
    emulator = await emulate(refusal=refusal)
    with pytest.raises(voicecore.AuthError) as caught:
        async with connect(dialect, emulator, key="bad-secret") as session:
            await use(session)
    assert "bad-secret" not in str(caught.value) + repr(caught.value)
    assert not caught.value.retryable


async def use(session) -> None:
    """A vendor that has no greeting refuses a key only once something is asked."""
    if isinstance(session, voicecore.TTS):
        await said(session)
    else:
        async with session.stream():
            await here.sleep(1)


@pytest.mark.fault(30)
@pytest.mark.parametrize("dialect", EVERY)
async def test_an_account_without_credit_is_the_vendors_error(dialect, emulate, autojump_clock):
    emulator = await emulate(no_credit=True)
    with pytest.raises(voicecore.VendorError) as caught:
        async with connect(dialect, emulator) as session:
            await use(session)
    code = dialect.fault_codes.get(Fault.QUOTA, "")
    assert type(caught.value) is type(dialect().error_of(Failed(None, code, "Account has insufficient credits")))


# --- text to speech --------------------------------------------------------------------------------------


@pytest.mark.fault(19)
@pytest.mark.fault(25)
@pytest.mark.parametrize("dialect", TTS)
async def test_every_output_format_is_the_same_speech_however_it_is_cut(dialect, emulate, autojump_clock):
    spoken = {}
    for seconds in (0.01, 0.037, 0.2, 10.0):
        for last_audio in ("in_last", "before_last"):
            emulator = await emulate(chunk_seconds=seconds, last_audio=last_audio)
            async with connect(dialect, emulator) as tts:
                for output in OUTPUTS:
                    samples = await said(tts, output=output)
                    assert np.array_equal(spoken.setdefault(output, samples), samples), (output, seconds)
    lengths = [len(samples) / output.sample_rate for output, samples in spoken.items()]
    assert min(lengths) > 1
    assert max(lengths) - min(lengths) < 0.001
    dtypes = {str(output): samples.dtype for output, samples in spoken.items()}
    assert list(dtypes.values()) == [np.int16, np.int16, np.int16, np.float32, np.uint8]


@pytest.mark.parametrize("dialect", TTS)
async def test_the_vendors_own_bytes_are_the_same_speech(dialect, emulate, autojump_clock):
    emulator = await emulate()
    async with connect(dialect, emulator) as tts:
        raw = await said(tts, output=None)
        wire = tts.dialect.wire_format(tts.dialect.options_for(tts.dialect.options(), None))
        transcoder = Transcoder(wire, AudioFormat("pcm_s16le", wire.sample_rate))
        decoded = np.concatenate([transcoder.process(raw), transcoder.flush()])
        assert np.array_equal(decoded, await said(tts, output=AudioFormat("pcm_s16le", wire.sample_rate)))


@pytest.mark.fault(15)
@pytest.mark.parametrize("dialect", TTS)
async def test_audio_that_is_not_what_was_asked_for_is_decoded_and_reported(dialect, emulate, autojump_clock):
    events: list = []
    async with connect(dialect, await emulate()) as tts:
        expected = await said(tts, OTHER)
    emulator = await emulate(faults=(EmulatorFault("mislabel"),))
    async with connect(dialect, emulator, on_event=events.append) as tts:
        async with tts.synthesize(OTHER, output=PCM) as speech:
            got = np.concatenate([chunk.samples async for chunk in speech])
        async with tts.synthesize(OTHER, output=None) as bare:
            formats = {chunk.format async for chunk in bare}
        asked = [tts.dialect.wire_format(tts.dialect.options_for(tts.dialect.options(), to)) for to in (PCM, None)]
    assert compare(got, expected, PCM.sample_rate)[1] > 0.95
    assert [(event.declared, event.found) for event in events] == [
        (wire, AudioFormat("mp3", wire.sample_rate)) for wire in asked
    ]
    assert [event.context_id for event in events] == [speech.context_id, bare.context_id]
    assert formats == {events[1].found}
    for metrics, event in zip((speech.metrics, bare.metrics), events, strict=True):
        assert (metrics.format_mismatches, metrics.wire_format) == (1, event.found)


@pytest.mark.parametrize("dialect", TTS)
async def test_several_at_once_never_mix(dialect, emulate, autojump_clock):
    emulator = await emulate(chunk_seconds=0.02, pace=10)
    async with connect(dialect, emulator) as tts:
        alone = {text: await said(tts, text) for text in (TEXT, OTHER)}
        assert not np.array_equal(alone[TEXT], alone[OTHER])
        together = []

        async def speak(text):
            together.append((text, await said(tts, text)))

        async with here.open_nursery() as nursery:
            for text in (TEXT, OTHER) * 3:
                nursery.start_soon(speak, text)
    assert len(together) == 6
    assert all(np.array_equal(samples, alone[text]) for text, samples in together)


@pytest.mark.parametrize("dialect", TTS)
async def test_one_connection_is_enough_for_several_in_turn(dialect, emulate, autojump_clock):
    emulator = await emulate()
    async with connect(dialect, emulator, max_connections=1) as tts:
        spoken = []

        async def speak():
            spoken.append(await said(tts))

        async with here.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(speak)
    assert all(np.array_equal(samples, spoken[0]) for samples in spoken) and len(spoken) == 3


@pytest.mark.parametrize("dialect", TTS)
async def test_a_context_speaks_the_same_however_its_text_is_cut(dialect, emulate, autojump_clock):
    emulator = await emulate()
    turns = []
    async with connect(dialect, emulator) as tts:
        for size in (1, 7, 1000):
            async with tts.context() as context:
                spoken = []
                for text in (TEXT, OTHER):
                    for at in range(0, len(text), size):
                        await context.send_text(text[at : at + size])
                    await context.flush()
                    spoken.append(await turn(context))
            turns.append(spoken)
    for first, second in turns:
        assert np.array_equal(first, turns[0][0]) and np.array_equal(second, turns[0][1])
    assert min(len(samples) for samples in turns[0]) > PCM.sample_rate


@pytest.mark.fault(15)
@pytest.mark.parametrize("dialect", TTS)
async def test_contexts_at_once_never_mix(dialect, emulate, autojump_clock):
    emulator = await emulate(chunk_seconds=0.02, pace=10)
    spoken = {}

    async def converse(tts, name, text):
        async with tts.context() as context:
            for word in text.split():
                await context.send_text(word + " ")
            await context.flush()
            spoken[name] = await turn(context)

    async with connect(dialect, emulator) as tts:
        for text in (TEXT, OTHER):
            await converse(tts, text, text)
        async with here.open_nursery() as nursery:
            for number, text in enumerate((TEXT, OTHER)):
                nursery.start_soon(converse, tts, number, text)
    assert np.array_equal(spoken[0], spoken[TEXT]) and np.array_equal(spoken[1], spoken[OTHER])


async def before_it_says_anything(speech) -> None:
    await here.sleep(0)


async def after_a_chunk(speech) -> None:
    await speech.__anext__()


async def after_the_end(speech) -> None:
    async for _ in speech:
        pass


@pytest.mark.fault(14)
@pytest.mark.fault(15)
@pytest.mark.parametrize("dialect", TTS)
@pytest.mark.parametrize("when", [before_it_says_anything, after_a_chunk, after_the_end])
@pytest.mark.parametrize("kind", ["synthesize", "context"])
async def test_a_cancel_leaves_no_task_and_the_next_is_served(dialect, when, kind, emulate, autojump_clock):
    emulator = await emulate(chunk_seconds=0.02, pace=2)
    tasks = []
    async with connect(dialect, emulator) as tts:
        whole = await said(tts)
        assert client_tasks() > 0
        for _ in range(8):  # the first may open connections that are kept
            async with tts.synthesize(TEXT) if kind == "synthesize" else tts.context() as speech:
                if kind == "context":
                    await speech.send_text(TEXT)
                    await speech.flush()
                await when(speech)
            assert all(link.connection.idle for link in tts._links), "it was not cancelled"
            await here.sleep(101)  # not the moment of a ping: a connection that has one to answer is not used
            tasks.append(client_tasks())
        assert np.array_equal(await said(tts), whole)
    assert max(tasks[4:]) <= max(tasks[:4])
    assert client_tasks() == 0


@pytest.mark.fault(30)
@pytest.mark.parametrize("dialect", TTS)
async def test_text_over_the_limit_is_refused_at_once(dialect, emulate, autojump_clock):
    emulator = await emulate()
    async with connect(dialect, emulator) as tts:
        with pytest.raises(voicecore.TextTooLongError, match=str(dialect.max_text)):
            tts.synthesize("x" * (dialect.max_text + 1))
        with pytest.raises(voicecore.ConfigurationError, match="expected text"):
            tts.synthesize(" ")
        with pytest.raises(voicecore.ConfigurationError, match=dialect.options.__name__):
            tts.synthesize("x", options=object())


@pytest.mark.fault(6)
@pytest.mark.parametrize("dialect", [case for case in TTS if case.values[0].rates])
async def test_the_vendors_limits_are_kept_by_waiting_or_raising(dialect, emulate, autojump_clock):
    kind, rate = next(iter(dialect.rates.items()))
    emulator = await emulate()
    async with connect(dialect, emulator, on_limit="raise") as tts:
        with pytest.raises(voicecore.RateLimitError, match=kind.__name__) as caught:
            for _ in range(rate.messages + 1):
                await said(tts, "Hi.")
        assert 0 < caught.value.retry_after <= rate.seconds
    async with connect(dialect, emulator) as tts:
        began = here.current_time()
        for _ in range(rate.messages + 1):
            await said(tts, "Hi.")
        assert here.current_time() - began >= rate.seconds


# --- speech to text --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", STT)
@pytest.mark.parametrize("form", INPUTS, ids=str)
async def test_a_recognition_comes_to_its_end_in_every_input_format(dialect, form, emulate, autojump_clock):
    emulator = await emulate()
    async with connect(dialect, emulator) as stt:
        await recognised(stt, form)
        await recognised(stt, form)


@pytest.mark.parametrize("dialect", STT)
async def test_recognitions_run_at_once(dialect, emulate, autojump_clock):
    emulator = await emulate()
    numbers = count()

    async def recognise(stt):
        await recognised(stt)
        next(numbers)

    async with connect(dialect, emulator) as stt, here.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(recognise, stt)
    assert next(numbers) == 3


@pytest.mark.fault(14)
@pytest.mark.parametrize("dialect", STT)
async def test_a_recognition_that_is_left_leaves_no_task(dialect, emulate, autojump_clock):
    emulator = await emulate()
    async with connect(dialect, emulator) as stt:
        await recognised(stt)
        await here.sleep(100)
        before = client_tasks()
        for frames in range(3):
            async with stt.stream() as stream:
                for _ in range(frames):
                    await stream.send(noise(0.1, PCM))
        await here.sleep(100)
        assert client_tasks() == before
        await recognised(stt)
