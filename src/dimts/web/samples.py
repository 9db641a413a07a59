"""A sentence of each voice that can speak at once, made when it is first asked for and kept beside uploads.

    /sample/VOICE            a voice that comes with the package
    /sample/PROJECT/VOICE    a voice of a project

Names are looked up among those that are there.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from dimts.base import builtin_voices
from dimts.base.errors import SynthesisError
from dimts.web.synthesis import FORMANT, Speakers, settings_of
from dimts.web.workspace import Workspace, voice_folder

TEXT = "ሰላም ለዓለም። እንዴት ናችሁ? ዛሬ አየሩ በጣም ጥሩ ነው።"
"""What a sample says."""
_FOLDER = "samples"
_ONE_MAKES = threading.Lock()


def built_in() -> tuple[str, ...]:
    """Names of the voices that speak without a project."""
    return (FORMANT, *builtin_voices.voices())


def sample_file(workspace: Workspace, speakers: Speakers, path: str) -> Path:
    """The MP3 file of a sample by its address below /sample/.

    Raises ProjectError and SynthesisError for names that are not there, and as `Speakers.get` does.
    """
    project_name, _, name = path.rpartition("/")
    project = workspace.project(project_name) if project_name else None
    if project is None and name not in built_in():
        raise SynthesisError("web.no_such_voice", name=name[:60])
    stamp = "" if project is None else str((voice_folder(project, name) / "bundle.json").stat().st_mtime_ns)
    digest = hashlib.sha256(f"{project_name}\t{name}\t{stamp}\t{TEXT}".encode()).hexdigest()[:24]
    file = workspace.cache / _FOLDER / f"{digest}.mp3"
    with _ONE_MAKES:
        if not file.is_file():
            speaker = speakers.get(project, name, settings_of(project))
            with speakers.turn:
                speaker.say(TEXT).save(file)
    return file
