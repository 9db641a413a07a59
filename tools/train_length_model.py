"""Train the model of consonant length from the tables, and say how well it does on words it has not seen.

    python tools/train_length_model.py [--text FILE ...] [--folds 5] [--write]

Learns from tables/lexicon.tsv and tables/geezorg/lexicon.tsv, and from the words of running text (--text,
one sentence a line) that morphology can take apart. Words that share a stem are kept in one fold. With
--write the weights go to tables/geezorg/length.tsv. Needs numpy and scipy. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
from scipy import optimize, sparse

from dimts.text.g2p import morphology as morphology_room
from dimts.text.g2p.gemination_model import features
from dimts.text.g2p.letters import encode, lengths_of
from dimts.text.g2p.lexicon import built_in
from dimts.text.g2p.morphology import Morphology, _words

PENALTY = 1.2
PRUNED_BELOW = 5
FIRM = 0.9
WEIGHTS = {"lexicon.tsv": 2.5, "geezorg/lexicon.tsv": 0.8, "text": 0.35}
HEAD = """\
# Weights (hundredths) of the model of consonant length: a line is a weight, then the features that have it.
# Trained by tools/train_length_model.py on lexicon.tsv here (CC BY-SA 4.0, see LICENCE) and on
# ../lexicon.tsv.
"""


def examples(texts: list[Path]) -> list[tuple[str, tuple[bool, ...], float, str]]:
    """(code, lengths, weight, source) of every word to learn from."""
    found = {}
    for name in ("lexicon.tsv", "geezorg/lexicon.tsv"):
        for code, marked in built_in(name).lengths.items():
            found.setdefault(code, (lengths_of(marked), WEIGHTS[name], name))
    morphology = Morphology()
    words = collections.Counter()
    for path in texts:
        words.update(re.findall("[\u1200-\u135a]+", path.read_text(encoding="utf-8")))
    for word in words:
        code = encode(word)
        if code not in found and (analysis := morphology.analyse(code)):
            found[code] = (lengths_of(analysis.marked), WEIGHTS["text"], "text")
    return [(code, *rest) for code, rest in found.items() if 1 < len(code) < 24]


def matrix(codes: list[str], index: dict[str, int], grow: bool) -> sparse.csr_matrix:
    columns, ends = [], [0]
    for code in codes:
        for names in features(code):
            for name in names:
                at = index.setdefault(name, len(index)) if grow else index.get(name)
                if at is not None:
                    columns.append(at)
            ends.append(len(columns))
    return sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(ends) - 1, len(index)))


def train(data) -> tuple[dict[str, int], np.ndarray, float]:
    index: dict[str, int] = {}
    x = matrix([row[0] for row in data], index, grow=True)
    y = np.concatenate([np.array(row[1], float) for row in data])
    weight = np.concatenate([np.full(len(row[1]), row[2]) for row in data])

    def loss(theta):
        z = x @ theta[:-1] + theta[-1]
        value = (weight * (np.logaddexp(0, z) - y * z)).sum() + 0.5 * PENALTY * (theta[:-1] ** 2).sum()
        slope = weight * (1 / (1 + np.exp(-z)) - y)
        return value, np.append(x.T @ slope + PENALTY * theta[:-1], slope.sum())

    theta = optimize.minimize(
        loss, np.zeros(len(index) + 1), jac=True, method="L-BFGS-B", options={"maxiter": 120}
    ).x
    return index, theta[:-1], theta[-1]


def measure(data, index, theta, bias) -> np.ndarray:
    """tp, fp, fn, words right, words."""
    x = matrix([row[0] for row in data], index, grow=False)
    long = x @ theta + bias > 0
    out, at = np.zeros(5), 0
    for _, truth, _, _ in data:
        predicted = long[at : at + len(truth)].copy()
        at += len(truth)
        predicted[0] = False
        truth = np.array(truth)
        out += [
            (predicted & truth).sum(),
            (predicted & ~truth).sum(),
            (~predicted & truth).sum(),
            (predicted == truth).all(),
            1,
        ]
    return out


def with_morphology(held, index, theta, bias) -> np.ndarray:
    """The same when the words may be taken apart, with every held word gone from the tables."""
    gone = {row[0] for row in held}
    known = morphology_room._words()
    kept = {code: word for code, word in known.items() if code not in gone}
    morphology_room._words = lambda: kept
    morphology, out = Morphology(), np.zeros(5)
    try:
        for code, truth, _, _ in held:
            analysis = morphology.analyse(code)
            guessed = 1 / (1 + np.exp(-(matrix([code], index, grow=False) @ theta + bias)))
            guessed[0] = 0.0
            if analysis and len(lengths_of(analysis.marked)) == len(
                truth
            ):  # as rules.Rules.explain weighs them
                long = np.array(lengths_of(analysis.marked))
                own = np.where(long, analysis.trust, 1 - analysis.trust)
                predicted = long if analysis.trust >= FIRM else (own + guessed) / 2 > 0.5
            else:
                predicted = guessed > 0.5
            gold = np.array(truth)
            out += [
                (predicted & gold).sum(),
                (predicted & ~gold).sum(),
                (~predicted & gold).sum(),
                (predicted == gold).all(),
                1,
            ]
    finally:
        morphology_room._words = _words
    return out


def group(code: str) -> str:
    """Words with the same consonants (without affixes of one letter) fall into one fold."""
    consonants = re.sub("[euiaEoAIO']", "", code)
    return re.sub("^(t|m|st|s)(?=...)", "", consonants)[:3]


def figures(counts: np.ndarray) -> dict[str, float]:
    tp, fp, fn, right, words = counts
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    f1 = 2 * precision * recall / (precision + recall)
    return {
        "words": int(words), "precision": round(precision, 3), "recall": round(recall, 3), "f1": round(f1, 3),
        "words_right": round(right / words, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path, nargs="*", default=[])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    data = examples(options.text)
    report: dict[str, object] = {"examples": dict(collections.Counter(row[3] for row in data))}
    groups = sorted({group(row[0]) for row in data})
    order = np.random.default_rng(0).permutation(len(groups))
    fold_of = (
        {name: int(order[at]) % options.folds for at, name in enumerate(groups)} if options.folds > 1 else {}
    )
    unseen: dict[str, np.ndarray] = collections.defaultdict(lambda: np.zeros(5))
    whole: dict[str, np.ndarray] = collections.defaultdict(lambda: np.zeros(5))
    for fold in range(options.folds if options.folds > 1 else 0):
        model = train([row for row in data if fold_of[group(row[0])] != fold])
        for source in WEIGHTS:
            held = [row for row in data if row[3] == source and fold_of[group(row[0])] == fold]
            if held:
                unseen[source] += measure(held, *model)
                if source != "text":
                    whole[source] += with_morphology(held, *model)
    report["unseen"] = {source: figures(counts) for source, counts in unseen.items()}
    report["unseen_with_morphology"] = {source: figures(counts) for source, counts in whole.items()}
    if options.write:
        index, theta, bias = train(data)
        rows = collections.defaultdict(list)
        for name, at in index.items():
            weight = round(100 * theta[at])
            if abs(weight) >= PRUNED_BELOW:
                rows[weight].append(name)
        rows[round(100 * bias)].append("bias")
        lines = ["\t".join([str(weight), *sorted(names)]) for weight, names in sorted(rows.items())]
        target = Path(str(resources.files("dimts.text").joinpath("tables/geezorg/length.tsv")))
        target.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
        report["bytes"] = target.stat().st_size
        report["features"] = sum(map(len, rows.values()))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
