"""The closures of a repository's environments at any commit, and their hashes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from posixpath import join, normpath

from driftguard.config import EnvironmentSettings, terraform_variables
from driftguard.errors import EnvironmentFault
from driftguard.model import Closure, ErrorKind, ToolVersion
from driftguard.model.report import EnvironmentListing
from driftguard.model.versions import VersionNeed, need_of
from driftguard.pipeline.approve.approval_file import APPROVALS
from driftguard.pipeline.discover import Closures
from driftguard.pipeline.settings import SettingsIndex
from driftguard.pipeline.signs import product_of, read_for_signs
from driftguard.pipeline.stacks import StackUnit, stack_units, with_stack_units
from driftguard.pipeline.unitclosures import UnitSources, closure_of_unit
from driftguard.pipeline.units import units, unknown_closure
from driftguard.ports import GivenFiles, Repository, SourceReader, UnitReader


class ClosureIndex:
    """Closures of a repository's environments at any commit. Thread-safe; each commit and blob is read once.

    Args:
        settings: the settings at any commit: var files and literals are those of the commit, too.
        environ: DriftGuard's own environment variables, which may give values to Terraform's variables.
        given: reads what `files` of an environment names; None where none does.
        units: asks Terragrunt about units; without it, every file counts for each of them.

    Attributes:
        products: the product of each environment's tool, by name, as far as it is known: what it reads depends on it.
        programs: what applies each environment by hand, by name, as far as it is known.
    """

    def __init__(
        self,
        repository: Repository,
        reader: SourceReader,
        settings: SettingsIndex,
        environ: Mapping[str, str],
        given: GivenFiles | None = None,
        units: UnitReader | None = None,
    ) -> None:
        self._repository, self._reader, self._environ = repository, reader, environ
        self.settings, self.given, self._unit_reader = settings, given, units
        self.products: dict[str, str] = {}
        self.programs: dict[str, str] = {}
        self._units_at: dict[str, frozenset[str]] = {}
        self._stacks_at: dict[str, Mapping[str, StackUnit]] = {}
        self._has_tofu: dict[str, bool] = {}
        self._at: dict[tuple[str, str | None], Closures] = {}
        self._last: tuple[EnvironmentSettings, Closures, Closure | None] | None = None
        self._lock = threading.Lock()

    def at(self, settings: EnvironmentSettings, commit: str) -> Closure | None:
        """The environment's closure at a commit; None where its directory did not exist then.

        Raises:
            EnvironmentFault: a var file or other named file does not exist.
        """
        product = self.products.get(settings.name)
        settings = self.settings.at(settings, commit) or settings
        backend = settings.backend_config
        given = self.given.listed(settings.files_from) if self.given and settings.files_from else {}
        is_unit = settings.path in self._units(commit)
        self.programs[settings.name] = "terragrunt" if is_unit else product or "terraform"
        if is_unit:
            return self._of_unit(settings, commit, product)
        with self._lock:
            closures = self._closures(commit, product)
            last = self._last  # asked for twice: for the version that is needed, then for itself
            if last is not None and not given and last[0] is settings and last[1] is closures:
                return last[2]
            closure = closures.closure(
                settings.path,
                var_files=settings.var_files,
                extra_files=settings.extra_files,
                files=() if isinstance(backend, Mapping) else [f for f in backend if not f.startswith("/")],
                workspace=settings.workspace,
                variables=terraform_variables(settings.env, self._environ),
                elsewhere=settings.elsewhere,
                given={normpath(join(settings.path, name)): digest for name, digest in given.items()},
            )
            self._last = settings, closures, closure
            return closure

    def is_unit(self, settings: EnvironmentSettings, commit: str) -> bool:
        """Whether an environment is a Terragrunt unit at a commit."""
        return settings.path in self._units(commit)

    def prepare(self, environments: Sequence[EnvironmentSettings], commit: str) -> None:
        """Ask for what takes long for several environments at once: their Terragrunt units, side by side."""
        units = [each for each in environments if each.fault is None and self.is_unit(each, commit)]
        if units and self._unit_reader is not None:
            with suppress(EnvironmentFault):  # raised again, or answered by an open closure, for each of them
                self._unit_reader.render(units, commit)

    def generate(self, stack: str, tree: Path, variables: Mapping[str, str], timeout_seconds: float) -> None:
        """See `UnitReader.generate`."""
        if self._unit_reader is not None:
            self._unit_reader.generate(stack, tree, variables, timeout_seconds)

    def _of_unit(self, settings: EnvironmentSettings, commit: str, product: str | None) -> Closure:
        """A unit's closure; where Terragrunt cannot be asked, the plan has the same fault, and every file counts."""
        tree = self._repository.tree(commit)
        try:
            if self._unit_reader is None:
                raise EnvironmentFault(ErrorKind.CONFIG, "Terragrunt is not asked.")
            found = self._unit_reader.found(commit).get(settings.path)
            if found is None:
                raise EnvironmentFault(ErrorKind.CONFIG, "`terragrunt find` does not list it.")
            rendered = self._unit_reader.rendered(settings, commit)
        except EnvironmentFault as fault:
            return unknown_closure(settings.path, tree, APPROVALS, fault.message)
        made = self._stacks(commit).get(settings.path)
        with self._lock:
            modules = self._closures(commit, product)
            around = UnitSources(tree, self._reader, self._repository, modules, APPROVALS)
            return closure_of_unit(around, settings, found, rendered, made)

    def _units(self, commit: str) -> frozenset[str]:
        with self._lock:
            if commit not in self._units_at:
                tree = self._repository.tree(commit)
                self._stacks_at[commit] = stack_units(tree, self._repository)
                self._units_at[commit] = units(with_stack_units(tree, self._stacks_at[commit]).keys())
            return self._units_at[commit]

    def _stacks(self, commit: str) -> Mapping[str, StackUnit]:
        """The units that stacks of a commit make, by their directories."""
        self._units(commit)
        return self._stacks_at[commit]

    def _closures(self, commit: str, product: str | None) -> Closures:
        """Those of a commit for a product; one for both where no file is OpenTofu's own."""
        tree = self._repository.tree(commit)
        if product is not None and commit not in self._has_tofu:
            self._has_tofu[commit] = any(path.endswith((".tofu", ".tofu.json")) for path in tree)
        product = product if product is not None and self._has_tofu[commit] else None
        if (commit, product) not in self._at:
            missing, names = self._repository.missing(commit), self._repository.names
            self._at[commit, product] = Closures(
                tree, self._reader, APPROVALS, missing, product=product, own_names=names
            )
        return self._at[commit, product]


