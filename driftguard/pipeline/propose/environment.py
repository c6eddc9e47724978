"""Proposing for one environment: what the approval files at head mean, the branches' contents, the pull request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from driftguard.config import EnvironmentSettings
from driftguard.errors import EnvironmentFault, ForgeFault, OperatorError
from driftguard.hcledit.adopting import adopt
from driftguard.hcledit.source import Source
from driftguard.model import (
    Action,
    Attempt,
    AttemptState,
    Closure,
    Decision,
    Departure,
    EnvironmentResult,
    ErrorKind,
    Label,
    Proposal,
    ProposalState,
    ResourceChange,
    Verdict,
)
from driftguard.model.plan_document import PlanDocument, decode
from driftguard.pipeline.approve.approval_file import folder_of
from driftguard.pipeline.approve.plans import PlanApproval, PlanFacts, judge_files
from driftguard.pipeline.classify.fingerprints import planned_facts
from driftguard.pipeline.plan import make_plan
from driftguard.pipeline.propose.lifecycle import Choices, Draft, Outcome, settle
from driftguard.pipeline.propose.lifecycle import Means as ProposalMeans
from driftguard.pipeline.scan import Findings, Folders, Scene, working_place
from driftguard.ports import Branches, Engine, Forge
from driftguard.report import environment_json
from driftguard.sealed import mask

_OUTSIDE: Final = frozenset({Label.DRIFT, Label.ABSORBED})
_NOT_TO_BE_ADOPTED: Final = frozenset({Label.RESIDUE, Label.CONFLICT})
ENDED: Final = frozenset({ProposalState.CLOSED, ProposalState.ACKNOWLEDGED, ProposalState.DONE, ProposalState.VOID})
# What was said to be done, void or closed stays so, and what was made anew, also when the very same plan comes back.
_OVER: Final = frozenset({ProposalState.DONE, ProposalState.VOID, ProposalState.CLOSED})
_MOST_FAULTS: Final = 2


@dataclass(frozen=True, slots=True)
class Proposing:
    """What a pass proposes with.

    Attributes:
        base: the tracked branch.
        expires_after: how long an approval may be waited for.
        newest: an environment's newest proposal.
        earlier: an environment's proposals as they stand, newest first.
        save: records a proposal's state, durably.
        traces_of: by resource address, who changed it and who wrote its block.
        source_of: the environment's source, for writing into it; given what formats a text as the tool does.
        closure_at: its closure at a commit of ours.
        may_open: why no more may be opened; None where one may, which then has its place.
        is_merged: whether a commit is part of head.
        faults: what went wrong in this pass so far; a forge that is away is not asked for every environment.
    """

    forge: Forge
    branches: Branches
    base: str
    expires_after: timedelta
    newest: Callable[[str], Proposal | None]
    earlier: Callable[[str], Sequence[Proposal]]
    save: Callable[[str, Proposal], None]
    traces_of: Callable[[str], Mapping[str, Any]]
    source_of: Callable[[EnvironmentSettings, Callable[[bytes], bytes]], Source]
    may_open: Callable[[], str | None]
    is_merged: Callable[[str], bool]
    faults: list[str] = field(default_factory=list)


def plan_approval(
    scene: Scene,
    settings: EnvironmentSettings,
    findings: Findings,
    attempts: Callable[[datetime], Sequence[Attempt]],
    proposals: Sequence[Proposal],
    now: datetime,
) -> PlanApproval:
    """What the approval files at head mean for the plan that was made.

    Args:
        attempts: the environment's attempts since a moment.
        proposals: the environment's, newest first.
    """
    tree = scene.repository.tree(scene.head)
    paths = _files_in(tree, folder_of(settings.name))
    if not paths or findings.classification.plan_fingerprint is None:
        return PlanApproval()
    contents = scene.repository.read([tree[path].object_id for path in paths])
    facts = PlanFacts(
        environment=settings.name,
        plan_fingerprint=findings.classification.plan_fingerprint,
        drift_fingerprint=findings.classification.drift_fingerprint,
        closure_hash=findings.closure_hash,
        now=now,
        used=frozenset(
            str(attempt.data["approval"])
            for attempt in attempts(datetime.min.replace(tzinfo=now.tzinfo))
            if attempt.data.get("approval") and attempt.state is AttemptState.SUCCEEDED
        ),
        over=frozenset(proposal.id for number, proposal in enumerate(proposals) if number or proposal.state in _OVER),
        latest=proposals[0].id if proposals else None,
    )
    texts = dict(zip(paths, (text for _, text in contents), strict=True))
    return judge_files(texts, scene.key, facts)


def _files_in(tree: Iterable[str], folder: str) -> list[str]:
    """The files right in a folder; below it may lie those of an environment whose name goes on after a slash."""
    return [path for path in tree if path.startswith(folder) and path.count("/") == folder.count("/")]


def actions_of(resources: Sequence[ResourceChange]) -> tuple[str, ...]:
    """What an apply would do, such as `update aws_sqs_queue.jobs`, sorted."""
    acting = [r for r in resources if r.actions not in ((), ("no-op",), ("read",))]
    words: dict[tuple[str, ...], str] = {("delete", "create"): "replace", ("create", "delete"): "replace"}
    # A key of `for_each` may look like a credential; the file that lists these is public to the team.
    return tuple(sorted(mask(f"{words.get(r.actions, '-'.join(r.actions))} {r.address}") for r in acting))


@dataclass(frozen=True, slots=True)
class Turn:
    """One environment's turn at proposing: what it was found to be, and what with."""

    proposing: Proposing
    scene: Scene
    settings: EnvironmentSettings
    closure: Closure
    engine: Engine
    folders: Folders
    findings: Findings
    report: EnvironmentResult
    approval: PlanApproval
    attempt: Attempt | None
    now: Callable[[], datetime]


