"""The keys of `driftguard.yaml`: names, types, defaults and what each is for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from driftguard.config import values as v
from driftguard.config.alerting import Agent, AlertSettings, Slack
from driftguard.config.base import Model
from driftguard.config.forge import Forge
from driftguard.errors import UsageError

# The module part of a resource address, with keys that may themselves hold dots and brackets.
_MODULES: Final = r'(?:module\.[\w-]+(?:\[(?:[0-9]+|"(?:[^"\\]|\\.)*")\])?\.)*'


class Terraform(Model):
    """Which Terraform is run."""

    binary: v.Binary = Field(
        default="auto",
        description="`auto` takes `terraform`, then `tofu`, from PATH, then the embedded one; `embedded` always takes "
        "that; or the name of a program on PATH, or an absolute path.",
    )


class Aws(Model):
    """AWS roles that Terraform works under; without them it sees the credentials of the surroundings."""

    plan_role_arn: v.RoleArn | None = Field(default=None, description="The role assumed for plans.")
    apply_role_arn: v.RoleArn | None = Field(default=None, description="The role assumed for applies.")
    external_id: v.Text | None = Field(default=None, description="The external id that the roles ask for.")
    session_tags: v.TextMap = Field(default={}, description="Tags of the assumed session.", max_length=50)
    duration: v.Duration = Field(default=timedelta(hours=1), description="How long a session lasts: 15m to 12h.")
    region: v.Text | None = Field(default=None, description="The region whose STS endpoint is asked.")

    @field_validator("duration")
    @classmethod
    def _as_long_as_aws_allows(cls, duration: timedelta) -> timedelta:
        if not timedelta(minutes=15) <= duration <= timedelta(hours=12):
            v.expected("a duration from 15m to 12h")
        return duration


class IgnoreRule(Model):
    """A difference that counts as noise. Never hides a delete or a replace."""

    address: v.Text = Field(
        description="Resource addresses: `*` is any text, dots and brackets included; brackets stand for themselves."
    )
    path: v.Text | None = Field(
        default=None, description="Attribute paths, such as `desired_count` or `tags.*`; without it every attribute."
    )
    reason: v.Text | None = Field(default=None, description="Why; shown beside what the rule hid.")
    until: v.Until | None = Field(default=None, description="When the rule stops to count.")

    @property
    def name(self) -> str:
        """The rule as the user wrote it: its address, and its path where there is one."""
        return f"{self.address} {self.path}" if self.path else self.address

    def matches(self, address: str, path: str) -> bool:
        """Whether the rule covers an attribute: the path itself, or one that lies below it."""
        if not v.pattern(self.address).fullmatch(address):
            return False
        return self.path is None or bool(v.pattern(self.path, after=r"(?:[.\[].*)?").fullmatch(path))

    def expired(self, on: date) -> bool:
        """Whether the rule no longer counts on a day (from its first moment, UTC) or at an aware time."""
        moment = on if isinstance(on, datetime) else datetime.combine(on, time.min, UTC)
        return self.until is not None and moment > self.until


class Approval(Model):
    """What makes a commit approved. One statement: an override replaces it as a whole."""

    require: Literal["merged", "signed", "reviewed"] = Field(
        default="merged",
        description="On the tracked branch; or also signed by a known signer; or also reviewed on the forge.",
    )
    signers: v.Text | None = Field(
        default=None,
        description="Allowed-signers file or keyring, outside the judged repository: an absolute path; in the "
        "operator's file also relative to that file.",
    )
    approvals: v.AtLeastOne = Field(default=1, description="Reviews needed with `reviewed`.")
    code_owners: bool = Field(
        default=False, description="With `reviewed`: each rule of CODEOWNERS that is touched needs one of its owners."
    )

    @field_validator("signers")
    @classmethod
    def _outside_the_repository(cls, signers: str | None, info: ValidationInfo) -> str | None:
        if signers is None or os.path.isabs(signers):
            return signers
        folder = (info.context or {}).get("folder")
        if folder is None:
            v.expected("an absolute path: signers come from outside the repository that they judge")
        return os.path.normpath(os.path.join(folder, signers))

    @model_validator(mode="after")
    def _signed_needs_signers(self) -> Approval:
        if self.require == "signed" and self.signers is None:
            v.refused(
                "requires signed commits and needs `signers` beside it: the file that says whose signature counts"
            )
        return self


class Limits(Model):
    """The most that one apply may do by itself."""

    changes: v.Count = Field(default=50, description="Resources created, updated, replaced or destroyed.")
    destroys: v.Count = Field(default=0, description="Resources destroyed.")
    replaces: v.Count = Field(default=0, description="Resources replaced.")
    share: v.Share = Field(default=0.5, description="Changed resources as a share of the environment's.")


class Window(Model):
    """A time in which applies may start (`allow`) or may not (`deny`); exactly one of the two."""

    allow: v.Cron | None = Field(default=None, description="Cron expression of five fields: when it opens.")
    deny: v.Cron | None = Field(default=None, description="Cron expression of five fields: when it closes. Deny wins.")
    for_: v.Duration = Field(validation_alias="for", description="How long it lasts from then.")
    zone: v.Zone = Field(default="UTC", description="IANA time zone of the cron expression.")

    @model_validator(mode="after")
    def _one_of_allow_and_deny(self) -> Window:
        if (self.allow is None) == (self.deny is None):
            v.refused("needs exactly one of `allow` and `deny`")
        return self


class Suspended(Model):
    """Nothing is applied or proposed; scans and alerts go on."""

    reason: v.Text = Field(description="Why; shown with every decision.")
    until: v.Until | None = Field(default=None, description="When it ends; without it, when the key is removed.")


class Flapping(Model):
    """The fuse of self-healing."""

    reverts: v.AtLeastOne = Field(default=3, description="The same drift reverted so often ...")
    within: v.Duration = Field(
        default=timedelta(days=1), description="... in this time is held and alerted as `flapping`."
    )


class Backoff(Model):
    """Waiting after a failed apply; doubles with each failure, resets on a new commit or `driftguard retry ENV`."""

    first: v.Duration = Field(default=timedelta(minutes=5), description="After the first failure.")
    most: v.Duration = Field(default=timedelta(hours=6), description="Never longer.")

    @model_validator(mode="after")
    def _first_is_not_longer_than_most(self) -> Backoff:
        if self.first > self.most:
            v.refused(f"waits {v.duration_text(self.first)} first, which is longer than {v.duration_text(self.most)}")
        return self


class Policy(Model):
    """What is done about a verdict."""

    pending: Literal["alert", "apply", "propose"] = Field(
        default="alert", description="About merged changes not applied yet."
    )
    drift: Literal["alert", "revert", "propose"] = Field(
        default="alert", description="About changes made outside (`drift`, `absorbed`, `residue`)."
    )
    input: Literal["alert", "apply", "propose"] = Field(
        default="alert", description="About changes that neither a commit nor anybody outside made."
    )
    prefer: Literal["revert", "adopt"] = Field(default="revert", description="The proposal opened as a pull request.")
    approval: Approval = Field(default=Approval(), description="What counts as approved.")
    limits: Limits = Field(default=Limits(), description="The most that one apply may do; above it waits for a person.")
    protect: tuple[v.Text, ...] = Field(
        default=(), description="Address or type globs, in any module, never destroyed or replaced automatically."
    )
    windows: tuple[Window, ...] = Field(default=(), description="When applies may start; none: at any time.")
    suspended: Suspended | None = Field(
        default=None, description="Nothing is applied or proposed; an empty value lifts it."
    )
    flapping: Flapping = Field(default=Flapping(), description="When healing the same drift again and again stops.")
    backoff: Backoff = Field(default=Backoff(), description="Waiting after a failed apply.")
    lock_timeout: v.Duration = Field(
        default=timedelta(minutes=2), description="How long an apply waits for the state lock."
    )
    lease: v.Duration = Field(
        default=timedelta(minutes=5), description="How long a reconciler that died keeps others from its environment."
    )

    def protecting(self, address: str, type_: str) -> str | None:
        """The first glob of `protect` that covers a resource, by type or by address in whatever module; or None."""
        for glob in self.protect:
            if v.pattern(glob).fullmatch(type_) or v.pattern(glob, before=_MODULES).fullmatch(address):
                return glob
        return None


class LedgerSettings(Model):
    """Where the durable record is kept; without it, SQLite in the state folder."""

    url: v.LedgerUrl | None = Field(
        default=None, description="`sqlite:///PATH`, `postgresql://HOST/DATABASE` (no password) or `s3://BUCKET/KEY`."
    )
    url_env: v.VariableName | None = Field(
        default=None, description="The environment variable that holds the URL instead."
    )

    @model_validator(mode="after")
    def _one_place(self) -> LedgerSettings:
        if self.url is not None and self.url_env is not None:
            v.refused("has both `url` and `url_env`; keep one")
        return self

    def resolve(self, environ: Mapping[str, str]) -> str | None:
        """The ledger's URL, which may hold a password; None for the default. UsageError when `url_env` is not set."""
        if self.url_env is None:
            return self.url
        if not environ.get(self.url_env):
            raise UsageError(
                f"The ledger's URL should stand in the environment variable {self.url_env} (ledger.url_env), which is "
                "not set; nothing was run. Set it, or take the key out of the configuration."
            )
        return environ[self.url_env]


