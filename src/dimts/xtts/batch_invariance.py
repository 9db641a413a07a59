"""Measure how many rows a batched product needs here so that a row's result never depends on its neighbours.

Sentences that are decoded together share their matrix products, and a library may sum a product in another
order when it has more rows; the last bits differ then, and sooner or later another code is drawn. Libraries
choose that order by the shape, and from a few rows on usually choose the same one. So it is measured here,
bit by bit, on the model's own layers: products that are padded to `min_rows` give each row what it gets
alone. Where that never holds (8-bit inputs scaled over all rows together, for one), the answer is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dimts.xtts.gpt import GPT

CANDIDATES = (1, 2, 3, 4, 6, 8, 12, 16)
"""Numbers of rows to try, up to the number of slots."""
_TRIALS = 2


@torch.no_grad()
def min_invariant_batch(gpt: GPT, slots: int) -> int:
    """Return the fewest rows from which all widths up to `slots` agree on every row, bit for bit; 0 if there
    is none.

    Takes some dozens of products of each kind of layer. The answer holds for this machine, this model's
    numbers and this count of threads.
    """
    if gpt.compiled is not None:
        return 1  # sums every row by itself, in one order
    for fewest in sorted({*(n for n in CANDIDATES if n < slots), slots}):
        if all(
            _is_invariant(product, width, fewest, slots, gpt.mel_head.weight)
            for product, width in _products(gpt)
        ):
            return fewest
    return 0


def _products(gpt: GPT) -> Iterator[tuple[Callable[[Tensor], Tensor], int]]:
    """Yield every kind of product of a step, [R, 1, in] → [R, 1, out], and its width in."""
    block, width = gpt.trunk.blocks()[0], gpt.spec.width
    yield lambda x: torch.cat([part.flatten(2) for part in block.attn.split(block.ln_1(x))], dim=-1), width
    yield block.attn.c_proj, width
    yield lambda x: block.mlp(block.ln_2(x)), width
    yield lambda x: gpt.mel_head(gpt.final_norm(gpt.trunk.ln_f(x))), width


def _is_invariant(
    product: Callable[[Tensor], Tensor], width: int, fewest: int, slots: int, like: Tensor
) -> bool:
    noise = torch.Generator().manual_seed(fewest)
    for _ in range(_TRIALS):
        x = torch.randn(slots, 1, width, generator=noise).to(like)
        whole = product(x)
        turned = product(x.roll(1, 0)).roll(-1, 0)  # every row in another place
        lonely = x.clone()
        lonely[1:] = 0
        if not torch.equal(whole, turned) or not torch.equal(product(lonely)[0], whole[0]):
            return False
        if not all(torch.equal(product(x[:count]), whole[:count]) for count in range(fewest, slots)):
            return False
    return True
