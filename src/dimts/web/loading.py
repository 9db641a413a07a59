"""Gradio imported and the page built, one language after the other: the one that is asked for is there first.

Each time it is imported, gradio writes editor stubs (.pyi) beside its own source and fills its docstrings in: half
of its import time, and nothing that a page needs. Both are left out here, where gradio still has them.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from dimts.base.plugins import require
from dimts.web.workspace import Workspace

_STUBS = "gradio.component_meta"


def prepare_environment(home: Workspace) -> None:
    """Tell gradio, before it is imported, where to keep files, and to report nothing to anybody."""
    home.cache.mkdir(parents=True, exist_ok=True)
    home.cache.chmod(0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(home.cache.resolve())
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def import_gradio(home: Workspace) -> None:
    """Import gradio and the page's own code. MissingExtra without gradio."""
    prepare_environment(home)
    finder = _WithoutStubs()
    sys.meta_path.insert(0, finder)
    gc.disable()  # nothing of what is imported becomes garbage
    try:
        require("gradio", "ui")
        require("fastapi", "ui")
    finally:
        gc.enable()
        if finder in sys.meta_path:  # gradio was there already, or has no such module
            sys.meta_path.remove(finder)
    from dimts.web import page

    del page


class _WithoutStubs(importlib.abc.MetaPathFinder):
    """Finds gradio's module that writes stubs, and takes the writing out once it is loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own spec, with a loader that changes two functions afterwards; None for all others."""
        if name != _STUBS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Quietened(spec.loader)
        return spec


class _Quietened(importlib.abc.Loader):
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As it was."""
        module: ModuleType | None = self.inner.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """As it was, and then without the stubs and the docstrings."""
        self.inner.exec_module(module)
        listener = getattr(sys.modules.get("gradio.events"), "EventListener", None)
        for owner, name in ((module, "create_or_modify_pyi"), (listener, "set_doc")):
            if hasattr(owner, name):
                setattr(owner, name, _nothing)


def _nothing(*_: object, **__: object) -> None:
    return None
