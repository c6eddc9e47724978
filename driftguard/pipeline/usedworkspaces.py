"""Which workspaces the code of a root module names. Pure.

What is looked up by `terraform.workspace`, compared with it, or read from a file that is called like it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from posixpath import join, normpath
from typing import Final

from driftguard.config.values import accepts
from driftguard.model.outlines import Outline
from driftguard.pipeline.varfolders import COMMON

_WORKSPACE: Final = "terraform.workspace"
_QUOTED: Final = r'"([A-Za-z0-9][\w.-]*)"'


def uses_workspaces(files: Collection[Outline]) -> bool:
    """Whether the code of a directory depends on its workspace."""
    return any(_WORKSPACE in text for file in files for text in _expressions(file))


def used_workspaces(files: Collection[Outline], directory: str, paths: Collection[str]) -> tuple[str, ...]:
    """The workspaces that the code of a directory names; empty where it names none.

    Args:
        paths: every file of the repository.
    """
    if not uses_workspaces(files):
        return ()
    values = dict(_values(files))
    aliases = [name for name, text in values.items() if text.strip() == _WORKSPACE]
    word = "(?:" + "|".join(map(re.escape, (_WORKSPACE, *aliases))) + r")(?![\w.-])"
    texts = [text for file in files for text in _expressions(file) if re.search(word, text)]
    compared = _compared(texts, word)
    some = compared if len(compared) > 1 else ()  # a single one has others beside it that are not named
    for found in (_looked_up(texts, word, values), _of_files(texts, word, directory, paths), some):
        usable = tuple(name for name in found if name not in COMMON or name == "default")
        if usable and all(accepts("workspace", name) for name in usable):
            return usable
    return ()


def _values(files: Collection[Outline]) -> Iterator[tuple[str, str]]:
    """The texts of locals and of defaults of variables, as they are referred to."""
    for file in files:
        for block in file.of("locals"):
            yield from ((f"local.{name}", text) for name, text in block.attributes.items())
        for block in file.of("variable"):
            if "default" in block.attributes:
                yield f"var.{''.join(block.labels[:1])}", block.attributes["default"]


def _looked_up(texts: Sequence[str], word: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of an object that is looked up by the workspace."""
    for text in texts:
        for found in re.finditer(rf"((?:local|var)\.[\w-]+)\)?\s*(?:\[\s*|,\s*){word}", text):
            if keys := _keys(values.get(found[1], "")):
                return keys
        direct = re.search(rf"(\{{.*\}})\s*(?:\[|,)\s*{word}", text, re.DOTALL)
        if direct and (keys := _keys(direct[1])):
            return keys
        if listed := re.search(rf"\[([^\[\]]*)\]\s*\)?\s*,\s*{word}", text):
            return tuple(re.findall(_QUOTED, listed[1]))
    return ()


def _of_files(texts: Sequence[str], word: str, directory: str, paths: Collection[str]) -> tuple[str, ...]:
    """The names of the files that are read by the workspace's name, such as `vars/${terraform.workspace}.yaml`."""
    for text in texts:
        for found in re.finditer(rf'"([^"$]*|\$\{{path\.(?:module|root)\}}/[^"$]*)\$\{{\s*{word}\s*\}}([^"$]*)"', text):
            before = re.sub(r"^\$\{path\.\w+\}/", "", found[1])
            if "." not in found[2] and "/" not in found[2]:
                continue
            lead = normpath(join(directory, f"{before}x"))[:-1]
            names = [path[len(lead) : len(path) - len(found[2])] for path in paths if _matches(path, lead, found[2])]
            if names := sorted(name for name in names if name and "/" not in name):
                return tuple(names)
    return ()


def _matches(path: str, lead: str, end: str) -> bool:
    return path.startswith(lead) and path.endswith(end) and len(path) > len(lead) + len(end)


def _compared(texts: Sequence[str], word: str) -> tuple[str, ...]:
    """The names that the workspace is compared with."""
    both = rf"{word}\s*[!=]=\s*{_QUOTED}|{_QUOTED}\s*[!=]=\s*{word}"
    return tuple(dict.fromkeys(found[1] or found[2] for text in texts for found in re.finditer(both, text)))


def _expressions(block: Outline) -> Iterator[str]:
    yield from block.attributes.values()
    for inner in block.blocks:
        yield from _expressions(inner)


def _keys(text: str) -> tuple[str, ...]:
    """The keys of an object as written; empty where one is not plain."""
    if not text.startswith("{"):
        return ()
    depth, keys = 0, []
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\w-]+|[{}\[\]()]|[=:\n,]', text):
        word = token[0]
        if word in "{[(":
            depth += 1
        elif word in "}])":
            depth -= 1
        elif depth == 1 and re.match(r"\s*[=:](?!=)", text[token.end() :]) and (word[0] == '"' or word[0].isalnum()):
            keys.append(word.strip('"'))
    return tuple(dict.fromkeys(keys))
