"""Make blind listening tests (MOS or AB) as a folder of HTML and sounds, and analyse their ratings.

    test = make({"old": folder, "new": folder}, out, "ab")    out/index.html, out/sounds/, and out-key.json
    beside it analyse(out-key.json, [the JSON files that came back])

Sounds have random names; only the key, which is not in the folder, maps them to voices. Every rater gets a
different order and different sides. The page needs no server and no network; answers are kept in the browser
until they are saved as a JSON file.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dimts.audio.level import to_loudness
from dimts.audio.wave import Wave
from dimts.base.errors import DataError, ProjectError
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.evaluate.intervals import Interval, two_way

Kind = Literal["mos", "ab"]

KIND_MARK = "dimts listening test"
PAGE = Path(__file__).parent / "pages" / "listening.html"
_SOUNDS = frozenset((".wav", ".flac", ".ogg", ".opus", ".mp3"))
_TEXTS = "sentences.json"
_NAME_BYTES = 8
SCORES = (1, 2, 3, 4, 5)
"""Bad, poor, fair, good, excellent: the absolute category rating of ITU-T P.800."""


@dataclass(frozen=True, slots=True)
class ListeningTest:
    """Files of a listening test."""

    page: Path
    """Path of index.html."""
    key: Path
    """Path of the key, which maps sounds to voices; raters must not have it."""
    trials: int
    """Number of answers from each rater."""


def make(
    voices: Mapping[str, Path],
    out: Path | str,
    kind: Kind = "mos",
    *,
    title: str = "Listening test",
    most_sentences: int = 20,
    seed: int = 1,
) -> ListeningTest:
    """Write a test of `voices` (folder of sounds by name; sounds of one sentence have one file name) to the
    folder `out`.

    Only sentences that every voice has are used. All sounds are normalised in loudness, as raters prefer
    louder ones. A file sentences.json in or above a voice's folder (text by sound name) gives the texts
    shown. Raises DataError: under two voices for "ab", or no sentence in common; ProjectError if `out` holds
    a test.
    """
    out = Path(out)
    if (out / "index.html").exists():
        raise ProjectError("evaluate.test_exists", out=out)
    if len(voices) < (2 if kind == "ab" else 1):
        raise DataError("evaluate.too_few_voices")
    found = {name: _sounds(folder) for name, folder in voices.items()}
    common = sorted(set.intersection(*(set(sounds) for sounds in found.values())))
    if not common:
        raise DataError("evaluate.no_shared_names")
    rng = random.Random(seed)
    chosen = sorted(rng.sample(common, min(most_sentences, len(common))))
    texts = _texts(voices.values())
    key: dict[str, dict[str, str]] = {}
    names: dict[tuple[str, str], str] = {}
    for voice in voices:
        for sentence in chosen:
            name = f"{rng.getrandbits(8 * _NAME_BYTES):0{2 * _NAME_BYTES}x}"
            to_loudness(Wave.load(found[voice][sentence])).save(out / "sounds" / f"{name}.wav")
            names[voice, sentence] = name
            key[name] = {"voice": voice, "sentence": sentence}
    trials = _mos(names, texts) if kind == "mos" else _ab(list(voices), chosen, names, texts)
    rng.shuffle(trials)
    number = f"{rng.getrandbits(32):08x}"
    data = {"kind": KIND_MARK, "test": number, "ask": kind, "title": title, "trials": trials}
    page = PAGE.read_text(encoding="utf-8")
    # "<" is written as \u003c so that no text can end the script element
    page = page.replace("{{DATA}}", json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"))
    write_text(out / "index.html", page)
    key_path = out.with_name(f"{out.name}-key.json")
    content = {"kind": KIND_MARK, "test": number, "ask": kind, "voices": list(voices), "sounds": key}
    write_text(key_path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    return ListeningTest(out / "index.html", key_path, len(trials))


def _sounds(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError("evaluate.no_such_folder", folder=folder)
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SOUNDS}


def _texts(folders: Any) -> dict[str, str]:
    for folder in folders:
        for place in (folder / _TEXTS, folder.parent / _TEXTS):
            if place.is_file():
                content = json.loads(place.read_text(encoding="utf-8"))
                return {str(name): str(text) for name, text in content.items()}
    return {}


def _mos(names: Mapping[tuple[str, str], str], texts: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"sounds": [name], "text": texts.get(sentence, "")} for (_, sentence), name in names.items()]


def _ab(
    voices: Sequence[str],
    sentences: Sequence[str],
    names: Mapping[tuple[str, str], str],
    texts: Mapping[str, str],
) -> list[dict[str, Any]]:
    return [
        {"sounds": [names[one, sentence], names[other, sentence]], "text": texts.get(sentence, "")}
        for sentence in sentences
        for place, one in enumerate(voices)
        for other in voices[place + 1 :]
    ]


# ---------------------------------------------------------------- analysis
@dataclass(frozen=True, slots=True)
class ListeningTestResults:
    """Mean ratings of a listening test."""

    ask: Kind
    """Kind of the test."""
    raters: int
    """Number of raters."""
    scores: Mapping[str, Interval]
    """By voice: mean opinion score (MOS), or share of comparisons won, no preference counting half (AB)."""
    differences: Mapping[tuple[str, str], Interval]
    """By pair of voices: first minus second (MOS), or share of preferences for the first minus one half
    (AB)."""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "ask": self.ask,
            "raters": self.raters,
            "scores": {voice: one.as_dict() for voice, one in self.scores.items()},
            "differences": {f"{a} - {b}": one.as_dict() for (a, b), one in self.differences.items()},
        }

    def messages(self) -> list[Message]:
        """Return a summary: the raters, the score of each voice, and each difference."""
        out = [
            Message("evaluate.raters", raters=self.raters)
            if self.raters > 1
            else Message("evaluate.one_rater")
        ]
        ordered = sorted(self.scores.items(), key=lambda item: -item[1].mean)
        out += [Message("evaluate.voice_opinion", voice=voice, score=str(one)) for voice, one in ordered]
        for (a, b), one in self.differences.items():
            within = "" if math.isnan(one.low) else f" [{one.low:+.2f}, {one.high:+.2f}]"
            clear = one.low > 0 or one.high < 0
            code = "evaluate.opinions_differ" if clear else "evaluate.opinions_not_clear"
            out.append(Message(code, first=a, second=b, difference=f"{one.mean:+.2f}{within}"))
        return out


def analyse(key: Path | str, answers: Sequence[Path | str]) -> ListeningTestResults:
    """Compute means and 95 % intervals over raters and sentences. DataError names a file of another test.

    Of two files of a rater the one with more answers counts; unanswered trials are left out.
    """
    known = _read(Path(key))
    ask: Kind = known["ask"]
    raters: dict[str, dict[str, Any]] = {}
    for path in map(Path, answers):
        content = _read(path)
        if content.get("test") != known["test"]:
            raise DataError("evaluate.answers_of_other_test", path=path)
        rater = str(content.get("rater") or path.stem)
        if len(content["answers"]) >= len(raters.get(rater, {"answers": ()})["answers"]):
            raters[rater] = content
    if not raters:
        raise DataError("evaluate.no_answers")
    sounds, voices = known["sounds"], list(known["voices"])
    sentences = sorted({place["sentence"] for place in sounds.values()})
    names = sorted(raters)
    tables = {pair: np.full((len(names), len(sentences)), np.nan) for pair in _pairs(voices)}
    single = {voice: np.full((len(names), len(sentences)), np.nan) for voice in voices}
    for row, name in enumerate(names):
        for answer in raters[name]["answers"]:
            _enter(
                answer,
                ask,
                sounds,
                sentences,
                row,
                single,
                tables,
                Message("evaluate.answers_of", rater=name),
            )
    if ask == "mos":
        for pair, table in tables.items():
            table[:] = single[pair[0]] - single[pair[1]]
    else:
        single = {voice: _won(voice, tables) for voice in voices}
    return ListeningTestResults(
        ask,
        len(names),
        {voice: two_way(table) for voice, table in single.items()},
        {pair: two_way(table) for pair, table in tables.items()},
    )


def _pairs(voices: Sequence[str]) -> list[tuple[str, str]]:
    return [(one, other) for place, one in enumerate(voices) for other in voices[place + 1 :]]


def _won(voice: str, tables: Mapping[tuple[str, str], Any]) -> Any:
    """Compute [raters, sentences] the mean share of comparisons that a voice won."""
    mine = [table if pair[0] == voice else -table for pair, table in tables.items() if voice in pair]
    stack = np.stack(mine) + 0.5
    counts = np.isfinite(stack).sum(axis=0)
    sums = np.nansum(stack, axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _enter(
    answer: Any,
    ask: Kind,
    sounds: Mapping[str, Mapping[str, str]],
    sentences: Sequence[str],
    row: int,
    single: Mapping[str, Any],
    tables: Mapping[tuple[str, str], Any],
    where: Message,
) -> None:
    try:
        rated = [sounds[name] for name in answer["sounds"]]
        column = sentences.index(rated[0]["sentence"])
        if ask == "mos":
            if answer["score"] not in SCORES:
                raise ValueError(f"a score of {answer['score']!r}")
            single[rated[0]["voice"]][row, column] = answer["score"]
            return
        value = {"first": 0.5, "second": -0.5, "none": 0.0}[answer["choice"]]
        pair = (rated[0]["voice"], rated[1]["voice"])
        if pair in tables:
            tables[pair][row, column] = value
        else:
            tables[pair[1], pair[0]][row, column] = -value
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError("evaluate.invalid_answer", where=where, answer=answer, error=error) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("evaluate.no_such_file", path=path) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError("evaluate.not_json", path=path, error=error) from error
    if not isinstance(content, dict) or content.get("kind") != KIND_MARK or "test" not in content:
        raise DataError("evaluate.not_a_test_file", path=path)
    if "sounds" not in content and not isinstance(content.get("answers"), list):
        raise DataError("evaluate.no_answers_in_file", path=path)
    return content
