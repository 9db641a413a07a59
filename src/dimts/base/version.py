"""The version of dimts, in its one home; pyproject.toml says the same, as a test holds."""

__version__ = "0.2.0"
