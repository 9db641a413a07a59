"""LiteLLM at its defaults: python litellm_python.py ADDRESS FILE TEXT → mp3 in FILE."""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its list of prices is not fetched

from litellm import speech

address, file, text = sys.argv[1:]
answer = speech(model="openai/tts-1", voice="alloy", input=text, api_base=f"{address}/v1", api_key="none")
answer.stream_to_file(file)
print(json.dumps({"pieces": 1}))
