"""Text-to-speech of any vendor for Pipecat.

Each audio context of Pipecat's is a context at the vendor: every sentence is a turn of it, so audio comes while the
language model still thinks, and an interruption cancels it there. Audio has the pipeline's rate, whatever the vendor's.
No vendor times its words; those of a sentence count as spoken when its last sample is, so an interrupted sentence does
not become part of what the bot has said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.services import tts_service
from pipecat.services.settings import TTSSettings
from pipecat.utils.errors import ErrorCategory

from voicecore import aio
from voicecore.audio import AudioFormat
from voicecore.deadlines import Deadlines
from voicecore.errors import VoicecoreError
from voicecore.integrations.pipecat.errors import category_of
from voicecore.integrations.pipecat.held import HeldSession
from voicecore.integrations.pipecat.utterance import Turn, Utterance
from voicecore.reconnect import Reconnect
from voicecore.secret import Secret
from voicecore.session import TTS
from voicecore.speech import SpeechContext
from voicecore.vendors import find_dialect
from voicecore.vendors.options import expect_type

READ_INTERVAL = 0.02  # seconds: a pipeline plays the audio as it comes


class TTSService(tts_service.TTSService):
    """Speaks with a vendor by name ("60db", "vachana", "uplift", "deepdub", "deepdub-ws").

    `voice` and `options` (the vendor's option class) are the vendor's own; `TTSUpdateSettingsFrame` changes the voice
    from the next turn on. `sample_rate`: of the frames, in Hz; None takes the pipeline's. The key and the URL come from
    the arguments, else from the vendor's environment variables. `deadlines` and `reconnect` as for `connect_tts`;
    anything else goes to Pipecat's `TTSService`. Raises `ValueError` at once for a missing key or a bad argument.
    """

    Settings = TTSSettings

    def __init__(
        self,
        vendor: str,
        *,
        voice: str | None = None,
        api_key: str | Secret | None = None,
        url: str | None = None,
        sample_rate: int | None = None,
        options: Any = None,
        deadlines: Deadlines | None = None,
        reconnect: Reconnect | None = None,
        allow_plaintext: bool = False,
        settings: TTSSettings | None = None,
        **kwargs: Any,
    ) -> None:
        expect_type("options", options, find_dialect(vendor, "tts", url).options)
        limits = deadlines or Deadlines()
        current = TTSSettings(model=getattr(options, "model", None), voice=voice, language=None)
        if settings is not None:
            current.apply_update(settings)
        super().__init__(
            sample_rate=sample_rate,
            settings=current,
            push_start_frame=True,
            push_text_frames=False,
            stop_frame_timeout_s=limits.total,  # a context ends when the vendor says so
            **kwargs,
        )

        def connect() -> Any:
            return aio.connect_tts(
                vendor,
                api_key=api_key,
                url=url,
                deadlines=limits,
                reconnect=reconnect,
                allow_plaintext=allow_plaintext,
                read_interval=READ_INTERVAL,
            )

        connect()  # raises now rather than in a call
        self._session: HeldSession[TTS] = HeldSession(connect)
        self._options = options
        self._utterances: dict[str, Utterance] = {}
        self._playing: dict[str, asyncio.Task[None]] = {}

    def can_generate_metrics(self) -> bool:
        """Usage in characters, time to first byte, time to first audio."""
        return True

    @property
    def supports_processing_metrics(self) -> bool:
        """No: `run_tts` sends text, and the audio comes later."""
        return False

    # --- the service's life --------------------------------------------------------------------------------

    async def start(self, frame: StartFrame) -> None:
        """Connects ahead of the first text. A failure is reported, and tried again by the first text."""
        await super().start(frame)
        try:
            await self._session.get()
        except VoicecoreError as error:
            await self._call_event_handler("on_connection_error", str(error))
            await self.push_error(str(error), exception=error)
        else:
            await self._call_event_handler("on_connected")

    async def stop(self, frame: EndFrame) -> None:
        """Waits until what was to be spoken is spoken."""
        for context_id in tuple(self._utterances):
            await self.flush_audio(context_id)
        await super().stop(frame)

    async def cancel(self, frame: CancelFrame) -> None:
        """Stops speaking at once, at the vendor too."""
        await super().cancel(frame)
        await self._drop_all()

    async def cleanup(self) -> None:
        """Closes the connections. Nothing is left."""
        await super().cleanup()
        await self._drop_all()
        if await self._session.aclose():
            await self._call_event_handler("on_disconnected")

    # --- text in -------------------------------------------------------------------------------------------

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Sends text; its audio comes by itself. Waits only for a connection with room."""
        utterance = self._utterance(context_id)
        try:
            await utterance.send(text)
            if not self._is_streaming_tokens:
                await utterance.flush()
            await self.start_tts_usage_metrics(text)
        except VoicecoreError as error:
            await utterance.leave()
            yield ErrorFrame(str(error), exception=error)
        yield None

    async def flush_audio(self, context_id: str | None = None) -> None:
        """The turn has no more text: its context ends with the last sample of what was sent."""
        context_id = context_id or self.get_active_audio_context_id()
        if context_id is None:
            return
        utterance = self._utterances.get(context_id)
        if utterance is None:  # Pipecat gave it no text, since the service is not usable
            await self._end_context(context_id)
            return
        try:
            await utterance.flush()
        except VoicecoreError as error:
            await self._fail(context_id, utterance, error)
        utterance.finish()

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Barge-in: the vendor is told to stop, and no audio of this context comes any more."""
        await self._drop(context_id)
        await self.stop_all_metrics()
        await super().on_audio_context_interrupted(context_id)

    def _utterance(self, context_id: str) -> Utterance:
        if context_id not in self._utterances:
            utterance = self._utterances[context_id] = Utterance(self._open_context)
            self._playing[context_id] = self.create_task(self._play(context_id, utterance), f"play_{context_id}")
        return self._utterances[context_id]

    async def _open_context(self) -> SpeechContext:
        session = await self._session.get()
        output = AudioFormat("pcm_s16le", self.sample_rate)
        context = session.context(voice=self._settings.voice or None, output=output, options=self._options)
        return await context.__aenter__()

    # --- audio out -----------------------------------------------------------------------------------------

    async def _play(self, context_id: str, utterance: Utterance) -> None:
        """Audio of one turn after the other, until there is none to come."""
        while (turn := await utterance.turns.get()) is not None:
            try:
                await self._play_turn(context_id, utterance, turn)
            except VoicecoreError as error:
                await self._fail(context_id, utterance, error)
        del self._utterances[context_id], self._playing[context_id]
        await utterance.leave()
        await self._end_context(context_id)

    async def _play_turn(self, context_id: str, utterance: Utterance, turn: Turn) -> None:
        async for chunk in turn.context:
            frame = TTSAudioRawFrame(chunk.data, self.sample_rate, 1, context_id=context_id)
            await self.append_to_audio_context(context_id, frame)
            utterance.seconds += chunk.duration
        if utterance.lives(turn):
            await self.add_word_timestamps([(word, utterance.seconds) for word in turn.text.split()], context_id)

    async def _end_context(self, context_id: str) -> None:
        await self.append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
        await self.remove_audio_context(context_id)

    async def _fail(self, context_id: str, utterance: Utterance, error: VoicecoreError) -> None:
        """What was sent is not spoken; text that comes after it may be."""
        await utterance.leave()
        await self.append_to_audio_context(context_id, ErrorFrame(str(error), exception=error))

    async def _drop(self, context_id: str) -> None:
        utterance = self._utterances.pop(context_id, None)
        if utterance is not None:
            await utterance.leave()
            await self.cancel_task(self._playing.pop(context_id))

    async def _drop_all(self) -> None:
        for context_id in tuple(self._utterances):
            await self._drop(context_id)

    # --- settings and errors -------------------------------------------------------------------------------

    async def _update_settings(self, delta: TTSSettings) -> dict[str, Any]:  # type: ignore[override]
        changed = await super()._update_settings(delta)
        self._warn_unhandled_updated_settings(changed.keys() - {"voice"})
        return changed

    def _classify_error(self, exception: Exception) -> ErrorCategory | None:
        return category_of(exception)
