"""The variables that an environment's Terraform sees: those allowed, and an assumed role's credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from driftguard import config
from driftguard.adapters.aws.roles import RoleSessions
from driftguard.adapters.aws.trail import CloudTrail
from driftguard.config import EnvironmentSettings
from driftguard.errors import EnvironmentFault
from driftguard.ports import Clock, Purpose, TerraformVariables

_PROCESSES_WITH_ONE_SESSION: Final = 3  # init, plan and show; or plan, show and apply


class Credentials(TerraformVariables):
    """The credentials of one run."""

    def __init__(self, run_id: str, clock: Clock, environ: Mapping[str, str]) -> None:
        self._environ = environ
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        self._sessions = RoleSessions(run_id, clock.now, region)

    def variables(self, settings: EnvironmentSettings, purpose: Purpose) -> dict[str, str]:
        """The variables that are allowed, with an assumed role's credentials where the settings name a role."""
        needed_seconds = _PROCESSES_WITH_ONE_SESSION * settings.timeout.total_seconds()
        role = self._sessions.variables(settings.aws, settings.name, purpose, needed_seconds)
        allowed = config.terraform_environment(settings.env, self._environ, own_aws_identity=role is None)
        return {**allowed, **config.own_token(settings.tfe, self._environ), **(role or {})}

    def trail_probes(self, environments: Sequence[EnvironmentSettings]) -> Iterator[tuple[str, str]]:
        """Whether CloudTrail can be asked: region and one line, once for each region and role in use."""
        asked = set()
        for settings in environments:
            known = config.terraform_environment(settings.env, self._environ)
            region = known.get("AWS_REGION") or known.get("AWS_DEFAULT_REGION")
            if region is None or (region, settings.aws.plan_role_arn) in asked:
                continue
            asked.add((region, settings.aws.plan_role_arn))
            try:
                yield region, CloudTrail().probe(self.variables(settings, "plan"), region)
            except EnvironmentFault as fault:
                yield region, f"cannot be asked: {fault.message}"
