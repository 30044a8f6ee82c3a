"""The matrix vendor x format over real sockets: each format that a vendor offers is asked for, sent and decoded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import voicecore
from voicecore import AudioFormat, VachanaTtsOptions
from voicecore.cli.matrix import COLUMNS, compare, mark, summary, try_every_format
from voicecore.codec import resample
from voicecore.emulator import run_emulator
from voicecore.vendors import DIALECTS
from voicecore.vendors.vachana import VachanaTts

TEXT = "Your appointment is on Monday at nine."
SPEAKERS = [pytest.param(dialect, id=dialect.name) for dialect in DIALECTS if dialect.kind == "tts"]


@pytest.mark.parametrize("voice", ["espeak", "tone"])
@pytest.mark.parametrize("dialect", SPEAKERS)
async def test_every_format_of_a_vendor(dialect, voice):
    async with run_emulator(voice=voice, ears="none") as emulator:
        async with voicecore.connect_tts(dialect.vendor, api_key="k", url=emulator.urls[dialect.name]) as tts:
            cells = await try_every_format(tts, TEXT)
    assert [cell.asked for cell in cells] == list(dialect.offers)
    assert [f"{cell.asked}: {cell.problem}" for cell in cells if not cell.ok] == []
    assert {cell.column for cell in cells} <= set(COLUMNS)
    assert all(mark(counts).startswith("✓") for row in summary(cells).values() for counts in row.values())


async def test_a_fault_in_one_format_is_found(monkeypatch):
    """Each rule of the matrix can fail: the server sends what a vendor with a fault would."""

    def package(self, samples: bytes, wire: AudioFormat, index: int) -> bytes:
        match wire.encoding, wire.sample_rate:
            case "mp3", 22_050:
                return b"not a frame" + samples  # damaged
            case "opus", 24_000:
                return samples[: len(samples) // 2]  # cut short
            case "pcm_s16le", 8_000:
                return samples[::-1]  # something else
            case "pcm_s16le", 16_000:
                return bytes(320) * (index == 0) + samples  # late
            case "alaw", _:
                return genuine(self, samples, replace(wire, container="wav", encoding="pcm_s16le"), 0)  # mislabelled
        return genuine(self, samples, wire, index)

    genuine = VachanaTts.package
    monkeypatch.setattr(VachanaTts, "package", package)
    async with run_emulator(voice="tone", ears="none") as emulator:
        url = emulator.urls["vachana-tts"]
        async with voicecore.connect_tts("vachana", api_key="k", url=url) as tts:
            cells = {cell.asked: cell.problem for cell in await try_every_format(tts, TEXT)}
    assert "damaged" in cells["mp3 linear_pcm 22050"]
    assert "longer" in cells["ogg oggopus 24000"]
    assert "likeness" in cells["raw linear_pcm 8000"]
    assert "late" in cells["raw linear_pcm 16000"]
    assert "found" in cells["alaw pcm_alaw 8000"]
    assert (cells["mulaw pcm_mulaw 8000"], cells["mp3 linear_pcm 24000"]) == ("", "")


async def test_two_channels_come_through_coded():
    """Vachana's `num_channels`, which the matrix leaves at one."""
    stereo = AudioFormat("pcm_s16le", 24_000, channels=2)
    async with run_emulator(voice="tone", ears="none") as emulator:
        async with voicecore.connect_tts("vachana", api_key="k", url=emulator.urls["vachana-tts"]) as tts:
            heard = {}
            for container in ("wav", "mp3", "ogg"):
                options = VachanaTtsOptions(container=container, sample_rate=24_000, num_channels=2)
                async with tts.synthesize(TEXT, output=stereo, options=options) as speech:
                    heard[container] = np.concatenate([chunk.samples async for chunk in speech])
    for samples in heard.values():
        assert samples.shape[1] == 2
        assert compare(samples[:, 1], heard["wav"][:, 0], 24_000)[1] > 0.95


def test_the_comparison_finds_delay_and_likeness():
    rng = np.random.default_rng(0)
    one = rng.normal(0, 3000, 8000).astype(np.int16)
    assert compare(np.concatenate([np.zeros(80, np.int16), one]), one, 8000) == (0.01, pytest.approx(1.0))
    assert compare(one[40:], one, 8000)[0] == -0.005
    assert compare(one, rng.normal(0, 3000, 8000).astype(np.int16), 8000)[1] < 0.1
    assert compare(np.zeros(0, np.int16), one, 8000) == (0.0, 0.0)
    assert compare(resample(one, 8000, 16_000), resample(one, 8000, 16_000), 16_000)[1] == pytest.approx(1.0)
