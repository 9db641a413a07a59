"""Build the GPT of a voice as two graphs: one for the prefix of a sentence, one for a decoding step.

Both work on a single sentence, without a batch dimension. P tokens of the prefix, T places of the cache, of
which the first `length` are filled; keys are [H, w, T] so that a step multiplies them as stored, values
[H, T, w]. The cache belongs to the caller: it writes what a step returns at place `length`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from torch import Tensor

from dimts.onnx.graph import GraphBuilder, WeightType
from dimts.xtts.gpt import GPT, TransformerBlock
from dimts.xtts.spec import LATENTS

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64
Array = np.ndarray[Any, np.dtype[Any]]


def array(tensor: Tensor) -> Array:
    """Convert a parameter to float32."""
    found: Array = tensor.detach().float().cpu().numpy()
    return found


class _Gpt:
    """Parts of both graphs."""

    def __init__(self, gpt: GPT, name: str, weights: WeightType) -> None:
        self.gpt, self.spec = gpt, gpt.spec
        self.graph = GraphBuilder(name, weights)

    def norm(self, x: str, layer: Any, name: str) -> str:
        weight, bias = (self.graph.weight(array(t), f"{name}.{kind}") for t, kind in
                        ((layer.weight, "weight"), (layer.bias, "bias")))  # fmt: skip
        return self.graph.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=float(layer.eps))

    def linear(self, x: str, layer: Any, name: str) -> str:
        return self.graph.linear(x, array(layer.weight), array(layer.bias), name, quantised=True)

    def queries_keys_values(self, x: str, block: TransformerBlock, name: str) -> tuple[str, str, str]:
        """Add [N, D] → scaled queries [H, N, w], keys [H, w, N], values [H, N, w]."""
        g, spec = self.graph, self.spec
        qkv = self.linear(self.norm(x, block.ln_1, f"{name}.ln_1"), block.attn.c_attn, f"{name}.attn.c_attn")
        parts = g.ops("Split", 3, qkv, axis=-1, num_outputs=3)
        shape = g.constant([-1, spec.heads, spec.head_width])
        q, k, v = (g.op("Reshape", part, shape) for part in parts)
        scale = g.constant(spec.head_width**-0.5, np.float32)
        q = g.op("Mul", g.op("Transpose", q, perm=[1, 0, 2]), scale)
        return q, g.op("Transpose", k, perm=[1, 2, 0]), g.op("Transpose", v, perm=[1, 0, 2])

    def rest_of_block(self, x: str, seen: str, block: TransformerBlock, name: str) -> str:
        """Add attention's output [H, N, w], projected, to x [N, D]; then the MLP."""
        g = self.graph
        seen = g.op("Reshape", g.op("Transpose", seen, perm=[1, 0, 2]), g.constant([-1, self.spec.width]))
        x = g.op("Add", x, self.linear(seen, block.attn.c_proj, f"{name}.attn.c_proj"))
        inner = self.linear(self.norm(x, block.ln_2, f"{name}.ln_2"), block.mlp.c_fc, f"{name}.mlp.c_fc")
        inner = g.op("Gelu", inner, approximate="tanh")
        return g.op("Add", x, self.linear(inner, block.mlp.c_proj, f"{name}.mlp.c_proj"))

    def put_out(self, x: str) -> None:
        """Declare the state [1, D] of the last token as outputs `latent` [D] and `logits` [V]."""
        g, gpt = self.graph, self.gpt
        state = self.norm(self.norm(x, gpt.trunk.ln_f, "trunk.ln_f"), gpt.final_norm, "final_norm")
        head = g.linear(state, array(gpt.mel_head.weight).T, array(gpt.mel_head.bias), "mel_head")
        flat = g.constant([-1])
        g.output(g.op("Reshape", state, flat), "latent", FLOAT, [self.spec.width])
        g.output(g.op("Reshape", head, flat), "logits", FLOAT, [self.spec.audio_ids])


