"""What the tests say and hear: text through a text-to-speech service, frames through a speech-to-text one."""

from __future__ import annotations

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, stt, tts
from livekit.agents.stt import SpeechEventType

from voicecore import codec

PHRASE = "Your appointment is on Monday at nine."
ONCE = APIConnectOptions(max_retry=0)
QUICK = APIConnectOptions(max_retry=2, retry_interval=0.01)


def samples_of(events: list[tts.SynthesizedAudio]) -> np.ndarray:
    return np.concatenate([np.frombuffer(event.frame.data, np.int16) for event in events])


async def streamed(speaker: tts.TTS, *texts: str, conn_options: APIConnectOptions = ONCE) -> list[tts.SynthesizedAudio]:
    async with speaker.stream(conn_options=conn_options) as stream:
        for text in texts:
            stream.push_text(text)
        stream.end_input()
        return [event async for event in stream]


def frames_of(speech: np.ndarray, rate: int, channels: int, seconds: float = 0.02) -> list[rtc.AudioFrame]:
    """Speech at 48 kHz as frames of another kind; every channel has all of it."""
    mono = speech if rate == 48_000 else codec.resample(speech, 48_000, rate)
    size = round(rate * seconds)
    parts = [mono[at : at + size] for at in range(0, len(mono), size)]
    return [rtc.AudioFrame(np.repeat(part, channels).tobytes(), rate, channels, len(part)) for part in parts]


async def heard(
    listener: stt.STT, frames: list[rtc.AudioFrame], conn_options: APIConnectOptions = ONCE
) -> list[stt.SpeechEvent]:
    async with listener.stream(conn_options=conn_options) as stream:
        for frame in frames:
            stream.push_frame(frame)
        stream.end_input()
        return [event async for event in stream]


def kinds_of(events: list[stt.SpeechEvent]) -> list[SpeechEventType]:
    """Without reports of usage, and repeated interim results once."""
    kinds = [event.type for event in events if event.type is not SpeechEventType.RECOGNITION_USAGE]
    return [kind for at, kind in enumerate(kinds) if at == 0 or kind is not kinds[at - 1]]


def finals_of(events: list[stt.SpeechEvent]) -> list[str]:
    return [event.alternatives[0].text for event in events if event.type is SpeechEventType.FINAL_TRANSCRIPT]
