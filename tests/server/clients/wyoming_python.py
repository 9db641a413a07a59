"""The client of the package wyoming: python wyoming_python.py ADDRESS FILE TEXT → wav in FILE."""

import asyncio
import json
import sys
import wave

from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncClient
from wyoming.tts import Synthesize


async def spoken(address: str, text: str) -> list[AudioChunk]:
    found = []
    async with AsyncClient.from_uri(address) as client:
        await client.write_event(Synthesize(text).event())
        while (event := await client.read_event()) is not None and not AudioStop.is_type(event.type):
            if AudioChunk.is_type(event.type):
                found.append(AudioChunk.from_event(event))
    return found


address, file, text = sys.argv[1:]
pieces = asyncio.run(spoken(address, text))
with wave.open(file, "wb") as sound:
    sound.setframerate(pieces[0].rate)
    sound.setsampwidth(pieces[0].width)
    sound.setnchannels(pieces[0].channels)
    for piece in pieces:
        sound.writeframes(piece.audio)
print(json.dumps({"pieces": len(pieces)}))
