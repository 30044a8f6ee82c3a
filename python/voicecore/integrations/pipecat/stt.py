"""Speech-to-text of any vendor for Pipecat.

One recognition session runs as long as the pipeline. Audio never waits in the pipeline: it is queued here, and a task
sends it and pushes what is recognised. A connection that is lost is opened again by voicecore, which sends again what
no final covers; what that cannot mend ends the service for Pipecat, until its settings are changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
)
from pipecat.services import stt_service
from pipecat.services.settings import STTSettings
from pipecat.transcriptions.language import Language
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.time import time_now_iso8601

from voicecore import aio
from voicecore.audio import AudioFormat
from voicecore.deadlines import Deadlines
from voicecore.errors import ConfigurationError, VoicecoreError
from voicecore.events import Event, Transcript
from voicecore.integrations.pipecat.backlog import Backlog
from voicecore.integrations.pipecat.errors import category_of
from voicecore.integrations.pipecat.held import HeldSession
from voicecore.integrations.tasks import together
from voicecore.recognition import SttStream
from voicecore.reconnect import AudioGap, Backoff, Reconnect, is_loss
from voicecore.secret import Secret
from voicecore.session import STT
from voicecore.vendors import find_dialect
from voicecore.vendors.options import expect_type

MAX_BACKLOG = 10.0  # seconds of audio that wait for a connection


class STTService(stt_service.STTService):
    """Listens with a vendor by name ("60db", "vachana").

    `options` is the vendor's option class. `settings.language` beats its languages, and may change while the pipeline
    runs. `sample_rate`: of the pipeline's mono audio, in Hz; None takes the pipeline's. The key and the URL come from
    the arguments, else from the vendor's environment variables. `deadlines` and `reconnect` as for `connect_stt`;
    anything else goes to Pipecat's `STTService`. Raises `ValueError` at once for a missing key or a bad argument.
    """

    Settings = STTSettings

    def __init__(
        self,
        vendor: str,
        *,
        api_key: str | Secret | None = None,
        url: str | None = None,
        sample_rate: int | None = None,
        options: Any = None,
        deadlines: Deadlines | None = None,
        reconnect: Reconnect | None = None,
        allow_plaintext: bool = False,
        settings: STTSettings | None = None,
        **kwargs: Any,
    ) -> None:
        kind = find_dialect(vendor, "stt", url).options
        expect_type("options", options, kind)
        self._options = kind() if options is None else options
        current = STTSettings(model=getattr(options, "model", None), language=None)
        if settings is not None:
            current.apply_update(settings)
        super().__init__(sample_rate=sample_rate, settings=current, **kwargs)

        def connect() -> Any:
            return aio.connect_stt(
                vendor,
                api_key=api_key,
                url=url,
                deadlines=deadlines,
                reconnect=reconnect,
                allow_plaintext=allow_plaintext,
            )

        connect()  # raises now rather than in a call
        self._current_options()
        self._session: HeldSession[STT] = HeldSession(connect)
        self._backoff = Backoff(reconnect or Reconnect())
        self._backlog = Backlog(0)
        self._listening: asyncio.Task[None] | None = None

    def can_generate_metrics(self) -> bool:
        """Seconds of audio, and the time from the end of speech to its transcript."""
        return True

    # --- the service's life --------------------------------------------------------------------------------

    async def start(self, frame: StartFrame) -> None:
        """Connects ahead of the first audio."""
        await super().start(frame)
        self._listen()

    async def stop(self, frame: EndFrame) -> None:
        """Waits for the transcripts of what was said."""
        await self._hear_out()
        await super().stop(frame)

    async def cancel(self, frame: CancelFrame) -> None:
        """Stops listening at once."""
        await super().cancel(frame)
        await self._stop_listening()

    async def cleanup(self) -> None:
        """Closes the connection. Nothing is left."""
        await super().cleanup()
        await self._stop_listening()
        if await self._session.aclose():
            await self._call_event_handler("on_disconnected")

    def _listen(self) -> None:
        self._backlog = Backlog(int(MAX_BACKLOG * self.sample_rate) * 2)
        self._listening = self.create_task(self._recognise(), "recognise")

    async def _hear_out(self) -> None:
        """Until what was heard is recognised; the deadlines bound it."""
        if self._listening is not None:
            self._backlog.end()
            await asyncio.wait([self._listening])
            self._listening = None

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            await self.cancel_task(listening)

    # --- audio in ------------------------------------------------------------------------------------------

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Queues audio, mono int16; transcripts come by themselves. Never waits."""
        if self._listening is None or self._listening.done():
            self._listen()  # it had failed, and Pipecat gives it another chance
        self._backlog.put(audio)
        yield None

    async def _recognise(self) -> None:
        """Session after session, until the audio ends or there is no use in another one."""
        while True:
            try:
                await self._hear(await self._session.get())
                return
            except VoicecoreError as error:
                delay = self._delay_after(error)
                await self._call_event_handler("on_connection_error", str(error))
                await self.push_error(str(error), exception=error, force_treat_as_permanent=delay is None)
            if delay is None:
                return
            await asyncio.sleep(delay)

    def _delay_after(self, error: VoicecoreError) -> float | None:
        """Seconds until the next session; None for no other. A lost connection was tried again by voicecore."""
        return None if is_loss(error) else self._backoff.delay(error, asyncio.get_running_loop().time())

    async def _hear(self, session: STT) -> None:
        source = AudioFormat("pcm_s16le", self.sample_rate)
        async with session.stream(input=source, options=self._current_options(), include_events=True) as stream:
            await self._call_event_handler("on_connected")
            await together(self._send(stream), self._take_all(stream))

    async def _send(self, stream: SttStream) -> None:
        async for audio in self._backlog:
            await stream.send(audio)
            if lost := self._backlog.take_lost():
                await self._report_gap(lost / (2 * self.sample_rate))
        await stream.finish()

    # --- transcripts out -----------------------------------------------------------------------------------

    async def _take_all(self, stream: SttStream) -> None:
        async for event in stream:
            await self._take(event)

    async def _take(self, event: Event) -> None:
        match event:
            case AudioGap(seconds):
                await self._report_gap(seconds)
            case Transcript(text, _, speech_final) if text:
                self._backoff.succeeded()
                await self._push(event, speech_final)

    async def _push(self, heard: Transcript, final: bool) -> None:
        """A final that may still be refined is an interim result: Pipecat takes each final as more of the turn."""
        said, language = (self._user_id, time_now_iso8601()), _language_of(heard)
        if not final:
            await self.push_frame(InterimTranscriptionFrame(heard.text, *said, language, result=heard))
            return
        await self.push_frame(TranscriptionFrame(heard.text, *said, language, result=heard, finalized=True))
        await self.emit_stt_usage_metrics()

    async def _report_gap(self, seconds: float) -> None:
        text = f"{seconds:.1f} s of audio were not recognised: the connection was away too long"
        await self.push_error(text, category=ErrorCategory.CONNECTIVITY)

    # --- settings and errors -------------------------------------------------------------------------------

    def language_to_service_language(self, language: Language) -> str | None:
        """The code as the vendor knows it: with its region, or without."""
        code = str(Language(language))
        return next((known for known in (code, code.split("-")[0]) if self._takes(known)), None)

    def _takes(self, code: str) -> bool:
        try:
            replace(self._options, languages=(code,))
        except ConfigurationError:
            return False
        return True

    def _current_options(self) -> Any:
        language = self._settings.language
        return replace(self._options, languages=(str(language),)) if language else self._options

    async def _update_settings(self, delta: STTSettings) -> dict[str, Any]:  # type: ignore[override]
        changed = await super()._update_settings(delta)
        if "language" in changed:
            await self._request_reconnect()
        self._warn_unhandled_updated_settings(changed.keys() - {"language"})
        return changed

    async def _do_reconnect(self) -> None:
        """Another session, in the language of now. What was said before is recognised in the one before."""
        await self._hear_out()
        self._listen()

    def _classify_error(self, exception: Exception) -> ErrorCategory | None:
        return category_of(exception)


def _language_of(heard: Transcript) -> Language | None:
    try:
        return Language(heard.language) if heard.language else None
    except ValueError:
        return None
