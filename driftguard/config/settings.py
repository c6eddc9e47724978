"""The settings of a run: the repository's file, the operator's file over it, and every environment resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise, takewhile
from posixpath import basename
from typing import Final, Literal

from driftguard.config import reading
from driftguard.config.alerting import AgentSettings, AlertSettings
from driftguard.config.allowing import Allowed, permitted
from driftguard.config.environment import (
    EnvironmentSettings,
    clashes,
    odd,
    unusable,
    usable_name,
    with_elsewhere,
    wrong,
)
from driftguard.config.forge import Forge
from driftguard.config.generating import (
    CommitFiles,
    NoFiles,
    Placeholders,
    Variant,
    expanded,
    generates,
    variants,
)
from driftguard.config.ledger import LedgerSettings
from driftguard.config.models import Aws, Document, EnvironmentEntry, IgnoreRule, Policy, Terraform, overlay
from driftguard.config.notices import partly_protected, without_the_operator
from driftguard.config.placeholders import PLACEHOLDER
from driftguard.config.probe import ProbeSettings
from driftguard.config.routes import Slack, check_routes
from driftguard.config.values import is_glob
from driftguard.config.web import WebSettings
from driftguard.errors import UsageError
from driftguard.model.units import without_generated

# `find(include, exclude)`: the directories that match a glob of the first and none of the second.
Find = Callable[[Sequence[str], Sequence[str]], Sequence[str]]

_IDENTITY = frozenset({"path", "exclude", "name", "workspaces", "each", "from_"})

CONFIG_FILE: Final = "driftguard.yaml"
"""The configuration, at the root of the repository."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of `environments`, with the file and line it stands in."""

    written: EnvironmentEntry
    origin: str
    by_operator: bool = False
    implied: bool = False


