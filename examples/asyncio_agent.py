"""A voice agent on asyncio: it listens, thinks, speaks, and stops speaking when it is spoken to.

    export SIXTY_DB_API_KEY=...
    python examples/asyncio_agent.py microphone.wav loudspeaker.wav

The microphone is a WAV file, the loudspeaker another one; both run in real time, as devices do. Without an account,
start `voicecore emulate` and set SIXTY_DB_STT_URL, SIXTY_DB_LLM_URL and SIXTY_DB_TTS_URL to what it prints.
"""

import asyncio
import sys
import wave

from voicecore import AudioFormat, SixtydbSttOptions, aio

SPOKEN = AudioFormat("pcm_s16le", 16_000)
FRAME_SECONDS = 0.02


async def sleep_until(due: float) -> None:
    await asyncio.sleep(due - asyncio.get_running_loop().time())


async def record(file: str, ears) -> None:
    """The microphone."""
    with wave.open(file) as audio:
        size = round(audio.getframerate() * FRAME_SECONDS)
        due = asyncio.get_running_loop().time()
        while frame := audio.readframes(size):
            await ears.send(frame)
            due += FRAME_SECONDS
            await sleep_until(due)
    await ears.finish()


class Agent:
    """Answers one question at a time; a new one, or any speech, stops the answer to the last."""

    def __init__(self, llm: aio.LLM, tts: aio.TTS, loudspeaker: wave.Wave_write) -> None:
        self.llm, self.tts, self.loudspeaker = llm, tts, loudspeaker
        self.messages = [{"role": "system", "content": "You are on the telephone. Answer briefly."}]

    async def answer(self, question: str) -> None:
        """Barge-in cancels this task: the blocks are left, and that cancels the chat and the speech at the vendor."""
        print("user:", question, flush=True)
        self.messages.append({"role": "user", "content": question})
        said, how = "", "(interrupted)"
        try:
            async with (
                self.tts.context(output=SPOKEN) as speech,
                self.llm.chat(self.messages) as reply,
                asyncio.TaskGroup() as tasks,
            ):
                tasks.create_task(self.play(speech))
                async for delta in reply:
                    said += delta.content
                    await speech.send_text(delta.content)
                await speech.flush()
            how = ""
        finally:
            self.messages.append({"role": "assistant", "content": said})
            print("agent:", said, how, flush=True)

    async def play(self, speech) -> None:
        """The loudspeaker. What is not played yet is dropped with the block."""
        now = asyncio.get_running_loop().time
        due = now()
        async for chunk in speech:
            for at in range(0, len(chunk.samples), 320):
                self.loudspeaker.writeframes(chunk.samples[at : at + 320].tobytes())
                due = max(due, now()) + FRAME_SECONDS
                await sleep_until(due)


async def converse(microphone: str, loudspeaker: wave.Wave_write) -> None:
    with wave.open(microphone) as audio:
        heard = AudioFormat("pcm_s16le", audio.getframerate(), audio.getnchannels())
    options = SixtydbSttOptions(interim_results_frequency=200)
    async with (
        aio.connect_stt("60db") as stt,
        aio.connect_llm("60db") as llm,
        aio.connect_tts("60db") as tts,
        stt.stream(input=heard, options=options) as ears,
        asyncio.TaskGroup() as tasks,
    ):
        agent, answering = Agent(llm, tts, loudspeaker), None
        tasks.create_task(record(microphone, ears))
        async for transcript in ears:
            if transcript.text and answering is not None:
                answering.cancel()
            if transcript.speech_final and transcript.text:
                answering = tasks.create_task(agent.answer(transcript.text))


if __name__ == "__main__":
    with wave.open(sys.argv[2], "wb") as out:
        out.setparams((1, 2, SPOKEN.sample_rate, 0, "NONE", ""))
        asyncio.run(converse(sys.argv[1], out))
