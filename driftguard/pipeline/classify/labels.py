"""Labels every change of a plan by its cause, from the values of state, reality, configuration and baseline.

Takes a decoded plan, what is known of the baseline, ignore rules and the key for digests; gives a
`Classification`. Pure: no clock, no port, no randomness, no order dependence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from driftguard.model import Classification, Label, ResourceChange, Verdict
from driftguard.model.configuration_sources import Sources
from driftguard.model.plan_configuration import without_keys
from driftguard.model.plan_document import PlanDocument, ResourceItem
from driftguard.pipeline.classify.context import Context, Ignoring, Schemas
from driftguard.pipeline.classify.fingerprints import drift_fingerprint, plan_fingerprint, would_act
from driftguard.pipeline.classify.invocations import label_invocations
from driftguard.pipeline.classify.outputs import follows_alone, label_outputs
from driftguard.pipeline.classify.resources import label_resource
from driftguard.pipeline.classify.rules import Evidence
from driftguard.pipeline.classify.verdicts import counted_labels, restless_alone, verdict_of

__all__ = ["DriftedAddress", "Evidence", "classify", "classify_quiet", "verdict_of"]


@dataclass(frozen=True, slots=True)
class DriftedAddress:
    """One resource that a plan's event stream reported as changed outside Terraform."""

    address: str
    type: str
    provider: str


def classify_quiet(drifted: Iterable[DriftedAddress], evidence: Evidence) -> Classification:
    """The classification of a plan that would change nothing: whatever differs is `noise` or `adopted`.

    Values are not known here, so which of the two it is follows from whether a commit touched the closure at all.
    """
    label = Label.ADOPTED if evidence.closure_changed else Label.NOISE
    certain = evidence.has_baseline and not evidence.closure_changed
    resources = tuple(
        ResourceChange(item.address, item.type, item.provider, (), frozenset({label}), certain, ())
        for item in sorted(set(drifted), key=lambda item: item.address)
    )
    return Classification(Verdict.IN_SYNC, resources, (), None, None)


def classify(
    document: PlanDocument,
    evidence: Evidence,
    key: bytes,
    *,
    baseline_document: PlanDocument | None = None,
    ignore: Sequence[Ignoring] = (),
    schemas: Schemas | None = None,
    sources: Sources | None = None,
) -> Classification:
    """The classification of one plan.

    Args:
        baseline_document: the plan of the baseline's commit against the same reality, which gives L.
        ignore: rules in force today.
        schemas: the providers' schemas; without them, whether a list is a set is not known.
        sources: the configuration's text; without it, what moves by itself is not certain.

    Raises:
        UnreadablePlan: a value in the plan cannot be decoded.
    """
    context = Context(document, evidence, baseline_document, tuple(ignore), schemas, sources)
    labelled = _resources(context)
    outputs = tuple(label_outputs(context))
    invocations = tuple(label_invocations(document, {r.address: r for r in labelled}))
    alone = restless_alone(labelled)
    counted = [counted_labels(resource, alone) for resource in labelled]
    counted += [frozenset({o.label}) for o in outputs if not follows_alone(context, o, alone)]
    counted += [frozenset({i.label}) for i in invocations if without_keys(i.trigger or "") not in alone]
    return Classification(
        verdict=verdict_of(counted),
        resources=labelled,
        outputs=outputs,
        drift_fingerprint=drift_fingerprint(labelled, key),
        plan_fingerprint=plan_fingerprint(document, key, (*labelled, *outputs)),
        resource_count=sum(_exists(item) for item in document.resource_changes if item.mode == "managed"),
        invocations=invocations,
    )


def _resources(context: Context) -> tuple[ResourceChange, ...]:
    document = context.document
    drift = {(item.address, item.deposed): item for item in document.resource_drift}
    resources = []
    for item in document.resource_changes:
        drifted = drift.pop((item.address, item.deposed), None)
        if drifted is not None or would_act(item) or item.change.actions == ("read",):
            resources.append(label_resource(context, item, drifted))
    resources.extend(label_resource(context, None, item) for item in drift.values())
    return tuple(sorted((r for r in resources if r.labels), key=lambda r: (r.address, r.deposed or "")))


def _exists(item: ResourceItem) -> bool:
    return bytes(item.change.before) != b"null"
