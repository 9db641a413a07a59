"""Read and write weight files: safetensors and torch pickles, with coqui's names or ours, without executing
code.

Files are mapped into memory, not copied, so reading 1.9 GB needs 1.9 GB. A torch pickle is read by torch's
weights-only reader; the configuration objects that coqui pickled along become inert stand-ins, and a pickle
that names anything else is refused by that name before it is opened.
"""

from __future__ import annotations

import contextlib
import pickle
import pickletools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dimts.base.errors import CheckpointError
from dimts.base.files import atomic_path
from dimts.xtts.bundle_files import refuse_placeholder
from dimts.xtts.compact import expand
from dimts.xtts.model import XTTS
from dimts.xtts.spec import Spec

RENAMES = (
    ("gpt.conditioning_encoder.", "conditioning.encoder."),
    ("gpt.conditioning_perceiver.", "conditioning.perceiver."),
    ("gpt.gpt.", "gpt.trunk."),
    ("hifigan_decoder.speaker_encoder.", "timbre."),
    ("hifigan_decoder.waveform_decoder.", "vocoder."),
)
"""(coqui's prefix, ours); all other names are the same in both."""
OLD_NORM_NAMES = (
    (".weight_g", ".parametrizations.weight.original0"),
    (".weight_v", ".parametrizations.weight.original1"),
)
"""Names of weight norm's parameters in older and in present torch."""
DROPPED = ("gpt.gpt_inference.", "gpt.gpt.wte.", "torch_mel_spectrogram_")
"""Prefixes of aliases and constants in coqui's files that are not read."""
DROPPED_ENDS = (".attn.bias", ".attn.masked_bias")
"""Suffixes of causal masks that old transformers saved; `attn.c_attn.bias` and its like are kept."""
OPTIONAL = (
    "num_batches_tracked",
    ".torch_spec.",
    "dvae.discrete_loss.",
    "codebook.cluster_size",
    "codebook.embed_avg",
)
"""Parts of names that a file may lack: constants, counters and training statistics."""
WRAPPERS = ("model", "state_dict", "model_state_dict", "module")
"""Keys under which trainers keep the tensors; coqui's own is the first."""
PREFIXES = ("module.", "_orig_mod.", "ds_engine.", "base_model.model.")
"""Prefixes that DistributedDataParallel, torch.compile, DeepSpeed and PEFT put before the names of a wrapped
model."""
INERT_ROOTS = ("TTS", "trainer", "coqpit", "numpy", "pathlib", "collections", "_codecs")
"""Packages whose objects a pickle may contain beside the tensors; they are read as stand-ins, never
imported."""

_SHOWN = 3
"""Number of tensor names in one line of an error."""

State = dict[str, Tensor]


def ours(key: str) -> str:
    """Convert coqui's name of a tensor to ours."""
    for theirs, own in RENAMES:
        if key.startswith(theirs):
            return own + key[len(theirs) :]
    return key


def coquis(key: str) -> str:
    """Convert our name of a tensor to coqui's; the inverse of `ours`."""
    for theirs, own in RENAMES:
        if key.startswith(own):
            return theirs + key[len(own) :]
    return key


def read(path: Path | str) -> State:
    """Read any weight file as {name: tensor on the CPU, mapped}, under the file's names, wrappers removed.

    Wrappers are those of WRAPPERS and PREFIXES and the trainer's "xtts."; its "dvae." tensors stay, aliases
    go. Raises CheckpointError for a file that is absent, truncated, holds code or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("xtts.no_such_weights", path=path)
    refuse_placeholder(path)
    if path.suffix == ".safetensors" or _is_safetensors(path):
        return _read_safetensors(path)
    content = read_pickle(path)
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise CheckpointError("xtts.file_without_weights", path=path)
    state = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError("xtts.not_a_tensor", path=path, key=key)
        state[key] = value
    return tidy(state)


def tidy(state: Mapping[str, Tensor]) -> State:
    """Remove trainer prefixes and aliases, and rename weight norm to its present names."""
    names = {key: _unwrapped(key) for key in state}
    trainer = any(name.startswith("xtts.") for name in names.values())
    out: State = {}
    for key, value in state.items():
        name = _unwrapped(names[key].removeprefix("xtts.")) if trainer else names[key]
        if name.startswith(DROPPED) or name.endswith(DROPPED_ENDS):
            continue
        for old, new in OLD_NORM_NAMES:
            if name.endswith(old):
                name = name.removesuffix(old) + new
        out[name] = value
    return out


def _unwrapped(name: str) -> str:
    """A tensor's name without what PREFIXES put before it, or into it where a part of the model was
    wrapped."""
    found = True
    while found:
        found = False
        for prefix in PREFIXES:
            if name.startswith(prefix):
                name, found = name[len(prefix) :], True
    for prefix in PREFIXES:
        name = name.replace(f".{prefix}", ".")
    return name


def _is_safetensors(path: Path) -> bool:
    """Whether a file holds safetensors whatever its name: eight bytes of length, then JSON."""
    with path.open("rb") as file:
        begin = file.read(9)
    return len(begin) == 9 and begin[8:] == b"{" and int.from_bytes(begin[:8], "little") < path.stat().st_size


def _read_safetensors(path: Path) -> State:
    try:
        with safe_open(path, "pt") as file:
            return tidy(expand({key: file.get_tensor(key) for key in file.keys()}))  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, RuntimeError) as error:  # RuntimeError: scales of another shape
        raise CheckpointError("xtts.safetensors_damaged", path=path, reason=error) from error


class _StandIn:
    """Stand-in for a configuration object in a pickle: holds its values, does nothing."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __setstate__(self, state: object) -> None:
        """Keep a state of any form, e.g. the tuple of a numpy dtype."""
        self.values = (*getattr(self, "values", ()), state)


