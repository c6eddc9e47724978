"""The keys of `probe`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field, model_validator

from driftguard.config import values as v
from driftguard.config.base import Model, switched_off


class ProbeSettings(Model):
    """Looking at environments without plans. `probe: off` is short for `enabled: false`: each run plans each one."""

    enabled: bool = Field(default=True, description="Whether `reconcile` and `agent` probe before they plan.")
    max_age: v.Duration = Field(default=timedelta(hours=24), description="The age from which a plan is made anew.")
    audit: v.Share = Field(
        default=0.05, description="The share of environments found unchanged that are planned all the same, as proof."
    )
    processes: v.AtLeastOne = Field(
        default=2, description="Provider processes side by side; one of AWS 5 takes up to half a gibibyte."
    )

    memo: bool = Field(
        default=True,
        description="Whether plans get a provider's schemas and validations from memory, where two processes gave the "
        "same answers. One plan in 20 asks the provider all the same.",
    )

    @model_validator(mode="before")
    @classmethod
    def _switched_off(cls, written: Any) -> Any:
        return switched_off(written)
