"""A small estate in a real ledger for the pages: twelve days of runs, every verdict, hostile texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.config import AlertSettings
from driftguard.model import (
    Acknowledgement,
    Action,
    Attempt,
    AttemptState,
    Commit,
    Entry,
    EntryKind,
    ErrorKind,
    Label,
    ObjectTrace,
    Proposal,
    ProposalState,
    ProposedBranch,
    Severity,
    Verdict,
)
from driftguard.model.report import EnvironmentReport
from driftguard.pipeline.alert.lifecycle import follow
from driftguard.pipeline.record import (
    approved_entry,
    attempt_opened_entry,
    attempt_step,
    proposal_entry,
    recorded_notices,
    run_started_entry,
    scan_entry,
    word_entry,
)
from tests.support.sample_alerts import (
    DELETED,
    HEAD,
    NOON,
    RESIZE,
    WRITTEN_BY,
    change,
    changed_by,
    drifted,
    in_sync,
    outside,
    report,
    resource,
    unknown,
)

#: What a commit or the cloud may choose, to become markup where a page forgets to escape.
HOSTILE = "<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=1>\u202ejavascript:window.pwned=1"
SECRET = "hunter2-never-shown"
DAYS = 12
NOW = NOON + timedelta(days=DAYS)
_POLICY: dict[str, object] = {"policies": [{"pending": "alert", "drift": "alert", "input": "alert"}]}
_AUTOMATIC: dict[str, object] = {"policies": [{"pending": "apply", "drift": "revert", "input": "alert"}]}
_SUSPENSION = {"reason": "migration", "until": "2026-12-31T00:00:00Z"}
_SUSPENDED: dict[str, object] = {"policies": [{"pending": "apply", "suspended": _SUSPENSION}]}
_OLD_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"]}]})
_NEW_POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:*"]}]}
)


def reports(day: int) -> Sequence[EnvironmentReport]:
    """The reports of one day; the estate becomes worse and partly better."""
    owned = {"owner": "team-shop"}
    found = [in_sync(f"shop-{name}") for name in ("eu", "us", "ap")]
    found = [msgspec.structs.replace(each, **owned) for each in found]
    if day >= 2:
        tag = outside("tags.owner", "team-a", "alice")
        policy = outside("policy", _OLD_POLICY, _NEW_POLICY)
        hidden = change("password", Label.DRIFT, SECRET, SECRET + "2", SECRET, secret=True)
        bucket = resource("aws_s3_bucket.assets", tag)
        found[0] = drifted("shop-eu", bucket, resource("aws_iam_policy.reader", policy, hidden))
        found[1] = drifted("shop-us", bucket)
        found[:2] = [msgspec.structs.replace(each, **owned) for each in found[:2]]
    if 4 <= day < 7:
        found[2] = drifted("shop-ap", resource("aws_sqs_queue.orders", outside("delay_seconds", 0, 30)))
    return [*found, *_others(day)]


def _others(day: int) -> list[EnvironmentReport]:
    size = change("instance_type", Label.PENDING, "m5.large", "m5.large", "m5.xlarge", forces_replacement=True)
    pending = report("billing", Verdict.PENDING, resource("aws_instance.web", size), commits=[RESIZE])
    both = change("cidr", Label.CONFLICT, "10.0.0.0/8", "0.0.0.0/0", "10.1.0.0/16")
    evil = Commit("e" * 40, HOSTILE, NOON, HOSTILE)
    hostile = resource("aws_s3_bucket.x", outside(f"tags.{HOSTILE}", HOSTILE, HOSTILE + "!"))
    return [
        pending if day >= 3 else in_sync("billing"),
        report(
            "network/core",
            Verdict.DIVERGED if day >= 5 else Verdict.IN_SYNC,
            *([resource("aws_security_group.db", both), resource("aws_db_instance.main", DELETED)] if day >= 5 else []),
            action=Action.HOLD if day >= 5 else Action.NONE,
            reasons=["conflict: aws_security_group.db cidr", "limit_recreates: 1 of at most 0"] if day >= 5 else [],
        ),
        unknown("data-lake", ErrorKind.DENIED, "s3:GetBucketPolicy was refused (aws, eu-west-1)")
        if day >= 9
        else in_sync("data-lake"),
        report("evil", Verdict.DRIFTED, hostile, reasons=[f"policy_alert: {HOSTILE}"], commits=[evil]),
        in_sync("sandbox") if day % 3 else drifted("sandbox", resource("aws_sqs_queue.a", outside("size", 1, day))),
        report("auto", Verdict.PENDING, resource("aws_sqs_queue.b", _pending(day)), action=Action.HOLD, reasons=[
            "window_closed: mon-fri 09:00"
        ]) if day >= 10 else in_sync("auto"),
    ]  # fmt: skip


def _pending(day: int) -> Any:
    return change("visibility", Label.PENDING, 30, 30, 60 + day)


def inputs(name: str) -> Mapping[str, object]:
    """The facts behind the decision, as far as pages read them."""
    return {"auto": _AUTOMATIC, "billing": _SUSPENDED}.get(name, _POLICY)


def made_ledger(folder: Path, days: int = DAYS, *, hostile: bool = True) -> SqlLedger:
    """The ledger of the estate, in a folder; whose last entry is a run that has not ended.

    Args:
        hostile: with the environment whose texts try to be markup.
    """
    ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}")
    for day in range(days):
        record_run(
            ledger, f"run-{day}", NOON + timedelta(days=day), [e for e in reports(day) if hostile or e.name != "evil"]
        )
    at = NOON + timedelta(days=days - 1, hours=1)
    ledger.append(*(entry for entry in _requests(at) if hostile or entry.environment != "evil"))
    _apply(ledger, at)
    names = [each.name for each in _of_day(days - 1, hostile)]
    started = NOON + timedelta(days=days) - timedelta(minutes=5)
    ledger.append(run_started_entry("run-now", started, commit=HEAD, ref="main", repository="r", environments=names))
    return ledger


def _of_day(day: int, hostile: bool) -> list[EnvironmentReport]:
    return [each for each in reports(day) if hostile or each.name != "evil"]


def record_run(ledger: SqlLedger, run_id: str, at: datetime, found: Sequence[EnvironmentReport]) -> None:
    """Record one run as `pipeline.run` does."""
    names = [each.name for each in found]
    ledger.append(run_started_entry(run_id, at, commit=HEAD, ref="main", repository="r", environments=names))
    for number, each in enumerate(found):
        moment = at + timedelta(seconds=number + 1)
        files = () if each.name == "auto" else (f"environments/{each.name}/main.tf", f"modules/{HOSTILE}.tf")
        entry = scan_entry(run_id, HEAD, moment, each, inputs(each.name), closure_files=files)
        _alerted(ledger, each, entry, run_id, moment)
    summary = {verdict.value: sum(each.verdict == verdict for each in found) for verdict in Verdict}
    ended = at + timedelta(seconds=40 + len(found))
    ledger.append(Entry(EntryKind.RUN_FINISHED, ended, run_id, None, {"summary": summary}))


def _alerted(ledger: SqlLedger, each: EnvironmentReport, entry: Entry, run_id: str, moment: datetime) -> None:
    def work(before: Sequence[Any]) -> Any:
        after = follow(each, list(before), commit=HEAD, run_id=run_id, now=moment, rules=AlertSettings())
        traced = {
            resource.address: ObjectTrace(
                changed_by=changed_by(resource.address, "alice", "PutBucketTagging"), written_by=WRITTEN_BY
            )
            for resource in each.resources
            if resource.changed_outside
        }
        alerts = [replace(alert, traces={**alert.traces, **traced}) for alert in after.alerts]
        return alerts, recorded_notices(after.notices)

    ledger.alerts.record(each.name, [entry], work)


def _requests(at: datetime) -> list[Entry]:
    word = Acknowledgement("grace", at, "the sale ends on Monday", at + timedelta(days=9), Severity.CRITICAL)
    basis = {"since": "a" * 40, "reasons": ["merged"], "by": [{"commit": HEAD, "author": "Grace Hopper"}]}
    return [
        proposal_entry("run-11", at, "shop-eu", _proposal("p1", 17, ProposalState.OPEN, at)),
        proposal_entry("run-11", at, "shop-us", _proposal("p2", 18, ProposalState.VOID, at, "the plan changed")),
        proposal_entry("run-11", at, "sandbox", _proposal("p3", 9, ProposalState.DONE, at)),
        proposal_entry("run-11", at, "evil", replace(_proposal("p4", 6, ProposalState.OPEN, at), url="javascript:1")),
        word_entry(EntryKind.ACKNOWLEDGED, "network/core", word),
        approved_entry("run-11", at, "auto", HEAD, basis),
    ]


def _proposal(id_: str, number: int, state: ProposalState, at: datetime, reason: str | None = None) -> Proposal:
    branch = ProposedBranch("revert", f"driftguard/{id_}-revert", HEAD)
    url = f"https://forge.example.org/acme/infra/pulls/{number}"
    return Proposal(
        id_, state, (branch,), "main", "f1", "p1", "c1", HEAD, at, at + timedelta(days=2), number, url, reason=reason
    )


def _apply(ledger: SqlLedger, at: datetime) -> None:
    data = {"planned": {"aws_sqs_queue.a": ["update"], "aws_sqs_queue.c": ["delete", "create"]}, "approved": ["merged"]}
    state = AttemptState.OPEN
    attempt = Attempt("attempt-1", "sandbox", HEAD, "p1", "f1", "run-11", state, at, data=data)
    assert ledger.attempts.open(attempt, attempt_opened_entry(attempt))
    done = {"resources": {"aws_sqs_queue.a": "done", "aws_sqs_queue.c": "failed"}, "error": "The queue exists."}
    ledger.attempts.advance("attempt-1", attempt_step(attempt, AttemptState.FAILED, at + timedelta(minutes=2), done))
