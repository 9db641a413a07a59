"""The text package measured: gold by category beside num2words and espeak-ng, speed, doubling times, memory.

    python benchmarks/text.py [--gold FOLDER] [--megabytes 64]    tables on stderr, JSON on stdout

num2words reads the digits of a case and leaves the rest (its Amharic never returns for some numbers, hence a
limit). espeak-ng has no spoken form; a case counts as right when it gives the written and an expected form
the same phonemes. Memory is the peak of a child process that streams a file of so many megabytes, and of one
a quarter the size.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import importlib.util
import json
import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from dimts.text.normalise import Normaliser
from dimts.text.stream import blocks, normalise_stream

SHARED = Path(os.environ.get("DIMTS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SECONDS_FOR_ONE_NUMBER = 2.0
LINE_BYTES = (1_250_000, 2_500_000, 5_000_000, 10_000_000)
REPEAT_BYTES = (25_000, 50_000, 100_000, 200_000)
ADVERSARIAL = (
    "1/",
    "(",
    "<",
    "[",
    "1.",
    "a.b",
    "ሀ/",
    "፩",
    "9",
    "1-",
    "+1",
    "::",
    "&",
    "#",
    "<a b='",
    "ሀ.",
    "1:1:",
    "$1,",
)


def load_scorer(gold: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("text_score", gold / "text_score.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"no scorer in {gold}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def score(
    rows: list[dict[str, str]], right: Callable[[dict[str, str]], bool | None]
) -> dict[str, tuple[int, int]]:
    """Category → right and all; cases that cannot be asked (None) are left out."""
    table: dict[str, tuple[int, int]] = {}
    for row in rows:
        answer = right(row)
        if answer is not None:
            good, every = table.get(row["category"], (0, 0))
            table[row["category"]] = (good + answer, every + 1)
    return table


def expected(row: dict[str, str]) -> list[str]:
    return [row["expected"], *filter(None, (row["alt"] or "").split(" | "))]


def by_text(scorer: ModuleType, say: Callable[[str], str | None]) -> Callable[[dict[str, str]], bool | None]:
    def right(row: dict[str, str]) -> bool | None:
        answer = say(row["input"])
        keep = {
            "keep_signs": row["category"] == "punct",
            "keep_letters": row["category"] in ("homophone", "labiovelar"),
        }
        return (
            None
            if answer is None
            else scorer.canon(answer, **keep) in [scorer.canon(one, **keep) for one in expected(row)]
        )

    return right


# ---------------------------------------------------------------- peers
def _number_in_words(number: str, out: multiprocessing.Queue[str]) -> None:
    from num2words import num2words

    try:
        out.put(num2words(float(number) if "." in number else int(number), lang="am"))
    except Exception as error:  # noqa: BLE001  # its crashes are what is measured
        out.put(f"[{type(error).__name__}]")


def num2words_says(text: str) -> str | None:
    """The text with its digits in num2words' words; None where there are no digits."""

    def replace(found: re.Match[str]) -> str:
        out: multiprocessing.Queue[str] = multiprocessing.Queue()
        process = multiprocessing.Process(target=_number_in_words, args=(found.group().replace(",", ""), out))
        process.start()
        try:
            return out.get(timeout=SECONDS_FOR_ONE_NUMBER)
        except Exception:  # noqa: BLE001  # queue.Empty: it does not return
            return "[no answer]"
        finally:
            process.kill()
            process.join()

    return re.sub(r"\d[\d,]*(?:\.\d+)?", replace, text) if re.search(r"\d", text) else None


def espeak() -> Callable[[str], str] | None:
    """Text → espeak-ng's Amharic phonemes, if the library is here."""
    if importlib.util.find_spec("espeakng_loader") is None:
        return None
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    if library.espeak_Initialize(1, 0, espeakng_loader.get_data_path().encode(), 0) < 0:
        return None
    if library.espeak_SetVoiceByName(b"am"):
        return None

    def phonemes(text: str) -> str:
        pointer = ctypes.c_char_p(text.encode())
        mnemonics = []
        while pointer.value:
            mnemonics.append(library.espeak_TextToPhonemes(ctypes.byref(pointer), 1, 0) or b"")
        return re.sub(r"[\s',_:|]+", "", b"".join(mnemonics).decode())

    return phonemes


