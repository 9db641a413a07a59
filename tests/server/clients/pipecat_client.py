"""pipecat's OpenAI voice at its defaults: python pipecat_client.py ADDRESS → 24 kHz PCM on standard output."""

import asyncio
import sys

from pipecat.frames.frames import TTSAudioRawFrame
from pipecat.services.openai.tts import OpenAITTSService


async def main() -> None:
    service = OpenAITTSService(api_key="none", base_url=f"{sys.argv[1]}/v1")
    async for frame in service.run_tts("ሰላም ለዓለም።", "1"):
        if isinstance(frame, TTSAudioRawFrame):
            sys.stdout.buffer.write(frame.audio)


asyncio.run(main())
