"""Labels every change of a plan by its cause, from the values of state, reality, configuration and baseline.

Takes a decoded plan, what is known of the baseline, ignore rules and the key for digests; gives a
`Classification`. Pure: no clock, no port, no randomness, no order dependence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from driftguard.model import AttributeChange, Classification, Label, OutputChange, ResourceChange, Verdict
from driftguard.model.plan_document import (
    Change,
    ConfigurationReferences,
    PlanDocument,
    ResourceItem,
    decode,
    without_keys,
)
from driftguard.model.words import DRIFTED, UNAPPLIED
from driftguard.pipeline.classify.equality import same
from driftguard.pipeline.classify.fingerprints import drift_fingerprint, plan_fingerprint, would_act
from driftguard.pipeline.classify.rules import NO_BASELINE_VALUE, Evidence, Ruling, rule
from driftguard.pipeline.classify.walk import Masks, Place, walk
from driftguard.sealed import ABSENT, PRESENT, UNKNOWN, Sealed

__all__ = ["DriftedAddress", "Evidence", "classify", "classify_quiet", "verdict_of"]


class Ignoring(Protocol):
    """One ignore rule of the user that is in force."""

    @property
    def name(self) -> str: ...

    def matches(self, address: str, path: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class DriftedAddress:
    """One resource that a plan's event stream reported as changed outside."""

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
) -> Classification:
    """The classification of one plan.

    Args:
        baseline_document: the plan of the baseline's commit against the same reality, which tells L.
        ignore: rules in force today.

    Raises:
        UnreadablePlan: a value in the plan cannot be decoded.
    """
    context = _Context(document, evidence, baseline_document, tuple(ignore))
    drift = {(item.address, item.deposed): item for item in document.resource_drift}
    resources = []
    for item in document.resource_changes:
        drifted = drift.pop((item.address, item.deposed), None)
        if drifted is not None or would_act(item) or item.change.actions == ("read",):
            resources.append(_resource(context, item, drifted))
    resources.extend(_resource(context, None, item) for item in drift.values())
    labelled = tuple(sorted((r for r in resources if r.labels), key=lambda r: (r.address, r.deposed or "")))
    outputs = _outputs(context)
    return Classification(
        verdict=verdict_of([*(r.labels for r in labelled), *({o.label} for o in outputs)]),
        resources=labelled,
        outputs=outputs,
        drift_fingerprint=drift_fingerprint(labelled, key),
        plan_fingerprint=plan_fingerprint(document, key),
        resource_count=sum(_exists(item.change.before) for item in document.resource_changes if item.mode == "managed"),
    )


def verdict_of(label_sets: Iterable[Iterable[Label]]) -> Verdict:
    """An environment's verdict from the labels of all its resources and outputs."""
    labels = frozenset[Label]().union(*label_sets)
    drifted, waiting = bool(labels & DRIFTED), bool(labels & UNAPPLIED)
    if Label.CONFLICT in labels or (drifted and waiting):
        return Verdict.DIVERGED
    if drifted:
        return Verdict.DRIFTED
    # A value that is known only after apply, with nothing that it follows from, is planned all the same.
    return Verdict.PENDING if waiting or Label.DERIVED in labels else Verdict.IN_SYNC


class _Context:
    """What all resources of one plan share."""

    def __init__(
        self,
        document: PlanDocument,
        evidence: Evidence,
        baseline_document: PlanDocument | None,
        ignore: tuple[Ignoring, ...],
    ) -> None:
        self.document, self.evidence, self.ignore = document, evidence, ignore
        self.wanted: Mapping[str, ResourceItem] | None = None
        self.wanted_outputs: Mapping[str, Change] | None = None
        if baseline_document is not None:
            self.wanted = {i.address: i for i in baseline_document.resource_changes if i.deposed is None}
            self.wanted_outputs = baseline_document.output_changes
        changing = (i for i in document.resource_changes if would_act(i) or i.change.actions == ("read",))
        self.becoming_known = {without_keys(i.address) for i in changing if _unknown(i.change)}
        self._references: ConfigurationReferences | None = None

    @property
    def references(self) -> ConfigurationReferences:
        if self._references is None:
            self._references = ConfigurationReferences(self.document)
        return self._references

    def baseline_item(self, address: str, previous_address: str | None) -> ResourceItem | None:
        wanted = self.wanted or {}
        return wanted.get(address) or wanted.get(previous_address or address)


