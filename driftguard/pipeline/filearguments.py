"""The files that a root module's expressions name, over all modules it calls: known ones, and how far others may reach.

Takes the definitions of each directory; gives `Named` values. Pure; see `references` for the evaluation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename, join, normpath

from driftguard.model.expressions import Call, Definitions, FileReference, Node
from driftguard.pipeline.hclfunctions import HOLE
from driftguard.pipeline.references import FileListing, Scope, in_repository, paths_of

_MAX_CALLS = 400
_AUTOMATIC = (".auto.tfvars", ".auto.tfvars.json")


@dataclass(frozen=True, slots=True)
class Named:
    """What one argument of a file function names.

    Attributes:
        path: a file or directory, from the repository's root (`` is the root itself); None for outside of it.
        whole: whether everything below it counts, because only the beginning of the path is known.
        reason: why the closure is open, one sentence; None where exactly `path` is named.
    """

    path: str | None
    whole: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ModuleDefinitions:
    """The definitions of one directory's files, by path."""

    files: Mapping[str, Definitions]

    @property
    def problems(self) -> Iterator[str]:
        """A sentence for each file that could not be read."""
        return (each.problem for each in self.files.values() if each.problem)

    @property
    def calls(self) -> Iterator[Call]:
        """Every module call of the directory."""
        return (call for each in self.files.values() for call in each.calls.values())

    @property
    def references(self) -> Iterator[tuple[str, FileReference]]:
        """Every file reference of the directory, with the file in which it stands."""
        return ((path, reference) for path, each in self.files.items() for reference in each.references)


Definer = Callable[[str], ModuleDefinitions]
"""The definitions of a directory's Terraform files, by the directory's path from the repository's root."""


def named_files(
    root: str,
    module_of: Definer,
    *,
    given: Mapping[str, Node],
    workspace: str,
    tree: FileListing,
) -> list[Named]:
    """Everything that the expressions of a root module, and of the modules it calls, name as a file.

    Args:
        given: values of the root module's variables, by name.
        tree: the files of the commit.
    """
    found: dict[Named, None] = {}
    first = _scope(root, root, module_of(root), workspace, tree, given=given)
    for calls, (module, scope) in enumerate(_called(first, module_of)):
        if calls > _MAX_CALLS:
            found[Named("", True, f"{root} calls more than {_MAX_CALLS} modules; every file counts.")] = None
            break
        for problem in module.problems:
            where = scope.directory
            found[Named(where, True, f"{problem} What it names as files is not known.")] = None
        for path, reference in module.references:
            for text in paths_of(reference, scope):
                found[named(text, path, reference, scope)] = None
    return list(found)


def _called(scope: Scope, module_of: Definer) -> Iterator[tuple[ModuleDefinitions, Scope]]:
    """The root module and every call below it."""
    waiting = [(scope, 0)]
    while waiting:
        current, depth = waiting.pop()
        module = module_of(current.directory)
        yield module, current
        for call in module.calls if depth < 20 else ():
            directory = normpath(join(current.directory or ".", call.source))
            if call.source.startswith(("./", "../")) and not directory.startswith(".."):
                inner = "" if directory == "." else directory
                next_module = module_of(inner)
                made = _scope(inner, scope.root, next_module, scope.workspace, scope.tree, call=(call, current))
                waiting.append((made, depth + 1))


def _scope(
    directory: str,
    root: str,
    module: ModuleDefinitions,
    workspace: str,
    tree: FileListing,
    *,
    given: Mapping[str, Node] | None = None,
    call: tuple[Call, Scope] | None = None,
) -> Scope:
    scope = Scope(directory, root, workspace, tree, given=given or {}, call=call)
    scope.locals = {name: node for each in module.files.values() for name, node in each.locals.items()}
    scope.defaults = {name: node for each in module.files.values() for name, node in each.variables.items()}
    scope.archives = {name: node for each in module.files.values() for name, node in each.archives.items()}
    return scope


def named(text: str, path: str, reference: FileReference, scope: Scope) -> Named:
    """What a text that a file function gets names, in the scope that it stands in."""
    what = f"{path}:{reference.line}: the argument of {reference.function}()"
    before, hole, _ = text.partition(HOLE)
    if not hole:
        target = in_repository(scope.root, text)
        if target is None:
            return Named("", True, f"{what} lies outside of the repository ({text}), so no commit shows its changes.")
        return Named(target)
    beginning = before.rpartition("/")[0] + "/" if "/" in before else ""
    directory = in_repository(scope.root, beginning) if beginning else ""
    reach = f"every file below {directory}/ counts" if directory else "every file of the repository counts"
    return Named(directory or "", True, f"{what} is not known before it is planned; {reach}.")


def automatic(names: Sequence[str]) -> list[str]:
    """Of the files of a root module's directory those that Terraform reads variables from by itself, in its order."""
    fixed = [name for name in ("terraform.tfvars", "terraform.tfvars.json") if name in names]
    return fixed + sorted(name for name in names if basename(name) == name and name.endswith(_AUTOMATIC))
