"""S, R, D and L of one object, and the places where its attributes part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from driftguard.model import Label
from driftguard.model.plan_document import Change, ResourceItem, decode
from driftguard.pipeline.classify.context import Context
from driftguard.pipeline.classify.equality import identical, is_zero, same, same_form
from driftguard.pipeline.classify.places import Difference, Four, Masks, any_true, child, covered, is_known
from driftguard.pipeline.classify.rules import NO_BASELINE_VALUE, Evidence, Ruling, Subject, held
from driftguard.pipeline.classify.secrets import masked_texts, unmarked
from driftguard.pipeline.classify.walk import walk
from driftguard.sealed import ABSENT, UNKNOWN


@dataclass(frozen=True, slots=True)
class Views:
    """S, R, D and L of one object, decoded; None where the object does not exist in that view.

    Attributes:
        sensitive: the sensitivity masks of R and D, whose difference alone is a planned change.
        is_replaced: whether a new object is planned in place of the old one.
        is_forgotten: whether the object stays as it is, outside of the state.
    """

    state: Any
    reality: Any
    desired: Any
    baseline: Any
    masks: Masks
    replace_paths: tuple[tuple[Any, ...], ...]
    sensitive: tuple[Any, Any]
    is_replaced: bool
    is_forgotten: bool

    @classmethod
    def of(
        cls, context: Context, known: ResourceItem, item: ResourceItem | None, drifted: ResourceItem | None
    ) -> Views:
        """The views of one object, from its planned change and from what was found changed outside Terraform.

        R is what the refresh found, wherever that is recorded: `before` of a planned deletion may be older.
        """
        reality = decode(drifted.change.after if drifted else known.change.before)
        state = decode(drifted.change.before) if drifted else reality
        desired = decode(item.change.after) if item else reality
        baseline, baseline_unknown = _baseline_view(context, known)
        shape = context.schemas.shape(known.provider_name, known.type) if context.schemas else None
        unknown = decode(item.change.after_unknown) if item else False
        planned = _sensitivity(item)
        secret = _secret_masks(context, item, (*planned, *_sensitivity(drifted)), desired)
        return cls(
            state=state,
            reality=reality,
            desired=desired,
            baseline=baseline,
            masks=Masks(unknown, baseline_unknown, secret, shape),
            replace_paths=_replace_paths(item.change) if item else (),
            sensitive=planned,
            is_replaced=item is not None and len(item.change.actions) > 1,
            is_forgotten=item is not None and item.change.actions == ("forget",),
        )

    @property
    def secret_texts(self) -> frozenset[str]:
        """The texts of what is sealed: a provider may have computed another attribute from one."""
        return masked_texts((self.state, self.reality, self.desired), self.secret)

    @property
    def secret(self) -> tuple[Any, ...]:
        """Every sensitivity mask of the object."""
        return self.masks.secret


def _sensitivity(item: ResourceItem | None) -> tuple[Any, Any]:
    """The sensitivity masks before and after a change."""
    return (decode(item.change.before_sensitive), decode(item.change.after_sensitive)) if item else (False, False)


def _secret_masks(context: Context, item: ResourceItem | None, masks: tuple[Any, ...], desired: Any) -> tuple[Any, ...]:
    """Those of Terraform's masks that cover anything; of an object that is replaced also what it does not mark."""
    found = [mask for mask in masks if any_true(mask)]
    if item is not None and len(item.change.actions) > 1 and isinstance(desired, dict):
        found.append(unmarked(context, item.address, desired, found))
    return tuple(found)


def _replace_paths(change: Change) -> tuple[tuple[Any, ...], ...]:
    paths = decode(change.replace_paths)
    return tuple(tuple(path) for path in paths if isinstance(path, list)) if isinstance(paths, list) else ()


def _baseline_view(context: Context, known: ResourceItem) -> tuple[Any, Any]:
    """L of a whole object with its mask of unknowns; `NO_BASELINE_VALUE` without a baseline plan."""
    if context.wanted is None:
        return NO_BASELINE_VALUE, False
    found = context.baseline_item(known)
    if found is None:
        return None, False
    return decode(found.change.after), decode(found.change.after_unknown)


