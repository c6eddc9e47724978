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

from collections.abc import Mapping
from typing import Any, Final

import msgspec

Node = list[Any]

FILE_FUNCTIONS: Final = frozenset(
    (
        *("file", "filebase64", "filebase64sha256", "filebase64sha512", "fileexists", "filemd5", "fileset"),
        *("filesha1", "filesha256", "filesha512", "templatefile"),
    )
)


# Arguments that name a file which is read, by kind and type of the block; where one is not known, a file may be missed.
FILE_ARGUMENTS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("data", "local_file"): frozenset({"filename"}),
    ("data", "local_sensitive_file"): frozenset({"filename"}),
    ("data", "external"): frozenset({"program", "working_dir"}),
    ("data", "sops_file"): frozenset({"source_file"}),
    ("data", "kubectl_path_documents"): frozenset({"pattern"}),
    ("ephemeral", "sops_file"): frozenset({"source_file"}),
    ("resource", "template_dir"): frozenset({"source_dir"}),
    ("resource", "aws_s3_object"): frozenset({"source"}),
    ("resource", "aws_s3_bucket_object"): frozenset({"source"}),
    ("resource", "aws_lambda_function"): frozenset({"filename"}),
    ("resource", "aws_lambda_layer_version"): frozenset({"filename"}),
    ("resource", "google_storage_bucket_object"): frozenset({"source"}),
    ("resource", "azurerm_storage_blob"): frozenset({"source"}),
}


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
    """What names a file: a call of a function that reads one, or an argument of a block.

    Attributes:
        function: the function, or the address of the argument, such as `data.local_file.x.filename`; empty for an
            argument that nothing is known of: it names a file where its value is one.
        arguments: of the call; the value of an argument.
        loops: what stands around it, outermost first.
    """

    function: str
    arguments: list[Node]
    loops: tuple[Loop, ...] = ()
    line: int = 0


class Call(msgspec.Struct, frozen=True):
    """One `module` block: its source where it is a literal, its arguments, what it is repeated over."""

    source: str
    arguments: dict[str, Node]
    for_each: Node | None = None

    @property
    def is_computed(self) -> bool:
        """Whether its source is an expression."""
        return not self.source and "source" in self.arguments

    def over(self, before: Call) -> Call:
        """This block of an override file, merged into the one that it changes."""
        source = self.source or ("" if "source" in self.arguments else before.source)
        return Call(source, {**before.arguments, **self.arguments}, self.for_each or before.for_each)


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
