"""Terraform source through python-hcl2: facts of a file, and the places where its values stand."""

from __future__ import annotations

from driftguard.adapters.hcl.facts import CachingReader, blocks
from driftguard.adapters.hcl.parser import SourceParser

__all__ = ["CachingReader", "SourceParser", "blocks"]
