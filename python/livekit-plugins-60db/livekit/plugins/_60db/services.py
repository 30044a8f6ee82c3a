"""The vendor's arguments for voicecore's LiveKit classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from livekit.plugins._60db.client import find_key, find_setting

from voicecore import SixtydbChatOptions, SixtydbSttOptions, SixtydbTtsOptions
from voicecore.integrations import livekit

DEFAULT_VOICE = "fbb75ed2-975a-40c7-9e06-38e30524a9a1"
DEFAULT_MODEL = "qcall/slm-3b-int4"
INTERIM_MS = 300  # the vendor's shortest; without it there are no interim results

_LINEAR = ("linear", "linear16", "pcm")


class STT(livekit.STT):
    """60db speech-to-text. Frames of any rate and channel count go in.

    `languages`: at most five codes, None for English; the vendor detects the language with `[]`. `encoding` ("mulaw" or
    "LINEAR16") and `sample_rate`: what goes over the wire. Raises `ValueError` for a missing key or a bad argument.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        ws_url: str | None = None,
        languages: Sequence[str] | None = None,
        encoding: str = "mulaw",
        sample_rate: int = 8000,
        continuous_mode: bool = True,
    ) -> None:
        options = SixtydbSttOptions(
            languages=["en"] if languages is None else languages or None,
            encoding=_stt_encoding(encoding),
            sample_rate=sample_rate,
            continuous_mode=continuous_mode,
            interim_results_frequency=INTERIM_MS,
        )
        super().__init__(
            "60db", api_key=find_key(api_key), url=ws_url or find_setting("SIXTY_DB_STT_URL"), options=options
        )


class TTS(livekit.TTS):
    """60db text-to-speech.

    `sample_rate`: of the frames that come out, in Hz; the vendor is asked for the next that it has. `encoding`:
    "LINEAR16", or over the wire "MULAW" at 8 kHz or "OGG_OPUS". Raises `ValueError` for a missing key or a bad
    argument.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        ws_url: str | None = None,
        voice_id: str = DEFAULT_VOICE,
        encoding: str = "LINEAR16",
        sample_rate: int = 16_000,
    ) -> None:
        wire: Any = encoding.upper()
        super().__init__(
            "60db",
            voice=voice_id,
            api_key=find_key(api_key),
            url=ws_url or find_setting("SIXTY_DB_TTS_URL"),
            sample_rate=sample_rate,
            options=SixtydbTtsOptions(encoding=wire),
        )


class LLM(livekit.LLM):
    """60db chat completions. Unset arguments are left to the vendor. Raises `ValueError` for a missing or bad one.

    `ws_url` is the vendor's name for the address, which its page also calls `api_url`; both are taken.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        ws_url: str | None = None,
        model: str = DEFAULT_MODEL,
        top_k: int | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        api_url: str | None = None,
    ) -> None:
        options = SixtydbChatOptions(
            model=model,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            max_tokens=max_tokens,
            chat_template_kwargs=chat_template_kwargs or {},
        )
        url = api_url or ws_url or find_setting("SIXTY_DB_LLM_URL")
        super().__init__("60db", api_key=find_key(api_key), url=url, options=options)


def _stt_encoding(encoding: str) -> Any:
    """The vendor's plugin calls linear audio by another name than the wire does. What is no name is refused later."""
    return "linear" if encoding.lower() in _LINEAR else encoding.lower()
