"""Test an installation in about ten seconds: each attention kernel, an optimizer step, a synthesised phrase.

    python -m dimts.install.self_test BUILD EXTRA …

runs in a process of its own, as libraries that were replaced on the disk must not be those already imported,
and prints one JSON list of checks. A fault is a result, not a traceback.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dimts.base.errors import DimtsError, InstallError
from dimts.base.extras import EXTRAS
from dimts.base.messages import Message

PHRASE = "ሰላም ለዓለም።"
"""Text that the formant voice synthesises."""
_SECONDS = 300.0
_LENGTHS = (5, 12)
_HEADS, _WIDTH = 4, 64
_TOLERANCE = 0.02
_QUIET = 0.01


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One check and its result."""

    name: str
    passed: bool
    seconds: float
    result: Message


def run(build: str, extras: Sequence[str], seconds: float = _SECONDS) -> tuple[SelfTest, ...]:
    """Check the libraries of `extras` and torch of `build` in another process.

    A process that crashes or does not end in time is a failed check of its own.
    """
    command = [sys.executable, "-m", "dimts.install.self_test", build, *extras]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return (SelfTest("process", False, seconds, Message("install.self_test_too_long", seconds=seconds)),)
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = done.stderr.strip().splitlines()[-1:] or [""]
        crashed = Message("install.self_test_crashed", code=done.returncode, reason=last[0])
        return (SelfTest("process", False, 0.0, crashed),)
    return tuple(
        SelfTest(one["name"], one["passed"], one["seconds"], Message.from_dict(one["result"]))
        for one in found
    )


def checks(build: str, extras: Sequence[str]) -> list[tuple[str, Callable[[], Message]]]:
    """Return name and function of each check; a function returns its finding or raises."""
    wanted: list[tuple[str, Callable[[], Message]]] = [("libraries", lambda: _libraries(extras))]
    if "speak" in extras:
        wanted.append(("torch", lambda: _torch(build)))
        wanted += [(f"attention {kind}", partial(_attention, kind)) for kind in _usable_kinds()]
        wanted.append(("optimizer", _optimizer))
    if "fast" in extras:
        wanted.append(("compiler", _compiler))
    if "formant" in extras:
        wanted.append(("speech", _speech))
    return wanted


def main(arguments: Sequence[str]) -> int:
    """Run the checks and print them; 0 where all passed."""
    build, *extras = arguments
    found = []
    for name, check in checks(build, extras):
        began = time.monotonic()
        try:
            passed, result = True, check()
        except Exception as error:  # noqa: BLE001 (whatever a library raises is the result)
            passed, raised = False, Message("install.check_raised", error=f"{type(error).__name__}: {error}")
            result = error.message if isinstance(error, DimtsError) else raised
        seconds = round(time.monotonic() - began, 3)
        found.append({"name": name, "passed": passed, "seconds": seconds, "result": result.as_dict()})
    print(json.dumps(found, ensure_ascii=True))  # noqa: T201 (read by the process that asked)
    return 0 if all(one["passed"] for one in found) else 1


def _libraries(extras: Sequence[str]) -> Message:
    """Import the extras' libraries; an installed library may still lack a library of the system."""
    names = sorted({library for extra in extras for library in EXTRAS[extra].libraries} - {"torch"})
    for name in names:
        importlib.import_module(name)
    return Message("install.libraries_import", count=len(names))


def _device() -> str:
    import torch

    for name in ("cuda", "xpu"):
        if getattr(torch, name).is_available():
            return name
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _torch(build: str) -> Message:
    import torch

    device = _device()
    expected = "cuda" if build.startswith("cu") else "xpu" if build == "xpu" else ""
    if expected and device != expected:
        raise InstallError("install.torch_sees_no_card", version=torch.__version__, build=build)
    product = torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)
    if float(product.mean()) != 64.0:
        raise InstallError("install.torch_multiplies_wrong", device=device)
    return Message("install.torch_runs", version=torch.__version__, device=device)


def _usable_kinds() -> list[str]:
    try:
        import torch

        from dimts.xtts.attention import KINDS, refusal

        device = torch.device(_device())
        return [kind for kind in KINDS if refusal(kind, device, _dtype(kind, device.type), _WIDTH) is None]
    except Exception:  # noqa: BLE001 (the check of torch says what is wrong)
        return []


def _dtype(kind: str, device: str) -> torch.dtype:  # type: ignore[name-defined] # noqa: F821
    import torch

    if device != "cuda" or kind not in ("flash", "xformers"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16


def _attention(kind: str) -> Message:
    """Run one forward and backward pass over packed rows, and compare with the plain formula."""
    import torch

    from dimts.xtts.attention import SequenceLayout, attend

    device = torch.device(_device())
    dtype = _dtype(kind, device.type)
    torch.manual_seed(0)
    layout = SequenceLayout(_LENGTHS, packed=True)
    plain = [torch.randn(1, layout.total, _HEADS, _WIDTH).to(device, dtype) for _ in range(3)]
    results = []
    for each in (kind, "eager"):
        inputs = [tensor.detach().clone().requires_grad_() for tensor in plain]
        q, k, v = inputs
        out = attend(each, q, k, v, layout)  # type: ignore[arg-type]
        torch.autograd.backward(out.float().pow(2).sum())
        results.append(
            [out.detach().float(), *(tensor.grad.float() for tensor in inputs if tensor.grad is not None)]
        )
    scale = max(float(tensor.abs().max()) for tensor in results[1])
    apart = max(float((a - b).abs().max()) for a, b in zip(*results, strict=True)) / scale
    if not apart < _TOLERANCE:
        raise InstallError("install.kernel_differs", kind=kind, apart=apart)
    return Message("install.kernel_agrees", kind=kind, device=device.type, apart=apart)


def _optimizer() -> Message:
    import torch

    weight = torch.nn.Parameter(torch.ones(8, device=_device()))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    torch.autograd.backward(weight.pow(2).sum())
    optimizer.step()
    if not float(weight.detach().max()) < 1.0:
        raise InstallError("install.optimizer_does_not_step")
    return Message("install.optimizer_steps", device=str(weight.device.type))


def _compiler() -> Message:
    import numba  # type: ignore[import-untyped, unused-ignore]

    double = numba.njit(lambda value: 2 * value)
    if double(21) != 42:
        raise InstallError("install.compiler_wrong")
    return Message("install.compiler_runs", version=numba.__version__)


def _speech() -> Message:
    import numpy

    from dimts.speak import Speaker

    wave = Speaker.load("formant").say(PHRASE)
    loudest = float(numpy.abs(wave.samples).max())
    if loudest < _QUIET:
        raise InstallError("install.speech_is_silent")
    return Message("install.phrase_spoken", phrase=PHRASE, seconds=wave.seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
