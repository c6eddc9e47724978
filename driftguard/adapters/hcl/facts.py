"""Reads Terraform source: module calls, what `init` depends on, and files mentioned."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Set
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from driftguard.adapters.hcl.definitions import MAX_PARSED, definitions
from driftguard.adapters.hcl.expressions import parse_errors
from driftguard.model import ModuleSource, SourceFacts
from driftguard.model.expressions import Definitions

_FORMAT = 5
# Only files with one of these words can hold a module call or anything that `init` depends on.
_WORTH_PARSING = re.compile(rb"\bmodule\b|\bbackend\b|\bcloud\b|\brequired_")
_SOURCE = re.compile(r'"?source"?\s*[=:]\s*"((?:[^"\\]|\\.)*)"')
# The literal beginning of every string, up to its end or to an interpolation or wildcard. What ends it is not taken,
# so that after an interpolation the next string is not mistaken for the space between two.
_STRING = re.compile(rb'"(?:\$\{\s*path\.(module|root|cwd)\s*\}/?)?([^"$%*?\[{\n]*)(?=(["$%*?\[{\n]))')
# Calls that read files, and those of them whose argument is a literal below the module's own directory.
_READS = re.compile(rb"\b(?:file(?:base64(?:sha256|sha512)?|exists|md5|set|sha1|sha256|sha512)?|templatefile)\s*\(")
_READS_LITERAL = re.compile(
    _READS.pattern + rb'\s*"(?:\$\{\s*path\.(?:module|root)\s*\}/)?(?!/|~)(?:(?!\.\.)[^"$%\\])+"\s*[,)]'
)
# What a provider serves; `terraform_data` and `terraform_remote_state` are built in.
_SERVED = re.compile(
    rb'^[ \t]*(?:resource|data|ephemeral|list|action)\s+"?(?!terraform_(?:data|remote_state)\b)\w', re.M
)
_OUTSIDE = re.compile(rb'^[ \t]*data\s+"?(external|http)"?\s+"?([\w-]+)"?\s*\{(.*?)^[ \t]*\}', re.M | re.S)
_ARGUMENT = re.compile(rb"^[ \t]*(?:url|program)\s*=\s*(\[.*?\]|[^\n]*)", re.M | re.S)
# A call that takes the contents of a file named by a literal; what a line tries (`try`, `can`, `fileexists`) may fail.
_TAKES = re.compile(
    rb"^(?![ \t]*(?:#|//))(?!.*(?:\btry\(|\bcan\(|fileexists|\?)).*?"
    rb"\b(?:file(?:base64(?:sha256|sha512)?|md5|sha1|sha256|sha512)?|templatefile)\(\s*"
    rb'"(?:\$\{\s*path\.(module|root)\s*\}/)?(?!/|~)([^"$%\\*?\n]+)"\s*[,)]',
    re.M,
)
# An argument that often names a file, with a value whose beginning is no literal; and calls that make paths.
_NAMES_FILE = re.compile(
    rb"\b(?:filename|source(?:_file|_dir|_path)?|program|working_dir|config_path|chart|context|zip_deploy_file|pattern)"
    rb'"?\s*[=:]\s*(?:[a-z(]|"\$\{(?!\s*path\.)|\[[^\]]*(?:\$\{(?!\s*path\.)|\b(?:var|local|each)\.|\w\())'
)
_MAKES_PATH = re.compile(rb'\bjoin\(\s*"/"|\b(?:dirname|abspath|pathexpand)\(|\bpath\.cwd\b')
# What a template reads by itself.
_TEMPLATE_READS = re.compile(rb"[$%]\{[^}]*?" + _READS.pattern)
_ANY_LITERAL = re.compile(_READS.pattern + rb'\s*"(?:[^"$%\\])+"\s*[,)]')
_TEMPLATES = re.compile(rb'\btemplatefile\(\s*"(?:\$\{\s*path\.(module|root)\s*\}/)?([^"$%\n]+)"')
_BARE_PATH = re.compile(r"[\w.@+~-]+/[\w.@+~/ -]*")


class CachingReader:
    """Facts of Terraform files by git object id, kept in one file between runs.

    Args:
        cache_file: deleted or unreadable, it costs time and nothing else.
    """

    def __init__(self, cache_file: Path) -> None:
        self._file = cache_file
        self._format = f"{_FORMAT} {version('python-hcl2')}"
        self._known, self._definitions = self._load()
        self._changed = False

    def known(self, object_id: str) -> SourceFacts | None:
        """What an earlier run read from a blob, without its contents."""
        return self._known.get(object_id)

    def read(self, object_id: str, path: str, source: bytes) -> SourceFacts:
        """The facts of a blob, from the cache or from its contents; a path's extension decides how it is parsed."""
        facts = self._known.get(object_id)
        if facts is None:
            facts = _facts(path, source)
            self._known[object_id] = facts
            self._changed = True
        return facts

    def known_template(self, object_id: str) -> SourceFacts | None:
        """What an earlier run read from a blob as a template."""
        return self._known.get(f"template {object_id}")

    def read_template(self, object_id: str, source: bytes) -> SourceFacts:
        """What a template reads by itself."""
        facts = self._known[f"template {object_id}"] = _template_facts(source)
        self._changed = True
        return facts

    def known_definitions(self, object_id: str) -> Definitions | None:
        """What an earlier run read from a blob's expressions, without its contents."""
        return self._definitions.get(object_id)

    def read_definitions(self, object_id: str, path: str, source: bytes) -> Definitions:
        """The expressions of one file."""
        found = self._definitions.get(object_id)
        if found is None:
            found = self._definitions[object_id] = definitions(path, source)
            self._changed = True
        return found

    def save(self) -> None:
        """Write what is new; the last of several writers wins, and a disk that is full loses only time too."""
        if not self._changed:
            return
        scratch = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        with contextlib.suppress(OSError):
            scratch.write_bytes(msgspec.json.encode(_Stored(self._format, self._known, self._definitions)))
            scratch.replace(self._file)
            self._changed = False

    def _load(self) -> tuple[dict[str, SourceFacts], dict[str, Definitions]]:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            stored = msgspec.json.decode(self._file.read_bytes(), type=_Stored)
            if stored.format == self._format:
                return stored.facts, stored.definitions
        return {}, {}


