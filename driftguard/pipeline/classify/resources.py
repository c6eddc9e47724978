"""One resource of a plan, labelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from driftguard.model import AttributeChange, Label, ResourceChange
from driftguard.model.plan_document import ResourceItem
from driftguard.pipeline.classify.context import Context
from driftguard.pipeline.classify.due import Renewal, due
from driftguard.pipeline.classify.equality import identical, same
from driftguard.pipeline.classify.existence import existence
from driftguard.pipeline.classify.fingerprints import would_act
from driftguard.pipeline.classify.ignoring import ignored
from driftguard.pipeline.classify.mirrors import with_mirrors
from driftguard.pipeline.classify.origins import NAMED, origins
from driftguard.pipeline.classify.places import Difference, is_known
from driftguard.pipeline.classify.restless import (
    by_expression,
    in_a_replacement,
    is_wanted_as_before,
    moves_by_itself,
)
from driftguard.pipeline.classify.rules import NO_BASELINE_VALUE, Ruling, Subject, rule
from driftguard.pipeline.classify.secrets import holds_one
from driftguard.pipeline.classify.tags import tags_of
from driftguard.pipeline.classify.views import Views, places, sensitivity_places
from driftguard.sealed import ABSENT, PRESENT, UNKNOWN, Sealed

# A read that Terraform does at each plan and each apply for a check block alone.
_FOR_A_CHECK = "read_because_check_nested"


def label_resource(context: Context, item: ResourceItem | None, drifted: ResourceItem | None) -> ResourceChange:
    """One resource with the labels of its existence and of its attributes; no labels where nothing changed."""
    known = item or drifted
    assert known is not None
    if item is not None and item.change.actions == ("read",):
        return _read(known)
    views = Views.of(context, known, item, drifted)
    since = _renewal(context, known, views)
    attributes = _labelled(context, known, item, views, since)
    labels = frozenset(attribute.label for attribute in attributes)
    if not labels and drifted is not None:
        labels = frozenset({Label.NOISE})  # Terraform saw a difference that has no meaning
    made_with = _made_with(context, known, item, views)
    again = since is not None and since.again and _is_due(attributes)
    return _change(known, item, labels, attributes, made_with=made_with, tags=tags_of(views), due_again=again)


def _made_with(context: Context, known: ResourceItem, item: ResourceItem | None, views: Views) -> tuple[str, ...]:
    """The attributes of an object that would be made whose values move by themselves."""
    if item is None or "create" not in item.change.actions or not isinstance(views.desired, dict):
        return ()
    values = ((name, value) for name, value in sorted(views.desired.items()) if value is not None)
    return tuple(n for n, value in values if is_known(value) and moves_by_itself(context, known.address, n))


def _renewal(context: Context, known: ResourceItem, views: Views) -> Renewal | None:
    return due(known.type, views.state, context.now) if known.mode == "managed" else None


def _labelled(
    context: Context, known: ResourceItem, item: ResourceItem | None, views: Views, since: Renewal | None
) -> list[AttributeChange]:
    attributes = list(existence(context, known, item, views, since))
    if known.deposed is None:
        attributes += with_mirrors(list(_Attributes(context, known, item, views, since).all()))
    attributes = ignored(context.ignore, known, attributes)
    if not attributes and item is not None and would_act(item):
        return [_without_a_difference(context, views)]
    return attributes


def _is_due(attributes: Sequence[AttributeChange]) -> bool:
    return any(not attribute.path and attribute.label is Label.INPUT for attribute in attributes)


def _read(known: ResourceItem) -> ResourceChange:
    """A data source that is read during the apply: because something that it depends on changes, or for a check."""
    quiet = known.action_reason == _FOR_A_CHECK
    return _change(known, known, frozenset() if quiet else frozenset({Label.DERIVED}), [])


def _change(
    known: ResourceItem,
    item: ResourceItem | None,
    labels: frozenset[Label],
    attributes: Sequence[AttributeChange],
    **more: Any,
) -> ResourceChange:
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
        **more,
    )


def _without_a_difference(context: Context, views: Views) -> AttributeChange:
    """An action is planned without a difference: a provider's private data, or a value that is not in the JSON."""
    label = Label.INPUT if context.evidence.same_closure else Label.PENDING
    s, r, d = (Sealed(ABSENT if value is None else PRESENT) for value in (views.state, views.reality, views.desired))
    return AttributeChange("", label, s, r, d, None, "planned, but no value differs", certain=False)


