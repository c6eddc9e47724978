"""An environment's source made of texts, for tests of adopting."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname

from driftguard.adapters.hcl.parser import SourceParser
from driftguard.hcledit.source import EnvironmentSource

ROOT = "env"
PARSER = SourceParser()


@functools.cache
def terraform_formatted(text: bytes) -> bytes:
    """What `terraform fmt` makes of a text."""
    return subprocess.run(["terraform", "fmt", "-"], input=text, capture_output=True, check=True, timeout=60).stdout


def all_formatted(texts: Iterable[bytes], folder: Path) -> dict[bytes, bytes]:
    """What one `terraform fmt` makes of each text, which are written into a new folder for that."""
    folder.mkdir()
    files = {text: folder / f"{number}.tf" for number, text in enumerate(set(texts))}
    for text, file in files.items():
        file.write_bytes(text)
    subprocess.run(["terraform", "fmt", "-list=false", str(folder)], capture_output=True, check=True, timeout=60)
    return {text: file.read_bytes() for text, file in files.items()}


@dataclass(frozen=True)
class Texts:
    """A `SourceTree` of texts in memory."""

    contents: Mapping[str, bytes]
    shared: Mapping[str, tuple[str, ...]]

    def files(self, directory: str) -> Mapping[str, bytes]:
        return {path: text for path, text in self.contents.items() if dirname(path) == directory}

    def shared_with(self, path: str) -> tuple[str, ...]:
        return self.shared.get(path, ())


@dataclass(frozen=True)
class Formatting:
    """A `Formatter` from a function."""

    function: Callable[[bytes], bytes]

    def formatted(self, text: bytes) -> bytes:
        return self.function(text)


def source_of(
    files: Mapping[str, bytes],
    *,
    var_files: tuple[str, ...] = (),
    variables: frozenset[str] = frozenset(),
    shared: Mapping[str, tuple[str, ...]] | None = None,
    formatted: Callable[[bytes], bytes] = lambda text: text,
) -> EnvironmentSource:
    """The source of an environment in `env`, from the contents of all files of a repository."""
    return EnvironmentSource(
        root=ROOT,
        var_files=var_files,
        variables=variables,
        tree=Texts(files, shared or {}),
        formatter=Formatting(formatted),
        parser=PARSER,
    )