class _Stored(msgspec.Struct):
    format: str
    facts: dict[str, SourceFacts]
    definitions: dict[str, Definitions] = {}


def _facts(path: str, source: bytes) -> SourceFacts:
    if not path.endswith(".json") and not _WORTH_PARSING.search(source):
        return SourceFacts(**_text_facts(source))
    try:
        parsed = _parse(path, source)
        modules = tuple(_modules(parsed))
        init_facts = msgspec.json.encode(_init_facts(parsed), order="deterministic").decode()
    except (parse_errors(), msgspec.DecodeError, RecursionError, ValueError) as error:
        return _guess(source, getattr(error, "line", None))
    found = _text_facts(source, {module.source for module in modules})
    if path.endswith(".json"):
        found |= {"uses_providers": not {"resource", "data", "ephemeral"}.isdisjoint(parsed), "outside": _asked(parsed)}
    return SourceFacts(modules=modules, init_facts=init_facts, **found)


def _text_facts(source: bytes, known: Set[str | None] = frozenset()) -> dict[str, Any]:
    """The facts that stand in a file's text; `known` paths are accounted for elsewhere."""
    paths, root_paths = _mentioned(source, known)
    return {
        "paths": paths,
        "root_paths": root_paths,
        "computed": _computed(source),
        "uses_providers": _SERVED.search(source) is not None,
        "outside": tuple(_outside(source)),
        "reads": tuple(_taken(source)),
        "templates": tuple(
            f"{_base(base)}:{path.decode(errors='replace')}" for base, path in _TEMPLATES.findall(source)
        ),
    }


def _template_facts(source: bytes) -> SourceFacts:
    """What a template reads by itself, relative to where Terraform runs."""
    if not _TEMPLATE_READS.search(source):
        return SourceFacts()
    computed = len(_READS.findall(source)) > len(_ANY_LITERAL.findall(source))
    return SourceFacts(root_paths=_mentioned(source)[1], computed=computed)


def _base(base: bytes) -> str:
    """What a literal path is relative to."""
    return "module" if base == b"module" else "root"


def _taken(source: bytes) -> Iterator[str]:
    """The literal paths whose contents the source takes, without what it writes itself."""
    for base, path in dict.fromkeys(_TAKES.findall(source)):
        name = path.rpartition(b"/")[2]
        if not re.search(rb"(?:output_path|filename)\s*=[^\n]*" + re.escape(name), source):
            yield f"{_base(base)}:{path.decode(errors='replace')}"


