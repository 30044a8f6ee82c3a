"""What Vachana's protocols do to the user's API: scripted vendors through memory, on a virtual clock."""

from __future__ import annotations

import base64
import json
from functools import partial

import numpy as np
import pytest
import trio
from support import here
from support.scripted import play

import voicecore
from voicecore import AudioFormat, Deadlines, codec
from voicecore.emulator import Profile, run_emulator
from voicecore.events import Processing, ServerReady, SpeechEnded, SpeechStarted

PCM_16K = AudioFormat("pcm_s16le", 16_000)
RUNTIMES = here.BOTH
RAW = voicecore.VachanaTtsOptions(container="raw", sample_rate=16_000)
SECOND = np.arange(16_000, dtype="<i2").tobytes()


@pytest.fixture
async def vendor(nursery: trio.Nursery):
    return partial(play, nursery)


NEVER = voicecore.Reconnect(attempts=0)


def tts(open_stream, **arguments):
    url = "ws://localhost/api/v1/tts"
    return here.connect_tts("vachana", api_key="k", url=url, open_stream=open_stream, **arguments)


def stt(open_stream, **arguments):
    url = "ws://localhost/stt/v3/stream"
    return here.connect_stt("vachana", api_key="k", url=url, open_stream=open_stream, **arguments)


def say(kind: str, data: bytes = b"") -> str:
    body = {"audio": base64.b64encode(data).decode(), "chunk_index": 0, "is_final": kind == "complete"}
    return json.dumps({"type": kind, "data": body})


async def until_the_end(socket) -> None:
    while True:
        await socket.get_message()


async def speak(session, **arguments) -> bytes:
    async with session.synthesize("x", output=PCM_16K, options=RAW, **arguments) as speech:
        return b"".join([chunk.data async for chunk in speech])


# --- text to speech --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_request_that_crossed_the_vendors_close_is_asked_again(vendor, autojump_clock, code):
    """The vendor closes after `complete`, so late that the next request is on its way already."""
    opened: list[str] = []

    async def script(socket):
        await socket.get_message()
        await socket.send_message(say("complete", SECOND))
        await socket.get_message()
        await socket.aclose(code)

    async with tts(vendor(script, opened)) as session:
        for _ in range(3):
            assert await speak(session) == SECOND
    assert len(opened) == 3


@pytest.mark.parametrize("code", [1000, 1011])
async def test_a_first_request_that_is_closed_upon_is_an_error(vendor, autojump_clock, code):
    opened: list[str] = []

    async def script(socket):
        await socket.get_message()
        await socket.aclose(code)

    async with tts(vendor(script, opened), reconnect=NEVER) as session:
        with pytest.raises(voicecore.ConnectionLostError):
            await speak(session)
    assert len(opened) == 1


async def test_a_later_request_that_is_closed_upon_with_a_fault_is_an_error(vendor, autojump_clock):
    async def script(socket):
        await socket.get_message()
        await socket.send_message(say("complete", SECOND))
        await socket.get_message()
        await socket.aclose(1011)

    async with tts(vendor(script), reconnect=NEVER) as session:
        assert await speak(session) == SECOND
        with pytest.raises(voicecore.ConnectionLostError):
            await speak(session)


async def test_an_utterance_that_is_cancelled_while_it_is_asked_again(vendor, autojump_clock):
    async def script(socket):
        await socket.get_message()
        await socket.send_message(say("complete", SECOND))
        await socket.get_message()
        await socket.aclose(1000)

    openings = 0

    async def open_stream(url, ssl_context):
        nonlocal openings
        openings += 1
        if openings in (2, 3):
            await here.sleep(5)
        return await vendor(script)(url, ssl_context)

    async with tts(open_stream) as session:
        assert await speak(session) == SECOND
        async with session.synthesize("x", output=PCM_16K, options=RAW) as speech:
            with here.move_on_after(2):  # cancelling the wait for a chunk loses nothing
                await anext(speech)
            async with here.open_nursery() as nursery:

                async def cancel():
                    await here.sleep(2)
                    await speech.cancel()

                nursery.start_soon(cancel)
                assert [chunk async for chunk in speech] == []
        assert await speak(session) == SECOND


async def test_a_request_that_was_answered_is_not_asked_again(vendor, autojump_clock):
    async def script(socket):
        await socket.get_message()
        await socket.send_message(say("complete", SECOND))
        await socket.get_message()
        await socket.send_message('{"type":"start"}')
        await socket.aclose(1000)

    async with tts(vendor(script)) as session:
        assert await speak(session) == SECOND
        with pytest.raises(voicecore.ConnectionLostError):
            await speak(session)


