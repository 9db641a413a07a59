"""Count where the host would wait for a device, on a processor, where nothing has to wait."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {
    "_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "unique_dim", "_unique2",
    "unique_consecutive", "equal", "_assert_async",
}  # fmt: skip
"""Operators whose result the host has to see: item, float(), bool(), int(), indices of unknown number."""
METHODS = ("tolist", "cpu", "numpy", "item", "new_tensor")
"""Methods of a tensor that read it, or that copy numbers of the host to its device at once."""


class SyncCounter(TorchDispatchMode):
    """While open and `counting`, keeps a line of the source for each wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.counting = False
        self.places: list[str] = []
        for name in METHODS:
            monkeypatch.setattr(Tensor, name, self._noting(name, getattr(Tensor, name)))

    def _noting(self, name: str, method: Any) -> Any:
        def called(tensor: Tensor, *args: Any, **options: Any) -> Any:
            before = self.counting
            self.note(name)
            self.counting = False  # what it calls is the same wait
            try:
                return method(tensor, *args, **options)
            finally:
                self.counting = before

        return called

    def note(self, what: str) -> None:
        """Keep the innermost line of dimts, or the innermost at all."""
        if not self.counting:
            return
        stack = traceback.extract_stack()[:-2]
        own = [frame for frame in stack if "/dimts/" in frame.filename] or stack
        self.places.append(f"{what} at {own[-1].filename.rpartition('/')[2]}:{own[-1].name}")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Work of the host: waits inside do not count."""
        before, self.counting = self.counting, False
        try:
            yield
        finally:
            self.counting = before

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        masks = [
            one
            for one in (args[1] if name in ("index", "index_put", "index_put_") else ())
            if one is not None
        ]
        if name in WAITING or any(one.dtype == torch.bool for one in masks):
            self.note(name)
        return function(*args, **(kwargs or {}))
