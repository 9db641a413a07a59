"""Export the kept clips in the formats of other programs: a folder with a table and the audio files.

LJSpeech and Piper `metadata.csv` (id|text), F5-TTS `metadata.csv` (audio_file|text), coqui-tts
`metadata_train.csv` and `metadata_eval.csv` (audio_file|text|speaker_name), GPT-SoVITS `.list`
(path|speaker|language|text), NeMo manifests, Hugging Face's AudioFolder `metadata.jsonl`, Praat TextGrids
beside the sounds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dimts.audio.timings import Mark, textgrid
from dimts.base.errors import DataError
from dimts.base.files import atomic_path, write_text
from dimts.base.plugins import nearest
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.corpora import attributions
from dimts.data.manifest import Manifest, Utterance

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


def _ljspeech(rows: Sequence[Utterance]) -> dict[str, str]:
    return {"metadata.csv": "".join(_bar(row.id, row.text, row.spoken) for row in rows)}


def _piper(rows: Sequence[Utterance]) -> dict[str, str]:
    several = len({row.speaker for row in rows}) > 1
    lines = (_bar(row.id, *([_speaker(row)] if several else []), row.spoken) for row in rows)
    return {"metadata.csv": "".join(lines)}


def _f5(rows: Sequence[Utterance]) -> dict[str, str]:
    return {
        "metadata.csv": _bar("audio_file", "text") + "".join(_bar(_sound(row), row.spoken) for row in rows)
    }


def _coqui(rows: Sequence[Utterance]) -> dict[str, str]:
    head = _bar("audio_file", "text", "speaker_name")
    held_out = [row for row in rows if row.split != "train"]
    train = [row for row in rows if row.split == "train"]
    return {
        # its reader takes a quote for the beginning of a quoted cell
        name: head + "".join(_bar(_sound(row), row.spoken, _speaker(row)) for row in part).replace('"', "”")
        for name, part in (("metadata_train.csv", train), ("metadata_eval.csv", held_out))
    }


def _gpt_sovits(rows: Sequence[Utterance]) -> dict[str, str]:
    return {"all.list": "".join(_bar(_sound(row), _speaker(row), LANGUAGE, row.spoken) for row in rows)}


def _nemo(rows: Sequence[Utterance]) -> dict[str, str]:
    def line(row: Utterance) -> str:
        cells = {"audio_filepath": _sound(row), "duration": round(row.seconds, 4), "text": row.text}
        return json.dumps({**cells, "speaker": row.speaker}, ensure_ascii=False) + "\n"

    splits = {row.split: None for row in rows}
    return {f"{split}.jsonl": "".join(line(row) for row in rows if row.split == split) for split in splits}


def _hugging_face(rows: Sequence[Utterance]) -> dict[str, str]:
    def line(row: Utterance) -> str:
        facts = {"speaker": row.speaker, "split": row.split, "licence": row.licence}
        return json.dumps({"file_name": _sound(row), "text": row.text, **facts}, ensure_ascii=False) + "\n"

    return {"metadata.jsonl": "".join(map(line, rows))}


def _textgrids(rows: Sequence[Utterance]) -> dict[str, str]:
    return {
        f"{SOUNDS}/{row.id}.TextGrid": textgrid([Mark("phrase", row.text, 0.0, row.seconds)], row.seconds)
        for row in rows
    }


LAYOUTS: dict[str, Callable[[Sequence[Utterance]], dict[str, str]]] = {
    "ljspeech": _ljspeech,
    "piper": _piper,
    "f5": _f5,
    "xtts-coqui": _coqui,
    "gpt-sovits": _gpt_sovits,
    "nemo": _nemo,
    "hf": _hugging_face,
    "textgrid": _textgrids,
}
"""Tables of each layout by its name: file name → content."""


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
    if not rows:
        raise DataError("data.nothing_to_export")
    for number, row in enumerate(rows):
        on_progress(Progress("export", number, len(rows), "clips"))
        _copied(project.inside(row.path), folder / _sound(row))
    tables = []
    for name, content in LAYOUTS[layout](rows).items():
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
