"""The engines' worker processes by themselves: frames on stdin, frames on stdout, and how a process ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from voicecore.emulator.grammar import PAUSE, Grammar
from voicecore.emulator.phrases import PHRASES
from voicecore.emulator.worker import SCRIPTS
from voicecore.emulator.workers.framing import LENGTHS, MAX_HEADER_BYTES, Frame, FrameParser, Header, encode

from .conftest import EARS_RATE, Samples

ESPEAK, POCKETSPHINX = "espeak_worker.py", "pocketsphinx_worker.py"
LAST = {"ready", "end", "error"}
LONG = "The quick brown fox jumps over the lazy dog. " * 500


class Engine:
    """A worker process, and the frames that it sends."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._parser = FrameParser()

    async def ask(self, header: Header, payload: bytes = b"") -> list[Frame]:
        """Sends a frame; the answer, to its last frame."""
        await self.tell(encode(header, payload))
        return await self.answer()

    async def tell(self, data: bytes) -> None:
        await self.process.stdin.send_all(data)

    async def answer(self) -> list[Frame]:
        frames: list[Frame] = []
        while not frames or frames[-1].header["kind"] not in LAST:
            while (frame := self._parser.next()) is None:
                data = await self.process.stdout.receive_some()
                assert data, "the worker ended"
                self._parser.feed(data)
            frames.append(frame)
        return frames

    async def end(self) -> int:
        """Closes its stdin; its exit status."""
        await self.process.stdin.aclose()
        return await self.process.wait()


@asynccontextmanager
async def engine(script: str) -> AsyncIterator[Engine]:
    """A worker that ends by itself when the block is left, and is killed when that failed."""
    command, pipe = [sys.executable, str(SCRIPTS / script)], subprocess.PIPE
    process = await trio.lowlevel.open_process(command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        async with process.stdin, process.stdout, process.stderr:
            yield Engine(process)
            await process.stdin.aclose()
            await process.wait()
    finally:
        process.kill()
        await process.wait()


def request(number: int = 1, **changes: object) -> Header:
    return {"id": number, "language": "en-US", "words_per_minute": 175} | changes


def audio_of(frames: list[Frame]) -> bytes:
    return b"".join(frame.payload for frame in frames if frame.header["kind"] == "audio")


# --- espeak ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "known"),
    [("en-US", True), ("EN_gb", True), ("hi-IN", True), ("fil", True), ("xx-YY", False), ("../en", False)],
)
async def test_espeak_says_whether_it_knew_the_language(language: str, known: bool) -> None:
    async with engine(ESPEAK) as espeak:
        [ready] = await espeak.ask({})
        assert ready.header["name"].startswith("espeak-ng 1.") and ready.header["sample_rate"] == 22_050
        voice, *rest = await espeak.ask(request(language=language), b"Hello.")
        assert voice.header == {"id": 1, "kind": "voice", "known_language": known}
        assert len(audio_of(rest)) > 10_000 and rest[-1].header == {"id": 1, "kind": "end"}
        assert await espeak.end() == 0


async def test_a_newer_request_ends_the_answer_to_an_older_one() -> None:
    async with engine(ESPEAK) as espeak:
        await espeak.ask({})
        await espeak.tell(encode(request(1), LONG.encode()) + encode(request(2), b"Hello."))
        first, second = await espeak.answer(), await espeak.answer()
        assert {frame.header["id"] for frame in first} == {1} and {frame.header["id"] for frame in second} == {2}
        assert audio_of(first) == b"" and audio_of(second)
        await espeak.tell(encode(request(3), LONG.encode()))
        await espeak.tell(encode(request(4), b"Hello."))  # it speaks by now, or has not begun
        assert len(audio_of(await espeak.answer())) < 22_050 * 60 and audio_of(await espeak.answer()) == audio_of(
            second
        )


async def test_a_bad_request_is_answered_and_the_worker_goes_on() -> None:
    async with engine(ESPEAK) as espeak:
        await espeak.ask({})
        assert await espeak.ask({"id": 7}) == [
            Frame({"id": 7, "kind": "error", "message": "KeyError: 'language'"}, b"")
        ]
        assert audio_of(await espeak.ask(request(8), b"Hello."))


# --- pocketsphinx ----------------------------------------------------------------------------------------


async def test_pocketsphinx_hears_the_phrases(phrases: dict[str, Samples]) -> None:
    setup = {"jsgf": Grammar(PHRASES).jsgf(), "pause": PAUSE}
    said = phrases[PHRASES[0]].astype("<i2").tobytes()
    async with engine(POCKETSPHINX) as ears:
        assert [frame.header["kind"] for frame in await ears.ask(setup)] == ["ready"]
        heard, _ = await ears.ask({"id": 1, "whole": True}, said)
        assert heard.header["words"] and 0 < heard.header["posterior"] <= 1 and heard.header["fit"] < 0
        so_far, _ = await ears.ask({"id": 2, "whole": False}, said[: len(said) // 2])
        words = so_far.header["words"]
        assert words == heard.header["words"][: len(words)]
        nothing, _ = await ears.ask({"id": 3, "whole": True}, bytes(EARS_RATE))  # silence
        assert nothing.header == {"id": 3, "kind": "words", "words": [], "fit": -1.0, "posterior": 0.0}
        assert await ears.end() == 0


async def test_pocketsphinx_without_a_grammar_hears_any_words(phrases: dict[str, Samples]) -> None:
    async with engine(POCKETSPHINX) as ears:
        await ears.ask({"jsgf": None, "pause": PAUSE})
        heard, _ = await ears.ask({"id": 1, "whole": True}, phrases[PHRASES[0]][: 2 * EARS_RATE].tobytes())
        assert heard.header["words"]


# --- how a worker ends -----------------------------------------------------------------------------------


async def test_an_engine_that_cannot_start_says_why_and_ends() -> None:
    async with engine(POCKETSPHINX) as ears:
        [error] = await ears.ask({"pause": PAUSE})
        assert error.header == {"kind": "error", "message": "KeyError: 'jsgf'"}
        assert await ears.process.wait() == 0


@pytest.mark.parametrize("cut", [1, LENGTHS.size, -1])
async def test_half_a_frame_is_the_end(cut: int) -> None:
    async with engine(ESPEAK) as espeak:
        await espeak.ask({})
        await espeak.tell(encode(request(), b"Hello.")[:cut])
        assert await espeak.end() == 0


async def test_what_is_no_frame_ends_the_worker() -> None:
    async with engine(ESPEAK) as espeak:
        await espeak.tell(LENGTHS.pack(MAX_HEADER_BYTES + 1, 0))
        assert await espeak.process.wait() == 1
        assert b"over the limit" in bytes(await espeak.process.stderr.receive_some())


async def test_a_worker_whose_reader_is_gone_ends_without_a_word() -> None:
    async with engine(ESPEAK) as espeak:
        await espeak.ask({})
        await espeak.process.stdout.aclose()
        await espeak.tell(encode(request(), b"Hello."))
        assert await espeak.process.wait() == 0
        assert bytes(await espeak.process.stderr.receive_some()) == b""
