"""Versions of Terraform and OpenTofu: order, constraints as `required_version` writes them, and what version files pin.

Pure.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from posixpath import dirname, join
from typing import Final

from driftguard.model.products import PRODUCTS, TERRAFORM, TOFU

_TERM: Final = re.compile(r"\s*(=|!=|>=|<=|>|<|~>)?\s*v?(\d+(?:\.\d+){0,2})(-[0-9A-Za-z.-]+)?\s*")
# What stands for any version, or for what is not known from a version: the manager's own shim decides.
_ANY: Final = frozenset(
    {"latest", "latest-stable", "latest-pre", "latest-allowed", "min-required", "stable", "system", "*"}
)
_NOT_A_VERSION: Final = ("ref:", "path:", "tag:", "branch:", "rev:", "sub-")
_ALIASES: Final = {"terraform": "terraform", "opentofu": "tofu", "tofu": "tofu"}
VERSION_FILES: Final = (
    ".terraform-version",
    ".opentofu-version",
    ".tool-versions",
    "mise.toml",
    ".mise.toml",
    ".config/mise.toml",
)
"""The files that pin a version, in the order in which they count within one directory."""


def order(version: str) -> tuple[tuple[int, ...], bool, str]:
    """What versions are sorted by: a pre-release comes before its release."""
    numbers, _, pre = version.removeprefix("v").partition("-")
    parts = [int(part) for part in re.findall(r"\d+", numbers)[:3]]
    return tuple(parts + [0] * (3 - len(parts))), not pre, pre


def satisfies(version: str, constraint: str) -> bool:
    """Whether a version satisfies a constraint such as `>= 1.5, < 2.0` or `~> 1.11.0`; False for one that is none.

    A pre-release counts as its release, as in Terraform, unless the constraint names a pre-release.
    """
    return all(_satisfies_term(version, term) for term in constraint.split(","))


def _satisfies_term(version: str, term: str) -> bool:
    found = _TERM.fullmatch(term)
    if found is None:
        return False
    operator, numbers, pre = found[1] or "=", found[2], found[3] or ""
    have, want = order(version if pre else version.partition("-")[0]), order(numbers + pre)
    if operator == "~>":
        fixed = len(numbers.split(".")) - 1
        return have >= want and have[0][: max(fixed, 1)] == want[0][: max(fixed, 1)]
    return {
        "=": have == want,
        "!=": have != want,
        ">": have > want,
        ">=": have >= want,
        "<": have < want,
        "<=": have <= want,
    }[operator]


@dataclass(frozen=True, slots=True)
class VersionNeed:
    """The Terraform that an environment needs.

    Attributes:
        constraints: all have to be satisfied; sorted.
        pin: what a version file asks for: a version, the beginning of one, a constraint, or `latest`; None without one.
        others: what it asks for where that is not installed, in order.
        product: `terraform` or `tofu` where the version file decides that.
        pinned_by: the name of that file.
        files: the version files by their paths from the root, as a version manager finds them.
    """

    constraints: tuple[str, ...] = ()
    pin: str | None = None
    others: tuple[str, ...] = ()
    product: str | None = None
    pinned_by: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)

    def accepts(self, product: str, version: str) -> bool:
        """Whether a program will do."""
        if self.product not in (None, product):
            return False
        pinned = self.pin is None or any(_pinned(version, each) for each in (self.pin, *self.others))
        return pinned and all(satisfies(version, each) for each in self.constraints)

    def choices(self) -> Iterator[VersionNeed]:
        """The need with each of the versions that the version file names alone, in its order."""
        return (replace(self, pin=pin, others=()) for pin in (self.pin, *self.others))

    @property
    def title(self) -> str:
        """The product as texts call it; `Terraform` where either will do."""
        return PRODUCTS[self.product or TERRAFORM.name].title

    def __str__(self) -> str:
        """In words, without paths: `1.5.7 (.terraform-version)`, `~> 1.15 (required_version)`."""
        pinned = [f"{' or '.join((self.pin, *self.others))} ({self.pinned_by})"] if self.pin else []
        wanted = [f"{', '.join(self.constraints)} (required_version)"] if self.constraints else []
        return " and ".join(pinned + wanted) or (self.title if self.product == TOFU.name else "any version")


def _pinned(version: str, pin: str) -> bool:
    """Whether a version is what a version file asks for, in the words of tfenv, tenv, mise and asdf."""
    if pin in _ANY or pin.startswith(_NOT_A_VERSION):
        return True
    if pin.startswith(("latest:", "min:")):
        try:
            return re.search(pin.partition(":")[2], version) is not None
        except re.error:
            return False
    exact = pin.removeprefix("prefix:").removeprefix("v")
    if exact[:1] in "=!<>~":
        return satisfies(version, exact)
    return version == exact or (exact.count(".") < 2 and version.startswith(f"{exact}.") and "-" not in version)


def need_of(directory: str, constraints: Sequence[str], files: Mapping[str, bytes]) -> VersionNeed:
    """What the environment of a directory needs.

    Args:
        constraints: every `required_version` of its closure.
        files: the contents of version files above the directory, by path from the root.
    """
    wanted = tuple(sorted(set(constraints)))
    for path in version_paths(directory):
        for product, first, *others in _pins(path.rpartition("/")[2], files[path]) if path in files else ():
            return VersionNeed(wanted, first, tuple(others), product, path.rpartition("/")[2], files)
    return VersionNeed(wanted, files=files)


def version_paths(directory: str) -> Iterator[str]:
    """Where version files of a directory may lie, nearest first."""
    here = "" if directory == "." else directory
    while True:
        yield from (join(here, name) for name in VERSION_FILES)
        if not here:
            return
        here = dirname(here)


def _pins(name: str, content: bytes) -> Iterator[tuple[str, ...]]:
    """Product and versions that a version file asks for; nothing where it is about other programs."""
    text = content.decode("utf-8-sig", "replace")
    if name in (".terraform-version", ".opentofu-version"):
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        if first := next((line for line in lines if line), None):
            yield ("terraform" if name == ".terraform-version" else "tofu"), first
        return
    yield from _mise_pins(text) if name.endswith(".toml") else _asdf_pins(text)


def pinned_products(name: str, content: bytes) -> Iterator[str]:
    """The products that a version file is about."""
    return (product for product, *_ in _pins(name, content))


def _asdf_pins(text: str) -> Iterator[tuple[str, ...]]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1 and words[0] in _ALIASES:
            yield _ALIASES[words[0]], *words[1:]


def _mise_pins(text: str) -> Iterator[tuple[str, ...]]:
    try:
        tools = tomllib.loads(text).get("tools", {})
    except tomllib.TOMLDecodeError:
        return
    for key, value in tools.items() if isinstance(tools, dict) else ():
        name = "".join(reversed(list(takewhile(lambda c: c not in ":/", reversed(str(key))))))
        listed = value if isinstance(value, list) else [value]
        named = (each.get("version") if isinstance(each, dict) else each for each in listed)
        versions = [each for each in named if isinstance(each, str)]
        if name in _ALIASES and versions:
            yield _ALIASES[name], *versions
