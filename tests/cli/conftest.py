"""What the tests of the command line share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def helpers() -> ModuleType:
    """The maker of prepared projects of the training tests."""
    path = Path(__file__).parent.parent / "train" / "conftest.py"
    spec = importlib.util.spec_from_file_location("train_fixtures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice bundle with a tiny engine of random weights and two voices."""
    torch = pytest.importorskip("torch")
    from dataclasses import replace

    from dimts.base.config import to_dict
    from dimts.speak import FORMANT_FRONTEND
    from dimts.text.frontend import MARKS
    from dimts.text.phones import inventory
    from dimts.xtts.checkpoint import Bundle, save_bundle
    from dimts.xtts.model import XTTS
    from dimts.xtts.spec import SPECS
    from dimts.xtts.vocabulary import Vocabulary
    from dimts.xtts.voice import clone

    words = Vocabulary.for_phones(list(inventory()), marks=sorted({*MARKS.values(), "?", "!"}))
    spec = replace(SPECS["tiny"], text_ids=words.size, start_text=words.start, stop_text=words.stop)
    model = XTTS.build(spec, 1, dvae=False)
    noise = torch.Generator().manual_seed(1)
    voices = {
        name: clone(model, [torch.randn(44_100, generator=noise) * 0.1], name=name)
        for name in ("abebe", "sara")
    }
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(
        Bundle(model, words, {"settings": to_dict(FORMANT_FRONTEND)}, voices, {"name": "tiny"}), folder
    )
    return folder
