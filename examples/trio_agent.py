"""A voice agent on trio: it listens, thinks, speaks, and stops speaking when it is spoken to.

    export SIXTY_DB_API_KEY=...
    python examples/trio_agent.py microphone.wav loudspeaker.wav

The microphone is a WAV file, the loudspeaker another one; both run in real time, as devices do. Without an account,
start `voicecore emulate` and set SIXTY_DB_STT_URL, SIXTY_DB_LLM_URL and SIXTY_DB_TTS_URL to what it prints.
"""

import sys
import wave

import trio

import voicecore
from voicecore import AudioFormat, SixtydbSttOptions

SPOKEN = AudioFormat("pcm_s16le", 16_000)
FRAME_SECONDS = 0.02


async def record(file: str, ears) -> None:
    """The microphone."""
    with wave.open(file) as audio:
        size = round(audio.getframerate() * FRAME_SECONDS)
        due = trio.current_time()
        while frame := audio.readframes(size):
            await ears.send(frame)
            due += FRAME_SECONDS
            await trio.sleep_until(due)
    await ears.finish()


class Agent:
    """Answers one question at a time; a new one, or any speech, stops the answer to the last."""

    def __init__(self, llm: voicecore.LLM, tts: voicecore.TTS, loudspeaker: wave.Wave_write) -> None:
        self.llm, self.tts, self.loudspeaker = llm, tts, loudspeaker
        self.messages = [{"role": "system", "content": "You are on the telephone. Answer briefly."}]
        self.answering = trio.CancelScope()

    def interrupt(self) -> None:
        """Barge-in: the blocks below are left, and that cancels the chat and the speech at the vendor."""
        self.answering.cancel()

    async def answer(self, question: str) -> None:
        print("user:", question, flush=True)
        self.messages.append({"role": "user", "content": question})
        said = ""
        with trio.CancelScope() as self.answering:
            async with (
                self.tts.context(output=SPOKEN) as speech,
                self.llm.chat(self.messages) as reply,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self.play, speech)
                async for delta in reply:
                    said += delta.content
                    await speech.send_text(delta.content)
                await speech.flush()
        cut = self.answering.cancelled_caught
        self.messages.append({"role": "assistant", "content": said})
        print("agent:", said, "(interrupted)" if cut else "", flush=True)

    async def play(self, speech) -> None:
        """The loudspeaker. What is not played yet is dropped with the block."""
        due = trio.current_time()
        async for chunk in speech:
            for at in range(0, len(chunk.samples), 320):
                self.loudspeaker.writeframes(chunk.samples[at : at + 320].tobytes())
                due = max(due, trio.current_time()) + FRAME_SECONDS
                await trio.sleep_until(due)


async def converse(microphone: str, loudspeaker: wave.Wave_write) -> None:
    with wave.open(microphone) as audio:
        heard = AudioFormat("pcm_s16le", audio.getframerate(), audio.getnchannels())
    options = SixtydbSttOptions(interim_results_frequency=200)
    async with (
        voicecore.connect_stt("60db") as stt,
        voicecore.connect_llm("60db") as llm,
        voicecore.connect_tts("60db") as tts,
        stt.stream(input=heard, options=options) as ears,
        trio.open_nursery() as nursery,
    ):
        agent = Agent(llm, tts, loudspeaker)
        nursery.start_soon(record, microphone, ears)
        async for transcript in ears:
            if transcript.text:
                agent.interrupt()
            if transcript.speech_final and transcript.text:
                nursery.start_soon(agent.answer, transcript.text)


if __name__ == "__main__":
    with wave.open(sys.argv[2], "wb") as out:
        out.setparams((1, 2, SPOKEN.sample_rate, 0, "NONE", ""))
        trio.run(converse, sys.argv[1], out)
