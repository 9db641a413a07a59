"""Speech synthesis systems of any kind, each of which speaks the sentences of an evaluation.

    formant                      the formant voice of dimts
    FOLDER                       a voice of dimts, loaded with its own front end
    folder:FOLDER                recordings and their list; nothing is synthesised
    http://HOST/v1?model=&voice= a server with OpenAI's interface for speech
    command:PROGRAM {wav} {text} a program that writes one sound file for each text
    NAME or NAME:ARGUMENT        a plug-in of the entry-point group dimts.system

`open_system` checks that a system can be used and raises ConfigError if not. A sentence that a system fails
to speak raises another DimtsError; the evaluation names the sentence and goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import ipaddress
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from dimts.audio.level import high_pass
from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError, DimtsError, SynthesisError
from dimts.base.plugins import require, resolve
from dimts.base.version import __version__
from dimts.evaluate.measure import EvaluationSentence, SentenceSpeaker, SpokenSentence, speak_sentence
from dimts.speak import FORMANT, Speaker
from dimts.text.frontend import phonemise

GROUP = "dimts.system"
"""Entry-point group of plug-ins: a function from an argument to a function from a text to a Wave."""
FOLDER, COMMAND = "folder:", "command:"
TIME_LIMIT_SECONDS = 120.0
"""Longest time for one sentence by a server or a program, in seconds."""
_MOST_BYTES = 256 * 1024 * 1024
_SHOWN_LETTERS = 160


class TTSSystem(Protocol):
    """Protocol of a system that speaks sentences of an evaluation."""

    @property
    def kind(self) -> str:
        """Kind of system: voice, folder, server, command or plugin."""

    @property
    def fingerprint(self) -> str:
        """Identity of the system; sentences spoken before under the same one are reused. "": never."""

    def speak(self, sentence: EvaluationSentence) -> SpokenSentence:
        """Speak one sentence. Raises a DimtsError if it fails."""


@dataclass(frozen=True, slots=True)
class VoiceSystem:
    """A voice of dimts, with its own front end."""

    speaker: SentenceSpeaker
    fingerprint: str = ""
    kind: str = "voice"
    formant: bool = False
    """Whether it is the formant voice, on which the shipped recogniser was trained."""

    @classmethod
    def load(cls, where: str) -> VoiceSystem:
        """Load a voice from its folder, or "formant". Raises the errors of loading."""
        return cls(Speaker.load(where), voice_fingerprint(where), formant=where == FORMANT)

    def speak(self, sentence: EvaluationSentence) -> SpokenSentence:
        """Speak one sentence, as speak_sentence does."""
        return speak_sentence(self.speaker, sentence.text)


@dataclass(frozen=True, slots=True)
class WaveSystem:
    """A system that gives a wave for a text; the reference pronunciation is that of the sentence."""

    make: Callable[[EvaluationSentence], Wave]
    kind: str
    fingerprint: str
    synthesises: bool = True
    """Whether the time of synthesis is measured."""

    def speak(self, sentence: EvaluationSentence) -> SpokenSentence:
        """Speak one sentence and measure the time. Raises the errors of `make`."""
        begun = time.perf_counter()
        wave = self.make(sentence)
        seconds = time.perf_counter() - begun if self.synthesises else math.nan
        return SpokenSentence(high_pass(wave), sentence.words or reference_words(sentence.text), (), seconds)


def reference_words(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the phones of each word by the front end of dimts. Raises TextError as it does."""
    return tuple(word.phones for phrase in phonemise(text) for word in phrase.words if word.phones)


def voice_fingerprint(where: str) -> str:
    """Hash the names, sizes and times of a voice's files, and the version of dimts."""
    if where == FORMANT:
        return f"{FORMANT} {__version__}"
    files = sorted(path for path in Path(where).rglob("*") if path.is_file())
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((__version__, facts)).encode()).hexdigest()


