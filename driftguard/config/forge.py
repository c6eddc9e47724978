"""The keys that say where pull requests are opened, and as whom."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from driftguard.config import values as v
from driftguard.config.base import Model


class App(Model):
    """A GitHub App, in place of a token."""

    id: v.AtLeastOne = Field(description="The app's id.")
    installation: v.AtLeastOne | None = Field(
        default=None, description="The installation's id; without it the repository's is looked up."
    )
    key_env: v.VariableName | None = Field(
        default=None, description="The environment variable that holds the app's private key (PEM)."
    )
    key_file: v.Text | None = Field(default=None, description="The file that holds it instead: an absolute path.")

    @model_validator(mode="after")
    def _one_key(self) -> App:
        if (self.key_env is None) == (self.key_file is None):
            v.refused("needs exactly one of `key_env` and `key_file`")
        return self


class Signing(Model):
    """How commits of DriftGuard are signed."""

    format: Literal["ssh", "openpgp"] = Field(default="ssh", description="What kind of key it is.")
    key_file: v.Text | None = Field(default=None, description="The private SSH key: an absolute path.")
    key_id: v.Text | None = Field(default=None, description="The id of an OpenPGP key in the keyring.")

    @model_validator(mode="after")
    def _key_of_its_kind(self) -> Signing:
        if (self.key_file is None) == (self.format == "ssh") or (self.key_id is None) == (self.format == "openpgp"):
            v.refused("needs `key_file` with `format: ssh`, or `key_id` with `format: openpgp`")
        return self


class Forge(Model):
    """Where pull requests are opened."""

    kind: Literal["github", "gitlab", "git"] = Field(
        description="`git` is any server: branches are pushed and the request is told with the commands to merge it."
    )
    repository: v.Text | None = Field(
        default=None, description="`owner/name`, or GitLab's path of the project. Not needed with `git`."
    )
    token_env: v.VariableName | None = Field(default=None, description="The environment variable with the token.")
    token_file: v.Text | None = Field(default=None, description="The file that holds it instead: an absolute path.")
    app: App | None = Field(default=None, description="A GitHub App in place of a token.")
    url: v.WebUrl | None = Field(
        default=None, description="Of GitHub Enterprise (`https://HOST/api/v3`) or one's own GitLab (`https://HOST`)."
    )
    push_url: v.Text | None = Field(
        default=None,
        description="Where branches are pushed. Default: where the repository is read; of a work tree, its `origin`.",
    )
    label: v.Text = Field(default="driftguard", description="The label that pull requests get.")
    most_open: v.AtLeastOne = Field(default=10, description="Pull requests open at a time; the rest wait.")
    expires: v.Duration = Field(default=timedelta(days=7), description="How long an approval may be waited for.")
    author: v.Text = Field(
        default="DriftGuard <driftguard@localhost>", description="Author of the commits: `Name <address>`."
    )
    signing: Signing | None = Field(default=None, description="Sign the commits.")

    @field_validator("token_file")
    @classmethod
    def _absolute(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and not os.path.isabs(path):
            v.expected("an absolute path")
        return path

    @field_validator("author")
    @classmethod
    def _name_and_address(cls, author: str) -> str:
        name, found, rest = author.partition(" <")
        if not found or not name.strip() or not rest.endswith(">") or set("<>\n\0") & set(name + rest[:-1]):
            v.expected("`Name <address>`")
        return author

    @model_validator(mode="after")
    def _what_each_kind_needs(self) -> Forge:
        credentials = sum(given is not None for given in (self.token_env, self.token_file, self.app))
        if self.app is not None and self.kind != "github":
            v.refused("has an `app`, which only `kind: github` knows")
        if self.kind == "git":
            return self
        if self.repository is None or "/" not in self.repository.strip("/"):
            v.refused(f"needs `repository` with `kind: {self.kind}`, such as `acme/infra`")
        if credentials != 1:
            v.refused("needs exactly one of `token_env`, `token_file` and `app`")
        return self
