"""One opened repository with its settings, environments and ledger: what every command starts from."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property, partial
from types import TracebackType
from typing import Any

from driftguard import config
from driftguard.adapters.folders import RunFolders, folder_name
from driftguard.adapters.git.repository import GitRepository, open_repository
from driftguard.adapters.hcl.blobs import BlobReader
from driftguard.adapters.hcl.facts import CachingReader
from driftguard.adapters.hcl.parser import SourceParser
from driftguard.adapters.machine import environments_at_a_time
from driftguard.adapters.process import Stop
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.adapters.terraform.engine import TerraformEngine
from driftguard.adapters.terraform.tool import find_tool
from driftguard.bootstrap import records
from driftguard.bootstrap.authority import authority
from driftguard.bootstrap.credentials import Credentials
from driftguard.bootstrap.forge import ForgeAccess, open_forge, proposal_context
from driftguard.bootstrap.origins import EnvironmentAuthors, EnvironmentTrail
from driftguard.bootstrap.reading import CONFIG_FILE, ledger_url
from driftguard.bootstrap.sinks import ConfiguredSinks
from driftguard.bootstrap.target import Target
from driftguard.bootstrap.unjudged import incomplete, removed
from driftguard.config import EnvironmentSettings, Settings
from driftguard.errors import DriftGuardError, EnvironmentFault, UsageError
from driftguard.model import (
    Baseline,
    Closure,
    Entry,
    EntryKind,
    EnvironmentResult,
    ErrorKind,
    RunResult,
    ToolVersion,
)
from driftguard.model.report import AlertCounts
from driftguard.pipeline import discover
from driftguard.pipeline.alert.notifying import Notifier, NotifyingPorts
from driftguard.pipeline.alert.routing import Routing
from driftguard.pipeline.alert.sending import AlertContext
from driftguard.pipeline.alert.tracing import Tracing
from driftguard.pipeline.approve.approval_file import APPROVALS
from driftguard.pipeline.authorship import Authorship
from driftguard.pipeline.propose.environment import close_left_behind
from driftguard.pipeline.propose.journal import ProposalJournal
from driftguard.pipeline.run import Folders, Pass, Place, Scene, recorded, run_pass
from driftguard.pipeline.scan import closure_hash
from driftguard.report import run_json
from driftguard.sealed import mask


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Session:
    """One opened repository with its settings at head; what every command starts from. Use it in a `with` block."""

    def __init__(self, target: Target, stop: Stop | None = None) -> None:
        self._stop = stop or Stop()
        self._clock = SystemClock()
        self.environ = config.surroundings()
        self._directories = config.directories()
        self._closing = ExitStack()
        self._location = target.repo
        self.repository: GitRepository = open_repository(target.repo, self._directories.cache, target.ref)
        self.head = self.repository.head
        self.settings: Settings = config.load(
            self.repository.file(self.head, CONFIG_FILE),
            source=CONFIG_FILE,
            operator_text=target.operator_text(),
            operator_source=str(target.config) if target.config else None,
        )
        self.repository.submodules.allow_hosts = self.settings.allow_hosts
        self.notices = self.settings.notices
        self._tools: dict[str, ToolVersion] = {}
        self._reader = CachingReader(
            self._directories.cache / "repos" / f"{folder_name(self.repository.display)}.facts"
        )
        self._closing.callback(self._reader.save)
        self._closures: dict[str, discover.Closures] = {}
        self._closure_lock = threading.Lock()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the session holds."""
        self._closing.close()

    # --- environments ---------------------------------------------------------------------------

    @cached_property
    def environments(self) -> tuple[EnvironmentSettings, ...]:
        """Every environment at head, sorted by name."""
        return self.settings.resolve(partial(discover.find, self.repository.tree(self.head)))

    def select(self, patterns: Sequence[str]) -> tuple[EnvironmentSettings, ...]:
        """The environments that match one of the names or globs; all without any.

        Raises:
            UsageError: one of them matches nothing.
        """
        names = [environment.name for environment in self.environments]
        unmatched = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]
        if unmatched:
            raise UsageError(
                f"no environment is called {', '.join(unmatched)} at {self.head[:10]}; there are: {', '.join(names)}."
            )
        wanted = patterns or ["*"]
        return tuple(e for e in self.environments if any(fnmatchcase(e.name, pattern) for pattern in wanted))

    def closure_at(self, settings: EnvironmentSettings, commit: str) -> Closure | None:
        """The environment's closure at a commit; None where its directory did not exist then."""
        backend = settings.backend_config
        with self._closure_lock:
            if commit not in self._closures:
                reader = BlobReader(self.repository, self._reader)
                tree, missing = self.repository.tree(commit), self.repository.missing(commit)
                self._closures[commit] = discover.Closures(tree, reader, APPROVALS, missing)
            return self._closures[commit].closure(
                settings.path,
                var_files=settings.var_files,
                extra_files=settings.extra_files,
                files=() if isinstance(backend, Mapping) else [f for f in backend if not f.startswith("/")],
                workspace=settings.workspace,
                variables=config.terraform_variables(settings.env, self.environ),
            )

    def describe(self, environments: Sequence[EnvironmentSettings]) -> list[dict[str, Any]]:
        """The environments as `driftguard environments --format json` prints them."""
        listed = []
        for settings in environments:
            closure = self._closure_at_head(settings)
            listed.append(
                {
                    "name": settings.name,
                    "path": settings.path,
                    "workspace": settings.workspace,
                    "closure_hash": closure_hash(closure, settings, self._tool(settings)),
                    "tool": str(self._tool(settings)),
                    "modules": list(closure.modules),
                    "remote_sources": list(closure.remote_sources),
                    "files": dict(closure.files),
                    "closure_open": list(closure.open),
                    "warnings": list(closure.warnings),
                }
            )
        return listed

    def _closure_at_head(self, settings: EnvironmentSettings) -> Closure:
        closure = self.closure_at(settings, self.head)
        assert closure is not None  # `select` gives environments of head
        return closure

    def _tool(self, settings: EnvironmentSettings) -> ToolVersion:
        binary = settings.terraform.binary
        if binary not in self._tools:
            self._tools[binary] = find_tool(binary, self.environ.get("PATH", ""))
        return self._tools[binary]

    # --- the ledger -----------------------------------------------------------------------------

    @cached_property
    def ledger(self) -> SqlLedger:
        """The ledger that the settings name, by default one for this repository in the user's state folder."""
        ledger = open_ledger(ledger_url(self.settings, self._directories, self.environ, self.repository.display))
        self._closing.callback(ledger.close)
        return ledger

    def retry(self, patterns: Sequence[str]) -> list[str]:
        """Journal that failures of the environments are forgiven; their names."""
        names = [settings.name for settings in self.select(patterns)]
        self._journal(EntryKind.RETRY_REQUESTED, names)
        return names

    def forget(self, patterns: Sequence[str]) -> list[str]:
        """Journal that removed environments are not to be reported any more; their names.

        Raises:
            UsageError: a pattern matches no removed environment.
        """
        removed = sorted(self._removed())
        names = [name for name in removed if any(fnmatchcase(name, pattern) for pattern in patterns)]
        unmatched = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in removed)]
        if unmatched:
            raise UsageError(
                f"no removed environment is called {', '.join(unmatched)}; removed: {', '.join(removed) or 'none'}."
            )
        self._journal(EntryKind.ENVIRONMENT_FORGOTTEN, names)
        return names

    def _journal(self, kind: EntryKind, names: Sequence[str]) -> None:
        now, who = self._clock.now(), self.environ.get("USER", "")
        self.ledger.append(*(Entry(kind, now, "by-hand", name, {"by": who}) for name in names))

    def _removed(self) -> dict[str, Entry]:
        return records.removed(self.ledger, self.environments)

    # --- a pass ---------------------------------------------------------------------------------

    def run(
        self,
        environments: Sequence[EnvironmentSettings],
        *,
        acts: bool,
        baseline: str | None = None,
        noise: bool = False,
        on_done: Callable[[EnvironmentResult], None],
        say: Callable[[str], None] = print,
    ) -> dict[str, Any]:
        """One pass over the environments, as the contract's JSON report.

        Args:
            acts: apply what is approved and tell divergence; False changes nothing in the cloud or in git.
            baseline: a commit to take as the last known-good one of all of them, instead of the ledger's.
            say: prints alerts where no other place for them is configured.
        """
        started = self._clock.now()
        run_id = f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        folders = self._closing.enter_context(closing(RunFolders(self._directories.cache, run_id, self._stop)))
        places, unplaced = self._places(environments, folders)
        journal = ProposalJournal(self.ledger, self._clock, run_id)
        forge, lacking = self.forge(journal, say)
        proposing = proposal_context(forge, self.ledger, self.environments, self._clock) if forge else None
        credentials = Credentials(run_id, self._clock, self.environ)
        plan_variables = credentials.variables_for("plan")
        one_pass = Pass(
            run_id=run_id,
            scene=self._scene(noise, started, plan_variables),
            ledger=self.ledger,
            alerts=self.ledger.alerts if acts else None,
            alert_settings=self.settings.alerts,
            proposing=proposing,
            journal=journal,
            authority=authority(
                self.repository,
                self.ledger,
                self.environ,
                closure_at=self.closure_at,
                apply_environment_of=credentials.variables_for("apply"),
                acts=acts,
                reviews=forge.reviews if forge else None,
            ),
            clock=self._clock,
            given_baselines=self._given([place.settings for place in places], baseline) if baseline else {},
            stopping=lambda: self._stop.requested,
        )
        names = [settings.name for settings in environments]
        facts = {"commit": self.head, "ref": self.repository.ref, "repository": self.repository.display}
        self.ledger.append(Entry(EntryKind.RUN_STARTED, started, run_id, None, {**facts, "environments": names}))
        reports = run_pass(
            one_pass,
            places,
            at_a_time=self.settings.concurrency or environments_at_a_time(),
            on_done=on_done,
        )
        for unknown in unplaced:
            on_done(recorded(one_pass, unknown))
        gone = self._removed_reports() if len(environments) == len(self.environments) else []
        for removed_one in gone:
            recorded(one_pass, removed_one, journal=False)
        if proposing is not None and acts and len(environments) == len(self.environments):
            lacking += close_left_behind(proposing, {settings.name for settings in self.environments})
        everything = (*reports, *unplaced, *gone)
        known = frozenset(settings.name for settings in self.environments) | self._removed().keys()
        sent = self._notifier(run_id, plan_variables, say).notify(everything, known) if acts else None
        report = RunResult(
            run_id=run_id,
            repository=self.repository.display,
            ref=self.repository.ref,
            commit=self.head,
            started_at=started,
            finished_at=self._clock.now(),
            environments=tuple(sorted(everything, key=lambda report: report.name)),
            warnings=(*self.notices, *(lacking if acts else ()), *(sent.problems if sent else ())),
            alerts=AlertCounts(dict(sent.sent), sent.waiting) if sent else None,
        )
        summary = {verdict.value: count for verdict, count in report.summary.items()}
        self.ledger.append(Entry(EntryKind.RUN_FINISHED, report.finished_at, run_id, None, {"summary": summary}))
        return run_json(report)

    def forge(self, journal: ProposalJournal, say: Callable[[str], None]) -> tuple[ForgeAccess | None, tuple[str, ...]]:
        """The configured forge; where it lacks something, a sentence says so and everything else goes on."""
        settings = self.settings.forge
        if settings is None:
            return None, ()
        try:
            return open_forge(settings, self._location, self.repository, journal, self.environ, say), ()
        except DriftGuardError as error:
            return None, (f"Nothing is proposed, and no review is known: {mask(str(error))}",)

    def probe_forge(self) -> str:
        """One line on whether the configured forge answers.

        Raises:
            DriftGuardError: it does not, or its credentials are missing.
        """
        forge, lacking = self.forge(ProposalJournal(self.ledger, self._clock, "doctor"), lambda text: None)
        if forge is None:
            raise DriftGuardError(" ".join(lacking))
        return forge.probe()

    def _notifier(
        self,
        run_id: str,
        variables_of: Callable[[EnvironmentSettings], Mapping[str, str]],
        say: Callable[[str], None],
    ) -> Notifier:
        """What sends the alerts of a run and of earlier ones."""
        rules, routing = self.settings.alerts, Routing(self.settings.alerts, self.settings.slack)
        by_name = {settings.name: settings for settings in self.environments}
        alerts, clock = self.ledger.alerts, self._clock
        tracing = Tracing(
            run_id,
            alerts=alerts,
            journal=self.ledger,
            clock=clock,
            authors=EnvironmentAuthors(
                by_name, Authorship(self.repository, self.repository, SourceParser(), self.head)
            ),
            trail=EnvironmentTrail(by_name, variables_of, lambda: self._stop.requested) if rules.trail else None,
        )
        sinks = ConfiguredSinks(routing, self.environ, clock, say)
        return Notifier(
            AlertContext(run_id, self.repository.display, config.run_url(self.environ), routing),
            NotifyingPorts(alerts, alerts, self.ledger.leases, clock, sinks),
            tracing,
            renamed=records.renamed(self.ledger, self.environments),
            stopping=lambda: self._stop.requested,
        )

    def _places(
        self, environments: Sequence[EnvironmentSettings], folders: RunFolders
    ) -> tuple[list[Place], list[EnvironmentResult]]:
        """The environments with what is needed to judge them, and reports of those where something of it is missing.

        Raises:
            DriftGuardError: it is missing for every one of them, so the run cannot be made at all.
        """
        places: list[Place] = []
        unplaced: list[EnvironmentResult] = []
        failures: list[DriftGuardError] = []
        for settings in environments:
            try:
                if settings.fault is not None:
                    raise EnvironmentFault(ErrorKind.CONFIG, settings.fault)
                places.append(self._place(settings, folders))
            except DriftGuardError as error:
                failures.append(error)
                unplaced.append(incomplete(settings, error, self.ledger.baseline(settings.name)))
        if failures and not places and not isinstance(failures[0], EnvironmentFault):
            raise failures[0]
        return places, unplaced

    def _removed_reports(self) -> list[EnvironmentResult]:
        """Environments whose directory is gone from git: said in every pass, never destroyed."""
        return [removed(name, entry, self.ledger.baseline(name)) for name, entry in self._removed().items()]

    def _scene(
        self, noise: bool, now: datetime, environment_of: Callable[[EnvironmentSettings], Mapping[str, str]]
    ) -> Scene:
        return Scene(
            repository=self.repository,
            head=self.head,
            user_root=self.repository.local_root,
            key=self.ledger.key(),
            ignore=tuple(rule for rule in self.settings.ignore if not rule.expired(now)),
            environ=self.environ,
            closure_at=self.closure_at,
            environment_of=environment_of,
            noise=noise,
        )

    def _place(self, settings: EnvironmentSettings, folders: RunFolders) -> Place:
        @contextmanager
        def occupy() -> Iterator[Folders]:
            with folders.occupy(self.repository.display, settings.name) as (data, private):
                yield Folders(data, private)

        stop = Stop(self._stop)
        engine = TerraformEngine(self._tool(settings), self._directories.cache / "plugins", stop)
        return Place(settings, self._closure_at_head(settings), engine, occupy, stop.request)

    def _given(self, environments: Sequence[EnvironmentSettings], commit: str) -> Mapping[str, Baseline]:
        sha = self.repository.resolve(commit)
        given = {}
        for settings in environments:
            closure = self.closure_at(settings, sha)
            if closure is not None:
                tool = self._tool(settings)
                found = closure_hash(closure, settings, tool)
                given[settings.name] = Baseline(sha, "given", found, None, None, str(tool), {}, self._clock.now())
        return given
