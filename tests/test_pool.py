"""The sockets of a session with a vendor that serves one utterance at a time on each, on a virtual clock.

The peer is the emulator's Vachana, which speaks no faster than real time here: an utterance holds its socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
import pytest
import trio
import trio.testing
from support import here

import voicecore
from voicecore import AudioFormat, Deadlines
from voicecore.codec import Transcoder
from voicecore.emulator import Emulator, Profile, run_emulator
from voicecore.emulator.voice import open_voice

PCM_16K = AudioFormat("pcm_s16le", 16_000)
RUNTIMES = here.BOTH
URL = "ws://localhost/api/v1/tts"
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven")
TEXTS = [f"Sentence number {number}." for number in NUMBERS]


class Sockets:
    """Opens connections to an emulator, and counts them."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.open = self.most = self.total = 0

    async def __call__(self, url: str, ssl_context: object) -> trio.abc.Stream:
        self.open += 1
        self.total += 1
        self.most = max(self.most, self.open)
        return Counted(await self.emulator.open_stream(url), self)


class Counted(trio.abc.Stream):
    def __init__(self, inner: trio.abc.Stream, sockets: Sockets) -> None:
        self._inner = inner
        self._sockets: Sockets | None = sockets

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        if self._sockets is not None:
            self._sockets.open -= 1
            self._sockets = None
        await self._inner.aclose()


@pytest.fixture
async def sockets(autojump_clock):
    async with here.hosted(run_emulator(Profile(pace=1.0), voice="tone", ears="none")) as emulator:
        yield Sockets(emulator)


def connect(sockets: Sockets, most: int = 2, **arguments: object):
    return here.connect_tts("vachana", api_key="k", url=URL, open_stream=sockets, max_connections=most, **arguments)


async def read(session: voicecore.TTS, text: str, **arguments: object) -> bytes:
    async with session.synthesize(text, output=PCM_16K, **arguments) as speech:
        return b"".join([chunk.data async for chunk in speech])


async def spoken(text: str) -> bytes:
    """What the emulator's voice says, made without any protocol."""
    return await here.on_trio(_spoken, text)


async def _spoken(text: str) -> bytes:
    async with open_voice(engine="tone") as voice, voice.speak(text) as parts:
        pcm = b"".join([bytes(part) async for part in parts])
    transcoder = transcoder_of(voice.sample_rate)
    return np.concatenate([transcoder.process(pcm), transcoder.flush()]).tobytes()


def transcoder_of(rate: int) -> Transcoder:
    return Transcoder(AudioFormat("pcm_s16le", rate), PCM_16K)


async def all_at_once(*jobs: Callable[[], Awaitable[None]]) -> None:
    """Each begins when the one before it waits for something."""
    async with here.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(job)
            await here.settled()


async def test_utterances_at_once_get_sockets_up_to_the_limit_and_the_rest_wait_in_order(sockets, autojump_clock):
    asked: dict[str, float] = {}
    got: dict[str, bytes] = {}

    def job(session: voicecore.TTS, text: str):
        async def run() -> None:
            async with session.synthesize(text, output=PCM_16K) as speech:
                asked[text] = speech.metrics.requested_at
                got[text] = b"".join([chunk.data async for chunk in speech])

        return run

    async with connect(sockets, 2) as session:
        await all_at_once(*(job(session, text) for text in TEXTS))
    assert got == {text: await spoken(text) for text in TEXTS}
    assert (sockets.most, sockets.total, sockets.open) == (2, 2, 0)
    times = [asked[text] for text in TEXTS]
    assert times == sorted(times) and times[0] == times[1] < times[2]


async def test_who_waits_longest_is_served_first(sockets, autojump_clock):
    """One socket: the order of the answers is the order of the questions, however many come."""
    ended: list[str] = []
    async with connect(sockets, 1) as session:

        def job(text: str):
            async def run() -> None:
                assert await read(session, text) == await spoken(text)
                ended.append(text)

            return run

        await all_at_once(*map(job, TEXTS))
    assert ended == TEXTS
    assert (sockets.most, sockets.total) == (1, 1)


async def test_one_after_the_other_share_a_socket(sockets, autojump_clock):
    async with connect(sockets, 4) as session:
        for text in TEXTS[:3]:
            assert await read(session, text) == await spoken(text)
    assert sockets.total == 1


async def test_sentences_of_a_context_play_in_order_over_several_sockets(sockets, autojump_clock):
    long_first = "The first sentence is by far the longest one of them all. Two. Three. Four."
    async with connect(sockets, 3) as session, session.context(output=PCM_16K) as context:
        async with here.open_nursery() as nursery:
            nursery.start_soon(context.send_text, long_first[:20])
            await here.settled()
            nursery.start_soon(context.send_text, long_first[20:])
            await here.settled()
            nursery.start_soon(context.flush)
            heard = b"".join([chunk.data async for chunk in context])
    parts = [await spoken(part) for part in ("The first sentence is by far the longest one of them all.", "Two.")]
    parts += [await spoken(part) for part in ("Three.", "Four.")]
    assert heard == b"".join(parts)
    assert sockets.most == 3


