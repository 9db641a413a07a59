"""Build the speaker and the voice, or blend of voices, that options select."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dimts.base.messages import Message
from dimts.cli.output import show

if TYPE_CHECKING:
    from dimts.speak import Speaker, SpeakSettings
    from dimts.text.frontend import FrontendSettings
    from dimts.xtts.voice import Voice

FORMANT = "formant"


def factor(text: str | None, option: str) -> float | None:
    """Parse a factor: "1.25" or "125%" → 1.25. ConfigError for anything else."""
    from dimts.base.errors import ConfigError

    if text is None:
        return None
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise ConfigError("cli.not_a_factor", option=option, text=text) from error


def settings_of(
    project: Path | None,
    overrides: Sequence[str],
    *,
    rate: float | None,
    pitch: float | None,
    variant: str | None,
    seed: int | None,
    weights: str | None = None,
) -> SpeakSettings:
    """Read [speak] of the project, then --set, then the command's own options."""
    from dimts.base.config import from_table
    from dimts.base.project import Project
    from dimts.speak import SpeakSettings

    flags = {
        "rate": rate,
        "seed": seed,
        "weights": weights,
        "formant.pitch": pitch,
        "formant.variant": variant,
    }
    texts = [*overrides, *(f"speak.{key}={value!r}" for key, value in flags.items() if value is not None)]
    if project is not None:
        return Project.open(project).settings("speak", SpeakSettings, tuple(texts))
    return from_table(SpeakSettings, {}, "speak", texts)


def speaker_of(
    voice: Sequence[str],
    model: Path | None,
    settings: SpeakSettings,
    project: Path | None,
    lexicon: Path | None,
    device: str | None,
    overrides: Sequence[str],
    *,
    consent: str | None = None,
    listing: bool = False,
) -> tuple[Speaker, Voice | str | None]:
    """Load the speaker, and the voice it is to use; no voice if those of a model are only listed.

    `consent` is the statement for recordings (see `consents_of`). Raises ConfigError for one without a
    recording.
    """
    from dimts.base import builtin_voices
    from dimts.base.errors import ConfigError, DownloadError
    from dimts.base.progress import Progress
    from dimts.cli.consent import consents_of
    from dimts.speak import Speaker

    def on_progress(progress: Progress) -> None:
        if progress.message is not None:
            show(progress.message)

    shares = [share_of(item) for item in voice]
    names = [name for name, _ in shares]
    built_in = builtin_voices.voices() if model is None else {}
    known = built_in if model is None else _names_in(model)
    recordings = [Path(name) for name in names if name not in known and _is_recording(name)]
    if consent is not None and not recordings:
        raise ConfigError("cli.consent_without_recording")
    frontend, lexicon = _front_end(project, lexicon, overrides)
    if model is None and names in ([], [FORMANT]):
        return Speaker.load(
            FORMANT, settings, frontend=frontend, lexicon=lexicon, on_progress=on_progress
        ), None
    place: Path | str | None = _folder(names[0], project) if len(names) == 1 else None
    if place is None and len(names) == 1 and names[0] in built_in:
        place = names[0]
    if model is None and place is not None:
        return Speaker.load(
            place, settings, frontend=frontend, lexicon=lexicon, device=device, on_progress=on_progress
        ), None
    if FORMANT in names:
        raise ConfigError("cli.formant_not_blended")
    if any(name in built_in for name in names):
        model = builtin_voices.base()
    if model is None:
        from dimts.xtts.download import find_base

        try:
            model = find_base()
        except DownloadError:
            _check_names(names)
            raise
    consents = {} if listing else consents_of(recordings, consent)
    speaker = Speaker.load(
        model, settings, frontend=frontend, lexicon=lexicon, device=device, on_progress=on_progress
    )
    return speaker, None if listing else _blend(speaker, shares, consents)


