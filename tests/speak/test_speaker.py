"""Speaking: every voice takes a text the same way, with its pauses, its times, and its refusals."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.formant import FormantSettings
from dimts.audio.level import frame_levels
from dimts.audio.wave import Wave, join
from dimts.base.config import from_table, to_dict
from dimts.base.errors import AudioError, CheckpointError, ConfigError, SynthesisError, TextError
from dimts.base.files import fingerprint
from dimts.base.messages import Message
from dimts.base.progress import Progress
from dimts.speak import FORMANT_FRONTEND, RATE, Speaker, SpeakSettings, estimate_times, frontend_of
from dimts.text.frontend import MARKS, FrontendSettings
from dimts.text.phones import inventory

TEXT = "ሰላም ለዓለም። እንዴት ናችሁ?"
CONSENT = "noise that nobody spoke"
CHOICES = ("speak.first_voice_used", "speak.not_watermarked")
"""What is reported of a voice before anything is spoken."""
torch = pytest.importorskip("torch")

from dimts.xtts.quantise import trunk_bytes  # noqa: E402


@pytest.fixture(scope="module")
def formant() -> Speaker:
    return Speaker.load("formant")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice bundle with a tiny engine of random weights and two voices."""
    from dimts.xtts.checkpoint import Bundle, save_bundle
    from dimts.xtts.model import XTTS
    from dimts.xtts.spec import SPECS
    from dimts.xtts.vocabulary import Vocabulary
    from dimts.xtts.voice import clone

    words = Vocabulary.for_phones(list(inventory()), marks=sorted({*MARKS.values(), "?", "!"}))
    spec = replace(SPECS["tiny"], text_ids=words.size, start_text=words.start, stop_text=words.stop)
    model = XTTS.build(spec, 1, dvae=False)
    noise = torch.Generator().manual_seed(1)
    voices = {
        name: clone(model, [torch.randn(44_100, generator=noise) * 0.1], name=name)
        for name in ("abebe", "sara")
    }
    note = {"settings": to_dict(FORMANT_FRONTEND)}
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(Bundle(model, words, note, voices, {"name": "tiny voice"}), folder)
    return folder


@pytest.fixture(scope="module")
def model(bundle: Path) -> Speaker:
    return Speaker.load(bundle, SpeakSettings(retries=0), device="cpu")


def speaks(wave: Wave) -> float:
    """Share of frames with speech energy."""
    return float((frame_levels(wave) > -45).mean())


# The formant voice


def test_two_sentences(formant: Speaker) -> None:
    wave = formant.say(TEXT)
    assert wave.rate == 24_000
    assert 2.0 < wave.seconds < 5.0
    assert speaks(wave) > 0.5
    assert np.abs(wave.samples).max() < 1.0


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert Speaker.load("formant").say(TEXT).seconds > 2


