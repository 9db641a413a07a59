"""Speak a text while it is being written: pieces in over a WebSocket, sound out sentence by sentence.

dimts serve
python examples/speak_while_writing.py ws://127.0.0.1:8000 > speech.pcm     24 kHz, 16 bit, mono
"""

import asyncio
import json
import sys

import websockets

PIECES = ["ሰላ", "ም ለዓለም። እን", "ዴት ናችሁ? ", "ደህና ነን።"]


async def main(address: str) -> None:
    async with websockets.connect(f"{address}/v1/audio/speech/ws") as socket:
        for piece in PIECES:
            await socket.send(json.dumps({"type": "input.append", "text": piece}))
        await socket.send(json.dumps({"type": "input.done"}))
        async for message in socket:
            if isinstance(message, bytes):
                sys.stdout.buffer.write(message)
            elif json.loads(message)["type"] in ("done", "error"):
                return


asyncio.run(main(sys.argv[1]))
