"""Reads from Terraform source what the closure needs: module calls, what `init` depends on, files mentioned."""

from __future__ import annotations

import contextlib
import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from driftguard.model import ModuleSource, SourceFacts

_FORMAT = 1
# Only files with one of these words can hold a module call or anything that `init` depends on.
_WORTH_PARSING = re.compile(rb"\bmodule\b|\bbackend\b|\bcloud\b|\brequired_")
_SOURCE = re.compile(r'"?source"?\s*[=:]\s*"((?:[^"\\]|\\.)*)"')
_VERSION = re.compile(r'"?version"?\s*[=:]\s*"((?:[^"\\]|\\.)*)"')
# Literal paths that leave the module's own directory: "../x", "${path.module}/../x", "${path.root}/../x".
_MENTIONED = re.compile(rb'"(?:\$\{path\.(?:module|root|cwd)\}/)?((?:\.{1,2}/)+[^"$%{}*?\n]+)"')


class CachingReader:
    """Facts of Terraform files by git object id, kept in one file between runs.

    Args:
        cache_file: deleted or unreadable, it costs time and nothing else.
    """

    def __init__(self, cache_file: Path) -> None:
        self._file = cache_file
        self._format = f"{_FORMAT} {version('python-hcl2')}"
        self._known = self._load()
        self._changed = False

    def known(self, object_id: str) -> SourceFacts | None:
        """What an earlier run read from a blob, without its contents."""
        return self._known.get(object_id)

    def read(self, object_id: str, path: str, source: bytes) -> SourceFacts:
        facts = self._known.get(object_id)
        if facts is None:
            facts = _facts(path, source)
            self._known[object_id] = facts
            self._changed = True
        return facts

    def save(self) -> None:
        """Write what is new; the last of several writers wins, which loses only time."""
        if not self._changed:
            return
        scratch = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        scratch.write_bytes(msgspec.json.encode({"format": self._format, "facts": self._known}))
        scratch.replace(self._file)
        self._changed = False

    def _load(self) -> dict[str, SourceFacts]:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            stored = msgspec.json.decode(self._file.read_bytes(), type=_Stored)
            if stored.format == self._format:
                return stored.facts
        return {}


class _Stored(msgspec.Struct):
    format: str
    facts: dict[str, SourceFacts]


def _facts(path: str, source: bytes) -> SourceFacts:
    mentioned = tuple(sorted({found.decode(errors="replace") for found in _MENTIONED.findall(source)}))
    if not _WORTH_PARSING.search(source):
        return SourceFacts(paths=mentioned)
    try:
        parsed = _parse(path, source)
        modules = tuple(_modules(parsed))
        init_facts = msgspec.json.encode(_init_facts(parsed), order="deterministic").decode()
    except Exception as error:  # noqa: BLE001 - whatever a parser of foreign text raises, the guess covers it
        return _guess(path, source, mentioned, getattr(error, "line", None))
    return SourceFacts(modules=modules, init_facts=init_facts, paths=mentioned)


def _parse(path: str, source: bytes) -> dict[str, Any]:
    if path.endswith(".json"):
        loaded = msgspec.json.decode(source)
    else:
        import hcl2  # slow to import, and needed only for files never seen before

        loaded = hcl2.loads(source.decode("utf-8-sig"))
    if not isinstance(loaded, dict):
        raise ValueError("not an object")
    return loaded


def _modules(parsed: dict[str, Any]) -> list[ModuleSource]:
    return [
        ModuleSource(_plain(label), _plain(body.get("source")), _plain(body.get("version")))
        for block in _blocks(parsed.get("module"))
        for label, bodies in block.items()
        for body in _blocks(bodies)
    ]


def _init_facts(parsed: dict[str, Any]) -> Any:
    terraform = [
        {key: block[key] for key in ("backend", "cloud", "required_providers", "required_version") if key in block}
        for block in _blocks(parsed.get("terraform"))
    ]
    calls = [[m.name, m.source, m.version] for m in _modules(parsed)]
    facts = [block for block in terraform if block]
    return [facts, calls] if facts or calls else []


def _guess(path: str, source: bytes, mentioned: tuple[str, ...], line: int | None) -> SourceFacts:
    """Every source-like string counts as a module call, those in comments too: too much is safe, too little is not."""
    text = source.decode(errors="replace")
    modules = tuple(ModuleSource(f"guess-{i}", found, None) for i, found in enumerate(_SOURCE.findall(text)))
    where = f"{path}:{line}" if line else path
    problem = (
        f"{where} could not be parsed; every `source` that stands in it counts as a module, and any change of it "
        "as a reason to initialise again."
    )
    return SourceFacts(modules=modules, init_facts=text, paths=mentioned, problem=problem)


def _blocks(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _plain(value: Any) -> str:
    """A string without the quotes that python-hcl2 keeps."""
    text = value if isinstance(value, str) else ""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