class _Attributes:
    """The attributes of one resource."""

    def __init__(
        self, context: Context, known: ResourceItem, item: ResourceItem | None, views: Views, since: Renewal | None
    ) -> None:
        self._context, self._known, self._item, self._views, self._due = context, known, item, views, since
        self._evidence = context.evidence
        self._address_before = context.address_before(known)
        self._secrets = context.secrets | views.secret_texts

    def all(self) -> Iterator[AttributeChange]:
        """Every attribute that differs, or whose value is known only after the apply."""
        for place in places(self._views, self._evidence, self._address_before):
            ruling = self._ruling(place)
            if ruling is not None:
                yield self._attribute(place, ruling)
        for place in sensitivity_places(self._views):
            label = Label.INPUT if self._evidence.same_closure else Label.PENDING
            certain = self._evidence.has_baseline
            yield self._attribute(place, Ruling(label, "S=R=D, and the sensitivity changes", certain))

    def _ruling(self, place: Difference) -> Ruling | None:
        """The contract's rows in their order: due, restless, derived, and then those of the values."""
        top = _top(place.path)
        if place.ruling is not None:
            return place.ruling
        if self._due is not None and (place.desired is UNKNOWN or top in self._due.markers):
            return Ruling(Label.INPUT, f"due by the clock since {self._due.since:%Y-%m-%dT%H:%M:%SZ}")
        restless = self._restless(place, top)
        if restless is not None:
            return restless
        if place.desired is UNKNOWN:
            return self._unknown(place, top)
        subject = Subject(self._address_before, place.path, place.copy)
        wanted = self._wanted_before(place, top)
        if place.gone and is_known(wanted) and same(place.desired, wanted):
            return None  # beside a deletion only what a commit changed is news
        ruling = rule(place.state, place.reality, place.desired, wanted, self._evidence, subject)
        return ruling if ruling is None or place.certain else Ruling(ruling.label, ruling.rule, certain=False)

    def _restless(self, place: Difference, top: str) -> Ruling | None:
        if place.gone or not identical(place.state, place.reality):
            return None
        if place.desired is not UNKNOWN and same(place.reality, place.desired):
            return None
        subject = Subject(self._address_before, place.path)
        values = (place.reality, place.desired)
        ruling = by_expression(self._context, self._known.address, top, subject, values)
        if ruling is None or self._item is None or not self._forces_replacement(place):
            return ruling
        return in_a_replacement(self._item, ruling)

    def _forces_replacement(self, place: Difference) -> bool:
        return any(_is_at_or_below(place.path, path) for path in self._views.replace_paths)

    def _wanted_before(self, place: Difference, top: str) -> Any:
        """L: what the baseline's configuration wants."""
        if is_known(place.baseline) and same(place.desired, place.baseline):
            return place.baseline
        moved = is_wanted_as_before(self._context, self._known.address, top, before=self._address_before)
        return place.desired if moved else place.baseline

    def _unknown(self, place: Difference, top: str) -> Ruling:
        configured = self._is_configured(top)
        if configured and not same(place.state, place.reality):
            return Ruling(Label.DRIFT, "S≠R, D is configured but unknown until apply", certain=False)
        return Ruling(Label.DERIVED, "D unknown until apply", certain=place.certain)

    def _is_configured(self, top: str) -> bool:
        shape = self._views.masks.at(top).shape
        if shape is not None and shape.is_computed_only:
            return False
        return bool(self._context.references.is_configured(self._known.address, top))

    def _attribute(self, place: Difference, ruling: Ruling) -> AttributeChange:
        values = (place.state, place.reality, place.desired, place.baseline)
        if self._secrets and not place.secret and any(holds_one(value, self._secrets) for value in values):
            place = replace(place, secret=True)
        return AttributeChange(
            path=place.path,
            label=ruling.label,
            state=Sealed(place.state, secret=place.secret),
            reality=Sealed(ABSENT if place.gone else place.reality, secret=place.secret and not place.gone),
            desired=Sealed(place.desired, secret=place.secret),
            baseline=self._baseline(place),
            rule=ruling.rule,
            certain=ruling.certain,
            unknown=place.desired is UNKNOWN,
            forces_replacement=self._forces_replacement(place),
            causes=self._causes(_top(place.path), ruling),
            moves=ruling.label is Label.RESTLESS or self._moves(place),
        )

    def _moves(self, place: Difference) -> bool:
        wanted = is_known(place.desired) and place.desired is not ABSENT
        return wanted and moves_by_itself(self._context, self._known.address, _top(place.path))

    def _baseline(self, place: Difference) -> Sealed | None:
        if self._evidence.same_closure:
            return Sealed(place.desired, secret=place.secret)  # no commit changed what the configuration wants
        if place.baseline is NO_BASELINE_VALUE:
            return None
        return Sealed(place.baseline if is_known(place.baseline) else UNKNOWN, secret=place.secret)

    def _causes(self, top: str, ruling: Ruling) -> tuple[str, ...]:
        if ruling.label in NAMED:
            return origins(self._context, self._known, top)
        if ruling.label is not Label.DERIVED:
            return ()
        if not self._is_configured(top):
            return (self._known.address,)  # computed by the provider: it follows from the resource's own change
        context = self._context
        return tuple(sorted(context.references.causes(self._known.address, top) & context.becoming_known))


def _top(path: str) -> str:
    return path.split(".", 1)[0].split("[", 1)[0]


def _is_at_or_below(path: str, replace_path: Sequence[Any]) -> bool:
    text = ""
    for step in replace_path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    bag = text.split("[")[0] + "[]"
    return path in (text, bag) or path.startswith((f"{text}.", f"{text}[", f"{bag}."))
