"""The XTTS v2 model in plain PyTorch, on tensors and token ids; no text and no audio files."""
