"""Perth's network: layers that add the mark to levels of bands, and layers that look for it.

Its shape is that of resemble-perth 1.0.1's weights; `load` reads them without unpickling.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dimts.base.errors import CheckpointError

BANDS = 128
"""Bands that carry the mark, the lowest of the spectrum."""
_WIDTH, _KERNEL, _DEEP = 256, 7, 5


class ResidualStream:
    """Computes the residual of one wave's levels as they come, as the layers would of the whole."""

    def __init__(self, weights: Path) -> None:
        self._layers = [_StreamedLayer(layer) for layer in _network(weights).encoder]

    @torch.inference_mode()
    def push(self, levels: np.ndarray, *, last: bool) -> np.ndarray:
        """Push levels [F, 128]; returns the residual [G, 128] of the frames that are final; with `last` all
        are."""
        values = torch.from_numpy(np.ascontiguousarray(levels.T))[None]
        for layer in self._layers:
            values = layer.push(values, last=last)
        return values[0].T.numpy()


@torch.inference_mode()
def decode(weights: Path, levels: np.ndarray, audible: np.ndarray) -> float:
    """Return the confidence, 0 to 1, that levels [F, 128] have the mark; `audible` [F] says which frames
    count."""
    values = torch.from_numpy(np.ascontiguousarray(levels.T))[None]
    found = _network(weights).decoder(values, torch.from_numpy(audible.astype(np.float32))[None, None])
    return float(found.clamp(0.0, 1.0))


class _StreamedLayer:
    """A convolution over time that keeps what it needs of the frames before; together as one over the whole
    with zeros around it."""

    def __init__(self, layer: _Layer) -> None:
        self._layer = layer
        self._reach = layer.reach
        self._before = torch.zeros(1, layer.conv.in_channels, self._reach)

    def push(self, values: Tensor, *, last: bool) -> Tensor:
        """Push frames [1, C, F]; returns those [1, D, G] that are final."""
        if last:
            values = functional.pad(values, (0, self._reach))
        values = torch.cat((self._before, values), dim=2)
        kernel = 2 * self._reach + 1
        if values.shape[2] < kernel:
            self._before = values
            return values.new_zeros(1, self._layer.conv.out_channels, 0)
        self._before = values[:, :, values.shape[2] - kernel + 1 :]
        done: Tensor = self._layer(values)
        return done


class _Layer(nn.Module):
    """A convolution over time without padding, and the activation."""

    def __init__(self, inner: int, outer: int, kernel: int, *, active: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inner, outer, kernel)
        self.reach = kernel // 2
        self._active = active

    def forward(self, values: Tensor) -> Tensor:
        values = self.conv(values)
        return functional.leaky_relu(values) if self._active else values


def _layers(outer: int) -> nn.ModuleList:
    """Make the layers from bands [1, 128, F] to [1, outer, F]."""
    deep = [_Layer(_WIDTH, _WIDTH, _KERNEL) for _ in range(_DEEP)]
    return nn.ModuleList([_Layer(BANDS, _WIDTH, 1), *deep, _Layer(_WIDTH, outer, 1, active=False)])


class _Decoder(nn.Module):
    """Looks for the mark in three tempi at once, as it may have been slowed or hastened, and weighs them."""

    def __init__(self) -> None:
        super().__init__()
        self.slow_layers, self.normal_layers, self.fast_layers = _layers(2), _layers(2), _layers(2)

    def forward(self, levels: Tensor, audible: Tensor) -> Tensor:
        """Return the confidence of levels [1, 128, F], of which `audible` [1, 1, F] marks the frames."""
        found = []
        for layers, tempo in ((self.slow_layers, 1.25), (self.normal_layers, 1.0), (self.fast_layers, 0.75)):
            values, kept = levels, audible
            if tempo != 1.0:
                size = max(int(levels.shape[2] * tempo), 1)
                values = functional.interpolate(values, size=size, mode="linear", align_corners=True)
                kept = functional.interpolate(kept, size=size, mode="nearest")
            for layer in layers:
                assert isinstance(layer, _Layer)  # noqa: S101  # a ModuleList forgets it
                values = layer(functional.pad(values, (layer.reach, layer.reach)))
            found.append((values * kept).sum(dim=2) / kept.sum(dim=2))
        weights, marks = torch.cat(found).unbind(dim=1)
        return (marks * weights.softmax(dim=0)).sum()


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = _layers(BANDS), _Decoder()


@lru_cache(maxsize=1)
def _network(path: Path) -> Any:
    """Load the network. Raises CheckpointError for a file with other weights, or more than weights."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model"]
        state = {name.replace("encoder.layers", "encoder"): value for name, value in state.items()
                 if name.startswith(("encoder.", "decoder."))}  # fmt: skip
        network = _Network()
        network.load_state_dict(state)
    except (
        UnpicklingError,
        RuntimeError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
        ValueError,
        EOFError,
    ) as error:
        raise CheckpointError("audio.watermark_weights_unusable", path=path) from error
    return network.eval().requires_grad_(False)
