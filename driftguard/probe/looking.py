"""Is it still as the last plan found it? Records of plans are kept here, and their questions asked again.

Only if everything that a plan follows from is the same, the stored state is the same before and after, and each
provider gives each recorded answer again, the recorded plan counts as made now. Every doubt ends in a plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from driftguard.errors import DriftGuardError
from driftguard.model import Closure
from driftguard.model.talks import ProviderSession, Talk
from driftguard.ports import Clock, Looked, Probe, ProbeSubject, Repository, Started, StateStamps, Subjects
from driftguard.probe.keys import fetched_modules, lock_text, plan_key, provider_variables
from driftguard.probe.packages import NotVerified, Package, Packages, locked_providers
from driftguard.probe.processes import NotPlain, ProviderProcesses
from driftguard.probe.purity import impure
from driftguard.probe.replay import Differs, Replayer, Untrusted
from driftguard.probe.store import PlanRecord, RecordStore, derived_key

#: Providers that were tried with several configurations in one process, one after another. Any other gets a process
#: for each environment, in its directory.
SHARED_PROVIDERS: Final = frozenset({"registry.terraform.io/hashicorp/aws", "registry.opentofu.org/hashicorp/aws"})
_TERRAFORM_FILES: Final = (".tf", ".tofu", ".tf.json", ".tofu.json")
# The provider's garbage collector may use memory to save time: a probe is short.
_COLLECTOR: Final = {"GOGC": "400"}

_ANOTHER_ANSWER: Final = "another answer"

Groups = Mapping[tuple[str, ...], list[str]]


class RecordingProbe(Probe):
    """The probe of one repository during one run.

    Attributes:
        secret: the key of the answers' digests.
        packages: verifies the providers.

    Args:
        ledger_key: the ledger's secret.
        max_age: how old the last plan may be.
        processes: how many providers run side by side.
    """

    def __init__(
        self,
        *,
        ledger_key: bytes,
        store: RecordStore,
        packages: Packages,
        stamps: StateStamps,
        repository: Repository,
        clock: Clock,
        max_age: timedelta,
        processes: int,
    ) -> None:
        self.secret = derived_key(ledger_key, b"driftguard probe answers 1")
        self._store, self.packages, self._stamps = store, packages, stamps
        self._repository, self._clock, self._max_age, self._processes = repository, clock, max_age, processes
        self._impure: dict[str, tuple[tuple[int, str], ...]] = {}

    # --- records ---------------------------------------------------------------------------------

    def begin(self, subject: ProbeSubject) -> Started | None:
        """What the plan that is about to be made follows from; None where it is not recorded."""
        try:
            if self.hindrances(subject.closure, subject.work.data_dir) or self._distrusted(subject):
                return None
            state = self._stamps.of(subject)
            return None if state is None else Started(plan_key(subject, self.packages, self.secret), state)
        except (NotVerified, OSError, DriftGuardError):
            return None

    def keep(self, subject: ProbeSubject, started: Started, talk: Talk, plan: bytes, at: datetime) -> str:
        """Keep a plan's record, unless something moved while it was made; why it was not kept."""
        after = self.begin(subject)
        reason = talk.broken or ("" if after == started else "something changed while it was planned")
        if reason:
            self._store.drop(subject.name)
            return reason
        record = PlanRecord(started.key, started.state, at, talk.sessions, msgspec.Raw(plan))
        self._store.keep(subject.name, record)
        return ""

    def drop(self, environment: str) -> None:
        """Forget an environment's record."""
        self._store.drop(environment)

    def distrust(self, providers: Sequence[str]) -> None:
        """Probe no environment again that uses one of these."""
        self._store.distrust(providers)

    def trust(self, providers: Sequence[str]) -> None:
        """Probe these again."""
        self._store.trust(providers)

    def hindrances(self, closure: Closure, data_dir: Path) -> Sequence[str]:
        """What keeps an environment from being probed, with file and line."""
        found = [f"its closure is open: {reason}" for reason in closure.open]
        texts = {path: id_ for path, id_ in closure.files.items() if path.endswith(_TERRAFORM_FILES)}
        self._read(texts)
        found += [f"{path}:{line}: {what}" for path, id_ in sorted(texts.items()) for line, what in self._impure[id_]]
        for path in fetched_modules(data_dir):
            if path.name.endswith(_TERRAFORM_FILES):
                lines = impure(path.read_text(errors="replace"))
                found += [f"{path.relative_to(data_dir)}:{line}: {what}" for line, what in lines]
        return found

    def _read(self, texts: Mapping[str, str]) -> None:
        wanted = sorted(set(texts.values()) - self._impure.keys())
        for id_, content in self._repository.read(wanted) if wanted else ():
            self._impure[id_] = tuple(impure(content.decode(errors="replace")))

    # --- looking ---------------------------------------------------------------------------------

    def look(self, subjects: Subjects, names: Sequence[str]) -> Mapping[str, Looked]:
        """Ask again what the last plans of these environments asked."""
        records = {name: self._store.read(name) for name in names}
        found = {name: Looked(None, reason="no plan is recorded") for name, record in records.items() if not record}
        groups, changes = (
            self._groups({name: record for name, record in records.items() if record}),
            self._store.changes(),
        )
        with ProviderProcesses() as processes, ThreadPoolExecutor(max(1, self._processes)) as executor:
            looks = [_GroupLook(self, subjects, processes, records, changes) for _ in groups]
            done = [executor.submit(look.all_of, members) for look, members in zip(looks, groups.values(), strict=True)]
            for each in done:
                found |= each.result()
        self._store.count_changes([type_name for look in looks for type_name in look.changed])
        return found

    @staticmethod
    def _groups(records: Mapping[str, PlanRecord]) -> Groups:
        """Environments that may share provider processes, those of one configuration beside each other."""
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for name, record in records.items():
            providers = {session.provider for session in record.sessions}
            own = () if providers <= SHARED_PROVIDERS else (name,)
            groups[(record.key.get("providers", ""), record.key.get("provider's variables", ""), *own)].append(name)
        for members in groups.values():
            members.sort(key=lambda name: [_configuration(session) for session in records[name].sessions])
        return groups

    def expired(self, subject: ProbeSubject, record: PlanRecord) -> str:
        """Why the record counts no more, though nothing may have changed; empty if it does."""
        wrong = self._distrusted(subject)
        if wrong:
            return f"an audit found a probe of {wrong} wrong"
        if not record.is_fresh(self._clock.now(), self._max_age):
            return "the last plan is too old"
        return ""

    def compare(self, subject: ProbeSubject, record: PlanRecord) -> str:
        """What is another than at the plan; empty if only the providers' answers are left to ask for."""
        try:
            key = plan_key(subject, self.packages, self.secret)
            changed = sorted(name for name in key.keys() | record.key.keys() if key.get(name) != record.key.get(name))
            if changed:
                return f"changed: {', '.join(changed)}"
            return self.state_moved(subject, record)
        except (NotVerified, OSError) as error:
            return str(error)

    def _distrusted(self, subject: ProbeSubject) -> str:
        wrong = self._store.distrusted() & locked_providers(lock_text(subject)).keys()
        return next(iter(sorted(wrong)), "")

    def state_moved(self, subject: ProbeSubject, record: PlanRecord) -> str:
        """Why the stored state is not the one that was planned from; empty if it is."""
        return "" if self._stamps.of(subject) == record.state else "the state was written"

    def packages_of(self, subject: ProbeSubject) -> Mapping[str, Package]:
        """The verified providers of an environment, by address."""
        verified = self.packages.verified(subject.work.data_dir, lock_text(subject))
        return {package.address: package for package in verified}


