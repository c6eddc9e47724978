"""Where a resource is declared: from its address through module calls to a block of a file.

Takes an address and the blocks of directories; gives a block. Pure. Only modules of the repository are followed: a
resource of a module from elsewhere is attributed to the block that calls the module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from posixpath import join, normpath

from driftguard.hcledit.syntax import Block
from driftguard.model.addresses import address_parts


@dataclass(frozen=True, slots=True)
class LocatedBlock:
    """A block with its file.

    Attributes:
        path: from the repository's root.
    """

    path: str
    block: Block

    @property
    def source(self) -> str | None:
        """The source of a module call; None where that is no plain string."""
        value = self.block.value("source")
        return str(value.value) if value is not None and value.kind == "string" else None


def declared(
    address: str,
    root: str,
    blocks_of: Callable[[str], Iterable[LocatedBlock]],
) -> LocatedBlock | None:
    """The block that declares a resource; the module call for a resource of a module from elsewhere; None if none does.

    Args:
        root: the environment's directory, from the repository's root.
        blocks_of: the blocks of all files directly in a directory.
    """
    parts = address_parts(address)
    directory, call = root, None
    while parts[:1] == ["module"] and len(parts) > 2:
        name, parts = parts[1], parts[2:]
        call = _find(blocks_of(directory), ("module", name))
        source = call.source if call is not None else None
        if source is None or not source.startswith(("./", "../")):
            return call
        directory = normpath(join(directory, source))
    if parts[:1] == ["data"]:
        return _find(blocks_of(directory), tuple(parts)) or call
    return _find(blocks_of(directory), ("resource", *parts)) or call


def _find(blocks: Iterable[LocatedBlock], labels: tuple[str, ...]) -> LocatedBlock | None:
    return next((each for each in blocks if (each.block.kind, *each.block.labels) == labels), None)
