"""Every vendor's speech as Pipecat (1.14) wants it: `TTSService(vendor)` and `STTService(vendor)`.

from voicecore.integrations.pipecat import STTService, TTSService

Needs the extra `pipecat`. A language model needs none of this: Pipecat's own OpenAI service speaks 60db's chat.
"""

from voicecore.integrations.pipecat.stt import STTService as STTService
from voicecore.integrations.pipecat.tts import TTSService as TTSService
