"""Adopting: the files that let the code of one environment state its reality, proven by a plan of their commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from driftguard.config import EnvironmentSettings, terraform_environment
from driftguard.errors import EnvironmentFault
from driftguard.hcledit.adopting import adopt
from driftguard.hcledit.source import EnvironmentSource
from driftguard.model import Adoption, Departure, ErrorKind, Label, ResourceChange
from driftguard.model.plan_document import PlanDocument, decode
from driftguard.model.words import ADOPTABLE, NOT_ADOPTABLE
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext, checked_out
from driftguard.pipeline.classify.fingerprints import planned_facts
from driftguard.pipeline.plan import make_plan
from driftguard.pipeline.propose.context import ProposalContext
from driftguard.pipeline.propose.draft import Choices
from driftguard.pipeline.scan import Findings
from driftguard.ports import PlanEngine, WorkingDirectory
from driftguard.sealed import mask

_FILE_MODES: Final = ("100644", "100755")
_VARIABLE: Final = "TF_VAR_"


class EnvironmentTree:
    """The files of one environment at head; implements `hcledit.source.SourceTree`.

    Args:
        environments: every environment at head, whose closures are compared.
    """

    def __init__(
        self, scan: ScanContext, settings: EnvironmentSettings, environments: Sequence[EnvironmentSettings]
    ) -> None:
        self._scan, self._settings, self._environments = scan, settings, environments

    def files(self, directory: str) -> Mapping[str, bytes]:
        """Every file directly in a directory, by its path from the repository's root."""
        tree = self._scan.repository.tree(self._scan.head)
        prefix = "" if directory in ("", ".") else f"{directory}/"
        paths = [path for path in tree if path.startswith(prefix) and "/" not in path[len(prefix) :]]
        paths = [path for path in paths if tree[path].mode in _FILE_MODES]
        contents = self._scan.repository.read([tree[path].object_id for path in paths])
        return {path: text for path, (_, text) in zip(paths, contents, strict=True)}

    def shared_with(self, path: str) -> tuple[str, ...]:
        """Names of the other environments whose closure has a file."""
        return tuple(name for name, files in self._closures.items() if path in files)

    @cached_property
    def _closures(self) -> Mapping[str, Mapping[str, str]]:
        others = [each for each in self._environments if each.name != self._settings.name]
        closures = {each.name: self._scan.closures.at(each, self._scan.head) for each in others}
        return {name: closure.files for name, closure in closures.items() if closure is not None}


@dataclass(frozen=True, slots=True)
class EngineFormatter:
    """The formatter of the environment's own Terraform; implements `hcledit.source.Formatter`."""

    engine: PlanEngine
    work: WorkingDirectory

    def formatted(self, text: bytes) -> bytes:
        """A file's text as the tool formats it; unchanged where it cannot be formatted."""
        return self.engine.formatted(self.work, text)


@dataclass(frozen=True, slots=True)
class Adopting:
    """Adopts one environment's reality; implements `ChoiceMaker`."""

    context: ProposalContext
    scan: ScanContext
    run: EnvironmentRun
    findings: Findings

    def choices(self) -> Choices:
        """The files that adopt reality, proven by a plan of their commit; or why there are none."""
        classification, document = self.findings.classification, self.findings.plan.document
        labels = frozenset[Label]().union(*(r.labels for r in classification.resources))
        if document is None or not labels & ADOPTABLE:
            return Choices()
        if labels & NOT_ADOPTABLE:
            return Choices(refused=("a failed apply left something behind, which no code can state",))
        adoption = adopt(tuple(_departures(document, classification.resources)), self._source())
        if adoption.refusals:
            return Choices(refused=_refusals(adoption))
        if not adoption.files:
            return Choices(refused=("nothing in the code states it",))
        files: dict[str, bytes | None] = dict(adoption.files)
        now = self.context.clock.now()
        commit = self.context.branches.commit(self.scan.head, files, "Reality as code, to be planned\n", now)
        why = self._not_clean(commit, document)
        return Choices(refused=(why,)) if why else Choices(adoption.files)

    def _source(self) -> EnvironmentSource:
        given = terraform_environment(self.run.settings.env, self.scan.environ)
        return EnvironmentSource(
            root=self.run.settings.path,
            var_files=self.run.settings.var_files,
            variables=frozenset(name.removeprefix(_VARIABLE) for name in given if name.startswith(_VARIABLE)),
            tree=EnvironmentTree(self.scan, self.run.settings, self.context.environments),
            formatter=EngineFormatter(self.run.engine, self.findings.plan.work),
            parser=self.context.parser,
        )

    def _not_clean(self, commit: str, before: PlanDocument) -> str | None:
        """Why a commit's plan is not what was there without the drift; None where it is."""
        closure = self.scan.closures.at(self.run.settings, commit)
        if closure is None:
            return "the environment would be gone"
        with ExitStack() as stack:
            try:
                work = checked_out(self.scan, replace(self.run, closure=closure), stack, commit=commit, role="adopt")
                user_directory = self.scan.user_directory(self.run.settings)
                plan = make_plan(self.run.engine, work, closure.init_key, user_directory=user_directory)
            except EnvironmentFault as fault:
                if fault.kind is ErrorKind.INTERRUPTED:
                    raise
                return f"the branch could not be planned: {mask(fault.message)}"
        if plan.document is None:
            return None
        known = {repr(fact) for fact in planned_facts(before)}
        new = [fact[0] for fact in planned_facts(plan.document) if repr(fact) not in known]
        outside = {r.address for r in self.findings.classification.resources if r.labels & ADOPTABLE}
        left = new or [fact[0] for fact in planned_facts(plan.document) if fact[0] in outside]
        return f"a plan of the branch would still change {', '.join(map(str, left[:3]))}" if left else None


def _refusals(adoption: Adoption) -> tuple[str, ...]:
    places = ((f"{r.path}:{r.line}: " if r.path and r.line else "", r) for r in adoption.refusals)
    return tuple(f"{place}{f'{r.address} {r.attribute}'.strip()}: {r.why}" for place, r in places)


def _departures(document: PlanDocument, resources: Sequence[ResourceChange]) -> Iterator[Departure]:
    """The resource instances that were changed outside Terraform, with all desired and all real values."""
    changes = {item.address: item.change for item in document.resource_changes if item.deposed is None}
    for resource in resources:
        outside = [a for a in resource.attributes if a.label in ADOPTABLE]
        change = changes.get(resource.address)
        if not outside or change is None:
            continue
        yield Departure(
            address=resource.address,
            type=resource.type,
            desired=decode(change.after),
            reality=decode(change.before),
            attributes=frozenset(_top(a.path) for a in outside if a.path),
            sensitive=frozenset(_top(a.path) for a in outside if a.sensitive),
        )


def _top(path: str) -> str:
    """The top-level attribute of a dotted path with indices."""
    return path.split(".", 1)[0].split("[", 1)[0]