async def test_binary_audio_that_a_clean_close_ends(vendor, autojump_clock):
    async def script(socket):
        await socket.get_message()
        for at in range(0, len(SECOND), 999):  # odd: samples are cut apart
            await socket.send_message(SECOND[at : at + 999])
        await socket.aclose(1000)

    async with tts(vendor(script)) as session:
        assert await speak(session) == SECOND
        assert await speak(session) == SECOND


@pytest.mark.parametrize("code", [1001, 1011])
async def test_binary_audio_that_another_close_ends_is_an_error(vendor, autojump_clock, code):
    async def script(socket):
        await socket.get_message()
        await socket.send_message(SECOND)
        await socket.aclose(code)

    async with tts(vendor(script)) as session:
        with pytest.raises(voicecore.ConnectionLostError):
            await speak(session)


@pytest.mark.parametrize("sent", [[say("audio", SECOND)], [say("audio", SECOND), SECOND], [SECOND, say("audio", b"")]])
async def test_json_audio_without_complete_is_an_error(vendor, autojump_clock, sent):
    """Who has sent JSON audio also sends `complete`, whatever else is mixed in."""

    async def script(socket):
        await socket.get_message()
        for message in sent:
            await socket.send_message(message)
        await socket.aclose(1000)

    async with tts(vendor(script)) as session:
        with pytest.raises(voicecore.ConnectionLostError):
            await speak(session)


async def test_mixed_forms_are_one_utterance(vendor, autojump_clock):
    async def script(socket):
        await socket.get_message()
        await socket.send_message('{"type":"start","request_id":"theirs"}')
        await socket.send_message(SECOND[:1001])
        await socket.send_message(say("audio", SECOND[1001:2002]))
        await socket.send_message(say("complete", SECOND[2002:]))
        await until_the_end(socket)

    async with tts(vendor(script)) as session:
        assert await speak(session) == SECOND


async def test_an_utterance_that_times_out_gives_its_socket_up(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        if len(opened) == 1:
            await until_the_end(socket)
        await socket.get_message()
        await socket.send_message(say("complete", SECOND))
        await until_the_end(socket)

    async with tts(vendor(script, opened), max_connections=1, deadlines=Deadlines(first_audio=3)) as session:
        with pytest.raises(voicecore.DeadlineError, match="first_audio"):
            await speak(session)
        assert await speak(session) == SECOND
    assert len(opened) == 2


async def test_audio_that_is_not_base64_ends_the_socket(vendor, autojump_clock):
    """No audio names its request: what follows on that socket could be taken for the next utterance's."""
    opened: list[str] = []

    async def script(socket):
        await socket.get_message()
        if len(opened) == 1:
            await socket.send_message('{"type":"audio","data":{"audio":"AAA"}}')
        await socket.send_message(say("complete", SECOND))
        await until_the_end(socket)

    async with tts(vendor(script, opened)) as session:
        with pytest.raises(voicecore.ProtocolError, match="base64"):
            await speak(session)
        assert await speak(session) == SECOND


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("'model' is required", voicecore.InvalidRequestError),
        ("MISSING_API_KEY", voicecore.AuthError),
        ("Rate limit exceeded", voicecore.RateLimitError),
        ("Insufficient credits", voicecore.QuotaError),
        ("worker died", voicecore.VendorError),
    ],
)
async def test_the_vendors_errors_are_typed_and_the_socket_serves_on(vendor, autojump_clock, message, kind):
    opened: list[str] = []

    async def script(socket):
        await socket.get_message()
        await socket.send_message(json.dumps({"type": "error", "message": message}))
        await socket.get_message()
        await socket.send_message(say("complete", SECOND))
        await until_the_end(socket)

    async with tts(vendor(script, opened)) as session:
        with pytest.raises(kind, match=message) as caught:
            await speak(session)
        assert type(caught.value) is kind
        if kind is voicecore.AuthError:  # no request is tried again with a key that was refused
            with pytest.raises(kind):
                await speak(session)
        else:
            assert await speak(session) == SECOND
    assert len(opened) == 1


