"""Every vendor's speech as LiveKit Agents (1.8.9) wants it: `TTS(vendor)`, `STT(vendor)`, and 60db's `LLM`.

from voicecore.integrations.livekit import STT, TTS

Needs the extra `livekit`. The distribution `livekit-plugins-60db` is a thin layer over these classes.
"""

from voicecore.integrations.livekit.llm import LLM as LLM
from voicecore.integrations.livekit.llm import LLMStream as LLMStream
from voicecore.integrations.livekit.stt import STT as STT
from voicecore.integrations.livekit.stt import RecognizeStream as RecognizeStream
from voicecore.integrations.livekit.tts import TTS as TTS
from voicecore.integrations.livekit.tts import ChunkedStream as ChunkedStream
from voicecore.integrations.livekit.tts import SynthesizeStream as SynthesizeStream
