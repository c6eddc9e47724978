"""The schemas of the resource types that a plan changes: from the cache, or from the tool, once for each version.

Takes a plan's document and where it was made; gives `ProviderSchemas`. A failure is a warning: without schemas, a list
of one element is compared by position, because the plan's JSON shows sets as lists.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set

import msgspec

from driftguard.errors import EnvironmentFault
from driftguard.model import ErrorKind
from driftguard.model.plan_document import PlanDocument, ResourceItem
from driftguard.model.provider_schemas import ProviderSchemas, UnreadableSchemas
from driftguard.ports import PlanEngine, SchemaCache, WorkingDirectory

_BUILT_IN = "terraform.io/builtin/"
_ELEMENTS = re.compile(rb"\[\s*[^\]\s]")

Types = Mapping[str, Set[str]]


def schemas_of(
    document: PlanDocument, engine: PlanEngine, work: WorkingDirectory, cache: SchemaCache
) -> tuple[ProviderSchemas | None, str | None]:
    """The schemas that labelling a plan needs, and a warning where they could not be read.

    None without a warning where no changed resource has a list, so that no schema is needed.
    """
    needed = types_with_lists(document)
    if not needed:
        return None, None
    versions = engine.providers(work)
    kept = {name: cache.read(name, versions[name], types) for name, types in needed.items() if name in versions}
    found = {name: types for name, types in kept.items() if types is not None}
    if found.keys() == needed.keys():
        return ProviderSchemas(
            {n: {t: msgspec.Raw(raw) for t, raw in types.items()} for n, types in found.items()}
        ), None
    try:
        schemas = ProviderSchemas.read(engine.schemas(work))
    except (EnvironmentFault, UnreadableSchemas) as error:
        if isinstance(error, EnvironmentFault) and error.kind is ErrorKind.INTERRUPTED:
            raise
        return None, f"The schemas of the providers could not be read ({error}), so sets are compared as lists."
    for name, version in versions.items():
        if name not in found and (types := schemas.types(name)):
            cache.keep(name, version, types)
    return schemas, None


def types_with_lists(document: PlanDocument) -> Types:
    """The resource types with a changed object that has a list, by provider: only there a set can be taken for one."""
    needed: dict[str, set[str]] = defaultdict(set)
    for item in _changed(document):
        change = item.change
        if any(_ELEMENTS.search(bytes(raw)) for raw in (change.before, change.after, change.after_unknown)):
            needed[item.provider_name].add(item.type)
    return {name: types for name, types in needed.items() if not name.startswith(_BUILT_IN)}


def _changed(document: PlanDocument) -> Iterator[ResourceItem]:
    yield from document.resource_drift
    yield from (item for item in document.resource_changes if item.change.actions != ("no-op",))
