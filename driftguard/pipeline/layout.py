"""Which directories of a repository are environments, and how each of them is run: from paths and outlines alone.

An environment is a directory with a `backend` or `cloud` block, or a lock file, or a `provider` block and no caller.
Modules (wherever they lie), examples, tests and fixtures are none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import basename, dirname, join, normpath
from typing import Final

from driftguard.config.values import accepts
from driftguard.model.outlines import Outline

TERRAFORM: Final = (".tf", ".tf.json", ".tofu", ".tofu.json")
LOCK_FILE: Final = ".terraform.lock.hcl"
_SAMPLES: Final = frozenset(
    {"examples", "example", "samples", "fixtures", "fixture", "testdata", "tests", "__tests__", "e2e"}
)
_GENERATED: Final = frozenset({".terraform", ".terragrunt-cache", "node_modules", ".git"})
_MODULES: Final = frozenset({"modules", "module", "_modules", "tf-modules", "terraform-modules"})
_STAGES: Final = frozenset({"dev", "development", "stage", "staging", "prod", "production", "qa", "uat", "live", "int"})
_COMMON: Final = frozenset({"common", "shared", "global", "globals", "default", "defaults", "base", "all"})
_AUTOMATIC: Final = re.compile(r"terraform\.tfvars(?:\.json)?|.*\.auto\.tfvars(?:\.json)?")
_VAR_FOLDERS: Final = re.compile(r"(?:vars?|tfvars|var-files|env|envs|environments?|config|configs|stages|workspaces)")
_BACKEND_FILE: Final = re.compile(r"(?P<stem>.+?)(?:[.-]?(?:backend|s3))?\.(?:tfbackend|backend|hcl|backend\.tfvars)")
_BACKEND_KEYS: Final = ("key", "prefix", "path", "secret_suffix", "name", "schema_name")


@dataclass(frozen=True, slots=True)
class RootModule:
    """One directory that is an environment, or several by its var files or workspaces.

    Attributes:
        path: from the repository's root; `.` for the root.
        workspaces: those that its code names; empty for the default one alone.
        each: the var files of which each makes an environment, relative to `path`.
        var_files: those that all of them share.
        backend_file: with `{var_file}` in it, where each has backend settings of its own.
        backend: the type of the backend, `cloud`, or empty without one.
        partial: the backend block does not name where the state lies.
    """

    path: str
    workspaces: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    var_files: tuple[str, ...] = ()
    backend_file: str | None = None
    backend: str = ""
    partial: bool = False


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
    named = kind == "local" or block.blocks or any(key in block.attributes for key in _BACKEND_KEYS)
    return kind, not named


def is_terraform(path: str) -> bool:
    """Whether a file is read by Terraform or OpenTofu as configuration."""
    return path.endswith(TERRAFORM) and not basename(path).startswith(".")


def read_layout(paths: Collection[str], outlines: Mapping[str, Outline]) -> Layout:
    """The layout of a repository.

    Args:
        paths: every file, from the root.
        outlines: of its Terraform files, by path; those of other directories may be left out.
    """
    survey = _Survey(paths, outlines)
    roots, left_out = [], {}
    for directory in sorted(survey.directories):
        why = survey.why_not(directory)
        if why is None:
            roots.append(survey.root(directory))
        else:
            left_out[directory] = why
    return Layout(tuple(roots), left_out, dict(survey.foreign()))


def var_files_by_directory(paths: Collection[str], directories: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """The var files of directories that would make environments, relative to the directory."""
    survey = _Survey(paths, {})
    found: dict[str, tuple[str, ...]] = {}
    for directory in directories:
        if directory in survey.directories:
            found[directory] = survey.single_var_files(directory)
    return found


def foreign_units(paths: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """What DriftGuard does not run itself, as far as paths show it, by the tool that does."""
    return dict(_Survey(paths, {}).foreign())


class _Survey:
    def __init__(self, paths: Collection[str], outlines: Mapping[str, Outline]) -> None:
        self._paths = frozenset(paths)
        self.directories: dict[str, list[Outline]] = {}
        self._below: dict[str, list[str]] = {}
        for path in sorted(paths):
            self._below.setdefault(dirname(path) or ".", []).append(path)
            if is_terraform(path):
                self.directories.setdefault(dirname(path) or ".", []).append(outlines.get(path, Outline()))
        self._folders = {name for directory in self._below for name in _with_parents(directory)}
        self._called = {
            normpath(join(directory, source))
            for directory, files in self.directories.items()
            for file in files
            for call in file.of("module")
            if (source := call.literal("source") or "").startswith(("./", "../"))
        }

    # --- environment or not ----------------------------------------------------------------------

    def why_not(self, directory: str) -> str | None:
        """Why a directory is no environment; None where it is one."""
        parts = [] if directory == "." else directory.split("/")
        if _GENERATED & set(parts):
            return "generated"
        if sample := next((part for part in parts if part in _SAMPLES), None):
            return f"below {sample}/"
        if "test" in parts and self._is_test(parts):
            return "a test"
        if self._backend(directory) is not None:
            return None
        if directory in self._called:
            return "a module: called by other directories"
        if self._below_modules(parts):
            return "a module: no backend, and below modules/"
        if join(directory, LOCK_FILE).removeprefix("./") in self._paths:
            return None
        if any(True for _ in self._blocks(directory, "provider")) or "cdk.tf.json" in self._names(directory):
            return None
        return "a module: no backend, no lock file, no provider block"

    def _below_modules(self, parts: list[str]) -> bool:
        return bool(_MODULES & set(parts))

    def _is_test(self, parts: list[str]) -> bool:
        """A `test` directory of a module, not an environment that is called test."""
        at = parts.index("test")
        parent = "/".join(parts[:at]) or "."
        here = "/".join(parts[: at + 1])
        siblings = {basename(d) for d in self._folders if (dirname(d) or ".") == parent}
        if _STAGES & siblings:
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
        return backend_block(self.directories[directory]) if self._has(directory) else None

    def _has(self, directory: str) -> bool:
        return directory in self.directories

    # --- how it is run ---------------------------------------------------------------------------

    def root(self, directory: str) -> RootModule:
        """How an environment's directory is run."""
        backend = self._backend(directory)
        kind, partial = backend_kind(backend)
        each, shared = self._var_files(directory)
        return RootModule(
            path=directory,
            workspaces=() if each else self._workspaces(directory),
            each=each,
            var_files=shared if each else (),
            backend_file=self._backend_file(directory, each) if each and partial else None,
            backend=kind,
            partial=partial,
        )

    def _var_files(self, directory: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The var files that make environments, and those that all of them share."""
        own = self._tfvars(directory, "")
        for folder in sorted(self._folders):
            inside = (dirname(folder) or ".") == directory and folder not in self.directories
            if inside and _VAR_FOLDERS.fullmatch(basename(folder)):
                own += self._tfvars(folder, f"{basename(folder)}/")
        shared = tuple(name for name in own if _stem(name) in _COMMON)
        single = [name for name in own if name not in shared]
        if not single or len({_stem(name) for name in single}) < len(single):
            return (), ()
        return _as_globs(single, own), shared

    def single_var_files(self, directory: str) -> tuple[str, ...]:
        """The var files that make an environment each."""
        found = self._matched(directory, self._var_files(directory)[0])
        return tuple(name for name in found if not _AUTOMATIC.fullmatch(basename(name)))

    def _tfvars(self, folder: str, before: str) -> list[str]:
        names = sorted(self._names(folder))
        return [
            before + n
            for n in names
            if n.endswith((".tfvars", ".tfvars.json"))
            and not _AUTOMATIC.fullmatch(n)
            and not n.endswith(".backend.tfvars")
        ]

    def _backend_file(self, directory: str, each: tuple[str, ...]) -> str | None:
        """The pattern of backend files, one for each var file, such as `backends/{var_file}.tfbackend`."""
        stems = {_stem(name) for name in self._matched(directory, each)}
        patterns: dict[str, set[str]] = {}
        prefix = "" if directory == "." else f"{directory}/"
        for path in self._paths:
            if not path.startswith(prefix) or path.count("/") - prefix.count("/") > 1:
                continue
            found = _BACKEND_FILE.fullmatch(basename(path))
            if found and found["stem"] in stems:
                relative = path[len(prefix) :]
                at = len(relative) - len(basename(path))
                pattern = relative[:at] + "{var_file}" + relative[at + len(found["stem"]) :]
                patterns.setdefault(pattern, set()).add(found["stem"])
        return next((pattern for pattern, have in sorted(patterns.items()) if have == stems), None)

    def _matched(self, directory: str, each: tuple[str, ...]) -> Iterator[str]:
        prefix = "" if directory == "." else f"{directory}/"
        for glob in each:
            regex = re.compile("[^/]*".join(re.escape(part) for part in glob.split("*")))
            yield from (
                p[len(prefix) :] for p in self._paths if p.startswith(prefix) and regex.fullmatch(p[len(prefix) :])
            )

    def _workspaces(self, directory: str) -> tuple[str, ...]:
        """The workspaces that the code of a directory names: keys of what is looked up by `terraform.workspace`."""
        texts = [text for file in self.directories[directory] for text in _expressions(file)]
        if not any("terraform.workspace" in text for text in texts):
            return ()
        values = {
            name: text
            for file in self.directories[directory]
            for b in file.of("locals")
            for name, text in b.attributes.items()
        }
        for text in texts:
            for found in re.finditer(r"(?:lookup\(\s*)?local\.([\w-]+)\s*(?:\[|,)\s*terraform\.workspace", text):
                keys = _keys(values.get(found[1], ""))
                if keys:
                    return keys
            direct = re.search(r"^(\{.*\})\s*\[\s*terraform\.workspace\s*\]", text, re.DOTALL)
            if direct and (keys := _keys(direct[1])):
                return keys
        return ()

    # --- what others run -------------------------------------------------------------------------

    def foreign(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """What DriftGuard does not run itself."""
        usable = [p for p in sorted(self._paths) if not (_GENERATED | _SAMPLES) & set(p.split("/"))]
        found = {
            "Terragrunt": self._units(usable),
            "Atmos": self._stacks(usable),
            "CDKTF": self._apps(usable),
            "HCP Terraform": [d for d in sorted(self.directories) if self.why_not(d) is None and self._is_remote(d)],
        }
        return ((tool, tuple(paths)) for tool, paths in found.items() if paths)

    @staticmethod
    def _units(paths: list[str]) -> list[str]:
        """Terragrunt's units: its directories without others below them, which only share settings."""
        units = {dirname(p) for p in paths if basename(p) in ("terragrunt.hcl", "terragrunt.stack.hcl")}
        parents = {above for unit in units for above in ("", *_with_parents(dirname(unit))) if unit}
        return [unit or "." for unit in sorted(units - parents)]

    def _stacks(self, paths: list[str]) -> list[str]:
        """Atmos's stacks."""
        if not self._paths & {"atmos.yaml", "atmos.yml"}:
            return []
        stacks = [p for p in paths if p.startswith("stacks/") and p.endswith((".yaml", ".yml"))]
        return [p for p in stacks if "catalog" not in p.split("/") and not basename(p).startswith("_")]

    def _apps(self, paths: list[str]) -> list[str]:
        """CDKTF's apps whose output is not in git."""
        made = [d for d in self.directories if "cdk.tf.json" in self._names(d)]
        apps = [dirname(p) or "." for p in paths if basename(p) == "cdktf.json"]
        return [a for a in apps if not any(a == "." or d.startswith(f"{a}/") for d in made)]

    def _is_remote(self, directory: str) -> bool:
        backend = self._backend(directory)
        return backend is not None and (backend.kind == "cloud" or backend.labels[:1] == ("remote",))


def _with_parents(directory: str) -> Iterator[str]:
    while directory not in ("", "."):
        yield directory
        directory = dirname(directory)


def _expressions(block: Outline) -> Iterator[str]:
    yield from block.attributes.values()
    for inner in block.blocks:
        yield from _expressions(inner)


def _keys(text: str) -> tuple[str, ...]:
    """The keys of an object as written; empty where one is not plain."""
    if not text.startswith("{"):
        return ()
    depth, keys = 0, []
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\w-]+|[{}\[\]()]|[=:\n,]', text):
        word = token[0]
        if word in "{[(":
            depth += 1
        elif word in "}])":
            depth -= 1
        elif depth == 1 and re.match(r"\s*[=:](?!=)", text[token.end() :]) and (word[0] == '"' or word[0].isalnum()):
            keys.append(word.strip('"'))
    usable = dict.fromkeys(key for key in keys if key not in _COMMON or key == "default")
    return tuple(usable) if all(accepts("workspace", key) for key in usable) else ()


def _stem(name: str) -> str:
    return basename(name).removesuffix(".json").removesuffix(".tfvars")


def _as_globs(names: list[str], every: list[str]) -> tuple[str, ...]:
    """One glob where it matches exactly these files of a folder, else the files."""
    folders = {dirname(name) for name in names}
    globs = []
    for folder in sorted(folders):
        mine = [name for name in names if dirname(name) == folder]
        endings = {"".join(basename(n).partition(".tfvars")[1:]) for n in mine}
        ending = next(iter(endings))
        there = [n for n in every if dirname(n) == folder and n.endswith(ending)]
        exact = len(mine) > 1 and len(endings) == 1 and len(there) == len(mine)
        globs.extend([join(folder, f"*{ending}")] if exact else mine)
    return tuple(globs)
