"""Terraform expressions as plain data, so that what was read from a file once can be kept and evaluated anywhere.

A node is a list whose first item is its kind:

    ["v", value]                        a literal; numbers are their text
    ["t", nodes]                        a template: its parts in order
    ["n", name]                         a name alone, such as `var` or the variable of a `for`
    ["a", node, attribute]              node.attribute
    ["i", node, index]                  node[index]
    ["s", node, attributes]             node[*].attribute…
    ["f", function, nodes, spread]      a call; spread: its last argument is expanded (`...`)
    ["l", nodes], ["o", pairs]          a list, an object
    ["c", condition, yes, no]           a conditional
    ["for", names, node, key, value]    a `for` expression; key is None where it makes a list
    ["?", nodes]                        anything else; the nodes are what stands in it
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

Node = list[Any]

FILE_FUNCTIONS: Final = frozenset(
    (
        *("file", "filebase64", "filebase64sha256", "filebase64sha512", "fileexists", "filemd5", "fileset"),
        *("filesha1", "filesha256", "filesha512", "templatefile"),
    )
)


class Loop(msgspec.Struct, frozen=True):
    """What binds names around an expression.

    Attributes:
        kind: `for` (an expression) or `each` (a block with `for_each`, or `dynamic`: `NAME.key`, `NAME.value`).
        names: of a `for` one or two; of a block the one that its `key` and `value` hang on.
        over: the collection.
    """

    kind: str
    names: tuple[str, ...]
    over: Node


class FileReference(msgspec.Struct, frozen=True):
    """One call of a function that reads files: its arguments, the loops around it (outermost first), its line."""

    function: str
    arguments: list[Node]
    loops: tuple[Loop, ...] = ()
    line: int = 0


class Call(msgspec.Struct, frozen=True):
    """One `module` block: its source where it is a literal, its arguments, what it is repeated over."""

    source: str
    arguments: dict[str, Node]
    for_each: Node | None = None


class Definitions(msgspec.Struct, frozen=True):
    """What one file defines.

    Attributes:
        locals: by name; variables: their defaults by name, None without one.
        values: of a file of variables (`.tfvars`), by name.
        calls: module blocks by name.
        references: where it reads files; what an `archive_file` packs counts as read.
        archives: of each `archive_file`, where it is written.
        problem: why nothing of it is known; None where everything is.
    """

    locals: dict[str, Node] = {}
    variables: dict[str, Node | None] = {}
    values: dict[str, Node] = {}
    calls: dict[str, Call] = {}
    references: tuple[FileReference, ...] = ()
    archives: dict[str, Node] = {}
    problem: str | None = None