def _front_end(
    project: Path | None, lexicon: Path | None, overrides: Sequence[str]
) -> tuple[FrontendSettings | None, Path | None]:
    """Return the settings of the front end, None for the engine's own, and the lexicon."""
    from dimts.base.config import from_table
    from dimts.base.errors import ConfigError
    from dimts.base.project import Project
    from dimts.speak import FORMANT_FRONTEND
    from dimts.text.frontend import FrontendSettings

    if lexicon is not None and not lexicon.is_file():
        raise ConfigError("cli.no_such_lexicon", path=lexicon)
    if project is not None:
        opened = Project.open(project)
        frontend = opened.settings("text", FrontendSettings, tuple(overrides))
        return frontend, lexicon or (opened.lexicon if opened.lexicon.is_file() else None)
    if any(item.strip().startswith("text.") for item in overrides):
        return from_table(FrontendSettings, _plain(FORMANT_FRONTEND), "text", overrides), lexicon
    return None, lexicon


def _folder(name: str, project: Path | None) -> Path | None:
    """Return the voice bundle of that name: a folder, or one of the project's voices."""
    from dimts.base.project import Project

    places = [Path(name)] + ([Project(project).voices / name] if project is not None else [])
    return next((place for place in places if place.is_dir()), None)


def _plain(settings: object) -> dict[str, object]:
    from dimts.base.config import to_dict

    return to_dict(settings)


def share_of(item: str) -> tuple[str, float]:
    """Parse a share: "abebe.wav=0.7" → ("abebe.wav", 0.7); without a share: 1."""
    from dimts.base.errors import ConfigError

    name, sign, share = item.rpartition("=")
    if not sign:
        return item, 1.0
    try:
        return name, float(share)
    except ValueError as error:
        raise ConfigError("cli.voice_share_unreadable", item=item) from error


def _names_in(model: Path) -> Collection[str]:
    """Return the names of the voices in a bundle, without loading it; none for another kind of model. Raises
    CheckpointError."""
    from dimts.base.errors import CheckpointError
    from dimts.xtts.bundle_files import BUNDLE, read_json

    if not model.exists():
        raise CheckpointError("xtts.no_such_model", folder=model)
    names = read_json(model / BUNDLE).get("voices") if (model / BUNDLE).is_file() else ()
    return names if isinstance(names, dict) else ()


def _is_recording(name: str) -> bool:
    """Whether a name is that of a file from which a voice is cloned, not of a voice or a file of voices."""
    return Path(name).is_file() and Path(name).suffix not in (".voice", ".pth")


def _check_names(names: Sequence[str]) -> None:
    """Raise ConfigError for names that are no files when there is no model with voices."""
    from dimts.base.errors import SynthesisError

    for name in names:
        if not Path(name).exists():
            raise SynthesisError("cli.no_such_voice", name=name)


def _blend(
    speaker: Speaker, shares: Sequence[tuple[str, float]], consents: Mapping[Path, str]
) -> Voice | str | None:
    voices = [(_one_voice(speaker, name, consents), share) for name, share in shares]
    if len(voices) < 2:
        return voices[0][0] if voices else None
    from dimts.xtts.voice import Voice

    return Voice.blend(voices)


def _one_voice(speaker: Speaker, name: str, consents: Mapping[Path, str]) -> Voice:
    """Load a voice of the model by its name, a .voice file, one of a speakers_xtts.pth (FILE or FILE:NAME),
    or a recording, whose consent is given."""
    from dimts.base.errors import AudioError, SynthesisError
    from dimts.base.plugins import nearest

    if name in speaker.voices:
        return speaker.voices[name]
    file, sign, inside = name.rpartition(".pth:")
    path = Path(f"{file}.pth" if sign else name)
    if path.suffix == ".pth" and path.is_file():
        from dimts.xtts.coqui_checkpoint import read_speakers

        voices = read_speakers(path)
        inside = inside if sign else next(iter(voices), "")
        if inside not in voices:
            raise SynthesisError("cli.no_voice", path=path, name=inside, nearest=nearest(inside, voices))
        return voices[inside]
    if path.suffix == ".voice":
        from dimts.xtts.voice import Voice

        return Voice.load(path)
    if path in consents:
        return speaker.clone(path, consent=consents[path])
    if path.is_dir():
        raise AudioError("audio.source_is_folder", path=path)
    known = nearest(name, speaker.voices) if speaker.voices else Message("cli.name_a_recording")
    raise SynthesisError("cli.no_voice_no_file", engine=speaker.engine.name, name=name, nearest=known)
