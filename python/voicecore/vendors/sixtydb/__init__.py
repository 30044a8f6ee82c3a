"""60db's protocols: one file each."""

from voicecore.vendors.sixtydb.llm import SixtydbChatOptions as SixtydbChatOptions
from voicecore.vendors.sixtydb.stt import RecognitionContext as RecognitionContext
from voicecore.vendors.sixtydb.stt import SixtydbStt as SixtydbStt
from voicecore.vendors.sixtydb.stt import SixtydbSttOptions as SixtydbSttOptions
from voicecore.vendors.sixtydb.tts import SixtydbTts as SixtydbTts
from voicecore.vendors.sixtydb.tts import SixtydbTtsOptions as SixtydbTtsOptions