def prefix_graph(gpt: GPT, latents: Tensor, weights: WeightType = "float32") -> onnx.ModelProto:
    """Build ids [S] → latent [D], logits [V], and for each layer i key_i [H, w, P] and value_i [H, P, w].

    P = L + S + 3: the latents [1, L, D] of the voice, which are inside the graph; START, the ids, STOP; and
    START of the codes.
    """
    own = _Gpt(gpt, "prefix", weights)
    g, spec = own.graph, own.spec
    ids = g.input("ids", INT, ["ids"])
    text_in = g.op("Concat", g.constant([spec.start_text]), ids, g.constant([spec.stop_text]), axis=0)
    zero, one = g.constant(0), g.constant(1)
    count = g.op("Squeeze", g.op("Shape", text_in))
    text = g.op(
        "Add",
        g.rows(array(gpt.text_embedding.weight), "text_embedding", text_in),
        g.rows(array(gpt.text_pos_embedding.emb.weight), "text_positions", g.op("Range", zero, count, one)),
    )
    first = gpt.mel_embedding.weight[spec.start_audio] + gpt.mel_pos_embedding.emb.weight[0]
    voice = g.weight(array(latents[0]), "latents")
    x = g.op("Concat", voice, text, g.weight(array(first)[None], "first_code"), axis=0)  # [P, D]
    places = g.op("Range", zero, g.op("Add", count, g.constant(LATENTS + 1)), one)
    later = g.op(
        "Greater", g.op("Unsqueeze", places, g.constant([0])), g.op("Unsqueeze", places, g.constant([1]))
    )
    mask = g.op("Where", later, g.constant(-np.inf, np.float32), g.constant(0.0, np.float32))  # [P, P]
    for layer, block in enumerate(gpt.trunk.blocks()):
        name = f"trunk.{layer}"
        q, k, v = own.queries_keys_values(x, block, name)
        shares = g.op("Softmax", g.op("Add", g.op("MatMul", q, k), mask), axis=-1)
        x = own.rest_of_block(x, g.op("MatMul", shares, v), block, name)
        g.output(k, f"key_{layer}", FLOAT, [spec.heads, spec.head_width, "prefix"])
        g.output(v, f"value_{layer}", FLOAT, [spec.heads, "prefix", spec.head_width])
    own.put_out(g.op("Slice", x, g.constant([-1]), g.constant([np.iinfo(np.int64).max]), g.constant([0])))
    return g.build()


def step_graph(gpt: GPT, weights: WeightType = "float32") -> onnx.ModelProto:
    """Build one decoding step: code → state and logits of the next, new cache entries, and attention over the
    text.

    Inputs: code [1], its position [1] (1 for the first), length [1] of the cache, places [S] of the text ids
    (0 to 1), and for each layer i key_i [H, w, T] and value_i [H, T, w]. Outputs: latent [D], logits [V],
    keys and values [layers, H, w] of this token, attention [layers · H, 2] as `alignment.py` has it.
    """
    own = _Gpt(gpt, "step", weights)
    g, spec = own.graph, own.spec
    code, position, length = (g.input(name, INT, [1]) for name in ("code", "position", "length"))
    places = g.input("places", FLOAT, ["ids"])
    codes = g.rows(array(gpt.mel_embedding.weight), "mel_embedding", code)
    x = g.op(
        "Add", codes, g.rows(array(gpt.mel_pos_embedding.emb.weight), "mel_positions", position)
    )  # [1, D]
    shape = [spec.heads, spec.head_width]
    cached = [
        (
            g.input(f"key_{layer}", FLOAT, [*shape, "cache"]),
            g.input(f"value_{layer}", FLOAT, [spec.heads, "cache", spec.head_width]),
        )
        for layer in range(spec.layers)
    ]
    size = g.op("Gather", g.op("Shape", cached[0][0]), g.constant(2))
    filled = g.op("Less", g.op("Range", g.constant(0), size, g.constant(1)), length)
    mask = g.op("Where", filled, g.constant(0.0, np.float32), g.constant(-np.inf, np.float32))  # [T]
    begin = g.constant([LATENTS + 1])
    end = g.op("Add", begin, g.op("Shape", places))
    column = g.op("Unsqueeze", places, g.constant([1]))  # [S, 1]
    token, keys, values, attention = g.constant([1, *shape]), [], [], []
    last, minus_one, axis = g.constant([np.iinfo(np.int64).max]), g.constant([-1]), g.constant([2])
    for layer, block in enumerate(gpt.trunk.blocks()):
        name = f"trunk.{layer}"
        q, k, v = own.queries_keys_values(x, block, name)
        old = g.op("MatMul", q, cached[layer][0])  # [H, 1, T]
        scores = g.op("Concat", g.op("Add", old, mask), g.op("MatMul", q, k), axis=2)
        shares = g.op("Softmax", scores, axis=-1)
        past = g.op("MatMul", g.op("Slice", shares, g.constant([0]), minus_one, axis), cached[layer][1])
        seen = g.op("Add", past, g.op("Mul", g.op("Slice", shares, minus_one, last, axis), v))
        x = own.rest_of_block(x, seen, block, name)
        keys.append(g.op("Reshape", k, token))
        values.append(g.op("Reshape", v, token))
        on_text = g.op("Softmax", g.op("Slice", old, begin, end, axis), axis=-1)  # [H, 1, S]
        mean = g.op("MatMul", on_text, column)  # [H, 1, 1]
        most = g.op("ReduceMax", on_text, axis, keepdims=1)
        attention.append(g.op("Reshape", g.op("Concat", mean, most, axis=2), g.constant([spec.heads, 2])))
    own.put_out(x)
    for parts, output in ((keys, "keys"), (values, "values")):
        g.output(g.op("Concat", *parts, axis=0), output, FLOAT, [spec.layers, *shape])
    g.output(g.op("Concat", *attention, axis=0), "attention", FLOAT, [spec.layers * spec.heads, 2])
    return g.build()
