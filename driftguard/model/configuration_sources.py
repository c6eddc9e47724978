"""Expressions of attributes in the configuration's text, beyond the `configuration` of a plan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

# What belongs to the configuration, to git or to Terraform itself: `*.tf*`, `*.tofu*`, `*.tfvars*` and two folders.
_OF_THE_CONFIGURATION: Final = re.compile(r"(?:^|/)\.(?:git|terraform)[^/]*(?:/|$)|\.(?:tf|tofu)[^/]*$", re.IGNORECASE)


def may_be_left_out(path: str) -> bool:
    """Whether a file at a path could be no part of the configuration; it is judged like any object otherwise."""
    return _OF_THE_CONFIGURATION.search(path) is None


@dataclass(frozen=True, slots=True)
class MovingAttribute:
    """An attribute whose value is another one in each plan or checkout.

    Attributes:
        name: the resource's address without instance keys, and the attribute.
        call: what moves, such as `timestamp` or `path.cwd`.
        place: file and line.
    """

    name: str
    call: str
    place: str


# By a word of the source, or of the rule that made an attribute restless; the first that stands there counts.
_REMEDIES: Final = {
    "timestamp": "Keep the moment in a `time_static` resource",
    "uuid": "Use `random_uuid`, whose value stays",
    "bcrypt": "Use the `bcrypt_hash` of `random_password`, which stays",
    "path": "Use `path.module` or `path.root`, which are relative",
    "a file of the checkout": "Write the file outside of Terraform, or keep its content in an object store",
    "stood after": "Configure the value that the provider returns",
}


def remedy(text: str) -> str:
    """What makes an attribute settle, from its source or the rule that made it restless: one sentence."""
    found = next((advice for word, advice in _REMEDIES.items() if word in text), "Use a value that stays")
    return f"{found}, or list the attribute in `ignore_changes`."


class AttributeSource(Protocol):
    """One attribute's expression in the configuration's text."""

    @property
    def moves(self) -> bool:
        """Whether it calls a function of the clock or of chance, or yields the checkout's path."""
        ...

    @property
    def unchanged(self) -> bool:
        """Whether everything that it reaches is as it was at the baseline."""
        ...

    @property
    def closed(self) -> bool:
        """Whether its value comes from the text alone: no resource, data source or variable is part of it."""
        ...

    @property
    def call(self) -> str:
        """What moves, such as `timestamp` or `path.cwd`; empty where nothing does."""
        ...

    @property
    def place(self) -> str:
        """The file and line where it moves, such as `environments/prod/main.tf:12`."""
        ...


class Sources(Protocol):
    """The configuration's text, as far as the plan's own `configuration` does not have it."""

    def of(self, address: str, attribute: str, *, before: str = "") -> AttributeSource | None:
        """The source of a top-level attribute, or of a root output (`output NAME`); None where it is not found.

        Args:
            before: the address at the baseline, if the resource was moved since.
        """
        ...

    def is_secret(self, address: str, attribute: str) -> bool:
        """Whether a top-level attribute's expression reaches `sensitive(…)`, or what is declared as sensitive."""
        ...

    def moved_from(self, address: str) -> tuple[str, ...]:
        """Where an object at an address was before, by the `moved` blocks, the nearest first."""
        ...

    def is_left_out(self, filename: str) -> bool | None:
        """Whether a file lies in the work tree where another checkout does not have it; None if that is not known.

        Args:
            filename: relative to the root module; symbolic links on the way are followed.
        """
        ...

    def file_attribute(self, type_: str) -> str | None:
        """The attribute with the file name, for a type that the operator declared to be a file of the checkout."""
        ...