def _resource(context: _Context, item: ResourceItem | None, drifted: ResourceItem | None) -> ResourceChange:
    known = item or drifted
    assert known is not None
    views = _Views.of(context, known, item, drifted)
    attributes = _existence(context, known, views)
    attributes += [a for place in _places(views) if (a := _attribute(context, known, views, place))]
    if known.action_reason == "read_because_dependency_pending" or (item and item.change.actions == ("read",)):
        labels, attributes = frozenset({Label.DERIVED}), []
    else:
        attributes = _ignore(context, known, attributes)
        labels = frozenset(attribute.label for attribute in attributes)
        if not labels and drifted is not None:
            labels = frozenset({Label.NOISE})  # Terraform saw a difference that has no meaning
    return ResourceChange(
        address=known.address,
        type=known.type,
        provider=known.provider_name,
        actions=item.change.actions if item else (),
        labels=labels,
        certain=all(attribute.certain for attribute in attributes),
        attributes=tuple(attributes),
        previous_address=known.previous_address,
        deposed=known.deposed,
        action_reason=known.action_reason,
    )


@dataclass(frozen=True, slots=True)
class _Views:
    """S, R, D and L of one object, decoded; None where the object does not exist in that view."""

    state: Any
    reality: Any
    desired: Any
    baseline: Any
    masks: Masks
    replace_paths: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(
        cls, context: _Context, known: ResourceItem, item: ResourceItem | None, drifted: ResourceItem | None
    ) -> _Views:
        reality_raw = item.change.before if item else known.change.after
        reality = decode(reality_raw)
        state = decode(drifted.change.before) if drifted else reality
        desired = decode(item.change.after) if item else reality
        secret = [decode(c.before_sensitive) for c in _changes(item, drifted)]
        secret += [decode(c.after_sensitive) for c in _changes(item, drifted)]
        baseline, baseline_unknown = _baseline_view(context, known)
        return cls(
            state=state,
            reality=reality,
            desired=desired,
            baseline=baseline,
            masks=Masks(decode(item.change.after_unknown) if item else False, baseline_unknown, tuple(secret)),
            replace_paths=tuple(tuple(path) for path in (decode(item.change.replace_paths) or [])) if item else (),
        )


def _changes(*items: ResourceItem | None) -> list[Change]:
    return [item.change for item in items if item]


def _baseline_view(context: _Context, known: ResourceItem) -> tuple[Any, Any]:
    """L of a whole object with its mask of unknowns; `NO_BASELINE_VALUE` without a baseline plan."""
    if context.wanted is None:
        return NO_BASELINE_VALUE, False
    found = context.baseline_item(known.address, known.previous_address)
    if found is None:
        return None, False
    return decode(found.change.after), decode(found.change.after_unknown)


def _existence(context: _Context, known: ResourceItem, views: _Views) -> list[AttributeChange]:
    """The label of the object's existence: created, deleted, left behind, moved, imported, forgotten."""
    ruling = _existence_ruling(context, known, views)
    if ruling is None:
        return []
    known_baseline = None if views.baseline is NO_BASELINE_VALUE else Sealed(_there(views.baseline))
    return [
        AttributeChange(
            path="",
            label=ruling.label,
            state=Sealed(_there(views.state)),
            reality=Sealed(_there(views.reality)),
            desired=Sealed(_there(views.desired)),
            baseline=known_baseline,
            rule=ruling.rule,
            certain=ruling.certain,
        )
    ]


def _existence_ruling(context: _Context, known: ResourceItem, views: _Views) -> Ruling | None:
    if known.deposed is not None:
        return Ruling(Label.RESIDUE, "deposed object")
    if known.action_reason == "replace_because_tainted":
        return Ruling(Label.RESIDUE, "tainted object")
    if "forget" in known.change.actions:
        return Ruling(Label.REFACTOR, "removed from the configuration without being destroyed")
    if known.change.is_import:
        return Ruling(Label.REFACTOR, "imported")
    if known.previous_address not in (None, known.address):
        return Ruling(Label.REFACTOR, f"moved from {known.previous_address}")
    baseline = views.baseline if views.baseline is NO_BASELINE_VALUE else _there(views.baseline)
    return rule(_there(views.state), _there(views.reality), _there(views.desired), baseline, context.evidence)


def _there(value: Any) -> Any:
    return ABSENT if value is None else PRESENT


def _places(views: _Views) -> Iterable[Place]:
    """Where the attributes part. Views in which the object does not exist are filled from their neighbours."""
    state, reality, desired = views.state, views.reality, views.desired
    if desired is None and reality is not None and state is not None and isinstance(views.baseline, dict):
        # About to be deleted: an outside change that the last good configuration would undo is lost with it.
        undone = Masks(secret=views.masks.secret)
        for place in walk("", state, reality, views.baseline, views.baseline, undone):
            if not same(place.state, place.reality) and not same(place.reality, place.baseline):
                yield replace(place, desired=ABSENT)
        return
    if reality is None and state is not None and desired is not None:
        # Deleted outside and wanted: beside its existence, only what a commit changed meanwhile is news.
        masks = replace(views.masks, unknown=False)
        for place in walk("", state, state, desired, views.baseline, masks):
            if place.desired is not None:
                yield place
        return
    if state is None or reality is None or desired is None:
        return
    yield from walk("", state, reality, desired, views.baseline, views.masks)


