"""The alert about a probe that an audit found wrong: it ends with `driftguard retry`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import msgspec

from driftguard.model import Alert, AlertEvent, AlertKind, AlertState, ErrorKind, Notice, Severity
from driftguard.model.report import EnvironmentReport, ErrorReport
from driftguard.pipeline.alert.excerpts import excerpt
from driftguard.pipeline.alert.lifecycle import Followed, notice_id

_SEPARATOR: Final = ","


def providers_of(alert: Alert) -> frozenset[str]:
    """The providers that are not probed while an alert about a wrong probe stands."""
    return frozenset(filter(None, alert.fingerprint.split(_SEPARATOR)))


def found_wrong(
    environment: EnvironmentReport,
    providers: Sequence[str],
    sentence: str,
    before: Sequence[Alert],
    *,
    commit: str,
    run_id: str,
    now: datetime,
) -> Followed:
    """An alert that begins; nothing where one stands already.

    Args:
        providers: those that the environment uses, sorted.
        before: the environment's alerts.
    """
    if any(alert.kind is AlertKind.PROBE and alert.state is AlertState.OPEN for alert in before):
        return Followed()
    fault = ErrorReport(ErrorKind.INTERNAL.value, sentence)
    seen = msgspec.structs.replace(excerpt(environment, commit), resources=(), invocations=(), error=fault)
    alert = Alert(
        id=notice_id(run_id, environment.name, AlertKind.PROBE),
        environment=environment.name,
        kind=AlertKind.PROBE,
        state=AlertState.OPEN,
        severity=Severity.CRITICAL,
        fingerprint=_SEPARATOR.join(providers),
        cause=_SEPARATOR.join(providers),
        first_seen_at=now,
        changed_at=now,
        report=seen,
        opened_at=now,
    )
    return Followed((alert,), (_notice(alert, AlertEvent.OPENED, "", run_id, now),))


def trusted_again(alert: Alert, *, run_id: str, now: datetime) -> Followed:
    """The end of such an alert, by an operator's word."""
    resolution = "Probed again, by `driftguard retry`."
    ended = replace(alert, state=AlertState.RESOLVED, resolved_at=now, changed_at=now, resolution=resolution)
    return Followed((ended,), (_notice(ended, AlertEvent.RESOLVED, resolution, run_id, now),))


def _notice(alert: Alert, event: AlertEvent, line: str, run_id: str, now: datetime) -> Notice:
    return Notice(notice_id(run_id, alert.id, event), event, now, run_id, line, alert)