def test_the_formant_voice_loads_no_model_library() -> None:
    program = (
        "import sys; from dimts.speak import Speaker; Speaker.load('formant').say('ሰላም ለዓለም');"
        "print([m for m in ('torch', 'scipy', 'epitran', 'av', 'huggingface_hub', "
        "'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pauses_stand_between_sentences_and_none_at_the_end(formant: Speaker) -> None:
    said = list(formant.phrases(TEXT))
    assert [one.phrase.mark for one in said] == ["።", "?"]
    assert said[0].pause == pytest.approx(said[0].phrase.pause_seconds)
    assert said[0].pause > 0.2
    assert said[1].pause == 0.0
    assert said[1].start == pytest.approx(said[0].wave.seconds + said[0].pause)
    wave = formant.say(TEXT)
    gap = wave.cut(said[0].wave.seconds + 0.02, said[1].start)
    assert not gap.samples.any()


def test_a_pause_asked_for_is_kept_even_at_the_end(formant: Speaker) -> None:
    plain, slow = formant.say("ሰላም ለዓለም"), formant.say("ሰላም [pause 2s] ለዓለም")
    assert slow.seconds - plain.seconds == pytest.approx(2.0, abs=0.5)


def test_streamed_is_what_is_said_whole(formant: Speaker) -> None:
    pieces = list(formant.stream(TEXT))
    assert len(pieces) >= 3
    assert all(len(piece.samples) for piece in pieces)
    np.testing.assert_array_equal(join(pieces).samples, formant.say(TEXT).samples)


def test_a_stream_begins_before_the_text_is_read_to_its_end(formant: Speaker) -> None:
    """The front end is asked for no more than one phrase ahead."""
    asked = []
    inner = formant.frontend

    class Counting:
        def __call__(self, text: str) -> Iterator[object]:
            for phrase in inner(text):
                asked.append(phrase)
                yield phrase

    speaker = Speaker(formant.engine, Counting(), formant.settings)  # type: ignore[arg-type]
    next(speaker.stream("ሰላም ለዓለም። " * 50))
    assert len(asked) <= 2


def test_times_lie_where_the_words_are(formant: Speaker) -> None:
    said = list(formant.phrases(TEXT))
    words = [word for one in said for word in one.words]
    assert [word.word for word in words] == ["ሰላም", "ለዓለም", "እንዴት", "ናችሁ"]
    assert all(one.measured for one in said)
    flat = [time for word in words for time in (word.start, word.end)]
    assert flat == sorted(flat)
    levels = frame_levels(formant.say(TEXT))
    for word in words:
        assert levels[round(word.start / 0.01) : round(word.end / 0.01)].max() > -30
        assert word.phones[0][1] == word.start
        assert word.phones[-1][2] == word.end
    assert [phone for phone, _, _ in words[0].phones] == ["s", "ə", "l", "a", "m"]


def test_rate_shortens_speech_and_pauses() -> None:
    plain, fast = (
        list(Speaker.load("formant", SpeakSettings(rate=rate)).phrases(TEXT)) for rate in (1.0, 1.5)
    )
    assert plain[0].wave.seconds / fast[0].wave.seconds == pytest.approx(1.5, rel=0.12)
    assert plain[0].pause / fast[0].pause == pytest.approx(1.5)


def test_a_rate_in_the_text_is_followed(formant: Speaker) -> None:
    slow = formant.say('<prosody rate="slow">ሰላም ለዓለም።</prosody>')
    assert slow.seconds > 1.15 * formant.say("ሰላም ለዓለም።").seconds


def test_variant_and_pitch_reach_the_voice() -> None:
    plain = Speaker.load("formant").say(TEXT)
    other = Speaker.load("formant", variant="f2").say(TEXT)
    settings = SpeakSettings(formant=FormantSettings(variant="f2"))
    assert len(other.samples) != len(plain.samples) or not np.array_equal(other.samples, plain.samples)
    np.testing.assert_array_equal(Speaker.load("formant", settings).say(TEXT).samples, other.samples)
    with pytest.raises(ConfigError, match="unknown voice variant"):
        Speaker.load("formant", variant="nobody")


def test_a_long_text_is_said_to_its_end(formant: Speaker) -> None:
    text = "ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ አገር ናት። " * 40
    wave = formant.say(text)
    one = formant.say("ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ አገር ናት።")
    assert wave.seconds > 39 * one.seconds
    assert speaks(wave) > 0.6


@pytest.mark.parametrize("text", ["", "   \n\t"])
def test_an_empty_text_is_refused(text: str, formant: Speaker) -> None:
    with pytest.raises(TextError, match="empty") as caught:
        formant.say(text)
    assert caught.value.message.remedy()


@pytest.mark.parametrize("text", ["hello world", "...", "!?", "Привет", "[pause 1s]", "\x00\x01"])
def test_a_text_without_amharic_is_refused_before_any_sound(text: str, formant: Speaker) -> None:
    with pytest.raises(TextError, match="no Amharic"):
        next(formant.stream(text))


@pytest.mark.parametrize("text", ["ሰላም world", "hello ሰላም", "123", "፲፪", "/səlam/", "ቈ"])
def test_a_text_with_something_to_say_is_said(text: str, formant: Speaker) -> None:
    assert speaks(formant.say(text)) > 0.3


def test_recordings_are_nothing_for_the_formant_voice(formant: Speaker) -> None:
    with pytest.raises(SynthesisError, match="cannot imitate"):
        formant.clone("abebe.wav", consent=CONSENT)
    with pytest.raises(SynthesisError, match="has no voice 'sara'"):
        formant.say(TEXT, "sara")


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 0.1}, {"rate": 3.0}, {"seed": -1}, {"retries": -1}, {"max_stretch": 0.5}, {"together": 0}],
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        from_table(SpeakSettings, wrong, "speak")


