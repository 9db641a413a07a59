"""Extend a model to a larger vocabulary: rows for the new tokens, all other weights shared with the old
model.

A new row starts near its sound: `NEAR` names, for each phone, the letters that the languages of XTTS v2 write
for the nearest sound, and the row is the mean of their rows. A small spread separates rows with equal means.
Old rows are not changed, so old voices speak as before. (Upstream fills new rows with N(0, 1), some fifty
times the size of trained ones, and overwrites the last one with a language tag.)

Source of the sound values: the IPA chart and Leslau, "Reference Grammar of Amharic" (1995), for the
consonants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from dimts.base.errors import CheckpointError, ConfigError
from dimts.xtts import weights
from dimts.xtts.model import XTTS
from dimts.xtts.vocabulary import Vocabulary

NEAR: Mapping[str, str] = {
    "ə": "e",
    "u": "u",
    "i": "i",
    "a": "a",
    "e": "e",
    "ɨ": "i",
    "o": "o",
    "h": "h",
    "l": "l",
    "m": "m",
    "s": "s",
    "r": "r",
    "ʃ": "sh",
    "b": "b",
    "t": "t",
    "tʃ": "ch",
    "n": "n",
    "ɲ": "ny",
    "ʔ": "'",
    "k": "k",
    "w": "w",
    "z": "z",
    "ʒ": "zh",
    "j": "y",
    "d": "d",
    "dʒ": "j",
    "ɡ": "g",
    "f": "f",
    "p": "p",
    "v": "v",
    "kʼ": "k",
    "tʼ": "t",
    "tʃʼ": "ch",
    "sʼ": "ts",
    "pʼ": "p",
    "።": ".",
    "፣": ",",
    "፤": ",",
    "፥": ",",
    "፦": ",",
    "፧": "?",
    ";": ",",
    ":": ",",
    "ʼ": "'",
    "ː": "-",
}
"""Phone or mark → Latin letters of the nearest sound. Long phones count as short ones, rounded ones as phone
+ w."""
ROUND, LONG = "ʷ", "ː"
TEXT_ROWS = ("gpt.text_embedding.weight", "gpt.text_head.weight", "gpt.text_head.bias")
"""Tensors with one row per text id."""


@dataclass(frozen=True, slots=True)
class ExtendSettings:
    """Initialisation of new tokens' rows."""

    start: Literal["near", "mean"] = "near"
    """"near": the mean of acoustically near tokens, where the table knows some; "mean": the mean of all old
    rows."""
    noise: float = 0.1
    """Random spread of new rows, as a share of the old rows' own spread."""
    seed: int = 1
    """Same seed, same rows."""

    def __post_init__(self) -> None:
        if self.noise < 0:
            raise ConfigError("xtts.noise_negative", noise=self.noise)


@dataclass(frozen=True)
class VocabularyExtension:
    """An extended model, and the initialisation of each new row."""

    model: XTTS
    first_row: int
    """Index of the first new row."""
    near: Mapping[str, tuple[str, ...]]
    """Old tokens whose rows were averaged, by new token; () for the mean of all."""


def extend_vocabulary(
    model: XTTS,
    old: Vocabulary,
    new: Vocabulary,
    settings: ExtendSettings | None = None,
    sounds: Mapping[str, Sequence[str]] | None = None,
) -> VocabularyExtension:
    """Build `model` for `new` instead of `old`, which `new` extends. The given model is unchanged.

    `sounds` gives the phones of letters that are not phones themselves, e.g. {"ሰ": ("s", "ə")}; pieces of
    several letters are read letter by letter. Raises CheckpointError if the vocabularies do not fit model or
    each other.
    """
    settings = settings or ExtendSettings()
    if model.spec.text_ids != old.size:
        raise CheckpointError("xtts.vocabulary_does_not_fit", rows=model.spec.text_ids, ids=old.size)
    added = new.added_to(old)
    near = {token: _near(token, old, sounds or {}) if settings.start == "near" else () for token in added}
    state = dict(model.state_dict())
    generator = torch.Generator().manual_seed(settings.seed)
    for name in TEXT_ROWS:
        rows = state[name].detach().float().cpu()  # [V, D] or [V]
        used = rows[sorted(set(old.tokens.values()))]
        mean, spread = used.mean(dim=0), used.std(dim=0)
        fresh = (
            torch.randn((new.size - old.size, *rows.shape[1:]), generator=generator) * spread * settings.noise
        )
        for token, row in added.items():
            if row < old.size:
                raise CheckpointError("xtts.new_token_with_old_id", token=token, id=row)
            ids = [old.tokens[other] for other in near[token]]
            fresh[row - old.size] += rows[ids].mean(dim=0) if ids else mean
        state[name] = torch.cat((rows, fresh)).to(state[name])
    spec = replace(model.spec, text_ids=new.size)
    grown = weights.build_from(spec, state, "the grown model", dtype=None)
    return VocabularyExtension(grown, old.size, near)


def _near(token: str, old: Vocabulary, sounds: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return old tokens that sound like `token`; empty if the table knows none."""
    if token.startswith("[") and token.endswith("]"):  # a language tag is most like the other tags
        return tuple(f"[{language}]" for language in old.languages)
    phones = (
        [token] if _plain(token) else [phone for letter in token for phone in sounds.get(letter, (letter,))]
    )
    letters = "".join(_letters(phone) for phone in phones)
    return tuple(piece for piece in old.pieces(letters) if piece in old.tokens) if letters else ()


def _plain(phone: str) -> bool:
    return phone.removesuffix(LONG).removesuffix(ROUND) in NEAR


def _letters(phone: str) -> str:
    if phone in NEAR:
        return NEAR[phone]
    short = phone.removesuffix(LONG)
    return NEAR.get(short.removesuffix(ROUND), "") + ("w" if short.endswith(ROUND) else "")