@dataclass(frozen=True, slots=True)
class _Draft:
    """One environment of a directory, before its entries are merged."""

    name: str
    variant: Variant
    entries: list[_Entry]
    origin: str

    @property
    def name_is_written(self) -> bool:
        """Whether its name comes from an entry, a file or a record, not from its directory alone."""
        return bool(self.variant.parts) or any(entry.written.name for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Settings:
    """What `load` gives: the top level, the operator's file already over the repository's.

    Attributes:
        source: what messages call the repository's file.
        found: whether the repository has that file.
        concurrency: number of environments planned in parallel; None is `auto`.
        policy, terraform, aws: of an environment that no entry overrides.
        allow_hosts: globs of further hosts that the operator lets tokens go to and submodules come from.
        checkout_files: further types whose object is a file of the checkout, with the attribute of its name.
        notices: one sentence for each part of the repository's file that does not count.
        refused: those of them that require manual action: keys that the operator does not allow.
    """

    source: str
    found: bool
    concurrency: int | None
    terraform: Terraform
    ignore: tuple[IgnoreRule, ...]
    policy: Policy
    aws: Aws
    ledger: LedgerSettings
    alerts: AlertSettings
    slack: Slack | None
    probe: ProbeSettings
    agent: AgentSettings
    forge: Forge | None
    web: WebSettings
    allow_hosts: tuple[str, ...]
    checkout_files: Mapping[str, str]
    notices: tuple[str, ...]
    refused: tuple[str, ...]
    _repository: Document = field(repr=False)
    _operator: Document = field(repr=False)
    _entries: tuple[_Entry, ...] = field(repr=False)

    def resolve(self, find: Find, files: CommitFiles | None = None) -> tuple[EnvironmentSettings, ...]:
        """Every environment of a commit, sorted by name.

        Args:
            find: gives the directories that hold Terraform files and match; called once for each entry.
            files: the commit's files, for globs of var files and for `from`.

        Raises:
            UsageError: an entry matches nothing, two environments share a name or a state, a file lies outside.
        """
        matches: dict[str, list[_Entry]] = {}
        faults = []
        for entry in self._entries:
            directories = find([entry.written.path], list(entry.written.exclude))
            if not directories and not entry.implied:
                faults.append(
                    f"{entry.origin}: `path: {entry.written.path}` matches no directory that holds Terraform files "
                    "(*.tf, *.tf.json), expected at least one; correct the path or remove the entry"
                )
            for directory in directories:
                matches.setdefault(directory, []).append(entry)
        if not matches and not faults:
            faults.append(self._nothing_found())
        environments: list[EnvironmentSettings] = []
        for directory, entries in sorted(matches.items()):
            faults.extend(_ambiguous(directory, entries))
            drafts = self._drafts(directory, entries, files or NoFiles())
            environments.extend(self._environment(directory, draft, files or NoFiles()) for draft in drafts)
        environments = sorted(with_elsewhere(environments), key=lambda e: (e.name, e.path))
        faults.extend(clashes(environments))
        faults.extend(fault for e in environments if e.fault is None for fault in unusable(e))
        if faults:
            raise UsageError("\n".join(faults))
        return tuple(environments)

    def without_memo(self) -> Settings:
        """The same settings with `probe.memo` switched off."""
        return replace(self, probe=self.probe.model_copy(update={"memo": False}))

    def _drafts(self, directory: str, entries: list[_Entry], files: CommitFiles) -> Iterator[_Draft]:
        """The environments of a directory: those that entries generate, those that they name, or a single one."""
        plain = [e for e in entries if not generates(e.written)]
        given = {id(e): self._given_name(directory, e, plain) for e in plain if e.written.name}
        made = list(self._generated(directory, entries, given, files))
        yield from made
        default = _default_name(directory, entries[0].written.path)
        yield from _named_drafts(plain, given, {draft.name for draft in made}, default)

    def _given_name(self, directory: str, entry: _Entry, plain: list[_Entry]) -> str:
        """The name that an entry writes for one environment, with its placeholders filled in."""
        nameless = [e for e in plain if not e.written.name or e is entry]
        fill = Placeholders(directory, Variant())
        fill.set("workspace", fill.workspace(self._merged(nameless).workspace))
        return fill.text(entry.written.name or "")

    def _generated(
        self, directory: str, entries: list[_Entry], given: Mapping[int, str], files: CommitFiles
    ) -> Iterator[_Draft]:
        """The environments that entries generate by workspaces, var files or records."""
        for entry in (e for e in entries if generates(e.written)):
            nameless = [e for e in entries if not generates(e.written) and id(e) not in given]
            shared = [e for e in entries if e is entry or e in nameless]
            bare = _Draft(_default_name(directory, entry.written.path), Variant(), shared, entry.origin)
            base = partial(self._environment, directory, bare, files)
            for variant in variants(entry.written, entry.origin, directory, files, base):
                name = self._name_of(directory, entry, variant, shared)
                own = [e for e in entries if e in shared or given.get(id(e)) == name]
                origin = entry.origin if variant.source is None else f"{entry.origin} ({variant.source})"
                yield _Draft(name, variant, own, origin)

    def _name_of(self, directory: str, entry: _Entry, variant: Variant, shared: list[_Entry]) -> str:
        """The name of a generated environment: the entry's with placeholders, or the path's and what varies."""
        if entry.written.name is not None:
            fill = Placeholders(directory, variant)
            fill.set("workspace", fill.workspace(variant.workspace or self._merged(shared).workspace))
            return fill.text(entry.written.name)
        path = _default_name(directory, entry.written.path)
        return "/".join([*([] if directory == "." and variant.parts else [path]), *variant.parts])

    def _environment(self, directory: str, draft: _Draft, files: CommitFiles) -> EnvironmentSettings:
        """One environment, with its entries merged and its placeholders filled in."""
        settings, fill = self._merged(draft.entries), Placeholders(directory, draft.variant)
        usable = usable_name(directory, draft.name)
        workspace = fill.workspace(draft.variant.workspace or settings.workspace)
        fill.set("workspace", workspace)
        fill.set("name", usable)
        named = {glob: expanded(glob, directory, files) for glob in fill.texts(settings.var_files)}
        own = () if draft.variant.var_file is None else (draft.variant.var_file,)
        backend, aws = settings.backend_config, fill.roles(settings.aws)
        environment = EnvironmentSettings(
            name=usable,
            path=directory,
            workspace=workspace,
            var_files=tuple(dict.fromkeys((*(file for found in named.values() for file in found), *own))),
            backend_config=fill.mapping(backend) if isinstance(backend, Mapping) else fill.texts(backend),
            env=fill.variables(settings.env),
            extra_files=fill.texts(settings.extra_files),
            timeout=settings.timeout,
            policy=settings.policy,
            aws=aws,
            terraform=settings.terraform,
            agent=settings.agent,
            origin=draft.origin,
            owner=settings.owner,
            files_from=fill.text(settings.files.from_) if settings.files else None,
            approved_by_operator=self._operators_approval(draft.entries),
            tfe=settings.tfe,
            placeholders=fill.values,
        )
        strange = None if usable == draft.name else _strange(directory, draft)
        empty = next((glob for glob, found in named.items() if not found), None)
        fault = draft.variant.fault or strange or wrong(environment, fill.missing, empty)
        return replace(environment, fault=fault or _outside(environment, settings))

    def _merged(self, entries: list[_Entry]) -> EnvironmentEntry:
        """The keys of the entries for one environment, the operator's over the repository's."""
        layers = [entry.written for entry in entries if not entry.by_operator]
        settings = _layered(self._repository, layers, without_aws=gives_aws(self._operator))
        layers = [entry.written for entry in entries if entry.by_operator]
        return overlay(settings, _layered(self._operator, layers), leave=_IDENTITY)

    def _operators_approval(self, entries: list[_Entry]) -> bool:
        """Whether the operator's file sets the approval of an environment with these entries."""
        written = [self._operator.policy, *(entry.written.policy for entry in entries if entry.by_operator)]
        return any("approval" in policy.model_fields_set for policy in written)

    def written_by(self, key: str) -> Literal["operator", "repository"] | None:
        """Which file sets a key of the top level, the operator's first; None where neither does."""
        if key in self._operator.model_fields_set:
            return "operator"
        return "repository" if key in self._repository.model_fields_set else None

    @property
    def roles_by_operator(self) -> bool:
        """Whether the operator's file sets the AWS roles, so that no commit chooses them."""
        return gives_aws(self._operator)

    def _nothing_found(self) -> str:
        looked = "No directory that holds Terraform files (*.tf, *.tf.json) matches `environments/*`"
        if self.found:
            return f"{self.source}:1: {looked}, the default; list them under `environments`"
        return (
            f"{looked}, and {self.source} does not exist. Nothing was run. `driftguard init` writes one with the "
            "environments found."
        )


def load(
    text: bytes | None,
    *,
    source: str,
    operator_text: bytes | None = None,
    operator_source: str | None = None,
) -> Settings:
    """Read and check the configuration.

    Args:
        text: the repository's file at the tracked commit; None when it has none.
        source: what messages call that file, such as `driftguard.yaml`.
        operator_text: the operator's own file (`--config`); its keys win over the repository's.
        operator_source: that file's path; relative `signers` in it stand against its folder.

    Raises:
        UsageError: one line for every error, each with file, line, key, what was found and what is expected.
    """
    repository, repository_file = reading.read(text or b"", source, None)
    operator_name = operator_source or "operator's file"
    operator, operator_file = reading.read(operator_text or b"", operator_name, reading.folder_of(operator_name))
    allowed = Allowed(operator.allow_env, operator.allow_hosts) if operator_text is not None else None
    repository, refused = permitted(repository, operator, source, allowed)
    by_operator = _written(operator, operator_file, operator_name, by_operator=True)
    top = overlay(repository, operator, leave=frozenset({"environments"}))
    notices = [*refused, *partly_protected(repository, operator, source), *without_the_operator(repository, source)]
    if gives_aws(operator):
        top = top.model_copy(update={"aws": operator.aws})
        if gives_aws(repository):
            notices.append(f"{source}: every `aws` in this file is ignored, because {operator_name} sets the roles.")
    check_routes(top.alerts.routes, top.slack, source)
    return Settings(
        source=source,
        found=text is not None,
        concurrency=top.concurrency,
        terraform=top.terraform,
        ignore=top.ignore,
        policy=top.policy,
        aws=top.aws,
        ledger=top.ledger,
        alerts=top.alerts,
        slack=top.slack,
        probe=top.probe,
        agent=top.agent,
        forge=top.forge,
        web=top.web,
        allow_hosts=operator.allow_hosts,
        checkout_files=operator.checkout_files,
        notices=tuple(notices),
        refused=refused,
        _repository=repository,
        _operator=operator,
        _entries=(*_written(repository, repository_file, source), *by_operator),
    )


def _written(
    document: Document, file: reading.ConfigurationText, name: str, *, by_operator: bool = False
) -> tuple[_Entry, ...]:
    """The entries of a file, or the repository's own default, each with where it stands."""
    given = "environments" in document.model_fields_set
    if by_operator and not given:
        return ()
    lines = [file.line(("environments", number)) for number in range(len(document.environments))]
    return tuple(
        _Entry(entry, f"{name}:{line}", by_operator=by_operator, implied=not given)
        for entry, line in zip(document.environments, lines, strict=True)
    )


def _strange(directory: str, draft: _Draft) -> str:
    """Why an environment is not planned whose name would not be one."""
    if left := PLACEHOLDER.search(draft.name):
        return f"{draft.origin}: no value for {left[0]} in `name`, so {directory} is not planned. Correct it."
    if draft.name_is_written:
        shown = reading.describe(draft.name)
        return f"{draft.origin}: {shown} cannot be the name of an environment, so it is not planned. Correct it."
    return odd(directory)


def _outside(environment: EnvironmentSettings, written: EnvironmentEntry) -> str | None:
    """The first file outside of the repository that the value of a placeholder names; that faults no other one."""
    backend = () if isinstance(written.backend_config, Mapping) else written.backend_config
    varies = any(PLACEHOLDER.search(text) for text in (*written.var_files, *backend))
    return next(iter(unusable(environment)), None) if varies else None


def gives_aws(document: Document) -> bool:
    """Whether a file sets AWS roles, at the top level or for an environment."""
    return any("aws" in part.model_fields_set for part in (document, *document.environments))


def _layered(document: Document, entries: Sequence[EnvironmentEntry], *, without_aws: bool = False) -> EnvironmentEntry:
    """One file's keys for an environment: its top level, then its entries in order; only written keys are set."""
    top = {
        key: getattr(document, key)
        for key in ("terraform", "policy", "aws", "tfe", "agent")
        if key in document.model_fields_set
    }
    layered = EnvironmentEntry(path=".", **top)
    for entry in entries:
        layered = overlay(layered, entry, leave=_IDENTITY)
    if without_aws:
        return layered.model_copy(update={"aws": Aws()})
    return layered


def _default_name(directory: str, path: str) -> str:
    """The path below the fixed part of the entry's glob; of a plain path, its last part."""
    if not is_glob(path):
        return "root" if directory == "." else basename(directory)
    fixed = list(takewhile(lambda part: not is_glob(part), path.split("/")))
    return "/".join(without_generated(directory).split("/")[len(fixed) :]) or basename(directory)


def _ambiguous(directory: str, entries: list[_Entry]) -> list[str]:
    """Two plain entries for one directory with different workspaces, one of them nameless: which one is meant?"""
    exact = [e for e in entries if not is_glob(e.written.path) and "workspace" in e.written.model_fields_set]
    for before, after in pairwise(exact):
        differ = before.written.workspace != after.written.workspace
        if differ and (before.written.name is None or after.written.name is None):
            return [
                f"{after.origin}: {directory} has another workspace here than in {before.origin}, expected "
                "a `name` in both entries, so that they are two environments, or one entry"
            ]
    return []


def _named_drafts(plain: list[_Entry], given: Mapping[int, str], taken: set[str], default: str) -> Iterator[_Draft]:
    """The environments that entries name, besides generated ones; a single one where there is none at all."""
    names: list[str | None] = [name for name in dict.fromkeys(given.values()) if name not in taken]
    for named in names or ([] if taken else [None]):
        own = [e for e in plain if given.get(id(e)) in (None, named)]
        origins = [e.origin for e in own if given.get(id(e)) == named] or [e.origin for e in own]
        yield _Draft(named or default, Variant(), own, origins[-1])
