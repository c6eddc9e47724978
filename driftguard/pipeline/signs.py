"""Which of Terraform and OpenTofu an environment is written for, by the signs in its directory. Pure.

Takes the files of a root module and those that pin versions; gives sentences by product. Conflicting signs decide
nothing: the operator has to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from posixpath import basename, dirname, join
from typing import Final

from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.model.products import PRODUCTS, TERRAFORM, TOFU
from driftguard.model.versions import VERSION_FILES, pinned_products

_TOFU_FILES: Final = (".tofu", ".tofu.json")
_LOCK_FILE: Final = ".terraform.lock.hcl"
_LOCKED: Final = re.compile(rb'^provider "' + re.escape(TOFU.registry.encode()) + rb"/", re.M)
_ACTION: Final = re.compile(rb'^action\s+"[^"\n]+"\s+"[^"\n]+"\s*\{', re.M)
_SETTINGS: Final = re.compile(rb"^terraform\s*\{", re.M)
# The beginning of a block with its kind, a brace, and what hides braces: comments and texts.
_TOKEN: Final = re.compile(
    rb'(?:#|//)[^\n]*|/\*.*?\*/|(\w+)[ \t]*(?:"[^"\n]*"[ \t]*)*\{|"(?:[^"\\\n]|\\.)*"|[{}]', re.S
)
# The nested blocks of `terraform` that only one of the two reads.
_NESTED: Final[Mapping[str, tuple[str, ...]]] = {
    TOFU.name: ("encryption",),
    TERRAFORM.name: ("store", "state_store"),
}


def read_for_signs(directory: str, paths: Mapping[str, str]) -> dict[str, str]:
    """Of the files of a closure, by path, those of the root module that have to be read."""
    here = "" if directory == "." else directory
    return {
        path: object_id
        for path, object_id in paths.items()
        if dirname(path) == here and path.endswith((".tf", ".tf.json", *_TOFU_FILES, _LOCK_FILE))
    }


def product_of(name: str, directory: str, contents: Mapping[str, bytes], pins: Mapping[str, bytes]) -> str | None:
    """The product that an environment is written for; None without signs.

    Args:
        name: of the environment, for the message.
        contents: the files that `read_for_signs` names, by path.
        pins: the version files above the directory, by path.

    Raises:
        EnvironmentFault: `config`: the signs are in conflict.
    """
    signs: dict[str, list[str]] = {product: [] for product in PRODUCTS}
    for product, sign in (*_of_pins(directory, pins), *_of_files(contents)):
        signs[product].append(sign)
    found = [product for product, seen in signs.items() if seen]
    if len(found) > 1:
        seen = "; ".join(f"{PRODUCTS[product].title}: {', '.join(signs[product])}" for product in found)
        raise EnvironmentFault(
            ErrorKind.CONFIG,
            f"{name} has signs of both Terraform and OpenTofu ({seen}), so it is not planned. "
            "Remove one of them, or set `terraform.binary` for it.",
        )
    return found[0] if found else None


def _of_pins(directory: str, pins: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """The products that the version files of the nearest directory ask for."""
    here = "" if directory == "." else directory
    while True:
        paths = [path for name in VERSION_FILES if (path := join(here, name)) in pins]
        found = [(product, path) for path in paths for product in pinned_products(basename(path), pins[path])]
        if found or not here:
            yield from found
            return
        here = dirname(here)


def _of_files(contents: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for path, content in sorted(contents.items()):
        if path.endswith(_TOFU_FILES):
            yield TOFU.name, path
        if basename(path) == _LOCK_FILE:
            if _LOCKED.search(content):
                yield TOFU.name, f"providers of {TOFU.registry} in {path}"
            continue
        if _ACTION.search(content):
            yield TERRAFORM.name, f"an action in {path}"
        nested = _nested_json(content) if path.endswith(".json") else _nested(content)
        for product, kinds in _NESTED.items():
            for kind in kinds:
                if kind in nested:
                    yield product, f"a block `{kind}` in {path}"


def _nested(content: bytes) -> set[str]:
    """The kinds of the blocks directly in `terraform` blocks."""
    found: set[str] = set()
    for opening in _SETTINGS.finditer(content):
        depth, at = 1, opening.end()
        for token in _TOKEN.finditer(content, at):
            if token[0] == b"}":
                depth -= 1
            elif token[0].endswith(b"{"):
                if depth == 1 and token[1]:
                    found.add(token[1].decode())
                depth += 1
            if depth == 0:
                break
    return found


def _nested_json(content: bytes) -> set[str]:
    try:
        settings = json.loads(content).get("terraform", {})
    except (ValueError, AttributeError, RecursionError):
        return set()
    blocks = settings if isinstance(settings, list) else [settings]
    return {key for block in blocks if isinstance(block, dict) for key in block}
