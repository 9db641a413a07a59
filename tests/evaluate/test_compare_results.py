"""Two results compared sentence by sentence, and many on one page."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import DataError
from dimts.evaluate.compare_results import Results, compare_results, paired_test
from dimts.evaluate.leaderboard import leaderboard


def content(name: str = "a", per: float = 0.2, count: int = 30, **changed: Any) -> dict[str, Any]:
    """What a results.json holds, as far as it is read."""
    draw = np.random.default_rng(1)
    rows = [
        {"name": f"s{number}", "per": round(per + draw.normal(0, 0.02), 4), "faults": [], "quality": 3.0}
        for number in range(count)
    ]
    mean = {"mean": per, "low": per - 0.01, "high": per + 0.01, "count": count}
    return {
        "schema": "dimts.evaluation",
        "schema_version": 1,
        "list": {"name": "amharic-tts-bench", "version": "1", "digest": "0" * 16, "sentences": count},
        "recogniser_digest": "1" * 16,
        "systems": {name: {"kind": "voice", "what": name}},
        "ranking": {"scored": False, "order": [{"name": name, "figures": {"per": mean}, "score": None}]},
        "sentences": {name: rows},
    } | changed


def write(path: Path, found: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_a_better_system_is_called_better_and_an_equal_one_is_not(tmp_path: Path) -> None:
    first = Results.load(write(tmp_path / "a.json", content(per=0.2)))
    better = Results.load(write(tmp_path / "b.json", content("b", per=0.15)))
    (found,) = compare_results(first, better)
    tests = {one.figure: one for one in found.tests}
    assert (found.first, found.second, found.sentences) == ("a", "b", 30)
    assert tests["per"].verdict == "better"
    assert tests["per"].difference.high < 0
    assert tests["per"].wilcoxon < 0.001
    assert tests["per"].sign < 0.001
    assert tests["quality"].verdict == "same"
    assert tests["quality"].wilcoxon == 1.0
    (same,) = compare_results(first, first)
    assert {one.verdict for one in same.tests} == {"same"}
    assert same.probability == 0.5
    (back,) = compare_results(better, first, ("b", "a"))
    assert {one.figure: one for one in back.tests}["per"].verdict == "worse"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_to_exchange_the_systems_turns_the_difference_round(rows: list[tuple[float, float]]) -> None:
    one, other = [row[0] for row in rows], [row[1] for row in rows]
    there, back = paired_test("per", one, other), paired_test("per", other, one)
    assert there.difference.mean == pytest.approx(-back.difference.mean, abs=1e-9)
    assert there.wilcoxon == pytest.approx(back.wilcoxon)
    assert there.sign == pytest.approx(back.sign)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"schema": "another"}, "evaluate.not_results"),
        ({"schema_version": 2}, "evaluate.results_of_other_version"),
        ({"sentences": {}}, "evaluate.results_incomplete"),
        ({"ranking": None}, "evaluate.results_incomplete"),
        ({"list": {"name": "mine", "version": "", "digest": "2" * 16}}, "evaluate.results_of_other_lists"),
        ({"recogniser_digest": "3" * 16}, "evaluate.results_of_other_recognisers"),
    ],
)
def test_what_does_not_compare_is_refused_with_a_remedy(
    tmp_path: Path, changed: dict[str, Any], code: str
) -> None:
    first = write(tmp_path / "a.json", content())
    second = write(tmp_path / "b.json", content(**changed))
    with pytest.raises(DataError) as refused:
        compare_results(Results.load(first), Results.load(second))
    assert refused.value.code == code
    assert refused.value.message.remedy()


def test_no_file_no_json_no_such_system(tmp_path: Path) -> None:
    with pytest.raises(DataError) as absent:
        Results.load(tmp_path / "nothing.json")
    assert absent.value.code == "evaluate.results_unreadable"
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError) as bad:
        Results.load(tmp_path / "bad.json")
    assert bad.value.code == "evaluate.not_results"
    one = Results.load(write(tmp_path / "a.json", content()))
    with pytest.raises(DataError) as unknown:
        compare_results(one, one, ("a", "c"))
    assert unknown.value.code == "evaluate.no_such_system"


def test_digital_silence_between_words_counts_no_more_than_a_very_clean_recording(tmp_path: Path) -> None:
    rows = [{"name": "s0", "per": 0.1, "faults": [], "snr_db": 101.0}]
    one = Results.load(write(tmp_path / "a.json", content(sentences={"a": rows})))
    assert one.values("a", "snr_db") == {"s0": 60.0}


class _Tables(html.parser.HTMLParser):
    """Collects the rows of tables, and the tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_a_leaderboard_ranks_results_of_one_list_and_names_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "one" / "results.json", content("ሀ <b>", per=0.3))
    write(tmp_path / "two" / "results.json", content("good", per=0.1))
    write(tmp_path / "other.json", content("else", list={"name": "mine", "version": "", "digest": "2" * 16}))
    write(tmp_path / "old.json", content(schema_version=0))
    write(tmp_path / "two" / "spoken" / "good" / "s1.json", {"digest": ""})
    found = leaderboard(tmp_path)
    assert len(found.tables) == 2
    assert [str(path) for path in found.refused] == ["old.json"]
    page = found.write(tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    read = _Tables()
    read.feed(page)
    names = [row[0] for row in read.rows if row]
    assert names.index("good") < names.index("ሀ <b>"), "fewer phone errors come first"
    assert "<b>" not in page
    assert not any("src" in attrs or "href" in attrs for _, attrs in read.tags), "nothing is fetched"
    headers = [attrs for tag, attrs in read.tags if tag == "th"]
    assert {attrs.get("scope") for attrs in headers} == {"col", "row"}
    assert any(attrs.get("lang") == "am" for attrs in headers)
    with pytest.raises(DataError) as empty:
        leaderboard(tmp_path / "two" / "spoken")
    assert empty.value.code == "evaluate.no_results"