class EnvironmentEntry(Model):
    """Directories that are environments, and what differs from the top level for them."""

    path: v.RepositoryPath = Field(description="Glob from the repository's root; each match is a root module.")
    exclude: tuple[v.RepositoryPath, ...] = Field(
        default=(), description="Globs of directories that this entry leaves out."
    )
    name: v.EnvironmentName | None = Field(
        default=None, description="The environment's name. Default: the path below the glob's fixed part."
    )
    workspace: v.Workspace = Field(default="default", description="Terraform workspace.")
    var_files: tuple[v.VarFile, ...] = Field(
        default=(), description="Var files, relative to the environment's directory."
    )
    backend_config: v.BackendConfig = Field(
        default={}, repr=False, description="Settings of the backend, or files with them, for `terraform init`."
    )
    env: v.Variables = Field(
        default={},
        repr=False,
        description="Further environment variables that Terraform sees: names, or `NAME: value`.",
    )
    extra_files: tuple[v.RepositoryPath, ...] = Field(
        default=(), description="Globs from the repository's root of files that belong to the closure."
    )
    timeout: v.Duration = Field(default=timedelta(minutes=30), description="The most that one Terraform run may take.")
    terraform: Terraform = Field(default=Terraform(), description="Overrides `terraform`.")
    policy: Policy = Field(default=Policy(), description="Overrides `policy`, key by key.")
    aws: Aws = Field(default=Aws(), description="Overrides `aws`, key by key.")
    agent: Agent = Field(default=Agent(), description="Overrides `agent` for this environment.")


