"""Every vendor by name: the same samples as without LiveKit, streamed and whole."""

from __future__ import annotations

import numpy as np
import pytest
from livekit.agents import APIConnectOptions, APIStatusError, tts
from livekit.agents.stt import SpeechEventType
from talk import ONCE, PHRASE, finals_of, frames_of, heard, kinds_of, samples_of, streamed

from voicecore import AudioFormat, DeepdubOptions, VachanaSttOptions, aio
from voicecore.integrations.livekit import LLM, STT, TTS

TEXT = "Your appointment is on Monday at nine. "
MORE = "Please bring your papers with you."
SPEAKERS = {
    "60db": "60db-tts",
    "vachana": "vachana-tts",
    "uplift": "uplift",
    "uplift-socketio": "uplift-socketio",
    "deepdub": "deepdub-open",
    "deepdub-ws": "deepdub-ws",
}


def speaker_of(urls: dict[str, str], name: str, **arguments: object) -> tts.TTS:
    return TTS(name, api_key="k", url=urls[SPEAKERS[name]], voice="v_meklc281", **arguments)


async def directly(urls: dict[str, str], name: str, *texts: str) -> np.ndarray:
    output = AudioFormat("pcm_s16le", 24_000)
    async with aio.connect_tts(name, api_key="k", url=urls[SPEAKERS[name]]) as session:
        spoken = []
        for text in texts:
            async with session.synthesize(text, voice="v_meklc281", output=output) as speech:
                spoken += [chunk.samples async for chunk in speech]
        return np.concatenate(spoken)


@pytest.mark.parametrize("name", SPEAKERS)
async def test_every_voice_whole(urls, name):
    async with speaker_of(urls, name, sample_rate=24_000) as speaker:
        events = [event async for event in speaker.synthesize(TEXT, conn_options=ONCE)]
        assert speaker.provider == name.partition("-")[0] and speaker.model != "unknown"
    assert np.array_equal(samples_of(events), await directly(urls, name, TEXT))


@pytest.mark.parametrize("name", SPEAKERS)
async def test_every_voice_bit_by_bit(urls, name):
    async with speaker_of(urls, name, sample_rate=24_000) as speaker:
        for _ in range(2):
            events = await streamed(speaker, *(TEXT + MORE).replace(" ", " |").split("|"))
            got, expected = samples_of(events), await directly(urls, name, TEXT, MORE)
            assert abs(len(got) - len(expected)) <= 2 if name == "deepdub-ws" else np.array_equal(got, expected)


@pytest.mark.parametrize("name", SPEAKERS)
async def test_every_voice_may_be_cut_off(urls, name):
    async with speaker_of(urls, name, sample_rate=24_000) as speaker:
        async with speaker.stream(conn_options=ONCE) as stream:
            stream.push_text(TEXT + MORE)
            stream.flush()
            await anext(stream)
        events = await streamed(speaker, MORE)
    assert np.array_equal(samples_of(events), await directly(urls, name, MORE))


@pytest.mark.parametrize("name", SPEAKERS)
async def test_every_vendor_may_refuse_a_key(urls, name):
    async with TTS(name, api_key="bad-key", url=urls[SPEAKERS[name]], voice="v") as speaker:
        with pytest.raises(APIStatusError) as caught:
            await streamed(speaker, TEXT, conn_options=APIConnectOptions(max_retry=3))
    assert caught.value.status_code == 401


async def test_the_options_of_a_vendor(urls):
    options = DeepdubOptions(model="dd-etts-3.2")
    async with speaker_of(urls, "deepdub", options=options) as speaker:
        assert speaker.model == "dd-etts-3.2"
        assert await streamed(speaker, TEXT)


async def test_vachana_listens(urls, speech):
    async with STT("vachana", api_key="k", url=urls["vachana-stt"]) as listener:
        events = await heard(listener, frames_of(speech, 48_000, 2))
        assert not listener.capabilities.interim_results and listener.provider == "vachana"
        with pytest.raises(ValueError, match="languages"):
            listener.stream(language="xx")
    assert finals_of(events) == [PHRASE]
    assert kinds_of(events) == [
        SpeechEventType.START_OF_SPEECH,
        SpeechEventType.FINAL_TRANSCRIPT,
        SpeechEventType.END_OF_SPEECH,
    ]


async def test_vachana_in_another_language(urls, speech):
    options = VachanaSttOptions(languages=["hi-IN"])
    async with STT("vachana", api_key="k", url=urls["vachana-stt"], options=options) as listener:
        async with listener.stream(language="en-IN", conn_options=ONCE) as stream:
            for frame in frames_of(speech, 48_000, 1):
                stream.push_frame(frame)
            stream.end_input()
            events = [event async for event in stream]
    assert finals_of(events) == [PHRASE]
    assert {event.alternatives[0].language for event in events if event.alternatives} == {"en-IN"}


@pytest.mark.parametrize("made", [TTS, STT, LLM])
def test_unknown_vendors_are_value_errors(made):
    with pytest.raises(ValueError, match="vendor"):
        made("nobody", api_key="k")
