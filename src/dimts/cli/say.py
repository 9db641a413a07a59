"""`dimts say`: synthesise text as a file, a folder of files, or a stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from dimts.base.messages import Message
from dimts.cli.output import show

if TYPE_CHECKING:
    from dimts.audio.timings import Mark
    from dimts.audio.wave import Writer
    from dimts.cli.player import Loudspeaker
    from dimts.speak import Speaker, SpeakSettings, SynthesisedPhrase
    from dimts.xtts.voice import Voice

_STDOUT = Path("-")
_NAME_LETTERS = 40
_LONG_TEXT_LETTERS = 600
"""Letters from which a progress bar is shown."""


def register(app: typer.Typer) -> None:
    """Add the command `say`."""
    app.command("say")(say)


_TEXT = typer.Argument(None, metavar="[TEXT]", help="What to say, in fidel.")
_OUT = typer.Option(
    None,
    "--out",
    "-o",
    metavar="FILE|FOLDER/|-",
    help="Sound file; its suffix is the format: wav, flac, mp3, ogg, opus. "
    "- streams to standard output; a folder "
    "is --out-dir. Default: a wav named after the text, in this folder.",
)
_PLAY = typer.Option(False, "--play", help="Play it as it is made, on this machine's loudspeaker.")
_SOURCE = typer.Option(None, "--input", "-i", metavar="FILE", help="Say a text file (UTF-8).")
_STDIN = typer.Option(
    False,
    "--stdin",
    help="Say what comes on standard input; with '-o -' or --play line by line, as it comes.",
)
_OUT_DIR = typer.Option(
    None,
    "--out-dir",
    metavar="FOLDER",
    help="One file for each paragraph of the text, and index.jsonl; run again, it goes on where it stopped.",
)
_VOICE = typer.Option(
    [],
    "--voice",
    help="'formant' (default), the folder of a voice bundle, the name of a voice of --project or --model, a "
    "recording to speak like, or a .voice file. Several are blended: --voice a.wav=0.7 --voice b.wav=0.3.",
)
_MODEL = typer.Option(
    None,
    "--model",
    metavar="FOLDER",
    help="Model that speaks like the --voice recordings; default: the fetched one.",
)
_CONSENT = typer.Option(
    None,
    "--consent",
    metavar="TEXT",
    help="Who speaks in the --voice recordings, and how they agreed. It is stored and not asked for again "
    "(see 'dimts consent').",
    show_default=False,
)
_RATE = typer.Option(
    None, "--rate", metavar="FACTOR", help="Tempo, 0.5 to 2.0 or 50% to 200%; the pitch stays."
)
_PITCH = typer.Option(
    None, "--pitch", metavar="FACTOR", help="Height of the formant voice, 0.64 to 1.7 or 64% to 170%."
)
_VARIANT = typer.Option(None, "--variant", help="Variant of the formant voice, e.g. f2, m3, klatt.")
_SEED = typer.Option(None, "--seed", help="Same seed, same sound (models).")
_WEIGHTS = typer.Option(
    None,
    "--weights",
    help="Of a model: float32, int8 (faster on a CPU), bfloat16, float16 (on a card); or auto.",
)
_TIMINGS = typer.Option(
    [],
    "--timings",
    metavar="FILE",
    help=(
        "Also write when each phrase, word and phone is spoken: .srt, "
        ".vtt, .TextGrid or .json; may be repeated."
    ),
)
_FORM = typer.Option("wav", "--format", help="Format of '-o -' (wav, or raw: 16-bit, 24 kHz) and --out-dir.")
_PROJECT = typer.Option(
    None,
    "--project",
    metavar="FOLDER",
    help="Project whose [text] and [speak] settings and lexicon are used.",
)
_LEXICON = typer.Option(None, "--lexicon", metavar="FILE", help="Your own lexicon: word TAB phones.")
_DEVICE = typer.Option(None, "--device", help="cpu, cuda …; default: cuda where there is one.")
_OVERRIDES = typer.Option(
    [], "--set", metavar="TABLE.KEY=VALUE", help="Any setting, e.g. speak.temperature=0.6."
)
_LIST_VARIANTS = typer.Option(False, "--variants", help="List the variants of the formant voice and leave.")
_LIST_VOICES = typer.Option(False, "--voices", help="List the voices of --model or of the bundle and leave.")


def say(
    context: typer.Context,
    text: str | None = _TEXT,
    out: str | None = _OUT,
    play: bool = _PLAY,
    source: Path | None = _SOURCE,
    stdin: bool = _STDIN,
    out_dir: Path | None = _OUT_DIR,
    voice: list[str] = _VOICE,
    consent: str | None = _CONSENT,
    model: Path | None = _MODEL,
    rate: str | None = _RATE,
    pitch: str | None = _PITCH,
    variant: str | None = _VARIANT,
    seed: int | None = _SEED,
    weights: str | None = _WEIGHTS,
    timings: list[Path] = _TIMINGS,
    form: str = _FORM,
    project: Path | None = _PROJECT,
    lexicon: Path | None = _LEXICON,
    device: str | None = _DEVICE,
    overrides: list[str] = _OVERRIDES,
    list_variants: bool = _LIST_VARIANTS,
    list_voices: bool = _LIST_VOICES,
) -> None:
    """Synthesise a text: with the formant voice, which needs no model, or with a voice of your own."""
    from dimts.base.errors import ConfigError
    from dimts.cli.phones import show_fallbacks
    from dimts.cli.player import playing
    from dimts.cli.speakers import factor, settings_of, speaker_of
    from dimts.speak import RATE

    if list_variants:
        from dimts.audio.formant import variants

        print("\n".join(variants()))
        return
    if sum((text is not None, source is not None, stdin)) != 1 and not list_voices:
        raise ConfigError("cli.one_text_wanted")
    target = None if out is None else Path(out)
    if out is not None and out_dir is None and (out.endswith(("/", os.sep)) or Path(out).is_dir()):
        target, out_dir = None, Path(out)
    _check_targets(target, out_dir, timings, form, play=play)
    settings = settings_of(
        project,
        overrides,
        rate=factor(rate, "--rate"),
        pitch=factor(pitch, "--pitch"),
        variant=variant,
        seed=seed,
        weights=weights,
    )
    speaker, chosen = speaker_of(
        voice, model, settings, project, lexicon, device, overrides, consent=consent, listing=list_voices
    )
    context.call_on_close(lambda: show_fallbacks(speaker.frontend.chain.fallbacks()))
    if list_voices:
        one = Message("cli.one_voice", engine=speaker.engine.name)
        print("\n".join(speaker.voices) or one.text())
        return
    if play or target == _STDOUT:
        texts = _lines() if stdin else iter([text if text is not None else _read(source)])
        if play:
            with playing(RATE) as loudspeaker:
                _stream(texts, speaker, chosen, "raw", loudspeaker)
        else:
            _stream(texts, speaker, chosen, form, sys.stdout.buffer)
        return
    whole = text if text is not None else _read(source)
    if out_dir is not None:
        _batch(whole, speaker, chosen, out_dir, form, _identity(voice, model, settings))
    else:
        _one(whole, speaker, chosen, target or _free_name(whole), timings)


# Input


def _read(source: Path | None) -> str:
    """Read a text file, or standard input."""
    from dimts.base.errors import TextError

    where = Message("cli.standard_input") if source is None else source
    try:
        data = sys.stdin.buffer.read() if source is None else source.read_bytes()
    except FileNotFoundError as error:
        raise TextError("cli.no_such_text", path=source) from error
    except IsADirectoryError as error:
        raise TextError("cli.text_is_folder", path=source) from error
    except PermissionError as error:
        raise TextError("cli.text_unreadable", path=source) from error
    return _decoded(data, where)


def _decoded(data: bytes, where: Path | Message) -> str:
    from dimts.base.errors import TextError

    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError("cli.text_not_utf8", path=where) from error


def _lines() -> Iterator[str]:
    """Yield lines of standard input as they arrive."""
    for line in sys.stdin.buffer:
        yield _decoded(line, Message("cli.standard_input"))


# Output


def _one(text: str, speaker: Speaker, voice: Voice | str | None, out: Path, timings: Sequence[Path]) -> None:
    from dimts.audio.timings import write
    from dimts.audio.wave import writing
    from dimts.speak import RATE

    marks: list[Mark] = []
    seconds = 0.0
    with writing(out, RATE) as file:
        for phrase in _watched(speaker.phrases(text, voice), text):
            seconds += _put(file, phrase)
            marks += _marks(phrase)
    show(Message("cli.sound_written", path=out, seconds=seconds, voice=speaker.engine.name))
    for path in timings:
        write(path, marks, seconds)
        show(Message("cli.timings_written", path=path))


def _put(file: Writer, phrase: SynthesisedPhrase) -> float:
    """Write a phrase and its pause; returns their seconds."""
    file.write(phrase.wave)
    if phrase.pause:
        file.write(phrase.silence)
    return phrase.wave.seconds + phrase.pause


def _watched(phrases: Iterator[SynthesisedPhrase], text: str) -> Iterator[SynthesisedPhrase]:
    """Yield the same phrases, with a progress bar where the text is long."""
    from dimts.base.progress import Progress
    from dimts.cli.output import progress_bar

    if len(text) < _LONG_TEXT_LETTERS:
        yield from phrases
        return
    letters = 0
    with progress_bar() as on_progress:
        for phrase in phrases:
            yield phrase
            letters += len(phrase.phrase.written) + 1
            on_progress(
                Progress(
                    "say", min(letters, len(text)), len(text), "letters", values={"seconds": phrase.start}
                )
            )


def _marks(phrase: SynthesisedPhrase) -> list[Mark]:
    """Return phrase, words and phones as marks; phrases without words are pauses and have none."""
    from dimts.audio.timings import Mark

    if not phrase.words:
        return []
    written, mark = phrase.phrase.written, phrase.phrase.mark
    shown = written if written.endswith(mark) else written + mark
    marks = [Mark("phrase", shown, phrase.start, phrase.start + phrase.wave.seconds)]
    for word in phrase.words:
        marks.append(Mark("word", word.word, word.start, word.end))
        marks += [Mark("phone", phone, start, end) for phone, start, end in word.phones]
    return marks


def _free_name(text: str) -> Path:
    """Return an unused file name made of the first words of the text."""
    import re

    words = re.findall(r"\w+", text)
    stem = ""
    for word in words:
        if stem and len(stem) + len(word) >= _NAME_LETTERS:
            break
        stem = f"{stem}-{word}" if stem else word[:_NAME_LETTERS]
    path, number = Path(f"{stem or 'speech'}.wav"), 2
    while path.exists():
        path, number = Path(f"{stem or 'speech'}-{number}.wav"), number + 1
    return path


def _check_targets(
    target: Path | None, out_dir: Path | None, timings: Sequence[Path], form: str, *, play: bool
) -> None:
    """Raise ConfigError for targets that exclude each other, AudioError for an unknown format."""
    from dimts.audio.timings import writer
    from dimts.audio.wave import FORMATS, check_target
    from dimts.base.errors import AudioError, ConfigError
    from dimts.base.plugins import nearest

    if play and (target is not None or out_dir is not None or timings):
        raise ConfigError("cli.play_or_file")
    if target is not None and out_dir is not None:
        raise ConfigError("cli.out_or_out_dir")
    if timings and (target == _STDOUT or out_dir is not None):
        raise ConfigError("cli.timings_need_file")
    for path in timings:
        writer(path)
    known = [*FORMATS, "raw"] if target == _STDOUT else [*FORMATS]
    if form not in known:
        raise AudioError("cli.unknown_sound_format", form=form, nearest=nearest(form, known))
    if target == _STDOUT and form not in ("wav", "raw"):
        raise AudioError("cli.format_not_streamed", form=form)
    if target is not None and target != _STDOUT:
        check_target(target)


def _stream(
    texts: Iterable[str],
    speaker: Speaker,
    voice: Voice | str | None,
    form: str,
    target: BinaryIO | Loudspeaker,
) -> None:
    """Stream speech into `target` as it is made; a line without Amharic is reported and skipped."""
    from dimts.base.errors import TextError

    begun = False
    problem: TextError | None = None
    for text in texts:
        if not text.strip():
            continue
        try:
            for wave in speaker.stream(text, voice):
                if not begun and form == "wav":
                    _open_ended_header(target, wave.rate)
                begun = True
                target.write((wave.samples.clip(-1.0, 1.0) * 32767.0).round().astype("<i2").tobytes())
                target.flush()
        except TextError as error:
            problem = error
            show(Message("cli.text_skipped", reason=error), "warning")
        except BrokenPipeError:  # the player has ended; what Python still buffers for it is dropped
            if target is sys.stdout.buffer:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
    if not begun:
        raise problem or TextError("cli.text_empty")


def _open_ended_header(target: BinaryIO | Loudspeaker, rate: int) -> None:
    """Write a wav header without a length, as players accept it from a pipe."""
    import struct

    endless = 0xFFFFFFFF
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    target.write(
        struct.pack("<4sI4s", b"RIFF", endless, b"WAVE") + form + struct.pack("<4sI", b"data", endless)
    )


def _identity(voice: Sequence[str], model: Path | None, settings: SpeakSettings) -> str:
    """Return a hash of all that determines the sound of a batch besides its texts."""
    import hashlib
    import json

    from dimts.base.config import to_dict
    from dimts.base.files import fingerprint
    from dimts.cli.speakers import share_of

    parts: list[object] = [to_dict(settings)]
    for item in [*(share_of(one) for one in voice), (str(model or ""), 1.0)]:
        path = Path(item[0])
        inside = next(
            (path / name for name in ("bundle.json", "config.json") if (path / name).is_file()), path
        )
        parts.append([*item, fingerprint(inside) if inside.is_file() else ""])
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def _batch(
    text: str, speaker: Speaker, voice: Voice | str | None, folder: Path, form: str, identity: str
) -> None:
    """Write a file for each paragraph; those that index.jsonl lists as done are skipped."""
    import hashlib
    import json

    from dimts.audio.wave import writing
    from dimts.base.errors import TextError, storage_error
    from dimts.base.progress import Progress
    from dimts.cli.output import progress_bar
    from dimts.speak import RATE

    paragraphs = [line.strip() for line in text.splitlines() if line.strip()]
    if not paragraphs:
        raise TextError("cli.text_empty")
    index = folder / "index.jsonl"
    done = _done(index)
    width = max(4, len(str(len(paragraphs))))
    spoken = skipped = kept = 0
    with progress_bar() as on_progress:
        for number, paragraph in enumerate(paragraphs, start=1):
            name = f"{number:0{width}d}.{form}"
            key = hashlib.sha256(f"{identity}\n{form}\n{paragraph}".encode()).hexdigest()
            message = None
            if done.get(name) == key and (folder / name).is_file():
                kept += 1
            else:
                try:
                    with writing(folder / name, RATE) as file:
                        seconds = sum(_put(file, phrase) for phrase in speaker.phrases(paragraph, voice))
                    row = {"file": name, "text": paragraph, "seconds": round(seconds, 3), "key": key}
                    try:
                        with index.open("a", encoding="utf-8") as lines:
                            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                    except OSError as error:
                        raise storage_error(error, index) or error from error
                    spoken += 1
                except TextError as error:
                    skipped += 1
                    message = Message("cli.paragraph_skipped", number=number, reason=error)
            on_progress(Progress("say", number, len(paragraphs), "paragraphs", message))
    if not spoken and not kept:
        raise TextError("cli.no_amharic_paragraph")
    voice_name = speaker.engine.name
    show(
        Message("cli.batch_done", folder=folder, spoken=spoken, kept=kept, skipped=skipped, voice=voice_name)
    )


def _done(index: Path) -> dict[str, str]:
    """Read file names and keys of their contents; incomplete lines are ignored."""
    import json

    found: dict[str, str] = {}
    if index.is_file():
        for line in index.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                found[row["file"]] = row["key"]
            except (ValueError, KeyError, TypeError):
                continue
    return found
