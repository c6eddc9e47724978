"""The keys of the forge: where pull requests are opened, with which credentials and author."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from driftguard.config import values as v
from driftguard.config.base import Model


class App(Model):
    """A GitHub App, in place of a token."""

    id: v.AtLeastOne = Field(description="The app's id.")
    installation: v.AtLeastOne | None = Field(
        default=None, description="The installation's id. Default: looked up by the repository."
    )
    key_env: v.VariableName | None = Field(
        default=None, description="The environment variable that holds the app's private key (PEM)."
    )
    key_file: v.Text | None = Field(default=None, description="A file with it instead: an absolute path.")

    @model_validator(mode="after")
    def _one_key(self) -> App:
        if (self.key_env is None) == (self.key_file is None):
            v.refused("needs exactly one of `key_env` and `key_file`")
        return self


class Signing(Model):
    """The signature of DriftGuard's commits."""

    format: Literal["ssh", "openpgp"] = Field(default="ssh", description="The key's format.")
    key_file: v.Text | None = Field(default=None, description="The private SSH key: an absolute path.")
    key_id: v.Text | None = Field(default=None, description="The id of an OpenPGP key in the keyring.")

    @model_validator(mode="after")
    def _key_of_its_kind(self) -> Signing:
        if (self.key_file is None) == (self.format == "ssh") or (self.key_id is None) == (self.format == "openpgp"):
            v.refused("needs `key_file` with `format: ssh`, or `key_id` with `format: openpgp`")
        return self


class Forge(Model):
    """The forge (GitHub, GitLab or a git server) for pull requests."""

    kind: Literal["github", "gitlab", "git"] = Field(
        description="`git` is any server: a branch is pushed, and the alert holds the commands to merge it."
    )
    repository: v.Text | None = Field(
        default=None, description="`owner/name`, or GitLab's path of the project. Not needed with `git`."
    )
    token_env: v.VariableName | None = Field(default=None, description="The environment variable with the token.")
    token_file: v.Text | None = Field(default=None, description="A file with it instead: an absolute path.")
    app: App | None = Field(default=None, description="A GitHub App in place of a token.")
    url: v.WebUrl | None = Field(
        default=None,
        description="The API of GitHub Enterprise (`https://HOST/api/v3`) or a self-managed GitLab (`https://HOST`).",
    )
    push_url: v.Text | None = Field(
        default=None,
        description="The URL to push branches to. Default: the repository's own; for a work tree, its `origin`.",
    )
    label: v.Text = Field(default="driftguard", description="The label of pull requests.")
    most_open: v.AtLeastOne = Field(
        default=10, description="Maximum number of open pull requests; further proposals wait."
    )
    expires: v.Duration = Field(
        default=timedelta(days=7), description="Validity of a proposal; after that its approval is void."
    )
    author: v.Text = Field(
        default="DriftGuard <driftguard@localhost>", description="Author of the commits: `Name <address>`."
    )
    signing: Signing | None = Field(default=None, description="Sign the commits.")

    @model_validator(mode="after")
    def _address_of_an_api(self) -> Forge:
        better = _better_than(self.kind, self.url) if self.url is not None else None
        if better is not None:
            v.refused(f"has a `url` that is not the API of `kind: {self.kind}`: did you mean {better}?")
        return self

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
            v.refused("has an `app`, which only `kind: github` supports")
        if self.kind == "git":
            return self
        if self.repository is None or "/" not in self.repository.strip("/"):
            v.refused(f"needs `repository` with `kind: {self.kind}`, such as `acme/infra`")
        if credentials != 1:
            v.refused("needs exactly one of `token_env`, `token_file` and `app`")
        return self


def _better_than(kind: str, url: str) -> str | None:
    """What to write in place of a URL that is certainly wrong; None for one that may be right."""
    parts = urlsplit(url)
    host, path = (parts.hostname or "").removeprefix("www."), parts.path.rstrip("/")
    if kind == "git":
        return None
    if kind == "github":
        if host == "gitlab.com" or path.endswith("/api/v4"):
            return "`kind: gitlab`"
        if host == "github.com":
            return "`https://api.github.com`, which is the default"
        return f"`{parts.scheme}://{parts.netloc}/api/v3`" if path == "/api/graphql" else None
    if host in ("github.com", "api.github.com") or path.endswith("/api/v3"):
        return "`kind: github`"
    for api in ("/api/v4", "/api/graphql", "/api"):
        if path.endswith(api):
            return f"`{parts.scheme}://{parts.netloc}{path.removesuffix(api)}`"
    return "`https://gitlab.com`, which is the default" if host == "gitlab.com" and path else None