def named_systems(given: Sequence[str]) -> dict[str, str]:
    """Read NAME=WHAT, what by name. ConfigError for another form, or a name twice."""
    found: dict[str, str] = {}
    for one in given:
        name, equals, what = one.partition("=")
        if not equals or not name.strip() or not what.strip():
            raise ConfigError("evaluate.system_malformed", given=one)
        if name.strip() in found:
            raise ConfigError("evaluate.system_twice", name=name.strip())
        found[name.strip()] = what.strip()
    return found


def named_keys(given: Sequence[str], systems: Mapping[str, str]) -> dict[str, str]:
    """Read NAME=VARIABLE and return the key by name of the system. ConfigError if a system or variable is
    missing."""
    keys = {}
    for one in given:
        name, equals, variable = one.partition("=")
        if not equals or name not in systems or not systems[name].startswith(("http://", "https://")):
            raise ConfigError("evaluate.key_of_no_server", name=name)
        key = os.environ.get(variable, "").strip()
        if not key:
            raise ConfigError("evaluate.key_not_set", variable=variable or "?")
        keys[name] = key
    return keys


def open_system(name: str, what: str, *, key: str = "", time_limit: float = TIME_LIMIT_SECONDS) -> TTSSystem:
    """Open the system `what`. Raises ConfigError if it cannot be used, and the errors of loading a voice."""
    if what == FORMANT or Path(what).is_dir():
        return VoiceSystem.load(what)
    if what.startswith(FOLDER):
        return RecordingFolder.read(Path(what.removeprefix(FOLDER)))
    if what.startswith(("http://", "https://")):
        return SpeechServer.parse(what, key, time_limit).system(name)
    if what.startswith(COMMAND):
        return SpeechCommand.parse(what.removeprefix(COMMAND), time_limit).system()
    plugin, _, argument = what.partition(":")
    known = [point.name for point in metadata.entry_points(group=GROUP)]
    if plugin not in known:
        raise ConfigError("evaluate.unknown_system", name=name, what=what)
    make: Callable[[str], Wave] = resolve(plugin, {}, GROUP)(argument)
    return WaveSystem(lambda sentence: make(sentence.text), "plugin", f"{what} {__version__}")


# ---------------------------------------------------------------- folder
@dataclass(frozen=True, slots=True)
class RecordingFolder:
    """Recordings of a speaker, or of any system, by the text or the name of the sentence."""

    folder: Path
    paths: Mapping[str, Path]
    """Sound file by name."""
    texts: Mapping[str, str]
    """Text by name; empty where the folder has no list."""
    kind: str = "folder"
    fingerprint: str = ""

    @classmethod
    def read(cls, folder: Path) -> RecordingFolder:
        """Read a folder of sounds with its list: a transcript table, or texts beside the sounds.

        Without any text, the sounds' names are those of the benchmark's sentences. DataError for a folder
        that is missing or holds no sound, or for a list whose files are missing.
        """
        from dimts.data.sources import find_recordings

        if not folder.is_dir():
            raise DataError("evaluate.no_such_folder", folder=folder)
        paths, texts, lost = {}, {}, []
        for one in find_recordings([folder]):
            if one.problem is not None and not one.path.is_file():
                lost.append(one.path.name)
            elif one.path.is_file() and one.path.suffix.lower() not in _NO_SOUND:
                name = one.name if one.name not in paths else str(one.path.relative_to(folder))
                paths[name] = one.path
                if one.text:
                    texts[name] = one.text
        if lost:
            raise DataError("evaluate.recordings_missing", folder=folder, count=len(lost), first=lost[0])
        if not paths:
            raise DataError("evaluate.folder_without_sounds", folder=folder)
        return cls(folder, paths, texts)

    def sentences(self) -> list[EvaluationSentence]:
        """Return the sentences of the list, in its order. DataError if the folder has none."""
        if not self.texts:
            raise DataError("evaluate.folder_without_list", folder=self.folder)
        return [EvaluationSentence(name, text) for name, text in self.texts.items()]

    def check(self, lines: Sequence[EvaluationSentence]) -> None:
        """Raise DataError if a sentence has no recording."""
        absent = [line.name for line in lines if self._path(line) is None]
        if absent:
            raise DataError(
                "evaluate.recordings_absent", folder=self.folder, count=len(absent), first=absent[0]
            )

    def speak(self, sentence: EvaluationSentence) -> SpokenSentence:
        """Load the recording of the sentence. Raises AudioError if it cannot be read, DataError if there is
        none."""
        path = self._path(sentence)
        if path is None:
            raise DataError("evaluate.recordings_absent", folder=self.folder, count=1, first=sentence.name)
        words = sentence.words or reference_words(sentence.text)
        return SpokenSentence(high_pass(Wave.load(path)), words, (), math.nan)

    def _path(self, sentence: EvaluationSentence) -> Path | None:
        if sentence.name in self.paths and self.texts.get(sentence.name, sentence.text) == sentence.text:
            return self.paths[sentence.name]
        return next((self.paths[name] for name, text in self.texts.items() if text == sentence.text), None)


