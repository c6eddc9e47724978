"""Which var files of a repository make environments of a root module, and where its backend files lie. Pure.

Var files lie in the root module's directory, in folders below it, or beside it in folders of their own. Those that are
called like the root module, or lie in a folder that is, are its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from posixpath import basename, dirname, join, relpath
from typing import Final

from driftguard.config.generating import AUTOMATIC, var_file_names
from driftguard.config.generating import stem as stem_of

STAGES: Final = frozenset(
    {"dev", "development", "stage", "staging", "prod", "production", "qa", "uat", "live", "int", "test", "preprod"}
)
COMMON: Final = frozenset({"common", "shared", "global", "globals", "default", "defaults", "base", "all"})
_ENDINGS: Final = (".tfvars", ".tfvars.json")
_FOLDERS: Final = re.compile(
    r"(?:vars?|variables|tfvars|var[-_]?files|params|parameters|values|inputs|settings"
    r"|env|envs|environments?|config|configs|configuration|stages|workspaces|accounts|regions)"
)
_BACKEND: Final = re.compile(r"(?P<stem>.+?)(?P<word>[._-]?(?:tfbackend|backend|s3|gcs|azurerm))?\.(?P<ending>[a-z]+)")
_BACKEND_ENDINGS: Final = frozenset({"tfbackend", "backend", "hcl", "conf", "config", "tfvars"})
_OF_OTHERS: Final = re.compile(r"terragrunt|\.terraform\.lock|\.(?:pkr|pkrvars|tftest|tm|tflint|nomad|tfstack)\.hcl$")
_MAX_DEPTH: Final = 3


@dataclass(frozen=True, slots=True)
class VarFiles:
    """The var files of a root module, relative to it.

    Attributes:
        each: globs, or files, of which each makes an environment; `{dir}` in them is the directory's name.
        names: what `{var_file}` stands for, by file.
        shared: those that all of its environments have.
    """

    each: tuple[str, ...] = ()
    names: Mapping[str, str] | None = None
    shared: tuple[str, ...] = ()


class VarFolders:
    """The var files of a repository.

    Args:
        below: the files of each directory, by its path; `.` is the root.
        terraform: the directories with Terraform files.
        excluded: names of folders that count for nothing: examples, generated ones.
    """

    def __init__(
        self, below: Mapping[str, Sequence[str]], terraform: Collection[str], excluded: Collection[str]
    ) -> None:
        self._below, self._terraform, self._excluded = below, frozenset(terraform), frozenset(excluded)
        self._claims: dict[str, frozenset[str]] = {}
        self._inside: dict[str, list[str]] = {}
        for folder in sorted({name for directory in below for name in with_parents(directory)}):
            self._inside.setdefault(dirname(folder) or ".", []).append(folder)

    def of(self, directory: str) -> VarFiles:
        """Those of one root module."""
        own = [path for folder in (directory, *self._folders(directory)) for path in self._tfvars(folder, directory)]
        if own:
            return self._split(directory, own)
        found = (self._from(above, directory) for above in _parents(directory) if above in self._beside)
        return next((each for each in found if each is not None), VarFiles())

    def _from(self, above: str, directory: str) -> VarFiles | None:
        """Those that lie beside a root module, in or below one of the directories above it; None where none is its."""
        beside, own = self._beside[above], basename(directory)
        if own in self._claimed(above):
            mine = [path for path in beside if own in _words(relpath(path, above))]
            return self._shared(mine, directory) if len(mine) == 1 else self._split(directory, mine)
        near = above == (dirname(directory) or ".")
        if self._claimed(above) or not (near or self._is_alone(directory, above)):
            return None
        return self._common(above, directory)

    def _common(self, above: str, directory: str) -> VarFiles | None:
        """Those in and below a directory that are called like none of its root modules."""
        beside = self._beside[above]
        in_folders = [path for path in beside if _is_var_folder(relpath(path, above))]
        direct = [path for path in beside if (dirname(path) or ".") == above]
        if len(beside) == len(direct) == 1:
            return self._shared(direct, directory)
        return self._split(directory, in_folders or direct) if in_folders or len(direct) > 1 else None

    @staticmethod
    def _shared(paths: Sequence[str], directory: str) -> VarFiles:
        return VarFiles(shared=tuple(relpath(path, directory) for path in paths))

    def backend_file(self, directory: str, files: VarFiles) -> str | None:
        """The pattern of backend files, one for each var file, such as `backends/{var_file}.tfbackend`."""
        stems = set((files.names or {}).values())
        tops = {directory, *(dirname(join(directory, name)) for name in files.names or ())}
        patterns: dict[str, set[str]] = {}
        for path in sorted({path for top in tops for path in self._near(_normal(top))}):
            name = relpath(path, directory)
            for stem in stems:
                if pattern := _backend_pattern(name, stem):
                    patterns.setdefault(pattern, set()).add(stem)
        return next((pattern for pattern, have in sorted(patterns.items()) if have == stems), None)

    # --- which files -----------------------------------------------------------------------------

    def _folders(self, directory: str, depth: int = _MAX_DEPTH) -> Iterator[str]:
        """The folders below a directory that belong to it: without Terraform files, down to a depth."""
        for folder in self._inside.get(directory, ()) if depth else ():
            name = basename(folder)
            if folder in self._terraform or name in self._excluded or name.startswith("."):
                continue
            yield folder
            yield from self._folders(folder, depth - 1)

    def _tfvars(self, folder: str, directory: str) -> Iterator[str]:
        """The var files of a folder; those that Terraform takes by itself make no environment."""
        for path in self._below.get(folder, ()):
            name = basename(path)
            automatic = AUTOMATIC.fullmatch(name) and (folder == directory or ".auto." in name)
            if name.endswith(_ENDINGS) and not automatic and not _is_backend(name):
                yield path

    @cached_property
    def _beside(self) -> Mapping[str, Sequence[str]]:
        """The var files that no directory with Terraform files holds, by each directory above that may use them."""
        found: dict[str, list[str]] = {}
        for folder in self._below:
            chain = [folder, *_parents(folder)]
            if self._terraform.intersection(chain) or self._excluded.intersection(folder.split("/")):
                continue
            for path in self._tfvars(folder, ""):
                for above in chain[: _MAX_DEPTH + 1]:
                    found.setdefault(above, []).append(path)
        return {above: sorted(paths) for above, paths in found.items()}

    @cached_property
    def _terraform_below(self) -> Mapping[str, Sequence[str]]:
        """The directories with Terraform files, by each directory above them."""
        found: dict[str, list[str]] = {}
        for directory in self._terraform:
            for above in _parents(directory):
                found.setdefault(above, []).append(directory)
        return found

    def _claimed(self, above: str) -> frozenset[str]:
        """The names of directories with Terraform files that var files beside them, or their folders, have."""
        if above not in self._claims:
            called = {word for path in self._beside[above] for word in _words(relpath(path, above))}
            names = {basename(directory) for directory in self._terraform_below.get(above, ())}
            self._claims[above] = frozenset(called & names)
        return self._claims[above]

    def _is_alone(self, directory: str, above: str) -> bool:
        """Whether a directory is the only one with Terraform files below another, modules apart."""
        others = (other for other in self._terraform_below.get(above, ()) if other != directory)
        return all(_lies_below(other, directory) or "modules" in other.split("/") for other in others)

    def _split(self, directory: str, paths: Sequence[str]) -> VarFiles:
        """Var files as those of one environment each, and those that they share."""
        files = [relpath(path, directory) for path in paths]
        shared = tuple(name for name in files if stem_of(name) in COMMON)
        single = [name for name in files if name not in shared]
        names = var_file_names(single)
        if not single or len(set(names.values())) < len(single) or _belong_together(single):
            return VarFiles()
        globs = _as_globs(single, files)
        own = basename(directory)
        if globs[0].startswith("../") and directory != "." and all(own in _words(glob) for glob in globs):
            globs = tuple(re.sub(_token(own), "{dir}", glob) for glob in globs)
        return VarFiles(globs, names, shared)

    def _near(self, folder: str) -> Iterator[str]:
        """The files of a folder and of those beside and right below it, where backend files lie."""
        around = {folder, *self._inside.get(folder, ()), *self._inside.get(dirname(folder) or ".", ())}
        for each in around:
            yield from self._below.get(each, ())


def with_parents(directory: str) -> Iterator[str]:
    """A directory and those above it, without the root."""
    while directory not in ("", "."):
        yield directory
        directory = dirname(directory)


def _parents(directory: str) -> list[str]:
    """The directories above one, the nearest first, up to the root."""
    return [] if directory == "." else [*with_parents(dirname(directory)), "."]


def _normal(folder: str) -> str:
    return relpath(folder, ".")


def _lies_below(path: str, above: str) -> bool:
    return above == "." or path.startswith(f"{above}/")


def _token(word: str) -> str:
    return rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])"


def _words(name: str) -> tuple[str, ...]:
    """What a var file and the folders that it lies in are called."""
    return (*name.split("/")[:-1], stem_of(name))


def _is_var_folder(name: str) -> bool:
    """Whether a path begins with a folder that holds var files by its name."""
    return "/" in name and _FOLDERS.fullmatch(name.split("/")[0]) is not None


def _is_backend(name: str) -> bool:
    """Whether a file that ends like a var file has settings of a backend."""
    return re.search(r"(?:^|[._-])(?:tf)?backend[._-]", name) is not None


def _belong_together(files: Sequence[str]) -> bool:
    """Whether the files of one folder are those of one environment: it is called like a stage, and they are not."""
    folders = [dirname(name) for name in files]
    several = len(set(folders)) < len(files) and len(set(folders)) > 1
    stages = any(basename(folder) in STAGES for folder in folders)
    return several and stages and not any(stem_of(name) in STAGES for name in files)


def _backend_pattern(name: str, stem: str) -> str | None:
    """The path of a backend file with `{var_file}` for a var file's name; None for any other file."""
    found = _BACKEND.fullmatch(basename(name))
    if found is None or found["ending"] not in _BACKEND_ENDINGS or _OF_OTHERS.search(basename(name)):
        return None
    if found["ending"] == "tfvars" and not _is_backend(basename(name)):
        return None
    pattern = re.sub(_token(stem), "{var_file}", name)
    plain = found["stem"] == stem or found["ending"] == "tfbackend"
    return pattern if pattern != name and (plain or "backend" in name) else None


