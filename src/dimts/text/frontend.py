"""Turn text into phrases: normalise it, cut it into breath groups, pronounce every word.

Other packages import the text front end from here.

`Phrase.spelling` is all that a voice model reads, in training and in synthesis; the settings below determine
it and are saved with every checkpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.text.ethiopic import bare, fold_homophones
from dimts.text.g2p.backend import Refusal, Word
from dimts.text.g2p.chain import BACKENDS, Chain, ChainSettings, Fallback
from dimts.text.normalise import Normaliser, NormaliseSettings
from dimts.text.phones import WORD_MARK, to_ipa
from dimts.text.phrases import PhraseSettings, Token, breaths
from dimts.text.reading import word_at

__all__ = [
    "BACKENDS",
    "BackendComparison",
    "Chain",
    "ChainSettings",
    "Fallback",
    "Frontend",
    "FrontendSettings",
    "Phrase",
    "Refusal",
    "Word",
    "compare",
    "fallback_messages",
    "phonemise",
    "phones",
]  # fmt: skip


@dataclass(frozen=True)
class FrontendSettings:
    """[text]: from written text to the model's input."""

    spelling: Literal["phones", "fidel"] = "phones"
    """Input of the voice model: IPA phones, or the normalised fidel as it is."""
    replace: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Your own readings: written word → what to read instead; joins [text.normalise.replace]."""
    normalise: NormaliseSettings = field(default_factory=NormaliseSettings)
    phrases: PhraseSettings = field(default_factory=PhraseSettings)
    g2p: ChainSettings = field(default_factory=ChainSettings)

    def __post_init__(self) -> None:
        if self.replace:  # kept in one place: the front end reads normalise alone
            merged = {**self.normalise.replace, **self.replace}
            object.__setattr__(self, "normalise", replace(self.normalise, replace=merged))
            object.__setattr__(self, "replace", {})


MARKS = {"።": ".", "፣": ",", "፤": ";", "፥": ":", "፦": ":", "፧": "?"}
"""Ethiopic stops as a model reads them; ? and ! stay."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A breath group with its words, its stop and the silence after it."""

    written: str
    spoken: str
    words: tuple[Word, ...]
    mark: str
    """The stop at its end: ። ፣ ፤ ? ! or nothing."""
    pause_seconds: float
    """Silence after the phrase, in seconds."""
    rate: float = 1.0
    """Tempo as a factor of the voice's own."""
    style: Literal["phones", "fidel"] = "phones"
    """Kind of `spelling`."""

    @property
    def spelling(self) -> str:
        """The voice model's input: words separated by spaces, phones of a word joined, and the stop."""
        spelt = ("".join(word.phones) if self.style == "phones" else bare(word.spoken) for word in self.words)
        return " ".join(filter(None, spelt)) + MARKS.get(self.mark, self.mark)

    @property
    def phones(self) -> str:
        """Phones separated by spaces, words by " # "."""
        return to_ipa(word.phones for word in self.words)

    def as_dict(self) -> dict[str, object]:
        """Return the phrase as plain values for JSON."""
        return {
            "written": self.written,
            "spoken": self.spoken,
            "spelling": self.spelling,
            "phones": self.phones,
            "mark": self.mark,
            "pause_seconds": self.pause_seconds,
            "rate": self.rate,
            "words": [word.as_dict() for word in self.words],
        }


class Frontend:
    """Convert text to phrases. Made once, used for many texts; may be shared by threads."""

    def __init__(self, settings: FrontendSettings | None = None, lexicon: Path | None = None) -> None:
        """`lexicon` is the user's own (word TAB phones), above every backend.

        Raises ConfigError for settings or a lexicon that cannot be used.
        """
        self.settings = settings or FrontendSettings()
        self.normaliser = Normaliser(self.settings.normalise)
        self.chain = Chain(self.settings.g2p, lexicon)

    def __call__(self, text: str) -> Iterator[Phrase]:
        """Yield the phrases of `text`. Raises PronunciationError where the settings ask for it."""
        for breath in breaths(text, self.normaliser, self.settings.phrases):
            words = self.pronounce(breath.tokens)
            if words or breath.pause_seconds:
                yield Phrase(
                    breath.written,
                    breath.spoken,
                    words,
                    breath.mark,
                    breath.pause_seconds,
                    breath.rate,
                    self.settings.spelling,
                )

    def pronounce(self, tokens: tuple[Token, ...]) -> tuple[Word, ...]:
        """Pronounce the tokens of one breath; phones given in the text are taken as they are."""
        asked = self.chain.words([_exact(token) for token in tokens], [token.written for token in tokens])
        return tuple(map(self._word, tokens, asked))

    def _word(self, token: Token, asked: Word) -> Word:
        if token.phones:
            return Word(token.written, token.spoken, token.phones, "user", 1.0)
        if token.english and asked.by != "user":
            prefix = word_at(token.written, 0)
            if english := self.chain.english_word(token.english, prefix):
                return replace(english, written=token.written, spoken=token.spoken)
        return replace(asked, spoken=token.spoken)


