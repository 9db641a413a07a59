"""The recording script: every sound is in it, and it covers more than chance does."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dimts.base.errors import ConfigError, DataError, SourceError
from dimts.data.script import Script, ScriptSettings, as_table, choose, read_texts
from dimts.data.sources import find_recordings
from dimts.text.frontend import ChainSettings, Frontend, FrontendSettings


@pytest.fixture(scope="module")
def frontend() -> Frontend:
    return Frontend(FrontendSettings(g2p=ChainSettings(backends=("rules",))))


def diphones(script: Script) -> set[tuple[str, str]]:
    return {pair for one in script.phones for pair in zip(("#", *one), (*one, "#"), strict=True)}


def test_greedy_beats_chance_and_holds_every_phone(shared: Path, frontend: Frontend) -> None:
    lines = (shared / "gold" / "text" / "amharic_news.txt").read_text(encoding="utf-8").splitlines()[:1500]
    chosen = choose(lines, frontend, ScriptSettings(count=50))
    assert len(chosen.sentences) == len(set(chosen.sentences)) == 50
    assert chosen.missing == ()
    assert len(diphones(chosen)) == chosen.covered
    rng = random.Random(0)
    chance = []
    for _ in range(5):
        rng.shuffle(lines)
        drawn = choose(lines[:100], frontend, ScriptSettings(count=80, max_candidates=100))
        said, phones = set(), 0
        for one in drawn.phones:  # as many phones as the script has
            if phones < sum(map(len, chosen.phones)):
                said |= set(zip(("#", *one), (*one, "#"), strict=True))
                phones += len(one)
        chance.append(len(said))
    assert chosen.covered > 1.05 * max(chance)


def test_the_first_sentences_matter_most(shared: Path, frontend: Frontend) -> None:
    lines = (shared / "gold" / "text" / "amharic_news.txt").read_text(encoding="utf-8").splitlines()[:400]
    few = choose(lines, frontend, ScriptSettings(count=10))
    more = choose(lines, frontend, ScriptSettings(count=20))
    assert more.sentences[:10] == few.sentences
    assert few.covered > more.covered / 2


def test_only_what_can_be_read_is_chosen(frontend: Frontend) -> None:
    texts = [
        "Good morning, this is English text only",
        "ሀ",
        "ትናንት ማታ ኃይለኛ ነፋስ ስለነበር ዛፎች ወደቁ",
        "ትናንት ማታ ኀይለኛ ነፋስ ስለነበር፣ ዛፎች ወደቁ።",
    ]
    assert choose(texts, frontend).sentences == (texts[2],)
    with pytest.raises(DataError, match="no Amharic sentence"):
        choose(texts[:2], frontend)


def test_the_table_is_one_that_prepare_reads(tmp_path: Path, frontend: Frontend) -> None:
    found = choose(["ትናንት ማታ ኃይለኛ ነፋስ ስለነበር ዛፎች ወደቁ።"], frontend)
    (tmp_path / "metadata.tsv").write_text(as_table(found), encoding="utf-8")
    (one,) = find_recordings([tmp_path])
    assert (one.name, one.text) == ("s0001", found.sentences[0])
    assert one.problem is not None
    assert one.problem.kind == "no_audio"  # until it is recorded


def test_texts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match="UTF-8"):
        list(read_texts([tmp_path / "a.txt"]))
    with pytest.raises(SourceError, match="No such file"):
        list(read_texts([tmp_path / "b.txt"]))


@pytest.mark.parametrize("wrong", [{"count": 0}, {"min_phones": 200}, {"max_candidates": 5}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        ScriptSettings(**wrong)
