"""The trio session against scripted vendors, through memory, on a virtual clock: no socket, no sleep."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from functools import partial

import numpy as np
import pytest
import trio
import trio.testing
from support import here
from support.scripted import Script, heard, wait_for_the_end
from trio_websocket import WebSocketConnection, wrap_server_stream

import voicecore
from voicecore import AudioFormat, Deadlines, Reconnect
from voicecore.emulator import Profile, run_emulator

PCM_16K = AudioFormat("pcm_s16le", 16_000)
RUNTIMES = here.BOTH
DEEPDUB = "ws://localhost/open"
SIXTYDB = "ws://localhost/ws/stt"


def tts(open_stream, **arguments):
    return here.connect_tts("deepdub", api_key="k", url=DEEPDUB, open_stream=open_stream, **arguments)


def stt(open_stream, **arguments):
    return here.connect_stt("60db", api_key="k", url=SIXTYDB, open_stream=open_stream, **arguments)


def audio(context_id: str, samples: bytes, *, index: int = 0, last: bool = False) -> bytes:
    data = base64.b64encode(samples).decode()
    return json.dumps({"index": index, "generationId": context_id, "data": data, "isFinished": last}).encode()


RAW = voicecore.DeepdubOptions(format="s16le", sample_rate=16000)
SECOND = np.arange(16_000, dtype="<i2").tobytes()


# --- text to speech --------------------------------------------------------------------------------------


async def test_audio_comes_out_as_it_went_in(vendor, autojump_clock):
    async def script(socket):
        request = await heard(socket)
        assert request["targetText"] == "Hello" and request["voicePromptId"] == "v" and request["sampleRate"] == 16000
        half = len(SECOND) // 2 + 1  # an odd byte is carried
        await socket.send_message(audio(request["generationId"], SECOND[:half]))
        await socket.send_message(audio(request["generationId"], SECOND[half:], index=1, last=True))
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session:
        async with session.synthesize("Hello", voice="v", output=PCM_16K, options=RAW) as speech:
            chunks = [chunk async for chunk in speech]
    assert np.concatenate([c.samples for c in chunks]).tobytes() == SECOND
    assert [c.sequence for c in chunks] == [0, 1]
    assert {c.context_id for c in chunks} == {speech.context_id}
    assert speech.metrics.audio_seconds == 1.0


async def test_the_vendors_own_bytes_are_available(vendor, autojump_clock):
    async def script(socket):
        request = await heard(socket)
        await socket.send_message(audio(request["generationId"], b"\x01\x02\x03", last=True))
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session, session.synthesize("x", output=None, options=RAW) as speech:
        [chunk] = [chunk async for chunk in speech]
    assert chunk.data == b"\x01\x02\x03"


async def silence(socket):
    await wait_for_the_end(socket)


async def one_chunk_then_silence(socket):
    request = await heard(socket)
    await socket.send_message(audio(request["generationId"], SECOND))
    await wait_for_the_end(socket)


async def a_chunk_every_second(socket):
    request = await heard(socket)
    for index in range(10_000):
        await socket.send_message(audio(request["generationId"], SECOND[:320], index=index))
        await here.sleep(1)


@pytest.mark.parametrize(
    ("script", "name", "at"),
    [
        (silence, "first_audio", 3.0),
        (one_chunk_then_silence, "between_chunks", 4.0),
        (a_chunk_every_second, "total", 20.0),
    ],
)
async def test_each_deadline_fires_at_its_second(vendor, autojump_clock, script, name, at):
    deadlines = Deadlines(first_audio=3, between_chunks=4, total=20)
    async with tts(vendor(script), deadlines=deadlines) as session:
        began = here.current_time()
        async with session.synthesize("x", options=RAW) as speech:
            with pytest.raises(voicecore.DeadlineError) as caught:
                async for _ in speech:
                    pass
        assert here.current_time() - began == pytest.approx(at)
        assert caught.value.deadline == name
        assert name in str(caught.value)


async def test_the_connect_deadline_covers_the_socket_and_the_upgrade(vendor, autojump_clock, nursery):
    async def never(url, ssl_context):
        await trio.sleep_forever()

    async def mute(url, ssl_context):
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(partial(theirs.receive_some, 10_000))
        kept.append(theirs)
        await trio.lowlevel.checkpoint()
        return ours

    kept: list[trio.abc.Stream] = []
    for opener in (never, mute):
        began = here.current_time()
        with pytest.raises(voicecore.DeadlineError) as caught:
            async with tts(opener, deadlines=Deadlines(connect=7)):
                pass
        assert (caught.value.deadline, here.current_time() - began) == ("connect", pytest.approx(7))


async def test_the_connect_deadline_covers_the_vendors_greeting(vendor, autojump_clock):
    with pytest.raises(voicecore.DeadlineError) as caught:
        async with stt(vendor(silence), deadlines=Deadlines(connect=7)):
            pass
    assert caught.value.deadline == "connect"


async def test_a_peer_that_never_answers_the_close_costs_one_second(nursery, autojump_clock):
    kept: list[trio.abc.Stream] = []

    async def open_stream(url, ssl_context):
        ours, theirs = trio.testing.memory_stream_pair()
        kept.append(theirs)
        nursery.start_soon(upgrade_only, theirs)
        await trio.lowlevel.checkpoint()
        return ours

    async def upgrade_only(stream):
        async with here.open_nursery() as tasks:
            request = await wrap_server_stream(tasks, stream)
            await request.accept()
            tasks.cancel_scope.cancel()  # nobody reads any more

    async with tts(open_stream):
        began = here.current_time()
    assert here.current_time() - began == pytest.approx(1.0)


async def test_a_stalled_peer_ends_by_the_send_deadline(autojump_clock, nursery):
    class Stalled(trio.abc.Stream):
        """Takes what the upgrade needs, then nothing more."""

        def __init__(self, inner):
            self.inner, self.open = inner, True

        async def send_all(self, data):
            if not data.startswith(b"GET"):
                await trio.sleep_forever()
            await self.inner.send_all(data)

        async def wait_send_all_might_not_block(self):
            await trio.lowlevel.checkpoint()

        async def receive_some(self, max_bytes=None):
            return await self.inner.receive_some(max_bytes)

        async def aclose(self):
            await self.inner.aclose()

    async with here.hosted(run_emulator(voice="tone", ears="none")) as emulator:

        async def open_stream(url, ssl_context):
            return Stalled(await emulator.open_stream(url))

        async with tts(open_stream, deadlines=Deadlines(send=2), reconnect=Reconnect(attempts=0)) as session:
            began = here.current_time()
            with pytest.raises(voicecore.DeadlineError) as caught:
                async with session.synthesize("x") as speech:
                    async for _ in speech:
                        pass
        assert (caught.value.deadline, here.current_time() - began) == ("send", pytest.approx(2))


async def test_a_dead_peer_is_found_within_two_keepalive_periods(nursery, autojump_clock):
    kept: list[trio.abc.Stream] = []

    async def open_stream(url, ssl_context):
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(greet_then_vanish, theirs)
        await trio.lowlevel.checkpoint()
        return ours

    async def greet_then_vanish(stream):
        kept.append(stream)
        async with here.open_nursery() as tasks:
            request = await wrap_server_stream(tasks, stream)
            socket = await request.accept()
            await socket.send_message('{"connection_established":true}')
            await socket.get_message()
            await socket.send_message('{"type":"connected"}')
            tasks.cancel_scope.cancel()

    never = Reconnect(attempts=0)
    limits = Deadlines(keepalive=5)
    async with stt(open_stream, deadlines=limits, reconnect=never) as session, session.stream() as stream:
        began = here.current_time()
        with pytest.raises(voicecore.DeadlineError) as caught:
            async for _ in stream:
                pass
    assert (caught.value.deadline, here.current_time() - began) == ("keepalive", pytest.approx(10))


async def test_a_paused_consumer_does_not_cost_the_call(vendor, autojump_clock):
    """The vendor pings every second and gives up after one more; the consumer sleeps through twenty of them."""
    pongs = 0

    async def script(socket):
        nonlocal pongs
        request = await heard(socket)
        for index in range(20):
            await socket.send_message(audio(request["generationId"], SECOND, index=index))
            with here.fail_after(1):
                await socket.ping()
            pongs += 1
            await here.sleep(1)
        await socket.send_message(audio(request["generationId"], b"", index=20, last=True))
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session:
        async with session.synthesize("x", output=PCM_16K, options=RAW) as speech:
            await here.sleep(60)
            total = sum([len(chunk.samples) async for chunk in speech])
    assert pongs == 20
    assert total == 20 * 16_000


async def test_an_overflowing_queue_fails_after_what_it_held_was_read(vendor, autojump_clock):
    async def script(socket):
        request = await heard(socket)
        for index in range(5):
            await socket.send_message(audio(request["generationId"], SECOND, index=index))
        await wait_for_the_end(socket)

    async with tts(vendor(script), max_buffered=3.0) as session:
        async with session.synthesize("x", output=PCM_16K, options=RAW) as speech:
            await here.sleep(1)
            read = 0
            with pytest.raises(voicecore.QueueOverflowError):
                async for _ in speech:
                    read += 1
    assert read == 3


async def test_a_stream_that_ends_early_is_an_error(vendor, autojump_clock):
    async def script(socket):
        request = await heard(socket)
        await socket.send_message(audio(request["generationId"], SECOND))
        await socket.aclose(1011, "oops")

    async with tts(vendor(script)) as session, session.synthesize("x", options=RAW) as speech:
        chunks = 0
        with pytest.raises(voicecore.ConnectionLostError) as caught:
            async for _ in speech:
                chunks += 1
    assert (chunks, caught.value.code, caught.value.retryable) == (1, 1011, True)


async def test_a_connection_that_the_vendor_closed_is_opened_again(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        request = await heard(socket)
        await socket.send_message(audio(request["generationId"], SECOND, last=True))
        await socket.aclose(1000)

    async with tts(vendor(script, opened)) as session:
        for _ in range(3):
            async with session.synthesize("x", output=PCM_16K, options=RAW) as speech:
                assert sum([len(c.samples) async for c in speech]) == 16_000
            await here.settled()
    assert len(opened) == 3


async def test_accept_then_1008_is_one_connection_and_an_auth_error(vendor, autojump_clock):
    opened: list[str] = []

    async def script(socket):
        await socket.aclose(1008, "bad key")

    async with tts(vendor(script, opened)) as session:
        await here.settled()
        for _ in range(3):
            with pytest.raises(voicecore.AuthError):
                async with session.synthesize("x"):
                    pass
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": "slow down", "errorType": "RateLimit"}, voicecore.RateLimitError),
        ({"error": "plan used up", "errorType": "MaxExceeded"}, voicecore.QuotaError),
        ({"error": "no credit", "errorType": "InsufficientCredits"}, voicecore.QuotaError),
        ({"error": "no such voice", "errorType": "InvalidInput"}, voicecore.InvalidRequestError),
        ({"error": "worker died"}, voicecore.VendorError),
    ],
)
@pytest.mark.parametrize("named", [True, False])
async def test_the_vendors_errors_are_typed(vendor, autojump_clock, body, kind, named):
    async def script(socket):
        request = await heard(socket)
        await socket.send_message(json.dumps(body | ({"generationId": request["generationId"]} if named else {})))
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session, session.synthesize("x") as speech:
        with pytest.raises(kind, match=body["error"]) as caught:
            async for _ in speech:
                pass
    assert type(caught.value) is kind


async def test_garbage_ends_the_connection_with_a_protocol_error(vendor, autojump_clock):
    async def script(socket):
        await socket.get_message()
        await socket.send_message("{not json")
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session, session.synthesize("x") as speech:
        with pytest.raises(voicecore.ProtocolError, match="JSON"):
            async for _ in speech:
                pass


async def test_truncated_base64_fails_its_own_context_only(vendor, autojump_clock):
    async def script(socket):
        bad, good = await heard(socket), await heard(socket)
        await socket.send_message(json.dumps({"generationId": bad["generationId"], "data": "AAA", "isFinished": False}))
        await socket.send_message(audio(good["generationId"], SECOND, last=True))
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session:
        async with (
            session.synthesize("x", options=RAW) as bad,
            session.synthesize("y", output=PCM_16K, options=RAW) as good,
        ):
            with pytest.raises(voicecore.Base64Error):
                async for _ in bad:
                    pass
            assert sum([len(c.samples) async for c in good]) == 16_000


async def test_leaving_early_drops_late_audio(vendor, autojump_clock):
    async def script(socket):
        first = await heard(socket)
        await socket.send_message(audio(first["generationId"], SECOND))
        second = await heard(socket)
        await socket.send_message(audio(first["generationId"], SECOND, index=1))
        await socket.send_message(audio(second["generationId"], SECOND[:320]))
        await socket.send_message(audio(first["generationId"], SECOND, index=2, last=True))
        await socket.send_message(audio(second["generationId"], SECOND[320:], index=1, last=True))
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session:
        async with session.synthesize("x", output=PCM_16K, options=RAW) as speech:
            async for _ in speech:
                break
        async with session.synthesize("y", output=PCM_16K, options=RAW) as speech:
            samples = np.concatenate([c.samples async for c in speech])
    assert samples.tobytes() == SECOND


async def test_context_plays_in_the_order_of_the_text(vendor, autojump_clock):
    """The vendor answers the last sentence first; the audio still comes in the order of the text, turn by turn."""

    async def script(socket):
        for count in (3, 1):
            requests = [await heard(socket) for _ in range(count)]
            for request in reversed(requests):
                mark = np.full(160, len(request["targetText"].strip()), "<i2").tobytes()
                await socket.send_message(audio(request["generationId"], mark, last=True))
        await wait_for_the_end(socket)

    async with tts(vendor(script)) as session:
        async with session.context(output=PCM_16K, options=RAW) as context:
            for piece in ("One", ". Second. Th", "ird one"):
                await context.send_text(piece)
            await context.flush()
            first = [(c.sequence, int(c.samples[0]), c.context_id) async for c in context]
            await context.send_text("Again!")
            await context.flush()
            second = [(c.sequence, int(c.samples[0]), c.context_id) async for c in context]
    name = context.context_id
    assert first == [(0, len("One."), name), (1, len("Second."), name), (2, len("Third one"), name)]
    assert second == [(3, len("Again!"), name)]


async def test_cancelling_a_context_ends_its_iteration(vendor, autojump_clock):
    async with tts(vendor(silence)) as session:
        async with session.context() as context:
            await context.send_text("Hello. ")
            async with here.open_nursery() as nursery:

                async def read():
                    async for _ in context:
                        raise AssertionError("nothing was said")

                nursery.start_soon(read)
                await here.settled()
                await context.cancel()
            with pytest.raises(voicecore.StateError):
                await context.send_text("more")


# --- speech to text --------------------------------------------------------------------------------------


def session_60db(order: str, ending: Callable[[WebSocketConnection], Awaitable[None]]) -> Script:
    async def script(socket):
        before = {"A": ["connected"], "B": []}[order]
        for kind in before:
            await socket.send_message(json.dumps({"type": kind}))
        await socket.send_message('{"connection_established":{}}')
        start = await heard(socket)
        assert start["type"] == "start"
        for kind in {"A": ["session_started"], "B": ["connected", "session_started"]}[order]:
            await socket.send_message(json.dumps({"type": kind}))
        await ending(socket)

    return script


async def a_sentence(socket):
    while (message := await socket.get_message()) and not (isinstance(message, str) and '"stop"' in message):
        pass
    await socket.send_message('{"type":"a_new_kind"}')
    await socket.send_message('{"type":"transcription","text":"hel","is_final":false}')
    await socket.send_message('{"type":"transcription","text":"hello","is_final":true,"speech_final":true}')
    await socket.send_message('{"type":"session_stopped","billing_summary":{"total_cost":"0.5"}}')
    await socket.aclose(1000)


@pytest.mark.parametrize("order", ["A", "B"])
async def test_both_handshake_orders_transcribe(vendor, autojump_clock, order):
    async with stt(vendor(session_60db(order, a_sentence))) as session, session.stream() as stream:
        await stream.send(SECOND)
        await stream.finish()
        transcripts = [(t.text, t.is_final, t.speech_final) async for t in stream]
    assert transcripts == [("hel", False, False), ("hello", True, True)]
    assert stream.summary.cost == 0.5


async def test_without_session_started_a_grace_timer_starts_the_stream(vendor, autojump_clock):
    async def script(socket):
        await socket.send_message('{"type":"connected"}')
        await socket.send_message('{"connection_established":true}')
        await heard(socket)
        await a_sentence(socket)

    async with stt(vendor(script)) as session:
        began = here.current_time()
        async with session.stream() as stream:
            assert here.current_time() - began == pytest.approx(1.5)
            await stream.finish()
            assert [t.text async for t in stream] == ["hel", "hello"]


async def test_a_session_that_is_not_stopped_properly_is_an_error(vendor, autojump_clock):
    async def vanish(socket):
        await socket.send_message('{"type":"transcription","text":"hello","is_final":true}')
        await socket.aclose(1000)

    async with stt(vendor(session_60db("B", vanish))) as session, session.stream() as stream:
        texts = []
        with pytest.raises(voicecore.ConnectionLostError):
            async for transcript in stream:
                texts.append(transcript.text)
    assert texts == ["hello"]


async def test_no_answer_after_finish_is_a_deadline_error(vendor, autojump_clock):
    deadlines = Deadlines(between_chunks=4)
    async with stt(vendor(session_60db("B", silence)), deadlines=deadlines) as session, session.stream() as stream:
        await stream.finish()
        began = here.current_time()
        with pytest.raises(voicecore.DeadlineError):
            async for _ in stream:
                pass
        assert here.current_time() - began == pytest.approx(4)


async def test_vendor_errors_end_the_stream_with_their_type(vendor, autojump_clock):
    async def refuse(socket):
        body = {"type": "error", "error": "limit", "error_code": "STT_CONCURRENCY_LIMIT", "details": {"limit": 8}}
        await socket.send_message(json.dumps(body))
        await wait_for_the_end(socket)

    async with stt(vendor(session_60db("B", refuse))) as session, session.stream() as stream:
        with pytest.raises(voicecore.RateLimitError):
            async for _ in stream:
                pass


async def test_sending_after_finish_is_refused(vendor, autojump_clock):
    async with stt(vendor(session_60db("B", a_sentence))) as session, session.stream() as stream:
        await stream.finish()
        with pytest.raises(voicecore.StateError):
            await stream.send(SECOND)


# --- structure -------------------------------------------------------------------------------------------


async def test_one_error_comes_out_as_itself(vendor, autojump_clock):
    class Mine(Exception):
        pass

    with pytest.raises(Mine):
        async with tts(vendor(silence)) as session, session.synthesize("x"):
            raise Mine


async def test_nothing_outlives_the_block_wherever_it_is_cancelled(autojump_clock):
    """The whole road, cancelled at every fiftieth of a second of it, and once more after each checkpoint."""
    async with here.hosted(run_emulator(Profile(pace=1.0), voice="tone", ears="none")) as emulator:

        async def road():
            async with tts(emulator.open_stream) as session:
                async with session.synthesize("Hello there.", output=PCM_16K) as speech:
                    async for _ in speech:
                        pass
                async with session.context() as context:
                    await context.send_text("One. Two. ")
                    await context.flush()
                    async for _ in context:
                        pass
            async with stt(emulator.open_stream) as session, session.stream() as stream:
                for _ in range(20):
                    await stream.send(bytes(640))
                    await here.sleep(0.02)
                await stream.finish()
                async for _ in stream:
                    pass

        began = here.current_time()
        await road()
        length = here.current_time() - began
        await here.settled()
        tasks = here.tasks_living()
        for step in range(int(length * 50) + 1):
            with here.move_on_after(step / 50) as scope:
                await road()
            assert scope.cancelled_caught or step / 50 >= length
            await here.settled()
            assert here.tasks_living() == tasks
        await road()


# --- at construction -------------------------------------------------------------------------------------


def test_a_missing_key_names_its_variable_at_construction():
    with pytest.raises(ValueError, match="DEEPDUB_API_KEY"):
        here.connect_tts("deepdub")
    with pytest.raises(ValueError, match="SIXTY_DB_API_KEY"):
        here.connect_stt("60db")


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "http://localhost/open"},
        {"url": "ws:///open"},
        {"url": "ws://localhost:99999/open"},
        {"url": "ws://example.com/open"},
        {"api_key": "two words"},
        {"api_key": "line\r\nX-Evil: 1"},
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments):
    with pytest.raises(voicecore.ConfigurationError) as caught:
        here.connect_tts("deepdub", **({"api_key": "sekrit"} | arguments))
    assert "sekrit" not in str(caught.value)
    assert "Evil" not in str(caught.value)


def test_unknown_vendors_are_refused_with_the_known_ones():
    with pytest.raises(voicecore.ConfigurationError, match="deepdub"):
        here.connect_tts("nobody", api_key="k")


async def test_bad_requests_are_refused_before_they_are_sent(vendor, autojump_clock):
    async with tts(vendor(silence)) as session:
        with pytest.raises(voicecore.TextTooLongError, match="50000"):
            session.synthesize("x" * 50_001)
        with pytest.raises(voicecore.ConfigurationError):
            session.synthesize("   ")
        with pytest.raises(voicecore.ConfigurationError, match="DeepdubOptions"):
            session.synthesize("x", options=voicecore.SixtydbSttOptions())
    with pytest.raises(voicecore.FormatError, match="sample_rate"):
        AudioFormat("pcm_s16le", 3_999)


def test_the_environment_is_read_and_an_argument_beats_it(monkeypatch):
    monkeypatch.setenv("DEEPDUB_API_KEY", "k")
    monkeypatch.setenv("DEEPDUB_URL", "http://wrong.example/open")
    with pytest.raises(voicecore.ConfigurationError, match=r"wrong\.example"):
        here.connect_tts("deepdub")
    here.connect_tts("deepdub", url=DEEPDUB)


# --- a slow consumer -------------------------------------------------------------------------------------


async def fifty_seconds(socket):
    request = await heard(socket)
    for index in range(50):
        await socket.send_message(audio(request["generationId"], SECOND, index=index, last=index == 49))
    await wait_for_the_end(socket)


async def test_a_consumer_may_let_the_socket_wait_and_loses_nothing(vendor, autojump_clock):
    limits = Deadlines(between_chunks=5, keepalive=3, total=float("inf"))
    bound = {"max_buffered": 2.0, "on_overflow": "wait"}
    async with tts(vendor(fifty_seconds), deadlines=limits, **bound) as session:
        async with session.synthesize("x", output=PCM_16K, options=RAW) as speech:
            samples = 0
            async for chunk in speech:
                samples += len(chunk.samples)
                await here.sleep(20)
    assert samples == 50 * 16_000


async def test_a_consumer_may_lose_the_oldest_and_is_told(vendor, autojump_clock):
    bound = {"max_buffered": 10.0, "on_overflow": "drop_oldest"}
    async with tts(vendor(fifty_seconds), **bound) as session:
        async with session.synthesize("x", output=PCM_16K, options=RAW) as speech:
            await here.sleep(60)
            chunks = [chunk async for chunk in speech]
    assert len(chunks) == 10 and speech.metrics.dropped_bytes == 40 * len(SECOND)


@pytest.mark.parametrize("wrong", [{"on_overflow": "panic"}, {"on_limit": "cry"}, {"max_connections": 0}])
def test_a_choice_that_is_none_is_refused(wrong):
    with pytest.raises(voicecore.ConfigurationError, match=next(iter(wrong))):
        here.connect_tts("deepdub", api_key="k", **wrong)


async def test_a_speech_is_entered_once_and_iterated_inside_its_block(vendor, autojump_clock):
    async with tts(vendor(silence)) as session:
        speech = session.synthesize("x")
        with pytest.raises(voicecore.StateError, match="inside its `async with` block"):
            await anext(speech)
        async with speech:
            assert speech.details == {}
            with pytest.raises(voicecore.StateError, match="entered once"):
                await speech.__aenter__()
        with pytest.raises(voicecore.StateError, match="entered once"):
            await speech.__aenter__()


async def test_a_voice_that_is_not_classified_in_time_is_a_deadline(vendor, autojump_clock):
    async with tts(vendor(silence), deadlines=Deadlines(first_audio=3.0)) as session:
        with pytest.raises(voicecore.DeadlineError, match="first_audio"):
            await session.classify_voice(b"RIFF")
        assert here.current_time() == 3.0
