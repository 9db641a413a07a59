"""Words → Words with phones: backends are asked in turn, until the judge believes one.

The user's lexicon comes before all and is not judged. A backend that is not installed, raises, hangs or
answers nonsense is passed over with its reason kept; one that hangs is not asked again. Answers are
remembered by word. If nobody is believed, the best guess is given with its doubts, or an error.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from dimts.base.errors import ConfigError, DimtsError, MissingExtra, PronunciationError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import resolve
from dimts.text.ethiopic import bare, is_ethiopic_letter
from dimts.text.g2p.backend import Backend, Refusal, Word
from dimts.text.g2p.epitran import Epitran, EpitranPP, EpitranRed
from dimts.text.g2p.espeak import English, Espeak
from dimts.text.g2p.judge import JudgeSettings, judge
from dimts.text.g2p.lexicon import Lexicon, Tables
from dimts.text.g2p.rules import Rules, RulesAnswer, RulesSettings
from dimts.text.g2p.spelling import spelt_out
from dimts.text.g2p.transphone import Transphone
from dimts.text.phones import VOWELS, is_phone

BACKENDS: dict[str, Any] = {
    "transphone": Transphone,
    "epitran": Epitran,
    "epitran-pp": EpitranPP,
    "epitran-red": EpitranRed,
    "espeak": Espeak,
    "lexicon": Tables,
    "rules": Rules,
}
GROUP = "dimts.g2p"
"""Entry points of this group may stand in `ChainSettings.backends` too."""


@dataclass(frozen=True)
class ChainSettings:
    """[text.g2p]: who is asked how a word sounds, in which order, and what if nobody knows."""

    backends: tuple[str, ...] = ("transphone", "epitran", "rules")
    """Asked in this order: transphone, epitran, epitran-pp, epitran-red, espeak, lexicon, rules, or an entry point."""
    if_all_fail: Literal["guess", "error"] = "guess"
    """What to do with a word whose every answer is doubted: take the best guess, or stop with an error."""
    max_seconds: float = 20.0
    """A backend that takes longer for one call is not asked again."""
    transphone_folder: str = ""
    """Folder with Transphone's files (042801_base/, latest/amh/); empty: the caches in its own packages."""
    lexicon: str = ""
    """A user lexicon (word TAB phones) that comes before all backends; empty: the project's, if there is one."""
    english: bool = True
    """Say Latin words by espeak-ng's English, in Amharic sounds; otherwise they are spelt out."""
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    rules: RulesSettings = field(default_factory=RulesSettings)

    def __post_init__(self) -> None:
        if not self.backends:
            raise ConfigError("text.text_g2p_backends_empty")
        if self.max_seconds <= 0:
            raise ConfigError("text.text_g2p_max_seconds", max_seconds=self.max_seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is remembered of a word."""

    phones: tuple[str, ...]
    by: str
    score: float
    doubts: tuple[Issue, ...]
    refused: tuple[Refusal, ...]

    def word(self, written: str, spoken: str) -> Word:
        """As an answer for one place in a text."""
        return Word(written, spoken, self.phones, self.by, self.score, self.doubts, self.refused)


_KEPT_WORDS = 1 << 17
_ENGLISH = "espeak-en"


class Chain:
    """The backends of one front end, and what they have said so far. May be shared by threads."""

    def __init__(self, settings: ChainSettings | None = None, lexicon: Path | None = None) -> None:
        """Raises ConfigError for an unknown backend or a lexicon that cannot be read."""
        self.settings = settings or ChainSettings()
        path = Path(self.settings.lexicon) if self.settings.lexicon else lexicon
        self._user = Lexicon(path) if path else None
        self.rules = Rules(self.settings.rules)
        self._links = [self._link(name) for name in self.settings.backends]
        self._english = GuardedBackend(_ENGLISH, English, self.settings.max_seconds)
        self._said: dict[str, Answer] = {}
        self._english_words: dict[str, tuple[str, ...]] = {}

    def _link(self, name: str) -> GuardedBackend:
        if name == "rules":
            return GuardedBackend(name, lambda: self.rules, max_seconds=None)
        kind = resolve(name, BACKENDS, GROUP)
        if kind is Transphone and self.settings.transphone_folder:
            return GuardedBackend(
                name, lambda: Transphone(Path(self.settings.transphone_folder)), self.settings.max_seconds
            )
        return GuardedBackend(name, kind, self.settings.max_seconds)

    def words(self, spoken: Sequence[str], written: Sequence[str] | None = None) -> list[Word]:
        """The words of one phrase, pronounced. `written` is what the user typed for each, if that differs.

        Raises PronunciationError if a word stays without a believable answer and settings ask for that.
        """
        said = self._said
        context = self.rules.in_context(spoken)
        new = [word for word in dict.fromkeys(spoken) if word not in said]
        if new:
            answers = self._ask(new)
            if len(said) + len(new) > _KEPT_WORDS:  # begin anew; another thread may still read the old one
                said = self._said = {word: said[word] for word in spoken if word in said}
            said.update(answers)
        out = []
        for at, word in enumerate(spoken):
            found = said[word]
            if at in context and found.by != "user":
                found = self._in_context(word, context[at], found)
            out.append(found.word(written[at] if written else word, word))
        return out

    def _in_context(self, word: str, answer: RulesAnswer, usual: Answer) -> Answer:
        verdict = judge(word, answer.phones, answer, settings=self.settings.judge)
        if not verdict.believed or answer.phones == usual.phones:
            return usual
        note = Issue("other_reading", Message("text.other_reading", parts=answer.parts))
        refused = (*usual.refused, Refusal(usual.by, usual.phones, (note,)))
        return Answer(answer.phones, "rules", verdict.score, (), refused)

    def all_answers(self, word: str) -> list[Refusal]:
        """What every backend of the chain says of `word`, believed or not, in order (for comparing)."""
        evidence = self._evidence(word)
        answers = []
        for link in self._links:
            given, absent = link.ask([word])
            answer = given.get(word, ())
            doubts = (absent,) if absent else self._judge(link, word, answer, evidence)[1]
            answers.append(Refusal(link.name, answer, doubts))
        return answers

    def absent(self) -> dict[str, Issue | None]:
        """For each backend of the chain why it cannot answer, None if it can. Starts each of them."""
        return {link.name: link.ask([])[1] for link in self._links}

    # ------------------------------------------------------------ asking
    def _ask(self, words: Sequence[str]) -> dict[str, Answer]:
        done: dict[str, Answer] = {}
        if self._user:
            for word, phones in zip(words, self._user.phones(words), strict=True):
                if phones:
                    done[word] = Answer(phones, "user", 1.0, (), ())
        fidel = [word for word in words if word not in done and any(map(is_ethiopic_letter, word))]
        done |= self._ask_in_turn(fidel)
        for word in words:
            if word not in done:
                done[word] = self._foreign(word)
        return done

    def _ask_in_turn(self, words: Sequence[str]) -> dict[str, Answer]:
        done: dict[str, Answer] = {}
        refused: dict[str, list[tuple[float, Refusal]]] = {word: [] for word in words}
        evidence = {word: self._evidence(word) for word in words}
        for link in self._links:
            still = [word for word in words if word not in done]
            if not still:
                break
            answers, absent = link.ask(still)
            for word in still:
                phones = answers.get(word, ())
                if word in answers:
                    score, doubts = self._judge(link, word, phones, evidence[word])
                else:
                    score, doubts = 0.0, (absent or link.reasons.get(word) or Issue("empty", Message("text.empty")),)
                if not doubts:
                    done[word] = Answer(phones, link.name, score, (), tuple(item for _, item in refused[word]))
                else:
                    refused[word].append((score, Refusal(link.name, phones, doubts)))
        for word in words:
            if word not in done:
                done[word] = self._last_resort(word, refused[word])
        return done

    def _judge(
        self, link: GuardedBackend, word: str, phones: tuple[str, ...], evidence: RulesAnswer | None
    ) -> tuple[float, tuple[Issue, ...]]:
        try:
            verdict = judge(word, phones, evidence, marks_length=link.marks_length, settings=self.settings.judge)
        except (TypeError, AttributeError) as error:  # the answer of a stranger may be anything
            return 0.0, (Issue("nonsense", Message("text.nonsense", error=error)),)
        return verdict.score, verdict.doubts

    def _evidence(self, word: str) -> RulesAnswer | None:
        return self.rules.explain(word) if any(map(is_ethiopic_letter, word)) else None

    def _last_resort(self, word: str, refused: Sequence[tuple[float, Refusal]]) -> Answer:
        if self.settings.if_all_fail == "error":
            raise PronunciationError(word, [f"{item.by}: {'; '.join(map(str, item.doubts))}" for _, item in refused])
        sayable = [(score, item) for score, item in refused if item.phones and all(map(is_phone, item.phones))]
        kept = tuple(item for _, item in refused)
        if sayable:
            score, best = max(sayable, key=lambda pair: pair[0])
            return Answer(best.phones, best.by, score, best.doubts, tuple(item for item in kept if item is not best))
        answer = self.rules.explain(word)
        doubt = Issue("guess", Message("text.guess"))
        return Answer(answer.phones, "rules", answer.confidence, (doubt,), kept)

    # ------------------------------------------------------------ foreign words
    def english_word(self, word: str, prefix: str = "") -> Word | None:
        """An English word by an English voice, with an Amharic prefix; None where there is no such voice."""
        if not self.settings.english:
            return None
        phones = self._english_words.get(word)
        if phones is None:
            if len(self._english_words) > _KEPT_WORDS:
                self._english_words = {}
            phones = self._english_words[word] = self._by_english_voice(word)[0]
        if not phones:
            return None
        before = self.rules.phones([prefix])[0] if prefix else ()
        return Word(word, word, (*before, *phones), _ENGLISH, 0.5)

    def _by_english_voice(self, word: str) -> tuple[tuple[str, ...], tuple[Refusal, ...]]:
        """The phones of an English word, or () and why there are none."""
        answers, absent = self._english.ask([word])
        phones = answers.get(word, ())
        doubts = judge(word, phones, None).doubts
        if phones and not doubts:
            return phones, ()
        reason = absent or self._english.reasons.get(word)
        return (), (Refusal(_ENGLISH, phones, (reason,) if reason else doubts),)

    def _foreign(self, word: str) -> Answer:
        """A Latin word by English sounds, else spelt out; what holds nothing to say gets no phones."""
        refused: tuple[Refusal, ...] = ()
        if not any(map(str.isalnum, word)):
            return Answer((), "", 0.0, (Issue("nothing_to_say", Message("text.nothing_to_say", word=word)),), ())
        if self.settings.english:
            phones, refused = self._by_english_voice(word)
            if phones:
                return Answer(phones, _ENGLISH, 0.5, (), ())
        phones = self.rules.phones([spelt_out(bare(word))])[0]
        if not phones:
            if self.settings.if_all_fail == "error":
                raise PronunciationError(word, [f"{item.by}: {'; '.join(map(str, item.doubts))}" for item in refused])
            return Answer((), "", 0.0, (Issue("unreadable", Message("text.unreadable", word=word)),), refused)
        return Answer(phones, "letters", 0.3, (), refused)


class GuardedBackend:
    """One backend of the chain: made when first asked, called with a limit, silenced when it hangs."""

    def __init__(self, name: str, maker: Callable[[], Backend], max_seconds: float | None) -> None:
        """`max_seconds` None: a backend of our own, called directly."""
        self.name = name
        self.reasons: dict[str, Issue] = {}
        """Why the last call has no answer for a word."""
        self._maker = maker
        self._max_seconds = max_seconds
        self._absent: Issue | None = None
        self._lock = threading.Lock()

    @property
    def marks_length(self) -> bool:
        """Whether it tells long consonants from short ones; a backend that does not say so does not."""
        return bool(getattr(self._made, "marks_length", False)) if self._absent is None else False

    @cached_property
    def _made(self) -> Backend | None:
        try:
            made: Backend = self._limited(self._maker)
            return made
        except _Hangs:
            self._absent = Issue("hangs", Message("text.hangs", name=self.name, max_seconds=self._max_seconds))
        except MissingExtra as error:
            self._absent = Issue("absent", error.message)
        except DimtsError as error:
            self._absent = Issue("absent", error.message)
        except Exception as error:  # noqa: BLE001 # a stranger's constructor may raise anything; the next one is asked
            self._absent = Issue(
                "raises", Message("text.raises", name=self.name, kind=type(error).__name__, error=error)
            )
        return None

    def ask(self, words: Sequence[str]) -> tuple[Mapping[str, tuple[str, ...]], Issue | None]:
        """Answers by word (those it gave), and why it is out altogether, if it is."""
        with self._lock:
            backend = self._made if self._absent is None else None
            if backend is None:
                return {}, self._absent
            self.reasons = {}
            answers = self._try(backend, words)
            if answers is None and len(words) > 1 and not self._silenced():  # one word may have spoilt it for all
                answers = {}
                for word in words:
                    answers |= self._try(backend, [word]) or {}
                    if self._silenced():
                        break
            return answers or {}, self._absent if not answers else None

    def _silenced(self) -> bool:
        return self._absent is not None

    def _try(self, backend: Backend, words: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
        try:
            answers: Any = self._limited(lambda: backend.phones(list(words)))
            if not isinstance(answers, list | tuple) or len(answers) != len(words):
                raise TypeError(f"{len(words)} words asked, not as many answers")
            return {word: _begun(tuple(answer)) for word, answer in zip(words, answers, strict=True)}
        except _Hangs:
            self._absent = Issue(
                "hangs", Message("text.took_s_not_asked_again", name=self.name, max_seconds=self._max_seconds)
            )
        except Exception as error:  # noqa: BLE001 # to ask the next backend, keeping the reason
            reason = Issue("raises", Message("text.message", kind=type(error).__name__, error=error))
            self.reasons |= dict.fromkeys(words, reason)
        return None

    def _limited(self, work: Callable[[], Any]) -> Any:
        """The result of `work`, done in a thread that is left behind if it takes too long."""
        if self._max_seconds is None:
            return work()
        outcome: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def run() -> None:
            try:
                outcome.put((True, work()))
            except BaseException as error:  # noqa: BLE001 # handed to the asking thread, which raises it
                outcome.put((False, error))

        threading.Thread(target=run, name=f"dimts-{self.name}", daemon=True).start()
        try:
            fine, value = outcome.get(timeout=self._max_seconds)
        except queue.Empty:
            raise _Hangs from None
        if not fine:
            raise value
        return value


def _begun(phones: tuple[str, ...]) -> tuple[str, ...]:
    """An answer in our one spelling: a word that begins with a vowel begins with ʔ."""
    return ("ʔ", *phones) if phones and phones[0] in VOWELS else phones


class _Hangs(Exception):
    """A call that did not come back in time."""
