"""An environment's source at head, as adopting reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from driftguard import config
from driftguard.adapters.git.repository import GitRepository
from driftguard.adapters.hcl.parser import SourceParser
from driftguard.config import EnvironmentSettings
from driftguard.hcledit.source import Source

_FILES = ("100644", "100755")
_VARIABLE = "TF_VAR_"


def source_at_head(
    repository: GitRepository,
    settings: EnvironmentSettings,
    others: Mapping[str, Mapping[str, str]],
    environ: Mapping[str, str],
    formatted: Callable[[bytes], bytes],
) -> Source:
    """The source of one environment.

    Args:
        others: the other environments' closures: each one's files, by name.
        formatted: what the tool's own formatter makes of a text.
    """
    tree = repository.tree(repository.head)

    def files(directory: str) -> dict[str, bytes]:
        prefix = "" if directory in ("", ".") else f"{directory}/"
        paths = [path for path in tree if path.startswith(prefix) and "/" not in path[len(prefix) :]]
        paths = [path for path in paths if tree[path].mode in _FILES]
        contents = repository.read([tree[path].object_id for path in paths])
        return {path: text for path, (_, text) in zip(paths, contents, strict=True)}

    given = config.terraform_environment(settings.env, environ)
    return Source(
        root=settings.path,
        var_files=settings.var_files,
        variables=frozenset(name.removeprefix(_VARIABLE) for name in given if name.startswith(_VARIABLE)),
        files=files,
        shared_with=lambda path: tuple(name for name, closure in others.items() if path in closure),
        formatted=formatted,
        parser=SourceParser(),
    )