def read_pickle(path: Path | str) -> Any:
    """Read a torch pickle with tensors mapped, by torch's weights-only reader.

    Raises CheckpointError naming the first thing in it that is neither tensor nor plain value, if that is not
    of INERT_ROOTS.
    """
    path = Path(path)
    refuse_placeholder(path)
    zipped = zipfile.is_zipfile(path)
    with path.open("rb") as file:
        if not zipped and file.read(2) == b"PK":
            raise CheckpointError("xtts.truncated", path=path)
    try:
        named = (
            torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else _named_in_pickle(path)
        )
        for name in sorted(named):
            if name.split(".")[0] not in INERT_ROOTS:
                raise CheckpointError("xtts.holds_code", path=path, name=name)
        stand_ins: list[Any] = [(type("StandIn", (_StandIn,), {}), name) for name in named]
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True if zipped else None)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError("xtts.pickle_damaged", path=path, reason=reason) from error


def _named_in_pickle(path: Path) -> list[str]:
    """List what the pickles of an old torch file (not a zip) name besides torch's own; nothing is run or
    imported."""
    named: list[str] = []
    texts: list[str] = []
    # Raw tensor bytes follow the pickles: reading ends where they begin.
    with path.open("rb") as file, contextlib.suppress(ValueError, IndexError, UnicodeDecodeError):
        while True:
            for operation, argument, _ in pickletools.genops(file):
                if operation.name == "GLOBAL":
                    named.append(str(argument).replace(" ", "."))
                elif operation.name == "STACK_GLOBAL":
                    named.append(".".join(texts[-2:]))
                elif isinstance(argument, str):
                    texts.append(argument)
    return [name for name in named if name.split(".")[0] != "torch" and name != "collections.OrderedDict"]


class _Unborn(TorchFunctionMode):
    """Leaves out random initial values: on tensors without memory they mean nothing, and torch imports its
    compiler for them (seconds)."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def build_from(
    spec: Spec, state: Mapping[str, Tensor], where: str, dtype: torch.dtype | None = torch.float32
) -> XTTS:
    """Build a model that holds these tensors (our names), not copies of them; with DVAE if its tensors are
    there.

    Floating tensors become `dtype` (None: stay as stored). Raises CheckpointError naming the first key that
    is missing, of another shape, not finite, or not of this model.
    """
    dvae = any(key.startswith("dvae.") for key in state)
    with torch.device("meta"), _Unborn():
        model = XTTS(spec, dvae=dvae)
    fill(model, state, where, dtype)
    return model.eval()


def fill(
    model: nn.Module, state: Mapping[str, Tensor], where: str, dtype: torch.dtype | None = torch.float32
) -> None:
    """Replace a model's tensors, after checking all of them; nothing is changed on an error."""
    expected = model.state_dict()
    check(state, {key: tuple(value.shape) for key, value in expected.items()}, where)
    chosen: State = {}
    for key, place in expected.items():
        if key in state:
            value = state[key]
            chosen[key] = value.to(dtype) if dtype is not None and value.is_floating_point() else value
        elif place.is_meta:
            chosen[key] = torch.zeros(place.shape, dtype=place.dtype)
    model.load_state_dict(chosen, strict=False, assign=True)
    if isinstance(model, XTTS) and any(".torch_spec." in key and key not in state for key in expected):
        model.timbre.reset_constants()


def check(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Check names, shapes and values of a state against a model; CheckpointError names the first that is
    wrong."""
    missing = [key for key in expected if key not in state and not any(part in key for part in OPTIONAL)]
    extra = [key for key in state if key not in expected]
    if missing or extra:
        code = (
            "xtts.tensors_missing"
            if not extra
            else "xtts.tensors_unknown"
            if not missing
            else "xtts.tensors_differ"
        )
        raise CheckpointError(code, path=where, missing=_some(missing), unknown=_some(extra))
    for key, shape in expected.items():
        if key in state and tuple(state[key].shape) != shape:
            text = key.startswith(("gpt.text_embedding", "gpt.text_head"))
            code = "xtts.text_shape_differs" if text else "xtts.tensor_shape_differs"
            found, wanted = str(list(state[key].shape)), str(list(shape))
            raise CheckpointError(code, path=where, key=coquis(key), found=found, expected=wanted)
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError("xtts.weights_not_finite", path=where, key=coquis(key))


def _some(keys: Sequence[str]) -> list[str]:
    """Return the first of some keys under coqui's names, and an ellipsis for the others."""
    return [*(coquis(key) for key in keys[:_SHOWN]), *(["…"] if len(keys) > _SHOWN else [])]


def write_safetensors(
    path: Path | str, state: Mapping[str, Tensor], meta: Mapping[str, str] | None = None
) -> None:
    """Write tensors atomically; the same tensors give the same bytes."""
    with atomic_path(path) as temporary:
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in state.items()},
            temporary,
            dict(meta or {}),
        )


def write_pickle(path: Path | str, content: Any) -> None:
    """Write a torch file atomically; the same content gives the same bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def owned(value: Tensor) -> Tensor:
    """Copy a tensor to the CPU with a storage of its own, as torch.save would write a whole mapped file."""
    value = value.detach().cpu()
    if value.untyped_storage().nbytes() == value.numel() * value.element_size() and value.is_contiguous():
        return value
    return value.clone(memory_format=torch.contiguous_format)
