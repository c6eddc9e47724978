"""Which directories of a repository are environments, and how each of them is run: from paths and outlines alone.

An environment is a directory with a `backend` or `cloud` block, or a lock file, or a `provider` block and no caller.
Modules (wherever they lie), examples, tests and fixtures are none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from posixpath import basename, dirname, join, normpath
from typing import Final

from driftguard.model.outlines import Outline
from driftguard.pipeline.othertools import OtherTools, Read
from driftguard.pipeline.usedworkspaces import used_workspaces, uses_workspaces
from driftguard.pipeline.varfolders import STAGES, VarFolders, with_parents

TERRAFORM: Final = (".tf", ".tf.json", ".tofu", ".tofu.json")
LOCK_FILE: Final = ".terraform.lock.hcl"
_SAMPLES: Final = frozenset({"examples", "example", "samples", "sample", "fixtures", "fixture", "testdata", "e2e"})
_GENERATED: Final = frozenset({".terraform", ".terragrunt-cache", ".terramate-cache", "node_modules", ".git"})
# The attributes without which a backend does not know where its state lies; a type that is not named needs one.
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("bucket", "key"),
    "azurerm": ("storage_account_name", "container_name", "key"),
    "gcs": ("bucket",),
    "http": ("address",),
    "consul": ("path",),
    "cos": ("bucket",),
    "oss": ("bucket",),
    "kubernetes": ("secret_suffix",),
    "local": (),
    "pg": (),
}


@dataclass(frozen=True, slots=True)
class RootModule:
    """One directory that is an environment, or several by its var files or workspaces.

    Attributes:
        path: from the repository's root; `.` for the root.
        workspaces: those that its code names; empty for the default one alone.
        each: the var files of which each makes an environment, relative to `path`, as globs.
        var_files: those that all of them share.
        backend_file: with `{var_file}` in it, where each has backend settings of its own.
        backend: the type of the backend, `cloud`, or empty without one.
        partial: the backend block does not name where the state lies.
        count: the number of environments that it makes.
        unnamed: its code depends on the workspace, and none is known.
    """

    path: str
    workspaces: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    var_files: tuple[str, ...] = ()
    backend_file: str | None = None
    backend: str = ""
    partial: bool = False
    count: int = 1
    unnamed: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """What a repository holds.

    Attributes:
        roots: sorted by path.
        left_out: directories with Terraform files that are no environments, and why; sorted.
        foreign: what DriftGuard does not run itself, by the tool that does, with the paths.
    """

    roots: tuple[RootModule, ...]
    left_out: Mapping[str, str]
    foreign: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def backend_block(files: Iterable[Outline]) -> Outline | None:
    """The `backend` or `cloud` block of a directory's files; None without one.

    Where an override file has another, it is the one that names where the state lies.
    """
    blocks = (block for file in files for settings in file.of("terraform") for block in settings.blocks)
    found = [block for block in blocks if block.kind in ("backend", "cloud")]
    return next((block for block in found if not backend_kind(block)[1]), found[0] if found else None)


def backend_kind(block: Outline | None) -> tuple[str, bool]:
    """The type of a backend (`cloud`, empty without one), and whether its block does not name where the state lies."""
    if block is None or block.kind == "cloud":
        return ("" if block is None else "cloud"), False
    kind = "".join(block.labels[:1])
    return kind, bool(lacking_settings(block)) or (kind not in _REQUIRED and not (block.attributes or block.blocks))


def lacking_settings(block: Outline) -> tuple[str, ...]:
    """The attributes that a `backend` block needs to name where the state lies, and does not have."""
    return tuple(key for key in _REQUIRED.get("".join(block.labels[:1]), ()) if key not in block.attributes)


def is_terraform(path: str) -> bool:
    """Whether a file is read by Terraform or OpenTofu as configuration."""
    return path.endswith(TERRAFORM) and not basename(path).startswith(".")


def read_layout(paths: Collection[str], outlines: Mapping[str, Outline], read: Read = lambda path: b"") -> Layout:
    """The layout of a repository.

    Args:
        paths: every file, from the root.
        outlines: of its Terraform files, by path; those of other directories may be left out.
        read: gives a file's content, of the settings of other tools.
    """
    survey = _Survey(paths, outlines, read)
    roots, left_out = [], {}
    for directory in sorted(survey.directories):
        why = survey.why_not(directory)
        if why is None:
            roots.append(survey.root(directory))
        else:
            left_out[directory] = why
    return Layout(tuple(roots), left_out, survey.foreign())


def directory_of(source: str) -> str:
    """The directory of a module's address behind `//`; empty without one."""
    address = source.partition("?")[0]
    return (address.partition("://")[2] or address).partition("//")[2].strip("/")


def var_files_by_directory(paths: Collection[str], directories: Collection[str]) -> Mapping[str, Mapping[str, str]]:
    """The var files of directories that would make environments, relative to the directory, with their names."""
    survey = _Survey(paths, {})
    return {d: survey.var_folders.of(d).names or {} for d in directories if d in survey.directories}


def foreign_units(paths: Collection[str], read: Read) -> Mapping[str, tuple[str, ...]]:
    """What DriftGuard does not run itself, as far as paths and the settings of other tools show it."""
    return _Survey(paths, {}, read).foreign()


