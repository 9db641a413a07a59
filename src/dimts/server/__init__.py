"""Speech over HTTP: the interface of OpenAI, many requests in one decoding loop. Imports fastapi where it is built."""
