"""How far a commit may choose where secrets go, and which variables steer Terraform."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from driftguard import config
from driftguard.config import Settings
from driftguard.config.models import Document
from driftguard.config.reading import keys, sections
from tests.support.harness import Sandbox


def load(repository: str, operator: str | None = None) -> Settings:
    text = None if operator is None else operator.encode()
    return config.load(repository.encode(), source="driftguard.yaml", operator_text=text, operator_source=None)


def environment_variables(settings: Settings) -> dict[str, str | None]:
    (environment,) = settings.resolve(lambda include, exclude: ["environments/dev"])
    return dict(environment.env)


SLACK = "slack: {{token_env: {token}, api_url: '{url}', routes: [{{channel: '#x'}}]}}\n"
FORGE = "forge: {{kind: {kind}, repository: acme/infra, token_env: {token}, url: '{url}'}}\n"
OWN = "https://slack.com/api/"


@pytest.mark.parametrize(
    ("url", "operator", "counts"),
    [
        (OWN, None, True),
        ("https://evil.example/api/", None, False),
        ("https://slack.com.evil.example/api/", None, False),
        ("https://evil.example/slack.com/", None, False),
        ("https://evil.example/api/", "allow_env: ['*']", False),
        ("https://proxy.corp.example/api/", "{allow_env: ['*'], allow_hosts: ['*.corp.example']}", True),
        ("https://evil.example/api/", "{allow_env: ['*'], allow_hosts: ['*.corp.example']}", False),
    ],
)
def test_slacks_token_goes_to_slack_or_where_the_operator_allows(url: str, operator: str | None, counts: bool) -> None:
    settings = load(SLACK.format(token="SLACK_BOT_TOKEN", url=url), operator)
    assert settings.slack is not None
    assert settings.slack.api_url == (url if counts else OWN)
    assert bool(settings.refused) is not counts
    assert set(settings.refused) <= set(settings.notices)


@pytest.mark.parametrize(
    ("kind", "url", "operator", "counts"),
    [
        ("github", "https://api.github.com", None, True),
        ("github", "https://ghe.corp.example/api/v3", None, False),
        ("github", "https://ghe.corp.example/api/v3", "{allow_env: [T*], allow_hosts: [ghe.corp.example]}", True),
        ("gitlab", "https://gitlab.com", None, True),
        ("gitlab", "https://github.example", None, False),
        ("gitlab", "https://gitlab.corp.example", "{allow_hosts: [gitlab.corp.example]}", False),
    ],
)
def test_a_forges_token_goes_to_the_forge_or_where_the_operator_allows(
    kind: str, url: str, operator: str | None, counts: bool
) -> None:
    settings = load(FORGE.format(kind=kind, token="TOKEN", url=url), operator)
    assert (settings.forge is not None) is counts
    assert bool(settings.refused) is not counts


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PATH", "HTTPS_PROXY"])
@pytest.mark.parametrize("operator", [None, "{allow_env: ['*'], allow_hosts: ['*']}"])
def test_no_key_sends_the_clouds_credentials_anywhere(name: str, operator: str | None) -> None:
    assert load(SLACK.format(token=name, url=OWN), operator).slack is None
    assert load(FORGE.format(kind="github", token=name, url="https://api.github.com"), operator).forge is None
    assert load(f"ledger: {{url_env: {name}}}", operator).ledger.url_env is None
    hook = f"alerts: {{webhook: {{url_env: URL, secret_env: {name}}}}}"
    assert load(hook, operator).alerts.webhook is None


def test_a_variable_belongs_to_one_key() -> None:
    text = SLACK.format(token="TOKEN", url=OWN) + FORGE.format(
        kind="github", token="TOKEN", url="https://api.github.com"
    )
    settings = load(text)
    assert (settings.slack is None, settings.forge is None) == (False, True)
    assert "names TOKEN, which another key uses already" in settings.refused[0]
    text = SLACK.format(token="MINE", url=OWN) + "environments: [{path: environments/*, env: [MINE, OTHER]}]"
    settings = load(text)
    assert environment_variables(settings) == {"OTHER": None}
    operators = load(
        "environments: [{path: environments/*, env: [OPS]}]",
        "{slack: {token_env: OPS, routes: [{channel: '#x'}]}, allow_env: ['*']}",
    )
    assert environment_variables(operators) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("TF_CLI_ARGS", "TF_CLI_ARGS_plan", "TF_REATTACH_PROVIDERS", "TF_CLI_CONFIG_FILE", "TF_DATA_DIR"),
        *("TF_PLUGIN_CACHE_DIR", "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT"),
        *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"),
        *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "TF_LOG", "TF_LOG_PATH", "DYLD_INSERT_LIBRARIES", "HOME"),
        *(
            "REQUESTS_CA_BUNDLE",
            "GIT_SSL_CAINFO",
            "PYTHONPATH",
            "BASH_ENV",
            "TF_WORKSPACE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "TF_ACC",
            "TF_DISABLE_PLUGIN_TLS",
            "TF_FORCE_LOCAL_BACKEND",
            "TF_X_SOMETHING_NEW",
            "TERRAGRUNT_TFPATH",
            "GODEBUG",
        ),
    ],
)
@pytest.mark.parametrize("form", ["{{{name}: evil}}", "[{name}]"])
def test_variables_that_steer_terraform_are_the_operators(name: str, form: str) -> None:
    entry = f"environments: [{{path: environments/*, env: {form.format(name=name)}}}]"
    settings = load(entry)
    assert environment_variables(settings) == {}
    assert name in settings.refused[0]
    assert environment_variables(load(entry, "allow_env: ['*']")) == {}
    assert name in environment_variables(load("", f"{entry[:-1]}]"))


@pytest.mark.parametrize("name", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
def test_a_commit_names_no_file_that_holds_the_clouds_address(name: str) -> None:
    settings = load(f"environments: [{{path: environments/*, env: {{{name}: aws/config}}}}]")
    assert (environment_variables(settings), name in settings.refused[0]) == ({}, True)
    assert environment_variables(load(f"environments: [{{path: environments/*, env: [{name}]}}]")) == {name: None}


def test_what_an_environment_needs_stays() -> None:
    entry = "environments: [{path: environments/*, env: [AWS_PROFILE, TF_VAR_x, DATADOG_API_KEY, {TF_VAR_y: '1'}]}]"
    kept = {"AWS_PROFILE": None, "TF_VAR_x": None, "DATADOG_API_KEY": None, "TF_VAR_y": "1"}
    assert environment_variables(load(entry)) == kept
    with_operator = load(entry, "allow_env: [TF_VAR_*]")
    assert environment_variables(with_operator) == {"AWS_PROFILE": None, "TF_VAR_x": None, "TF_VAR_y": "1"}
    assert "DATADOG_API_KEY" in with_operator.refused[0]


def test_the_lists_of_what_is_allowed_count_in_the_operators_file_only() -> None:
    text = "allow_hosts: ['*']\nallow_env: ['*']\n" + SLACK.format(token="T", url="https://evil.example/api/")
    settings = load(text)
    assert settings.slack is not None
    assert settings.slack.api_url == OWN
    assert settings.allow_hosts == ()
    assert [notice for notice in settings.notices if "counts in the operator's file only" in notice]


def test_the_operators_own_keys_are_not_limited() -> None:
    operator = SLACK.format(token="T", url="https://proxy.corp.example/") + "ledger: {url: 'postgresql://db.corp/x'}\n"
    settings = load("", operator)
    assert settings.slack is not None
    assert (settings.slack.api_url, settings.refused) == ("https://proxy.corp.example/", ())


def test_a_file_of_the_agents_machine_is_named_by_the_operator_alone() -> None:
    text = "forge: {kind: github, repository: acme/infra, token_file: /etc/shadow}\n"
    assert load(text, "allow_env: ['*']").forge is None
    assert load("", text).forge is not None


# --- every key that names a variable -------------------------------------------------------------

# A document with the key, in which NAME is the variable.
KEYS = {
    "slack.token_env": "slack: {token_env: NAME, routes: [{channel: '#x'}]}",
    "slack.app_token_env": (
        "slack: {token_env: OTHER, app_token_env: NAME, may_ack: [U0ADA], routes: [{channel: '#x'}]}"
    ),
    "slack.webhook_env": "slack: {webhook_env: NAME}",
    "alerts.webhook.url_env": "alerts: {webhook: {url_env: NAME, secret_env: OTHER}}",
    "alerts.webhook.secret_env": "alerts: {webhook: {url_env: OTHER, secret_env: NAME}}",
    "alerts.sinks.pagerduty_env": "alerts: {sinks: [{name: pager, pagerduty_env: NAME}]}",
    "alerts.sinks.apprise_env": "alerts: {sinks: [{name: pager, apprise_env: NAME}]}",
    "forge.token_env": "forge: {kind: github, repository: acme/infra, token_env: NAME}",
    "forge.app.key_env": "forge: {kind: github, repository: acme/infra, app: {id: 1, key_env: NAME}}",
    "ledger.url_env": "ledger: {url_env: NAME}",
}
# Those that the repository's file cannot name at all.
OPERATORS = {
    "tfe.token_env": "tfe: {host: tfe.corp-net.example, token_env: NAME}",
    "environments.tfe.token_env": (
        "environments: [{path: environments/*, tfe: {host: tfe.corp-net.example, token_env: NAME}}]"
    ),
}
# One that uses MINE already, in another section.
USERS = {"slack": "ledger: {url_env: MINE}", "": "slack: {token_env: MINE, routes: [{channel: '#x'}]}"}


def value_of(document: object, key: str) -> Any:
    for part in key.split("."):
        document = getattr(document, part, None)
        if isinstance(document, tuple):
            document = next(iter(document), None)
    return document


def test_a_key_of_pagerduty_goes_to_its_own_hosts_unless_the_operator_allows_another() -> None:
    text = "alerts: {sinks: [{name: pager, pagerduty_env: KEY, api_url: https://HOST/}]}"
    for host, operator, sinks in (
        ("events.eu.pagerduty.com", None, 1),
        ("evil.example", None, 0),
        ("evil.example", "allow_env: ['*']", 0),
        ("proxy.example", "{allow_env: ['*'], allow_hosts: [proxy.example]}", 1),
    ):
        settings = load(text.replace("HOST", host), operator)
        assert len(settings.alerts.sinks) == sinks, host
        assert len(settings.refused) == 1 - sinks


def test_every_key_that_names_a_variable_is_in_the_table() -> None:
    found = {
        ".".join((*path, key))
        for path, model in sections(Document)
        for key, field in keys(model).items()
        if key.endswith("_env") and "tuple" not in str(field.annotation)
    }
    assert found == set(KEYS) | set(OPERATORS)


@pytest.mark.parametrize("key", OPERATORS)
@pytest.mark.parametrize("operator", [None, "{allow_env: ['*'], allow_hosts: ['*']}"])
def test_a_platforms_token_is_the_operators_choice(key: str, operator: str | None) -> None:
    settings = load(OPERATORS[key], operator)
    (environment,) = settings.resolve(lambda include, exclude: ["environments/dev"])
    assert (environment.tfe.host, environment.tfe.token_env) == (None, None)
    assert f"`{key}` counts in the operator's file only" in " ".join(settings.refused)
    (environment,) = load("", OPERATORS[key]).resolve(lambda include, exclude: ["environments/dev"])
    assert config.own_token(environment.tfe, {"NAME": "secret"}) == {"TF_TOKEN_tfe_corp__net_example": "secret"}


@pytest.mark.parametrize("operator", [None, "allow_env: ['*']"])
def test_a_token_of_a_commit_does_not_count(operator: str | None) -> None:
    entry = "environments: [{path: environments/*, env: {TF_TOKEN_app_terraform_io: written, A: b}}]"
    settings = load(entry, operator)
    assert environment_variables(settings) == {"A": "b"}
    assert "a token of a commit does not count" in " ".join(settings.refused)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("operator", [None, "{allow_env: ['*'], allow_hosts: ['*']}"])
@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ANYTHING", "LD_PRELOAD"])
def test_no_key_of_the_repository_names_a_variable_of_the_cloud(key: str, operator: str | None, name: str) -> None:
    settings = load(KEYS[key].replace("NAME", name), operator)
    assert value_of(settings, key) is None
    (refused,) = settings.refused
    assert f"`{key}` names {name}" in refused
    assert refused in settings.notices
    assert value_of(load(KEYS[key].replace("NAME", "MINE"), operator), key) == "MINE"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("by", ["operator", "repository"])
def test_no_key_of_the_repository_names_a_variable_that_another_key_uses(key: str, by: str) -> None:
    text, user = KEYS[key].replace("NAME", "MINE"), USERS["slack" if key.startswith("slack") else ""]
    operator = "allow_env: ['*']"
    if by == "operator":
        settings = load(text, f"{operator}\n{user}")
        assert value_of(settings, key) is None
    else:  # one of the two counts
        settings = load(f"{text}\n{user}", operator)
    assert "names MINE, which another key uses already" in " ".join(settings.refused)


def test_a_variable_of_the_operators_keys_is_not_passed_on_to_terraform() -> None:
    for key, text in KEYS.items():
        entry = "environments: [{path: environments/*, env: [MINE, OTHERS]}]"
        settings = load(entry, f"allow_env: ['*']\n{text.replace('NAME', 'MINE')}")
        assert environment_variables(settings) == {"OTHERS": None}, key


def test_what_does_not_count_is_a_notice_of_every_run_and_a_failed_line_of_doctor(
    tmp_path: Path, driftguard: Sequence[str]
) -> None:
    machine = Sandbox(tmp_path / "home", {}, driftguard)
    text = "\n".join(KEYS[key] for key in ("slack.webhook_env", "forge.app.key_env", "ledger.url_env"))
    hook = KEYS["alerts.webhook.secret_env"]
    text = f"{text}\n{hook}\n".replace("NAME", "AWS_SECRET_ACCESS_KEY")
    machine.commit("Dev", {"environments/dev/main.tf": "", "driftguard.yaml": text})
    refused = load(text, "allow_env: ['*']").refused
    assert len(refused) == 4
    checks = machine.run("doctor", "--format", "json").report["checks"]
    assert {check["detail"] for check in checks if not check["good"]} >= set(refused)
    for command in ("scan", "reconcile"):
        assert set(machine.run(command, "--format", "json").report["warnings"]) >= set(refused), command
