"""Forges: where pull requests are opened and reviewed."""
