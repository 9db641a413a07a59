"""The public benchmark: its rows hold together, and its readings are those of the front end."""

from __future__ import annotations

from collections import Counter

import pytest

from dimts.base.errors import ConfigError
from dimts.evaluate.benchmark import NAME, SECTIONS, VERSION, benchmark, rows, section_note, spread
from dimts.evaluate.metrics import edits
from dimts.evaluate.phone_labels import LABELS, word_labels
from dimts.evaluate.systems import reference_words
from dimts.text.frontend import phonemise
from dimts.text.phones import LONG, short

DIGEST = "b9987ae85312ac02"
"""Hash of version 1. Another list is another version."""


def test_the_list_is_that_of_its_version() -> None:
    found = benchmark()
    assert (found.name, found.version) == (NAME, VERSION)
    assert found.digest == DIGEST, "give the changed list a new version"


def test_every_section_has_its_sentences_and_says_what_it_can_tell() -> None:
    counts = Counter(row.section for row in rows())
    assert set(counts) == set(SECTIONS)
    assert min(counts.values()) >= 20
    assert 280 <= counts.total() <= 320
    assert len({row.name for row in rows()}) == counts.total()
    assert len({row.text for row in rows()}) == counts.total()
    for section in SECTIONS:
        assert section_note(section).line("en")
        assert section_note(section).line("am") != section_note(section).line("en")
        assert {line.section for line in benchmark([section]).lines} == {section}


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        benchmark(["number"])
    assert refused.value.code == "evaluate.unknown_section"
    assert "numbers" in str(refused.value)


def test_all_phones_are_labels_of_the_recogniser() -> None:
    for row in rows():
        assert {label for word in word_labels(row.phones) for label in word} <= set(LABELS), row.name


def test_a_contrast_differs_in_length_or_ejection_alone_and_stands_in_its_sentence_once() -> None:
    with_contrast = [row for row in rows() if row.contrast]
    assert len(with_contrast) == 86
    for row in with_contrast:
        assert row.contrast is not None
        assert row.phones.count(row.contrast.target) == 1, row.name
        plain, other = (
            [short(phone) for phone in word] for word in (row.contrast.target, row.contrast.other)
        )
        length = [phone for phone in plain if phone != "ɨ"] == [phone for phone in other if phone != "ɨ"]
        released = [phone.replace("ʼ", "") for phone in plain] == [phone.replace("ʼ", "") for phone in other]
        assert length or released, row.name
        assert row.contrast.target != row.contrast.other
    pairs = Counter(row.name[:-1] for row in with_contrast)
    assert set(pairs.values()) == {2}, "each word is tested against the other"


def test_numbers_and_latin_words_are_read_as_the_list_says() -> None:
    for row in rows():
        if row.section in ("numbers", "latin"):
            spoken = " ".join(phrase.spoken for phrase in phonemise(row.text))
            assert reference_words(row.reading) == reference_words(spoken), row.text
            assert not any(char.isascii() and char.isalnum() for char in row.reading), row.reading


def test_phones_agree_with_the_front_end_but_for_words_read_by_context() -> None:
    differing = total = 0
    for row in rows():
        mine = [phone for word in row.phones for phone in word]
        now = [phone for word in reference_words(row.reading) for phone in word]
        found = edits(now, mine)
        differing, total = differing + found.count, total + found.reference_length
        if not row.contrast:
            assert found.rate < 0.15, (row.name, row.text)
    assert differing / total < 0.02
    assert sum(phone.endswith(LONG) for row in rows() for word in row.phones for phone in word) > 500


def test_a_shorter_list_keeps_every_section() -> None:
    chosen = spread(benchmark().lines, 40)
    assert len(chosen) == 40
    assert {line.section for line in chosen} == set(SECTIONS)
    assert spread(chosen, 100) == chosen
