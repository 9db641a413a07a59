"""Strict word error rate on gold words that no table and no training row shares a root with.

    python benchmarks/cross_validate.py [--gold FOLDER] [--folds 4] [--list NAME ...] [--tables roots|words]
                                        [--verbs kept|gone] [--beside REPORT] [--chains] [--errors]

Gold words are put into folds by root (their consonants without one-letter affixes). For each fold every row
of the tables is taken away that has a root of the fold, or that holds a word of the fold or its stem between
affixes; the model of consonant length is trained on the rest, and the fold's words are pronounced. The table
of heteronyms stays; the roots of verbs stay unless --verbs gone takes those of the fold away, by which every
verb is a guess. With --tables words there is one fold, and only the gold words themselves are taken away.

Scores are those of gold/g2p_score.py. "classes" has words and errors by class of word (closed classes are the
pronouns, numerals, days and months: finite, so that running text holds none that a table lacks) and "errors"
counts their kinds: a long consonant missing, a short one long, ɨ, another sound. --beside REPORT (the output
of an earlier run) prints a table of both. With --chains every order of backends under each judge is scored on
the same folds, and the share of 2 000 words of news that each backend of an order answers is counted (tables
whole). Prints one JSON line.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from types import ModuleType

import numpy as np

from dimts.text.g2p import gemination_model, lexicon, morphology, rules
from dimts.text.g2p.affixes import clitics, suffixes
from dimts.text.g2p.chain import Chain, ChainSettings
from dimts.text.g2p.letters import VOWELS_IN_CODE, encode, lengths_of, unmarked
from dimts.text.g2p.lexicon import Table
from dimts.text.g2p.rules import Rules

SHARED = Path(os.environ.get("DIMTS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
TOOLS = Path(__file__).resolve().parents[1] / "tools"
LISTS = ("wikipron", "lexibank", "fsi")
NOUN_PREFIXES = ("ye", "be", "le", "ke", "sle", "'nde")
PREFIXES = ("", *NOUN_PREFIXES, "me", "te", "'a", "'")


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"no {path}")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def without(table: Table, gone: set[str]) -> Table:
    """A table without some rows."""
    return Table(*({code: row for code, row in part.items() if code not in gone} for part in
                   (table.lengths, table.phones, table.others)))  # fmt: skip


@cache
def endings() -> frozenset[str]:
    """Suffixes of nouns and verbs, with and without a clitic, without marks of length."""
    bare = {end for end, slots in suffixes().items() if slots.keys() & {"noun", "perf", "jus"}}
    return frozenset(bare | {end + clitic for end in bare for clitic, _ in clitics()})


def cores(code: str) -> Iterator[str]:
    """What may be the stem of a word: the word without each prefix and suffix that its letters allow."""
    for prefix in PREFIXES:
        if code.startswith(prefix):
            rest = code[len(prefix) :]
            yield from (rest[:cut] for cut in range(2, len(rest) + 1) if rest[cut:] in endings())


def kin(words: Iterable[str], group: Callable[[str], str]) -> dict[str, set[str]]:
    """Code of a table's row → codes of the words that it shares a root or a stem with."""
    by_core: dict[str, set[str]] = {}
    by_group: dict[str, set[str]] = {}
    for code in words:
        by_group.setdefault(group(code), set()).add(code)
        for prefix in ("", *NOUN_PREFIXES):
            if code.startswith(prefix):
                rest = code[len(prefix) :]
                for core in {rest, "'" + rest if prefix else rest, rest.rstrip(VOWELS_IN_CODE)}:
                    if len(core) > 1:
                        by_core.setdefault(core, set()).add(code)
    found = {}
    for name in (rules.OWN, rules.GEEZORG):
        for row in lexicon.built_in(name).lengths:
            shared = set(by_group.get(group(row), ()))
            shared.update(*(by_core[core] for core in cores(row) if core in by_core))
            if shared:
                found[row] = shared
    return found


def verb_roots(code: str, group: Callable[[str], str]) -> set[str]:
    """Radicals of the roots table that the word's best analysis may have, or that are its root's."""
    known = morphology._roots()
    found = {radicals for radicals in known if group(radicals) == group(code)}
    analysis = morphology.Morphology().analyse(code)
    if analysis and "(" in analysis.parts:
        stem = analysis.parts.split("+")[1].split("(")[0]
        consonants = "".join(sign for sign in stem if sign not in VOWELS_IN_CODE)
        for radicals, _ in morphology._patterns().get(stem.translate(morphology._DIGITS), []):
            if (root := radicals.of(consonants)) in known:
                found.add(root)
    return found


