"""The form of fingerprints: a version of what enters them, and a keyed digest.

Digests of different versions cannot be compared: the same drift has another one in each. Version 1 is the bare digest
of DriftGuard 0.1.
"""

from __future__ import annotations

from typing import Final

_VERSION: Final = "2"


def versioned(digest: str) -> str:
    """A fingerprint of today's version."""
    return f"{_VERSION}-{digest}"


def version_of(fingerprint: str) -> str:
    """The version of what entered a fingerprint."""
    version, separator, _ = fingerprint.partition("-")
    return version if separator and version.isdigit() else "1"


def digest_of(fingerprint: str) -> str:
    """A fingerprint without its version, for short names."""
    return fingerprint.rpartition("-")[2]


def comparable(one: str | None, other: str | None) -> bool:
    """Whether a difference of two fingerprints means that the drift or the plan differs."""
    return one is None or other is None or version_of(one) == version_of(other)
