"""Issues: each measure has its limit, each kind its remedy, and the set its verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dimts.base.errors import ConfigError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.data.check import (
    KINDS,
    CheckSettings,
    check_rate,
    check_sound,
    check_text,
    decide,
    rate_outliers,
    verdict,
)
from dimts.data.manifest import Utterance

SHORT = Message("data.too_short", seconds=0.1)
SETTINGS = CheckSettings()
GOOD = {
    "snr_db": 40.0,
    "clipped_share": 0.0,
    "bandwidth_hz": 11_000.0,
    "silence_share": 0.1,
    "decay_seconds": 0.3,
}


def row(number: int = 0, **more: object) -> Utterance:
    base = Utterance(
        id=f"u{number}", path="clips/a.wav", text=f"ሰላም {number}", seconds=5.0, split="train", kept=True
    )
    return replace(base, **{"licence": "CC0", "consent": "yes", "measures": GOOD, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("snr_db", 5.0, "low_snr"),
        ("snr_db", 15.0, "noisy"),
        ("clipped_share", 0.01, "clipped"),
        ("bandwidth_hz", 4000.0, "narrow_band"),
        ("silence_share", 0.8, "silence_share"),
        ("decay_seconds", 2.0, "reverberant"),
    ],
)
def test_a_measure_beyond_its_limit_is_doubted_once(name: str, value: float, kind: str) -> None:
    assert check_sound(GOOD, 3.0, SETTINGS) == []
    (issue,) = check_sound({**GOOD, name: value}, 3.0, SETTINGS)
    assert (issue.kind, issue.measured) == (kind, value)


def test_what_could_not_be_measured_is_not_with_issues() -> None:
    assert check_sound({}, 3.0, SETTINGS) == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("ሰላም ለዓለም።", []),
        ("በ2017 ዓ.ም 25 ሰዎች", []),
        ("2017", []),
        ("FIFA በአዲስ አበባ ከተማ ውድድር አካሄደ", []),
        ("good morning everyone", ["not_amharic"]),
        ("ሰላም my friend how are you", ["not_amharic"]),
        ("ቐትሪ ምስ ኣቦይ", ["other_language"]),
        ("ኣብ ኣዲስ ኣበባ", ["other_language"]),
        ("።።", ["no_text"]),
    ],
)
def test_script_and_language_are_judged(text: str, kinds: list[str]) -> None:
    assert [issue.kind for issue in check_text(text, SETTINGS)] == kinds


@pytest.mark.parametrize(
    ("phones", "seconds", "doubted"), [(60, 5.0, False), (10, 5.0, True), (200, 5.0, True), (0, 5.0, False)]
)
def test_speaking_rate_has_limits(phones: int, seconds: float, doubted: bool) -> None:
    assert bool(check_rate(phones, seconds, SETTINGS)) is doubted


def test_kinds_can_be_tolerated_and_refused() -> None:
    noisy = replace(
        row(),
        issues=(
            Issue("low_snr", SHORT),
            Issue("noisy", SHORT),
        ),
    )
    assert decide(noisy, SETTINGS).rejected_for == ("low_snr",)
    assert decide(noisy, CheckSettings(tolerate=("low_snr",))).kept
    assert decide(noisy, CheckSettings(refuse=("noisy",))).rejected_for == ("low_snr", "noisy")


def test_what_has_no_clip_or_text_cannot_be_tolerated_into_the_set() -> None:
    lost = Utterance(id="a", text="ሰላም", issues=(Issue("no_audio", SHORT),))
    assert not decide(lost, CheckSettings(tolerate=("no_audio",))).kept


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="low_snrr") as caught:
        CheckSettings(tolerate=("low_snrr",))
    assert "low_snr" in caught.value.message.remedy()


def test_a_clip_far_from_its_speakers_rate_is_noted() -> None:
    rows = [row(n, speaker="a", measures={"phones_per_second": 12 + n % 5 * 0.3}) for n in range(30)]
    rows.append(row(99, speaker="a", measures={"phones_per_second": 20.0}))
    assert list(rate_outliers(rows)) == ["u99"]


def test_the_verdict_says_what_to_do() -> None:
    many = [row(number) for number in range(300)]
    many[0] = replace(many[0], split="dev")
    assert verdict(many).fit == "fit"
    few = verdict(many[:100])
    assert (few.fit, len(few.findings)) == ("fix", 1)
    assert verdict(many[1:10]).fit == "unfit"
    assert verdict([]).fit == "unfit"
    dull = verdict([replace(one, measures={**GOOD, "bandwidth_hz": 8000.0}) for one in many])
    assert "dull" in dull.findings[0].message.text()
    unknown = verdict([replace(one, licence="", consent="") for one in many])
    assert len(unknown.findings) == 2
    assert all(finding.message.remedy() for finding in (*few.findings, *dull.findings, *unknown.findings))


def test_doubts_are_counted() -> None:
    rows = [decide(replace(row(n), issues=(Issue("noisy", SHORT),)), SETTINGS) for n in range(3)]
    rows.append(
        decide(
            replace(
                row(9),
                issues=(
                    Issue("clipped", SHORT),
                    Issue("noisy", SHORT),
                ),
            ),
            SETTINGS,
        )
    )
    assert verdict(rows).issues == (("noisy", 4, 0), ("clipped", 1, 1))


def test_every_kind_has_a_remedy() -> None:
    assert all(kind.remedy.text() for kind in KINDS.values())