def test_settings_come_from_a_table() -> None:
    found = from_table(
        SpeakSettings, {"temperature": 0.5, "formant": {"variant": "m3"}}, "speak", ["speak.rate=1.2"]
    )
    assert (found.temperature, found.formant.variant, found.rate) == (0.5, "m3", 1.2)


def test_a_lexicon_of_the_users_comes_first(tmp_path: Path, formant: Speaker) -> None:
    lexicon = tmp_path / "lexicon.tsv"
    lexicon.write_text("ሰላም\tʃ ə lː a m\n", encoding="utf-8")
    said = next(Speaker.load("formant", lexicon=lexicon).phrases("ሰላም"))
    assert [phone for phone, _, _ in said.words[0].phones] == ["ʃ", "ə", "lː", "a", "m"]


# A model's voice


def test_a_bundle_speaks(model: Speaker) -> None:
    wave = model.say(TEXT)
    assert wave.rate == RATE
    assert wave.seconds > 1
    assert np.isfinite(wave.samples).all()
    assert list(model.voices) == ["abebe", "sara"]


def test_the_same_seed_gives_the_same_samples(bundle: Path, model: Speaker) -> None:
    first = model.say(TEXT)
    np.testing.assert_array_equal(model.say(TEXT).samples, first.samples)
    again = Speaker.load(bundle, SpeakSettings(retries=0, seed=1), device="cpu").say(TEXT)
    assert len(again.samples) != len(first.samples) or not np.array_equal(again.samples, first.samples)


def test_phrases_of_one_text_are_drawn_apart(model: Speaker) -> None:
    said = list(model.phrases("ሰላም ለዓለም። ሰላም ለዓለም።"))
    assert not np.array_equal(said[0].wave.samples[:2000], said[1].wave.samples[:2000])


def test_a_model_streams_what_it_says(model: Speaker) -> None:
    pieces = list(model.stream(TEXT))
    whole = model.say(TEXT)
    streamed = join(pieces)
    assert len(pieces) > 4
    assert len(streamed.samples) == len(whole.samples)
    np.testing.assert_allclose(streamed.samples, whole.samples, atol=1e-4)


def test_no_phrase_runs_on_for_ever(bundle: Path) -> None:
    """Random weights hardly ever stop by themselves; each phrase has its limit, and what was done is told."""
    told: list[Progress] = []
    settings = SpeakSettings(retries=1, max_stretch=2.0)
    said = list(Speaker.load(bundle, settings, device="cpu", on_progress=told.append).phrases(TEXT))
    for one in said:
        phones = sum(len(word.phones) for word in one.words)
        assert one.wave.seconds <= 2.0 * 0.085 * phones + 0.8 + 0.1
    messages = [progress.message for progress in told if progress.message is not None]
    faults = [message for message in messages if message.code not in CHOICES]
    again = next(message for message in faults if message.code == "speak.phrase_said_again")
    assert (again.parameters["attempt"], again.parameters["retries"]) == (1, 1)
    assert any(message.code == "speak.phrase_cut" for message in faults)
    assert all("ሰላም" in message.text("am") or "እንዴት" in message.text("am") for message in faults)


def test_both_ways_of_working_give_the_same_sound(bundle: Path) -> None:
    """One thread: first codes, then sound. Two: both at once."""
    before = torch.get_num_threads()
    try:
        waves = {}
        for threads in (1, 2):
            torch.set_num_threads(threads)
            speaker = Speaker.load(bundle, SpeakSettings(retries=1), device="cpu")
            waves[threads] = [speaker.say(TEXT), join(speaker.stream(TEXT))]
    finally:
        torch.set_num_threads(before)
    for one, other in zip(waves[1], waves[2], strict=True):
        assert len(one.samples) == len(other.samples)
        np.testing.assert_allclose(one.samples, other.samples, atol=1e-4)


