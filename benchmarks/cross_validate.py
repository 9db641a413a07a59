"""Strict word error rate on gold words that no table and no training row shares a root with.

    python benchmarks/cross_validate.py [--gold FOLDER] [--folds 4] [--list NAME ...] [--chains] [--errors]

Gold words are put into folds by root (their consonants without one-letter affixes). For each fold every row
of the tables whose root occurs in it is taken away, the model of consonant length is trained on the rest, and
the fold's gold words are pronounced. Heteronym and verb-root tables stay. Scores are those of
gold/g2p_score.py. With --chains every order of backends under each judge is scored on the same folds, and the
share of 2 000 words of news that each backend of an order answers is counted (tables whole). Prints one JSON
line.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from dimts.text.g2p import gemination_model, lexicon, morphology, rules
from dimts.text.g2p.chain import Chain, ChainSettings
from dimts.text.g2p.letters import encode
from dimts.text.g2p.lexicon import Table
from dimts.text.g2p.rules import Rules

SHARED = Path(os.environ.get("DIMTS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
TOOLS = Path(__file__).resolve().parents[1] / "tools"
LISTS = ("wikipron", "lexibank", "fsi")


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"no {path}")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def without(table: Table, gone: set[str], root) -> Table:
    """A table without the rows of some roots."""
    return Table(*({code: row for code, row in part.items() if root(code) not in gone} for part in
                   (table.lengths, table.phones, table.others)))  # fmt: skip


@contextmanager
def held_out(gone: set[str], trainer: ModuleType, data) -> Iterator[Rules]:
    """Rules whose tables and length model know nothing of the roots `gone`."""
    whole = {name: lexicon.built_in(name) for name in (rules.OWN, rules.GEEZORG)}
    parts = {name: without(table, gone, trainer.group) for name, table in whole.items()}
    index, theta, bias = trainer.train([row for row in data if trainer.group(row[0]) not in gone])
    weights = {name: round(100 * theta[at]) for name, at in index.items() if abs(theta[at]) >= 0.05}
    kept = rules.built_in, morphology.built_in, gemination_model._weights
    rules.built_in = morphology.built_in = parts.__getitem__
    gemination_model._weights = lambda: (weights, round(100 * bias))
    morphology._words.cache_clear()
    rules._codes.cache_clear()
    try:
        yield Rules()
    finally:
        rules.built_in, morphology.built_in, gemination_model._weights = kept
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


def gold_words(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(
        dict.fromkeys(line.split("\t")[0] for line in lines if "\t" in line and not line.startswith("#"))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gold", type=Path, default=SHARED / "gold")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--list", nargs="*", default=list(LISTS), choices=LISTS)
    parser.add_argument(
        "--chains", action="store_true", help="Also score every order of backends under each judge."
    )
    parser.add_argument(
        "--errors", action="store_true", help="Also list the words that are wrong, on stderr."
    )
    options = parser.parse_args()
    scorer, trainer = module(options.gold / "g2p_score.py"), module(TOOLS / "train_length_model.py")
    data = trainer.examples([])
    words = {name: gold_words(options.gold / f"{name}.dev.tsv") for name in options.list}
    roots = sorted({trainer.group(encode(word)) for several in words.values() for word in several})
    order = np.random.default_rng(0).permutation(len(roots))
    transcripts: dict[str, str] = {}
    source: dict[str, str] = {}
    by_chain: dict[str, dict[str, str]] = {}
    for fold in range(options.folds):
        gone = {roots[at] for at in range(len(roots)) if order[at] % options.folds == fold}
        asked = [w for several in words.values() for w in several if trainer.group(encode(w)) in gone]
        with held_out(gone, trainer, data) as own:
            if options.chains:
                for label, answers in chains(list(dict.fromkeys(asked))).items():
                    by_chain.setdefault(label, {}).update(
                        {word: phones for word, (phones, _) in answers.items()}
                    )
            for word in dict.fromkeys(asked):
                answer = own.explain(word)
                transcripts[word], source[word] = " ".join(answer.phones), answer.source
        print(f"fold {fold + 1} of {options.folds}: {len(asked)} words", file=sys.stderr)
    report = {}
    for name in options.list:
        gold = scorer.load_gold(options.gold / f"{name}.dev.tsv")
        report[name] = scorer.summarise(gold, {word: transcripts[word] for word in words[name]})
        if options.errors:
            for word, golds in gold.items():
                wrong = scorer.score_word(golds, scorer.normalise(transcripts[word]))["strict"][0]
                if wrong:
                    shown = " | ".join("".join(scorer.strict(one)) for one in golds)
                    print(
                        name,
                        word,
                        transcripts[word].replace(" ", ""),
                        shown,
                        source[word],
                        sep="\t",
                        file=sys.stderr,
                    )
    if options.chains:
        golds = {name: scorer.load_gold(options.gold / f"{name}.dev.tsv") for name in options.list}
        report["chains"] = {
            label: {name: scorer.summarise(gold, said_by)["strict"]["wer"] for name, gold in golds.items()}
            for label, said_by in by_chain.items()
        }
        report["answered"] = shares(options.gold)
    print(json.dumps({"lists": report, "sources": dict(Counter(source.values()))}, ensure_ascii=False))


if __name__ == "__main__":
    main()