@pytest.mark.parametrize("form", ["json", "binary"])
@pytest.mark.parametrize("end", ["complete", "complete_and_close", "close"])
@pytest.mark.parametrize("wav", ["per_chunk", "first_chunk", "header_first"])
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("last", ["in_last", "before_last"])
async def test_the_emulator_in_every_mode_is_the_same_to_our_client(autojump_clock, form, end, wav, odd, last):
    switches = {"vachana_form": form, "vachana_end": end, "vachana_wav": wav, "vachana_odd_splits": odd}
    async with here.hosted(run_emulator(Profile(last_audio=last, **switches), voice="tone", ears="none")) as emulator:

        async def said(**options) -> bytes:
            chosen = voicecore.VachanaTtsOptions(sample_rate=8000, **options)
            output = AudioFormat("pcm_s16le", 8000)
            async with session.synthesize("Hello there.", output=output, options=chosen) as speech:
                return b"".join([chunk.data async for chunk in speech])

        async with tts(emulator.open_stream) as session:
            if (form, end) == ("json", "close"):
                with pytest.raises(voicecore.ConnectionLostError):
                    await said(container="raw")
                return
            raw, wav_audio, stereo = await said(container="raw"), await said(), await said(num_channels=2)
            mulaw, alaw = await said(container="mulaw"), await said(container="alaw")
    assert raw == wav_audio == stereo and len(raw) > 8000
    assert mulaw == codec.decode_mulaw(codec.encode_mulaw(raw)).tobytes()
    assert alaw == codec.decode_alaw(codec.encode_alaw(raw)).tobytes()


# --- speech to text --------------------------------------------------------------------------------------

CONFIG = {"config": {"sample_rate": 16000, "chunk_size": 512}}
CONNECTED = json.dumps({"type": "connected"} | CONFIG)


def listening(*answers: tuple[float, str], frames: list[bytes] | None = None):
    """Says `connected`; each answer goes out so many seconds after the 32nd frame (a second of audio) came."""

    async def script(socket):
        await socket.send_message(CONNECTED)
        for _ in range(32):
            frame = await socket.get_message()
            if frames is not None:
                frames.append(frame)
        began = here.current_time()
        for at, kind in answers:
            await here.sleep_until(began + at)
            if kind == "close":
                await socket.aclose(1000)
                return
            await socket.send_message(
                json.dumps({"type": kind, "text": kind} if kind == "transcript" else {"type": kind})
            )
        await until_the_end(socket)

    return script


async def ending(session, **options) -> tuple[list[str], float]:
    """What is recognised after the audio, and how many seconds after `finish()` the stream ended."""
    async with session.stream(options=voicecore.VachanaSttOptions(**options)) as stream:
        await stream.finish()
        began = here.current_time()
        texts = [transcript.text async for transcript in stream]
        return texts, round(here.current_time() - began, 6)


@pytest.mark.parametrize(
    ("answers", "texts", "seconds"),
    [
        ([], [], 1.0),  # a second of quiet
        ([(0.5, "speech_start"), (4.0, "transcript")], ["transcript"], 5.0),
        ([(0.5, "vad_start"), (2.0, "vad_end"), (9.0, "processing"), (17.0, "transcript")], ["transcript"], 18.0),
        (
            [(0.9, "processing"), (1.8, "processing"), (5.0, "transcript"), (9.0, "transcript")],
            ["transcript"] * 2,
            10.0,
        ),
        ([(0.9, "a_new_kind"), (1.8, "transcript")], ["transcript"], 2.8),  # every event restarts the quiet
        (
            [(0.5, "processing"), (1.0, "speech_start"), (2.0, "transcript"), (8.0, "transcript")],
            ["transcript"] * 2,
            9.0,
        ),
        ([(0.5, "close")], [], 0.5),
        ([(0.1, "processing"), (0.2, "transcript"), (0.5, "close")], ["transcript"], 0.5),
    ],
)
async def test_the_stream_ends_by_quiet_when_nothing_is_due(vendor, autojump_clock, answers, texts, seconds):
    async with stt(vendor(listening(*answers))) as session:
        assert await ending(session) == (texts, seconds)


@pytest.mark.parametrize(
    ("answers", "texts", "seconds"),
    [
        ([], [], 5.0),
        ([(3.9, "processing"), (12.0, "transcript")], ["transcript"], 13.0),
        ([(0.1, "processing"), (0.2, "transcript"), (4.5, "transcript")], ["transcript"] * 2, 5.5),
    ],
)
async def test_audio_that_was_sent_at_once_is_heard_at_the_pace_of_speech(
    vendor, autojump_clock, answers, texts, seconds
):
    """Four seconds in one piece: the quiet counts from when a vendor that listens as it is spoken has heard them."""
    async with stt(vendor(listening(*answers))) as session, session.stream() as stream:
        began = here.current_time()
        await stream.send(SECOND * 4)
        await stream.finish()
        assert [transcript.text async for transcript in stream] == texts
        assert here.current_time() - began == pytest.approx(seconds, abs=0.04)  # a frame