def _as_globs(names: Sequence[str], every: Sequence[str]) -> tuple[str, ...]:
    """The fewest globs that match exactly these files of all; the files themselves where none does."""
    one = _glob(names)
    if one is not None and _matched(one, every) == set(names):
        return (one,)
    globs: list[str] = []
    for folder in sorted({dirname(name) for name in names}):
        mine = [name for name in names if dirname(name) == folder]
        glob = _glob(mine)
        globs += [glob] if glob is not None and _matched(glob, every) == set(mine) else mine
    return tuple(globs)


def _glob(names: Sequence[str]) -> str | None:
    """One glob over files at one depth: what differs is `*`, up to the ending."""
    parts = [name.split("/") for name in names]
    endings = {next(end for end in reversed(_ENDINGS) if name.endswith(end)) for name in names}
    if len(names) < 2 or len(endings) > 1 or len({len(each) for each in parts}) > 1:
        return None
    columns = [set(column) for column in zip(*parts, strict=True)]
    folders = [next(iter(column)) if len(column) == 1 else "*" for column in columns[:-1]]
    last = next(iter(columns[-1])) if len(columns[-1]) == 1 else f"*{endings.pop()}"
    return "/".join([*folders, last])


def _matched(glob: str, every: Sequence[str]) -> set[str]:
    regex = re.compile("[^/]*".join(re.escape(part) for part in glob.split("*")))
    return {name for name in every if regex.fullmatch(name)}