class _GroupLook:
    """One look at a group of environments that share provider processes.

    Attributes:
        changed: the types that were found changed.
    """

    def __init__(
        self,
        probe: RecordingProbe,
        subjects: Subjects,
        processes: ProviderProcesses,
        records: Mapping[str, PlanRecord | None],
        changes: Mapping[str, int],
    ) -> None:
        self._changes, self.changed = changes, list[str]()
        self._probe, self._subjects, self._processes, self._records = probe, subjects, processes, records
        self._replayers: dict[tuple[str, bytes], Replayer] = {}
        self._throttled = False
        self._cpu_seconds = 0.0

    def all_of(self, names: Sequence[str]) -> Mapping[str, Looked]:
        """One environment after another; a fault ends the processes, and the next environment gets new ones."""
        try:
            found = {name: self._one(name) for name in names}
        finally:
            self._end()
        return {name: replace(look, cpu_seconds=self._cpu_seconds / len(names)) for name, look in found.items()}

    def _one(self, name: str) -> Looked:
        record = self._records[name]
        assert record is not None
        if self._throttled:
            return Looked(None, reason="the cloud limits its rate", throttled=True)
        try:
            with self._subjects.occupied(name) as subject, ExitStack() as stack:
                expired = self._probe.expired(subject, record)
                if expired:
                    return Looked(None, reason=expired)
                reason = self._probe.compare(subject, record) or self._repeated(subject, record, stack)
                reason = reason or self._probe.state_moved(subject, record)
        except (DriftGuardError, NotVerified, NotPlain, OSError) as error:
            reason = str(error)
        if reason:
            return Looked(None, reason=reason, differs=True, another_answer=reason.startswith(_ANOTHER_ANSWER))
        return Looked(bytes(record.plan), record.at)

    def _repeated(self, subject: ProbeSubject, record: PlanRecord, stack: ExitStack) -> str:
        packages = self._probe.packages_of(subject)
        directory = self._processes.folder
        if any(session.provider not in SHARED_PROVIDERS for session in record.sessions):
            directory = stack.enter_context(self._subjects.checked_out(subject))
        try:
            for session in record.sessions:
                self._replayer(subject, packages[session.provider], session, directory).repeat(session)
        except Differs as difference:
            self.changed.append(difference.type_name)
            return f"{_ANOTHER_ANSWER}: {difference}"
        except Untrusted as fault:
            self._throttled = fault.throttled  # this one is planned; the others of its group are not
            self._end()
            return f"a provider failed: {fault}"
        return ""

    def _replayer(self, subject: ProbeSubject, package: Package, session: ProviderSession, directory: Path) -> Replayer:
        """The provider's process; one that is not known to take several configurations gets a process for each."""
        shared = package.address in SHARED_PROVIDERS
        key = (package.binary, b"" if shared else _configuration(session))
        if key not in self._replayers:
            variables = subject.variables
            if shared:
                variables, directory = {**provider_variables(variables), **_COLLECTOR}, self._processes.folder
            process = self._processes.start(package.binary, variables, directory)
            self._replayers[key] = Replayer(process, self._probe.secret, changes=self._changes)
        return self._replayers[key]

    def _end(self) -> None:
        for replayer in self._replayers.values():
            self._cpu_seconds += replayer.end()
        self._replayers.clear()


def _configuration(session: ProviderSession) -> bytes:
    return session.configure.request if session.configure else b""