@contextmanager
def held_out(gone: set[str], roots: set[str], trainer: ModuleType, data) -> Iterator[Rules]:
    """Rules whose tables and length model know nothing of the rows `gone`, nor of the verb roots `roots`."""
    whole = {name: lexicon.built_in(name) for name in (rules.OWN, rules.GEEZORG)}
    parts = {name: without(table, gone) for name, table in whole.items()}
    verbs = {radicals: types for radicals, types in morphology._roots().items() if radicals not in roots}
    index, theta, bias = trainer.train([row for row in data if row[0] not in gone])
    weights = {name: round(100 * theta[at]) for name, at in index.items() if abs(theta[at]) >= 0.05}
    kept = rules.built_in, morphology.built_in, gemination_model._weights, morphology._roots
    rules.built_in = morphology.built_in = parts.__getitem__
    gemination_model._weights = lambda: (weights, round(100 * bias))
    morphology._roots = lambda: verbs
    morphology._words.cache_clear()
    rules._codes.cache_clear()
    try:
        yield Rules()
    finally:
        rules.built_in, morphology.built_in, gemination_model._weights, morphology._roots = kept
        morphology._words.cache_clear()
        rules._codes.cache_clear()


ORDERS = (
    ("rules",),
    ("epitran", "rules"),
    ("rules", "epitran"),
    ("espeak", "rules"),
    ("transphone", "epitran", "rules"),
)
JUDGES = ("evidence", "sanity")
NEWS_WORDS = 2000


def chains(words: list[str]) -> dict[str, dict[str, tuple[str, str]]]:
    """Name of each order and judge → word → phones and backend, with the tables as they are now."""
    found = {}
    for order in ORDERS:
        for name in JUDGES:
            chain = Chain(ChainSettings(backends=order, judge=name))
            answers = chain.words(words)
            label = f"{' → '.join(order)}, {name}"
            found[label] = {
                word: (" ".join(one.phones), one.by) for word, one in zip(words, answers, strict=True)
            }
    return found


def shares(folder: Path) -> dict[str, dict[str, int]]:
    """Which backend answers how many of the first distinct words of news, for each order and judge."""
    text = (folder / "text" / "amharic_news.txt").read_text(encoding="utf-8")
    words = list(dict.fromkeys(re.findall("[\u1200-\u135a]+", text)))[:NEWS_WORDS]
    return {
        label: dict(Counter(by for _, by in answers.values())) for label, answers in chains(words).items()
    }


def closed_classes() -> set[str]:
    """Codes of the tables' pronouns, particles, numerals, days and months."""
    text = resources.files("dimts.text").joinpath("tables/lexicon.tsv").read_text(encoding="utf-8")
    found: set[str] = set()
    inside = False
    for line in text.splitlines():
        if line.startswith("# "):
            inside = line.startswith(("# closed class", "# numerals", "# days"))
        elif inside:
            found.add(unmarked(encode(line.split("\t")[0])))
    return found


def class_of(code: str, closed: set[str], analyser: morphology.Morphology) -> str:
    """The class of a word: closed, a verb of a listed root, or other words by their letters."""
    if code in closed:
        return "closed classes"
    analysis = analyser.analyse(code)
    if analysis and analysis.trust >= 0.9:
        return "verbs"
    letters = len(lengths_of(code))
    if letters <= 2:
        return "two letters"
    return "three letters" if letters == 3 else "four letters and more"


def kind_of(golds, spoken, scorer: ModuleType) -> str:
    """The kind of error of a wrong word, against the nearest gold."""
    near = min(golds, key=lambda one: scorer.lev(scorer.strict(one), scorer.strict(spoken)))
    if scorer.noboth(near) != scorer.noboth(spoken):
        return "another sound"
    (_, extra, missing, _), _ = scorer.counts(near, spoken)
    if missing or extra:
        return "long for short" if not missing else "short for long" if not extra else "another one long"
    return "ɨ"


def by_class(gold, transcripts: dict[str, str], kinds: dict[str, str], scorer: ModuleType) -> dict[str, dict]:
    """Words and wrong words by class, and kinds of errors."""
    classes: dict[str, list[int]] = {}
    errors: Counter[str] = Counter()
    for word, golds in gold.items():
        spoken = scorer.normalise(transcripts[word])
        wrong = scorer.score_word(golds, spoken)["strict"][0] > 0
        count = classes.setdefault(kinds[word], [0, 0])
        count[0] += 1
        count[1] += wrong
        if wrong:
            errors[kind_of(golds, spoken, scorer)] += 1
    return {"classes": dict(sorted(classes.items())), "errors": dict(errors.most_common())}


