"""Make the page of a comparison: ranking, figures, sections, confusions and the worst sentences with
players."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback
from dimts.base.version import __version__
from dimts.evaluate import plots
from dimts.evaluate.benchmark import section_note
from dimts.evaluate.comparison import RECORDINGS, ComparisonInput, VoiceComparison, confusions
from dimts.evaluate.intervals import Interval
from dimts.evaluate.measure import EvaluationSentence, MeasuredSentence, SpokenSentence
from dimts.evaluate.minimal_pairs import PairResult
from dimts.evaluate.rank import FIGURES, RankedVoice, figure_title, rank, section_figures, sentence_score
from dimts.evaluate.report import Report, ReportSample
from dimts.evaluate.systems import VoiceSystem
from dimts.text.phones import WORD_MARK

_WORST = 6
_CONFUSIONS = 12
"""Number of confusions shown for each system."""
_FEWEST = 3
"""Least number of times of a confusion that is shown."""


def write_report(
    given: ComparisonInput, found: VoiceComparison, on_progress: ProgressCallback
) -> VoiceComparison:
    """Write report.html and return `found`."""
    page(given, found, on_progress).write(found.report)
    return found


def page(given: ComparisonInput, found: VoiceComparison, on_progress: ProgressCallback) -> Report:
    """Make the report of a comparison."""
    lines, spoken = found.lines, found.spoken
    ranking, ranked = found.ranking, list(found.ranking.order)
    best = ranking.best.name
    order = sorted(range(len(lines)), key=lambda place: sentence_score(found.measured[best][place]))
    worst = []
    for done, place in enumerate(order[:_WORST], start=1):
        worst.append(_worst(lines[place], place, found, spoken))
        on_progress(Progress("report", done, min(_WORST, len(order)), "sentences"))
    noun = "Voices" if all(isinstance(one, VoiceSystem) for one in given.systems.values()) else "Systems"
    summary = {f"{noun}, best first (mean and 95 % interval over the sentences)": _voice_rows(given, found)}
    summary |= _section_tables(found)
    if found.pairs:
        summary["Minimal pairs, spoken by the best voice"] = _pair_rows(found.pairs)
    if any(found.failures.values()):
        summary["Not spoken"] = _failure_rows(found)
    tables = {"Commonest phone errors, times": _confusion_rows(found)}
    sections = [
        f"{one}: {section_note(one).text()}"
        for one in dict.fromkeys(line.section for line in lines if line.section)
    ]
    remarks = [f"{one.line()} ({one.remedy()})" if one.remedy() else one.line() for one in found.remarks]
    return Report(
        title=given.title,
        notes=[*(one.text() for one in ranking.reasons), *remarks],
        facts={
            "list": f"{given.sentences.name} {given.sentences.version}".strip(),
            "sentences": (
                f"{len(lines)}, of which {sum(line.reference is not None for line in lines)} with a recording"
            ),
            "recordings measured": str(len(found.recordings)),
            **({"minimal pairs, by the best voice": pairs_line(found.pairs).text()} if found.pairs else {}),
            "dimts": __version__,
        },
        summary=summary,
        remarks_heading="What the figures of each section can and cannot tell" if sections else "",
        remarks=sections,
        figures=_figures(ranked, scored=ranking.scored),
        spoken=worst,
        spoken_heading=f"The worst sentences of {best} first",
        losses=given.losses,
        clip_seconds=[one.examined.prosody.seconds for one in found.measured[best]],
        tables=tables,
    )


def _voice_rows(given: ComparisonInput, found: VoiceComparison) -> list[list[str]]:
    ranked = list(found.ranking.order)
    recorded = rank({RECORDINGS: found.recordings}).order if found.recordings else ()
    trained = given.tools.recogniser.trained_on_recordings
    scored = found.ranking.scored
    shown = [key for key in FIGURES if any(key in one.figures for one in ranked)]
    places = len(ranked) > 1
    head = ["voice", *(["place"] if places else []), *(["score of 100"] if scored else [])]
    rows = [[*head, *(figure_title(key).text() for key in shown), "faults"]]
    for one in [*ranked, *recorded]:
        known = one not in recorded
        rows.append(
            [
                one.name if known else "(the recordings)",
                *([str(one.place) if known else "–"] if places else []),
                *([str(one.score) if known or trained else "–"] if scored else []),
                *(str(one.figures[key]) if key in one.figures else "–" for key in shown),
                ", ".join(f"{kind} {count}" for kind, count in one.fault_counts.items()) or "–",
            ]
        )
    return rows


def _figures(ranked: Sequence[RankedVoice], *, scored: bool) -> dict[str, str]:
    if scored:
        drawn = [_range(one.name, one.score) for one in ranked]
        figures = {"Score of each voice": plots.ranges(drawn, "score of 100")}
    else:
        drawn = [_range(one.name, one.place) for one in ranked]
        figures = {"Place of each system": plots.ranges(drawn, "place, 1 is the best")}
    for key, heading, label in (
        ("per", "Phone errors", "phone error rate, by the recogniser"),
        ("length_ratio", "Length contrast", "duration of long consonants, short ones being 1"),
    ):
        if all(key in one.figures for one in ranked):
            figures[heading] = plots.ranges([_range(one.name, one.figures[key]) for one in ranked], label)
    return figures


def _section_tables(found: VoiceComparison) -> dict[str, list[list[str]]]:
    names = [one.name for one in found.ranking.order]
    sections = section_figures({name: found.measured[name] for name in names})
    if not sections:
        return {}
    tables = {}
    for key, heading in (("per", "Phone errors by section"), ("contrast", "Pairs right by section")):
        rows = [
            [section, *(str(figures[name][key]) if key in figures[name] else "–" for name in names)]
            for section, figures in sections.items()
            if any(key in figures[name] for name in names)
        ]
        if rows:
            tables[heading] = [["section", *names], *rows]
    return tables


def _failure_rows(found: VoiceComparison) -> list[list[str]]:
    return [
        ["system", "sentence", "reason"],
        *(
            [name, sentence, reason.line()]
            for name, failed in found.failures.items()
            for sentence, reason in failed.items()
        ),
    ]


def _confusion_rows(found: VoiceComparison) -> list[list[str]]:
    counts = {one.name: dict(confusions(found.measured[one.name])) for one in found.ranking.order}
    chosen: dict[tuple[str, str], int] = {}
    for known in counts.values():
        for pair, count in list(known.items())[:_CONFUSIONS]:
            if count >= _FEWEST:
                chosen[pair] = max(count, chosen.get(pair, 0))
    rows = [["expected", "recognised", *counts]]
    for expected, recognised in sorted(chosen, key=lambda pair: (-chosen[pair], pair)):
        times = [str(known.get((expected, recognised), 0)) for known in counts.values()]
        rows.append([expected or "(nothing)", recognised or "(nothing)", *times])
    return rows


def _range(name: str, interval: Interval) -> tuple[str, float, float, float]:
    return name, interval.mean, interval.low, interval.high


def _worst(
    line: EvaluationSentence,
    place: int,
    found: VoiceComparison,
    spoken: Mapping[str, Mapping[str, SpokenSentence]],
) -> ReportSample:
    best = found.ranking.best.name
    mine = found.measured[best][place]
    remarks = [_sample_line(best, mine, scored=found.ranking.scored)]
    remarks += [
        Message("evaluate.sample_fault", kind=issue.kind, reason=issue.message) for issue in mine.faults
    ]
    remarks.append(Message("evaluate.sample_phones", phones=" ".join(mine.examined.recognised)))
    names = [one.name for one in found.ranking.order]
    waves = {name: spoken[name][line.name].wave for name in names}
    if line.reference is not None:
        waves["the recording"] = line.reference
    sentence = spoken[best][line.name]
    phones = f" {WORD_MARK} ".join(" ".join(word) for word in line.words or sentence.words)
    by = Counter(sentence.answered_by)
    answered = ", ".join(f"{name} {count}" for name, count in by.most_common())
    return ReportSample(line.text, phones, answered, waves, [one.text() for one in remarks])


def _sample_line(name: str, one: MeasuredSentence, *, scored: bool) -> Message:
    rate = one.examined.errors.rate
    if not scored:
        return Message("evaluate.sample_errors", name=name, errors=rate)
    return Message("evaluate.sample_score", name=name, score=sentence_score(one), errors=rate)


def pairs_line(pair_results: Sequence[PairResult]) -> Message:
    """Summarise minimal pairs: distinguished pairs and correctly recognised words."""
    correct, distinguished = (
        sum(sum(one.correct) for one in pair_results),
        sum(one.distinguished for one in pair_results),
    )
    return Message(
        "evaluate.pairs_summary",
        distinguished_count=distinguished,
        pair_count=len(pair_results),
        correct_count=correct,
        word_count=2 * len(pair_results),
    )


def _pair_rows(pair_results: Sequence[PairResult]) -> list[list[str]]:
    rows = [["contrast", "words", "meaning", "distinguished", "first recognised", "second recognised"]]
    words = {True: "yes", False: "no"}
    for one in pair_results:
        pair = one.pair
        rows.append(
            [
                pair.contrast,
                f"{pair.written[0]} /{pair.one}/ · {pair.written[1]} /{pair.other}/",
                " · ".join(pair.meanings),
                words[one.distinguished],
                *(words[correct] for correct in one.correct),
            ]
        )
    return rows
