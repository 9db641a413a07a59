"""Every letter and phone has a token, comes back as it went in, and nothing becomes [UNK]."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import CheckpointError, TextError
from dimts.text.phones import inventory
from dimts.xtts.vocabulary import SPECIALS, UNKNOWN, Vocabulary

PHONES = tuple(inventory())
MARKS = (".", ",", ";", ":", "?", "!", "።", "፣", "፤")
FIDEL = tuple(chr(code) for code in range(0x1200, 0x1381) if chr(code).isalpha())


def official_like() -> Vocabulary:
    """A vocabulary shaped as the published one: holes, START in the middle, tags, Latin letters with
    merges."""
    fresh = json.loads(Vocabulary.for_phones([], language="en").text)
    vocab = {"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2}
    vocab.update({letter: 3 + i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz',.?!-")})
    merges = [("t", "h"), ("i", "n"), ("th", "e"), ("s", "h"), ("a", "n"), ("l", "a"), ("s", "e"), ("t", "s")]
    vocab.update({a + b: 60 + i for i, (a, b) in enumerate(merges)})
    vocab.update({"[en]": 100, "[START]": 101, "[ar]": 140})
    fresh["model"].update(vocab=vocab, merges=[list(pair) for pair in merges])
    entry = fresh["added_tokens"][0]
    fresh["added_tokens"] = [
        {**entry, "id": i, "content": t} for t, i in vocab.items() if t[0] == "[" and t[-1] == "]"
    ]
    return Vocabulary.from_text(json.dumps(fresh, ensure_ascii=False), language="en")


@cache
def by_phones() -> Vocabulary:
    return Vocabulary.for_phones(PHONES, marks=MARKS)


@cache
def grown_by_phones() -> Vocabulary:
    return official_like().grow_phones(PHONES, marks=MARKS)


def amharic_lines(count: int) -> list[str]:
    luck = random.Random(4)
    frequent = [luck.choice(FIDEL) for _ in range(60)]
    words = [
        "".join(luck.choice(frequent if luck.random() < 0.8 else FIDEL) for _ in range(luck.randint(1, 7)))
        for _ in range(400)
    ]
    return [" ".join(luck.choice(words) for _ in range(8)) + luck.choice("።?!") for _ in range(count)]


@cache
def grown_by_fidel() -> Vocabulary:
    return official_like().grow_fidel(amharic_lines(300), FIDEL, 150, marks=MARKS)


@pytest.mark.parametrize("vocabulary", [by_phones, grown_by_phones])
def test_every_phone_is_one_token_of_its_own(vocabulary: object) -> None:
    words = vocabulary()  # type: ignore[operator]
    ids = [words.encode(phone)[1:] for phone in (*PHONES, *MARKS)]
    assert all(len(one) == 1 for one in ids)
    assert len({one[0] for one in ids}) == len(ids)


@pytest.mark.parametrize("make", [grown_by_phones, grown_by_fidel])
def test_every_added_token_is_emitted_by_its_own_spelling(make: object) -> None:
    grown = make()  # type: ignore[operator]
    for token, i in grown.added_to(official_like()).items():
        if token != "[am]":
            assert grown.encode(token)[1:] == [i]
    assert grown.encode("")[0] == grown.tokens["[am]"]


@pytest.mark.parametrize("make", [by_phones, grown_by_phones])
@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.lists(st.sampled_from(PHONES), min_size=1, max_size=8), min_size=1, max_size=6),
    mark=st.sampled_from(("", *MARKS)),
)
def test_phones_come_back(make: object, words: list[list[str]], mark: str) -> None:
    vocabulary = make()  # type: ignore[operator]
    text = " ".join("".join(word) for word in words) + mark
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert vocabulary.tokens[UNKNOWN] not in ids
    assert vocabulary.encode(vocabulary.decode(ids)) == ids


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from((*FIDEL, " ", "።", "?")), max_size=40).map(lambda t: " ".join(t.split())))
def test_fidel_comes_back(text: str) -> None:
    vocabulary = grown_by_fidel()
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_the_whole_fidel_comes_back() -> None:
    vocabulary = grown_by_fidel()
    for letter in FIDEL:
        assert vocabulary.decode(vocabulary.encode(letter)) == letter


def test_no_unknown_token_on_ten_thousand_lines() -> None:
    vocabulary = grown_by_fidel()
    unknown = vocabulary.tokens[UNKNOWN]
    assert not any(unknown in vocabulary.encode(line) for line in amharic_lines(10_000))


def test_no_unknown_token_on_a_real_corpus(shared: Path) -> None:
    lines: list[str] = []
    for path in sorted((shared / "gold").rglob("*.txt")):
        lines += path.read_text(encoding="utf-8").splitlines()
    keep = {*FIDEL, *MARKS, " "}
    lines = [" ".join("".join(c for c in line if c in keep).split()) for line in lines][:10_000]
    lines = [line for line in lines if line]
    if not lines:
        pytest.skip("no text corpora in the gold data")
    vocabulary = official_like().grow_fidel(lines[:2000], FIDEL, 500, marks=MARKS)
    unknown = vocabulary.tokens[UNKNOWN]
    for line in lines:
        ids = vocabulary.encode(line)
        assert unknown not in ids
        assert vocabulary.decode(ids) == line


def test_merged_pieces_shorten_amharic() -> None:
    vocabulary, lines = grown_by_fidel(), amharic_lines(300)
    letters = sum(len(line) for line in lines)
    assert sum(len(vocabulary.encode(line)) for line in lines) < 0.9 * letters


@pytest.mark.parametrize("make", [grown_by_phones, grown_by_fidel])
def test_growing_keeps_every_old_id_and_old_texts(make: object) -> None:
    old, grown = official_like(), make()  # type: ignore[operator]
    assert {token: grown.tokens[token] for token in old.tokens} == old.tokens
    assert (grown.start, grown.stop) == (101, 0)
    assert min(grown.added_to(old).values()) == old.size == 141
    assert grown.size == old.size + len(grown.added_to(old))
    if grown.spelling == "text":
        for text in ("the ship sails in.", "these ants"):
            assert grown.encode(text, "en") == old.encode(text, "en")


def test_letters_of_two_phones_never_merge() -> None:
    old, grown = official_like(), grown_by_phones()
    assert len(old.encode("tan", "en")) == 3  # tag, t, an
    assert grown.pieces("tan") == ["t", "an"]
    assert grown.encode("tan")[1:] == [grown.tokens[phone] for phone in ("t", "a", "n")]


def test_growing_twice_changes_nothing() -> None:
    once = grown_by_phones()
    assert once.grow_phones(PHONES, marks=MARKS).fingerprint == once.fingerprint
    assert official_like().grow_phones(PHONES, marks=MARKS).text == once.text


def test_fresh_vocabularies_have_their_signs_first() -> None:
    assert [by_phones().tokens[token] for token in (*SPECIALS, "[am]")] == [0, 1, 2, 3, 4]
    assert by_phones().size == len(by_phones().tokens)


def test_unreadable_text_is_refused_by_name() -> None:
    with pytest.raises(TextError, match="'§'"):
        grown_by_fidel().encode("ሰላም §")
    with pytest.raises(TextError, match=r"no language \[fr\]"):
        grown_by_fidel().encode("ሰላም", "fr")
    with pytest.raises(TextError, match=r"\[START\]"):
        grown_by_fidel().encode("ሰላም[START]")


def test_files_keep_their_bytes(tmp_path: Path) -> None:
    grown = grown_by_phones()
    grown.save(tmp_path / "vocab.json")
    again = Vocabulary.load(tmp_path / "vocab.json", spelling="phones", symbols=grown.symbols)
    again.save(tmp_path / "again.json")
    assert (tmp_path / "vocab.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    assert again.fingerprint == grown.fingerprint
    assert Vocabulary.load(tmp_path / "vocab.json").fingerprint != grown.fingerprint  # another spelling


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "no vocabulary"), ('{"model": 3}', "no vocabulary"), ("ሀ", "no vocabulary")],
)
def test_files_of_another_kind_are_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        Vocabulary.load(tmp_path / "vocab.json")


def test_vocabularies_without_the_models_signs_are_refused() -> None:
    content = json.loads(by_phones().text)
    content["model"]["vocab"].pop("[START]")
    content["added_tokens"] = [entry for entry in content["added_tokens"] if entry["content"] != "[START]"]
    with pytest.raises(CheckpointError, match=r"lacks the token \[START\]"):
        Vocabulary.from_text(json.dumps(content))


def test_a_vocabulary_of_another_model_is_no_growth() -> None:
    with pytest.raises(CheckpointError, match="has id"):
        by_phones().added_to(official_like())
