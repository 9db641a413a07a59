"""The engine: XTTS v2 in plain PyTorch. Knows tensors; no letter, no sound file."""
