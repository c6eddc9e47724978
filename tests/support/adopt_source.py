"""An environment's source made of texts, for tests of adopting."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Mapping
from posixpath import dirname

from driftguard.adapters.hcl.parser import SourceParser
from driftguard.hcledit.source import Source

ROOT = "env"
PARSER = SourceParser()


@functools.cache
def terraform_formatted(text: bytes) -> bytes:
    """What `terraform fmt` makes of a text."""
    return subprocess.run(["terraform", "fmt", "-"], input=text, capture_output=True, check=True, timeout=60).stdout


def source_of(
    files: Mapping[str, bytes],
    *,
    var_files: tuple[str, ...] = (),
    variables: frozenset[str] = frozenset(),
    shared: Mapping[str, tuple[str, ...]] | None = None,
    formatted: Callable[[bytes], bytes] = lambda text: text,
) -> Source:
    """The source of an environment in `env`, from the contents of all files of a repository."""
    return Source(
        root=ROOT,
        var_files=var_files,
        variables=variables,
        files=lambda directory: {path: text for path, text in files.items() if dirname(path) == directory},
        shared_with=lambda path: (shared or {}).get(path, ()),
        formatted=formatted,
        parser=PARSER,
    )