def test_a_stream_that_is_left_stops_decoding(bundle: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        pieces = Speaker.load(bundle, device="cpu").stream(TEXT * 3)
        assert len(next(pieces).samples)
        pieces.close()  # type: ignore[attr-defined]
    finally:
        torch.set_num_threads(before)
    assert not [thread for thread in threading.enumerate() if thread.name == "dimts-decode"]


def test_eight_bit_weights_speak(bundle: Path, model: Speaker) -> None:
    light = Speaker.load(bundle, SpeakSettings(retries=0, weights="int8"), device="cpu")
    assert trunk_bytes(light.engine.model) * 4 == trunk_bytes(model.engine.model)  # type: ignore[attr-defined]
    wave = light.say(TEXT)
    assert np.isfinite(wave.samples).all()
    assert not np.array_equal(wave.samples, model.say(TEXT).samples)
    np.testing.assert_array_equal(light.say(TEXT).samples, wave.samples)


def test_weights_that_cannot_be_had_are_refused(bundle: Path, model: Speaker) -> None:
    for kept in ("bfloat16", "float16"):
        with pytest.raises(ConfigError, match="slower than float32") as caught:
            Speaker.load(bundle, from_table(SpeakSettings, {"weights": kept}, "speak"), device="cpu")
        assert "int8" in caught.value.message.remedy()
    with pytest.raises(ConfigError):
        from_table(SpeakSettings, {"weights": "int3"}, "speak")
    with pytest.raises(ConfigError, match="when a voice is loaded"):
        model.with_settings(weights="int8")


def test_without_the_guard_only_the_limit_holds(bundle: Path) -> None:
    told: list[Progress] = []
    settings = SpeakSettings(retries=0, guard=False, seed=1, watermark="off")
    list(Speaker.load(bundle, settings, device="cpu", on_progress=told.append).phrases("ሰላም ለዓለም።", "abebe"))
    reason = Message("speak.fault_no_stop")
    assert [one.message for one in told] == [Message("speak.phrase_cut", phrase="ሰላም ለዓለም", reason=reason)]


def test_phrases_decoded_together_are_those_decoded_one_by_one(bundle: Path, model: Speaker) -> None:
    text = "ሰላም ለዓለም። እንዴት ናችሁ? በጣም ጥሩ ነው። ዛሬ ፀሐይ ወጣች።"
    alone = list(model.phrases(text))
    together = list(Speaker.load(bundle, SpeakSettings(retries=0, together=3), device="cpu").phrases(text))
    assert [said.phrase.written for said in together] == [said.phrase.written for said in alone]
    for one, other in zip(alone, together, strict=True):
        assert one.start == pytest.approx(other.start)
        np.testing.assert_allclose(other.wave.samples, one.wave.samples, atol=1e-4)


def test_which_of_several_voices_speaks_is_told_once(bundle: Path) -> None:
    told: list[Progress] = []
    speaker = Speaker.load(bundle, SpeakSettings(retries=0), device="cpu", on_progress=told.append)
    speaker.say("ሰላም")
    speaker.say("ሰላም")
    used = Message("speak.first_voice_used", voice="abebe", voices=2)
    assert [one.message for one in told].count(used) == 1
    told.clear()
    speaker.say("ሰላም", "sara")
    assert used.code not in [one.message.code for one in told if one.message is not None]


def test_voices_differ_by_name_and_by_recording(model: Speaker, tmp_path: Path) -> None:
    abebe, sara = model.say("ሰላም", "abebe"), model.say("ሰላም", "sara")
    assert len(abebe.samples) != len(sara.samples) or not np.array_equal(abebe.samples, sara.samples)
    path = Speaker.load("formant").say(TEXT * 2).save(tmp_path / "reference.flac")
    heard = model.clone(path, consent=f" {CONSENT}\n")
    assert heard.meta == {"source": "reference.flac", "consent": CONSENT, "sha256": fingerprint(path)}
    assert model.say("ሰላም", heard).seconds > 0.2
    with pytest.raises(SynthesisError, match="no voice 'abeb'") as caught:
        model.say("ሰላም", "abeb")
    assert "abebe" in caught.value.message.remedy()


def test_recordings_that_cannot_be_used(model: Speaker, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such sound file"):
        model.clone(tmp_path / "nowhere.wav", consent=CONSENT)
    empty = tmp_path / "empty.wav"
    empty.touch()
    with pytest.raises(AudioError, match="empty"):
        model.clone(empty, consent=CONSENT)
    short = Wave.silence(0.1, RATE).save(tmp_path / "short.wav")
    with pytest.raises(AudioError, match="too short"):
        model.clone(short, consent=CONSENT)
    with pytest.raises(SynthesisError, match="who speaks and how they agreed"):
        model.clone(short, consent="yes")


def test_a_long_breath_is_said_in_halves_that_the_model_can_hold(model: Speaker) -> None:
    from dimts.text.frontend import Phrase, Word

    word = Word("ሰላም", "ሰላም", ("s", "ə", "l", "a", "m"), "rules", 1.0)
    phrase = Phrase("ሰላም", "ሰላም", (word,) * 150, "።", 0.5)
    parts = model.engine.utterances(phrase, 3)  # type: ignore[attr-defined]
    assert sum(len(part.phrase.words) for part in parts) == 150
    assert len(parts) >= 2
    assert [part.phrase.mark for part in parts] == [""] * (len(parts) - 1) + ["።"]
    assert [(part.number, part.part) for part in parts] == [(3, place) for place in range(len(parts))]
    with pytest.raises(SynthesisError, match="too long"):
        model.engine.utterances(replace(phrase, words=(replace(word, phones=("a",) * 5000),)), 0)  # type: ignore[attr-defined]


def test_other_settings_share_the_model(bundle: Path, model: Speaker, formant: Speaker) -> None:
    other = model.with_settings(seed=1, rate=1.25)
    assert other.engine.model is model.engine.model  # type: ignore[attr-defined]
    settings = SpeakSettings(retries=0, seed=1, rate=1.25)
    np.testing.assert_array_equal(
        other.say(TEXT).samples, Speaker.load(bundle, settings, device="cpu").say(TEXT).samples
    )
    assert model.settings.seed == 0
    fast = formant.with_settings(rate=1.5).say(TEXT)
    np.testing.assert_array_equal(
        fast.samples, Speaker.load("formant", SpeakSettings(rate=1.5)).say(TEXT).samples
    )
    with pytest.raises(ConfigError):
        formant.with_settings(rate=9.0)


def test_estimated_times_fill_the_audible_part(formant: Speaker) -> None:
    """The estimate is held against what the formant voice measures."""
    said = next(formant.phrases("ሰላም ለዓለም።"))
    padded = join([Wave.silence(0.4, RATE), said.wave, Wave.silence(0.3, RATE)])
    times = estimate_times(said.phrase, padded)
    assert times[0][0][0] == pytest.approx(0.4, abs=0.06)
    assert times[-1][-1][1] == pytest.approx(0.4 + said.wave.seconds, abs=0.06)
    for word, measured in zip(times, said.words, strict=True):
        assert word[0][0] - 0.4 == pytest.approx(measured.start, abs=0.1)
        assert len(word) == len(measured.phones)


def test_a_models_times_are_marked_as_estimates(model: Speaker) -> None:
    said = next(model.phrases("ሰላም ለዓለም።"))
    assert not said.measured
    assert said.words[-1].end <= said.wave.seconds + 1e-6


def test_a_bundle_brings_its_own_front_end(bundle: Path, tmp_path: Path) -> None:
    assert Speaker.load(bundle, device="cpu").frontend.settings == FORMANT_FRONTEND
    other = FrontendSettings(spelling="fidel")
    assert Speaker.load(bundle, device="cpu", frontend=other).frontend.settings == FORMANT_FRONTEND


def test_a_front_end_this_version_does_not_know_is_refused() -> None:
    assert frontend_of({}) is None
    assert frontend_of({"version": "1", "settings": to_dict(FrontendSettings())}) == FrontendSettings()
    with pytest.raises(CheckpointError, match=r"dimts 9\.0.*text\.tones") as caught:
        frontend_of({"version": "9.0", "settings": {"tones": True}})
    assert "train it again" in caught.value.message.remedy()


def test_folders_and_devices_that_are_not_there(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model folder"):
        Speaker.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError):
        Speaker.load(tmp_path)
    with pytest.raises(ConfigError, match="device"):
        Speaker.load(bundle, device="abacus")
