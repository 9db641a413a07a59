"""Grapheme to phoneme: backends, the judge, and the chain that asks them."""
