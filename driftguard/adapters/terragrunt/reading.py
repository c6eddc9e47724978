"""Asks Terragrunt which units a commit has and what they are made of: `find` once, `render` for each unit.

Both run in a work tree of ours, with the variables that a plan of the unit gets. What they answer is kept between runs
where nothing else than the commit decides it. Of `render` no input is decoded: they hold secrets.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from posixpath import join
from typing import Final, TypeVar

import msgspec

from driftguard.adapters.folders import folder_name
from driftguard.adapters.git.repository import GitRepository
from driftguard.adapters.process import Stop
from driftguard.adapters.terragrunt.answers import STACK_FILE, UNIT_FILE, found_units, rendered_unit
from driftguard.adapters.terragrunt.applying import TerragruntApplier
from driftguard.adapters.terragrunt.engine import TerragruntPlanner
from driftguard.adapters.terragrunt.program import ask, terragrunt_program
from driftguard.adapters.terragrunt.upstream import UpstreamStates
from driftguard.config import EnvironmentSettings, terraform_environment
from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind, ToolVersion
from driftguard.model.units import FoundUnit, RenderedUnit, UnitFacts
from driftguard.ports import TerraformVariables, UnitReader

_FIND: Final = ("find", "--json", "--dependencies", "--reading", "--exclude")
_RENDER: Final = ("render", "--json")
_GENERATE: Final = ("stack", "generate")
# No Terraform runs then, and no secret of another unit is in the answer.
_WITHOUT_OUTPUTS: Final = ("--experiment", "optional-dependency-outputs", "--no-dependency-outputs")
_FIND_SECONDS: Final = 300.0
_KEPT_SECONDS: Final = 14 * 86_400.0
# Functions whose value no commit decides.
_FROM_OUTSIDE: Final = re.compile(
    rb"\b(?:run_cmd|get_env|sops_decrypt_file|get_aws_\w+|get_platform|get_terraform_\w+|get_default_\w+|timestamp|uuid)"
    rb"\s*\("
)
_TERRAFORM: Final = (".tf", ".tofu", ".tf.json", ".tofu.json", ".md")

_Kept = TypeVar("_Kept")


class TerragruntUnits(UnitReader):
    """The units of one repository. Thread-safe.

    Args:
        head: the commit at which the outputs of units are read.
        variables: gives the variables that a plan of an environment gets.
        environ: DriftGuard's own environment variables.
        cache: the folder below which answers are kept between runs.
    """

    def __init__(
        self,
        repository: GitRepository,
        head: str,
        variables: TerraformVariables,
        environ: Mapping[str, str],
        cache: Path,
        stop: Stop,
    ) -> None:
        self._repository, self._variables, self._environ = repository, variables, environ
        self._cache, self._stop = cache / "units", stop
        self._upstream = UpstreamStates(repository, head, cache / "outputs" / folder_name(repository.display), self)
        self._found: dict[str, Mapping[str, FoundUnit] | EnvironmentFault] = {}
        self._rendered: dict[tuple[str, str], RenderedUnit | EnvironmentFault] = {}
        self._digests: dict[tuple[str, bool], str] = {}
        self._guard = threading.RLock()

    def found(self, commit: str) -> Mapping[str, FoundUnit]:
        """The units of a commit, by their directories."""
        with self._guard:
            if commit not in self._found:
                self._found[commit] = _result(partial(self._find, commit))
            return _or_raise(self._found[commit])

    def rendered(self, settings: EnvironmentSettings, commit: str) -> RenderedUnit:
        """What an environment's unit is made of at a commit."""
        self.render([settings], commit)
        with self._guard:
            return _or_raise(self._rendered[commit, settings.name])

    def render(self, environments: Sequence[EnvironmentSettings], commit: str) -> None:
        """Ask for several units side by side."""
        with self._guard:
            left = {e.name: e for e in environments if (commit, e.name) not in self._rendered}
            for name, settings in list(left.items()):
                known = self._kept(self._place(settings, commit), RenderedUnit)
                if known is not None:
                    self._rendered[commit, name] = known
                    del left[name]
            if not left:
                return
            found = _result(partial(self.found, commit))
            units = {} if isinstance(found, EnvironmentFault) else found
            with self._repository.worktree(commit, "terragrunt") as tree:
                self._generate_all(commit, tree)
                ask_one = partial(self._render, tree, commit, units)
                with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as executor:
                    answers = executor.map(ask_one, left.values())
                    for name, answer in zip(left, answers, strict=True):
                        self._rendered[commit, name] = answer

    def outside(self, unit: FoundUnit, commit: str) -> bool:
        """Whether the files of a unit call functions whose value no commit decides."""
        tree = self._repository.tree(commit)
        names = {join(unit.path, UNIT_FILE), *unit.reading}
        ids = sorted({tree[name].object_id for name in names if name in tree and not name.endswith(_TERRAFORM)})
        return any(_FROM_OUTSIDE.search(content) for _, content in self._repository.read(ids))

    def generate(self, stack: str, tree: Path, variables: Mapping[str, str], timeout_seconds: float) -> None:
        """Generate the units of a stack in a work tree."""
        program = terragrunt_program(self._environ.get("PATH", ""))
        ask([program, *_GENERATE], tree / stack, variables, timeout_seconds, self._stop)

    def _generate_all(self, commit: str, tree: Path) -> None:
        """Generate the units of every stack of a commit, where it has one."""
        if any(path.endswith(f"/{STACK_FILE}") or path == STACK_FILE for path in self._repository.tree(commit)):
            self.generate(".", tree, terraform_environment({}, self._environ), _FIND_SECONDS)

    def planner(self, tool: ToolVersion, plugin_cache: Path, stop: Stop, unit: UnitFacts) -> TerragruntPlanner:
        """What plans a unit with a Terraform-compatible program. EnvironmentFault (`config`) without Terragrunt."""
        program = terragrunt_program(self._environ.get("PATH", ""))
        return TerragruntPlanner(tool, plugin_cache, stop, program, self._upstream, unit.dependencies)

    def applier(self, tool: ToolVersion, plugin_cache: Path, stop: Stop, unit: UnitFacts) -> TerragruntApplier:
        """The same, which may also apply."""
        program = terragrunt_program(self._environ.get("PATH", ""))
        return TerragruntApplier(tool, plugin_cache, stop, program, self._upstream, unit.dependencies)

    # --- asking -----------------------------------------------------------------------------------

    def _find(self, commit: str) -> Mapping[str, FoundUnit]:
        program = terragrunt_program(self._environ.get("PATH", ""))
        self._delete_old()
        place = self._cache / f"{self._key(program, commit, 'find', whole=True)}.json"
        known = self._kept(place, dict[str, FoundUnit])
        if known is not None:
            return known
        with self._repository.worktree(commit, "terragrunt") as tree:
            self._generate_all(commit, tree)
            text = ask([program, *_FIND], tree, terraform_environment({}, self._environ), _FIND_SECONDS, self._stop)
        found = _decoded("find", lambda: found_units(text))
        if not any(self.outside(each, commit) for each in found.values()):
            self._keep(place, found)
        return found

    def _render(
        self, tree: Path, commit: str, units: Mapping[str, FoundUnit], settings: EnvironmentSettings
    ) -> RenderedUnit | EnvironmentFault:
        return _result(lambda: self._asked(tree, commit, units.get(settings.path), settings))

    def _asked(self, tree: Path, commit: str, found: FoundUnit | None, settings: EnvironmentSettings) -> RenderedUnit:
        program = terragrunt_program(self._environ.get("PATH", ""))
        variables = dict(self._variables.variables(settings, "plan"))
        call = partial(
            ask,
            directory=tree / settings.path,
            variables=variables,
            timeout_seconds=settings.timeout.total_seconds(),
            stop=self._stop,
        )
        outside = found is None or self.outside(found, commit)
        try:
            text = call([program, *_RENDER, *_WITHOUT_OUTPUTS])
        except EnvironmentFault as fault:
            if fault.kind is not ErrorKind.CONFIG:
                raise
            text, outside = call([program, *_RENDER]), True  # of a version that always reads outputs
        unit = _decoded("render", lambda: rendered_unit(text, str(tree), settings.path))
        if not outside and all(each.mocks is None for each in unit.dependencies):
            self._keep(self._place(settings, commit), unit)
        return unit

    # --- what is kept -----------------------------------------------------------------------------

    def _place(self, settings: EnvironmentSettings, commit: str) -> Path:
        program = terragrunt_program(self._environ.get("PATH", ""))
        return self._cache / f"{self._key(program, commit, settings.path, whole=False)}.json"

    def _key(self, program: str, commit: str, what: str, *, whole: bool) -> str:
        """Of all that decides an answer: the program, the files, the question.

        Args:
            whole: the files of modules count, too.
        """
        stat = os.stat(program)
        parts = [os.path.realpath(program), stat.st_size, stat.st_mtime_ns, self._files(commit, whole=whole), what]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    def _files(self, commit: str, *, whole: bool) -> str:
        if (commit, whole) not in self._digests:
            tree = self._repository.tree(commit)
            files = [(p, e.object_id) for p, e in sorted(tree.items()) if whole or not p.endswith(_TERRAFORM)]
            self._digests[commit, whole] = hashlib.sha256(msgspec.json.encode(files)).hexdigest()
        return self._digests[commit, whole]

    def _keep(self, place: Path, what: object) -> None:
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = place.with_suffix(f".{threading.get_ident()}")
        part.write_bytes(msgspec.json.encode(what))
        part.replace(place)

    def _delete_old(self) -> None:
        for place in self._cache.glob("*.json"):
            with suppress(FileNotFoundError):
                if place.stat().st_mtime < time.time() - _KEPT_SECONDS:
                    place.unlink()

    @staticmethod
    def _kept(place: Path, type_: type[_Kept]) -> _Kept | None:
        try:
            os.utime(place)
            return msgspec.json.decode(place.read_bytes(), type=type_)
        except (OSError, msgspec.DecodeError):
            return None


def _result(work: Callable[[], _Kept]) -> _Kept | EnvironmentFault:
    try:
        return work()
    except EnvironmentFault as fault:
        return fault


def _or_raise(found: _Kept | EnvironmentFault) -> _Kept:
    if isinstance(found, EnvironmentFault):
        raise found
    return found


def _decoded(command: str, work: Callable[[], _Kept]) -> _Kept:
    try:
        return work()
    except msgspec.DecodeError as error:
        raise EnvironmentFault(
            ErrorKind.CONFIG,
            f"`terragrunt {command} --json` answered in a form that is not known ({error}), so nothing was planned. "
            "Use Terragrunt 0.93 or newer.",
        ) from None
