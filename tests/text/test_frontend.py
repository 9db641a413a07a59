"""The wing's door: text → phrases with words, phones and reasons."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import dimts
from dimts.base.config import from_table, to_dict, to_toml
from dimts.base.errors import ConfigError, PronunciationError
from dimts.text.frontend import Frontend, FrontendSettings, Phrase, compare, phonemise, phones
from dimts.text.g2p.chain import ChainSettings
from dimts.text.phones import WORD_MARK, is_phone

RULES = FrontendSettings(g2p=ChainSettings(backends=("rules",)))


def test_phones_are_the_format_of_the_command() -> None:
    assert phones("ሰላም ለዓለም", RULES) == "s ə l a m # l ə ʔ a l ə m"
    assert phones("ሰላም\n\nቤት", RULES) == "s ə l a m\n\nb e t"
    assert phones("", RULES) == ""


def test_phrases_hold_words_and_reasons() -> None:
    found = phonemise("ሰላም፣ እንዴት ነህ?", RULES)
    assert [word.written for phrase in found for word in phrase.words] == ["ሰላም", "እንዴት", "ነህ"]
    assert found[-1].mark == "?"
    assert found[0].spelling.startswith("səlam")
    assert all(word.by == "rules" and word.score > 0 for phrase in found for word in phrase.words)


def test_numbers_and_latin_are_spoken_too() -> None:
    found = phonemise("በ2017 ዓ.ም 3 computer", RULES)
    words = [word for phrase in found for word in phrase.words]
    assert all(word.phones and all(map(is_phone, word.phones)) for word in words)
    assert "ሦስት" in {word.spoken for word in words} or "ሶስት" in {word.spoken for word in words}


def test_fidel_spelling() -> None:
    settings = FrontendSettings(spelling="fidel", g2p=ChainSettings(backends=("rules",)))
    found = phonemise("ሰላም ለዓለም።", settings)
    assert found[0].spelling == "ሰላም ለአለም."


def test_labiovelars_survive_folding() -> None:
    assert phones("ቍርስ", RULES) == "kʼʷ ɨ r s"


def test_user_lexicon_and_context(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.tsv"
    path.write_text("ሰላም\ts ə lː a m\n", encoding="utf-8")
    word = next(iter(Frontend(RULES, path)("ሰላም"))).words[0]
    assert word.by == "user"
    assert word.phones == ("s", "ə", "lː", "a", "m")


def test_settings_make_the_round_of_toml() -> None:
    import tomllib

    table = tomllib.loads(to_toml(RULES, "text", comments=True))["text"]
    assert from_table(FrontendSettings, table, "text") == RULES
    with pytest.raises(ConfigError, match="backends"):
        from_table(FrontendSettings, {}, "text", ("text.g2p.backend=3",))


def test_error_mode() -> None:
    settings = FrontendSettings(g2p=ChainSettings(backends=("lexicon",), if_all_fail="error"))
    with pytest.raises(PronunciationError):
        phonemise("ስርፍጥክ", settings)


def test_compare_shows_every_backend() -> None:
    found = compare("እናት", RULES)
    names = [answer.by for answer in found[0].answers]
    assert names[0] == "rules"
    assert {"epitran", "transphone", "espeak", "lexicon"} <= set(names)
    assert found[0].as_dict()["written"] == "እናት"
    by = {answer.by: answer for answer in found[0].answers}
    assert not by["rules"].doubts
    assert by["transphone"].doubts


def test_threads_share_one_front_end() -> None:
    frontend = Frontend(RULES)
    text = "ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ አገር ናት። ሰላም ለዓለም።"
    expected = [phrase.phones for phrase in frontend(text)]
    answers: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: answers.append([phrase.phones for phrase in frontend(text)]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 6


def test_public_names() -> None:
    assert dimts.phones("ሰላም", RULES) == "s ə l a m"
    assert isinstance(dimts.phonemise("ሰላም", RULES)[0], Phrase)


def test_no_leak_from_real_sentences(shared: Path) -> None:
    lines = (shared / "gold" / "text" / "ud_amharic_att.txt").read_text(encoding="utf-8").splitlines()[:300]
    frontend = Frontend(RULES)
    for line in lines:
        for phrase in frontend(line):
            for sign in phrase.phones.split():
                assert sign == WORD_MARK or is_phone(sign), (line, sign)


def test_own_readings_may_stand_in_text_replace() -> None:
    settings = from_table(
        FrontendSettings, {"replace": {"ኢቲቪ": "ኢትዮጵያ ቴሌቪዥን"}, "g2p": {"backends": ["rules"]}}, "text"
    )
    (phrase,) = Frontend(settings)("ኢቲቪ")
    assert phrase.spoken == "ኢትዮጵያ ቴሌቪዥን"
    assert from_table(FrontendSettings, to_dict(settings), "text") == settings, (
        "what a checkpoint carries reads the same"
    )
