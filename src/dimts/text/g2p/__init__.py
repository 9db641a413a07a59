"""Grapheme to phoneme conversion: backends, the judge, and the chain of backends."""
