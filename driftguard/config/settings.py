"""The settings of a run: the repository's file, the operator's file over it, and every environment resolved."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise, takewhile
from posixpath import basename, join, normpath
from typing import Final

from pydantic import ValidationError

from driftguard.config import reading
from driftguard.config.alerting import AgentSettings, AlertSettings, Slack
from driftguard.config.allowing import Allowed, permitted
from driftguard.config.forge import Forge
from driftguard.config.models import (
    Aws,
    Document,
    EnvironmentEntry,
    IgnoreRule,
    LedgerSettings,
    Policy,
    Terraform,
    overlay,
)
from driftguard.config.values import is_glob
from driftguard.errors import UsageError
from driftguard.sealed import looks_secret

# `find(include, exclude)`: the directories that match a glob of the first and none of the second.
Find = Callable[[Sequence[str], Sequence[str]], Sequence[str]]

_IDENTITY = frozenset({"path", "exclude", "name"})

CONFIG_FILE: Final = "driftguard.yaml"
"""The configuration, at the root of the repository."""


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """One environment, fully resolved.

    Attributes:
        path: its directory, from the repository's root; `.` for the root itself.
        var_files: relative to `path`; none leaves the repository.
        backend_config: settings by key, or files (absolute, or relative to `path`); may hold credentials.
        env: variables that Terraform may see besides the allow-list; None stands for the process's own value.
        extra_files: globs from the repository's root.
        timeout: maximum duration of one Terraform run.
        origin: file and line of its most specific entry, for messages.
        fault: why this environment cannot be planned, one sentence; the others are not concerned.
    """

    name: str
    path: str
    workspace: str
    var_files: tuple[str, ...]
    backend_config: Mapping[str, str] | tuple[str, ...] = field(repr=False)
    env: Mapping[str, str | None] = field(repr=False)
    extra_files: tuple[str, ...]
    timeout: timedelta
    policy: Policy
    aws: Aws
    terraform: Terraform
    agent: AgentSettings
    origin: str
    fault: str | None = None

    def digest(self) -> str:
        """Of what can change a plan, besides files: equal digests, the same plan of the same commit (hex, 64 digits).

        Values that look like credentials are left out: a new password is no change of what is planned.
        """
        backend = self.backend_config
        if isinstance(backend, Mapping):
            backend = {name: value for name, value in backend.items() if not looks_secret(name, value)}
        literals = {name: value for name, value in self.env.items() if not looks_secret(name, value)}
        parts = {
            "path": self.path,
            "workspace": self.workspace,
            "var_files": list(self.var_files),
            "extra_files": list(self.extra_files),
            "backend_config": backend,
            "env": literals,
            "roles": [self.aws.plan_role_arn, self.aws.apply_role_arn],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of `environments`, with the file and line it stands in."""

    written: EnvironmentEntry
    origin: str
    by_operator: bool = False
    implied: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What `load` gives: the top level, the operator's file already over the repository's.

    Attributes:
        source: what messages call the repository's file.
        found: whether the repository has that file.
        concurrency: number of environments planned in parallel; None is `auto`.
        policy, terraform, aws: of an environment that no entry overrides.
        allow_hosts: globs of further hosts that the operator lets tokens go to and submodules come from.
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
    agent: AgentSettings
    forge: Forge | None
    allow_hosts: tuple[str, ...]
    notices: tuple[str, ...]
    refused: tuple[str, ...]
    _repository: Document = field(repr=False)
    _operator: Document = field(repr=False)
    _entries: tuple[_Entry, ...] = field(repr=False)

    def resolve(self, find: Find) -> tuple[EnvironmentSettings, ...]:
        """Every environment of a commit, sorted by name.

        Args:
            find: gives the directories that hold Terraform files and match; called once for each entry.

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
            environments.extend(self._environments(directory, entries))
        environments.sort(key=lambda e: (e.name, e.path))
        faults.extend(_clashes(environments))
        faults.extend(fault for e in environments for fault in _unusable(e))
        if faults:
            raise UsageError("\n".join(faults))
        return tuple(environments)

    def _environments(self, directory: str, entries: list[_Entry]) -> Iterator[EnvironmentSettings]:
        """One environment for each name that the entries give, or a single one with the default name."""
        names: list[str | None] = list(dict.fromkeys(e.written.name for e in entries if e.written.name))
        for name in names or [None]:
            own = [e for e in entries if e.written.name in (None, name)]
            settings = self._merged(own)
            named = [e for e in own if e.written.name == name]
            given = name or _default_name(directory, entries[0].written.path)
            usable = _usable_name(directory, given)
            yield EnvironmentSettings(
                name=usable,
                path=directory,
                workspace=settings.workspace,
                var_files=settings.var_files,
                backend_config=settings.backend_config,
                env=settings.env,
                extra_files=settings.extra_files,
                timeout=settings.timeout,
                policy=settings.policy,
                aws=settings.aws,
                terraform=settings.terraform,
                agent=settings.agent,
                origin=(named or own)[-1].origin,
                fault=None if usable == given else _odd(directory),
            )

    def _merged(self, entries: list[_Entry]) -> EnvironmentEntry:
        """The keys of the entries for one environment, the operator's over the repository's."""
        layers = [entry.written for entry in entries if not entry.by_operator]
        settings = _layered(self._repository, layers, without_aws=gives_aws(self._operator))
        layers = [entry.written for entry in entries if entry.by_operator]
        return overlay(settings, _layered(self._operator, layers), leave=_IDENTITY)

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
    entries = []
    for number, entry in enumerate(repository.environments):
        line = repository_file.line(("environments", number))
        implied = "environments" not in repository.model_fields_set
        entries.append(_Entry(entry, f"{source}:{line}", implied=implied))
    if "environments" in operator.model_fields_set:
        for number, entry in enumerate(operator.environments):
            line = operator_file.line(("environments", number))
            entries.append(_Entry(entry, f"{operator_name}:{line}", by_operator=True))
    top = overlay(repository, operator, leave=frozenset({"environments"}))
    notices = list(refused)
    if {"allow_env", "allow_hosts"} & repository.model_fields_set:
        notices.append(f"{source}: `allow_env` and `allow_hosts` count in the operator's file only.")
    if gives_aws(operator):
        top = top.model_copy(update={"aws": operator.aws})
        if gives_aws(repository):
            notices.append(f"{source}: every `aws` in this file is ignored, because {operator_name} sets the roles.")
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
        agent=top.agent,
        forge=top.forge,
        allow_hosts=operator.allow_hosts,
        notices=tuple(notices),
        refused=refused,
        _repository=repository,
        _operator=operator,
        _entries=tuple(entries),
    )


def gives_aws(document: Document) -> bool:
    """Whether a file sets AWS roles, at the top level or for an environment."""
    return any("aws" in part.model_fields_set for part in (document, *document.environments))


def _layered(document: Document, entries: Sequence[EnvironmentEntry], *, without_aws: bool = False) -> EnvironmentEntry:
    """One file's keys for an environment: its top level, then its entries in order; only written keys are set."""
    top = {
        key: getattr(document, key)
        for key in ("terraform", "policy", "aws", "agent")
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
    return "/".join(directory.split("/")[len(fixed) :]) or basename(directory)


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


def _clashes(environments: list[EnvironmentSettings]) -> list[str]:
    faults = []
    names: dict[str, EnvironmentSettings] = {}
    states: dict[object, EnvironmentSettings] = {}
    for one in environments:
        backend = one.backend_config
        state = (one.path, one.workspace, tuple(sorted(backend.items())) if isinstance(backend, Mapping) else backend)
        if (other := names.setdefault(one.name, one)) is not one:
            faults.append(
                f"{one.origin}: two environments are called {one.name}: {other.path} ({other.origin}) and {one.path}; "
                "give one of them another `name`"
            )
        elif (other := states.setdefault(state, one)) is not one:
            faults.append(
                f"{one.origin}: {one.name} and {other.name} ({other.origin}) have the same directory {one.path}, "
                f"workspace {one.workspace} and backend configuration, so one state; expected another workspace"
            )
    return faults


def _usable_name(directory: str, name: str) -> str:
    """The name, or one made of it by which the environment can be reported where it cannot be called so."""
    try:
        EnvironmentEntry(path=directory, name=name)
    except ValidationError:
        readable = re.sub(r"[^A-Za-z0-9_./@+-]+", "_", name).strip("_-/")[:100]
        return f"{readable or 'environment'}-{hashlib.sha256(directory.encode(errors='replace')).hexdigest()[:6]}"
    return name


def _odd(directory: str) -> str:
    shown = reading.describe(directory)
    return (
        f"The directory {shown} cannot give its environment a name, so it is not planned. Write an entry with its "
        "`path` and a `name`, rename it, or exclude it."
    )


def _unusable(environment: EnvironmentSettings) -> list[str]:
    faults = []
    backend = () if isinstance(environment.backend_config, Mapping) else environment.backend_config
    for key, file in (*(("var_files", f) for f in environment.var_files), *(("backend_config", f) for f in backend)):
        if normpath(join(environment.path, file)).startswith("../"):
            faults.append(
                f"{environment.origin}: {key} of {environment.name} names {reading.describe(file)}, which leaves the "
                "repository; expected a file inside it"
            )
    return faults
