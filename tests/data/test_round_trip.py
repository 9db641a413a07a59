"""Twenty texts in every form that is read, written by the format's own library where there is one: the same
twenty are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pysubs2
import pytest

from dimts.audio.timings import Mark, textgrid
from dimts.data.sources import find_recordings

COUNT = 20
CUES = [
    (f"ሰላም ለዓለም፣ ቁጥር {'ሀለሐመሠረሰሸቀበ'[number % 10]}{'ም' * (number // 10)}!", 3.0 * number, 3.0 * number + 2.25)
    for number in range(COUNT)
]
TEXTS = [text for text, _, _ in CUES]


def clock(seconds: float, mark: str = ".") -> str:
    return f"{int(seconds // 3600):02d}:{int(seconds // 60 % 60):02d}:{seconds % 60:06.3f}".replace(".", mark)


def subtitles(form: str, **options: object) -> Callable[[Path], None]:
    """Written by pysubs2."""

    def write(path: Path) -> None:
        file = pysubs2.SSAFile()
        for text, start, end in CUES:
            file.append(pysubs2.SSAEvent(round(start * 1000), round(end * 1000), text))
        file.save(str(path), format_=form, **options)

    return write


def text_file(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content, encoding="utf-8") and None


WHISPER = {"segments": [{"start": start, "end": end, "text": f" {text}"} for text, start, end in CUES]}
TIMED: dict[str, Callable[[Path], None]] = {
    "a.srt": subtitles("srt"),
    "a.vtt": subtitles("vtt"),
    "a.ass": subtitles("ass"),
    "a.ssa": subtitles("ssa"),
    "a.ttml": subtitles("ttml"),
    "a.sub": subtitles("microdvd", fps=25.0),
    "a.sbv": text_file(
        "\n".join(f"{clock(start)[1:]},{clock(end)[1:]}\n{text}\n" for text, start, end in CUES)
    ),
    "a.lrc": text_file(
        "".join(
            f"[{int(at // 60):02d}:{at % 60:05.2f}]{text}\n"
            for cue, start, end in CUES
            for at, text in ((start, cue), (end, ""))
        )
    ),
    "a.txt": text_file("".join(f"{start:.6f}\t{end:.6f}\t{text}\n" for text, start, end in CUES)),
    "a.TextGrid": text_file(textgrid([Mark("phrase", *cue) for cue in CUES], CUES[-1][2] + 1.0)),
    "a.json": text_file(json.dumps(WHISPER, ensure_ascii=False)),
    "a.tsv": text_file(
        "start\tend\ttext\n"
        + "".join(f"{round(start * 1000)}\t{round(end * 1000)}\t{text}\n" for text, start, end in CUES)
    ),
}


@pytest.mark.parametrize("name", TIMED)
def test_twenty_texts_with_times_are_read_back(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.wav").touch()
    TIMED[name](tmp_path / name)
    (row,) = find_recordings([tmp_path])
    assert row.problem is None
    assert [cue.text for cue in row.cues] == TEXTS
    for cue, (_, start, end) in zip(row.cues, CUES, strict=True):
        assert (cue.start_seconds, cue.end_seconds) == (
            pytest.approx(start, abs=0.03),
            pytest.approx(end, abs=0.03),
        )


def rows(line: Callable[[int, str], str], head: str = "") -> str:
    return head + "".join(f"{line(number, text)}\n" for number, text in enumerate(TEXTS))


def spelt_out(text: str) -> str:
    """As FLEURS has it: letter by letter, a bar for a space."""
    return " ".join(text.replace(" ", "|"))


def objects(**names: str) -> str:
    """JSON lines with other names for the sound and the text."""
    return rows(
        lambda n, text: json.dumps(
            {names["sound"]: f"wavs/s{n:02d}.wav", names["text"]: text}, ensure_ascii=False
        )
    )


TABLES: dict[str, dict[str, str]] = {
    "LJSpeech": {"metadata.csv": rows(lambda n, text: f"s{n:02d}|{text}|{text}")},
    "Piper": {"metadata.csv": rows(lambda n, text: f"s{n:02d}|{text}")},
    "Piper, speakers": {"metadata.csv": rows(lambda n, text: f"s{n:02d}|abebe|{text}")},
    "GPT-SoVITS": {"all.list": rows(lambda n, text: f"wavs/s{n:02d}.wav|abebe|am|{text}")},
    "StyleTTS 2": {"train_list.txt": rows(lambda n, text: f"s{n:02d}.wav|{text}|7")},
    "F5": {"metadata.csv": rows(lambda n, text: f"wavs/s{n:02d}.wav|{text}", "audio_file|text\n")},
    "coqui": {
        "metadata_train.csv": rows(
            lambda n, text: f"wavs/s{n:02d}.wav|{text}|abebe", "audio_file|text|speaker_name\n"
        )
    },
    "FLEURS": {
        "train.tsv": rows(
            lambda n, text: f"{n}\ts{n:02d}.wav\t{text}\t{text}\t{spelt_out(text)}\t32000\tMALE"
        )
    },
    "Common Voice": {
        "validated.tsv": rows(lambda n, text: f"abebe\ts{n:02d}.mp3\t{text}", "client_id\tpath\tsentence\n")
    },
    "NeMo": {"train.jsonl": objects(sound="audio_filepath", text="text")},
    "AudioFolder": {"metadata.jsonl": objects(sound="file_name", text="transcription")},
    "csv": {"metadata.csv": rows(lambda n, text: f'wavs/s{n:02d}.wav,"{text}"', "path,text\n")},
    "DeepSpeech": {
        "train.csv": rows(
            lambda n, text: f"wavs/s{n:02d}.wav,{1000 + n},{text}", "wav_filename,wav_filesize,transcript\n"
        )
    },
    "Kaldi": {
        "wav.scp": rows(lambda n, text: f"s{n:02d} wavs/s{n:02d}.wav"),
        "text": rows(lambda n, text: f"s{n:02d} {text}"),
        "utt2spk": rows(lambda n, text: f"s{n:02d} abebe"),
    },
    "a text beside each": {f"wavs/s{number:02d}.txt": text for number, text in enumerate(TEXTS)},
    "a lab beside each": {f"wavs/s{number:02d}.lab": text for number, text in enumerate(TEXTS)},
}  # fmt: skip


@pytest.mark.parametrize("form", TABLES)
def test_twenty_rows_are_read_back(tmp_path: Path, form: str) -> None:
    (tmp_path / "wavs").mkdir()
    for number in range(COUNT):
        (tmp_path / "wavs" / f"s{number:02d}.wav").touch()
    for name, content in TABLES[form].items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    found = list(find_recordings([tmp_path]))
    assert [(row.problem, row.path.stem, row.text) for row in found] == [
        (None, f"s{number:02d}", text) for number, text in enumerate(TEXTS)
    ]