def print_beside(now: dict[str, dict], before: dict[str, dict]) -> None:
    """Print a Markdown table of two reports: words wrong by list and class, before and now."""
    print("| list | class | words | wrong before | wrong now |\n|---|---|---|---|---|")
    for name, scores in now.items():
        old = before[name]
        rates = (old["strict"]["wer"], scores["strict"]["wer"])
        print(f"| {name} | all | {scores['words']} | {rates[0]} % | {rates[1]} % |")
        for kind, (words, wrong) in scores["classes"].items():
            print(f"| | {kind} | {words} | {old['classes'].get(kind, [0, 0])[1]} | {wrong} |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gold", type=Path, default=SHARED / "gold")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--list", nargs="*", default=list(LISTS), choices=LISTS)
    parser.add_argument("--tables", choices=("roots", "words"), default="roots", help="what is taken away")
    parser.add_argument("--verbs", choices=("kept", "gone"), default="kept", help="roots of the fold's verbs")
    parser.add_argument("--beside", type=Path, help="The JSON of an earlier run, to be printed beside.")
    parser.add_argument(
        "--chains", action="store_true", help="Also score every order of backends under each judge."
    )
    parser.add_argument(
        "--errors", action="store_true", help="Also list the words that are wrong, on stderr."
    )
    return parser.parse_args()


def folds(options: argparse.Namespace, codes: Iterable[str], group) -> Iterator[set[str]]:
    """The codes of each fold: all words of a root are in one."""
    if options.tables == "words":
        yield set(codes)
        return
    roots = sorted(set(map(group, codes)))
    order = np.random.default_rng(0).permutation(len(roots))
    for fold in range(options.folds):
        inside = {root for root, place in zip(roots, order, strict=True) if place % options.folds == fold}
        yield {code for code in codes if group(code) in inside}


def main() -> None:
    options = arguments()
    scorer, trainer = module(options.gold / "g2p_score.py"), module(TOOLS / "train_length_model.py")
    data = trainer.examples([])
    golds = {name: scorer.load_gold(options.gold / f"{name}.dev.tsv") for name in options.list}
    codes = {word: encode(word) for gold in golds.values() for word in gold}
    closed, analyser = closed_classes(), morphology.Morphology(nouns=False)
    kinds = {word: class_of(code, closed, analyser) for word, code in codes.items()}
    shared = kin(codes.values(), trainer.group) if options.tables == "roots" else {}
    verbs = {code: verb_roots(code, trainer.group) for code in codes.values()}
    transcripts: dict[str, str] = {}
    source: dict[str, str] = {}
    by_chain: dict[str, dict[str, str]] = {}
    for number, fold in enumerate(folds(options, codes.values(), trainer.group), 1):
        gone = fold if options.tables == "words" else {row for row, words in shared.items() if words & fold}
        roots = set().union(*(verbs[code] for code in fold)) if options.verbs == "gone" else set()
        asked = [word for word, code in codes.items() if code in fold]
        with held_out(gone, roots, trainer, data) as own:
            if options.chains:
                for label, answers in chains(asked).items():
                    by_chain.setdefault(label, {}).update(
                        {word: phones for word, (phones, _) in answers.items()}
                    )
            for word in asked:
                answer = own.explain(word)
                transcripts[word], source[word] = " ".join(answer.phones), answer.source
        print(f"fold {number}: {len(asked)} words, {len(gone)} rows taken away", file=sys.stderr)
    report = {}
    for name, gold in golds.items():
        report[name] = scorer.summarise(gold, {word: transcripts[word] for word in gold})
        report[name] |= by_class(gold, transcripts, kinds, scorer)
        if options.errors:
            print_errors(name, gold, transcripts, source, scorer)
    if options.beside:
        print_beside(report, json.loads(options.beside.read_text(encoding="utf-8"))["lists"])
    if options.chains:
        report["chains"] = {
            label: {name: scorer.summarise(gold, said_by)["strict"]["wer"] for name, gold in golds.items()}
            for label, said_by in by_chain.items()
        }
        report["answered"] = shares(options.gold)
    print(json.dumps({"lists": report, "sources": dict(Counter(source.values()))}, ensure_ascii=False))


def print_errors(name: str, gold, transcripts: dict[str, str], source: dict[str, str], scorer) -> None:
    """List the wrong words on stderr: list, word, answer, gold, source of the lengths."""
    for word, rows in gold.items():
        if scorer.score_word(rows, scorer.normalise(transcripts[word]))["strict"][0]:
            shown = " | ".join("".join(scorer.strict(one)) for one in rows)
            said = transcripts[word].replace(" ", "")
            print(name, word, said, shown, source[word], sep="\t", file=sys.stderr)


if __name__ == "__main__":
    main()
