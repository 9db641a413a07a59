"""Build ONNX graphs node by node; their large weights go into one file that several graphs share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dimts.base.version import __version__

OPSET = 20
"""First opset with Gelu; supported by onnxruntime 1.17 and onnxruntime-web of the same time."""
IR_VERSION = 9
_INLINE_BYTES = 1024
"""Arrays up to this size stay inside a graph."""
_ALIGNMENT = 4096
"""Alignment of weights to pages, so that they can be mapped into memory."""
Array = np.ndarray[Any, np.dtype[Any]]
WeightType = Literal["float32", "float16", "int8"]


class WeightFile:
    """A file of weights; equal ones are written once, whichever graph they belong to."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._file: BinaryIO = path.open("wb")
        self._known: dict[str, tuple[int, int]] = {}

    def put(self, data: bytes) -> tuple[int, int]:
        """Write bytes; returns their offset and length in the file."""
        key = hashlib.sha256(data).hexdigest()
        if key not in self._known:
            self._file.write(b"\0" * (-self._file.tell() % _ALIGNMENT))
            self._known[key] = (self._file.tell(), len(data))
            self._file.write(data)
        return self._known[key]

    def move_out(self, tensor: TensorProto) -> None:
        """Move the data of an initializer into the file, unless it is small."""
        data = numpy_helper.to_array(tensor).tobytes()
        if len(data) <= _INLINE_BYTES:
            return
        offset, length = self.put(data)
        tensor.ClearField("raw_data")
        del tensor.float_data[:], tensor.int32_data[:], tensor.int64_data[:]
        del tensor.external_data[:]
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self.name), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class GraphBuilder:
    """One graph. Methods return the names of what they compute.

    Weights of type float16 are stored so and widened to float32 where they are used, which onnxruntime does
    once, when it loads the graph. With int8 those of `linear(..., quantised=True)` stay float32 for the
    quantiser, and all others are float16.
    """

    def __init__(self, name: str, weights: WeightType = "float32") -> None:
        self.name, self.weights = name, weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._known: dict[tuple[str, bytes], str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, kind: int, shape: Sequence[int | str]) -> str:
        """Declare an input; a text in `shape` names a length that may vary."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, value: str, name: str, kind: int, shape: Sequence[int | str]) -> None:
        """Declare `value` as the output `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs."""
        names = [f"{kind.lower()}_{len(self._nodes)}_{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, values: Any, kind: Any = np.int64) -> str:
        """Add a small constant; equal ones are shared."""
        array = np.asarray(values, kind)
        key = f"{array.dtype}{array.shape}", array.tobytes()
        if key not in self._known:
            self._known[key] = self._put(array, f"constant_{len(self._known)}")
        return self._known[key]

    def weight(self, array: Array, name: str) -> str:
        """Add a weight in float32."""
        stored = self.stored(array, name)
        return self.op("Cast", stored, to=TensorProto.FLOAT) if self._is_half(array) else stored

    def rows(self, table: Array, name: str, indices: str) -> str:
        """Add rows of a table in float32, widened after they are gathered."""
        taken = self.op("Gather", self.stored(table, name), indices)
        return self.op("Cast", taken, to=TensorProto.FLOAT) if self._is_half(table) else taken

    def stored(self, array: Array, name: str) -> str:
        """Add a weight as it is stored."""
        return self._put(array.astype(np.float16 if self._is_half(array) else np.float32), name)

    def linear(self, x: str, weight: Array, bias: Array, name: str, *, quantised: bool = False) -> str:
        """Add x [..., in] · weight [in, out] + bias."""
        plain = quantised and self.weights == "int8"
        stored = self._put(weight, f"{name}.weight") if plain else self.weight(weight, f"{name}.weight")
        product = self.op("MatMul", x, stored)
        return self.op("Add", product, self.weight(bias, f"{name}.bias"))

    def build(self) -> onnx.ModelProto:
        """Return the graph as a model, its weights inside."""
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._initializers)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=IR_VERSION,
            producer_name="dimts",
            producer_version=__version__,
        )

    def _is_half(self, array: Array) -> bool:
        return self.weights != "float32" and array.size * 4 > _INLINE_BYTES

    def _put(self, array: Array, name: str) -> str:
        if all(known.name != name for known in self._initializers):
            self._initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name


def save_graph(model: onnx.ModelProto, path: Path, weights: WeightFile) -> None:
    """Write a model whose large weights go into `weights`."""
    for tensor in model.graph.initializer:
        weights.move_out(tensor)
    onnx.save_model(model, str(path))
