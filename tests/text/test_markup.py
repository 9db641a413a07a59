"""Control in the text: pauses, phones between strokes, SSML; what is malformed is read, not lost."""

from __future__ import annotations

import pytest

from dimts.text.markup import read_rate
from dimts.text.normalise import Normaliser, NormaliseSettings

READ = Normaliser(NormaliseSettings(off=("homophones",)))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ('<say-as interpret-as="digits">2016</say-as>', "ሁለት ዜሮ አንድ ስድስት"),
        ('<say-as interpret-as="telephone">+251 911</say-as>', "ፕላስ ሁለት አምስት አንድ ዘጠኝ አንድ አንድ"),
        ('<say-as interpret-as="characters">AU2፪ሀ</say-as>', "ኤ ዩ ሁለት ሁለት ሀ"),
        ('<say-as interpret-as="cardinal">0911</say-as>', "ዘጠኝ መቶ አስራ አንድ"),
        ('<say-as interpret-as="ordinal">9</say-as>', "ዘጠነኛ"),
        ('<say-as interpret-as="year">1974</say-as>', "አስራ ዘጠኝ መቶ ሰባ አራት"),
        ('<say-as interpret-as="date" format="dmy">5/1/2016</say-as>', "መስከረም አምስት ሁለት ሺህ አስራ ስድስት"),
        ('<say-as interpret-as="date" format="ymd">2016-13-05</say-as>', "ጳጉሜ አምስት ሁለት ሺህ አስራ ስድስት"),
        ('<say-as interpret-as="time">2:30</say-as>', "ሁለት ሰዓት ተኩል"),
        ('<say-as interpret-as="mystery">በ5</say-as>', "በአምስት"),
        ('<sub alias="የዓለም ጤና ድርጅት">WHO</sub> ዛሬ', "የዓለም ጤና ድርጅት ዛሬ"),
        ('<sub alias="በ10 ሰዓት">x</sub>', "በአስር ሰዓት"),
        ('<phoneme alphabet="ipa" ph="səlam">ሰላም</phoneme>', "ሰላም"),
        ('<phoneme ph="QQ">ሰላም</phoneme>', "ሰላም"),
        ('<speak><p><s>ሰላም <break time="300ms"/> ደህና</s></p></speak>', "ሰላም ደህና"),
        ("<!-- አይነበብም -->ሰላም", "ሰላም"),
        ("ሰላም &amp; ደህና &lt; &#5029;", "ሰላም እና ደህና Ꭵ".replace("Ꭵ", "").strip()),
        ("<b>ሰላም</b>", "ሰላም"),
        ('<say-as interpret-as="digits">12', "አስራ ሁለት"),
        ("ሀ < ለ > መ", "ሀ ለ መ"),
        ("[ሰላም]", "ሰላም"),
        ("/səlam/ ለዓለም", "ሰላም ለዓለም"),
        ("/አዲስ አበባ/", "አዲስ አበባ"),
        ("5/8", "አምስት ስምንተኛ"),
    ],
)
def test_control(text: str, spoken: str) -> None:
    assert READ.spoken(text) == spoken


def test_unknown_tags_are_named() -> None:
    kinds = {
        span.written: str(span.why) for span in READ("<wobble>ሰላም</wobble>").spans if span.kind == "markup"
    }
    assert "unknown tag <wobble>" in kinds["<wobble>"]


def test_markup_inside_markup_is_not_run() -> None:
    assert READ.spoken('<sub alias="[pause 3s] ሰላም">x</sub>').endswith("ሰላም")
    assert not [span for span in READ('<sub alias="[pause 3s] ሰላም">x</sub>').spans if span.kind == "pause"]


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("slow", 0.8),
        ("90%", 0.9),
        ("+10%", 1.1),
        ("-10%", 0.9),
        ("1.2", 1.2),
        ("500%", 2.0),
        ("0.01", 0.5),
        ("", None),
        ("x", None),
    ],
)
def test_rates(written: str, rate: float | None) -> None:
    assert read_rate(written) == (pytest.approx(rate) if rate is not None else None)


def test_a_pause_is_bounded() -> None:
    span = READ("[pause 999999s]").spans[0]
    assert (span.kind, span.value) == ("pause", "60")
