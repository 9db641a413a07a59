"""`python -m dimts` is the command `dimts`."""

import sys

from dimts.cli import run

if __name__ == "__main__":
    sys.exit(run())
