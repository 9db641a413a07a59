"""Export the kept clips in the formats of other programs: a folder with a table and the audio files.

LJSpeech `metadata.csv` (id|text|text), Piper `metadata.csv` (id|speaker|text|phoneme_ids) with its
`config.json`, F5-TTS `metadata.csv` (audio_file|text), coqui-tts `metadata_train.csv` and `metadata_eval.csv`
(audio_file|text|speaker_name), GPT-SoVITS `.list` (path|speaker|language|text), NeMo and OmniVoice manifests,
Hugging Face's AudioFolder `metadata.jsonl`, Praat TextGrids beside the sounds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dimts.audio.timings import Mark, textgrid
from dimts.base.errors import DataError
from dimts.base.files import atomic_path, write_text
from dimts.base.messages import Message
from dimts.base.plugins import nearest
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.corpora import attributions
from dimts.data.manifest import Manifest, Utterance
from dimts.data.piper import id_map, phoneme_ids, symbols, voice_config

LANGUAGE = "am"
SOUNDS = "wavs"
UNNAMED = "speaker"
"""Speaker name of clips without one."""


def _sound(row: Utterance) -> str:
    return f"{SOUNDS}/{row.id}.wav"


def _speaker(row: Utterance) -> str:
    return row.speaker or UNNAMED


def _bar(*cells: str) -> str:
    """Join cells by bars; a bar within a text would end its cell."""
    return "|".join(cell.replace("|", "፣") for cell in cells) + "\n"


def _unquoted(table: str) -> str:
    """A table for readers that take a quote for the beginning of a quoted cell."""
    return table.replace('"', "”")


def _json_line(**cells: object) -> str:
    return json.dumps(cells, ensure_ascii=False) + "\n"


def _by_split(rows: Sequence[Utterance], line: Callable[[Utterance], str]) -> dict[str, str]:
    """A file of JSON lines for each split."""
    splits = dict.fromkeys(row.split for row in rows)
    return {f"{split}.jsonl": "".join(line(row) for row in rows if row.split == split) for split in splits}


Tables = dict[str, str]
"""File name → content."""


def _ljspeech(rows: Sequence[Utterance], folder: Path) -> Tables:
    return {"metadata.csv": "".join(_bar(row.id, row.text, row.spoken) for row in rows)}


def _piper(rows: Sequence[Utterance], folder: Path) -> Tables:
    """For `python -m piper.train fit` with data.dataset_type=phoneme_ids and data.phoneme_type=text."""
    speakers = tuple(dict.fromkeys(map(_speaker, rows)))
    lines = []
    for row in rows:
        ids = " ".join(map(str, phoneme_ids(symbols(row.phones, row.spelling))))
        speaker = [_speaker(row)] if len(speakers) > 1 else []
        lines.append(_bar(_sound(row), *speaker, row.spoken, ids))
    return {
        "metadata.csv": _unquoted("".join(lines)),
        "config.json": json.dumps(voice_config(speakers, LANGUAGE), ensure_ascii=False, indent=1) + "\n",
        "phonemes.json": json.dumps(id_map(), ensure_ascii=False) + "\n",
    }


def _f5(rows: Sequence[Utterance], folder: Path) -> Tables:
    lines = (_bar(str(folder / _sound(row)), row.spoken) for row in rows)  # its reader refuses relative paths
    return {"metadata.csv": _unquoted(_bar("audio_file", "text") + "".join(lines))}


def _coqui(rows: Sequence[Utterance], folder: Path) -> Tables:
    head = _bar("audio_file", "text", "speaker_name")
    held_out = [row for row in rows if row.split != "train"]
    train = [row for row in rows if row.split == "train"]
    return {
        name: _unquoted(head + "".join(_bar(_sound(row), row.spoken, _speaker(row)) for row in part))
        for name, part in (("metadata_train.csv", train), ("metadata_eval.csv", held_out))
    }


def _gpt_sovits(rows: Sequence[Utterance], folder: Path) -> Tables:
    return {"all.list": "".join(_bar(_sound(row), _speaker(row), LANGUAGE, row.spoken) for row in rows)}


def _nemo(rows: Sequence[Utterance], folder: Path) -> Tables:
    def line(row: Utterance) -> str:
        seconds = round(row.seconds, 4)
        return _json_line(audio_filepath=_sound(row), duration=seconds, text=row.text, speaker=row.speaker)

    return _by_split(rows, line)


def _omnivoice(rows: Sequence[Utterance], folder: Path) -> Tables:
    def line(row: Utterance) -> str:
        facts = {"text": row.spoken, "language_id": LANGUAGE, "speaker": row.speaker}
        return _json_line(id=row.id, audio_path=str(folder / _sound(row)), **facts)

    return _by_split(rows, line)


def _hugging_face(rows: Sequence[Utterance], folder: Path) -> Tables:
    def line(row: Utterance) -> str:
        facts = {"speaker": row.speaker, "split": row.split, "licence": row.licence}
        return _json_line(file_name=_sound(row), text=row.text, **facts)

    return {"metadata.jsonl": "".join(map(line, rows))}


def _textgrids(rows: Sequence[Utterance], folder: Path) -> Tables:
    return {
        f"{SOUNDS}/{row.id}.TextGrid": textgrid([Mark("phrase", row.text, 0.0, row.seconds)], row.seconds)
        for row in rows
    }


LAYOUTS: dict[str, Callable[[Sequence[Utterance], Path], Tables]] = {
    "ljspeech": _ljspeech,
    "piper": _piper,
    "f5": _f5,
    "xtts-coqui": _coqui,
    "gpt-sovits": _gpt_sovits,
    "nemo": _nemo,
    "omnivoice": _omnivoice,
    "hf": _hugging_face,
    "textgrid": _textgrids,
}
"""Name of a layout → what makes its tables of rows and the folder they lie in."""
OF_PHONES = ("piper",)
"""Layouts of phones: a clip whose text has none is left out, and named."""


def export(
    project: Project, folder: Path, layout: str, on_progress: ProgressCallback = ignore
) -> tuple[int, tuple[Path, ...]]:
    """Write the kept clips into `folder`, which must be new or empty; returns the number of clips and the
    tables.

    DataError for an unknown layout, a folder that holds something, or a set without a kept clip.
    """
    if layout not in LAYOUTS:
        raise DataError("data.unknown_layout", layout=layout, nearest=nearest(layout, LAYOUTS))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("data.folder_not_empty", folder=folder)
    rows = [row for row in Manifest.rows(project.manifest) if row.kept]
    if layout in OF_PHONES:
        for row in (row for row in rows if not row.phones):
            on_progress(Progress("export", 0, len(rows), "clips", Message("data.no_phones", id=row.id)))
        rows = [row for row in rows if row.phones]
    if not rows:
        raise DataError("data.nothing_to_export")
    for number, row in enumerate(rows):
        on_progress(Progress("export", number, len(rows), "clips"))
        _copied(project.inside(row.path), folder / _sound(row))
    tables = []
    for name, content in LAYOUTS[layout](rows, folder.absolute()).items():
        tables.append(folder / name)
        write_text(tables[-1], content)
    write_text(folder / "LICENCE.txt", _licences(rows) + "".join(f"{one}\n" for one in attributions(project)))
    on_progress(Progress("export", len(rows), len(rows), "clips"))
    return len(rows), tuple(tables)


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    except FileNotFoundError as error:
        raise DataError("data.unreadable_clip", path=source, reason=error.strerror) from error


def _licences(rows: Iterable[Utterance]) -> str:
    """List licence and origin of the exported clips, a line for each pair."""
    facts = dict.fromkeys((row.licence or "unknown", row.consent or "unknown") for row in rows)
    return "".join(f"licence: {licence}; consent: {consent}\n" for licence, consent in facts)
