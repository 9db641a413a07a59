"""Speech over HTTP, WebSocket and Wyoming: OpenAI's interface, with many requests in one decoding batch."""
