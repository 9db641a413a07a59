"""A G2P backend of your own, asked before the built-in ones. Here: a dictionary of two words.

In a package of your own, name the class as an entry point of the group `dimts.g2p`; then `text.g2p.backends =
["mine", "rules"]` in dimts.toml finds it.
"""

from collections.abc import Sequence

import dimts
from dimts.text.frontend import FrontendSettings
from dimts.text.g2p.chain import BACKENDS, ChainSettings

KNOWN = {"ሰላም": ("s", "ə", "l", "a", "m"), "አለ": ("ʔ", "a", "lː", "ə")}


class Mine:
    """Answers for words of a dictionary; an empty answer for others, so that the next backend is asked."""

    name = "mine"
    marks_length = True

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """One answer for each word, in order."""
        return [KNOWN.get(word, ()) for word in words]


BACKENDS["mine"] = Mine
frontend = dimts.Frontend(FrontendSettings(g2p=ChainSettings(backends=("mine", "rules"))))
for phrase in frontend("ሰላም ልጁ አለ።"):
    for word in phrase.words:
        print(word.written, " ".join(word.phones), word.by)
