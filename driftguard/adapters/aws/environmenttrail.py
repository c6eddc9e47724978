"""CloudTrail, asked with each environment's own credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from driftguard.adapters.aws.trail import CloudTrail
from driftguard.config import EnvironmentSettings
from driftguard.model import DriftedObject, TrailEvent
from driftguard.ports import StopSignal, TerraformVariables, Trail


class EnvironmentTrail(Trail):
    """CloudTrail, asked with the credentials that each environment plans with."""

    def __init__(
        self,
        environments: Mapping[str, EnvironmentSettings],
        variables: TerraformVariables,
        stop: StopSignal,
        own_roles: AbstractSet[str],
    ) -> None:
        """`variables` give an environment's credentials; a `stop` ends the questions; see `CloudTrail.own_roles`."""
        self._environments, self._variables = environments, variables
        self._trail = CloudTrail(stopping=lambda: stop.requested, own_roles=own_roles)

    def events(
        self, environment: str, objects: Sequence[DriftedObject], since: datetime, until: datetime
    ) -> tuple[tuple[TrailEvent, ...], str | None]:
        """See `Trail.events`; CloudTrail's own failures are in the sentence."""
        variables = self._variables.variables(self._environments[environment], "plan")
        return self._trail.events(objects, since, until, variables, None)
