"""A seeded tiny model and what goes with it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from dimts.xtts.model import XTTS, Examples
from dimts.xtts.spec import SPECS
from dimts.xtts.vocabulary import Vocabulary

PHONES = ("ə", "u", "i", "a", "e", "ɨ", "o", "s", "l", "m", "t", "tʃ", "tʃʼ", "tʃʼː", "kʼʷ", "k", "kʼ")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """A few phones."""
    return Vocabulary.for_phones(PHONES, marks=(".", "?"))


@pytest.fixture(scope="session")
def built(vocabulary: Vocabulary) -> XTTS:
    """The model of all tests, for those that leave it as it is."""
    spec = replace(SPECS["tiny"], layers=2, width=64, text_ids=vocabulary.size, max_text=60, max_audio=80)
    model = XTTS.build(spec, seed=5)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for _, parameter in model.trained():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    model.gpt.use_dropout(0.0)
    return model


@pytest.fixture
def model(built: XTTS) -> XTTS:
    """Two layers of the tiny size, livelier than at birth so that differences show; no dropout."""
    return copy.deepcopy(built)


@pytest.fixture
def examples(model: XTTS) -> Examples:
    """Three rows of unlike length, with rubbish as padding."""
    generator = torch.Generator().manual_seed(6)

    def draw(top: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, top, shape, generator=generator)

    return Examples(
        draw(model.spec.text_ids, 3, 12),
        [12, 5, 8],
        draw(model.spec.dvae_codes, 3, 30),
        [14, 30, 9],
        mel=torch.randn(3, 80, 40, generator=generator),
        mel_lengths=[40, 25, 33],
        crops=[(1000, 9000), (20_000, 30_000), (0, 4000)],
    )