_NO_SOUND = (".json", ".tsv", ".csv", ".txt")


# ---------------------------------------------------------------- server
@dataclass(frozen=True, slots=True)
class SpeechServer:
    """A server with OpenAI's interface for speech."""

    address: str
    """Address of the request, …/audio/speech."""
    model: str
    voice: str
    key: str
    """Key of the Authorization header; "": none is sent."""
    time_limit: float
    """Longest wait for the server, in seconds."""

    @classmethod
    def parse(cls, url: str, key: str, time_limit: float) -> SpeechServer:
        """Read the base address (…/v1) with the query parameters `model` and `voice`. ConfigError for
        another."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        unknown = sorted(set(query) - {"model", "voice"})
        if not parts.hostname or unknown or parts.username:
            shown = urlunsplit((parts.scheme, parts.hostname or "", parts.path, "", ""))  # without a password
            raise ConfigError("evaluate.server_address_malformed", url=shown)
        if key and parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ConfigError("evaluate.key_without_tls", host=parts.hostname)
        path = parts.path.rstrip("/") or "/v1"
        path = path if path.endswith("/audio/speech") else f"{path}/audio/speech"
        address = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        return cls(address, query.get("model", "tts-1"), query.get("voice", "alloy"), key, time_limit)

    def system(self, name: str) -> WaveSystem:
        """Return the server as a system, after it has spoken one word. ConfigError if it does not."""
        try:
            self.request("ሰላም።")
        except SynthesisError as error:
            raise ConfigError(
                "evaluate.server_unusable", name=name, url=self.address, reason=error
            ) from error
        identity = f"{self.address} {self.model} {self.voice} {__version__}"
        return WaveSystem(lambda sentence: self.request(sentence.text), "server", identity)

    def request(self, text: str) -> Wave:
        """Request the speech of a text. SynthesisError names what the server answered."""
        body = {"model": self.model, "voice": self.voice, "input": text, "response_format": "wav"}
        headers = {"Content-Type": "application/json", "User-Agent": f"dimts/{__version__}"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.address, json.dumps(body).encode(), headers)  # noqa: S310 # http(s)
        host = urlsplit(self.address).hostname or ""
        proxies = [urllib.request.ProxyHandler({})] if _is_loopback(host) else []
        opener = urllib.request.build_opener(_NoRedirect, *proxies)
        try:
            with opener.open(request, timeout=self.time_limit) as answer:
                data = _read(answer, self.time_limit)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from error
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise SynthesisError("evaluate.server_unreachable", host=host, error=str(reason)) from error
        return _decoded(data)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirections, which would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _read(answer: Any, time_limit: float) -> bytes:
    """Read an answer within the time limit as a whole, as each read has a time limit of its own."""
    pieces, size, until = [], 0, time.monotonic() + time_limit
    while piece := answer.read1(1 << 16):
        pieces.append(piece)
        size += len(piece)
        if time.monotonic() > until:
            raise TimeoutError("timed out")
        if size > _MOST_BYTES:
            raise ValueError("the answer is too large")
    return b"".join(pieces)


def _refusal(error: urllib.error.HTTPError) -> SynthesisError:
    reported = ""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(error.read(1 << 16))
        found = content.get("error", content) if isinstance(content, dict) else content
        reported = str(found.get("message", "") if isinstance(found, dict) else found)
    if error.code in (401, 403):
        return SynthesisError("evaluate.server_key_refused", status=error.code)
    shown = _one_line(reported or str(error.reason or ""))
    return SynthesisError("evaluate.server_refused", status=error.code, answer=shown)


def _decoded(data: bytes) -> Wave:
    soundfile = require("soundfile", extra="audio")
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise SynthesisError("evaluate.server_sent_no_sound", count=len(data)) from error
    return Wave(samples.mean(axis=1), int(rate))


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


# ---------------------------------------------------------------- command
@dataclass(frozen=True, slots=True)
class SpeechCommand:
    """A program that is started for each sentence, without a shell."""

    arguments: tuple[str, ...]
    """Program and arguments, with {wav} and {text} still in them."""
    time_limit: float
    """Longest time of one start, in seconds."""

    @classmethod
    def parse(cls, line: str, time_limit: float) -> SpeechCommand:
        """Split a command line as a POSIX shell splits words. ConfigError if it cannot be used.

        Without {text} in it the program reads the text from its standard input.
        """
        try:
            arguments = tuple(shlex.split(line))
        except ValueError as error:
            raise ConfigError("evaluate.command_malformed", command=line) from error
        if not arguments or not any("{wav}" in one for one in arguments):
            raise ConfigError("evaluate.command_malformed", command=line)
        if shutil.which(arguments[0]) is None:
            raise ConfigError("evaluate.command_missing", program=arguments[0])
        return cls(arguments, time_limit)

    def system(self) -> WaveSystem:
        """Return the program as a system."""
        identity = f"{shlex.join(self.arguments)} {__version__}"
        return WaveSystem(lambda sentence: self.run(sentence.text), "command", identity)

    def run(self, text: str) -> Wave:
        """Run the program for one text. SynthesisError if it fails, takes too long or writes no sound."""
        with tempfile.TemporaryDirectory(prefix="dimts-") as folder:
            wav = Path(folder) / "speech.wav"
            # a text that begins with a hyphen would be read as an option
            shown = f" {text}" if text.startswith("-") else text
            arguments = [_filled(one, wav, shown) for one in self.arguments]
            given = None if any("{text}" in one for one in self.arguments) else text.encode()
            with (Path(folder) / "errors.txt").open("w+b") as errors:
                self._run(arguments, given, errors)
            if not wav.is_file() or not wav.stat().st_size:
                raise SynthesisError("evaluate.command_wrote_nothing", program=self.arguments[0])
            return Wave.load(wav)

    def _run(self, arguments: Sequence[str], given: bytes | None, errors: Any) -> None:
        source = subprocess.DEVNULL if given is None else subprocess.PIPE
        try:
            process = subprocess.Popen(  # noqa: S603 # no shell; the program is the user's own
                arguments, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True, stdin=source
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise SynthesisError("evaluate.command_failed", program=arguments[0], error=str(error)) from error
        try:
            process.communicate(given, timeout=self.time_limit)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # its children, too
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise SynthesisError(
                "evaluate.command_timed_out", program=arguments[0], seconds=self.time_limit
            ) from error
        if process.returncode:
            errors.seek(0)
            lines = errors.read(1 << 16).decode("utf-8", "replace").strip().splitlines()
            reported = _one_line(lines[-1]) if lines else f"exit code {process.returncode}"
            raise SynthesisError("evaluate.command_failed", program=arguments[0], error=reported)


def _filled(argument: str, wav: Path, text: str) -> str:
    """Put the path and the text into an argument, in one pass: braces of the text stay as they are."""
    return str(wav).join(part.replace("{text}", text) for part in argument.split("{wav}"))


def _one_line(text: str) -> str:
    shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return shown[:_SHOWN_LETTERS]


def is_system_fault(error: DimtsError) -> bool:
    """Return whether an error is one of the system as a whole, which further sentences would meet again."""
    return isinstance(error, ConfigError) or error.code in ("evaluate.server_key_refused",)
