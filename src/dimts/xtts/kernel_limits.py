"""Limits of the attention kernels, readable without torch."""

from __future__ import annotations

from typing import Literal

Kind = Literal["eager", "sdpa", "flash", "xformers"]

FLASH_CAPABILITY = (8, 0)
"""Oldest CUDA compute capability that FlashAttention 2 runs on."""
FLASH_MAX_HEAD = 256
"""Widest head that FlashAttention 2 takes."""
HEAD_MULTIPLE = 8
"""The kernels of flash and xformers take heads whose width is a multiple of this."""
VARLEN = "torch.nn.attention.varlen"
"""Module of torch that holds FlashAttention over rows of any length; recent versions have it."""
