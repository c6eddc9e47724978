"""Expressions from the configuration's text: whether a value moves by itself, and where."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from driftguard.adapters.hcl.facts import parsed_source
from driftguard.model.configuration_sources import MovingAttribute, may_be_left_out
from driftguard.model.plan_configuration import module_path, without_keys
from driftguard.ports import Checkout, ConfigurationReader

_CALL: Final = re.compile(r"\b(?:timestamp|plantimestamp|uuid|bcrypt|abspath|pathexpand)\s*\(|(?<![\w.])path\.cwd\b")
_TOKEN: Final = re.compile(_CALL.pattern.encode())
_REFERENCE: Final = re.compile(r"(?<![\w.])(local|var|module)\.([\w-]+)(?:\[[^\]]*\])?(?:\.([\w-]+))?")
_OTHER_REFERENCE: Final = re.compile(r"(?<![\w.\"])(?:data\.)?[a-z][\w-]*\.[A-Za-z_][\w-]*")
_KNOWN_ROOTS: Final = ("local.", "var.", "module.", "path.", "each.", "count.", "self.", "terraform.")
_SEALING: Final = re.compile(r"\bsensitive\s*\(")
_READS: Final = re.compile(r"\b(?:file\w*|templatefile)\s*\(")
# A string without an interpolation calls no function.
_PLAIN_STRING: Final = re.compile(r'"(?:[^"\\$%]|\\.|[$%](?!\{))*"')
_STEP: Final = re.compile(r"""module\.[\w-]+(?:\[(?:\d+|"(?:[^"\\]|\\.)*")\])?""")
_MAX_REACHED: Final = 500
_MAX_DEPTH: Final = 20
# What a resource block holds besides its attributes.
_META: Final = frozenset({"lifecycle", "provisioner", "connection", "depends_on", "count", "for_each", "provider"})


@dataclass(frozen=True, slots=True)
class TextSource:
    """One attribute's source; fulfils `model.configuration_sources.AttributeSource`."""

    moves: bool
    unchanged: bool
    closed: bool
    place: str
    call: str = ""


@dataclass
class _ModuleTexts:
    """The definitions of one directory, as texts."""

    locals: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    moves: list[tuple[str, str]] = field(default_factory=list)
    secret: set[str] = field(default_factory=set)