async def test_audio_that_was_sent_as_it_was_spoken_is_heard_when_it_is_sent(vendor, autojump_clock):
    async with stt(vendor(listening())) as session, session.stream() as stream:
        for _ in range(50):
            await stream.send(SECOND[:3200])
            await here.sleep(0.1)
        await stream.finish()
        began = here.current_time()
        assert [transcript.text async for transcript in stream] == []
        assert here.current_time() - began == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("announced", ["speech_start", "speech_end", "vad_start", "processing"])
async def test_a_transcript_that_is_due_is_waited_for_until_the_deadline(vendor, autojump_clock, announced):
    script = listening((0.5, announced))
    async with stt(vendor(script), deadlines=Deadlines(between_chunks=7)) as session:
        async with session.stream() as stream:
            await stream.finish()
            began = here.current_time()
            with pytest.raises(voicecore.DeadlineError, match="between_chunks"):
                await anext(stream)
            assert here.current_time() - began == pytest.approx(7.5)


async def test_a_close_while_a_transcript_is_due_is_an_error(vendor, autojump_clock):
    async with stt(vendor(listening((0.5, "processing"), (1.0, "close")))) as session:
        with pytest.raises(voicecore.ConnectionLostError):
            await ending(session)


async def test_what_was_announced_before_the_stop_is_still_due_after_it(vendor, autojump_clock):
    async def script(socket):
        await socket.send_message(CONNECTED)
        await socket.get_message()
        await socket.send_message('{"type":"processing"}')
        await here.sleep(6)
        await socket.send_message('{"type":"transcript","text":"late"}')
        await until_the_end(socket)

    async with stt(vendor(script)) as session, session.stream(include_events=True) as stream:
        await stream.send(bytes(1024))
        assert [await anext(stream), await anext(stream)] == [ServerReady(CONFIG), Processing()]
        await stream.finish()
        assert [event.text async for event in stream] == ["late"]


async def test_a_deadline_shorter_than_the_quiet_does_not_make_the_end_an_error(vendor, autojump_clock):
    async with stt(vendor(listening()), deadlines=Deadlines(between_chunks=0.5)) as session:
        assert await ending(session) == ([], 1.0)


async def test_frames_are_whole_and_end_in_silence(vendor, autojump_clock):
    frames: list[bytes] = []
    async with stt(vendor(listening(frames=frames))) as session, session.stream() as stream:
        for at in range(0, 1500, 7):
            await stream.send(SECOND[at * 2 : at * 2 + 14])
        await stream.finish()
        assert [transcript async for transcript in stream] == []
    sent = b"".join(frames)
    assert {len(frame) for frame in frames} == {1024}
    assert sent[:3000] == SECOND[:3000] and not any(sent[3010:])


async def test_the_events_are_there_for_who_asks(vendor, autojump_clock):
    script = listening((0.1, "vad_start"), (0.2, "vad_end"), (0.3, "processing"), (0.4, "transcript"))
    async with stt(vendor(script)) as session, session.stream(include_events=True) as stream:
        await stream.finish()
        kinds = [type(event) async for event in stream]
    assert kinds == [ServerReady, SpeechStarted, SpeechEnded, Processing, voicecore.Transcript]


async def test_the_options_are_in_the_upgrade_of_a_socket_of_their_own(vendor, autojump_clock):
    opened: list[str] = []
    async with stt(vendor(listening(), opened)) as session:
        assert (await ending(session))[0] == []  # the socket that was open already
        assert len(opened) == 1
        await ending(session, languages=["hi-IN", "en-IN"])
        assert len(opened) == 2


async def test_before_the_stop_a_close_is_an_error(vendor, autojump_clock):
    async def script(socket):
        await socket.send_message(CONNECTED)
        await socket.get_message()
        await socket.aclose(1000)

    async with stt(vendor(script)) as session, session.stream() as stream:
        await stream.send(bytes(1024))
        with pytest.raises(voicecore.ConnectionLostError):
            await anext(stream)


async def test_an_error_in_place_of_connected(vendor, autojump_clock):
    async def script(socket):
        await socket.send_message('{"type":"error","message":"Invalid API key"}')
        await until_the_end(socket)

    with pytest.raises(voicecore.AuthError):
        async with stt(vendor(script)):
            pass