def concerned(proposing: Proposing, name: str, decision: Decision) -> bool:
    """Whether there is anything to propose, or a proposal whose end is not told yet."""
    newest = proposing.newest(name)
    return decision.action is Action.PROPOSE or (newest is not None and newest.state not in ENDED)


def proposed(turn: Turn) -> EnvironmentResult:
    """The report with what became of the environment's proposal among its reasons."""
    proposing, report = turn.proposing, turn.report
    if len(proposing.faults) >= _MOST_FAULTS:
        return _with_reasons(report, (f"proposal_failed: {proposing.faults[0]}",))
    means = _means(proposing, report.name, turn.scene.key, turn.now)
    try:
        reasons = settle(means, proposing.newest(report.name), _draft(turn), _outcome(turn))
    except (ForgeFault, OperatorError) as fault:
        said = mask(str(fault)).rstrip(".")
        proposing.faults.append(said)
        reasons = (f"proposal_failed: {said}",)
    return _with_reasons(report, reasons)


def close_left_behind(
    proposing: Proposing, name: str, key: bytes, now: Callable[[], datetime], said: str
) -> tuple[str, ...]:
    """Close the proposal of an environment that is no longer at head; a sentence where that cannot be done now.

    Args:
        said: why, for people.
    """
    outcome = Outcome(undecided=False, in_sync=False, said=said, is_merged=proposing.is_merged)
    try:
        settle(_means(proposing, name, key, now), proposing.newest(name), None, outcome)
    except (ForgeFault, OperatorError) as fault:
        return (f"The proposal for {name}, which is no longer there, could not be closed: {mask(str(fault))}",)
    return ()


def _means(proposing: Proposing, name: str, key: bytes, now: Callable[[], datetime]) -> ProposalMeans:
    return ProposalMeans(
        forge=proposing.forge,
        branches=proposing.branches,
        base=proposing.base,
        key=key,
        now=now,
        save=lambda proposal: proposing.save(name, proposal),
        earlier=lambda: proposing.earlier(name),
        may_open=proposing.may_open,
    )


def _with_reasons(report: EnvironmentResult, reasons: Sequence[str]) -> EnvironmentResult:
    return replace(report, decision=Decision(report.decision.action, (*report.decision.reasons, *reasons)))


def _outcome(turn: Turn) -> Outcome:
    report, attempt = turn.report, turn.attempt
    verdict = report.verdict.value.replace("_", " ")
    applied = attempt is not None and attempt.state is AttemptState.SUCCEEDED
    said = f"{report.name} is {verdict} at {turn.scene.head[:10]}."
    if applied:
        said = f"Applied: {said}"
    elif attempt is not None:
        said = f"The apply did not succeed ({report.decision.reasons[0]}); it is tried again while the approval counts."
    elif report.verdict is not Verdict.IN_SYNC:
        said = f"{said} {'; '.join(report.decision.reasons)}"
    classification = report.classification
    void = turn.approval.void or {}
    newest = turn.proposing.newest(report.name)
    file = f"{folder_of(report.name)}{newest.plan_fingerprint}.yaml" if newest is not None else ""
    return Outcome(
        undecided=report.verdict is Verdict.UNKNOWN,
        in_sync=report.verdict is Verdict.IN_SYNC,
        held=report.decision.action is Action.HOLD,
        said=said,
        drift_fingerprint=classification.drift_fingerprint if classification else None,
        attempted=str(attempt.data.get("approval") or "") or None if attempt else None,
        applied=applied,
        attempt_id=attempt.id if attempt else None,
        approved=turn.approval.id,
        void=void,
        unreadable=void.get(file),
        is_merged=turn.proposing.is_merged,
    )


