"""The chain asks in turn; what is broken never reaches the user, and the reason is kept."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dimts.base.errors import ConfigError, PronunciationError
from dimts.text.g2p import chain as chain_room
from dimts.text.g2p.chain import Chain, ChainSettings

WORDS = ("ሰላም", "ቤት", "ሰው", "አሁን", "ነገ")
FAULTS = ("Raises", "Unstartable", "Hangs", "HangsAtStart", "Empty", "LeaksFidel", "Glues", "OneString",
          "WrongLanguage", "UnknownPhones", "TooFew", "NotPhones")  # fmt: skip


@pytest.fixture
def backends(fakes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The fakes stand in the chain's table under their class names."""
    names = {name: kind for name, kind in vars(fakes).items() if isinstance(kind, type)}
    monkeypatch.setattr(chain_room, "BACKENDS", {**chain_room.BACKENDS, **names})
    return fakes


def pronounce(*names: str, words: tuple[str, ...] = WORDS, **settings: Any) -> list[chain_room.Word]:
    return Chain(ChainSettings(backends=names, **{"max_seconds": 0.3, **settings})).words(words)


def test_the_first_that_is_believed_answers(backends: ModuleType) -> None:
    for word in pronounce("Fake", "rules"):
        assert word.phones == backends.RIGHT[word.spoken]
        assert word.by == "Fake"
        assert not word.refused
        assert not word.doubts


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_broken_never_reaches_the_user(backends: ModuleType, fault: str) -> None:
    for word in pronounce(fault, "rules"):
        assert word.phones == backends.RIGHT[word.spoken]
        assert word.by == "rules"
        assert [refusal.by for refusal in word.refused] == [fault]
        assert word.refused[0].doubts
        assert str(word.refused[0].doubts[0])


REASONS = {
    "Raises": "raises", "Unstartable": "raises", "Hangs": "hangs", "HangsAtStart": "hangs", "Empty": "empty",
    "LeaksFidel": "ethiopic_left", "OneString": "unknown_phone", "WrongLanguage": "skeleton",
    "UnknownPhones": "unknown_phone", "TooFew": "raises",
}  # fmt: skip


@pytest.mark.parametrize(("fault", "kind"), REASONS.items())
def test_the_reason_is_told(backends: ModuleType, fault: str, kind: str) -> None:
    word = pronounce(fault, "rules", words=("ሰላም",))[0]
    assert kind in [doubt.kind for doubt in word.refused[0].doubts]


def test_one_bad_word_does_not_spoil_the_others(backends: ModuleType) -> None:
    by = {word.spoken: word.by for word in pronounce("RaisesForOne", "rules")}
    assert by == {
        "ሰላም": "RaisesForOne",
        "ቤት": "rules",
        "ሰው": "RaisesForOne",
        "አሁን": "RaisesForOne",
        "ነገ": "RaisesForOne",
    }


def test_one_that_hangs_is_not_asked_again(backends: ModuleType) -> None:
    asked = Chain(ChainSettings(backends=("Hangs", "rules"), max_seconds=0.2))
    asked.words(["ሰላም"])
    again = asked.words(["ቤት", "ሰው"])
    assert all("not asked again" in str(word.refused[0].doubts[0]) for word in again)
    assert {word.by for word in again} == {"rules"}


def test_one_without_length_is_refused_where_a_consonant_is_long(backends: ModuleType) -> None:
    long, plain = pronounce("NoLength", "rules", words=("እናት", "ሰላም"))
    assert long.by == "rules"
    assert "nː" in long.phones
    assert long.refused[0].doubts[0].kind == "length_unsaid"
    assert plain.by == "NoLength"


def test_answers_are_remembered(backends: ModuleType) -> None:
    asked: list[str] = []

    class Counting(backends.Fake):  # type: ignore[misc, name-defined]
        def say(self, word: str) -> tuple[str, ...]:
            asked.append(word)
            return super().say(word)  # type: ignore[no-any-return]

    chain_room.BACKENDS["Counting"] = Counting
    said = Chain(ChainSettings(backends=("Counting", "rules")))
    said.words(["ሰላም", "ቤት", "ሰላም"])
    said.words(["ቤት"])
    assert asked == ["ሰላም", "ቤት"]


def test_all_fail_gives_a_flagged_guess_or_an_error(backends: ModuleType) -> None:
    word = pronounce("Raises", "Empty", words=("ሰላም",))[0]
    assert word.phones == backends.RIGHT["ሰላም"]
    assert [doubt.kind for doubt in word.doubts] == ["guess"]
    assert [refusal.by for refusal in word.refused] == ["Raises", "Empty"]
    with pytest.raises(PronunciationError, match="ሰላም") as caught:
        pronounce("Raises", "Empty", words=("ሰላም",), if_all_fail="error")
    assert len(caught.value.reasons) == 2


