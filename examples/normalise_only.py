"""Written Amharic → words. `pip install dimts` is enough: no library beside Python is needed.

python examples/normalise_only.py < text.txt
"""

import sys

import dimts

EXAMPLES = ["በ2017 ዓ.ም", "ከጠዋቱ 3:30", "250.50 ብር", "9ኛ ክፍል", "ዶ/ር ሊያ"]

for line in EXAMPLES if sys.stdin.isatty() else sys.stdin:
    print(dimts.normalise(line.rstrip("\n")))
