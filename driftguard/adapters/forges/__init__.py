"""Forges: where pull requests are opened, and who approved what."""
