"""Bundles with random weights, and the ONNX voices made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from dimts.base.config import to_dict  # noqa: E402
from dimts.onnx.export import Agreement, export_voice  # noqa: E402
from dimts.speak import FORMANT_FRONTEND  # noqa: E402
from dimts.text.frontend import MARKS, Frontend  # noqa: E402
from dimts.text.phones import inventory  # noqa: E402
from dimts.xtts.checkpoint import Bundle, save_bundle  # noqa: E402
from dimts.xtts.model import XTTS  # noqa: E402
from dimts.xtts.spec import LATENTS, SPECS  # noqa: E402
from dimts.xtts.vocabulary import Vocabulary  # noqa: E402
from dimts.xtts.voice import Voice  # noqa: E402

TEXTS = ("ሰላም ለዓለም።", "እንዴት ናችሁ?")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_bundle(size: str, voices: Sequence[str] = ("abebe",)) -> Bundle:
    """A bundle of this size whose voices are noise."""
    words = Vocabulary.for_phones(list(inventory()), marks=sorted({*MARKS.values(), "?", "!"}))
    spec = replace(SPECS[size], text_ids=words.size, start_text=words.start, stop_text=words.stop)
    noise = torch.Generator().manual_seed(1)

    def voice() -> Voice:
        latents = torch.randn(1, LATENTS, spec.width, generator=noise) * 0.1
        return Voice(latents, torch.randn(1, spec.timbre_width, 1, generator=noise))

    note = {"settings": to_dict(FORMANT_FRONTEND)}
    made = {name: voice() for name in voices}
    return Bundle(
        XTTS.build(spec, 1, dvae=False), words, note, made, {"name": f"{size} voice", "licence": "CC0"}
    )


def ids_of(bundle: Bundle, texts: Sequence[str]) -> list[list[int]]:
    """The ids of every phrase of some texts."""
    frontend = Frontend(FORMANT_FRONTEND)
    return [bundle.vocabulary.encode(phrase.spelling) for text in texts for phrase in frontend(text)]


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return make_bundle("tiny")


@pytest.fixture(scope="session")
def bundle_folder(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(bundle, folder)
    (folder / "README.md").write_text("# The card of the voice\n", encoding="utf-8")
    (folder / "LICENCE.txt").write_text("CC0", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def exported(
    bundle: Bundle, bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Any], tuple[Path, Agreement]]:
    """The ONNX voice of a weight type, made once."""
    known: dict[str, tuple[Path, Agreement]] = {}

    def make(weights: Any) -> tuple[Path, Agreement]:
        if weights not in known:
            folder = tmp_path_factory.mktemp("onnx") / f"tiny-{weights}"
            made = export_voice(bundle, folder, ids_of(bundle, TEXTS), weights=weights, source=bundle_folder)
            known[weights] = folder, made
        return known[weights]

    return make


@pytest.fixture(scope="session")
def onnx_folder(exported: Callable[[Any], tuple[Path, Agreement]]) -> Path:
    return exported("float32")[0]