class Configuration:
    """One commit's files of an environment, read when they are first asked for."""

    def __init__(self, root: str, files: Mapping[str, bytes]) -> None:
        """`root` is the environment's directory; `files` are paths from the repository's root with their contents."""
        self._root, self._files = root, files
        self._modules: dict[str, _ModuleTexts] = {}

    @cached_property
    def can_move(self) -> bool:
        """Whether any of the files holds one of the words at all."""
        return any(_TOKEN.search(content) for content in self._files.values())

    def texts(self, address: str, attribute: str) -> tuple[str, ...] | None:
        """Every expression that an attribute reaches, its own first; None where it is not found.

        Args:
            address: a resource's, or `output NAME` with an empty attribute.
        """
        reached = self._reached(address, attribute)
        return None if reached is None else tuple(reached.values())

    def is_secret(self, address: str, attribute: str) -> bool:
        """Whether an attribute's expression reaches `sensitive(…)`, or what is declared as sensitive."""
        if not any(b"sensitive" in content for content in self._files.values()):
            return False
        for (directory, name), text in (self._reached(address, attribute) or {}).items():
            plain, secret = _without_strings(text), self._module(directory).secret
            variables = {f"var.{found}" for kind, found, _ in _REFERENCE.findall(plain) if kind == "var"}
            if name in secret or not secret.isdisjoint(variables) or _SEALING.search(plain):
                return True
        return False

    def _reached(self, address: str, attribute: str) -> dict[tuple[str, str], str] | None:
        """The same by the directory of a text's scope and the name of what it defines."""
        path = module_path(address)
        chain = self._chain(path)
        if chain is None:
            return None
        if not attribute:
            expression: Any = self._module(self._root).outputs.get(address.removeprefix("output "))
        else:
            local = ".".join(without_keys(address).split(".")[2 * len(path) :])
            body = self._module(chain[-1]).resources.get(local)
            expression = None if body is None else body.get(attribute)
        if expression is None:
            return None
        reached: dict[tuple[str, str], str] = {}
        self._reach(chain, _text(expression), reached, key=(chain[-1], f"{address} {attribute}"))
        return reached

    def moving(self) -> Iterator[MovingAttribute]:
        """Every attribute and root output of the reachable modules whose value moves by itself, in their order."""
        if not self.can_move:
            return
        for prefix, directory in self._reachable("", self._root, 0):
            for name, body in sorted(self._module(directory).resources.items()):
                ignored = _text(_text_of(body, "lifecycle", "ignore_changes"))
                for attribute in sorted(body.keys() - _META):
                    texts = None if name.startswith("data.") else self.texts(f"{prefix}{name}", attribute)
                    if texts and _calls(texts) and not re.search(rf"\b(?:{re.escape(attribute)}|all)\b", ignored):
                        place, call = self.place_of(texts), min(_calls(texts))
                        yield MovingAttribute(f"{prefix}{name}.{attribute}", call, place)

    def _reachable(self, prefix: str, directory: str, depth: int) -> Iterator[tuple[str, str]]:
        yield prefix, directory
        for name, body in sorted(self._module(directory).calls.items()):
            source = _text(body.get("source")).strip('"')
            if source.startswith(("./", "../")) and depth < _MAX_DEPTH:
                below = posixpath.normpath(posixpath.join(directory, source))
                yield from self._reachable(f"{prefix}module.{name}.", below, depth + 1)

    def moved_from(self, address: str) -> tuple[str, ...]:
        """Where an object was before, by the `moved` blocks, the nearest first."""
        if not any(b"moved" in content for content in self._files.values()):
            return ()
        found = [address]
        while len(found) < _MAX_DEPTH:
            before = next(self._before(found[-1]), found[-1])
            if before in found:
                break
            found.append(before)
        return tuple(found[1:])

    def _before(self, address: str) -> Iterator[str]:
        """One move back: by a block in any module around the object, whose addresses are relative to that module."""
        path = module_path(address)
        for depth in range(len(path), -1, -1):
            chain = self._chain(path[:depth])
            around = "" if not depth else ".".join(_STEP.findall(address)[:depth]) + "."
            for source, target in self._module(chain[-1]).moves if chain is not None else ():
                rest = address[len(around) + len(target) :]
                if address.startswith(around + target) and rest[:1] in ("", ".", "["):
                    yield f"{around}{source}{rest}"

    def place_of(self, texts: tuple[str, ...]) -> str:
        """The first file and line with one of the words."""
        words = _calls(texts)
        for path in sorted(self._files):
            for number, line in enumerate(self._files[path].decode(errors="replace").splitlines(), 1):
                if any(word in line for word in words):
                    return f"{path}:{number}"
        return ""

    def _chain(self, path: tuple[str, ...]) -> list[str] | None:
        """The directories from the root module to the one of an address; None where one lies outside the repository."""
        chain = [self._root]
        for name in path:
            source = _text(self._module(chain[-1]).calls.get(name, {}).get("source")).strip('"')
            if not source.startswith(("./", "../")):
                return None
            chain.append(posixpath.normpath(posixpath.join(chain[-1], source)))
        return chain

    def _module(self, directory: str) -> _ModuleTexts:
        if directory not in self._modules:
            module = self._modules[directory] = _ModuleTexts()
            for path, content in sorted(self._files.items()):
                if posixpath.dirname(path) == directory and path.endswith((".tf", ".tf.json", ".tofu")):
                    _add(module, parsed_source(path, content))
        return self._modules[directory]

    def _reach(self, chain: list[str], text: str, reached: dict[tuple[str, str], str], *, key: tuple[str, str]) -> None:
        if key in reached or len(reached) > _MAX_REACHED:
            return
        reached[key] = text
        for kind, name, member in _REFERENCE.findall(_without_strings(text)):
            for inner_chain, inner, inner_key in self._definitions(chain, kind, name, member):
                self._reach(inner_chain, inner, reached, key=inner_key)

    def _definitions(
        self, chain: list[str], kind: str, name: str, member: str
    ) -> Iterator[tuple[list[str], str, tuple[str, str]]]:
        module = self._module(chain[-1])
        if kind == "local" and name in module.locals:
            yield chain, module.locals[name], (chain[-1], f"local.{name}")
        elif kind == "var" and len(chain) > 1:
            for call in self._module(chain[-2]).calls.values():
                if name in call:
                    yield chain[:-1], _text(call[name]), (chain[-2], f"{chain[-1]} var.{name}")
        elif kind == "module" and name in module.calls:
            source = _text(module.calls[name].get("source")).strip('"')
            inner = [*chain, posixpath.normpath(posixpath.join(chain[-1], source))]
            output = self._module(inner[-1]).outputs.get(member)
            if output is not None:
                yield inner, output, (inner[-1], f"output.{member}")


class HclConfigurationReader(ConfigurationReader):
    """Reads both notations of Terraform source.

    Args:
        files: types whose objects are files, with the attribute that names them, besides the built-in ones.
    """

    def __init__(self, files: Mapping[str, str] = MappingProxyType({})) -> None:
        self._types = files

    def sources(self, checkout: Checkout, head: Mapping[str, bytes], before: Mapping[str, bytes] | None) -> TextSources:
        """The source of each attribute; files are parsed when the first attribute is asked for."""
        earlier = None if before is None else Configuration(checkout.root, before)
        return TextSources(Configuration(checkout.root, head), earlier, checkout, self._types)


