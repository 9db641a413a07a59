"""Count every kind of span in real text and write the rarest contexts of each kind for review.

    python tools/review_spans.py FILE… [--lines 200000] [--contexts 500] [--out FOLDER]

FILEs hold text, UTF-8. Words on both sides of a span, with digits as 0 and names of letters kept, make its
context; the contexts that occur least are where a reading is likeliest to be wrong. FOLDER gets one table a
kind: how often the context occurs, what was written, what is read, the rule, and the line around it. A table
of the kinds goes to stdout.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from dimts.text.normalise import Normaliser, NormaliseSettings
from dimts.text.reading import Span

AROUND = 30
"""Characters of the line shown on each side."""


def lines(paths: list[Path], most: int) -> Iterator[str]:
    """The first `most` lines of the files that are not empty."""

    def every() -> Iterator[str]:
        for path in paths:
            with path.open(encoding="utf-8", errors="replace") as file:
                yield from (line.strip() for line in file if line.strip())

    return islice(every(), most)


def context(line: str, span: Span) -> str:
    """The shape of a span and the word on each side of it."""
    before = re.findall(r"\S+", line[: span.start])[-1:]
    after = re.findall(r"\S+", line[span.end :])[:1]
    shape = re.sub("[0-9]+", "0", span.written.strip())
    return " ".join([*before, f"[{shape}]", *after])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--contexts", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("spans"))
    options = parser.parse_args()
    read = Normaliser(NormaliseSettings(off=("homophones",)))
    kinds: Counter[str] = Counter()
    contexts: dict[str, Counter[str]] = defaultdict(Counter)
    examples: dict[tuple[str, str], tuple[str, ...]] = {}
    for line in lines(options.files, options.lines):
        for span in read(line).spans:
            if span.kind == "text":
                continue
            kinds[span.kind] += 1
            key = context(line, span)
            contexts[span.kind][key] += 1
            around = line[max(0, span.start - AROUND) : span.end + AROUND]
            examples.setdefault((span.kind, key), (span.written.strip(), span.spoken, span.why, around))
    options.out.mkdir(parents=True, exist_ok=True)
    for kind, count in kinds.most_common():
        print(f"{count}\t{len(contexts[kind])}\t{kind}")
        rarest = sorted(contexts[kind].items(), key=lambda item: (item[1], item[0]))[: options.contexts]
        rows = ["\t".join([str(often), *examples[kind, key]]) for key, often in rarest]
        (options.out / f"{kind}.tsv").write_text(
            "# occurrences\twritten\tread\trule\tline\n" + "\n".join(rows) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
