"""One opened repository with its settings, environments and ledger: what every command starts from."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from types import TracebackType

from driftguard import config
from driftguard.adapters.aws.credentials import Credentials
from driftguard.adapters.aws.environmenttrail import EnvironmentTrail
from driftguard.adapters.aws.stamps import BackendStamps
from driftguard.adapters.defects import FolderDefects
from driftguard.adapters.folders import RunFolders, folder_name
from driftguard.adapters.git.locations import HostToken
from driftguard.adapters.git.repository import GitRepository, open_repository
from driftguard.adapters.givenfiles import FolderFiles
from driftguard.adapters.hcl.blobs import BlobReader
from driftguard.adapters.hcl.facts import CachingReader
from driftguard.adapters.hcl.parser import SourceParser
from driftguard.adapters.hcl.sources import HclConfigurationReader
from driftguard.adapters.machine import SystemClock, ThisMachine, default_parallelism
from driftguard.adapters.process import Stop
from driftguard.adapters.schemas import FolderSchemas
from driftguard.adapters.signatures import GitSignatures
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.terraform.engine import TerraformApplier, TerraformPlanner
from driftguard.adapters.terraform.toolbox import Toolbox
from driftguard.adapters.terraform.unwritten import FolderStates
from driftguard.adapters.terragrunt.reading import TerragruntUnits
from driftguard.adapters.tfe.platforms import Platforms
from driftguard.bootstrap.forge import ForgeAccess, open_forge, proposal_context
from driftguard.bootstrap.reading import ledger_url
from driftguard.bootstrap.sinks import ConfiguredSinks
from driftguard.bootstrap.target import Target
from driftguard.config import EnvironmentSettings, Settings
from driftguard.errors import DriftGuardError, EnvironmentFault
from driftguard.model import Baseline, Closure, EnvironmentResult, ErrorKind, ToolVersion
from driftguard.model.report import EnvironmentListing, ProbeCounts, RunReport
from driftguard.model.versions import VersionNeed
from driftguard.pipeline import history
from driftguard.pipeline.alert.guides import guidance_of, own_roles
from driftguard.pipeline.alert.notifying import Notifier, NotifyingPorts
from driftguard.pipeline.alert.outages import outage_sentences
from driftguard.pipeline.alert.routes import Routing
from driftguard.pipeline.alert.sending import AlertContext
from driftguard.pipeline.alert.tracing import Tracing, with_alerts
from driftguard.pipeline.apply.apply import ApplyContext
from driftguard.pipeline.approve.gather import ApprovalSources
from driftguard.pipeline.authorship import Authorship, EnvironmentAuthors
from driftguard.pipeline.checkout import ScanContext
from driftguard.pipeline.closures import ClosureIndex, described, not_described, version_need
from driftguard.pipeline.commitfiles import resolved
from driftguard.pipeline.confirming import Watching
from driftguard.pipeline.context import EnvironmentTask, Probing, RunContext
from driftguard.pipeline.owners import with_owners
from driftguard.pipeline.probing import differing
from driftguard.pipeline.propose.context import ProposalContext
from driftguard.pipeline.propose.journal import ProposalJournal
from driftguard.pipeline.requests import OperatorRequests, given_baselines, selected
from driftguard.pipeline.run import RunScope, run_environments, run_scope
from driftguard.pipeline.settings import SettingsIndex
from driftguard.pipeline.states import known_states
from driftguard.pipeline.workspaces import KnownWorkspaces, WorkspaceIndex, listed_workspaces
from driftguard.ports import Clock
from driftguard.probe.opening import OpenedProbe, open_probe
from driftguard.report import run_report
from driftguard.sealed import mask


class Session:
    """One opened repository with its settings at head; what every command starts from. Use it in a `with` block."""

    def __init__(self, target: Target, stop: Stop | None = None, token: HostToken | None = None) -> None:
        """Bring the repository up to date; `token` is `target.git_token()`, which an agent keeps for an hour."""
        self._stop = stop or Stop()
        self.environ = config.surroundings()
        self._directories = config.directories()
        self._defects = FolderDefects(self._directories.state / "defects")
        self._closing = ExitStack()
        self._location = target.repo
        cache, token = self._directories.cache, token or target.git_token()
        self.repository: GitRepository = open_repository(target.repo, cache, target.ref, token=token)
        self._closing.callback(self.repository.close)
        self.head = self.repository.head
        self.settings: Settings = target.load(self.repository.file(self.head, config.CONFIG_FILE))
        self.repository.allow(self.settings.allow_hosts)
        self.ledger_url = partial(ledger_url, self.settings, self._directories, self.environ, self.repository.display)
        self.notices = (*self.settings.notices, *self.repository.shortcomings)
        self._tools: dict[str, ToolVersion] = {}
        self.toolbox = Toolbox(self.environ)
        self._reader = CachingReader(cache / "repos" / f"{folder_name(self.repository.display)}.facts")
        self._closing.callback(self._reader.save)
        source, workspaces = str(target.config) if target.config else None, KnownWorkspaces()
        self.workspaces = WorkspaceIndex(workspaces, self._list_workspaces, lambda: self.ledger)
        index = SettingsIndex(self.repository, target.operator_text(), source, workspaces.of)
        reader = BlobReader(self.repository, self._reader)
        self.platforms = Platforms(self.repository, reader, self.head, self.environ, self._stop)
        self._closing.callback(self.platforms.close)
        credentials = Credentials("units", SystemClock(), self.environ)
        self._units = TerragruntUnits(self.repository, self.head, credentials, self.environ, cache, self._stop)
        self.closures = ClosureIndex(self.repository, reader, index, self.environ, FolderFiles(), self._units)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is held."""
        self._closing.close()

    # --- environments ---------------------------------------------------------------------------

    @cached_property
    def environments(self) -> tuple[EnvironmentSettings, ...]:
        """Every environment at head, sorted by name."""
        found = resolved(self.settings, self.repository, self.head, self.workspaces.asked)
        self.closures.settings.forget()
        return with_owners(found, self.repository.tree(self.head), partial(self.repository.file, self.head))

    def select(self, patterns: Sequence[str]) -> tuple[EnvironmentSettings, ...]:
        """The environments that match one of the names or globs, all without any; UsageError where one matches none."""
        return selected(self.environments, patterns, self.head)

    def describe(self, environments: Sequence[EnvironmentSettings]) -> list[EnvironmentListing]:
        """The environments as `driftguard environments --format json` prints them."""
        self.closures.prepare(environments, self.head)
        return [self._described(each) for each in environments]

    def _described(self, settings: EnvironmentSettings) -> EnvironmentListing:
        try:
            if settings.fault is not None:
                raise EnvironmentFault(ErrorKind.CONFIG, settings.fault)
            tool = self.tool(settings)  # first: what of the closure it reads depends on it
            return described(settings, self._closure_at_head(settings), tool)
        except EnvironmentFault as fault:
            return not_described(settings, fault.message)

    def _closure_at_head(self, settings: EnvironmentSettings) -> Closure:
        closure = self.closures.at(settings, self.head)
        assert closure is not None  # `select` gives environments of head
        remote = self.platforms.of(settings)
        return remote.closure(closure) if remote else closure

    def tool(self, settings: EnvironmentSettings) -> ToolVersion:
        """The Terraform of an environment. EnvironmentFault (`config`) where none here will do."""
        if settings.name not in self._tools:
            need = self.version_need(settings)
            variables = config.terraform_environment(settings.env, self.environ)
            remote = self.platforms.of(settings)
            chosen = self.toolbox.choose
            tool = remote.version if remote else chosen(settings.terraform.binary, need, settings.path, variables)
            self._tools[settings.name], self.closures.products[settings.name] = tool, tool.product
        return self._tools[settings.name]

    def version_need(self, settings: EnvironmentSettings) -> VersionNeed:
        """The Terraform that an environment needs at head."""
        return version_need(self.repository, settings, self._closure_at_head(settings))

    # --- the ledger -----------------------------------------------------------------------------

    @cached_property
    def ledger(self) -> SqlLedger:
        """The ledger that the settings name, by default one for this repository in the user's state folder."""
        ledger = open_ledger(self.ledger_url())
        self._closing.callback(ledger.close)
        return ledger

    @cached_property
    def _clock(self) -> Clock:
        return self.ledger.clock

    def requests(self) -> OperatorRequests:
        """What operators ask for."""
        return OperatorRequests(self.ledger, self._clock, self.environ.get("USER", ""))

    @cached_property
    def probe(self) -> OpenedProbe | None:
        """What looks at environments without plans; None where it is switched off or not installed."""
        return open_probe(
            self.settings.probe,
            self._directories.cache / "probe" / folder_name(self.repository.display),
            self.ledger.key(),
            stamps=BackendStamps(),
            repository=self.repository,
            clock=self._clock,
            closing=self._closing,
        )

    # --- a run ----------------------------------------------------------------------------------

    def run(
        self,
        environments: Sequence[EnvironmentSettings],
        *,
        acts: bool,
        baseline: str | None = None,
        noise: bool = False,
        probe: bool = False,
        on_done: Callable[[EnvironmentResult], None],
        write: Callable[[str], None] = print,
    ) -> RunReport:
        """One run over the environments; its report.

        Args:
            acts: apply what is approved, propose and alert; False changes nothing in the cloud or in git.
            probe: plan only what a probe finds changed, where the settings allow it.
            baseline: a commit to take as the last known-good one of all of them, instead of the ledger's.
            write: prints alerts where no other recipient is configured.
        """
        started = self._clock.now()
        run_id = f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        folders = RunFolders(self._directories.cache, self.repository.display, run_id, self._stop)
        self._closing.enter_context(closing(folders))
        record = self.ledger if acts else self.ledger.record
        journal = ProposalJournal(record, self._clock, run_id)
        (forge, lacking), credentials = self.forge(journal, write), Credentials(run_id, self._clock, self.environ)
        context = RunContext(
            run_id=run_id,
            scan=self.scan_context(credentials, started, noise),
            ledger=record,
            attempts=record.past_attempts,
            approvals=self._approval_sources(forge),
            proposals=journal,
            folders=folders,
            clock=self._clock,
            stop=self._stop,
            defects=self._defects,
            alert_settings=self.settings.alerts,
            retried=history.retried(self.ledger),
            approved_points=history.approved_points(self.ledger),
            silences=history.silences(self.ledger, started),
            given_baselines=self.given_baselines(environments, baseline) if baseline else {},
            states=known_states(self.ledger, [settings.name for settings in self.environments]),
            can_propose=forge is not None,
            probing=Probing(self.probe.probe, self.settings.probe.audit, looks=probe) if self.probe else None,
        )
        if acts:
            proposing = proposal_context(forge, self.ledger, self.environments, self._clock) if forge else None
            context = self._acting(context, proposing, credentials)
        result = run_environments(
            context,
            self._scope(environments, acts),
            started=started,
            parallelism=self.settings.concurrency or default_parallelism(),
            on_done=on_done,
            notifier=self.notifier(run_id, credentials, write) if acts else None,
            warnings=(*self.notices, *self.ledger.shortcomings, *(lacking if acts else self.outages())),
        )
        return with_alerts(run_report(result), self.ledger.alerts.standing(), context.silences)

    def outages(self) -> tuple[str, ...]:
        """One sentence for each sink that takes no alerts."""
        return outage_sentences(history.outages(self.ledger), Routing(self.settings.alerts, self.settings.slack))

    def _acting(self, context: RunContext, proposing: ProposalContext | None, credentials: Credentials) -> RunContext:
        apply = self._apply_context(context.run_id, credentials)
        return replace(context, alerts=self.ledger.alerts, proposing=proposing, apply=apply)

    def differing(self, watching: Watching) -> tuple[frozenset[str], ProbeCounts]:
        """The environments whose last plans stand no more, by a probe, and its figures."""
        if self.probe is None:
            return frozenset(), ProbeCounts()
        tasks, probe = self._scope(self.environments, acts=False).tasks, self.probe.probe
        with self._aside("watch") as aside:
            return differing(watching, probe, *aside, tasks, self.ledger, self._clock)

    @contextmanager
    def _aside(self, what: str) -> Iterator[tuple[ScanContext, RunFolders]]:
        """What it takes to look at environments outside of a run."""
        run_id = f"{what}-{secrets.token_hex(4)}"
        scan = self.scan_context(Credentials(run_id, self._clock, self.environ), self._clock.now(), noise=False)
        with closing(RunFolders(self._directories.cache, self.repository.display, run_id, self._stop)) as folders:
            yield scan, folders

    def _list_workspaces(self, base: EnvironmentSettings) -> tuple[str, ...]:
        if (remote := self.platforms.workspaces(base)) is not None:
            return remote
        engine = TerraformPlanner(self.tool(base), self._directories.cache / "plugins", self._stop)
        task = EnvironmentTask(base, self._closure_at_head(base), engine, None, self._stop)
        with self._aside("workspaces") as (scan, folders):
            return listed_workspaces(scan, folders, task, engine)

    def forge(self, journal: ProposalJournal, out: Callable[[str], None]) -> tuple[ForgeAccess | None, tuple[str, ...]]:
        """The configured forge; if it is not usable, the reasons, and the run continues without it."""
        if self.settings.forge is None:
            return None, ()
        try:
            return open_forge(self.settings.forge, self._location, self.repository, journal, self.environ, out), ()
        except DriftGuardError as error:
            return None, (f"Nothing is proposed, and no review is known: {mask(str(error))}",)

    def opened_forge(self) -> ForgeAccess:
        """The configured forge. DriftGuardError where there is none, or its credentials are missing."""
        forge, lacking = self.forge(ProposalJournal(self.ledger, self._clock, "doctor"), lambda text: None)
        if forge is None:
            raise DriftGuardError(" ".join(lacking) or "No `forge` is configured.")
        return forge

    def notifier(self, run_id: str, credentials: Credentials, write: Callable[[str], None]) -> Notifier:
        """What sends the alerts of a run and of earlier ones."""
        by_name = {settings.name: settings for settings in self.environments}
        values = {name: settings.placeholders for name, settings in by_name.items()}
        rules, routing = self.settings.alerts, Routing(self.settings.alerts, self.settings.slack, values)
        alerts, clock = self.ledger.alerts, self._clock
        authorship = Authorship(self.repository, self.repository, SourceParser(), self.head)
        roles = own_roles(self.environments)
        tracing = Tracing(
            run_id,
            alerts=alerts,
            journal=self.ledger,
            clock=clock,
            authors=EnvironmentAuthors(by_name, authorship),
            trail=EnvironmentTrail(by_name, credentials, self._stop, roles) if rules.trail else None,
            own_roles=roles,
        )
        sinks = ConfiguredSinks(routing, self.environ, clock, write, partial(history.channel_ids, self.ledger))
        guidance = guidance_of(self.environments, self.closures.programs, self.repository.ref, rules.runbook)
        return Notifier(
            AlertContext(run_id, self.repository.display, config.run_url(self.environ), routing, guidance),
            NotifyingPorts(alerts, alerts, self.ledger, self.ledger.leases, clock, self._stop, self._defects, sinks),
            tracing,
            renamed=history.renamed(self.ledger, self.environments),
        )

    def _scope(self, environments: Sequence[EnvironmentSettings], acts: bool) -> RunScope:
        self.closures.prepare(environments, self.head)
        task = partial(self.task, acts=acts)
        return run_scope(self.repository.display, self.repository.ref, environments, self.environments, task)

    def task(self, settings: EnvironmentSettings, acts: bool) -> EnvironmentTask:
        """One environment; a scan gets no program that could apply."""
        stop, tool, plugins = Stop(self._stop), self.tool(settings), self._directories.cache / "plugins"
        closure, remote = self._closure_at_head(settings), self.platforms.of(settings)
        if remote is not None:
            applier = remote.applier(stop) if acts else None
            engine = applier or remote.planner(stop)
            return EnvironmentTask(settings, closure, engine, applier, stop, watched=remote.watched)
        if closure.unit is not None:
            applier = self._units.applier(tool, plugins, stop, closure.unit) if acts else None
            engine = applier or self._units.planner(tool, plugins, stop, closure.unit)
            return EnvironmentTask(settings, closure, engine, applier, stop)
        listening = TerraformPlanner(tool, plugins, stop, self.probe.tap) if self.probe else None
        if not acts:
            return EnvironmentTask(settings, closure, TerraformPlanner(tool, plugins, stop), None, stop, listening)
        own = TerraformApplier(tool, plugins, stop)
        return EnvironmentTask(settings, closure, own, own, stop, listening)

    def scan_context(self, credentials: Credentials, now: datetime, noise: bool) -> ScanContext:
        """What the scans of a run share."""
        return ScanContext(
            repository=self.repository,
            head=self.head,
            user_root=self.repository.local_root,
            key=self.ledger.key(),
            ignore=tuple(rule for rule in self.settings.ignore if not rule.expired(now)),
            environ=self.environ,
            closures=self.closures,
            variables=credentials,
            noise=noise,
            configurations=HclConfigurationReader(self.settings.checkout_files),
            schemas=FolderSchemas(self._directories.cache / "schemas"),
        )

    def _apply_context(self, run_id: str, credentials: Credentials) -> ApplyContext:
        from driftguard.adapters.aws.statelock import S3StateLocks

        return ApplyContext(
            run_id=run_id,
            holder=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
            leases=self.ledger.leases,
            attempts=self.ledger.attempts,
            locks=S3StateLocks(),
            machine=ThisMachine(),
            variables=credentials,
            clock=self._clock,
            key=self.ledger.key(),
            head=self.repository,
            states=FolderStates(self._directories.state / "states"),
        )

    def _approval_sources(self, forge: ForgeAccess | None) -> ApprovalSources:
        signatures = GitSignatures(self.repository.mirror, self.environ.get("PATH", ""))
        return ApprovalSources(self.repository, self.closures.settings, signatures, forge.reviews if forge else None)

    def given_baselines(self, environments: Sequence[EnvironmentSettings], commit: str) -> dict[str, Baseline]:
        """See `requests.given_baselines`. UsageError where there is no such commit."""
        sha = self.repository.resolve(commit)
        return given_baselines(self.closures, environments, sha, self.tool, self._clock.now())
