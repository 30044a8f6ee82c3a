"""voicecore: a Rust audio codec core, and every voice vendor's streaming protocol on trio.

from voicecore import AudioFormat, codec, connect_llm, connect_stt, connect_tts
"""

from voicecore import codec as codec
from voicecore.audio import AudioChunk as AudioChunk
from voicecore.audio import AudioFormat as AudioFormat
from voicecore.chat import ChatDelta as ChatDelta
from voicecore.chat import ToolCall as ToolCall
from voicecore.chat import Usage as Usage
from voicecore.deadlines import ChatDeadlines as ChatDeadlines
from voicecore.deadlines import Deadlines as Deadlines
from voicecore.errors import AuthError as AuthError
from voicecore.errors import Base64Error as Base64Error
from voicecore.errors import CodecError as CodecError
from voicecore.errors import ConfigurationError as ConfigurationError
from voicecore.errors import ConnectionFailedError as ConnectionFailedError
from voicecore.errors import ConnectionLostError as ConnectionLostError
from voicecore.errors import ContainerError as ContainerError
from voicecore.errors import DeadlineError as DeadlineError
from voicecore.errors import FormatError as FormatError
from voicecore.errors import InvalidBufferError as InvalidBufferError
from voicecore.errors import InvalidRequestError as InvalidRequestError
from voicecore.errors import MessageError as MessageError
from voicecore.errors import ProtocolError as ProtocolError
from voicecore.errors import QueueOverflowError as QueueOverflowError
from voicecore.errors import QuotaError as QuotaError
from voicecore.errors import RateLimitError as RateLimitError
from voicecore.errors import StateError as StateError
from voicecore.errors import TextTooLongError as TextTooLongError
from voicecore.errors import TlsError as TlsError
from voicecore.errors import VendorError as VendorError
from voicecore.errors import VendorUnavailableError as VendorUnavailableError
from voicecore.errors import VoicecoreError as VoicecoreError
from voicecore.events import Transcript as Transcript
from voicecore.llm import LLM as LLM
from voicecore.llm import connect_llm as connect_llm
from voicecore.reconnect import AudioGap as AudioGap
from voicecore.reconnect import Reconnect as Reconnect
from voicecore.reconnect import Reconnected as Reconnected
from voicecore.reconnect import Reconnecting as Reconnecting
from voicecore.secret import Secret as Secret
from voicecore.session import STT as STT
from voicecore.session import TTS as TTS
from voicecore.session import connect_stt as connect_stt
from voicecore.session import connect_tts as connect_tts
from voicecore.vendors.deepdub import DeepdubOptions as DeepdubOptions
from voicecore.vendors.deepdub import DeepdubStreamOptions as DeepdubStreamOptions
from voicecore.vendors.sixtydb import SixtydbChatOptions as SixtydbChatOptions
from voicecore.vendors.sixtydb import SixtydbSttOptions as SixtydbSttOptions
from voicecore.vendors.sixtydb import SixtydbTtsOptions as SixtydbTtsOptions
from voicecore.vendors.uplift import UpliftOptions as UpliftOptions
from voicecore.vendors.vachana import SpeakerEmbedding as SpeakerEmbedding
from voicecore.vendors.vachana import VachanaSttOptions as VachanaSttOptions
from voicecore.vendors.vachana import VachanaTtsOptions as VachanaTtsOptions