# ---------------------------------------------------------------- speed and memory
def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """The best CPU time of a few rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def growth(make: Callable[[int], str], normaliser: Normaliser, sizes: tuple[int, ...]) -> list[float]:
    """Time per byte against that of half the size, for each doubling."""
    per_byte = []
    for size in sizes:
        text = make(size)
        per_byte.append(seconds(partial(normaliser.spoken, text), 2) / len(text.encode()))
    return [round(large / small, 2) for small, large in pairwise(per_byte)]


def repeated(unit: str, size: int) -> str:
    return unit * (size // len(unit.encode()))


def _stream(path: str, out: multiprocessing.Queue[float]) -> None:
    with open(path, "rb") as file, open(os.devnull, "w", encoding="utf-8") as nowhere:
        for part in normalise_stream(blocks(iter(lambda: file.read(1 << 18), b""))):
            nowhere.write(part)
    out.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def peak_megabytes(text: str, megabytes: int, *, one_line: bool) -> float:
    """Peak memory of a fresh process that streams so much text."""
    context = multiprocessing.get_context("spawn")
    data = (text.replace("\n", " ") if one_line else text).encode()
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(max(1, megabytes * 1_000_000 // len(data))):
            file.write(data)
        file.flush()
        out: multiprocessing.Queue[float] = context.Queue()
        process = context.Process(target=_stream, args=(file.name, out))
        process.start()
        peak = out.get()
        process.join()
        return round(peak)


def total(table: dict[str, tuple[int, int]]) -> str:
    return f"{sum(good for good, _ in table.values())}/{sum(every for _, every in table.values())}"


def print_table(columns: dict[str, dict[str, tuple[int, int]]], categories: Iterable[str]) -> None:
    print(f"{'category':12}" + "".join(f"{name:>14}" for name in columns), file=sys.stderr)
    for category in [*categories, "all"]:
        cells = []
        for table in columns.values():
            parts = (
                list(table.values()) if category == "all" else [table[category]] if category in table else []
            )
            cells.append(
                f"{sum(good for good, _ in parts)}/{sum(every for _, every in parts)}" if parts else "–"
            )
        print(f"{category:12}" + "".join(f"{cell:>14}" for cell in cells), file=sys.stderr)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--gold", type=Path, default=SHARED / "gold")
    arguments.add_argument(
        "--megabytes", type=int, default=64, help="size of the file streamed for the memory figure"
    )
    chosen = arguments.parse_args()
    with (chosen.gold / "text_cases.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    scorer = load_scorer(chosen.gold)
    normaliser = Normaliser()
    columns = {"dimts": score(rows, by_text(scorer, normaliser.spoken))}
    if importlib.util.find_spec("num2words"):
        columns["num2words"] = score(rows, by_text(scorer, num2words_says))
    if phonemes := espeak():
        columns["espeak-ng"] = score(
            rows, lambda row: phonemes(row["input"]) in [phonemes(one) for one in expected(row)]
        )
    print_table(columns, dict.fromkeys(row["category"] for row in rows))

    news = (chosen.gold / "text" / "amharic_news.txt").read_text(encoding="utf-8")
    megabytes = len(news.encode()) / 1e6
    flat = news.replace("\n", " ")
    worst = {unit: growth(partial(repeated, unit), normaliser, REPEAT_BYTES) for unit in ADVERSARIAL}
    doublings = growth(partial(repeated, flat[: LINE_BYTES[0] // 6]), normaliser, LINE_BYTES)
    for unit, ratios in worst.items():
        print(f"doubling {unit!r:10} {ratios}", file=sys.stderr)
    result = {
        "benchmark": "text",
        "right": {name: total(table) for name, table in columns.items()},
        "megabytes_per_second": round(megabytes / seconds(lambda: normaliser.spoken(news)), 1),
        "megabytes_per_second_with_spans": round(megabytes / seconds(lambda: normaliser(news)), 1),
        "doubling_news_line": doublings,
        "doubling_worst": max(max(ratios) for ratios in worst.values()),
        "peak_megabytes": {
            f"{size} MB, {shape}": peak_megabytes(news, size, one_line=shape == "one line")
            for shape in ("lines", "one line")
            for size in (max(1, chosen.megabytes // 4), chosen.megabytes)
        },
    }  # fmt: skip
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