def _outside(source: bytes) -> Iterator[str]:
    """Each `data "http"` and `data "external"` with its address or program as written."""
    for kind, name, body in _OUTSIDE.findall(source) if b"external" in source or b"http" in source else ():
        argument = _ARGUMENT.search(body)
        written = b" ".join(argument[1].split()) if argument else b""
        yield f"data.{kind.decode()}.{name.decode()} {written.decode(errors='replace')}"


def _asked(parsed: dict[str, Any]) -> tuple[str, ...]:
    """The same of a file in JSON syntax."""
    return tuple(
        f"data.{kind}.{name} {msgspec.json.encode(body.get('url', body.get('program', ''))).decode()}"
        for block in _blocks(parsed.get("data"))
        for kind in ("external", "http")
        for named in _blocks(block.get(kind))
        for name, bodies in named.items()
        for body in _blocks(bodies)
    )


def _computed(source: bytes) -> bool:
    """Whether a file is read here whose path is more than a literal, or lies outside of the module's directory."""
    names_file = _NAMES_FILE.search(source) is not None or _MAKES_PATH.search(source) is not None
    reads = b"archive_file" in source or len(_READS.findall(source)) > len(_READS_LITERAL.findall(source))
    return reads or names_file


def _mentioned(source: bytes, known: Set[str | None] = frozenset()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paths relative to the file's directory, and to the root module's; `known` ones are accounted for elsewhere."""
    here, root = set(), set()
    for base, start, end in _STRING.findall(source):
        path = start.decode(errors="backslashreplace")
        if end == b'"' and path in known:
            continue
        if end != b'"':
            path = path.rpartition("/")[0] + "/" if base or "/" in path else ""
        if base == b"module":
            here.add(f"./{path}")
        elif base:
            root.add(f"./{path}")
        elif path.startswith(("./", "../")) or _BARE_PATH.fullmatch(path):
            here.add(path)
            root.add(path)
    return tuple(sorted(here)), tuple(sorted(root))


def parsed_source(path: str, source: bytes) -> dict[str, Any]:
    """A file as python-hcl2 reads it, or as JSON; empty for one that cannot be parsed."""
    try:
        return _parse(path, source)
    except (parse_errors(), msgspec.DecodeError, RecursionError, ValueError):
        return {}


def _parse(path: str, source: bytes) -> dict[str, Any]:
    if len(source) > MAX_PARSED:
        raise ValueError("larger than what is parsed")
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


_INIT_KEYS = ("backend", "cloud", "required_providers", "required_version")


def _meant(value: Any) -> Any:
    """A parsed value without what python-hcl2 adds to it: comments, marks of blocks."""
    if isinstance(value, dict):
        return {key: _meant(item) for key, item in value.items() if not key.startswith("__")}
    return [_meant(item) for item in value] if isinstance(value, list) else value


def _init_facts(parsed: dict[str, Any]) -> Any:
    terraform = [
        {key: _meant(block[key]) for key in _INIT_KEYS if key in block} for block in _blocks(parsed.get("terraform"))
    ]
    calls = [[m.name, m.source, m.version] for m in _modules(parsed)]
    facts = [block for block in terraform if block]
    return [facts, calls] if facts or calls else []


def _guess(source: bytes, line: int | None) -> SourceFacts:
    """Every source-like string counts as a module call, those in comments too: too much is safe, too little is not."""
    text = source.decode(errors="backslashreplace")
    modules = tuple(ModuleSource(f"guess-{i}", found, None) for i, found in enumerate(_SOURCE.findall(text)))
    where = f":{line}" if line else ""
    failed = f"is larger than {MAX_PARSED // 1000} kB" if len(source) > MAX_PARSED else "could not be parsed"
    problem = (
        f"{where} {failed}; every `source` and every local path that stands in it counts as a dependency, "
        "and any change of it as a reason to initialise again."
    )
    found = _text_facts(source) | {"computed": _READS.search(source) is not None}
    return SourceFacts(modules=modules, init_facts=text, problem=problem, **found)


def _blocks(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _plain(value: Any) -> str:
    """A string without the quotes and escapes that python-hcl2 keeps."""
    text = value if isinstance(value, str) else ""
    if len(text) > 1 and text[0] == text[-1] == '"':
        with contextlib.suppress(msgspec.DecodeError):
            return str(msgspec.json.decode(text.encode()))
        return text[1:-1]
    return text
