"""Ask a running `dimts serve` for speech, with the standard library alone.

dimts serve &
python examples/http_client.py [ADDRESS] [KEY]
"""

import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
headers = {"content-type": "application/json"}
if len(sys.argv) > 2:
    headers["authorization"] = f"Bearer {sys.argv[2]}"
body = json.dumps({"input": "ሰላም ለዓለም።", "response_format": "wav"}).encode()
with urlopen(Request(f"{address}/v1/audio/speech", body, headers), timeout=60) as answer:
    sound = answer.read()
Path("speech.wav").write_bytes(sound)
print(f"speech.wav: {len(sound)} bytes")