def closure_hash(closure: Closure, settings: EnvironmentSettings, tool: ToolVersion) -> str:
    """The environment's closure hash with this tool."""
    return closure.hash(str(tool), settings.digest())


def version_need(repository: Repository, settings: EnvironmentSettings, closure: Closure) -> VersionNeed:
    """The Terraform that an environment needs, by its settings and by the files of its closure."""
    found = dict(repository.read(list(closure.version_files.values())))
    files = {path: found[object_id] for path, object_id in closure.version_files.items()}
    need = need_of(settings.path, closure.requires, files)
    product = need.product or closure.product
    if settings.terraform.binary == "auto":
        product = _product(repository, settings, closure, files)
    need = replace(need, product=product)
    if settings.terraform.version == "auto":
        return need
    return VersionNeed((*need.constraints, settings.terraform.version), product=product, files=files)


def _product(
    repository: Repository, settings: EnvironmentSettings, closure: Closure, version_files: Mapping[str, bytes]
) -> str | None:
    """The product that an environment's own files decide. EnvironmentFault (`config`) where they are in conflict."""
    wanted = read_for_signs(settings.path, closure.files)
    contents = dict(repository.read(sorted(set(wanted.values()))))
    # What stands for a submodule has no contents.
    read = {path: contents[object_id] for path, object_id in wanted.items() if object_id in contents}
    pins = version_files if settings.terraform.version == "auto" else {}
    return product_of(settings.name, settings.path, read, pins)


def described(settings: EnvironmentSettings, closure: Closure, tool: ToolVersion) -> EnvironmentListing:
    """An environment as `driftguard environments --format json` prints it."""
    return EnvironmentListing(
        name=settings.name,
        path=settings.path,
        workspace=settings.workspace,
        closure_hash=closure_hash(closure, settings, tool),
        tool=str(tool),
        modules=closure.modules,
        remote_sources=closure.remote_sources,
        files=dict(closure.files),
        closure_open=closure.open,
        warnings=closure.warnings,
        runs=closure.unit.runs if closure.unit is not None else (),
    )


def not_described(settings: EnvironmentSettings, fault: str) -> EnvironmentListing:
    """An environment that cannot be planned, in the same form: why, and nothing of its closure."""
    return EnvironmentListing(
        name=settings.name,
        path=settings.path,
        workspace=settings.workspace,
        warnings=(f"{settings.name}: {fault}",),
        fault=fault,
    )
