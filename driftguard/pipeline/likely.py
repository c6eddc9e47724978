"""Which earlier commit was applied last: the one whose plan leaves nothing but changes made outside Terraform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final

from msgspec import Struct

from driftguard.errors import EnvironmentFault
from driftguard.model import Classification, Commit, Label
from driftguard.model.words import SETTLED, UNAPPLIED, plural
from driftguard.pipeline.checkout import EnvironmentRun, ScanContext
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.pipeline.scan import plan_of_commit
from driftguard.ports import History
from driftguard.report import timestamp

MAX_COMMITS: Final = 20
_SPEAKS_AGAINST: Final = UNAPPLIED | {Label.CONFLICT, Label.ABSORBED, Label.RESIDUE}


class LikelyBaseline(Struct, frozen=True):
    """One commit of a closure's history.

    Attributes:
        likely: whether its plan against the state and the cloud of today leaves nothing but drift.
        proof: what its plan leaves, or why it could not be made.
    """

    commit: str
    date: str
    subject: str
    likely: bool
    proof: str


def history_of(context: ScanContext, run: EnvironmentRun, history: History) -> Iterator[Commit]:
    """The newest commits of the tracked branch that touched a closure."""
    prefix = "" if run.settings.path == "." else f"{run.settings.path}/"
    found = 0
    for commit, touched in history.first_parents(None, context.head):
        if found < MAX_COMMITS and any(path in run.closure.files or path.startswith(prefix) for path in touched):
            found += 1
            yield commit


def likely_baseline(context: ScanContext, run: EnvironmentRun, commit: Commit) -> LikelyBaseline:
    """One commit, planned against the state and the cloud of today."""
    try:
        with ExitStack() as stack:
            document = plan_of_commit(context, run, commit.sha, stack).document
    except EnvironmentFault as fault:
        return _answer(commit, False, f"it could not be planned: {fault.message}")
    assert document is not None  # it is always read
    found = classify(document, Evidence(has_baseline=False), context.key, ignore=context.ignore)
    against = {label: count for label, count in _counts(found).items() if label in _SPEAKS_AGAINST}
    return _answer(commit, not against, _proof(against or _counts(found)))


def _answer(commit: Commit, likely: bool, proof: str) -> LikelyBaseline:
    return LikelyBaseline(commit.sha, timestamp(commit.date), commit.subject, likely, proof)


def _counts(found: Classification) -> Mapping[Label, int]:
    counts: dict[Label, int] = {}
    for label in (label for resource in found.resources for label in resource.labels if label not in SETTLED):
        counts[label] = counts.get(label, 0) + 1
    for output in (output for output in found.outputs if output.label not in SETTLED):
        counts[output.label] = counts.get(output.label, 0) + 1
    return counts


def _proof(counts: Mapping[Label, int]) -> str:
    if not counts:
        return "nothing: its configuration is what is there"
    words = (plural(count, f"{label.value} object") for label, count in sorted(counts.items()))
    return ", ".join(words)
