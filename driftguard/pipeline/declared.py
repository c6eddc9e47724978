"""Where a resource is declared: from its address through module calls to a block of a file.

Takes an address and what the files say; gives a place. Pure. Only modules of the repository are followed: what a module
from elsewhere declares is put down to the block that calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from posixpath import join, normpath

from driftguard.model import Block
from driftguard.model.addresses import address_parts


def declared(
    address: str,
    root: str,
    blocks_of: Callable[[str], Iterable[Block]],
) -> Block | None:
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
        if call is None or call.source is None:
            return call
        if not call.source.startswith(("./", "../")):
            return call
        directory = normpath(join(directory, call.source))
    if parts[:1] == ["data"]:
        return _find(blocks_of(directory), tuple(parts)) or call
    return _find(blocks_of(directory), ("resource", *parts)) or call


def _find(blocks: Iterable[Block], labels: tuple[str, ...]) -> Block | None:
    return next((block for block in blocks if block.labels == labels), None)
