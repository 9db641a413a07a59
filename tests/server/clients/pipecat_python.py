"""pipecat at its defaults: python pipecat_python.py ADDRESS FILE TEXT → wav in FILE."""

import asyncio
import json
import sys
import wave

from pipecat.frames.frames import EndFrame, Frame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.workers.runner import WorkerRunner


class Collector(FrameProcessor):
    """Keeps the audio that comes by, as an output would play it."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[TTSAudioRawFrame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.frames.append(frame)
        await self.push_frame(frame, direction)


async def spoken(address: str, text: str) -> list[TTSAudioRawFrame]:
    collector = Collector()
    tts = OpenAITTSService(api_key="none", base_url=f"{address}/v1")
    worker = PipelineWorker(Pipeline([tts, collector]), idle_timeout_secs=None)
    await worker.queue_frames([TTSSpeakFrame(text), EndFrame()])
    await WorkerRunner().run(worker)
    return collector.frames


address, file, text = sys.argv[1:]
frames = asyncio.run(spoken(address, text))
with wave.open(file, "wb") as sound:
    sound.setframerate(frames[0].sample_rate)
    sound.setsampwidth(2)
    sound.setnchannels(frames[0].num_channels)
    for frame in frames:
        sound.writeframes(frame.audio)
print(json.dumps({"pieces": len(frames)}))
