"""The units that Terragrunt generates from stack files: where they will lie, and what they are made from. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from posixpath import basename, dirname, join, normpath
from typing import Final

from driftguard.model import TreeEntry
from driftguard.model.units import GENERATED
from driftguard.pipeline.units import UNIT_FILE
from driftguard.ports import BlobContents

STACK_FILE: Final = "terragrunt.stack.hcl"
_BLOCK: Final = re.compile(r'^[ \t]*(unit|stack)[ \t]+"[^"\n]*"[ \t]*\{', re.M)
_COMMENT: Final = re.compile(r"^[ \t]*(?:#|//)[^\n]*$", re.M)
_ATTRIBUTE: Final = re.compile(
    r"(?:^|\{)[ \t]*(path|source|no_dot_terragrunt_stack)[ \t]*=[ \t]*([^\n]+?)[ \t]*$", re.M
)
_LITERAL: Final = re.compile(r'"([^"$%]*)"')
_ROOT: Final = re.compile(r'"\$\{get_(?:repo_root|path_to_repo_root)\(\)\}/{1,2}([^"$]*)"')
_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class StackUnit:
    """A unit that a stack file makes.

    Attributes:
        path: the directory that it will lie in.
        stack: the directory of the outermost stack, in which it is generated.
        files: the stack files that it depends on.
        source: the directory that it is a copy of; None where that is not known, or lies elsewhere.
    """

    path: str
    stack: str
    files: tuple[str, ...]
    source: str | None


def stack_units(tree: Mapping[str, TreeEntry], blobs: BlobContents) -> Mapping[str, StackUnit]:
    """The units of all stacks of a commit by their directories, as far as their paths are literals."""
    files = {path: entry.object_id for path, entry in tree.items() if basename(path) == STACK_FILE}
    contents = dict(blobs.read(sorted(set(files.values())))) if files else {}
    texts = {path: contents[object_id].decode("utf-8", "replace") for path, object_id in files.items()}
    return {unit.path: unit for unit in _all(texts)}


def with_stack_units(tree: Mapping[str, TreeEntry], units: Mapping[str, StackUnit]) -> Mapping[str, TreeEntry]:
    """The files of a commit with one for each unit that a stack makes, where that will lie."""
    made = {join(unit.path, UNIT_FILE): tree[unit.files[-1]] for unit in units.values()}
    return {**made, **tree} if made else tree


def _all(texts: Mapping[str, str]) -> Iterator[StackUnit]:
    for path in texts:
        directory = dirname(path) or "."
        yield from _units(texts, directory, directory, (path,))


def _units(texts: Mapping[str, str], stack: str, directory: str, files: tuple[str, ...]) -> Iterator[StackUnit]:
    """The units of one stack file.

    Args:
        directory: the one that the stack file lies in once it is generated.
        files: the stack files on the way, the innermost last.
    """
    for kind, attributes in _blocks(texts[files[-1]]):
        place, source = _place(attributes, directory), _source(attributes, dirname(files[-1]))
        inner = join(source or "", STACK_FILE)
        if place is None:
            continue
        if kind == "unit":
            yield StackUnit(place, stack, files, source)
        elif inner in texts and len(files) < _MAX_DEPTH:
            yield from _units(texts, stack, place, (*files, inner))


def _blocks(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The units and stacks that a text names: the kind of each, and its attributes as written."""
    text = _COMMENT.sub("", text)
    starts = [*_BLOCK.finditer(text)]
    for start, following in zip_longest(starts, starts[1:]):
        body = text[start.end() - 1 : following.start() if following else len(text)]
        found: dict[str, str] = {}
        for name, value in _ATTRIBUTE.findall(body):
            found.setdefault(name, value)
        yield start[1], found


def _literal(attributes: Mapping[str, str], name: str) -> str | None:
    found = _LITERAL.fullmatch(attributes.get(name, ""))
    return found[1] if found else None


def _place(attributes: Mapping[str, str], directory: str) -> str | None:
    path = _literal(attributes, "path")
    beside = attributes.get("no_dot_terragrunt_stack") == "true"
    return None if path is None else normpath(join(directory, "" if beside else GENERATED, path))


def _source(attributes: Mapping[str, str], directory: str) -> str | None:
    """The directory that is copied, from the repository's root."""
    from_root = _ROOT.fullmatch(attributes.get("source", ""))
    if from_root is not None:
        return normpath(from_root[1])
    written = _literal(attributes, "source") or ""
    if not written.startswith(("./", "../")):
        return None
    found = normpath(join(directory, written.replace("//", "/")))
    return None if found.startswith("..") else found