def _attribute(context: _Context, known: ResourceItem, views: _Views, place: Place) -> AttributeChange | None:
    ruling = rule(place.state, place.reality, place.desired, place.baseline, context.evidence)
    if ruling is None:
        return None
    causes: tuple[str, ...] = ()
    top = place.path.split(".")[0].split("[")[0]
    if place.desired is UNKNOWN:
        configured = context.references.is_configured(known.address, top)
        if configured and not same(place.state, place.reality):
            ruling = Ruling(Label.CONFLICT, "S≠R, D is configured but unknown until apply", certain=False)
        causes = _causes(context, known, top, bool(configured))
    return AttributeChange(
        path=place.path,
        label=ruling.label,
        state=Sealed(place.state, secret=place.secret),
        reality=Sealed(place.reality, secret=place.secret),
        desired=Sealed(place.desired, secret=place.secret),
        baseline=_sealed_baseline(context, place),
        rule=ruling.rule,
        certain=ruling.certain,
        unknown=place.desired is UNKNOWN,
        forces_replacement=any(_is_below(place.path, path) for path in views.replace_paths),
        causes=causes,
    )


def _sealed_baseline(context: _Context, place: Place) -> Sealed | None:
    if context.evidence.has_baseline and not context.evidence.closure_changed:
        return Sealed(place.desired, secret=place.secret)  # no commit changed what the configuration wants
    return None if place.baseline is NO_BASELINE_VALUE else Sealed(place.baseline, secret=place.secret)


def _causes(context: _Context, known: ResourceItem, top: str, configured: bool) -> tuple[str, ...]:
    if not configured:
        return (known.address,)  # computed by the provider: it follows from the resource's own change
    return tuple(sorted(context.references.causes(known.address, top) & context.becoming_known))


def _is_below(path: str, replace_path: Sequence[Any]) -> bool:
    text = ""
    for step in replace_path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    bag = text.split("[")[0] + "[]"
    return path in (text, bag) or path.startswith((f"{text}.", f"{text}["))


def _ignore(context: _Context, known: ResourceItem, attributes: list[AttributeChange]) -> list[AttributeChange]:
    """Turn what the user's rules cover into noise; never for a resource that would be deleted or replaced."""
    if not context.ignore or {"delete", "forget"} & set(known.change.actions):
        return attributes
    covered = [_ignored(context, known.address, attribute) for attribute in attributes]
    primary = [a for a in covered if a.label is not Label.DERIVED and not (a.label is Label.NOISE and not a.ignored_by)]
    if primary and all(attribute.ignored_by for attribute in primary):
        first = primary[0].ignored_by
        own = (known.address,)
        return [
            replace(a, label=Label.NOISE, ignored_by=first) if a.label is Label.DERIVED and a.causes == own else a
            for a in covered
        ]
    return covered


def _ignored(context: _Context, address: str, attribute: AttributeChange) -> AttributeChange:
    if attribute.path == "" or attribute.label is Label.NOISE:
        return attribute
    for ignoring in context.ignore:
        if ignoring.matches(address, attribute.path):
            return replace(attribute, label=Label.NOISE, ignored_by=ignoring.name)
    return attribute


def _outputs(context: _Context) -> tuple[OutputChange, ...]:
    """Outputs have no reality of their own: S and R are what the state holds."""
    changes = []
    for name, change in sorted(context.document.output_changes.items()):
        if change.actions == ("no-op",):
            continue
        before, after = decode(change.before), decode(change.after)
        baseline: Any = NO_BASELINE_VALUE
        if context.wanted_outputs is not None:
            wanted = context.wanted_outputs.get(name)
            baseline = (decode(wanted.after) if wanted else None) if not _unknown(wanted) else UNKNOWN
        desired = UNKNOWN if _unknown(change) else after
        created = change.actions == ("create",)
        ruling = rule(ABSENT if created else before, ABSENT if created else before, desired, baseline, context.evidence)
        if ruling is not None:
            secret = decode(change.before_sensitive) is True or decode(change.after_sensitive) is True
            changes.append(OutputChange(name, ruling.label, secret, ruling.certain, ruling.rule))
    return tuple(changes)


def _unknown(change: Change | None) -> bool:
    return change is not None and "true" in bytes(change.after_unknown).decode()


def _exists(raw: Any) -> bool:
    return bytes(raw) != b"null"
