"""The files that a root module's expressions name, over all modules it calls: known ones, and how far others may reach.

Takes the definitions of each directory; gives `Named` values. Pure; see `references` for the evaluation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename, join, normpath

from driftguard.model import SourceFacts
from driftguard.model.expressions import Call, Definitions, FileReference, Node
from driftguard.pipeline import floating
from driftguard.pipeline.directories import is_override
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
        source: of a module whose source is an expression, what it gives.
        template: whether it is read as a template, which may read further files.
        reason: why the closure is open, one sentence; None where exactly `path` is named.
    """

    path: str | None
    whole: bool = False
    reason: str | None = None
    template: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True)
class ModuleDefinitions:
    """The definitions of one directory's files, by path."""

    files: Mapping[str, Definitions]

    @property
    def problems(self) -> Iterator[str]:
        """A sentence for each file that could not be read."""
        return (each.problem for each in self.files.values() if each.problem)

    @property
    def in_order(self) -> list[Definitions]:
        """The files' definitions in the order in which Terraform merges them: override files last."""
        return [self.files[path] for path in sorted(self.files, key=lambda path: (is_override(path), path))]

    @property
    def calls(self) -> Iterator[Call]:
        """Every module call of the directory, as override files leave it, and as they found it."""
        merged: dict[str, list[Call]] = {}
        for each in self.in_order:
            for name, call in each.calls.items():
                before = merged.setdefault(name, [])
                before.append(call.over(before[-1]) if before else call)
        return (call for calls in merged.values() for call in calls)

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
    waiting: list[tuple[Scope, bool]] = [(first, False)]
    calls = 0
    while waiting:
        scope, computed = waiting.pop()
        calls += 1
        if calls > _MAX_CALLS:
            found[Named("", True, f"{root} calls more than {_MAX_CALLS} modules; every file counts.")] = None
            break
        module = module_of(scope.directory)
        found |= dict.fromkeys(_of_module(module, scope, computed=computed))
        for call in module.calls:
            for source in _sources(call, scope):
                if call.is_computed:
                    found[_computed_module(call, source, scope)] = None
                target = normpath(join(scope.directory or ".", source))
                if HOLE not in source and source.startswith(("./", "../")) and not target.startswith(".."):
                    inner = "" if target == "." else target
                    made = _scope(inner, root, module_of(inner), workspace, tree, call=(call, scope))
                    waiting.append((made, computed or call.is_computed))
    return list(found)


def _of_module(module: ModuleDefinitions, scope: Scope, *, computed: bool) -> Iterator[Named]:
    """What one call of a module names; itself where only an evaluation shows that it is called."""
    if computed:
        yield Named(scope.directory)
    for problem in module.problems:
        yield Named(scope.directory, True, f"{problem} What it names as files is not known.")
    for path, reference in module.references:
        for text in paths_of(reference, scope):
            found = named(text, path, reference, scope)
            if found is not None:
                yield found


def _sources(call: Call, scope: Scope) -> list[str]:
    """Every source that a module call may have."""
    return paths_of(FileReference("", [call.arguments["source"]]), scope) if call.is_computed else [call.source]


def _computed_module(call: Call, source: str, scope: Scope) -> Named:
    """What a module call names whose source is an expression."""
    where = scope.directory or "."
    if HOLE in source:
        before = source.partition(HOLE)[0].rpartition("/")[0]
        below = normpath(join(scope.directory, before)) if before.startswith(".") else ""
        below = "" if below in (".", "..") or below.startswith("../") else below
        reach = f"every file below {below}/ counts" if below else "every file of the repository counts"
        return Named(below, True, f"{where}: the source of a module is not known before it is planned; {reach}.")
    version = call.arguments.get("version", ["v", None])
    exact = version[1] if version[0] == "v" else None
    if source.startswith(("./", "../")) or floating.is_pinned(source, exact):
        return Named(None, source=source)
    reason = f"{where}: the module {source} is not pinned, so its code changes without a commit."
    return Named(None, reason=reason, source=source)


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
    for each in module.in_order:
        scope.locals = {**scope.locals, **each.locals}
        scope.defaults = {**scope.defaults, **each.variables}
        scope.archives = {**scope.archives, **each.archives}
    return scope


def named(text: str, path: str, reference: FileReference, scope: Scope) -> Named | None:
    """What a text names, as far as it is known; None for an argument's value that names nothing."""
    argument = "." in reference.function
    what = f"{path}:{reference.line}: " + (
        reference.function if argument else f"the argument of {reference.function}()"
    )
    before, hole, _ = text.partition(HOLE)
    if not hole:
        target = in_repository(scope.root, text)
        if not reference.function:
            return value_of(text, scope.root)
        if target is None:
            return Named("", True, f"{what} lies outside of the repository ({text}), so no commit shows its changes.")
        return Named(target, template=reference.function == "templatefile")
    if not reference.function or (reference.function.endswith(".program") and "/" not in text):
        return None
    beginning = before.rpartition("/")[0] + "/" if "/" in before else ""
    directory = in_repository(scope.root, beginning) if beginning else ""
    reach = f"every file below {directory}/ counts" if directory else "every file of the repository counts"
    return Named(directory or "", True, f"{what} is not known before it is planned; {reach}.")


def value_of(text: str, root: str) -> Named | None:
    """What a value names, which may be a path or anything else; a folder that holds the root module is no name."""
    target = in_repository(root, text)
    return None if not target or f"{root}/".startswith(f"{target}/") else Named(target)


def template_reads(path: str, facts: SourceFacts, root: str) -> Iterator[Named]:
    """What a template reads by itself, with the functions of Terraform."""
    for each in facts.root_paths:
        if (named := value_of(each, root)) is not None:
            yield named
    if facts.computed:
        what = f"{path} is a template that reads files whose names are not known before it is planned"
        yield Named("", True, f"{what}; every file of the repository counts.")


def automatic(names: Sequence[str]) -> list[str]:
    """Of the files of a root module's directory those that Terraform reads variables from by itself, in its order."""
    fixed = [name for name in ("terraform.tfvars", "terraform.tfvars.json") if name in names]
    return fixed + sorted(name for name in names if basename(name) == name and name.endswith(_AUTOMATIC))
