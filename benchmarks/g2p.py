"""Every Amharic G2P that installs, on the same words, in one notation, in one run.

    python benchmarks/g2p.py [--gold FOLDER] [--table] [--only NAME ...]

Scores are those of gold/g2p_score.py (word and phone error rate in percent; strict, without length,
without length and ɨ; F1 of length and of ɨ). Speed is words per second of a system in this process:
"cold" for distinct words never asked before, "warm" for the same running text again. Systems that are
not installed are named with the reason. Prints one JSON line; --table prints Markdown too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from dimts.base.errors import DimtsError
from dimts.text.g2p.chain import BACKENDS, Chain, ChainSettings
from dimts.text.g2p.rules import Rules, RulesSettings

SHARED = Path(os.environ.get("DIMTS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
LISTS = ("wikipron", "lexibank", "fsi")
SPEED_WORDS = 20_000
Say = Callable[[Sequence[str]], list[str]]


def scorer(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("g2p_score", folder / "g2p_score.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def backend(kind: Callable[[], object]) -> Callable[[], Say]:
    def start() -> Say:
        made = kind()
        return lambda words: [" ".join(phones) for phones in made.phones(words)]

    return start


def chain(*names: str) -> Callable[[], Say]:
    def start() -> Say:
        made = Chain(ChainSettings(backends=names))
        return lambda words: [" ".join(word.phones) for word in made.words(words)]

    return start


def africa_g2p() -> Say:
    from africa_g2p import AfricaPipeline

    pipeline = AfricaPipeline(lang="amh", output="ipa")
    return lambda words: [pipeline.run(word, sep=" ") for word in words]


ONLY_LEXICON = RulesSettings(morphology=False, model=False)
ONLY_MORPHOLOGY = RulesSettings(lexicon=False, model=False)
ONLY_MODEL = RulesSettings(lexicon=False, morphology=False)
ONLY_SYLLABLES = RulesSettings(lexicon=False, morphology=False, model=False)
SYSTEMS: dict[str, Callable[[], Say]] = {
    "dimts rules": backend(Rules),
    "dimts default chain": chain("transphone", "epitran", "rules"),
    "rules without lexicon": backend(lambda: Rules(RulesSettings(lexicon=False))),
    "rules without morphology": backend(lambda: Rules(RulesSettings(morphology=False))),
    "rules without model": backend(lambda: Rules(RulesSettings(model=False))),
    "lexicon alone": backend(lambda: Rules(ONLY_LEXICON)),
    "morphology alone": backend(lambda: Rules(ONLY_MORPHOLOGY)),
    "model alone": backend(lambda: Rules(ONLY_MODEL)),
    "syllables alone": backend(lambda: Rules(ONLY_SYLLABLES)),
    "Epitran amh-Ethi": backend(lambda: BACKENDS["epitran"]()),
    "Epitran amh-Ethi-pp": backend(lambda: BACKENDS["epitran-pp"]()),
    "Epitran amh-Ethi-red": backend(lambda: BACKENDS["epitran-red"]()),
    "espeak-ng am": backend(lambda: BACKENDS["espeak"]()),
    "africa-g2p": africa_g2p,
    "Transphone": backend(lambda: BACKENDS["transphone"]()),
}


def answers_of(say: Say, words: list[str]) -> dict[str, str]:
    """Some gold words hold a word space (፡), which a front end would have cut at."""
    parts = [part for word in words for part in word.split("፡")]
    answers = iter(say(parts))
    return {word: " ".join(next(answers) for _ in word.split("፡")) for word in words}


def running_text(folder: Path) -> list[str]:
    text = (folder / "text" / "amharic_news.txt").read_text(encoding="utf-8")
    return re.findall("[\u1200-\u135a]+", text)


def speed(start: Callable[[], Say], text: list[str]) -> dict[str, float]:
    say = start()
    say(["ሰላም"])
    distinct = list(dict.fromkeys(text))[:SPEED_WORDS]
    before = time.process_time()
    say(distinct)
    cold = len(distinct) / (time.process_time() - before)
    piece = (
        [word for word in text if word in set(distinct)][: 4 * SPEED_WORDS]
        if len(distinct) < 2000
        else text[:60_000]
    )
    say(piece)
    before = time.process_time()
    say(piece)
    return {"cold": round(cold), "warm": round(len(piece) / max(1e-9, time.process_time() - before))}


def start_of_rules() -> dict[str, float]:
    """CPU milliseconds and megabytes of a fresh interpreter that says one unknown word, and of an empty
    one."""
    program = (
        "{}\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    work = "from dimts.text.g2p.rules import Rules;Rules().phones(['ስርፍጥክና'])"
    found = {}
    for name, code in (("bare", ""), ("rules", work)):
        times = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            ended = subprocess.run(
                [sys.executable, "-c", program.format(code)], capture_output=True, text=True, check=True
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        found[name] = (sorted(times)[2], int(ended.stdout) / 1024)
    return {
        "start_ms": round(1000 * (found["rules"][0] - found["bare"][0])),
        "start_with_python_ms": round(1000 * found["rules"][0]),
        "memory_mb": round(found["rules"][1], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gold", type=Path, default=SHARED / "gold")
    parser.add_argument("--table", action="store_true", help="print a Markdown table first")
    parser.add_argument("--only", nargs="*", help="names of systems")
    parser.add_argument("--suffix", default=".dev.tsv", help="end of the gold files' names")
    options = parser.parse_args()
    score = scorer(options.gold)
    gold = {name: score.load_gold(options.gold / f"{name}{options.suffix}") for name in LISTS}
    text = running_text(options.gold)
    report: dict[str, object] = {}
    for name, start in SYSTEMS.items():
        if options.only and name not in options.only:
            continue
        try:
            say = start()
            say(["ሰላም"])
        except (DimtsError, ImportError) as error:
            report[name] = {"absent": str(error)[:150]}
            continue
        row: dict[str, object] = {
            list_: score.summarise(words, answers_of(say, list(words))) for list_, words in gold.items()
        }
        row["words_per_second"] = speed(start, text)
        report[name] = row
    if not options.only or "dimts rules" in options.only:
        report["start"] = start_of_rules()
    if options.table:
        print("| system | WikiPron | no length | skeleton | Lexibank | FSI | length F1 | ɨ F1 | words/s |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name, row in report.items():
            if "wikipron" in row:
                wiki, lexi, fsi = (row[list_] for list_ in LISTS)
                cells = [
                    f"{part['wer']} / {part['per']}"
                    for part in (wiki["strict"], wiki["no_length"], wiki["skeleton"])
                ]
                cells += [f"{part['strict']['wer']} / {part['strict']['per']}" for part in (lexi, fsi)]
                cells += [
                    str(wiki["gemination"]["f1"]),
                    str(wiki["epenthesis"]["f1"]),
                    str(row["words_per_second"]["cold"]),
                ]
                print(f"| {name} | {' | '.join(cells)} |")
            elif "absent" in row:
                print(f"| {name} | {row['absent']} | | | | | | | |")
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
