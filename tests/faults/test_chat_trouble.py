"""Faults of the field for the chat, which is HTTP: what `tests/test_llm.py` does not have. Numbers: docs/faults.md."""

from __future__ import annotations

import gc

import pytest
import trio
from support.memory_http import MemoryTransport

import voicecore
from voicecore import ChatDeadlines, Reconnect
from voicecore.emulator import Profile, run_emulator

URL = "http://localhost/v1/chat/completions"


def connect(transport, **arguments):
    return voicecore.connect_llm("60db", api_key="k", url=URL, transport=transport, **arguments)


async def reply(llm) -> str:
    async with llm.chat("Hello") as answer:
        return await answer.read()


class FullLine(trio.abc.Stream):
    """A line whose window is closed: nothing can be sent, and nothing comes."""

    async def send_all(self, data: bytes) -> None:
        await trio.sleep_forever()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.sleep_forever()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.sleep_forever()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.fault(12, "60db-llm")
async def test_a_peer_that_takes_no_request_costs_the_deadline_of_the_first_token(autojump_clock):
    async def open_stream(url: str, _: object) -> trio.abc.Stream:
        return FullLine()

    limits = ChatDeadlines(first_token=4)
    with pytest.raises(voicecore.DeadlineError) as caught:
        async with connect(MemoryTransport(open_stream), deadlines=limits, retry=Reconnect(attempts=0)) as llm:
            await reply(llm)
    assert (caught.value.deadline, trio.current_time()) == ("first_token", 4.0)


@pytest.mark.fault(26, "60db-llm")
async def test_a_client_that_chats_for_long_holds_no_more_than_at_first(autojump_clock):
    async with run_emulator(voice="tone", ears="none") as emulator:
        async with connect(MemoryTransport(emulator.open_stream)) as llm:
            held = []
            for _ in range(2):
                for _ in range(50):
                    await reply(llm)
                    await trio.sleep(60)
                gc.collect()
                emulator.chat.requests.clear()
                gc.collect()
                held.append(len(gc.get_objects()))
    assert held[1] - held[0] < 50


@pytest.mark.fault(27, "60db-llm")
async def test_a_host_loop_that_stalls_200_ms_costs_no_reply(autojump_clock):
    async def stall() -> None:
        while True:
            await trio.sleep(0.1)
            autojump_clock.jump(0.2)

    hasty = ChatDeadlines(connect=1, first_token=1, between_chunks=0.5)
    async with run_emulator(Profile(llm_token_seconds=0.1), voice="tone", ears="none") as emulator:
        async with connect(MemoryTransport(emulator.open_stream), deadlines=hasty) as llm, trio.open_nursery() as tasks:
            calm = await reply(llm)
            tasks.start_soon(stall)
            assert await reply(llm) == calm
            tasks.cancel_scope.cancel()
