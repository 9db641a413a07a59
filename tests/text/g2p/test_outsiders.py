"""Epitran, espeak-ng and Transphone: real where they are installed, plain about it where they are not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dimts.base.errors import ConfigError, MissingExtra
from dimts.text.g2p import espeak, transphone
from dimts.text.g2p.epitran import Epitran, EpitranPP, EpitranRed
from dimts.text.phones import is_phone


@pytest.mark.parametrize("kind", [Epitran, EpitranPP, EpitranRed])
@pytest.mark.filterwarnings("ignore")
def test_epitran_speaks_our_phones(kind: type[Epitran]) -> None:
    pytest.importorskip("epitran")
    backend = kind()
    answers = backend.phones(["ሰላም", "ጨረቃ", "ጸሎት"])
    assert answers[0] == ("s", "ə", "l", "a", "m")
    assert answers[1] == ("tʃʼ", "ə", "r", "ə", "kʼ", "a")
    assert all(is_phone(phone) for answer in answers for phone in answer)
    assert not backend.marks_length


@pytest.mark.filterwarnings("ignore")
def test_lean_epitran_says_what_the_whole_one_says(shared: Path) -> None:
    epitran = pytest.importorskip("epitran")
    whole = epitran.simple.SimpleEpitran("amh-Ethi")
    lean = Epitran()._mode
    for line in (shared / "gold" / "wikipron.dev.tsv").read_text(encoding="utf-8").splitlines():
        word = line.split("\t")[0]
        assert lean.transliterate(word) == whole.transliterate(word)


def test_missing_libraries_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "epitran", None)
    with pytest.raises(MissingExtra, match=r"dimts\[g2p\]"):
        Epitran()
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    espeak._library.cache_clear()
    with pytest.raises(MissingExtra, match=r"dimts\[g2p\]"):
        espeak.Espeak()
    espeak._library.cache_clear()


def test_espeak_reads_amharic_and_english() -> None:
    pytest.importorskip("espeakng_loader")
    backend = espeak.Espeak()
    assert backend.phones(["ሰላም", "ዐባይ", "ጳውሎስ"])[0] == ("s", "ə", "l", "a", "m")
    assert all(is_phone(phone) for answer in backend.phones(["ጨረቃ", "ዥጉርጉር"]) for phone in answer)
    english = espeak.English().phones(["computer", "strength", "Facebook", "queue"])
    assert english[0] == ("k", "ə", "m", "p", "ɨ", "j", "u", "t", "ə", "r")
    assert all(answer and all(map(is_phone, answer)) for answer in english)


@pytest.mark.parametrize(
    ("ipa", "phones"),
    [
        ("tʃˈiːz", "tʃ i z"),
        ("θˈɪŋ", "s i n ɡ"),
        ("stɹˈiːt", "s ɨ t r i t"),
        ("ˈaɪ", "ʔ a j"),
        ("ɹiːˈæk", "r i j a k"),
    ],
)
def test_english_in_amharic_sounds(ipa: str, phones: str) -> None:
    assert espeak.to_amharic(ipa) == tuple(phones.split())


def test_transphone_names_every_missing_file(tmp_path: Path) -> None:
    if transphone.util.find_spec("transphone") is None:
        pytest.skip("transphone is not installed")
    names = {path.name for path in transphone.missing(tmp_path)}
    assert names == {
        "model.pt",
        "grapheme.vocab",
        "phoneme.vocab",
        "phone.txt",
        "phoneme.txt",
        "allophone.txt",
    }
    with pytest.raises(ConfigError, match=r"grapheme\.vocab") as caught:
        transphone.Transphone(tmp_path)
    assert "dimts fetch transphone" in caught.value.message.remedy("en")
    assert not list(tmp_path.iterdir()), "nothing may be fetched or made"


def test_transphone_takes_numbered_checkpoints(tmp_path: Path) -> None:
    model, inventory = transphone.model_folder(tmp_path), transphone.inventory_folder(tmp_path)
    model.mkdir(parents=True)
    inventory.mkdir(parents=True)
    for name in ("model_0.2.pt", "model_0.1.pt", "grapheme.vocab", "phoneme.vocab"):
        (model / name).touch()
    for name in ("phone.txt", "phoneme.txt", "allophone.txt"):
        (inventory / name).touch()
    assert transphone.missing(tmp_path) == []
    assert transphone._best(model).name == "model_0.1.pt"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_transphone_runs_offline_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of the right shape with random weights: the road from files to phones, without a download."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transphone")
    import urllib.request

    from transphone.model.transformer import TransformerG2P

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("tried to download")

    monkeypatch.setattr(urllib.request, "urlopen", forbidden)
    model, inventory = transphone.model_folder(tmp_path), transphone.inventory_folder(tmp_path)
    model.mkdir(parents=True)
    inventory.mkdir(parents=True)
    graphemes = ["<pad>", "<eos>", "<amh>", *"abcdefghijklmnopqrstuvwxyz"]
    phones = ["<pad>", "<eos>", "a", "b", "s", "l", "m", "ə"]
    (model / "grapheme.vocab").write_text("\n".join(graphemes), encoding="utf-8")
    (model / "phoneme.vocab").write_text("\n".join(phones), encoding="utf-8")
    for name in ("phone.txt", "phoneme.txt"):
        (inventory / name).write_text("".join(f"{phone} {at}\n" for at, phone in enumerate(phones[2:], 1)))
    (inventory / "allophone.txt").write_text("".join(f"{phone} {phone}\n" for phone in phones[2:]))
    network = TransformerG2P(4, 4, 512, 8, len(graphemes) + 1, len(phones) + 1, 512)
    weights = network.state_dict()
    last = next(
        name for name in weights if name.endswith("bias") and weights[name].shape == (len(phones) + 1,)
    )
    weights[last][-1] = -1e9  # the class that no phone has must not win by chance
    torch.save(weights, model / "model.pt")
    backend = transphone.Transphone(tmp_path)
    assert len(backend.phones(["ሰላም"])) == 1
    assert not backend.marks_length