def test_the_best_of_doubted_answers_is_the_guess(backends: ModuleType) -> None:
    word = pronounce("WrongLanguage", "Empty", words=("ሰላም",))[0]
    assert word.by == "WrongLanguage"
    assert word.doubts
    assert word.score < 0.5


def test_users_lexicon_is_above_all(backends: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("ሰላም\ts ɨ l a mː\nሐገር\th a ɡː ə r\n", encoding="utf-8")
    said = Chain(ChainSettings(backends=("Fake", "rules")), lexicon=path)
    own, folded, other = said.words(["ሰላም", "ሀገር", "ቤት"])
    assert (own.by, own.phones, own.score) == ("user", ("s", "ɨ", "l", "a", "mː"), 1.0)
    assert folded.phones == ("h", "a", "ɡː", "ə", "r")
    assert other.by == "Fake"


def test_absent_backends_say_what_is_missing() -> None:
    said = Chain(ChainSettings(backends=("transphone", "rules")))
    word = said.words(["ሰላም"])[0]
    assert word.by == "rules"
    assert word.refused[0].doubts[0].kind == "absent"
    assert said.absent()["rules"] is None
    assert said.absent()["transphone"] is not None


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="rulez"):
        Chain(ChainSettings(backends=("rulez",)))
    with pytest.raises(ConfigError, match="empty"):
        ChainSettings(backends=())
    with pytest.raises(ConfigError, match="positive"):
        ChainSettings(max_seconds=0)


