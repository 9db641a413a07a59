"""Every form in which texts come with their sounds: one small example of each is read as the same two
texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dimts.base.project import Project
from dimts.data.add import add
from dimts.data.sources import find_recordings

ONE, TWO = "ሰላም ለዓለም", "ዛሬ ጥሩ ቀን ነው"
EAF = f"""<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01" FORMAT="3.0" VERSION="3.0">
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2250"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="3000"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4500"/>
    <TIME_SLOT TIME_SLOT_ID="ts5"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default" PARTICIPANT="አበበ" TIER_ID="utterance@A">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>{ONE}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE>{TWO}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
      <ANNOTATION_VALUE>without an end</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="translation" PARENT_REF="utterance@A" TIER_ID="gloss">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a1">
      <ANNOTATION_VALUE>hello</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>"""
TTML = f"""<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter"
  xml:lang="am" ttp:frameRate="25" ttp:tickRate="1000">
  <head><metadata><desc>not spoken</desc></metadata></head>
  <body><div begin="0.5s">
    <p begin="00:00:00.000" dur="1750t"><span>ሰላም<br/></span>ለዓለም</p>
    <p begin="2.5s" end="00:00:04:00">{TWO}<metadata>not spoken</metadata></p>
  </div></body></tt>"""
WITH_TIMES = {
    "a.eaf": EAF,
    "a.ttml": TTML,
    "a.dfxp": TTML.replace("ns/ttml", "2006/10/ttaf1"),
    "a.sub": "{1}{1}25.0\n{13}{56}ሰላም|ለዓለም\n{75}{113}" + TWO + "\n",
    "a.SUB": f"[INFORMATION]\n[TITLE]x\n[END INFORMATION]\n[SUBTITLE]\n[COLF]&HFF\n"
    "00:00:00.50,00:00:02.25\nሰላም[br]ለዓለም\n\n"
    f"00:00:03.00,00:00:04.50\n{TWO}\n",
    "a.ass": "[Script Info]\nScriptType: v4.00+\n\n"
    "[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n\n"
    "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,note\n"
    "Dialogue: 0,0:00:00.50,0:00:02.25,Default,,0,0,0,,{\\i1}ሰላም{\\i0}\\Nለዓለም\n"
    "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\p1}m 0 0 l 1 1{\\p0}\n"
    f"Dialogue: 0,0:00:03.00,0:00:04.50,Default,,0,0,0,,{TWO}\n",
    "a.ssa": "[Script Info]\nScriptType: v4.00\n\n[Events]\n"
    "Format: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    f"Dialogue: Marked=0,0:00:00.50,0:00:02.25,Default,,0,0,0,,{ONE}\n"
    f"Dialogue: Marked=0,0:00:03.00,0:00:04.50,Default,,0,0,0,,{TWO}\n",
    "a.srt": f"1\n00:00:00,500 --> 00:00:02,250\n{ONE}\n\n2\n00:00:03,000 --> 00:00:04,500\n{TWO}\n",
    "a.am-ET.vtt": f"WEBVTT\n\nid\n00:00.500 --> 00:02.250\n<i>{ONE}</i>\n\n00:03.000 --> 00:04.500\n{TWO}\n",
}  # fmt: skip
TABLES = {
    "LJSpeech": ("metadata.csv", f"a|{ONE}|{ONE}\nb|{TWO}|{TWO}\n", ""),
    "Piper, one speaker": ("metadata.csv", f"a|{ONE}\nb|{TWO}\n", ""),
    "Piper, several": ("metadata.csv", f"a|s1|{ONE}\nb|s1|{TWO}\n", "s1"),
    "GPT-SoVITS": ("all.list", f"wavs/a.wav|s1|am|{ONE}\nwavs/b.wav|s1|am|{TWO}\n", "s1"),
    "StyleTTS 2": ("train_list.txt", f"a.wav|{ONE}|7\nb.wav|{TWO}|7\n", "7"),
    "F5": ("metadata.csv", f"audio_file|text\nwavs/a.wav|{ONE}\nwavs/b.wav|{TWO}\n", ""),
    "coqui": (
        "metadata_train.csv",
        f"audio_file|text|speaker_name\nwavs/a.wav|{ONE}|s1\nwavs/b.wav|{TWO}|s1\n", "s1"),
    "FLEURS": ("train.tsv", "".join(
        f"{n}\t{stem}.wav\t{text}\t{text}\t{' '.join(text.replace(' ', '|'))}\t32000\tMALE\n"
        for n, stem, text in ((1, "a", ONE), (2, "b", TWO))), ""),
    "Common Voice": (
        "validated.tsv", f"client_id\tpath\tsentence\ns1\ta.mp3\t{ONE}\ns1\tb.mp3\t{TWO}\n", "s1"),
    "NeMo": ("train.jsonl", "".join(
        json.dumps(
            {"audio_filepath": f"/data/{stem}.wav", "duration": 2, "text": text}, ensure_ascii=False) + "\n"
        for stem, text in (("a", ONE), ("b", TWO))), ""),
    "AudioFolder": ("metadata.jsonl", "".join(
        json.dumps({"file_name": f"wavs/{stem}.wav", "transcription": text}, ensure_ascii=False) + "\n"
        for stem, text in (("a", ONE), ("b", TWO))), ""),
    "one JSON list": ("manifest.json", json.dumps(
        [{"audio_path": f"{stem}.wav", "transcription": text, "speaker_id": "s1"} for stem, text in
         (("a", ONE), ("b", TWO))], ensure_ascii=False, indent=1), "s1"),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_TIMES)
def test_texts_with_times_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / name).write_text(WITH_TIMES[name], encoding="utf-8")
    (row,) = find_recordings([tmp_path])
    assert row.problem is None
    assert [cue.text for cue in row.cues] == [ONE, TWO]
    assert [(cue.start_seconds, cue.end_seconds) for cue in row.cues] == [
        (pytest.approx(0.5, abs=0.03), pytest.approx(2.25, abs=0.03)),
        (pytest.approx(3.0, abs=0.03), pytest.approx(4.5, abs=0.03)),
    ]
    assert list(find_recordings([tmp_path / "a.wav"])) == [row]
    assert list(find_recordings([tmp_path / name])) == [row]
    assert {cue.speaker for cue in row.cues} == ({"አበበ"} if name == "a.eaf" else {""})


@pytest.mark.parametrize("form", TABLES)
def test_lists_of_other_programs_are_read(tmp_path: Path, form: str) -> None:
    name, content, speaker = TABLES[form]
    (tmp_path / "wavs").mkdir()
    for stem in "ab":
        (tmp_path / "wavs" / f"{stem}.wav").touch()
    (tmp_path / name).write_text(content, encoding="utf-8")
    rows = list(find_recordings([tmp_path]))
    assert [(row.path.stem, row.text, row.speaker, row.problem) for row in rows] == [
        ("a", ONE, speaker, None),
        ("b", TWO, speaker, None),
    ]


def test_elan_tiers_of_two_people_carry_their_names(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()

    def tier(name: str, participant: str, first: int, text: str) -> str:
        refs = f'TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{first + 1}"'
        return (
            f'<TIER TIER_ID="{name}" PARTICIPANT="{participant}"><ANNOTATION><ALIGNABLE_ANNOTATION {refs}>'
            f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>"
        )

    slots = EAF[EAF.index("<TIME_ORDER>") : EAF.index("</TIME_ORDER>")] + "</TIME_ORDER>"
    tiers = tier("A", "አበበ", 1, ONE) + tier("ከበደ", "", 3, ONE)
    (tmp_path / "a.eaf").write_text(
        f"<ANNOTATION_DOCUMENT>{slots}{tiers}</ANNOTATION_DOCUMENT>", encoding="utf-8"
    )
    (row,) = find_recordings([tmp_path])
    assert [(cue.text, cue.speaker) for cue in row.cues] == [(ONE, "አበበ"), (ONE, "ከበደ")]


@pytest.mark.parametrize("name", ["a.eaf", "a.ttml", "a.TextGrid", "a.sbv", "a.lrc", "a.sub"])
def test_a_broken_label_file_is_named_and_a_text_beside_it_is_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / name).write_text("<nothing", encoding="utf-8")
    (row,) = find_recordings([tmp_path])
    assert row.problem is not None
    assert row.problem.kind == "subtitles_unreadable"
    if name != "a.sub":
        (tmp_path / "a.txt").write_text(ONE, encoding="utf-8")
        (row,) = find_recordings([tmp_path])
        assert (row.problem, row.text) == (None, ONE)
    (tmp_path / "a.wav").unlink()
    found = [row.problem.kind for row in find_recordings([tmp_path]) if row.problem]
    assert found == ["no_audio"]


def test_frames_without_a_rate_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "a.sub").write_text(f"{{10}}{{50}}{ONE}\n", encoding="utf-8")
    (row,) = find_recordings([tmp_path])
    assert row.problem is not None
    assert row.problem.message.code == "data.no_frame_rate"
    assert "{1}{1}25" in str(row.problem.message.remedy())


def test_entities_of_xml_do_not_explode(tmp_path: Path) -> None:
    bomb = (
        '<!DOCTYPE tt [<!ENTITY a "'
        + "x" * 1000
        + '">'
        + "".join(
            f'<!ENTITY {chr(ord("a") + n + 1)} "{("&" + chr(ord("a") + n) + ";") * 10}">' for n in range(8)
        )
        + (
            ']><tt xmlns="http://www.w3.org/ns/ttml"><body><div><p '
            'begin="0s" end="1s">&i;</p></div></body></tt>'
        )
    )
    (tmp_path / "a.wav").touch()
    (tmp_path / "a.ttml").write_text(bomb, encoding="utf-8")
    (row,) = find_recordings([tmp_path])
    assert row.problem is not None


def saved(folder: Path, form: str) -> Path:
    """Two rows as `datasets` has them in a folder of its own."""
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.ipc
    import pyarrow.parquet

    sounds = [{"bytes": b"RIFF" + stem * 40, "path": f"{stem.decode()}.wav"} for stem in (b"a", b"b")]
    texts = (ONE, TWO)
    rows = [
        {"audio": one, "sentence": text, "speaker_id": "s1"} for one, text in zip(sounds, texts, strict=True)
    ]
    table = arrow.Table.from_pylist(rows)
    folder.mkdir()
    (folder / "dataset_info.json").write_text("{}", encoding="utf-8")
    if form == "parquet":
        (folder / "data").mkdir()
        pyarrow.parquet.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    else:
        opened = pyarrow.ipc.new_stream if form == "arrow stream" else pyarrow.ipc.new_file
        with opened(folder / "data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table)
    return folder


@pytest.mark.parametrize("form", ["parquet", "arrow stream", "arrow file"])
def test_folders_of_datasets_are_unpacked(project: Project, tmp_path: Path, form: str) -> None:
    folder = saved(tmp_path / "corpus", form)
    (told,) = find_recordings([folder])
    assert told.problem is not None
    assert told.problem.message.code == "data.packed_corpus"
    add(project, [str(folder)])
    rows = list(find_recordings([project.recordings]))
    assert [(row.text, row.speaker, row.problem) for row in rows] == [(ONE, "s1", None), (TWO, "s1", None)]
    assert [row.path.read_bytes()[4:5] for row in rows] == [b"a", b"b"]
    assert add(project, [str(folder)]) == []


def test_texts_come_along_with_a_sound_that_is_added(project: Project, tmp_path: Path) -> None:
    for name in ("talk.wav", "talk.am.srt", "talk.TextGrid", "talk.eaf", "other.eaf"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    names = sorted(path.name for path in add(project, [str(tmp_path / "talk.wav")]))
    assert names == ["talk.TextGrid", "talk.am.srt", "talk.eaf", "talk.wav"]
