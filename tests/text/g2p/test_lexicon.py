"""User lexicons are written, read, mended and checked; the tables that come with dimts are sound."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import ConfigError
from dimts.text.g2p.gemination_model import GeminationModel, features
from dimts.text.g2p.letters import lengths_of, unmarked
from dimts.text.g2p.lexicon import Entry, Lexicon, add, built_in, load, parse_table, problems, save
from dimts.text.g2p.morphology import Morphology, family_of
from dimts.text.g2p.rules import Tables
from dimts.text.phones import inventory

PHONES = st.lists(st.sampled_from(sorted(inventory())), min_size=1, max_size=8).map(tuple)
ENTRIES = st.lists(
    st.builds(
        Entry,
        st.text(st.sampled_from("ሀለሐመሠረሰሸቀበ"), min_size=1, max_size=5),
        PHONES,
        st.sampled_from(["", "from Abebe"]),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(ENTRIES)
def test_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
    path = tmp_path_factory.mktemp("lexicon") / "mine.tsv"
    save(path, entries)
    assert [(entry.word, entry.phones, entry.note) for entry in load(path)] == [
        (entry.word, entry.phones, entry.note) for entry in entries
    ]


def test_adding_replaces_and_reports(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    assert add(path, "ሰላም", ("s", "ə", "l", "a", "m")) == []
    replaced = add(path, "ሰላም", ("s", "ə", "lː", "a", "m"), "so my village says")
    assert [entry.phones for entry in replaced] == [("s", "ə", "l", "a", "m")]
    assert [(entry.phones, entry.note) for entry in load(path)] == [
        (("s", "ə", "lː", "a", "m"), "so my village says")
    ]


def test_first_row_is_spoken(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("# mine\n\nአለ\ta lː ə\nአለ\ta l ə\n", encoding="utf-8")
    assert Lexicon(path).phones(["አለ", "ቤት"]) == [("a", "lː", "ə"), ()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("ሰላም\n", "row 1: not 'word TAB phones'"), ("ሰላም\ts ə θ\n", "row 1: 'θ'"), ("\ta\n", "row 1")],
)
def test_bad_rows_are_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        load(path)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such lexicon"):
        load(tmp_path / "none.tsv")
    (tmp_path / "latin1.tsv").write_bytes(b"\xff\xfe\t\xe9")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "latin1.tsv")


def test_problems() -> None:
    assert problems(Entry("ሰላም", ("s", "ə", "l", "a", "m"))) == []
    assert problems(Entry("እናት", ("ɨ", "nː", "a", "t"))) == []
    codes = {
        ("ሰላም", "s a l a m"): "text.phones_against_letters",
        ("abc", "a"): "text.word_without_fidel",
        ("ሰላም", "sː ə l a m"): "text.long_at_beginning",
    }
    for (word, phones), code in codes.items():
        assert problems(Entry(word, tuple(phones.split())))[0].code == code


@pytest.mark.parametrize("name", ["lexicon.tsv", "geezorg/lexicon.tsv"])
def test_tables_are_sound(name: str) -> None:
    table = built_in(name)
    assert len(table.lengths) > 2000
    for code, marked in table.lengths.items():
        assert unmarked(marked) == code
        assert not lengths_of(marked)[0], f"{marked} begins with a long consonant"


def test_a_table_keeps_other_readings_and_phones() -> None:
    table = parse_table("# notes\nአለ፟\nአለ\nክረምት\tk r ə m t\n")
    assert table.lengths == {"'ale": "'ale:", "kremt": "kremt"}
    assert table.others == {"'ale": ("'ale",)}
    assert table.phones == {"kremt": ("k", "r", "ə", "m", "t")}


def test_the_lexicon_backend_knows_only_its_words() -> None:
    assert Tables().phones(["ሰኞ", "ይሰብራል"])[0] == ("s", "ə", "ɲː", "o")
    assert Tables().phones(["ስርፍጥክ"]) == [()]


@pytest.mark.parametrize(
    ("citation", "kind", "root"),
    [
        ("felege", "B", ("3", "flg")), ("bela", "A", ("2a", "bl")), ("'alefe", "A", ("0", "lf")),
        ("hEde", "H", ("hE", "hd")),
        ("xeTe", "H", ("he", "xT")), ("qoye", "W", ("2oe", "qy")), ("mesekere", "Q", ("4", "mskr")),
        ("x", "A", None),
    ],
)  # fmt: skip
def test_families_of_roots(citation: str, kind: str, root: tuple[str, str] | None) -> None:
    assert family_of(citation, kind) == root


@pytest.mark.parametrize(
    ("code", "marked"),
    [
        ("yfelgal", "yfel:gal"), ("ysebral", "ysebral"), ("yseberal", "ys:eb:eral"), ("felegx", "fel:eg-x"),
        ("alsemam", None), ("bebEtoc", "bebEtoc:"), ("yemiyasb", "yem:iyas:b"), ("yclal", "yc.lal"),
    ],
)  # fmt: skip
def test_analyses(code: str, marked: str | None) -> None:
    found = Morphology().analyse(code)
    assert (found.marked if found else None) == marked


def test_every_analysis_is_the_word_itself() -> None:
    for code in ("yfelgal", "lemesber", "yenante", "'astawqal", "bemimeTaw", "TeyeqN", "lgebaN"):
        for weight, analysis in Morphology().analyses(code):
            assert weight > 0
            assert "".join(sign for sign in analysis.marked if sign not in ":.-") == code


def test_the_model_knows_common_patterns() -> None:
    chances = GeminationModel().chances("deqeleqe")  # no such verb: four radicals, so the third is long
    assert len(chances) == len(list(features("deqeleqe"))) == 4
    assert chances[0] == 0.0
    assert all(0.0 <= chance <= 1.0 for chance in chances)
    assert chances[2] > 0.5 > chances[1]
