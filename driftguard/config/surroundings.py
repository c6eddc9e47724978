"""The process's environment variables and the user's folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from driftguard.errors import OperatorError

# What Terraform, its providers and the git and ssh that it starts need in order to run, and to reach a network.
_ALLOWED: Final = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TMPDIR",
        "LANG",
        "LANGUAGE",
        "TZ",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "SSH_AUTH_SOCK",
        "GIT_SSH_COMMAND",
        "GIT_SSH",
        "GIT_ASKPASS",
        "SSH_ASKPASS",
        "GIT_SSL_CAINFO",
        "GIT_CONFIG_GLOBAL",
        "KUBECONFIG",
        "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE",
    }
)
_ALLOWED_PREFIXES: Final = (
    *("LC_", "AWS_", "ARM_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "ALICLOUD_", "OCI_", "KUBE_", "VAULT_"),
    *("TF_TOKEN_", "TF_REGISTRY_"),
)
# Variables with the process's AWS identity; they would compete with an assumed role's.
_AWS_IDENTITY: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_ACCESS_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CREDENTIAL_EXPIRATION",
    }
)


def surroundings() -> dict[str, str]:
    """The environment variables of this process, as they are now."""
    return dict(os.environ)


def is_passed_on(name: str) -> bool:
    """Whether Terraform inherits a variable of this process by default."""
    return name in _ALLOWED or name.startswith(_ALLOWED_PREFIXES)


def terraform_environment(
    env: Mapping[str, str | None], environ: Mapping[str, str], *, own_aws_identity: bool = True
) -> dict[str, str]:
    """The variables that a Terraform process may see.

    Args:
        env: an environment's `env`: names to values, None to pass on a value of `environ`.
        environ: the variables of this process.
        own_aws_identity: False where an assumed role's credentials are added, so that the process does not
            see whose credentials it was assumed with; what `env` names is kept all the same.

    `TF_CLI_CONFIG_FILE` and `TF_PLUGIN_CACHE_DIR` are passed as absolute paths, and only when they exist:
    Terraform refuses to start otherwise.
    """
    allowed = {name: value for name, value in environ.items() if is_passed_on(name)}
    if not own_aws_identity:
        allowed = {name: value for name, value in allowed.items() if name not in _AWS_IDENTITY}
    for name in ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"):
        if name in environ:
            allowed[name] = environ[name]
    for name, value in env.items():
        if value is not None:
            allowed[name] = value
        elif name in environ:
            allowed[name] = environ[name]
    # CloudTrail events of DriftGuard are recognised by it.
    allowed["TF_APPEND_USER_AGENT"] = f"{allowed.get('TF_APPEND_USER_AGENT', '')} driftguard".strip()
    for name, exists in (("TF_CLI_CONFIG_FILE", os.path.isfile), ("TF_PLUGIN_CACHE_DIR", os.path.isdir)):
        if name in allowed:
            path = os.path.abspath(allowed.pop(name))
            if exists(path):
                allowed[name] = path
    return allowed


def summary_page() -> Path | None:
    """The file whose Markdown GitHub Actions shows on the page of a job (`GITHUB_STEP_SUMMARY`); None elsewhere."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(name) if name else None


def run_url(environ: Mapping[str, str]) -> str | None:
    """The page of the CI job that this process is part of (GitHub Actions, GitLab CI); None elsewhere."""
    if environ.get("CI_JOB_URL"):
        return environ["CI_JOB_URL"]
    parts = [environ.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    return "{}/{}/actions/runs/{}".format(*parts) if all(parts) else None


def terraform_variables(env: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, str]:
    """The values of Terraform's variables that an environment's `env` gives as `TF_VAR_NAME`, by name."""
    given = {name: environ.get(name) if value is None else value for name, value in env.items()}
    return {name[7:]: value for name, value in given.items() if name.startswith("TF_VAR_") and value is not None}


def missing_variables(env: Mapping[str, str | None], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Names that an environment's `env` asks to pass on and that this process does not have, sorted."""
    return tuple(sorted(name for name, value in env.items() if value is None and name not in environ))


@dataclass(frozen=True, slots=True)
class Directories:
    """Where DriftGuard keeps files between runs: `cache` may be deleted at any time, `state` must not."""

    cache: Path
    state: Path


def directories() -> Directories:
    """The user's folders for us (`XDG_CACHE_HOME`, `XDG_STATE_HOME`); not created. OperatorError without a home."""
    found = Directories(platformdirs.user_cache_path("driftguard"), platformdirs.user_state_path("driftguard"))
    if not (found.cache.is_absolute() and found.state.is_absolute()):
        raise OperatorError(
            "No cache or state folder: the user has no home directory, or XDG_CACHE_HOME or XDG_STATE_HOME is not "
            "absolute. Nothing was run. Set HOME, or both of them, to absolute paths."
        )
    return found
