"""Written → spoken: the gold cases, our own golden table, and what must hold for any text at all."""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dimts.base.config import from_table
from dimts.base.errors import ConfigError
from dimts.text.ethiopic import fold_homophones, is_ethiopic_letter
from dimts.text.normalise import STEPS, Normaliser, NormaliseSettings, normalise
from dimts.text.phrases import PhraseSettings, breaths

GOLDEN = Path(__file__).parent.parent / "golden" / "text.tsv"
SETTINGS = (
    NormaliseSettings(),
    NormaliseSettings(latin="hand_on"),
    NormaliseSettings(latin="spell", emoji="read", western_clock="ethiopian"),
    NormaliseSettings(latin="drop", calendar="gregorian"),
    NormaliseSettings(off=("homophones",)),
)
NORMALISERS = tuple(map(Normaliser, SETTINGS))


def golden() -> Iterator[tuple[str, str]]:
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            written, spoken = line.split("\t")
            yield written, spoken


@pytest.mark.parametrize(("written", "spoken"), list(golden()))
def test_golden(written: str, spoken: str) -> None:
    assert normalise(written, NormaliseSettings(off=("homophones",))) == spoken


def test_gold_cases(shared: Path) -> None:
    """All of ../shared/gold/text_cases.tsv, compared as its scorer compares."""
    spec = importlib.util.spec_from_file_location("text_score", shared / "gold" / "text_score.py")
    assert spec
    assert spec.loader
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    wrong = []
    with (shared / "gold" / "text_cases.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        keep = {
            "keep_signs": row["category"] == "punct",
            "keep_letters": row["category"] in ("homophone", "labiovelar"),
        }
        expected = [row["expected"], *filter(None, (row["alt"] or "").split(" | "))]
        said = normalise(row["input"])
        if scorer.canon(said, **keep) not in [scorer.canon(one, **keep) for one in expected]:
            wrong.append((row["input"], said, expected))
    assert len(wrong) <= 0.03 * len(rows), wrong


# ---------------------------------------------------------------- for any text
ETHIOPIC = st.characters(min_codepoint=0x1200, max_codepoint=0x139F)
PIECES = st.sampled_from(
    [
        "0",
        "12",
        "1974",
        "2016",
        "0911223344",
        "1,000",
        "3.5",
        ".",
        ",",
        ":",
        "፡",
        "፡፡",
        "።",
        "፣",
        "?",
        "/",
        "-",
        "–",
        "+",
        "=",
        "<",
        ">",
        "(",
        ")",
        "[",
        "]",
        "«",
        "»",
        "'",
        '"',
        "&",
        "%",
        "°",
        "$",
        "€",
        "#",
        "@",
        "_",
        "*",
        "½",
        "²",
        "①",
        "Ⅷ",
        "፩",
        "፲፱፻",
        "፼",
        "ዓ.ም",
        "እ.ኤ.አ",
        "ዶ/ር",
        "ት/ቤ",
        "ኛ",
        "ቱ",
        "ም",
        "ው",
        "ለ",
        "በ",
        "ከ",
        "የ",
        "ሰዓት",
        "ብር",
        "ሺህ",
        "ሰላም",
        "km",
        "www.",
        ".com",
        "a@b.et",
        "WHO",
        "/səlam/",
        "ዐ",
        "መስከረም",
        "COVID-19",
        "<sub",
        "</sub>",
        "<say-as",
        "😊",
        "א",
        "中",
        "٣",
        "０",
        "é",
        "Ж",
    ]
)
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet=st.one_of(ETHIOPIC, st.characters())),
    st.lists(st.one_of(PIECES, PIECES, ETHIOPIC, st.sampled_from([" ", "", "\n"])), max_size=14).map("".join),
)
ANYTHING = given(TEXTS, st.sampled_from(NORMALISERS))


@ANYTHING
@example("²፼①Ⅷ٣０½", NORMALISERS[0])
def test_no_digit_and_no_ethiopic_numeral_is_left(text: str, normaliser: Normaliser) -> None:
    spoken = normaliser.spoken(text)
    assert not [char for char in spoken if char.isdigit() or (char.isnumeric() and not char.isalpha())]


@ANYTHING
@example("ዓ\u200b.ም", NORMALISERS[0])
@example("+\n+1", NORMALISERS[0])
def test_a_spoken_form_is_read_as_it_is(text: str, normaliser: Normaliser) -> None:
    spoken = normaliser.spoken(text)
    assert normaliser.spoken(spoken) == spoken


@ANYTHING
def test_spans_cover_the_text_and_lose_no_word(text: str, normaliser: Normaliser) -> None:
    whole = normaliser(text)
    assert whole.spoken == normaliser.spoken(text)
    assert "".join(span.written for span in whole.spans) == whole.written
    assert all(whole.written[span.start : span.end] == span.written for span in whole.spans)
    for span in whole.spans:
        if span.kind == "text":  # words that no step took come out letter for letter
            assert letters(span.written) == letters(span.spoken)
        elif letters(span.written):  # words that a step took are said somehow, or the step says why not
            assert span.spoken or span.why


