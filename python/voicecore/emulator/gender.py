"""Deepdub's `gender-classify`, by the pitch of the voice.

An autocorrelation over the speaking range gives the fundamental; voices above 165 Hz are called female. Crude next to
the vendor's model, but it listens: the answer depends on the audio.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from voicecore.audio import AudioFormat
from voicecore.codec import Transcoder
from voicecore.errors import ContainerError

SAMPLE_RATE = 16_000
LOWEST_HZ, HIGHEST_HZ, BOUNDARY_HZ = 70, 350, 165


def classify(wav: bytes) -> dict[str, Any]:
    """`{"gender": "male" | "female", "pitch": Hz}` of a WAV file, of which the first second counts."""
    target = AudioFormat("pcm_f32le", SAMPLE_RATE)
    transcoder = Transcoder(AudioFormat("pcm_s16le", SAMPLE_RATE, container="wav"), target)
    samples = np.concatenate([transcoder.process(wav), transcoder.flush()])[:SAMPLE_RATE]
    longest = SAMPLE_RATE // LOWEST_HZ
    if len(samples) < 2 * longest or not np.any(samples):
        raise ContainerError(f"audio: expected at least {2 * longest} samples of speech, got {len(samples)}")
    samples = samples - samples.mean()
    spectrum = np.fft.rfft(samples, 2 * SAMPLE_RATE)
    likeness = np.fft.irfft(spectrum * np.conj(spectrum))[: longest + 1]
    shortest = SAMPLE_RATE // HIGHEST_HZ
    pitch = SAMPLE_RATE / (shortest + int(np.argmax(likeness[shortest:])))
    return {"gender": "female" if pitch > BOUNDARY_HZ else "male", "pitch": round(pitch, 1)}
