"""OpenAI's Python client at its defaults: python openai_python.py ADDRESS FILE TEXT → mp3 in FILE."""

import json
import sys
from pathlib import Path

from openai import OpenAI

address, file, text = sys.argv[1:]
client = OpenAI(base_url=f"{address}/v1", api_key="none")
with client.audio.speech.with_streaming_response.create(
    model="gpt-4o-mini-tts", voice="coral", input=text
) as answer:
    pieces = list(answer.iter_bytes())
Path(file).write_bytes(b"".join(pieces))
print(json.dumps({"pieces": len(pieces)}))
