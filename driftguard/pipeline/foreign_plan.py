"""The report of a plan that another tool made: labels without a repository or a ledger."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from driftguard import config
from driftguard.config import IgnoreRule, Policy, Settings
from driftguard.errors import UsageError
from driftguard.model import Action, Classification, Decision, EnvironmentResult, ErrorKind, Fault, RunResult, Verdict
from driftguard.model.plan_document import PlanDocument, UnreadablePlan, read_document
from driftguard.model.provider_schemas import ProviderSchemas, UnreadableSchemas
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.report import RunReport
from driftguard.pipeline.approve.commits import Approvals
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.pipeline.decide.decision import decide
from driftguard.pipeline.decide.facts import Facts
from driftguard.report import run_report

MAX_BYTES: Final = 256 << 20
"""The largest plan or schema that is read; a plan of 10,000 resources has about 100 MiB."""
_MIN_KEY: Final = 16
_ADVICE: Final = "Give the output of `terraform show -json PLANFILE`."


@dataclass(frozen=True, slots=True)
class ForeignPlan:
    """A plan that another tool made, and what is known besides.

    Attributes:
        text: the output of `terraform show -json`.
        source: what messages call it.
        schemas: the output of `terraform providers schema -json` in the same directory.
        baseline: the plan of the last good commit, made against the same reality.
        key: makes the fingerprints; None for none.
        rules: configurations with ignore rules: their names and texts.
        policy_from: the name of the one whose policy decides; None for no decision.
    """

    text: bytes
    source: str
    schemas: bytes | None = None
    baseline: bytes | None = None
    key: bytes | None = None
    rules: tuple[tuple[str, bytes], ...] = ()
    policy_from: str | None = None


def classify_text(plan: ForeignPlan) -> RunReport:
    """The JSON report of a plan that another tool made.

    Raises:
        UsageError: a text is not what it should be.
    """
    given = ((plan.source, plan.text), ("--schema", plan.schemas), ("--baseline-plan", plan.baseline))
    for name, text in given:
        if text is not None and len(text) > MAX_BYTES:
            raise UsageError(
                f"{name} is larger than {MAX_BYTES >> 20} MiB, which is more than is read. Nothing was run."
            )
    now = datetime.now(UTC)
    settings = {name: config.load(written, source=name) for name, written in plan.rules}
    document = _document(plan.text, plan.source)
    before = None if plan.baseline is None else _document(plan.baseline, "--baseline-plan")
    rules = tuple(rule for each in settings.values() for rule in each.ignore if not rule.expired(now))
    classification = _classified(plan, document, before, rules)
    fault = None
    if document.partial:
        fault = Fault(ErrorKind.PARTIAL, "The plan does not cover the whole environment, so its verdict is unknown.")
    verdict = Verdict.UNKNOWN if fault else classification.verdict
    decision = Decision(Action.NONE, (Reason("classify_only"),))
    if plan.policy_from is not None:
        decision = _decided(settings[plan.policy_from], verdict, classification, fault, now)
    report = EnvironmentResult(
        name=plan.source,
        path="",
        workspace="",
        verdict=verdict,
        closure_hash="",
        baseline=None,
        decision=decision,
        classification=classification,
        fault=fault,
    )
    return run_report(RunResult("", "", "", "", now, datetime.now(UTC), (report,)))


def _document(text: bytes, source: str) -> PlanDocument:
    try:
        return read_document(text)
    except UnreadablePlan as error:
        raise UsageError(f"{source}: {error}. {_ADVICE}") from None


def _classified(
    plan: ForeignPlan, document: PlanDocument, before: PlanDocument | None, rules: tuple[IgnoreRule, ...]
) -> Classification:
    """The labels; without a key no fingerprints, which would differ at every call."""
    evidence = Evidence(has_baseline=before is not None, closure_changed=before is not None)
    try:
        schemas = None if plan.schemas is None else ProviderSchemas.read(plan.schemas)
        found = classify(document, evidence, _key(plan), baseline_document=before, ignore=rules, schemas=schemas)
    except UnreadableSchemas as error:
        raise UsageError(f"--schema: {error}.") from None
    except UnreadablePlan as error:
        raise UsageError(f"{plan.source}: {error}. {_ADVICE}") from None
    return found if plan.key is not None else replace(found, drift_fingerprint=None, plan_fingerprint=None)


def _key(plan: ForeignPlan) -> bytes:
    if plan.key is None:
        return secrets.token_bytes(32)
    secret = plan.key.strip()
    if len(secret) < _MIN_KEY:
        raise UsageError(
            f"--key-file holds {len(secret)} bytes, expected at least {_MIN_KEY}: values could be guessed from "
            "fingerprints. Make one with `openssl rand -hex 32`."
        )
    return hashlib.sha256(secret).digest()


def _decided(
    settings: Settings, verdict: Verdict, classification: Classification, fault: Fault | None, now: datetime
) -> Decision:
    """What the policy asks for. Which commits are approved is not known here: only `merged` counts as given."""
    facts = Facts(
        verdict=verdict,
        classification=None if fault else classification,
        fault=fault,
        policy=settings.policy,
        approvals=_approvals(settings.policy),
        now=now,
        can_propose=settings.forge is not None,
    )
    return decide(facts)


def _approvals(policy: Policy) -> Approvals:
    asked = {"signed": ReasonName.NOT_SIGNED, "reviewed": ReasonName.NOT_REVIEWED}.get(policy.approval.require)
    return Approvals(True, ()) if asked is None else Approvals(False, (Reason(asked),))
