"""Synthesise text while its audio is played, and store the whole afterwards. Models stay loaded.

A stream is an MP3 file that grows: the player reads what is there and waits for the rest. Its address is a
secret of the browser that requested it.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dimts.base import builtin_voices
from dimts.base.config import from_table, to_dict
from dimts.base.errors import SynthesisError, TextError
from dimts.base.project import Project
from dimts.web.workspace import voice_folder, voices

if TYPE_CHECKING:
    from dimts.audio.wave import Wave
    from dimts.speak import Speaker, SpeakSettings

FORMANT = "formant"
AT = "@"
"""Separator of a voice and the step of a checkpoint of its run: "abebe@100"."""
MAX_LETTERS = 20_000
"""Longest text of the page; `dimts say` takes any."""
_LOADED = 2
"""Speakers kept in memory."""
_STREAMS = 200
"""Number of streams kept."""


@dataclass(slots=True)
class AudioStream:
    """An audio file that may still grow."""

    path: Path
    over: threading.Event


class Streams:
    """Growing files by token."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, AudioStream] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, folder: Path) -> tuple[str, AudioStream]:
        """Open a new stream in `folder`; returns its token too."""
        token = secrets.token_urlsafe(18)
        folder.mkdir(parents=True, exist_ok=True)
        stream = AudioStream(folder / f"{token}.mp3", threading.Event())
        stream.path.touch()
        with self._lock:
            self._known[token] = stream
            while len(self._known) > _STREAMS:
                _, old = self._known.popitem(last=False)
                old.path.unlink(missing_ok=True)
        return token, stream

    def get(self, token: str) -> AudioStream | None:
        """Return the stream of a token; None for an unknown one."""
        with self._lock:
            return self._known.get(token)


class Speakers:
    """Load a voice once, and again when its files or the settings have changed."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[tuple[Any, ...], Speaker] = OrderedDict()
        self._lock = threading.Lock()
        self.turn = threading.Lock()
        """Lock during synthesis: one at a time, as models share the machine."""

    def get(self, project: Project | None, name: str, settings: SpeakSettings) -> Speaker:
        """Return the speaker of a voice of the project, or of the built-in one, which needs none. Raises as
        `Speaker.load`."""
        from dimts.speak import Speaker
        from dimts.text.frontend import FrontendSettings

        lexicon = project.lexicon if project is not None and project.lexicon.is_file() else None
        frontend = project.settings("text", FrontendSettings) if project is not None else FrontendSettings()
        own = None
        if (
            project is not None
            and name != FORMANT
            and (name not in builtin_voices.voices() or name in voices(project))
        ):
            own = folder_of(project, name)
        folder = own or builtin_voices.voices().get(name)
        key = (
            name,
            str(folder or FORMANT),
            repr(to_dict(settings)),
            repr(to_dict(frontend)),
            _stamp(lexicon),
            _stamp(folder / "bundle.json" if folder else None),
        )
        with self._lock:
            if key not in self._loaded:
                place = own or (name if folder else FORMANT)
                self._loaded[key] = Speaker.load(place, settings, frontend=frontend, lexicon=lexicon)
                while len(self._loaded) > _LOADED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(key)
            return self._loaded[key]


def choices(project: Project) -> list[str]:
    """Return the voices: the project's, newest first, and the built-in ones."""
    own = voices(project)
    return [*own, FORMANT, *(name for name in builtin_voices.voices() if name not in own)]


def checkpoints(project: Project) -> list[str]:
    """Return the checkpoints of the runs that made the voices, as "voice@step", newest first; none of
    adapters (LoRA)."""
    out = []
    for name in voices(project):
        note = _note(project, name)
        if note.get("settings", {}).get("trainable") == "lora":
            continue
        steps = (project.runs / str(note.get("run") or "-") / "checkpoints").glob("step-*/state.json")
        numbers = sorted((int(path.parent.name.removeprefix("step-")) for path in steps), reverse=True)
        out += [f"{name}{AT}{number}" for number in numbers]
    return out


def checked(project: Project, name: str) -> str:
    """Return `name` if it exists here. SynthesisError otherwise."""
    if name not in (*choices(project), *checkpoints(project)):
        raise SynthesisError("web.no_such_voice", name=str(name)[:60])
    return name


def folder_of(project: Project, name: str) -> Path:
    """Return the folder of a voice; that of a checkpoint is made at its first use.

    Raises SynthesisError for an unknown name, CheckpointError for a checkpoint that does not fit its voice.
    """
    checked(project, name)
    voice, _, step = name.partition(AT)
    folder = voice_folder(project, voice)
    if not step:
        return folder
    made = project.root / "compare" / "checkpoints" / f"{_note(project, voice).get('run')}-{name}"
    if not (made / "bundle.json").is_file():
        _as_bundle(project, folder, int(step), made)
    return made


def _as_bundle(project: Project, folder: Path, step: int, made: Path) -> None:
    """Write the voice with the weights that its run had at `step`."""
    import torch

    from dimts.base.errors import CheckpointError
    from dimts.train.snapshot import load as load_snapshot
    from dimts.xtts.checkpoint import save_bundle
    from dimts.xtts.load import load

    bundle = load(folder)
    run = project.runs / str(bundle.meta.get("run"))
    snapshot = load_snapshot(run / "checkpoints" / f"step-{step:06d}")
    own = dict(bundle.model.named_parameters())
    weights = snapshot.average or snapshot.weights
    odd = [name for name, value in weights.items() if name not in own or own[name].shape != value.shape]
    if odd:
        raise CheckpointError("web.checkpoint_of_another_shape", step=step, run=run.name, parameter=odd[0])
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)
    save_bundle(bundle, made)


def _note(project: Project, voice: str) -> dict[str, Any]:
    """Return a voice's metadata."""
    try:
        content = json.loads((project.voices / voice / "bundle.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    note = content.get("meta", content)
    return note if isinstance(note, dict) else {}


def settings_of(project: Project | None, **given: Any) -> SpeakSettings:
    """Return [speak] of the project, or the defaults without one, with some values of the page instead.

    Raises ConfigError for a value out of range.
    """
    from dimts.speak import SpeakSettings

    own = to_dict(project.settings("speak", SpeakSettings) if project is not None else SpeakSettings())
    own = {key: value for key, value in own.items() if value is not None}
    return from_table(SpeakSettings, {**own, **{k: v for k, v in given.items() if v is not None}}, "speak")


def spoken(speaker: Speaker, text: str, stream: AudioStream) -> Iterator[Wave]:
    """Synthesise into `stream`, piece by piece; yields each piece too. The stream is over however this ends.

    Raises TextError for a text that is empty, too long or not Amharic, SynthesisError if nothing was spoken.
    """
    from dimts.audio.wave import Writer
    from dimts.speak import RATE

    try:
        if len(text) > MAX_LETTERS:
            raise TextError("web.text_too_long_to_speak", letters=len(text))
        spoken_any = False
        with stream.path.open("wb", buffering=0) as file, Writer(file, "mp3", RATE) as writer:
            for wave in speaker.stream(text):
                writer.write(wave)
                spoken_any = True
                yield wave
        if not spoken_any:
            raise SynthesisError("web.nothing_spoken")
    finally:
        stream.over.set()


def _stamp(path: Path | None) -> tuple[float, int]:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        found = None
    return (found.st_mtime, found.st_size) if found else (0.0, 0)
