"""Speech over HTTP, WebSocket and Wyoming: the interface of OpenAI, many requests in one decoding batch."""