def letters(text: str) -> str:
    return fold_homophones("".join(filter(is_ethiopic_letter, text)))


@ANYTHING
def test_lines_are_read_one_by_one(text: str, normaliser: Normaliser) -> None:
    assert normaliser.spoken(text) == "\n".join(map(normaliser.spoken, text.split("\n")))


@ANYTHING
def test_the_spoken_form_is_tidy(text: str, normaliser: Normaliser) -> None:
    for line in normaliser.spoken(text).split("\n"):
        assert line == line.strip()
        assert "  " not in line
        assert not re.search(" [።፣፤፥፦?!]|[።፣፤፥፦?!]{2}|^[።፣፤፥፦?!]", line)
        assert all(char.isalpha() or char in " ።፣፤፥፦?!\u135d\u135e\u135f'-" for char in line), line


@ANYTHING
@settings(max_examples=60)
def test_breaths_say_the_words_of_the_spoken_form(text: str, normaliser: Normaliser) -> None:
    said = list(breaths(text, normaliser, PhraseSettings()))
    words = [token.spoken for breath in said for token in breath.tokens]
    assert words == re.sub("[።፣፤፥፦?!]", " ", normaliser.spoken(text)).split()
    assert all(breath.tokens or breath.pause_seconds for breath in said)


@pytest.mark.parametrize(
    "char",
    [
        "1/",
        "(",
        "[",
        "<",
        "1.",
        "1,",
        "a.",
        "ሀ.",
        "ሀ/",
        "፩",
        "9",
        "+",
        "::",
        "a@",
        "#",
        "&",
        "<a ",
        "1-",
        "ሀ",
        "'",
        "9ዐ",
        "<!--",
    ],
)
def test_long_repeats_are_read(char: str) -> None:
    spoken = normalise(char * 4000)
    assert not any(letter.isdigit() for letter in spoken)


# ---------------------------------------------------------------- settings
def test_every_step_can_be_listed_and_shows_an_example_that_is_true() -> None:
    for step in STEPS:
        assert step.what
        if step.written and step.name not in ("pauses", "telephone"):
            assert (
                normalise(
                    step.written, NormaliseSettings(off=("homophones",) if step.name != "homophones" else ())
                )
                == step.spoken
            )


@pytest.mark.parametrize(
    ("step", "written", "on", "off"),
    [
        ("homophones", "ሠላም", "ሰላም", "ሠላም"),
        ("pauses", "[pause 300ms]ሰላም", "ሰላም", "ፖዝ ሶስት መቶ ሚሊ ሰከንድ ሰላም"),
        ("ssml", '<sub alias="ሰላም">ቤት</sub>', "ሰላም", "ሳብ ኤሊያስ እኩል ይሆናል ሰላም ቤት ሳብ"),
        ("phones", "/səlam/", "ሰላም", "ሴላም"),
        ("addresses", "ena.et", "ኢ ኤን ኤ ነጥብ ኢ ቲ", "እና። ኤት"),
        ("hashtags", "#አዲስ2016", "አዲስ ሁለት ሺህ አስራ ስድስት", "አዲስ ሁለት ሺህ አስራ ስድስት"),
        ("telephone", "ስልክ 8100", "ስልክ ስምንት አንድ ዜሮ ዜሮ", "ስልክ ስምንት ሺህ አንድ መቶ"),
        ("dates", "12/01/2016", "መስከረም አስራ ሁለት ሁለት ሺህ አስራ ስድስት", "አስራ ሁለት ስላሽ ዜሮ አንድ ስላሽ ሁለት ሺህ አስራ ስድስት"),
        ("times", "2:30", "ሁለት ሰአት ተኩል", "ሁለት ለሰላሳ"),
        ("money", "$5", "አምስት ዶላር", "ዶላር አምስት"),
        ("scores", "3-1", "ሶስት ለአንድ", "ከሶስት እስከ አንድ"),
        ("arithmetic", "6 - 4", "ስድስት ሲቀነስ አራት", "ስድስት አራት"),
        ("ranges", "10-15", "ከአስር እስከ አስራ አምስት", "አስር አስራ አምስት"),
        ("fractions", "3/4", "ሶስት አራተኛ", "ሶስት አራት"),
        ("units", "5km", "አምስት ኪሎ ሜትር", "አምስት ኬ ኤም"),
        ("numbers", "በ10", "በአስር", "በአንድ ዜሮ"),
        ("ethiopic", "፲፱፻፺፯", "አስራ ዘጠኝ መቶ ዘጠና ሰባት", "አስር ዘጠኝ መቶ ዘጠና ሰባት"),
        ("abbreviations", "ወ/ሮ", "ወይዘሮ", "ወ ሮ"),
        ("latin", "AU", "ኤ ዩ", ""),
        ("signs", "ሰላም:: ደህና", "ሰላም። ደህና", "ሰላም ደህና"),
    ],
)
def test_every_step_can_be_switched_off(step: str, written: str, on: str, off: str) -> None:
    assert normalise(written) == on
    assert normalise(written, NormaliseSettings(off=(step,))) == off


