"""The key `ledger`: where the durable record lies."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from driftguard.config import values as v
from driftguard.config.base import Model
from driftguard.errors import UsageError


class LedgerSettings(Model):
    """The ledger, the durable record. Default: SQLite in the state folder."""

    url: v.LedgerUrl | None = Field(
        default=None,
        description="`sqlite:///PATH`, `postgresql://HOST[:PORT][,HOST…]/DATABASE` (no password; of several hosts "
        "the one that takes writes) or `s3://BUCKET/KEY`, which takes `?encryption=aws:kms&kms_key_id=ARN`.",
    )
    url_env: v.VariableName | None = Field(
        default=None, description="The environment variable that holds the URL instead."
    )

    @model_validator(mode="after")
    def _one_place(self) -> LedgerSettings:
        if self.url is not None and self.url_env is not None:
            v.refused("has both `url` and `url_env`; keep one")
        return self

    def resolve(self, environ: Mapping[str, str]) -> str | None:
        """The ledger's URL, which may hold a password; None for the default. UsageError when `url_env` is not set."""
        if self.url_env is None:
            return self.url
        if not environ.get(self.url_env):
            raise UsageError(
                f"The environment variable {self.url_env} (ledger.url_env) with the ledger's URL is not set. Nothing "
                "was run. Set it, or remove the key from the configuration."
            )
        return environ[self.url_env]
