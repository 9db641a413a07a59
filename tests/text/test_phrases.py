"""Breaths: cut where a speaker would pause, never empty, never a single letter, under the limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import ConfigError
from dimts.text.normalise import Normaliser, NormaliseSettings
from dimts.text.phrases import Breath, PhraseSettings, breaths, syllables

READ = Normaliser(NormaliseSettings(off=("homophones",)))
USUAL = PhraseSettings()


def said(text: str, settings: PhraseSettings = USUAL) -> list[Breath]:
    return list(breaths(text, READ, settings))


def spoken(text: str, settings: PhraseSettings = USUAL) -> list[str]:
    return [breath.spoken for breath in said(text, settings)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ሰላም ነው። እንዴት ነህ?", ["ሰላም ነው።", "እንዴት ነህ?"]),
        ("ሰላም ነው:: እንዴት ነህ፧ እሺ በቃ!", ["ሰላም ነው።", "እንዴት ነህ?", "እሺ በቃ!"]),
        ("ሰላም ነው. እንዴት ነህ?", ["ሰላም ነው።", "እንዴት ነህ?"]),
        ("አንድ ሁለት፨ ሦስት አራት", ["አንድ ሁለት።", "ሦስት አራት"]),
        ("ዶ.ር አበበ በ2016 ዓ.ም. መጡ።", ["ዶክተር አበበ በሁለት ሺህ አስራ ስድስት ዓመተ ምህረት መጡ።"]),
        ("3.5 ኪ.ሜ. ሄደ።", ["ሦስት ነጥብ አምስት ኪሎ ሜትር ሄደ።"]),
        ("«ና። እንሂድ።» አለ። ሄዱ በቃ።", ["ና። እንሂድ። አለ።", "ሄዱ በቃ።"]),
        ("እ.ኤ.አ. በ2024 ተጀመረ።", ["እንደ ኤውሮፓ አቆጣጠር በሁለት ሺህ ሃያ አራት ተጀመረ።"]),
        ("መስመር አንድ\nመስመር ሁለት", ["መስመር አንድ", "መስመር ሁለት"]),
    ],
)
def test_sentences_end_at_their_stops_and_nowhere_else(text: str, expected: list[str]) -> None:
    assert spoken(text) == expected


def test_one_letter_joins_its_neighbour() -> None:
    assert spoken("ሰላም ነው። ሀ። እንሂድ።") == ["ሰላም ነው። ሀ።", "እንሂድ።"]
    assert spoken("ሀ። እንሂድ።") == ["ሀ። እንሂድ።"]
    assert spoken("ሀ") == ["ሀ"]


def test_nothing_readable_gives_nothing() -> None:
    for text in ("", "   \n ", "።።", "😊", "«»"):
        assert said(text) == []


def test_a_long_sentence_is_cut_at_clause_marks_before_anything_else() -> None:
    long = (
        "የጋዜጣው ከፍተኛ እለታዊ ህትመት በናይጄሪያ የሚሰራጨው ሰላሳ ሰባት ሺህ ኮፒ ሲሆን፣ ዝቅተኛው "
        "ደግሞ በኢትዮጵያ የሚታተመው አምስት ሺህ ኮፒ እንደሆነ ተጠቅሷል።"
    )
    assert spoken(long, PhraseSettings(max_characters=80)) == [
        "የጋዜጣው ከፍተኛ እለታዊ ህትመት በናይጄሪያ የሚሰራጨው ሰላሳ ሰባት ሺህ ኮፒ ሲሆን፣",
        "ዝቅተኛው ደግሞ በኢትዮጵያ የሚታተመው አምስት ሺህ ኮፒ እንደሆነ ተጠቅሷል።",
    ]


def test_without_marks_it_is_cut_at_a_conjunction_or_after_a_verb() -> None:
    long = "ልጁ ወደ ትምህርት ቤት ሄዶ ብዙ ነገር ተማረ ነገር ግን ወደ ቤቱ ሲመለስ ሁሉንም ረስቶት ነበር"
    assert spoken(long, PhraseSettings(max_characters=50))[1].startswith("ነገር ግን")
    converb = "በሩን ከፍቶ ወደ ውስጥ ገብቶ ጠረጴዛውን አስተካክሎ መጽሐፉን አነበበ"
    assert spoken(converb, PhraseSettings(max_characters=40))[0].endswith("አስተካክሎ")


def test_a_number_is_not_cut_where_another_border_is_near() -> None:
    text = "በሀገሪቱ ውስጥ የሚገኙ ሰዎች ቁጥር 123,456,789 መድረሱን መግለጫው ያመለክታል"
    for breath in said(text, PhraseSettings(max_characters=60)):
        first = breath.tokens[0]
        assert first.written, f"cut inside a number: {breath.spoken}"


@given(
    st.lists(
        st.sampled_from(
            [
                "ሰላም",
                "ነው",
                "ሄዶ",
                "እና",
                "በ12",
                "123,456",
                "ዓ.ም",
                "።",
                "፣",
                "?",
                "(",
                ")",
                "«",
                "»",
                "-",
                "ዶ/ር",
                "ሀ",
                "\n",
                "አስተካክሎ",
            ]
        ),
        max_size=60,
    ),
    st.integers(10, 60),
    st.floats(1, 8),
)
def test_limits_hold_for_all_but_single_words(pieces: list[str], characters: int, seconds: float) -> None:
    settings = PhraseSettings(max_characters=characters, max_seconds=seconds)
    text = " ".join(pieces)
    words = []
    for breath in said(text, settings):
        assert breath.tokens
        words += [token.spoken for token in breath.tokens]
        scraps = sum(len(token.spoken) == 1 for token in breath.tokens)
        if len(breath.tokens) - scraps > 1:  # a single letter joins its neighbour even at the limit
            assert sum(len(token.spoken) + 1 for token in breath.tokens) <= characters + 4 * scraps
            duration = sum(syllables(token.spoken) for token in breath.tokens) / settings.syllables_per_second
            assert duration <= seconds + scraps
    assert words == READ.spoken(text).translate(str.maketrans("።፣፤፥፦?!", " " * 7)).split()


def test_news_fits_under_the_limits(shared: Path) -> None:
    text = (shared / "gold" / "text" / "amharic_news.txt").read_text(encoding="utf-8")[:60_000]
    for breath in said(text):
        assert breath.tokens
        assert len(breath.spoken) <= USUAL.max_characters + 10
        assert sum(len(token.spoken) for token in breath.tokens) > 1


# ---------------------------------------------------------------- pauses, rates, phones
def test_pauses_follow_the_kind_of_stop() -> None:
    pauses = [breath.pause_seconds for breath in said("ሰላም ነው። እንዴት ነህ?\nደህና ነኝ")]
    assert pauses == [
        USUAL.sentence_pause_seconds,
        USUAL.paragraph_pause_seconds,
        USUAL.sentence_pause_seconds,
    ]


@pytest.mark.parametrize(
    "pause", ["[pause 300ms]", "[pause 0.3s]", '<break time="300ms"/>', "<break time='0.3s' />"]
)
def test_a_pause_asked_for_ends_a_breath_and_lasts_as_long(pause: str) -> None:
    first, second = said(f"አንድ ሁለት {pause} ሦስት አራት")
    assert (first.spoken, first.pause_seconds) == ("አንድ ሁለት", 0.3)
    assert second.spoken == "ሦስት አራት"


def test_pauses_add_up_and_one_before_the_first_word_stands_alone() -> None:
    assert said("አንድ ሁለት [pause 1s][pause 500ms] ሦስት አራት")[0].pause_seconds == 1.5
    alone, word = said("[pause 2s] ሰላም ነው")
    assert (alone.tokens, alone.pause_seconds, word.spoken) == ((), 2.0, "ሰላም ነው")


def test_prosody_sets_the_rate_and_ends_the_breath() -> None:
    breaths_said = said('በፍጥነት ተናገር <prosody rate="slow">ቀስ ብለህ ተናገር</prosody> እንደ ልማድህ ተናገር።')
    assert [(breath.spoken, breath.rate) for breath in breaths_said] == [
        ("በፍጥነት ተናገር", 1.0),
        ("ቀስ ብለህ ተናገር", 0.8),
        ("እንደ ልማድህ ተናገር።", 1.0),
    ]


def test_nested_rates_return_to_the_outer_one() -> None:
    text = '<prosody rate="fast">አንድ ሁለት <prosody rate="0.9">ሦስት አራት</prosody> አምስት ስድስት</prosody> ሰባት ስምንት'
    assert [breath.rate for breath in said(text)] == [1.25, 0.9, 1.25, 1.0]


@pytest.mark.parametrize(
    "given_phones", ["/səlːam/", '<phoneme alphabet="ipa" ph="s ə lː a m">ሰላም</phoneme>']
)
def test_phones_in_the_text_reach_their_token(given_phones: str) -> None:
    tokens = said(f"እሱ {given_phones} አለ።")[0].tokens
    assert [(token.spoken, token.phones) for token in tokens] == [
        ("እሱ", ()),
        ("ሰላም", ("s", "ə", "lː", "a", "m")),
        ("አለ", ()),
    ]


def test_latin_words_handed_on_say_their_language() -> None:
    read = Normaliser(NormaliseSettings(latin="hand_on"))
    tokens = next(breaths("ይህ wonderful ነው", read, USUAL)).tokens
    assert [(token.spoken, token.lang) for token in tokens] == [
        ("ይህ", "am"),
        ("wonderful", "en"),
        ("ነው", "am"),
    ]


def test_the_first_word_of_a_written_form_carries_it() -> None:
    tokens = said("ዋጋ 1,200 ብር")[0].tokens
    assert [(token.written, token.spoken) for token in tokens] == [
        ("ዋጋ", "ዋጋ"), ("1,200 ብር", "አንድ"), ("", "ሺህ"), ("", "ሁለት"), ("", "መቶ"), ("", "ብር"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        {"max_characters": 5},
        {"max_seconds": 0.2},
        {"syllables_per_second": 0.0},
        {"min_words": 0},
        {"cut_pause_seconds": -1.0},
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        PhraseSettings(**values)  # type: ignore[arg-type]
