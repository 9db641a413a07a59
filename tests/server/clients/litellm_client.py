"""LiteLLM at its defaults: python litellm_client.py ADDRESS → sound on standard output."""

import sys

import litellm

answer = litellm.speech(
    model="openai/tts-1", voice="alloy", input="ሰላም ለዓለም።", api_base=f"{sys.argv[1]}/v1", api_key="none"
)
sys.stdout.buffer.write(answer.content)
