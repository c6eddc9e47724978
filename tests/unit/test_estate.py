"""The estate in short: summaries, and since when which resource has which label."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from driftguard.model import Entry, EntryKind
from driftguard.model.estate import Ending, Occurrence, followed, forgotten, summary_of
from driftguard.model.report import DecisionReport, EnvironmentReport, ResourceReport
from driftguard.model.words import OUTSIDE, SETTLED, Label

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


def report(verdict: str, **labels: tuple[str, ...]) -> EnvironmentReport:
    resources = tuple(ResourceReport(f"aws_x.{name}", "aws_x", labels=found) for name, found in labels.items())
    return EnvironmentReport("prod", verdict=verdict, resources=resources, owner="team-a")


def history(*reports: EnvironmentReport) -> list[Occurrence]:
    """All occurrences after reports an hour apart, in the order of their opening."""
    found: list[Occurrence] = []
    for number, each in enumerate(reports):
        moves = followed([o for o in found if o.closed_at is None], each, START + timedelta(hours=number))
        ended = {(o.address, o.label, o.opened_at): o for o in moves.closed}
        found = [ended.get((o.address, o.label, o.opened_at), o) for o in found] + list(moves.opened)
    return found


def test_drift_is_open_until_a_report_no_longer_has_it() -> None:
    [only] = history(report("drifted", a=("drift",)), report("drifted", a=("drift",)), report("in_sync"))
    assert (only.opened_at, only.closed_at, only.ending) == (START, START + timedelta(hours=2), Ending.REPAIRED)


def test_an_unknown_verdict_neither_ends_nor_opens() -> None:
    [only] = history(report("drifted", a=("drift",)), report("unknown"), report("drifted", a=("drift",)))
    assert only.closed_at is None


def test_drift_that_a_refresh_absorbed_is_the_same_change() -> None:
    first, second = history(report("drifted", a=("drift",)), report("drifted", a=("absorbed",)), report("in_sync"))
    assert (first.ending, second.ending) == (Ending.RELABELLED, Ending.REPAIRED)
    assert (second.began_at, second.recurs) == (START, False)


def test_drift_that_comes_back_is_a_change_of_its_own() -> None:
    first, second = history(report("drifted", a=("drift",)), report("in_sync"), report("drifted", a=("drift",)))
    assert first.recurs
    assert second.recurs


def test_what_is_forgotten_is_not_repaired() -> None:
    [only] = history(report("drifted", a=("drift",)))
    [ended] = forgotten([only], START + timedelta(days=1))
    assert (ended.ending, ended.closed_at) == (Ending.FORGOTTEN, START + timedelta(days=1))


REPORTS = st.builds(
    report,
    st.sampled_from(["in_sync", "drifted", "pending", "diverged", "unknown"]),
    a=st.sets(st.sampled_from([label.value for label in Label]), max_size=2).map(tuple),
    b=st.sets(st.sampled_from([label.value for label in Label]), max_size=2).map(tuple),
)


@given(st.lists(REPORTS, max_size=8))
def test_what_is_open_is_what_the_last_known_report_labels(reports: list[EnvironmentReport]) -> None:
    found = history(*reports)
    known = [each for each in reports if each.verdict != "unknown"]
    last = {(r.address, label) for each in known[-1:] for r in each.resources for label in r.labels}
    assert {(o.address, o.label) for o in found if o.closed_at is None} == {x for x in last if x[1] not in SETTLED}
    for each in found:
        assert each.began_at <= each.opened_at
        assert each.closed_at is None or each.closed_at > each.opened_at
        assert each.label in OUTSIDE or each.recurs


def test_a_summary_has_the_moment_since_when_an_environment_is_not_in_sync() -> None:
    inputs = {"policies": [{"pending": "apply", "drift": "revert", "suspended": None, "limits": {"share": 0.5}}]}
    drifted = report("drifted", a=("drift",), b=("drift", "pending"))
    first = summary_of(Entry(EntryKind.SCANNED, START, "r", "prod", {"inputs": inputs}), drifted, None)
    assert (first.since, first.labels) == (START, {"drift": 2, "pending": 1})
    assert first.automatic == ("pending", "drift")
    later = Entry(EntryKind.SCANNED, START + timedelta(hours=1), "r", "prod")
    unknown = summary_of(later, report("unknown"), first)
    assert (unknown.since, unknown.labels, unknown.verdict) == (START, first.labels, "unknown")
    decided = DecisionReport("none", ("in_sync",))
    calm = EnvironmentReport("prod", verdict="in_sync", decision=decided)
    ended = summary_of(later, calm, unknown)
    assert (ended.since, ended.labels, ended.reason) == (None, {}, "in_sync")
