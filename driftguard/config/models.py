"""The keys of `driftguard.yaml`: names, types, defaults and meanings."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from driftguard.config import values as v
from driftguard.config.alerting import AgentSettings, AlertSettings
from driftguard.config.base import Model, or_off
from driftguard.config.data_types import DATA_TYPES
from driftguard.config.forge import Forge
from driftguard.config.ledger import LedgerSettings
from driftguard.config.platform import Tfe
from driftguard.config.probe import ProbeSettings
from driftguard.config.routes import Slack
from driftguard.config.web import WebSettings
from driftguard.config.workspaces import WorkspaceGlobs
from driftguard.model.ledger import MAX_LEASE

# The module part of a resource address, with keys that may themselves hold dots and brackets.
_MODULES: Final = r'(?:module\.[\w-]+(?:\[(?:[0-9]+|"(?:[^"\\]|\\.)*")\])?\.)*'


class Terraform(Model):
    """The Terraform that is run."""

    version: v.TerraformVersion = Field(
        default="auto",
        description="`auto`: what `.terraform-version`, `.opentofu-version`, `.tool-versions` or `mise.toml` nearest "
        "above the directory asks for, and every `required_version`. A version or a constraint replaces the files.",
    )

    refresh_modules: v.Duration = Field(
        default=timedelta(hours=6),
        description="Age at which a running agent asks again what floating modules and providers are now; a new "
        "process always asks.",
    )
    binary: v.Binary = Field(
        default="auto",
        description="`auto`: the product that the environment's own files ask for (version files, `.tofu` files, an "
        "`encryption` block, a lock file of OpenTofu's registry, actions, `state_store`), else `terraform`, then "
        "`tofu`, from PATH, then the embedded one. `embedded`, the name of a program on PATH and an absolute path "
        "select one.",
    )


class Aws(Model):
    """AWS roles for Terraform. Without them Terraform uses the credentials of DriftGuard's process."""

    plan_role_arn: v.RoleArn | None = Field(default=None, description="The role assumed for plans.")
    apply_role_arn: v.RoleArn | None = Field(default=None, description="The role assumed for applies.")
    external_id: v.Text | None = Field(default=None, description="The external id that the roles require.")
    session_tags: v.TextMap = Field(default={}, description="Tags of the assumed session.", max_length=50)
    duration: v.Duration = Field(default=timedelta(hours=1), description="Duration of a session: 15m to 12h.")
    region: v.Text | None = Field(default=None, description="The region whose STS endpoint is used.")

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
    reason: v.Text | None = Field(default=None, description="The reason, shown beside each ignored difference.")
    until: v.Until | None = Field(default=None, description="End of the rule.")

    @property
    def name(self) -> str:
        """The rule as written: its address, and its path if it has one."""
        return f"{self.address} {self.path}" if self.path else self.address

    def matches(self, address: str, path: str) -> bool:
        """Whether the rule covers an attribute: the path itself, or one that lies below it."""
        if not v.pattern(self.address).fullmatch(address):
            return False
        return self.path is None or bool(v.pattern(self.path, after=r"(?:[.\[].*)?").fullmatch(path))

    def expired(self, on: date) -> bool:
        """Whether the rule has ended, on a day (from its first moment, UTC) or at an aware time."""
        moment = on if isinstance(on, datetime) else datetime.combine(on, time.min, UTC)
        return self.until is not None and moment > self.until


