"""What stands behind a value that the configuration wants anew: a version of a module or provider, or variables. Pure.

Nothing is named on thin evidence: where a commit changed the expression itself, the commit is the cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from driftguard.model import Label
from driftguard.model.plan_configuration import module_path
from driftguard.model.plan_document import PlanDocument, ResourceItem, decode
from driftguard.pipeline.classify.context import Context
from driftguard.pipeline.classify.equality import identical

NAMED = frozenset({Label.PENDING, Label.INPUT})


def upgraded(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Providers whose version is another one, such as `hashicorp/aws 5.99.1 → 5.100.0`, by their addresses."""
    return {
        address: f"{address.removeprefix('registry.terraform.io/')} {before[address]} → {version}"
        for address, version in now.items()
        if before.get(address, version) != version
    }


def origins(context: Context, known: ResourceItem, top: str) -> tuple[str, ...]:
    """The version or the variables behind a change of a top-level attribute; empty where they are not known.

    Returns:
        Such as `module.app 1.2.0 → 1.3.0`, `hashicorp/aws 5.99.1 → 5.100.0` or `var.image_tag`.
    """
    if not context.evidence.has_baseline:
        return ()
    modules = tuple(_modules(context, known.address))
    if modules:
        return modules[:1]
    reached = context.references.reached(known.address, top)
    upgraded = context.evidence.upgraded.get(known.provider_name)
    if context.baseline_document is None:
        # No commit changed what is wanted: a new version, or a variable from outside.
        alone = not reached.resources and not reached.open and len(reached.variables) == 1
        given = tuple(f"var.{name}" for name in reached.variables) if alone else ()
        return (upgraded,) if upgraded and not reached.variables else () if upgraded else given
    changed = _changed_variables(context.document, context.baseline_document) & reached.variables
    if changed:
        return tuple(f"var.{name}" for name in sorted(changed))
    return (upgraded,) if upgraded and _is_as_before(context, known, top) else ()


def _is_as_before(context: Context, known: ResourceItem, top: str) -> bool:
    """Whether no commit changed what the attribute is made of, or it is not configured at all."""
    if context.references.is_configured(known.address, top) is False:
        return True
    before = context.address_before(known)
    source = None if context.sources is None else context.sources.of(known.address, top, before=before)
    return source is not None and source.unchanged


def _modules(context: Context, address: str) -> Iterator[str]:
    """The modules around an address that were called in another version at the baseline, outermost first."""
    if context.baseline_references is None:
        return
    path = module_path(address)
    before = context.baseline_references.module_versions(path)
    for name, old, new in zip(path, before, context.references.module_versions(path), strict=True):
        if old and new and old != new:
            yield f"module.{name} {old} → {new}"


def _changed_variables(document: PlanDocument, before: PlanDocument) -> frozenset[str]:
    """The root variables that have another value than in the baseline's plan."""
    now, then = _values(document), _values(before)
    return frozenset(name for name in now.keys() & then.keys() if not identical(now[name], then[name]))


def _values(document: PlanDocument) -> Mapping[str, Any]:
    found = decode(document.variables)
    return found if isinstance(found, dict) else {}