class _Survey:
    def __init__(self, paths: Collection[str], outlines: Mapping[str, Outline], read: Read = lambda path: b"") -> None:
        self._paths = frozenset(paths)
        self.directories: dict[str, list[Outline]] = {}
        self._below: dict[str, list[str]] = {}
        for path in sorted(paths):
            self._below.setdefault(dirname(path) or ".", []).append(path)
            if is_terraform(path):
                self.directories.setdefault(dirname(path) or ".", []).append(outlines.get(path, Outline()))
        self._folders = {name for directory in self._below for name in with_parents(directory)}
        self._called = {
            target
            for directory, files in self.directories.items()
            for file in files
            for call in file.of("module")
            for target in self._targets(directory, call.literal("source") or "")
        }
        usable = [path for path in paths if not any(map(_is_sample, path.split("/")[:-1]))]
        self._tools = OtherTools(usable, read)

    def _targets(self, directory: str, source: str) -> Iterator[str]:
        """The directory that a module call means; by its own address a repository calls what lies in it, too."""
        if source.startswith(("./", "../")):
            yield normpath(join(directory, source))
        elif (inside := directory_of(source)) in self.directories:
            yield inside

    # --- environment or not ----------------------------------------------------------------------

    def why_not(self, directory: str) -> str | None:
        """Why a directory is no environment; None where it is one."""
        parts = [] if directory == "." else directory.split("/")
        if _GENERATED & set(parts):
            return "generated"
        if sample := next((part for part in parts if _is_sample(part)), None):
            return f"below {sample}/"
        if "test" in parts and self._is_test(parts):
            return "a test"
        if self._tools.is_component(directory):
            return "a component of Atmos"
        if self._backend(directory) is not None:
            return None
        return self._why_module(directory, parts)

    def _why_module(self, directory: str, parts: list[str]) -> str | None:
        """Why a directory without a backend is no environment."""
        if directory in self._called:
            return "a module: called by other directories"
        if any(map(_holds_modules, parts)):
            return "a module: no backend, and below modules/"
        if join(directory, LOCK_FILE).removeprefix("./") in self._paths:
            return None
        if any(True for _ in self._blocks(directory, "provider")) or "cdk.tf.json" in self._names(directory):
            return None
        return "a module: no backend, no lock file, no provider block"

    def _is_test(self, parts: list[str]) -> bool:
        """A `test` directory of a module, not an environment that is called test."""
        at = parts.index("test")
        parent = "/".join(parts[:at]) or "."
        here = "/".join(parts[: at + 1])
        siblings = {basename(d) for d in self._folders if (dirname(d) or ".") == parent}
        if (STAGES - {"test"}) & siblings:
            return False
        tested = any(
            p.startswith(f"{here}/") and re.search(r"_test\.(?:go|py)$|\.tftest\.hcl$", p) for p in self._paths
        )
        return tested or parent in self.directories or self._backend("/".join(parts)) is None

    def _names(self, directory: str) -> set[str]:
        return {basename(path) for path in self._below.get(directory, ())}

    def _blocks(self, directory: str, kind: str) -> Iterator[Outline]:
        return (block for file in self.directories[directory] for block in file.of(kind))

    def _backend(self, directory: str) -> Outline | None:
        return backend_block(self.directories[directory]) if directory in self.directories else None

    # --- how it is run ---------------------------------------------------------------------------

    @cached_property
    def var_folders(self) -> VarFolders:
        """The var files of the repository."""
        excluded = {part for folder in self._folders for part in folder.split("/") if _is_sample(part)}
        return VarFolders(self._below, self.directories, excluded | _GENERATED)

    def root(self, directory: str) -> RootModule:
        """How an environment's directory is run."""
        files = self.directories[directory]
        kind, partial = backend_kind(self._backend(directory))
        found = self.var_folders.of(directory)
        workspaces = () if found.each else used_workspaces(files, directory, self._paths)
        return RootModule(
            path=directory,
            workspaces=workspaces,
            each=found.each,
            var_files=found.shared,
            backend_file=self.var_folders.backend_file(directory, found) if found.each and partial else None,
            backend=kind,
            partial=partial,
            count=len(found.names or workspaces) or 1,
            unnamed=not found.each and not workspaces and kind != "cloud" and uses_workspaces(files),
        )

    # --- what others run -------------------------------------------------------------------------

    def foreign(self) -> Mapping[str, tuple[str, ...]]:
        """What DriftGuard does not run itself, by the tool that does."""
        made = [directory for directory in self.directories if "cdk.tf.json" in self._names(directory)]
        own = {directory for directory in self.directories if self.why_not(directory) is None}
        found = {
            "Terragrunt": self._tools.units(),
            "Atmos": self._tools.stacks(),
            "CDKTF": self._tools.apps(made),
            "Terramate": sorted(self._tools.terramate_stacks() - own),
            "HCP Terraform": [directory for directory in sorted(own) if self._is_remote(directory)],
        }
        return {tool: tuple(names) for tool, names in found.items() if names}

    def _is_remote(self, directory: str) -> bool:
        backend = self._backend(directory)
        return backend is not None and (backend.kind == "cloud" or backend.labels[:1] == ("remote",))


def _is_sample(part: str) -> bool:
    """Whether a folder holds examples, tests or fixtures by its name, such as `test-fixtures` or `Examples`."""
    words = re.split(r"[-_.]", part.lower())
    return part.lower() in _SAMPLES or words[-1] in _SAMPLES | {"tests"} or part == "__tests__"


def _holds_modules(part: str) -> bool:
    """Whether a folder holds modules by its name, such as `tf-modules`."""
    words = re.split(r"[-_.]", part.lower())
    return "modules" in words or words[-1] == "module"