class Approval(Model):
    """The condition of an approved commit. An override replaces this section as a whole."""

    require: Literal["merged", "signed", "reviewed"] = Field(
        default="merged",
        description="`merged`: on the tracked branch. `signed`: also signed by a known signer. `reviewed`: also "
        "reviewed on the forge.",
    )
    signers: v.Text | None = Field(
        default=None,
        description="Allowed-signers file or keyring, outside the judged repository: an absolute path; in the "
        "operator's file also relative to that file.",
    )
    approvals: v.AtLeastOne = Field(default=1, description="Approving reviews required with `reviewed`.")
    code_owners: bool = Field(
        default=False,
        description="With `reviewed`: each CODEOWNERS rule that matches a changed file requires one of its owners.",
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
            v.refused("requires signed commits and needs `signers` beside it: the file of accepted signers")
        return self


class Limits(Model):
    """The limits of one automatic apply."""

    changes: v.Count = Field(default=50, description="Resources created, updated, replaced or destroyed.")
    destroys: v.Count = Field(default=0, description="Resources destroyed.")
    replaces: v.Count = Field(default=0, description="Resources replaced.")
    recreates: v.Count = Field(
        default=0,
        description="Data-bearing resources (databases, buckets, volumes, tables, queues, keys, file systems, log "
        "groups) that were deleted outside Terraform and would be created anew, empty.",
    )
    invocations: v.Count = Field(default=0, description="Actions invoked (Terraform 1.14 and later).")
    share: v.Share = Field(default=0.5, description="Changed resources as a share of the environment's.")


class Window(Model):
    """A period in which applies may start (`allow`) or may not (`deny`); exactly one of the two."""

    allow: v.Cron | None = Field(default=None, description="Cron expression of five fields: when it opens.")
    deny: v.Cron | None = Field(default=None, description="Cron expression of five fields: when it closes. Deny wins.")
    for_: v.Duration = Field(validation_alias="for", description="Duration of the window.")
    zone: v.Zone = Field(default="UTC", description="IANA time zone of the cron expression.")

    @model_validator(mode="after")
    def _one_of_allow_and_deny(self) -> Window:
        if (self.allow is None) == (self.deny is None):
            v.refused("needs exactly one of `allow` and `deny`")
        return self


class Suspended(Model):
    """Suspension: nothing is applied or proposed; scans and alerts continue."""

    reason: v.Text = Field(description="The reason, shown with every decision.")
    until: v.Until | None = Field(default=None, description="End of the suspension. Default: until the key is removed.")


class Flapping(Model):
    """The flapping limit: ends repeated reverts of the same drift."""

    reverts: v.AtLeastOne = Field(default=3, description="Reverts of the same drift ...")
    within: v.Duration = Field(
        default=timedelta(days=1), description="... within this time before it is held and alerted as `flapping`."
    )


class Backoff(Model):
    """The delay after a failed apply; doubles with each failure, reset by a new commit or `driftguard retry ENV`."""

    first: v.Duration = Field(default=timedelta(minutes=5), description="Delay after the first failure.")
    most: v.Duration = Field(default=timedelta(hours=6), description="Maximum delay.")

    @model_validator(mode="after")
    def _first_is_not_longer_than_most(self) -> Backoff:
        if self.first > self.most:
            v.refused(f"waits {v.duration_text(self.first)} first, which is longer than {v.duration_text(self.most)}")
        return self


class Policy(Model):
    """The action for each kind of change, and its conditions."""

    pending: Literal["alert", "apply", "propose"] = Field(
        default="alert", description="Action for merged changes that are not applied."
    )
    drift: Literal["alert", "revert", "propose"] = Field(
        default="alert", description="Action for changes made outside Terraform (`drift`, `absorbed`, `residue`)."
    )
    input: Literal["alert", "apply", "propose"] = Field(
        default="alert", description="Action for changes of a data source, a variable or a provider."
    )
    prefer: Literal["revert", "adopt"] = Field(
        default="revert", description="The proposal that is opened as a pull request."
    )
    approval: Approval = Field(default=Approval(), description="The condition of an approved commit.")
    limits: Limits = Field(
        default=Limits(), description="Limits of one automatic apply; above them the plan is on hold."
    )
    protect: tuple[v.Text, ...] = Field(
        default=(),
        description="Address or type globs, in any module, never destroyed, replaced or created anew automatically.",
    )
    data_types: tuple[v.Text, ...] = Field(
        default=(), description="Globs of further resource types that hold data, for `limits.recreates`."
    )
    windows: tuple[Window, ...] = Field(
        default=(), description="Periods in which applies may start. Default: at any time."
    )
    suspended: Suspended | None = Field(
        default=None, description="Suspends applies and proposals; an empty value ends the suspension."
    )
    flapping: Flapping = Field(default=Flapping(), description="Limit of repeated reverts of the same drift.")
    backoff: Backoff = Field(default=Backoff(), description="Delay after a failed apply.")
    lock_timeout: v.Duration = Field(
        default=timedelta(minutes=2), description="Time that an apply waits for the state lock."
    )
    lease: v.Duration = Field(
        default=timedelta(minutes=5), le=MAX_LEASE, description="Time until the lease of a crashed reconciler ends."
    )

    def holds_data(self, type_: str) -> bool:
        """Whether resources of a type hold data, by the built-in table or by `data_types`."""
        return any(v.pattern(glob).fullmatch(type_) for glob in (*DATA_TYPES, *self.data_types))

    def protecting(self, address: str, type_: str) -> str | None:
        """The first glob of `protect` that matches a resource, by type or by address in any module; or None."""
        for glob in self.protect:
            if v.pattern(glob).fullmatch(type_) or v.pattern(glob, before=_MODULES).fullmatch(address):
                return glob
        return None


class Records(Model):
    """Files of which each record makes an environment."""

    file: v.RepositoryPath = Field(
        description="Glob from the repository's root: JSON or YAML, an object each, or a list of objects."
    )
    name: v.RecordKey | None = Field(
        default=None, description="The key that names the environment. Default: the file's name without its ending."
    )


class Files(Model):
    """Files that are made before Terraform runs: generated providers, values from a bucket."""

    from_: v.AbsoluteFolder = Field(
        validation_alias="from",
        description="Absolute path of a folder whose files are copied into the environment's directory, over what is "
        "there.",
    )


class EnvironmentEntry(Model):
    """Directories that are environments, with overrides of the top level."""

    path: v.RepositoryPath = Field(description="Glob from the repository's root; each match is a root module.")
    exclude: tuple[v.RepositoryPath, ...] = Field(
        default=(), description="Globs of directories that this entry excludes."
    )
    name: v.EnvironmentName | None = Field(
        default=None, description="The environment's name. Default: the path below the glob's fixed part."
    )
    workspace: v.Workspace = Field(default="default", description="Terraform workspace.")
    workspaces: WorkspaceGlobs = Field(
        default=(),
        description="Workspaces: an environment each, called PATH/WORKSPACE. A glob such as `eu-*` stands for those "
        "that the backend lists, without `default`; where it cannot be listed, the environments are `unknown`.",
    )
    each: v.VarFileGlobs = Field(
        default=(),
        description="Globs of var files, relative to the directory: an environment each, called PATH/VAR_FILE; "
        "`{dir}` and `{path}` are filled in. `tfe`: "
        "every workspace that the `cloud` block selects by tags or project, or the backend `remote` by a prefix.",
    )
    from_: Records | None = Field(
        default=None, validation_alias="from", description="Files: an environment for each record, called PATH/NAME."
    )
    var_files: tuple[v.VarFile, ...] = Field(
        default=(), description="Var files or globs of them, relative to the environment's directory."
    )
    backend_config: v.BackendConfig = Field(
        default={}, repr=False, description="Settings of the backend, or files with them, for `terraform init`."
    )
    env: v.Variables = Field(
        default={},
        repr=False,
        description="Further environment variables for Terraform: names, or `NAME: value`.",
    )
    extra_files: tuple[v.RepositoryPath, ...] = Field(
        default=(), description="Globs from the repository's root of files that belong to the closure."
    )
    files: Files | None = Field(default=None, description="Operator's file only: files that are in no commit.")
    timeout: v.Duration = Field(default=timedelta(minutes=30), description="Maximum duration of one Terraform run.")
    owner: v.Text | None = Field(default=None, description="The team or person that the environment belongs to.")
    terraform: Terraform = Field(default=Terraform(), description="Overrides `terraform`.")
    policy: Policy = Field(default=Policy(), description="Overrides `policy`, key by key.")
    aws: Aws = Field(default=Aws(), description="Overrides `aws`, key by key.")
    tfe: Tfe = Field(default=Tfe(), description="Overrides `tfe`, key by key.")
    agent: AgentSettings = Field(default=AgentSettings(), description="Overrides `agent` for this environment.")


class Document(Model):
    """A whole `driftguard.yaml`."""

    version: Literal[1] = Field(default=1, description="The version of this format.")
    environments: tuple[EnvironmentEntry, ...] = Field(
        default=(EnvironmentEntry(path="environments/*"),),
        description="The environments. An entry that matches an environment overrides the top level for it; later "
        "entries win.",
    )
    terraform: Terraform = Field(default=Terraform(), description="The Terraform that is run.")
    concurrency: v.Concurrency = Field(
        default=None,
        description="Number of environments planned in parallel; `auto`: by processors and memory.",
        json_schema_extra={"default": "auto"},
    )
    ignore: tuple[IgnoreRule, ...] = Field(default=(), description="Differences that count as noise.")
    policy: Policy = Field(default=Policy(), description="The action for each kind of change, and its conditions.")
    aws: Aws = Field(default=Aws(), description="AWS roles of all environments.")
    tfe: Tfe = Field(default=Tfe(), description="HCP Terraform, Terraform Enterprise and servers like them.")
    ledger: LedgerSettings = Field(default=LedgerSettings(), description="The ledger, the durable record.")
    alerts: AlertSettings = Field(default=AlertSettings(), description="When alerts are sent, and to which sinks.")
    slack: Slack | None = Field(default=None, description="Alerts in Slack. Default: standard output.")
    probe: ProbeSettings = Field(
        default=ProbeSettings(),
        description="Looking at environments without plans; `off` plans each one.",
        json_schema_extra=or_off,
    )
    agent: AgentSettings = Field(default=AgentSettings(), description="The schedule of `driftguard agent`.")
    forge: Forge | None = Field(default=None, description="The forge that pull requests are opened on.")
    web: WebSettings = Field(default=WebSettings(), description="The web view of `driftguard serve`.")
    allow_env: tuple[v.Text, ...] = Field(
        default=(),
        description="Operator's file only: globs of variables that the repository's file may ask for.",
    )
    checkout_files: dict[v.Text, v.Text] = Field(
        default={},
        description="Operator's file only: further types whose object is a file of the checkout, as `local_file` is, "
        "with the attribute that holds its name.",
    )
    allow_hosts: tuple[v.Text, ...] = Field(
        default=(),
        description="Operator's file only: globs of hosts, besides the services' own, that tokens may go to and "
        "submodules may come from.",
    )


_MERGED: Final = (Policy, Limits, Aws, Terraform, Tfe)

AnyModel = TypeVar("AnyModel", bound=Model)


def overlay(base: AnyModel, over: AnyModel, *, leave: frozenset[str] = frozenset()) -> AnyModel:
    """`base` with every key written in `over`, but those in `leave`.

    `policy`, its `limits`, `aws`, `terraform`, `tfe` and plain mappings merge key by key; all else is replaced
    as a whole.
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
