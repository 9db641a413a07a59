"""Pronounce words by a chain of backends, each asked in turn until the judge accepts an answer.

The user's lexicon precedes all and is not judged. A backend that is not installed, raises, hangs or answers
nonsense is passed over and its reason kept; one that hangs is not asked again. Answers are cached by word. If
no answer is accepted, the best guess is given with its issues, or an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from dimts.base.errors import ConfigError, PronunciationError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import resolve
from dimts.text.ethiopic import bare, is_ethiopic_letter
from dimts.text.g2p.backend import SPELLING, Backend, Refusal, Word
from dimts.text.g2p.epitran import Epitran, EpitranPP, EpitranRed
from dimts.text.g2p.espeak import English, Espeak
from dimts.text.g2p.guarded import GuardedBackend
from dimts.text.g2p.judge import EvidenceSettings, Judgement, SanitySettings, judge, sanity
from dimts.text.g2p.lexicon import Lexicon
from dimts.text.g2p.rules import Rules, RulesAnswer, RulesSettings, Tables
from dimts.text.g2p.spelling import spelt_out
from dimts.text.g2p.transphone import Transphone
from dimts.text.phones import is_phone

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
"""Group of entry points that may be named in `ChainSettings.backends` too."""


def backend_names() -> tuple[str, ...]:
    """Return every name allowed in `ChainSettings.backends`: the built-in ones, then those of installed
    plug-ins."""
    plugins = metadata.entry_points(group=GROUP).names
    return (*BACKENDS, *sorted(set(plugins) - set(BACKENDS)))


@dataclass(frozen=True)
class ChainSettings:
    """[text.g2p]: order of the backends, and the judge that accepts or refuses their answers."""

    backends: tuple[str, ...] = ("transphone", "epitran", "rules")
    """Backends in order: transphone, epitran, epitran-pp, epitran-red, espeak, lexicon, rules, or an entry
    point."""
    if_all_fail: Literal["guess", "error"] = "guess"
    """Treatment of a word whose every answer has an issue: take the best guess, or stop with an error."""
    max_seconds: float = 20.0
    """Time limit of one call in seconds; a backend that takes longer is not asked again."""
    transphone_folder: str = ""
    """Folder with Transphone's files (042801_base/, latest/amh/); empty: the caches in its own packages."""
    lexicon: str = ""
    """A user lexicon (word TAB phones) that precedes all backends; empty: the project's, if there is one."""
    english: bool = True
    """Pronounce Latin words by espeak-ng's English, in Amharic sounds; otherwise they are spelt out."""
    judge: Literal["evidence", "sanity"] = "evidence"
    """Criterion for an answer: all evidence about the word, or only whether the answer is sane.

    With "sanity" the first sane answer in the order of the backends is taken, right or wrong.
    """
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    sanity: SanitySettings = field(default_factory=SanitySettings)
    rules: RulesSettings = field(default_factory=RulesSettings)

    def __post_init__(self) -> None:
        if not self.backends:
            raise ConfigError("text.no_backends")
        if self.max_seconds <= 0:
            raise ConfigError("text.max_seconds_not_positive", max_seconds=self.max_seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """The cached answer for a word."""

    phones: tuple[str, ...]
    by: str
    score: float
    doubts: tuple[Issue, ...]
    refused: tuple[Refusal, ...]

    def word(self, written: str, spoken: str) -> Word:
        """Return the answer for one place in a text."""
        return Word(written, spoken, self.phones, self.by, self.score, self.doubts, self.refused)


@dataclass(frozen=True, slots=True)
class Fallback:
    """How often one backend of the order was passed over, and why."""

    name: str
    words: int
    """Occurrences of words that it was asked for and that another backend pronounced."""
    asked: int
    reasons: Mapping[str, int]
    """Number of occurrences by the kind of the first issue."""
    message: Message
    """The first issue of the most frequent kind."""


def _is_guess(evidence: RulesAnswer | None) -> bool:
    return evidence is not None and evidence.source in ("model", "nothing")


def _refusals(refused: Sequence[tuple[float, Refusal]]) -> tuple[Refusal, ...]:
    return tuple(item for _, item in refused)


def _loaded(name: str) -> Backend:
    made: Backend = resolve(name, BACKENDS, GROUP)()
    return made


_KEPT_WORDS = 1 << 17
_ENGLISH = "espeak-en"


class Chain:
    """The backends of one front end and their cached answers. May be shared by threads."""

    def __init__(self, settings: ChainSettings | None = None, lexicon: Path | None = None) -> None:
        """Raises ConfigError for an unknown backend or a lexicon that cannot be read."""
        self.settings = settings or ChainSettings()
        path = Path(self.settings.lexicon) if self.settings.lexicon else lexicon
        self._user = Lexicon(path) if path else None
        self.rules = Rules(self.settings.rules)
        self._links = [self._link(name) for name in self.settings.backends]
        self._english = GuardedBackend(_ENGLISH, English, self.settings.max_seconds)
        self._answers: dict[str, Answer] = {}
        self._english_words: dict[str, tuple[str, ...]] = {}
        self._words = 0
        self._passed_over: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], Message] = {}

    def _link(self, name: str) -> GuardedBackend:
        if name == "rules":
            return GuardedBackend(name, lambda: self.rules, max_seconds=None)
        if name in BACKENDS and name == "transphone" and self.settings.transphone_folder:
            folder = Path(self.settings.transphone_folder)
            return GuardedBackend(name, lambda: Transphone(folder), self.settings.max_seconds)
        if name in BACKENDS:
            return GuardedBackend(name, BACKENDS[name], self.settings.max_seconds)
        if name not in metadata.entry_points(group=GROUP).names:
            resolve(name, BACKENDS, GROUP)  # raises, naming the nearest
        # loading a plug-in runs its code, so that is guarded too
        return GuardedBackend(name, lambda: _loaded(name), self.settings.max_seconds)

    def words(self, spoken: Sequence[str], written: Sequence[str] | None = None) -> list[Word]:
        """Pronounce the words of one phrase. `written` is what the user typed for each, if that differs.

        Raises PronunciationError if a word has no accepted answer and settings ask for that.
        """
        known = self._answers
        context = self.rules.in_context(spoken)
        new = [word for word in dict.fromkeys(spoken) if word not in known]
        if new:
            answers = self._ask(new)
            if (
                len(known) + len(new) > _KEPT_WORDS
            ):  # start a new dictionary; another thread may still read the old one
                known = self._answers = {word: known[word] for word in spoken if word in known}
            known.update(answers)
        out = []
        for at, word in enumerate(spoken):
            found = known[word]
            if at in context and found.by != "user":
                found = self._in_context(word, context[at], found)
            out.append(found.word(written[at] if written else word, word))
            self._count(found)
        return out

    def _count(self, found: Answer) -> None:
        if found.by and found.by != "user":
            self._words += 1
        for refusal in found.refused:
            doubt = refusal.doubts[0]
            if doubt.kind != "other_reading":
                self._passed_over[refusal.by, doubt.kind] += 1
                self._examples.setdefault((refusal.by, doubt.kind), doubt.message)

    def fallbacks(self) -> tuple[Fallback, ...]:
        """Return for each backend how many words it was passed over for, since the last call; then resets."""
        found = []
        for link in self._links:
            reasons = {
                kind: count for (name, kind), count in self._passed_over.most_common() if name == link.name
            }
            if reasons:
                commonest = self._examples[link.name, next(iter(reasons))]
                found.append(Fallback(link.name, sum(reasons.values()), self._words, reasons, commonest))
        self._words, self._passed_over = 0, Counter()
        return tuple(found)

    def _in_context(self, word: str, answer: RulesAnswer, usual: Answer) -> Answer:
        verdict = judge(word, answer.phones, answer, settings=self.settings.evidence)
        spoken_by_order = self.settings.judge == "sanity" and usual.by != "rules"
        if not verdict.believed or answer.phones == usual.phones or spoken_by_order:
            return usual
        note = Issue("other_reading", Message("text.other_reading", parts=answer.parts))
        refused = (*usual.refused, Refusal(usual.by, usual.phones, (note,)))
        return Answer(answer.phones, "rules", verdict.score, (), refused)

    def all_answers(self, word: str) -> list[Refusal]:
        """Return the answers of every backend of the chain for `word`, accepted or not, in order."""
        evidence = self._evidence(word)
        answers = []
        for link in self._links:
            given, absent = link.ask([word])
            answer = given.get(word, ())
            doubts = (absent,) if absent else self._judge(link, word, answer, evidence)[1]
            answers.append(Refusal(link.name, answer, doubts))
        return answers

    def absent(self) -> dict[str, Issue | None]:
        """Return for each backend of the chain why it cannot answer, None if it can. Starts each of them."""
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
        guesses: dict[str, tuple[float, Refusal]] = {}
        refused: dict[str, list[tuple[float, Refusal]]] = {word: [] for word in words}
        evidence = {word: self._evidence(word) for word in words}
        for word, found in evidence.items():
            if found is not None and found.meant:
                note = Issue("other_reading", Message("text.read_as", meant=found.meant))
                refused[word].append((0.0, Refusal(SPELLING, (), (note,))))
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
                    score, doubts = (
                        0.0,
                        (absent or link.reasons.get(word) or Issue("empty", Message("text.empty")),),
                    )
                if doubts:
                    refused[word].append((score, Refusal(link.name, phones, doubts)))
                elif (
                    link is not self._links[-1]
                    and self._only_guesses(link, evidence[word])
                    and word not in guesses
                ):
                    note = Issue("guess", Message("text.only_a_guess"))
                    guesses[word] = (score, Refusal(link.name, phones, (note,)))
                elif word in guesses and not link.marks_length:
                    continue  # it cannot know more than the guess
                else:
                    earlier = [guesses[word]] if word in guesses else []
                    done[word] = Answer(phones, link.name, score, (), _refusals([*refused[word], *earlier]))
        for word in words:
            if word not in done and word in guesses:
                score, guess = guesses[word]
                done[word] = Answer(guess.phones, guess.by, score, (), _refusals(refused[word]))
            elif word not in done:
                done[word] = self._last_resort(word, refused[word])
        return done

    def _only_guesses(self, link: GuardedBackend, evidence: RulesAnswer | None) -> bool:
        """Whether an accepted answer of our own rules is only the model's, so that other backends are asked
        too."""
        return self.settings.judge == "evidence" and link.name == "rules" and _is_guess(evidence)

    def _judge(
        self, link: GuardedBackend, word: str, phones: tuple[str, ...], evidence: RulesAnswer | None
    ) -> tuple[float, tuple[Issue, ...]]:
        try:
            verdict = self._verdict(link, word, phones, evidence)
        except (TypeError, AttributeError) as error:  # the answer of a plug-in may be anything
            return 0.0, (Issue("nonsense", Message("text.nonsense", error=error)),)
        return verdict.score, verdict.doubts

    def _verdict(
        self, link: GuardedBackend, word: str, phones: tuple[str, ...], evidence: RulesAnswer | None
    ) -> Judgement:
        if self.settings.judge == "sanity":
            return sanity(word, phones, self.settings.sanity)
        knows_more = link.name != "rules" and link.marks_length and _is_guess(evidence)
        return judge(
            word,
            phones,
            evidence,
            marks_length=link.marks_length,
            settings=self.settings.evidence,
            trust_length=knows_more,
        )

    def _evidence(self, word: str) -> RulesAnswer | None:
        return self.rules.explain(word) if any(map(is_ethiopic_letter, word)) else None

    def _last_resort(self, word: str, refused: Sequence[tuple[float, Refusal]]) -> Answer:
        if self.settings.if_all_fail == "error":
            raise PronunciationError(
                word, [f"{item.by}: {'; '.join(map(str, item.doubts))}" for _, item in refused]
            )
        sayable = [
            (score, item) for score, item in refused if item.phones and all(map(is_phone, item.phones))
        ]
        kept = tuple(item for _, item in refused)
        if sayable:
            score, best = max(sayable, key=lambda pair: pair[0])
            return Answer(
                best.phones, best.by, score, best.doubts, tuple(item for item in kept if item is not best)
            )
        answer = self.rules.explain(word)
        doubt = Issue("guess", Message("text.guess"))
        return Answer(answer.phones, "rules", answer.confidence, (doubt,), kept)

    # ------------------------------------------------------------ foreign words
    def english_word(self, word: str, prefix: str = "") -> Word | None:
        """Pronounce an English word by an English voice, with an Amharic prefix; None where there is no such
        voice."""
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
        """Return the phones of an English word, or () and why there are none."""
        answers, absent = self._english.ask([word])
        phones = answers.get(word, ())
        doubts = judge(word, phones, None).doubts
        if phones and not doubts:
            return phones, ()
        reason = absent or self._english.reasons.get(word)
        return (), (Refusal(_ENGLISH, phones, (reason,) if reason else doubts),)

    def _foreign(self, word: str) -> Answer:
        """Pronounce a Latin word by English sounds, else spell it out; a word without letters or digits gets
        no phones."""
        refused: tuple[Refusal, ...] = ()
        if not any(map(str.isalnum, word)):
            return Answer(
                (), "", 0.0, (Issue("nothing_to_say", Message("text.nothing_to_say", word=word)),), ()
            )
        if self.settings.english:
            phones, refused = self._by_english_voice(word)
            if phones:
                return Answer(phones, _ENGLISH, 0.5, (), ())
        phones = self.rules.phones([spelt_out(bare(word))])[0]
        if not phones:
            if self.settings.if_all_fail == "error":
                raise PronunciationError(
                    word, [f"{item.by}: {'; '.join(map(str, item.doubts))}" for item in refused]
                )
            return Answer((), "", 0.0, (Issue("unreadable", Message("text.unreadable", word=word)),), refused)
        return Answer(phones, "letters", 0.3, (), refused)
