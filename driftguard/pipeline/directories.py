"""Which directories of a commit hold Terraform files, and which of them globs mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from posixpath import basename, dirname, normpath

from driftguard.errors import UsageError
from driftguard.model import TreeEntry
from driftguard.model.units import without_generated
from driftguard.pipeline.units import units


def find(tree: Mapping[str, TreeEntry], include: Sequence[str], exclude: Sequence[str] = ()) -> list[str]:
    """Directories with Terraform files, and Terragrunt units, that match `include` and not `exclude`, sorted.

    `*` and `?` stay within one path component, `**` spans any number of them, `.` is the root. What a stack generates
    matches by its path without the folders that it is generated in.
    """
    wanted = [glob_pattern(pattern) for pattern in include]
    unwanted = [glob_pattern(pattern) for pattern in exclude]
    directories = {dirname(path) or "." for path in tree if is_terraform(path)} | units(tree)

    def matches(directory: str, globs: Sequence[re.Pattern[str]]) -> bool:
        return any(glob.fullmatch(without_generated(directory)) for glob in globs)

    return sorted(d for d in directories if matches(d, wanted) and not matches(d, unwanted))


@lru_cache(maxsize=1024)
def glob_pattern(pattern: str) -> re.Pattern[str]:
    """A glob over paths as an expression for whole paths. UsageError where it is none."""
    pattern = normpath(pattern)
    text = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern):
        text += {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or (
            "(?!/)" + _characters(part) if part[:1] == "[" and part[-1:] == "]" else re.escape(part)
        )
    try:
        return re.compile(text, re.DOTALL)
    except re.error:
        raise UsageError(f"{pattern!r} is not a glob: what stands between [ and ] is no set of characters.") from None


def _characters(part: str) -> str:
    """A set of characters of a glob as one of an expression."""
    negated = part.startswith("[!")
    inside = re.sub(r"([\\\[&|~])", r"\\\1", part[2 if negated else 1 : -1])
    return f"[{'^' if negated else ''}{inside}]"


def is_override(path: str) -> bool:
    """Whether a Terraform file is merged into the others, after them."""
    name = basename(path)
    return name.partition(".")[0].endswith("_override") or name.startswith("override.")


def is_terraform(path: str) -> bool:
    """Whether a path is a Terraform or OpenTofu file by its name."""
    return path.endswith((".tf", ".tf.json", ".tofu", ".tofu.json"))
