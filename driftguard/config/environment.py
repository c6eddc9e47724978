"""One environment, fully resolved, and what can be wrong with it or with several of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from posixpath import join, normpath

from driftguard.config import reading
from driftguard.config.alerting import AgentSettings
from driftguard.config.models import Aws, Policy, Terraform
from driftguard.config.platform import Tfe
from driftguard.config.values import accepts
from driftguard.sealed import looks_secret


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
        files_from: absolute folder whose files are copied into `path`; None for none.
        owner: the team or person that it belongs to.
        elsewhere: files below `path` that only other environments name, from the repository's root.
        placeholders: what the placeholders of its texts stand for, by name; may hold credentials.
        approved_by_operator: whether the operator's file sets `policy.approval` for it.
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
    owner: str | None = None
    elsewhere: tuple[str, ...] = ()
    files_from: str | None = None
    approved_by_operator: bool = False
    placeholders: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    tfe: Tfe = field(default_factory=Tfe)

    @property
    def named_files(self) -> frozenset[str]:
        """The var files and backend files, from the repository's root."""
        backend = () if isinstance(self.backend_config, Mapping) else self.backend_config
        return frozenset(normpath(join(self.path, file)) for file in (*self.var_files, *backend) if file[:1] != "/")

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


def clashes(environments: list[EnvironmentSettings]) -> list[str]:
    """A sentence for each two environments that share a name or a state."""
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
        elif one.fault is None and (other := states.setdefault(state, one)) is not one:
            faults.append(
                f"{one.origin}: {one.name} and {other.name} ({other.origin}) have the same directory {one.path}, "
                f"workspace {one.workspace} and backend configuration, so one state; expected another workspace"
            )
    return faults


def usable_name(directory: str, name: str) -> str:
    """The name, or one made of it by which the environment can be reported where it cannot be called so."""
    if accepts("name", name):
        return name
    readable = re.sub(r"[^A-Za-z0-9_./@+-]+", "_", name).strip("_-/@+")[:100]
    return f"{readable or 'environment'}-{hashlib.sha256(directory.encode(errors='replace')).hexdigest()[:6]}"


def with_elsewhere(environments: list[EnvironmentSettings]) -> Iterator[EnvironmentSettings]:
    """The environments, each with the files that only others of the same directory name."""
    named: dict[str, set[str]] = {}
    for one in environments:
        named.setdefault(one.path, set()).update(one.named_files)
    for one in environments:
        others = named[one.path] - one.named_files
        yield replace(one, elsewhere=tuple(sorted(others))) if others else one


def wrong(environment: EnvironmentSettings, missing: Mapping[str, None], empty: str | None) -> str | None:
    """Why the values of an environment with its placeholders filled in cannot be used; None where they can."""
    origin = environment.origin
    if missing:
        return f"{origin}: no value for {{{next(iter(missing))}}}, so {environment.name} is not planned. Correct it."
    if empty is not None:
        return f"{origin}: `var_files` of {environment.name} matches no file: {reading.describe(empty)}."
    if not accepts("workspace", environment.workspace):
        return f"{origin}: {reading.describe(environment.workspace)} cannot be the name of a Terraform workspace."
    roles = (environment.aws.plan_role_arn, environment.aws.apply_role_arn)
    bad = next((arn for arn in roles if arn is not None and not accepts("role", arn)), None)
    return None if bad is None else f"{origin}: {reading.describe(bad)} is not the ARN of an IAM role."


def odd(directory: str) -> str:
    """Why a directory's environment is not planned whose name would not be one."""
    shown = reading.describe(directory)
    return (
        f"The directory {shown} cannot give its environment a name, so it is not planned. Write an entry with its "
        "`path` and a `name`, rename it, or exclude it."
    )


def unusable(environment: EnvironmentSettings) -> list[str]:
    """A sentence for each file outside of the repository."""
    faults = []
    backend = () if isinstance(environment.backend_config, Mapping) else environment.backend_config
    for key, file in (*(("var_files", f) for f in environment.var_files), *(("backend_config", f) for f in backend)):
        if normpath(join(environment.path, file)).startswith("../"):
            faults.append(
                f"{environment.origin}: {key} of {environment.name} names {reading.describe(file)}, which leaves the "
                "repository; expected a file inside it"
            )
    return faults