class TextSources:
    """The sources of an environment at head, compared with those at its baseline."""

    def __init__(
        self,
        head: Configuration,
        before: Configuration | None,
        checkout: Checkout,
        files: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`before` is None where no commit changed the closure; `files` are types with the attribute of the name."""
        self._head, self._before, self._checkout, self._types = head, before, checkout, files

    def of(self, address: str, attribute: str, *, before: str = "") -> TextSource | None:
        """The source of a top-level attribute or root output; None where it is not found."""
        if not self._head.can_move:
            return TextSource(moves=False, unchanged=True, closed=False, place="")
        texts = self._head.texts(address, attribute)
        if texts is None:
            return None
        moves = any(_CALL.search(_without_strings(text)) for text in texts)
        return TextSource(
            moves=moves,
            unchanged=moves and self._is_unchanged(before or address, attribute, texts),
            closed=not any(_refers_elsewhere(text, own=index == 0) for index, text in enumerate(texts)),
            place=self._head.place_of(texts) if moves else "",
            call=min(_calls(texts), default=""),
        )

    def is_secret(self, address: str, attribute: str) -> bool:
        """Whether a top-level attribute's expression at head reaches `sensitive(…)`, or what is declared so."""
        return self._head.is_secret(address, attribute)

    def moved_from(self, address: str) -> tuple[str, ...]:
        """Where an object was before, by the `moved` blocks at head, the nearest first."""
        return self._head.moved_from(address)

    def is_left_out(self, filename: str) -> bool:
        """Whether a file name leads from the root module to a place in the work tree that git does not track."""
        checkout = self._checkout
        top = os.path.realpath(checkout.tree)
        path = os.path.relpath(os.path.realpath(os.path.join(top, checkout.root, filename)), top)
        if path.startswith("..") or path == "." or path in checkout.tracked or not may_be_left_out(path):
            return False
        parents = [path[:index] for index, character in enumerate(path) if character == "/"]
        return not any(parent in checkout.tracked for parent in parents)  # below a tracked file

    def file_attribute(self, type_: str) -> str | None:
        """The attribute with the file name, for a type that the operator declared to be a file of the checkout."""
        return self._types.get(type_)

    def _is_unchanged(self, address: str, attribute: str, texts: tuple[str, ...]) -> bool:
        if self._before is None:
            return True
        if any(_READS.search(text) for text in texts):
            return False  # what the files held then is not compared
        before = self._before.texts(address, attribute)
        return before is not None and _digest(before) == _digest(texts)


def _calls(texts: tuple[str, ...]) -> set[str]:
    """What moves in the expressions, without the parenthesis of a call."""
    return {match.group().rstrip("( ") for text in texts for match in _CALL.finditer(_without_strings(text))}


def _text_of(body: Mapping[str, Any], block: str, member: str) -> list[Any]:
    return [inner.get(member) for inner in _blocks(body.get(block))]


def _digest(texts: tuple[str, ...]) -> str:
    return hashlib.sha256("\x00".join(sorted(texts)).encode()).hexdigest()


def _refers_elsewhere(text: str, *, own: bool) -> bool:
    """Whether a value can come from anywhere but the text: a resource, a data source, a variable, an instance's key."""
    plain = _without_strings(text)
    outside = ("var.", "each.", "count.", "self.")
    names = [match.group() for match in _OTHER_REFERENCE.finditer(plain)]
    return any(name.startswith(outside) or not name.startswith(_KNOWN_ROOTS) for name in names)


def _without_strings(text: str) -> str:
    return _PLAIN_STRING.sub('""', text)


def _text(value: Any) -> str:
    """An expression as one text, whatever python-hcl2 made of its structure."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return " ".join(f"{key} = {_text(item)}" for key, item in value.items() if not str(key).startswith("__"))
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return "" if value is None else str(value)


def _address(value: Any) -> str:
    """An address of a `moved` block, without what stands around it as an expression."""
    return _text(value).removeprefix("${").removesuffix("}").strip()


def _add(module: _ModuleTexts, parsed: Mapping[str, Any]) -> None:
    for block in _blocks(parsed.get("locals")):
        module.locals.update({key: _text(value) for key, value in block.items()})
    for name, body in _labelled(parsed.get("output")):
        module.outputs[name] = _text(body.get("value"))
    for word, prefix in (("output", "output"), ("variable", "var")):
        module.secret |= {f"{prefix}.{n}" for n, body in _labelled(parsed.get(word)) if body.get("sensitive") is True}
    for name, body in _labelled(parsed.get("module")):
        module.calls[name] = body
    module.moves += [(_address(b.get("from")), _address(b.get("to"))) for b in _blocks(parsed.get("moved"))]
    for kind, prefix in (("resource", ""), ("data", "data.")):
        for block in _blocks(parsed.get(kind)):
            for type_, inner in block.items():
                for name, body in _labelled(inner):
                    module.resources[f"{prefix}{_name(type_)}.{name}"] = body


def _labelled(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in _blocks(value):
        for name, bodies in block.items():
            for body in _blocks(bodies):
                yield _name(name), body


def _blocks(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _name(label: str) -> str:
    return str(label).strip('"')