async def test_cancel_drops_only_that_socket(sockets, autojump_clock):
    async with connect(sockets, 2) as session:
        async with session.synthesize(TEXTS[0], output=PCM_16K) as other:
            async with session.synthesize(TEXTS[1], output=PCM_16K) as speech:
                await anext(aiter(speech))
            await here.settled()
            assert (sockets.open, sockets.total) == (1, 2)
            assert b"".join([chunk.data async for chunk in other]) == await spoken(TEXTS[0])
        assert await read(session, TEXTS[2]) == await spoken(TEXTS[2])
    assert sockets.total == 2  # the one that was left


async def test_a_cancelled_utterance_makes_room_and_its_audio_is_never_heard(sockets, autojump_clock):
    async with connect(sockets, 1) as session:
        for text in TEXTS[:3]:
            async with session.synthesize("A very long text that nobody listens to.", output=PCM_16K) as speech:
                await anext(aiter(speech))
            assert await read(session, text) == await spoken(text)
    assert (sockets.most, sockets.total) == (1, 4)


async def test_waiting_is_bounded_by_the_total_deadline(sockets, autojump_clock):
    async with connect(sockets, 1, deadlines=Deadlines(total=0.75)) as session:
        async with session.synthesize(TEXTS[0], output=PCM_16K):
            began = here.current_time()
            with pytest.raises(voicecore.DeadlineError, match="no connection was free") as caught:
                await read(session, TEXTS[1])
            assert here.current_time() - began == pytest.approx(0.75)
            assert caught.value.deadline == "total"


async def test_a_waiter_that_gives_up_leaves_nothing_and_loses_nobody_their_place(sockets, autojump_clock):
    ended: list[str] = []
    async with connect(sockets, 1) as session:

        async def run(text: str) -> None:
            assert await read(session, text) == await spoken(text)
            ended.append(text)

        async with here.open_nursery() as nursery:
            nursery.start_soon(run, TEXTS[0])
            await here.settled()
            scopes = [here.CancelScope(), here.CancelScope()]
            for scope, text in zip(scopes, TEXTS[1:3], strict=True):

                async def impatient(scope: here.CancelScope = scope, text: str = text) -> None:
                    with scope:
                        await run(text)

                nursery.start_soon(impatient)
                await here.settled()
            nursery.start_soon(run, TEXTS[3])
            await here.settled()
            for scope in scopes:  # the first of them holds the turn, the second queues for it
                scope.cancel()
        assert ended == [TEXTS[0], TEXTS[3]]
        await here.settled()
        assert sockets.open == 1
    assert (sockets.most, sockets.open) == (1, 0)


async def test_cancelling_a_context_while_a_sentence_waits_for_a_socket(sockets, autojump_clock):
    async with connect(sockets, 1) as session, session.context(output=PCM_16K) as context:
        async with here.open_nursery() as nursery:

            async def speak() -> None:
                with pytest.raises(voicecore.StateError):
                    await context.send_text("One sentence. Another one. And a third. ")

            nursery.start_soon(speak)
            await here.settled()
            await context.cancel()
        assert [chunk async for chunk in context] == []
        assert await read(session, TEXTS[0]) == await spoken(TEXTS[0])
    assert sockets.most == 1


async def test_a_refused_key_ends_the_waiting(sockets, autojump_clock):
    with pytest.raises(voicecore.AuthError, match="401"):
        async with here.connect_tts("vachana", api_key="bad", url=URL, open_stream=sockets):
            pass
    assert (sockets.total, sockets.open) == (1, 0)


async def test_a_vendor_that_closes_after_complete_costs_nobody_an_utterance(autojump_clock):
    """The next request may cross the close on the wire: it is asked again on another socket."""
    profile = Profile(vachana_end="complete_and_close")
    async with here.hosted(run_emulator(profile, voice="tone", ears="none")) as emulator:
        sockets = Sockets(emulator)
        async with connect(sockets, 1) as session:
            for text in TEXTS:
                assert await read(session, text) == await spoken(text)
    assert (sockets.most, sockets.total) == (1, len(TEXTS))


async def test_nothing_outlives_the_pool_wherever_it_is_cancelled(sockets, autojump_clock):
    async def road() -> None:
        async with connect(sockets, 2) as session, here.open_nursery() as nursery:
            for text in TEXTS[:4]:
                nursery.start_soon(read, session, text)
            async with session.context() as context:
                await context.send_text("One. Two. ")
                await context.flush()
                async for _ in context:
                    pass

    began = here.current_time()
    await road()
    length = here.current_time() - began
    await here.settled()
    tasks = here.tasks_living()
    for step in range(int(length * 10)):
        with here.move_on_after(step / 10) as scope:
            await road()
        assert scope.cancelled_caught
        await here.settled()
        assert (here.tasks_living(), sockets.open) == (tasks, 0)
    assert sockets.most == 2
