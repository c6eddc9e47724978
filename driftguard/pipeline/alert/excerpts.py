"""What an alert keeps of an environment's report. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from driftguard.model.report import EnvironmentReport, ResourceReport
from driftguard.model.words import OUTSIDE, SETTLED
from driftguard.pipeline.consequences import rank

_MAX_RESOURCES: Final = 200
_MAX_ATTRIBUTES: Final = 30


def excerpt(environment: EnvironmentReport, commit: str) -> EnvironmentReport:
    """A report without settled changes, cut to what an alert can show: first what an apply destroys, then what
    was changed outside Terraform.

    Args:
        commit: the commit that was planned.
    """
    unsettled = [resource for resource in environment.resources if not SETTLED.issuperset(resource.labels)]
    unsettled.sort(key=lambda resource: (rank(resource), not resource.changed_outside))
    return msgspec.structs.replace(
        environment,
        resources=tuple(map(_resource_excerpt, unsettled[:_MAX_RESOURCES])),
        resources_omitted=max(0, len(unsettled) - _MAX_RESOURCES),
        commit=commit,
    )


def _resource_excerpt(resource: ResourceReport) -> ResourceReport:
    attributes = [attribute for attribute in resource.attributes if attribute.label not in SETTLED]
    attributes.sort(key=lambda attribute: attribute.label not in OUTSIDE)
    return msgspec.structs.replace(
        resource,
        attributes=tuple(attributes[:_MAX_ATTRIBUTES]),
        attributes_omitted=max(0, len(attributes) - _MAX_ATTRIBUTES),
    )
