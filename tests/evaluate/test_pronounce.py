"""Scores against gold lists, by hand and against the scorer that comes with the lists."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dimts.base.errors import ConfigError, DataError
from dimts.evaluate.pronounce import Gold, backend, score

Phones = tuple[str, ...]


@pytest.fixture
def gold(tmp_path: Path) -> Gold:
    path = tmp_path / "gold.tsv"
    path.write_text(
        "ገና\tɡ ə nː a\nገና\tɡ ə n a\nልክ\tl ɨ kː\nአለ\tʔ a l ə\n# a comment\nbad row\nx\t%\n", encoding="utf-8"
    )
    return Gold.load(path)


def test_a_list_with_alternatives_and_rows_that_cannot_be_read(gold: Gold) -> None:
    assert list(gold.words) == ["ገና", "ልክ", "አለ"]
    assert len(gold.words["ገና"]) == 2
    assert [row.parameters["row"] for row in gold.unreadable] == [6, 7]
    assert gold.words["አለ"] == (("a", "l", "ə"),), "an initial glottal stop is not scored"


def test_scores_by_hand(gold: Gold) -> None:
    answers = {"ገና": ("ɡ", "ə", "n", "a"), "ልክ": ("l", "k"), "አለ": ("a", "lː", "ə")}

    def say(words: Sequence[str]) -> list[Phones]:
        return [answers[word] for word in words]

    found = score("mine", say, gold)
    assert found.wrong == 2
    assert found.wer == pytest.approx(2 / 3)
    assert found.wer_without_length == pytest.approx(1 / 3)
    assert found.phones.rate == pytest.approx(3 / 10)
    assert (
        found.gemination.true_positives,
        found.gemination.false_positives,
        found.gemination.false_negatives,
    ) == (
        0,
        1,
        1,
    )
    assert (
        found.epenthesis.true_positives,
        found.epenthesis.false_positives,
        found.epenthesis.false_negatives,
    ) == (
        0,
        0,
        1,
    )
    assert [word for word, _, _ in found.mistakes] == ["ልክ", "አለ"]


def test_no_answer_is_wrong(gold: Gold) -> None:
    found = score("silent", lambda words: [() for _ in words], gold)
    assert found.unanswered == found.wrong == 3
    assert found.phones.rate == 1.0
    assert found.gemination.f1 == 0.0


def test_unusable_lists_and_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        Gold.load(tmp_path / "none.tsv")
    (tmp_path / "empty.tsv").write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match="no pronunciation"):
        Gold.load(tmp_path / "empty.tsv")
    with pytest.raises(ConfigError, match="rulez"):
        backend("rulez")


@pytest.mark.parametrize("name", ["lexibank", "fsi", "wikipron"])
def test_agrees_with_the_scorer_of_the_lists(shared: Path, tmp_path: Path, name: str) -> None:
    path = shared / "gold" / f"{name}.dev.tsv"
    known = Gold.load(path)
    say = backend("rules")
    ours = score("rules", say, known)
    words = list(known.words)
    answers = tmp_path / "answers.tsv"
    rows = zip(words, say(words), strict=True)
    answers.write_text("".join(f"{word}\t{' '.join(phones)}\n" for word, phones in rows), encoding="utf-8")
    scorer = subprocess.run(
        [sys.executable, str(shared / "gold" / "g2p_score.py"), str(path), str(answers)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = json.loads(scorer.stdout)
    assert 100 * ours.wer == pytest.approx(theirs["strict"]["wer"], abs=0.01)
    assert 100 * ours.phones.rate == pytest.approx(theirs["strict"]["per"], abs=0.01)
    assert 100 * ours.wer_without_length == pytest.approx(theirs["no_length"]["wer"], abs=0.01)
    assert ours.gemination.f1 == pytest.approx(theirs["gemination"]["f1"], abs=0.001)
    assert ours.epenthesis.f1 == pytest.approx(theirs["epenthesis"]["f1"], abs=0.001)