def _exact(token: Token) -> str:
    """Return the word as written where normalising only merged letters of one sound: ቍ is more exact than
    ቁ."""
    if token.written != token.spoken and fold_homophones(token.written) == fold_homophones(token.spoken):
        return token.written
    return token.spoken


@lru_cache(maxsize=4)
def _shared(settings: FrontendSettings | None) -> Frontend:
    return Frontend(settings)


def phonemise(text: str, settings: FrontendSettings | None = None) -> list[Phrase]:
    """Convert `text` to phrases with words, phones, and for each word the backend whose answer was
    accepted."""
    return list(_shared(settings)(text))


def phones(text: str, settings: FrontendSettings | None = None) -> str:
    """Convert `text` to phones: separated by spaces, words by " # ", a line for each line of `text`."""
    frontend = _shared(settings)
    return "\n".join(phones_of_line(frontend, line) for line in text.split("\n"))


def phones_of_line(frontend: Frontend, line: str) -> str:
    """Convert one line of text to phones, on one line."""
    return f" {WORD_MARK} ".join(filter(None, (phrase.phones for phrase in frontend(line))))


@dataclass(frozen=True, slots=True)
class BackendComparison:
    """One word, and the answers of all backends."""

    word: Word
    """The word as the chain decided."""
    answers: tuple[Refusal, ...]
    """One for each backend, with the judge's issues; none means that it would be accepted."""

    order: tuple[str, ...] = ()
    """The backends of the settings, in their order."""

    @property
    def order_mattered(self) -> bool:
        """Whether another order of the same backends would have given other phones."""
        accepted = {answer.phones for answer in self.answers if answer.by in self.order and not answer.doubts}
        return len(accepted) > 1

    def as_dict(self) -> dict[str, object]:
        """Return the comparison as plain values for JSON."""
        answers = [answer.as_dict() for answer in self.answers]
        return {**self.word.as_dict(), "order_mattered": self.order_mattered, "answers": answers}


def compare(text: str, settings: FrontendSettings | None = None) -> list[BackendComparison]:
    """Compare the answers of all backends for every word of `text`: those of the settings, then the
    others."""
    settings = settings or FrontendSettings()
    frontend = _shared(settings)
    others = tuple(name for name in BACKENDS if name not in settings.g2p.backends)
    everyone = Chain(
        ChainSettings(
            backends=settings.g2p.backends + others,
            max_seconds=settings.g2p.max_seconds,
            transphone_folder=settings.g2p.transphone_folder,
            judge=settings.g2p.judge,
            evidence=settings.g2p.evidence,
            sanity=settings.g2p.sanity,
            rules=settings.g2p.rules,
        )
    )
    return [
        BackendComparison(
            word, tuple(everyone.all_answers(word.spoken)) if word.by != "user" else (), settings.g2p.backends
        )
        for phrase in frontend(text)
        for word in phrase.words
    ]


def fallback_messages(found: Iterable[Fallback]) -> list[Message]:
    """Make one message for each backend that was passed over, from the fallbacks of one or more chains."""
    merged: dict[str, list[Fallback]] = {}
    for one in found:
        merged.setdefault(one.name, []).append(one)
    messages = []
    for name, parts in merged.items():
        kinds: Counter[str] = Counter()
        for part in parts:
            kinds.update(part.reasons)
        messages.append(
            Message(
                "text.fallback",
                name=name,
                words=sum(part.words for part in parts),
                asked=sum(part.asked for part in parts),
                kinds=[f"{kind} {count}" for kind, count in kinds.most_common()],
                reason=parts[0].message,
            )
        )
    return messages


def absent(settings: FrontendSettings | None = None) -> dict[str, Issue]:
    """Return which backends of the chain cannot answer here, and why (starts each of them)."""
    chain = Chain((settings or FrontendSettings()).g2p)
    return {name: reason for name, reason in chain.absent().items() if reason}
