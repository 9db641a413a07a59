"""Build the vocoder of a voice as one streaming graph: a chunk of frames and the state of every layer → the
final samples, and the new state.

The state is that of `dimts.xtts.stream`: the inputs that a kernel still needs, and the earlier side of a
residual sum. Each part is an input `state_i` and an output `next_i`, and begins as the zeros of `STATES` in
the graph's metadata: half a kernel of padding for a convolution, nothing for the others. With `last` = 1 the
padding of the end is added, and all samples are returned.

The first chunk needs 16 frames, unless it is also the last; every other one at least one.
"""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor

from dimts.onnx.gpt_graphs import array
from dimts.onnx.graph import GraphBuilder, WeightType
from dimts.xtts.vocoder import (
    FINAL_SLOPE,
    SLOPE,
    NormedConv,
    NormedUpsample,
    Vocoder,
    VocoderResidualBlock,
)

FLOAT = TensorProto.FLOAT
STATES = "states"
"""Key of the graph's metadata: the initial shapes of the states, as JSON."""
_END = np.iinfo(np.int64).max
Array = np.ndarray[Any, np.dtype[Any]]


class _Chunk:
    """A graph whose layers keep state."""

    def __init__(self, weights: WeightType) -> None:
        self.graph = GraphBuilder("vocoder", weights)
        self.last = self.graph.input("last", TensorProto.INT64, [1])
        self.shapes: list[tuple[int, int, int]] = []

    def state(self, channels: int, length: int) -> str:
        """Add a new state that begins as [1, channels, length] zeros."""
        self.shapes.append((1, channels, length))
        return self.graph.input(
            f"state_{len(self.shapes) - 1}", FLOAT, [1, channels, f"length_{len(self.shapes)}"]
        )

    def keep(self, state: str, value: str) -> None:
        """Set the state of the next chunk."""
        number = state.removeprefix("state_")
        self.graph.output(
            value, f"next_{number}", FLOAT, [1, self.shapes[int(number)][1], f"next_length_{number}"]
        )

    def length(self, x: str) -> str:
        """Add the number of frames of x [1, c, n]: [1]."""
        return self.graph.op("Shape", x, start=2, end=3)

    def part(self, x: str, begin: str, end: str) -> str:
        """Add the slice [1, c, begin to end] of x."""
        return self.graph.op("Slice", x, begin, end, self.graph.constant([2]))

    def conv(self, x: str, weight: Array, bias: Array | None, dilation: int, name: str) -> str:
        """Add a convolution that keeps the length."""
        g = self.graph
        padding = (weight.shape[2] - 1) * dilation // 2
        held = self.state(weight.shape[1], padding)
        ends = g.op(
            "Concat", g.constant([0, 0, 0, 0, 0]), g.op("Mul", self.last, g.constant([padding])), axis=0
        )
        x = g.op("Pad", g.op("Concat", held, x, axis=2), ends)
        self.keep(held, self.part(x, g.constant([-2 * padding]), g.constant([_END])))
        inputs = [x, g.weight(weight, f"{name}.weight")]
        if bias is not None:
            inputs.append(g.weight(bias, f"{name}.bias"))
        return g.op("Conv", *inputs, dilations=[dilation], kernel_shape=[weight.shape[2]])

    def normed(self, x: str, layer: NormedConv, name: str) -> str:
        """Add a weight-normalised convolution."""
        return self.conv(x, array(layer.weight()), array(layer.bias), layer.dilation, name)

    def upsample(self, x: str, layer: NormedUpsample, bias: Array, name: str) -> str:
        """Add a transposed convolution; the input before the chunk is kept, as its kernel extends into it."""
        g, weight = self.graph, array(layer.weight())
        held = self.state(weight.shape[0], 0)
        before = self.length(held)  # 0 at the beginning, then 1
        x = g.op("Concat", held, x, axis=2)
        self.keep(held, self.part(x, g.constant([-1]), g.constant([_END])))
        out = g.op("ConvTranspose", x, g.weight(weight, f"{name}.weight"), g.weight(bias, f"{name}.bias"),
                   strides=[layer.rate], kernel_shape=[layer.kernel])  # fmt: skip
        begin = g.op(
            "Add", g.constant([layer.padding]), g.op("Mul", before, g.constant([layer.rate - layer.padding]))
        )
        certain = g.op("Mul", self.length(x), g.constant([layer.rate]))
        end = g.op("Mul", self.last, g.constant([layer.kernel - layer.rate - layer.padding]))
        return self.part(out, begin, g.op("Add", certain, end))

    def wait(self, x: str, channels: int, count: str) -> str:
        """Return the first `count` frames of the input and of those held back."""
        g = self.graph
        held = self.state(channels, 0)
        x = g.op("Concat", held, x, axis=2)
        self.keep(held, self.part(x, count, g.constant([_END])))
        return self.part(x, g.constant([0]), count)

    def leaky(self, x: str, slope: float) -> str:
        return self.graph.op("LeakyRelu", x, alpha=slope)

    def residual(self, x: str, block: VocoderResidualBlock, channels: int, name: str) -> str:
        """Add x + convolutions of x, three times."""
        for stage, (first, second) in enumerate(zip(block.convs1, block.convs2, strict=True)):
            branch = x
            for part, layer in enumerate((first, second)):
                branch = self.normed(
                    self.leaky(branch, SLOPE), cast(NormedConv, layer), f"{name}.{stage}.{part}"
                )
            x = self.graph.op("Add", self.wait(x, channels, self.length(branch)), branch)
        return x


@torch.no_grad()
def vocoder_graph(vocoder: Vocoder, timbre: Tensor, weights: WeightType = "float32") -> onnx.ModelProto:
    """Build frames [1, D, F], last [1] and the states → wave [T], 256 samples for each final frame.

    `timbre` [1, d, 1] is inside the graph.
    """
    chunk = _Chunk(weights)
    g, pre = chunk.graph, vocoder.conv_pre
    frames = g.input("frames", FLOAT, [1, pre.weight.shape[1], "frames"])
    bias = array(pre.bias) + array(vocoder.cond_layer(timbre))[0, :, 0]  # type: ignore[arg-type]
    x = chunk.conv(frames, array(pre.weight), bias, 1, "conv_pre")
    for level, (layer, cond) in enumerate(zip(vocoder.ups, vocoder.conds, strict=True)):
        up = cast(NormedUpsample, layer)
        bias = array(up.bias) + array(cond(timbre))[0, :, 0]
        x = chunk.upsample(chunk.leaky(x, SLOPE), up, bias, f"ups.{level}")
        blocks = vocoder.residuals(level)
        made = [
            chunk.residual(x, block, len(bias), f"resblocks.{level}.{i}") for i, block in enumerate(blocks)
        ]
        ready = chunk.length(made[-1])  # the widest kernels lag most
        total = made[-1]
        for one in made[:-1]:
            total = g.op("Add", total, chunk.wait(one, len(bias), ready))
        x = g.op("Div", total, g.constant(float(len(blocks)), np.float32))
    x = chunk.conv(chunk.leaky(x, FINAL_SLOPE), array(vocoder.conv_post.weight), None, 1, "conv_post")
    g.output(g.op("Reshape", g.op("Tanh", x), g.constant([-1])), "wave", FLOAT, ["samples"])
    model = g.build()
    entry = model.metadata_props.add()
    entry.key, entry.value = STATES, json.dumps(chunk.shapes)
    return model
