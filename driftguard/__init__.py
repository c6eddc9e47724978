"""DriftGuard keeps cloud infrastructure equal to git."""

__version__ = "0.1.0"