class Document(Model):
    """A whole `driftguard.yaml`."""

    version: Literal[1] = Field(default=1, description="The version of this format.")
    environments: tuple[EnvironmentEntry, ...] = Field(
        default=(EnvironmentEntry(path="environments/*"),),
        description="What the environments are. An entry that matches an environment overrides the top level for it; "
        "later entries win.",
    )
    terraform: Terraform = Field(default=Terraform(), description="Which Terraform is run.")
    concurrency: v.Concurrency = Field(
        default=None,
        description="Environments at a time; `auto` goes by cores and memory.",
        json_schema_extra={"default": "auto"},
    )
    ignore: tuple[IgnoreRule, ...] = Field(default=(), description="Differences that count as noise.")
    policy: Policy = Field(default=Policy(), description="What is done about a verdict.")
    aws: Aws = Field(default=Aws(), description="AWS roles of all environments.")
    ledger: LedgerSettings = Field(default=LedgerSettings(), description="Where the durable record is kept.")
    alerts: AlertSettings = Field(default=AlertSettings(), description="When divergence is told.")
    slack: Slack | None = Field(default=None, description="Alerts in Slack; without it they go to standard output.")
    agent: Agent = Field(default=Agent(), description="When `driftguard agent` looks.")
    forge: Forge | None = Field(default=None, description="Where pull requests are opened; without it, nowhere.")


_MERGED: Final = (Policy, Limits, Aws, Terraform)

AnyModel = TypeVar("AnyModel", bound=Model)


def overlay(base: AnyModel, over: AnyModel, *, leave: frozenset[str] = frozenset()) -> AnyModel:
    """`base` with every key written in `over`, but those in `leave`.

    `policy`, its `limits`, `aws`, `terraform` and plain mappings merge key by key; all else is replaced as a whole.
    """
    update: dict[str, Any] = {}
    for key in over.model_fields_set - leave:
        old, new = getattr(base, key), getattr(over, key)
        if isinstance(new, _MERGED):
            new = overlay(old, new)
        elif isinstance(old, dict) and isinstance(new, dict):
            new = {**old, **new}
        update[key] = new
    return base.model_copy(update=update)
