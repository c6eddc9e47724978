"""Probes that audits found wrong, across runs and machines: their alerts, and the providers that are not probed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from driftguard.model import Alert, AlertKind, EntryKind, EnvironmentResult, RecordedNotice
from driftguard.pipeline.alert.lifecycle import Followed
from driftguard.pipeline.alert.probes import found_wrong, providers_of, trusted_again
from driftguard.pipeline.context import EnvironmentTask, RunContext
from driftguard.pipeline.probing import WrongProbe, proven_wrong
from driftguard.pipeline.record import recorded_notices
from driftguard.report import environment_report


def keep_distrust(context: RunContext) -> None:
    """Before a run probes: leave out the providers of standing alerts, also those that another machine found wrong.

    An alert whose environment was retried since ends, and its providers are probed again.
    """
    if context.alerts is None or context.probing is None:
        return
    standing = [alert for alert in context.alerts.standing() if alert.kind is AlertKind.PROBE]
    retried = context.ledger.latest(EntryKind.RETRY_REQUESTED) if standing else {}
    kept: set[str] = set()
    ended: set[str] = set()
    for alert in standing:
        entry = retried.get(alert.environment)
        if entry is not None and entry.at >= alert.first_seen_at:
            _record(context, alert.environment, partial(_ended, context, alert))
            ended |= providers_of(alert)
        else:
            kept |= providers_of(alert)
    if ended - kept:
        context.probing.probe.trust(sorted(ended - kept))
    if kept:
        context.probing.probe.distrust(sorted(kept))


def audited(
    context: RunContext, tasks: Sequence[EnvironmentTask], results: Sequence[EnvironmentResult]
) -> tuple[WrongProbe, ...]:
    """After the environments of a run: the probes that its audits prove wrong, each with an alert but of a scan."""
    wrong = proven_wrong(context, tasks, [each.name for each in results if each.probe_disagrees])
    by_name = {result.name: result for result in results}
    for found in wrong if context.alerts is not None else ():
        follow = partial(
            found_wrong,
            environment_report(by_name[found.environment]),
            found.providers,
            found.sentence,
            commit=context.scan.head,
            run_id=context.run_id,
            now=context.clock.now(),
        )
        _record(context, found.environment, follow)
    return wrong


def _ended(context: RunContext, alert: Alert, before: Sequence[Alert]) -> Followed:
    return trusted_again(alert, run_id=context.run_id, now=context.clock.now())


def _record(context: RunContext, environment: str, follow: Callable[[Sequence[Alert]], Followed]) -> None:
    assert context.alerts is not None

    def followed(before: Sequence[Alert]) -> tuple[Sequence[Alert], Sequence[RecordedNotice]]:
        after = follow(before)
        return after.alerts, recorded_notices(after.notices)

    context.alerts.record(environment, [], followed)
