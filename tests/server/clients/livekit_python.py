"""livekit-agents at its defaults: python livekit_python.py ADDRESS FILE TEXT → wav in FILE."""

import asyncio
import json
import sys

from livekit import rtc
from livekit.plugins import openai
from openai import AsyncClient


async def spoken(address: str, text: str) -> list[rtc.AudioFrame]:
    # instead of base_url, so that a machine at work may take longer than the plug-in's five seconds
    client = AsyncClient(base_url=f"{address}/v1", api_key="none", timeout=None)
    async with openai.TTS(client=client).synthesize(text) as stream:
        return [event.frame async for event in stream]


address, file, text = sys.argv[1:]
frames = asyncio.run(spoken(address, text))
with open(file, "wb") as sound:
    sound.write(rtc.combine_audio_frames(frames).to_wav_bytes())
print(json.dumps({"pieces": len(frames)}))
