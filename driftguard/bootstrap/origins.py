"""Who changed what: CloudTrail with each environment's own credentials, and the authors of its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from driftguard.adapters.aws.trail import CloudTrail
from driftguard.config import EnvironmentSettings
from driftguard.model import DriftedObject, TrailEvent, Written
from driftguard.pipeline.alert.guides import own_roles
from driftguard.pipeline.authorship import Authorship
from driftguard.ports import BlockAuthors, StopSignal, TerraformVariables, Trail


class EnvironmentTrail(Trail):
    """CloudTrail, asked with the credentials that each environment plans with."""

    def __init__(
        self,
        environments: Mapping[str, EnvironmentSettings],
        variables: TerraformVariables,
        stop: StopSignal,
    ) -> None:
        """`variables` give an environment's credentials; a `stop` ends the questions."""
        self._environments, self._variables = environments, variables
        self._trail = CloudTrail(stopping=lambda: stop.requested, own_roles=own_roles(list(environments.values())))

    def events(
        self, environment: str, objects: Sequence[DriftedObject], since: datetime, until: datetime
    ) -> tuple[tuple[TrailEvent, ...], str | None]:
        """See `Trail.events`; CloudTrail's own failures are in the sentence."""
        variables = self._variables.variables(self._environments[environment], "plan")
        return self._trail.events(objects, since, until, variables, None)


class EnvironmentAuthors(BlockAuthors):
    """The authors of blocks at one commit, by environment."""

    def __init__(self, environments: Mapping[str, EnvironmentSettings], authorship: Authorship) -> None:
        self._environments, self._authorship = environments, authorship

    def written_by(self, environment: str, address: str) -> Written | None:
        """See `BlockAuthors.written_by`."""
        return self._authorship.written_by(self._environments[environment].path, address)
