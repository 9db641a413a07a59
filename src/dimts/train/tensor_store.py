"""Store named tensors in a folder of safetensors files: written atomically, memory-mapped, extended by
shards.

    store = TensorStore.open(folder)    unreadable files are dropped, to be made again
    store.write({"codes.1f2e": …})      one more file, written atomically
    store["codes.1f2e"][:]              only the requested slice is read from the disk

A big corpus costs no memory, and interrupted work continues after the last complete shard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dimts.base.files import atomic_path


@dataclass(slots=True)
class TensorStore:
    """The tensors of one folder, by name."""

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    """Length of the first dimension by name."""
    _files: dict[str, Any] = field(default_factory=dict)
    """Open file that holds the tensor, by name."""

    @classmethod
    def open(cls, folder: Path) -> TensorStore:
        """Open `folder`, which need not exist; a shard that cannot be read is removed."""
        shards = cls(folder)
        for path in sorted(folder.glob("shard-*.safetensors")):
            try:
                shards._take(path)
            except (SafetensorError, OSError):
                path.unlink(missing_ok=True)
        return shards

    def __contains__(self, name: str) -> bool:
        return name in self.sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, name: str) -> Any:
        """Return a tensor to be sliced; only the slice is read."""
        return self._files[name].get_slice(name)

    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Add tensors as one shard. Raises DimtsError when the disk is full; then nothing of it remains."""
        number = 1 + max((int(path.stem[6:]) for path in self.folder.glob("shard-*.safetensors")), default=-1)
        path = self.folder / f"shard-{number:05d}.safetensors"
        with atomic_path(path) as temporary:
            save_file(dict(tensors), temporary)
        self._take(path)

    def _take(self, path: Path) -> None:
        file: Any = safe_open(path, "pt")
        for name in file.keys():  # noqa: SIM118  (not a mapping)
            self.sizes[name] = file.get_slice(name).get_shape()[0]
            self._files[name] = file
