"""Tokenise spellings with the vocab.json that coqui-tts reads, and extend a vocabulary to another language.

Growing keeps every old id, so old voices still speak: new tokens are appended after the largest id, their
merges after the old merges, and each of them is proved to be emitted by its own spelling before it is kept.
Nothing the model cannot read passes silently: a text with an unknown character is refused, not spoken with a
hole.

Two spellings, both with words apart by single spaces (a space becomes [SPACE]) and a language tag such as
[am] in front. "text": characters and merged pieces. "phones": words of joined phones and marks ("səlam
ləʔaləm."), taken apart by the longest match before merging, so that the letters of two phones never become
one token.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from dimts.base.errors import CheckpointError, TextError
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.xtts.bundle_files import refuse_placeholder
from dimts.xtts.phone_spelling import SPACE, spaced_phones

Spelling = Literal["text", "phones"]

STOP, UNKNOWN, START = "[STOP]", "[UNK]", "[START]"
SPECIALS = (STOP, UNKNOWN, SPACE, START)
"""Tokens that a new vocabulary begins with; every vocabulary needs all but [UNK]."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, frozen. `text` is the vocab.json itself, kept byte for byte."""

    text: str
    """Content of vocab.json, in the format of the `tokenizers` library."""
    spelling: Spelling = "text"
    language: str = "am"
    """The tag put first by `encode`."""
    symbols: tuple[str, ...] = ()
    """Spelling "phones": every phone and mark, the units of encoding."""

    @classmethod
    def load(cls, path: Path | str, **known: Any) -> Vocabulary:
        """Read a vocab.json; CheckpointError if it is none, or lacks START, STOP or [SPACE]."""
        path = Path(path)
        try:
            refuse_placeholder(path)
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError("xtts.vocabulary_unreadable", path=path, reason=error) from error
        return cls.from_text(text, str(path), **known)

    @classmethod
    def from_text(cls, text: str, where: str = "vocab.json", **known: Any) -> Vocabulary:
        """Read a vocabulary from the file's content."""
        try:
            found = cls(text, **known)
            tokens = found.tokens
        except Exception as error:
            raise CheckpointError("xtts.not_a_vocabulary", path=where, reason=error) from error
        for special in SPECIALS:
            if special not in tokens and special != UNKNOWN:
                raise CheckpointError("xtts.special_token_missing", path=where, token=special)
        return found

    def save(self, path: Path | str) -> None:
        """Write vocab.json, the same bytes as were loaded."""
        write_text(path, self.text)

    @classmethod
    def for_phones(
        cls, symbols: Sequence[str], language: str = "am", marks: Sequence[str] = ()
    ) -> Vocabulary:
        """Make a small vocabulary of phones and marks: STOP 0, UNK 1, SPACE 2, START 3, [language] 4, then
        symbols."""
        tag = f"[{language}]"
        tokens = {token: i for i, token in enumerate((*SPECIALS, tag))}
        model: dict[str, Any] = {
            "type": "BPE",
            "dropout": None,
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": tokens,
            "merges": [],
        }
        content = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [_added(token, i) for token, i in tokens.items()],
            "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": model,
        }
        return cls.from_text(_written(content)).grow_phones(symbols, language, marks)

    # Reading

    @cached_property
    def _tokenizer(self) -> Any:
        return Tokenizer.from_str(self.text)

    @cached_property
    def tokens(self) -> dict[str, int]:
        """Ids of all tokens."""
        found: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return found

    @cached_property
    def _by_id(self) -> dict[int, str]:
        return {i: token for token, i in self.tokens.items()}

    @cached_property
    def _reserved(self) -> frozenset[int]:
        tags = (f"[{language}]" for language in self.languages)
        return frozenset(self.tokens[token] for token in (STOP, START, *tags))

    @cached_property
    def _symbols(self) -> frozenset[str]:
        return frozenset(self.symbols)

    @property
    def size(self) -> int:
        """Rows an embedding needs: the largest id + 1 (published files have holes)."""
        return max(self.tokens.values()) + 1

    @property
    def start(self) -> int:
        """Id of START."""
        return self.tokens[START]

    @property
    def stop(self) -> int:
        """Id of STOP."""
        return self.tokens[STOP]

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that have a tag, e.g. "am"."""
        return tuple(sorted(t[1:-1] for t in self.tokens if t.startswith("[") and t[1:-1].islower()))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that determines ids: tokens, merges, spelling, symbols. Equal means
        interchangeable."""
        content = json.loads(self.text)
        decisive = [
            sorted(self.tokens.items()),
            content["model"].get("merges"),
            self.spelling,
            sorted(self.symbols),
            content.get("normalizer"),
            content.get("pre_tokenizer"),
        ]
        return hashlib.sha256(json.dumps(decisive, ensure_ascii=False).encode()).hexdigest()

    def encode(self, text: str, language: str | None = None) -> list[int]:
        """Encode a spelling into ids, the language tag first; the model adds START and STOP.

        Raises TextError naming what has no token: a language without a tag, or characters that would be
        [UNK].
        """
        tag = f"[{language or self.language}]"
        if tag not in self.tokens:
            known = self.languages or Message("xtts.no_language")
            raise TextError("xtts.language_unknown", tag=tag, languages=known)
        spaced = spaced_phones(text, self._symbols) if self.spelling == "phones" else text
        ids: list[int] = self._tokenizer.encode(
            tag + spaced.replace(" " if self.spelling == "text" else "#", SPACE)
        ).ids
        if reserved := [self._by_id[i] for i in ids[1:] if i in self._reserved]:
            raise TextError("xtts.reserved_token", token=reserved[0], text=text)
        if self.tokens.get(UNKNOWN) in ids or (self._drops_unknown and self.unknown(text)):
            raise TextError("xtts.no_token", characters=tuple(map(repr, self.unknown(text))), text=text)
        return ids

    @cached_property
    def _drops_unknown(self) -> bool:
        """Whether the tokenizer drops characters without a token, instead of [UNK] (community files)."""
        return json.loads(self.text)["model"].get("unk_token") is None

    def unknown(self, text: str) -> list[str]:
        """Return the characters of `text` without a token, in order, each once."""
        unknown = self.tokens.get(UNKNOWN)
        encoded = {c: self._tokenizer.encode(c).ids for c in text if not c.isspace()}
        return [c for c, ids in encoded.items() if not ids or unknown in ids]

    def pieces(self, text: str) -> list[str]:
        """Return the tokens of `text` without tag, [UNK] where there is none; for display only."""
        found: list[str] = self._tokenizer.encode(text).tokens
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids into a spelling, without tag, START and STOP. The inverse of `encode` for normalised
        text."""
        tokens = [self._by_id.get(i, UNKNOWN) for i in ids]
        kept = [
            t
            for t in tokens
            if t in (SPACE, UNKNOWN) or not (t.startswith("[") and t.endswith("]") and len(t) > 2)
        ]
        return "".join(" " if t == SPACE else t for t in kept)

    # Extending

    def grow_phones(
        self, symbols: Sequence[str], language: str = "am", marks: Sequence[str] = ()
    ) -> Vocabulary:
        """Extend the vocabulary by a token for each phone, each mark and [language]; spelling "phones".

        Phones that are tokens already keep their id. Phones of several letters are built by merges, their
        pieces first, so "tʃʼː" needs tʃ and tʃʼ. Raises CheckpointError for a symbol that old merges would
        break up.
        """
        wanted = [*dict.fromkeys((*symbols, *marks))]
        letters = [*dict.fromkeys(letter for symbol in wanted for letter in symbol)]
        return self._grown(letters, _merges_of(wanted), language).spelt("phones", wanted)

    def grow_fidel(
        self,
        texts: Iterable[str],
        letters: Sequence[str],
        tokens: int,
        language: str = "am",
        marks: Sequence[str] = (),
    ) -> Vocabulary:
        """Extend the vocabulary by every one of `letters` and `marks`, [language], and up to `tokens` merged
        pieces.

        The pieces are learned from `texts` by byte-pair encoding (Gage 1994; Sennrich et al., 2016) over the
        new letters alone; a piece that its own spelling would not emit is left out, and so is what is built
        on it.
        """
        new = [*dict.fromkeys((*letters, *marks))]
        learner = Tokenizer(models.BPE(unk_token=UNKNOWN))
        learner.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.BpeTrainer(
            vocab_size=len(new) + tokens,
            initial_alphabet=new,
            special_tokens=[],
            show_progress=False,
            min_frequency=2,
        )
        learner.train_from_iterator(texts, trainer)
        merges: list[tuple[str, str]] = [
            tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]
        ]
        allowed = set(new)
        merges = [pair for pair in merges if set(pair[0] + pair[1]) <= allowed]
        while True:
            kept, standing = [], set(new)
            for left, right in merges:
                if left in standing and right in standing:
                    kept.append((left, right))
                    standing.add(left + right)
            grown = self._grown(new, kept, language)
            broken = {a + b for a, b in kept if grown._tokenizer.encode(a + b).tokens != [a + b]}
            if not broken:
                return grown.spelt("text", ())
            merges = [pair for pair in kept if pair[0] + pair[1] not in broken]

    def spelt(self, spelling: Spelling, symbols: Sequence[str]) -> Vocabulary:
        """Return the same tokens under another spelling; CheckpointError if a symbol is not one token."""
        for symbol in symbols:
            if len(self._tokenizer.encode(symbol).ids) != 1:
                found = " ".join(self._tokenizer.encode(symbol).tokens)
                raise CheckpointError("xtts.symbol_broken_up", symbol=symbol, pieces=found)
        return Vocabulary(self.text, spelling, self.language, tuple(symbols))

    def _grown(self, letters: Sequence[str], merges: Sequence[tuple[str, str]], language: str) -> Vocabulary:
        content = json.loads(self.text)
        model = content["model"]
        tokens: dict[str, int] = model["vocab"]
        known = dict(self.tokens)
        following = self.size
        tag = f"[{language}]"
        if tag not in known:
            tokens[tag] = known[tag] = following
            content["added_tokens"].append(_added(tag, following))
            following += 1
        old_merges = {
            tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in model["merges"]
        }
        as_lists = not model["merges"] or isinstance(model["merges"][0], list)
        for token in (*letters, *(left + right for left, right in merges)):
            if token not in known:
                tokens[token] = known[token] = following
                following += 1
        for pair in merges:
            if pair not in old_merges:
                model["merges"].append(list(pair) if as_lists else " ".join(pair))
        return Vocabulary.from_text(
            _written(content), spelling=self.spelling, language=language, symbols=self.symbols
        )

    def added_to(self, older: Vocabulary) -> dict[str, int]:
        """Return the ids of the tokens beyond `older`; CheckpointError if an old token changed its id."""
        for token, i in older.tokens.items():
            if self.tokens.get(token) != i:
                raise CheckpointError(
                    "xtts.token_id_changed", token=token, found=self.tokens.get(token), expected=i
                )
        added = (token for token in self.tokens if token not in older.tokens)
        return {token: self.tokens[token] for token in sorted(added, key=self.tokens.__getitem__)}


def _added(token: str, i: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": i, "content": token, **flags}


def _written(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2)


def _merges_of(symbols: Sequence[str]) -> list[tuple[str, str]]:
    """Return merges that build each symbol from its left, ranked so that no pair inside it is joined too
    early."""
    chains = [[(symbol[:i], symbol[i]) for i in range(1, len(symbol))] for symbol in symbols]
    known = {pair for chain in chains for pair in chain}
    order: TopologicalSorter[tuple[str, str]] = TopologicalSorter()
    for chain in chains:
        for i, pair in enumerate(chain):
            order.add(pair, *chain[:i])
            rival = (pair[1], chain[i + 1][1]) if i + 1 < len(chain) else None
            if rival in known:  # t + ʃ must come before ʃ + ː, or tʃː is never built
                order.add(rival, pair)
    return list(order.static_order())
