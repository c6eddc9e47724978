"""Whose state is it? The states of all environments at head, so that two that share one are held.

Takes the journal and what the scans of a run find; gives the names of those that share a state. Two environments share
one whose states have one lineage, or whose backends have one address and workspace.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from driftguard.model import EntryKind
from driftguard.model.units import UpstreamRow
from driftguard.ports import Backend, JournalReader

# The settings of a backend that name where the state lies; of one that is not listed, all of them.
_ADDRESSES: Final[Mapping[str, tuple[str, ...]]] = {
    "azurerm": ("storage_account_name", "container_name", "key"),
    "consul": ("address", "path"),
    "cos": ("bucket", "prefix", "key"),
    "gcs": ("bucket", "prefix"),
    "http": ("address",),
    "kubernetes": ("namespace", "secret_suffix"),
    "oss": ("bucket", "prefix", "key"),
    "pg": ("conn_str", "schema_name"),
    "s3": ("bucket", "key", "workspace_key_prefix", "endpoint", "endpoints"),
}


@dataclass(frozen=True, slots=True)
class KnownState:
    """One environment's state.

    Attributes:
        lineage: None before the first write.
        address: a keyed digest of the backend's address and the workspace; None where it is not known.
    """

    lineage: str | None
    address: str | None = None

    def is_that_of(self, other: KnownState) -> bool:
        """Whether both are one state."""
        return any(
            mine is not None and mine == theirs
            for mine, theirs in ((self.lineage, other.lineage), (self.address, other.address))
        )


class Postponed(Exception):
    """Nothing is begun for an environment before the states of all environments of the run are known."""


class KnownStates:
    """The states of the environments at head, as the ledger and this run know them. Safe to share between threads."""

    def __init__(
        self, known: Mapping[str, KnownState], upstream: Mapping[str, Mapping[str, UpstreamRow]] | None = None
    ) -> None:
        """`upstream` is what the last scans kept of the units whose outputs an environment gets, by directory."""
        self._known, self._upstream = dict(known), upstream or {}
        self._guard = threading.Lock()
        self._awaited = frozenset[str]()

    def upstream(self, environment: str) -> Mapping[str, UpstreamRow]:
        """What the last scan kept of the units whose outputs an environment gets, by directory."""
        return self._upstream.get(environment, {})

    def expect(self, environments: Collection[str]) -> None:
        """Await the states of a run's environments, where nothing is known of them yet: they are new."""
        with self._guard:
            self._awaited = frozenset(n for n in environments if n not in self._known or not self._known[n].address)

    def done(self, environment: str) -> None:
        """Await an environment's state no more, whether its scan found it or failed."""
        with self._guard:
            self._awaited -= {environment}

    def refuse_to_act_before(self, environment: str) -> None:
        """Raise `Postponed` while another environment, which might share its state, has not been scanned."""
        with self._guard:
            if self._awaited - {environment}:
                raise Postponed

    def found(self, environment: str, state: KnownState) -> tuple[str, ...]:
        """Take what a scan found; the other environments that share the state, sorted."""
        with self._guard:
            self._known[environment] = state
            self._awaited -= {environment}
        return self.sharing(environment)

    def sharing(self, environment: str) -> tuple[str, ...]:
        """The other environments that share an environment's state, sorted."""
        with self._guard:
            own = self._known.get(environment)
            others = sorted(self._known.items())
        return tuple(name for name, state in others if own and name != environment and own.is_that_of(state))


def known_states(journal: JournalReader, present: Collection[str]) -> KnownStates:
    """The states of the environments at head, by their last scans and baselines.

    An environment that is not at head any more, removed or renamed, shares nothing.
    """
    scans, baselines = journal.latest(EntryKind.SCANNED), journal.latest(EntryKind.BASELINE_MOVED)
    known, upstream = {}, {}
    for name in present:
        found = _row(scans[name].data.get("inputs")) if name in scans else {}
        state = _row(found.get("state"))
        moved = baselines[name].data if name in baselines else {}
        known[name] = KnownState(state.get("lineage") or moved.get("lineage"), state.get("address"))
        rows = msgspec.convert(found.get("upstream") or [], list[UpstreamRow], strict=False)
        upstream[name] = {row.unit: row for row in rows}
    return KnownStates(known, upstream)


def _row(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def state_address(backend: Backend | None, path: str, workspace: str, key: bytes) -> str:
    """A keyed digest of where a state lies: backend settings may hold credentials.

    Args:
        path: the environment's directory, where a local state lies.
    """
    kind, settings = (backend.type, backend.settings) if backend else ("local", {})
    names = _ADDRESSES.get(kind, tuple(settings))
    found = {name: _endpoint(settings.get(name)) if name == "endpoints" else settings.get(name) for name in names}
    where = {name: value for name, value in found.items() if value is not None}
    parts = [kind, where, workspace, path if kind == "local" else ""]
    return hmac.new(key, msgspec.json.encode(parts, order="deterministic"), hashlib.sha256).hexdigest()


def _endpoint(value: object) -> object:
    """Of the endpoints by service the one that the state is read from."""
    return value.get("s3") if isinstance(value, Mapping) else value