def test_entry_points_may_join(backends: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    class Point:
        name = "stranger"

        @staticmethod
        def load() -> type:
            return backends.Fake  # type: ignore[no-any-return]

    class Points(tuple):  # type: ignore[type-arg]
        names = ("stranger",)

    monkeypatch.setattr(
        metadata, "entry_points", lambda group: Points([Point()] if group == "dimts.g2p" else [])
    )
    assert pronounce("stranger", "rules", words=("ሰላም",))[0].by == "stranger"
    assert chain_room.backend_names()[-1] == "stranger"


def test_latin_words_are_said_or_spelt() -> None:
    pytest.importorskip("espeakng_loader")
    said = Chain(ChainSettings(backends=("rules",)))
    word = said.words(["internet"])[0]
    assert word.by == "espeak-en"
    assert word.phones[:3] == ("ʔ", "i", "n")
    spelt = Chain(ChainSettings(backends=("rules",), english=False)).words(["ATM"])[0]
    assert spelt.by == "letters"
    assert "".join(spelt.phones).startswith("ʔet")


def test_nothing_to_say_is_said() -> None:
    word = Chain(ChainSettings(backends=("rules",))).words(["…"])[0]
    assert word.phones == ()
    assert word.doubts[0].kind == "nothing_to_say"


def test_readings_of_a_word_written_and_spoken() -> None:
    word = Chain(ChainSettings(backends=("rules",))).words(["አንድ"], ["1"])[0]
    assert (word.written, word.spoken) == ("1", "አንድ")
    assert word.as_dict()["by"] == "rules"


def test_context_reaches_the_user_and_the_other_reading_is_kept() -> None:
    words = Chain(ChainSettings(backends=("rules",))).words(["እሄዳለሁ", "አለ", "ሰው", "አለ"])
    assert "".join(words[1].phones) == "ʔalə"
    assert words[1].refused[-1].doubts[0].kind == "other_reading"
    assert "".join(words[3].phones) == "ʔalːə"


def test_a_full_memory_begins_anew(backends: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_room, "_KEPT_WORDS", 3)
    said = Chain(ChainSettings(backends=("Fake", "rules")))
    for phrase in (WORDS[:3], WORDS[2:], WORDS):
        assert [word.phones for word in said.words(phrase)] == [backends.RIGHT[word] for word in phrase]


# ---------------------------------------------------------------- the judges
NEWS = ("እናት", "ትምህርት", "ቤት", "ሰላም", "የኢትዮጵያ", "ባለፈው", "ሰዎች", "አስታወቀ")


def test_with_sanity_the_first_sane_backend_of_the_order_speaks(backends: ModuleType) -> None:
    evidence = pronounce("NoLength", "rules", words=("እናት",))[0]
    sane = pronounce("NoLength", "rules", words=("እናት",), judge="sanity")[0]
    other_order = pronounce("rules", "NoLength", words=("እናት",), judge="sanity")[0]
    assert (evidence.by, sane.by, other_order.by) == ("rules", "NoLength", "rules")
    assert sane.phones != other_order.phones


def test_with_sanity_epitran_before_rules_is_what_comes_out() -> None:
    pytest.importorskip("epitran")
    by = {
        judge: [
            word.by for word in Chain(ChainSettings(backends=("epitran", "rules"), judge=judge)).words(NEWS)
        ]
        for judge in ("evidence", "sanity")
    }
    assert set(by["sanity"]) == {"epitran"}
    assert "rules" in by["evidence"]


@pytest.mark.parametrize(
    "fault", ["Raises", "Hangs", "Empty", "LeaksFidel", "UnknownPhones", "TooFew", "NotPhones"]
)
def test_what_is_insane_is_refused_by_sanity_too(backends: ModuleType, fault: str) -> None:
    for word in pronounce(fault, "rules", judge="sanity"):
        assert word.phones == backends.RIGHT[word.spoken]
        assert word.refused[0].by == fault


def test_every_limit_of_sanity_decides(backends: ModuleType) -> None:
    from dimts.text.g2p.judge import SanitySettings

    for limit in (
        {"min_vowel_ratio": 0.7},
        {"max_vowel_ratio": 0.3},
        {"min_length_ratio": 2.0, "max_length_ratio": 3.0},
        {"max_length_ratio": 1.0},
    ):
        word = pronounce("Fake", words=("ሰላም",), judge="sanity", sanity=SanitySettings(**limit))[0]
        assert len(word.doubts) == 1, limit
    with pytest.raises(ConfigError):
        SanitySettings(min_length_ratio=4.0)
    with pytest.raises(ConfigError):
        SanitySettings(min_ipa_share=1.5)


def test_a_backend_that_marks_length_wins_where_ours_is_a_guess(backends: ModuleType) -> None:
    guess = "ዘፍላጎም"
    rules = Chain(ChainSettings(backends=("rules",)))
    assert rules.rules.explain(guess).source == "model"
    own = rules.words([guess])[0].phones
    at = next(at for at, phone in enumerate(own) if at and phone in ("l", "f", "m", "ɡ"))
    told = (*own[:at], own[at] + "ː", *own[at + 1 :])

    class Knows(backends.Fake):  # type: ignore[misc, name-defined]
        marks_length = True

        def say(self, word: str) -> tuple[str, ...]:
            return told

    chain_room.BACKENDS["Knows"] = Knows
    for order in (("Knows", "rules"), ("rules", "Knows")):
        word = Chain(ChainSettings(backends=order)).words([guess])[0]
        assert (word.by, word.phones) == ("Knows", told), order


def test_a_plug_in_that_ends_the_process_is_refused(backends: ModuleType) -> None:
    import sys

    class Leaves(backends.Fake):  # type: ignore[misc, name-defined]
        def phones(self, words: list[str]) -> list[tuple[str, ...]]:
            sys.exit(3)

    class LeavesAtStart(backends.Fake):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            sys.exit(3)

    chain_room.BACKENDS |= {"Leaves": Leaves, "LeavesAtStart": LeavesAtStart}
    for name in ("Leaves", "LeavesAtStart"):
        word = pronounce(name, "rules", words=("ሰላም",))[0]
        assert word.by == "rules"
        assert "SystemExit" in str(word.refused[0].doubts[0])


def test_a_plug_in_that_ends_the_process_when_loaded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from importlib import metadata

    class Point:
        name = "leaver"

        @staticmethod
        def load() -> type:
            sys.exit(3)

    class Points(tuple):  # type: ignore[type-arg]
        names = ("leaver",)

    monkeypatch.setattr(
        metadata, "entry_points", lambda group: Points([Point()] if group == "dimts.g2p" else [])
    )
    assert pronounce("leaver", "rules", words=("ሰላም",))[0].by == "rules"


def test_fallbacks_are_counted_by_word_and_reason(backends: ModuleType) -> None:
    asked = Chain(ChainSettings(backends=("NoLength", "Empty", "rules"), max_seconds=0.3))
    asked.words(["እናት", "ሰላም", "እናት"])
    found = {one.name: one for one in asked.fallbacks()}
    assert dict(found["NoLength"].reasons) == {"length_unsaid": 2}
    assert found["NoLength"].asked == 3
    assert "Empty" in found
    assert asked.fallbacks() == ()


def test_the_comparison_says_whether_the_order_mattered() -> None:
    pytest.importorskip("epitran")
    from dimts.text.frontend import FrontendSettings, compare

    sane = FrontendSettings(g2p=ChainSettings(backends=("epitran", "rules"), judge="sanity"))
    mattered = {row.word.spoken: row.order_mattered for row in compare("እናት ሰላም", sane)}
    assert mattered == {"እናት": True, "ሰላም": False}
    known = FrontendSettings(g2p=ChainSettings(backends=("epitran", "rules")))
    assert not any(row.order_mattered for row in compare("እናት ሰላም", known))