def test_an_unknown_step_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="dates"):
        NormaliseSettings(off=("date",))


def test_settings_come_from_a_table() -> None:
    chosen = from_table(NormaliseSettings, {"replace": {"ኢቲቪ": "ኢ ቲ ቪ"}, "emoji": "read"}, "text.normalise")
    assert normalise("ኢቲቪ 😊", chosen) == "ኢ ቲ ቪ ፈገግታ"


def test_own_replacements_come_first_and_match_whole_words() -> None:
    own = NormaliseSettings(replace={"ዶ/ር": "ሐኪም", "AU": "የአፍሪካ ኅብረት", "ቁ5": "ቁጥር 5"})
    assert normalise("ዶ/ር AU ቁ5", own) == "ሀኪም የአፍሪካ ህብረት ቁጥር አምስት"
    assert normalise("AUX ቁ55", own) == normalise("AUX ቁ55")
    assert Normaliser(own)("ዶ/ር").spans[0].kind == "replace"
    other = NormaliseSettings(replace={"AU": "ኤዩ"})
    assert normalise("AU", other) == "ኤዩ"


def test_two_calendars() -> None:
    assert normalise("1/2/2016") == "ጥቅምት አንድ ሁለት ሺህ አስራ ስድስት"
    assert normalise("1/2/2016", NormaliseSettings(calendar="gregorian")) == "ፌብሩዋሪ አንድ ሁለት ሺህ አስራ ስድስት"


def test_the_western_clock_moves_only_when_asked_or_marked() -> None:
    assert normalise("14:30") == "አስራ አራት ሰአት ተኩል"
    assert normalise("14:30", NormaliseSettings(western_clock="ethiopian")) == "ከቀኑ ስምንት ሰአት ተኩል"
    assert normalise("2:30 PM") == "ከቀኑ ስምንት ሰአት ተኩል"
    assert normalise("ከምሽቱ 2:30") == "ከምሽቱ ሁለት ሰአት ተኩል"


def test_latin_words_by_setting() -> None:
    word = "ብራንድ Zara"
    assert normalise(word) == "ብራንድ ዛራ"
    assert normalise(word, NormaliseSettings(latin="spell")) == "ብራንድ ዜድ ኤ አር ኤ"
    assert normalise(word, NormaliseSettings(latin="hand_on")) == "ብራንድ Zara"
    assert normalise(word, NormaliseSettings(latin="drop")) == "ብራንድ"


def test_what_is_not_said_is_named_with_its_reason() -> None:
    spans = Normaliser()("ሰላም 中国 😊").spans
    assert [(span.kind, span.spoken) for span in spans if span.kind != "text"] == [
        ("foreign", ""),
        ("emoji", ""),
    ]
    assert all(span.why for span in spans)


def test_spans_point_into_the_text_even_where_signs_are_invisible() -> None:
    text = "\ufeffበ\u200b10 ዓ\u200d.ም"
    whole = Normaliser()(text)
    assert [(span.written, span.kind) for span in whole.spans] == [
        ("\ufeffበ\u200b10", "number"),
        (" ", "text"),
        ("ዓ\u200d.ም", "abbreviation"),
    ]


def documented() -> Iterator[tuple[str, str, str]]:
    """Category, written form and reading of the examples in docs/text.md that are given whole."""
    page = (Path(__file__).parents[2] / "docs" / "text.md").read_text(encoding="utf-8")
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 4 or "(U+" in line:
            continue
        for written, read in zip(cells[1].split(" · "), cells[2].split(" · "), strict=False):
            if re.search("[ሀ-ፚ]", read) and "…" not in read:
                yield cells[0], written.strip(), read.strip()


@pytest.mark.parametrize(("category", "written", "read"), list(documented()))
def test_the_documentation_tells_the_truth(category: str, written: str, read: str) -> None:
    off = () if category.startswith("homophones") else ("homophones",)
    assert normalise(written, NormaliseSettings(off=off)) == read


@pytest.mark.parametrize("latin", ["read", "spell", "hand_on", "drop"])
def test_a_hashtag_longer_than_any_word_reads_as_itself(latin: str) -> None:
    chosen = NormaliseSettings(latin=latin)  # type: ignore[arg-type]
    said = normalise("#WWHO" + "WHO" * 12 + "W", chosen)
    assert normalise(said, chosen) == said
