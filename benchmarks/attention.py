"""How fast each attention kernel is on rows like those of training: `python benchmarks/attention.py`.

Rows have the lengths that a batch of 8 clips of 2 to 11 s gives. Every kernel that can run here is timed
forward and backward, padded and packed, beside eager padded attention in the same run. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import random
import time

import torch

from dimts.xtts.attention import KINDS, SequenceLayout, attend, refusal
from dimts.xtts.kernel_limits import Kind


def seconds(kind: Kind, rows: SequenceLayout, flat: torch.Tensor, repeats: int) -> float:
    """Best of `repeats` passes forward and backward."""
    best = float("inf")
    for _ in range(repeats + 1):
        x = rows.unpack(flat, rows.max_length).detach().requires_grad_()
        if x.is_cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        attend(kind, x, x, x, rows).sum().backward()
        if x.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--width", type=int, default=64, help="of one head")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rng = random.Random(1)
    lengths = tuple(
        32 + rng.randint(30, 180) + 4 + int(rng.uniform(2, 11) * 21.53) for _ in range(arguments.rows)
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    total = sum(lengths)
    flat = torch.randn(total, arguments.heads, arguments.width, device=device, dtype=dtype)
    found: dict[str, object] = {
        "benchmark": "attention",
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "rows": len(lengths),
        "tokens": total,
        "padding": round(1 - total / (len(lengths) * max(lengths)), 3),
    }
    peer = seconds("eager", SequenceLayout(lengths, packed=False), flat, arguments.repeats)
    found["eager_padded_seconds"] = round(peer, 4)
    for kind in KINDS:
        if reason := refusal(kind, device, dtype, arguments.width):
            found[kind] = reason
            continue
        for packed in (False, True):
            if kind == "eager" and packed:
                continue  # an N × N mask: the reference for tests, not for speed
            name = f"{kind}_{'packed' if packed else 'padded'}_times_eager"
            found[name] = round(
                peer / seconds(kind, SequenceLayout(lengths, packed=packed), flat, arguments.repeats), 2
            )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