def places(views: Views, evidence: Evidence, address: str) -> Iterable[Difference]:
    """Where the attributes part.

    Args:
        address: the object's at the baseline.
    """
    state, reality, desired = views.state, views.reality, views.desired
    if state is None or views.is_forgotten:
        return ()
    if reality is not None and desired is not None:
        found = walk("", Four(state, reality, desired, views.baseline), views.masks)
        return (place for place in found if not _is_form_alone(place, replaced=views.is_replaced))
    if reality is not None:
        return _lost_with_the_object(views, evidence, address)
    if desired is not None:
        return _beside_a_deletion(views, evidence)
    return ()


def sensitivity_places(views: Views) -> Iterator[Difference]:
    """Where nothing but the sensitivity would change."""
    before, after = views.sensitive
    if not views.secret or not isinstance(views.reality, dict) or not isinstance(views.desired, dict):
        return
    for name in sorted(views.desired):
        old, new = child(before, name), child(after, name)
        if covered(old) != covered(new) and identical(views.reality.get(name), views.desired[name]):
            value = views.desired[name]
            yield Difference(name, value, value, value, NO_BASELINE_VALUE, secret=True)


def _is_form_alone(place: Difference, *, replaced: bool) -> bool:
    """Whether nothing is planned for a place whose values are all zero ones: null, false, 0, "", [] and {}.

    A new object is planned without a look at the old one, so there null stands where the old one has a zero value.
    """
    if place.desired is UNKNOWN or not (is_zero(place.state) and is_zero(place.reality)):
        return False
    planned = not identical(place.reality, place.desired)
    return not planned or (replaced and is_zero(place.desired))


def _beside_a_deletion(views: Views, evidence: Evidence) -> Iterator[Difference]:
    """Deleted outside Terraform and wanted: beside its existence, only what a commit changed since is news."""
    if evidence.same_closure:
        return
    masks = replace(views.masks, lenient=not is_known(views.baseline))
    for place in walk("", Four(views.state, views.state, views.desired, views.baseline), masks):
        if place.desired is UNKNOWN:
            continue
        unchanged = (
            same(place.desired, place.baseline)
            if is_known(place.baseline)
            else same_form(place.state, place.desired) or _is_left_to_the_provider(place)
        )
        if not unchanged:
            yield replace(place, gone=True)


def _is_left_to_the_provider(place: Difference) -> bool:
    """Whether an element does not set a value that the provider had filled in. An element that is gone was removed."""
    of_an_element = "[" in place.path and not place.path.endswith("]")
    return of_an_element and (place.desired is None or place.desired is ABSENT)


def _lost_with_the_object(views: Views, evidence: Evidence, address: str) -> Iterator[Difference]:
    """About to be deleted: an outside change that the last good configuration would undo is lost with it."""
    baseline = None if evidence.same_closure else views.baseline
    masks = Masks(False, views.masks.baseline_unknown, views.secret, views.masks.shape)
    for place in walk("", Four(views.state, views.reality, views.reality, baseline), masks):
        if same_form(place.state, place.reality):
            continue
        then = held(evidence, Subject(address, place.path, place.copy), place.reality, place.state)
        ruling = _lost(place, baseline, then)
        if ruling is not None:
            yield replace(place, desired=ABSENT, ruling=ruling)


def _lost(place: Difference, baseline: Any, reality_held: bool | None) -> Ruling | None:
    if baseline is None:
        return Ruling(Label.DRIFT, "S≠R, D absent, D=L", certain=False)
    if reality_held:
        return None  # a state that was rolled back: nothing has changed since the baseline
    if not is_known(place.baseline):
        return Ruling(Label.CONFLICT, "S≠R, D absent, L unknown", certain=False)
    if same(place.reality, place.baseline):
        return None
    return Ruling(Label.CONFLICT, "S≠R, R≠L, D absent")