def _draft(turn: Turn) -> Draft | None:
    report, classification = turn.report, turn.report.classification
    if report.decision.action is not Action.PROPOSE or classification is None:
        return None
    assert classification.plan_fingerprint is not None  # nothing planned is never proposed
    tree = turn.scene.repository.tree(turn.scene.head)
    return Draft(
        environment=turn.settings.name,
        drift_fingerprint=classification.drift_fingerprint,
        plan_fingerprint=classification.plan_fingerprint,
        closure_hash=report.closure_hash,
        commit=turn.scene.head,
        prefer=turn.settings.policy.prefer,
        expires_after=turn.proposing.expires_after,
        choices=lambda: _choices(turn),
        old_files=_files_in(tree, folder_of(turn.settings.name)),
        report=environment_json(report),
        traces=turn.proposing.traces_of(turn.settings.name),
        actions=actions_of(classification.resources),
    )


# --- writing down what reality is --------------------------------------------------------------------


def _choices(turn: Turn) -> Choices:
    """The files that say what reality is, proven by a plan of their commit; or why there are none."""
    classification, document = turn.findings.classification, turn.findings.plan.document
    labels = frozenset[Label]().union(*(r.labels for r in classification.resources))
    if document is None or not labels & _OUTSIDE:
        return Choices()
    if labels & _NOT_TO_BE_ADOPTED:
        return Choices(refused=("a failed apply left something behind, which no code can say",))
    work = turn.findings.plan.work
    source = turn.proposing.source_of(turn.settings, lambda text: turn.engine.formatted(work, text))
    adoption = adopt(tuple(_departures(document, classification.resources)), source)
    if adoption.refusals:
        places = ((f"{r.path}:{r.line}: " if r.path and r.line else "", r) for r in adoption.refusals)
        return Choices(refused=tuple(f"{place}{f'{r.address} {r.attribute}'.strip()}: {r.why}" for place, r in places))
    if not adoption.files:
        return Choices(refused=("there is nothing in the code that could say it",))
    files: dict[str, bytes | None] = dict(adoption.files)
    commit = turn.proposing.branches.commit(turn.scene.head, files, "What reality is, to be planned\n", turn.now())
    why = _not_clean(turn, commit, document)
    return Choices(refused=(why,)) if why else Choices(adoption.files)


def _departures(document: PlanDocument, resources: Sequence[ResourceChange]) -> Iterator[Departure]:
    """The resource instances that were changed outside, with the whole of what is wanted and what is there."""
    changes = {item.address: item.change for item in document.resource_changes if item.deposed is None}
    for resource in resources:
        outside = [a for a in resource.attributes if a.label in _OUTSIDE]
        change = changes.get(resource.address)
        if not outside or change is None:
            continue
        yield Departure(
            address=resource.address,
            type=resource.type,
            desired=decode(change.after),
            reality=decode(change.before),
            attributes=frozenset(_top(a.path) for a in outside if a.path),
            sensitive=frozenset(_top(a.path) for a in outside if a.sensitive),
        )


def _top(path: str) -> str:
    """The top-level attribute of a dotted path with indices."""
    return path.split(".", 1)[0].split("[", 1)[0]


def _not_clean(turn: Turn, commit: str, before: PlanDocument) -> str | None:
    """Why a commit's plan is not what was there without the drift; None where it is."""
    scene = replace(turn.scene, head=commit)
    closure = scene.closure_at(turn.settings, commit)
    if closure is None:
        return "the environment would be gone"
    with ExitStack() as stack:
        try:
            work = working_place(scene, turn.settings, closure, turn.folders, commit, "adopt", stack)
            user_directory = scene.user_root / turn.settings.path if scene.user_root else None
            plan = make_plan(turn.engine, work, closure.init_key, user_directory=user_directory)
        except EnvironmentFault as fault:
            if fault.kind is ErrorKind.INTERRUPTED:
                raise
            return f"the branch could not be planned: {mask(fault.message)}"
    if plan.document is None:
        return None
    known = {repr(fact) for fact in planned_facts(before)}
    new = [fact[0] for fact in planned_facts(plan.document) if repr(fact) not in known]
    outside = {r.address for r in turn.findings.classification.resources if r.labels & _OUTSIDE}
    left = new or [fact[0] for fact in planned_facts(plan.document) if fact[0] in outside]
    return f"a plan of the branch would still change {', '.join(map(str, left[:3]))}" if left else None
