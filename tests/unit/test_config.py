"""driftguard.yaml: what is read, what is refused and how, and how entries become environments."""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from driftguard import config
from driftguard.config import EnvironmentSettings, IgnoreRule, LedgerSettings, Policy, Settings, Window
from driftguard.errors import UsageError

DOCS = Path(__file__).parents[2] / "docs" / "reference"
ESTATE = ("environments/dev", "environments/prod", "environments/sandbox-ann", "environments/staging")
ROLE = "arn:aws:iam::123456789012:role"


def load(text: str | None, operator: str | None = None, operator_source: str = "/etc/driftguard/own.yaml") -> Settings:
    return config.load(
        None if text is None else text.encode(),
        source="driftguard.yaml",
        operator_text=None if operator is None else operator.encode(),
        operator_source=None if operator is None else operator_source,
    )


def refusal(text: bytes) -> str:
    """The error that reading and resolving ends with; empty when it ends well."""
    try:
        config.load(text, source="driftguard.yaml").resolve(estate(*ESTATE))
    except UsageError as refused:
        return str(refused)
    return ""


def in_words(refused: str) -> bool:
    return all(line.startswith("driftguard.yaml:") and line.isprintable() for line in refused.split("\n") if refused)


def estate(*directories: str) -> config.Find:
    def find(include: Sequence[str], exclude: Sequence[str]) -> list[str]:
        def hit(path: str, globs: Sequence[str]) -> bool:
            return any(fnmatch.fnmatch(path, glob) and path.count("/") == glob.count("/") for glob in globs)

        return [d for d in directories if hit(d, include) and not hit(d, exclude)]

    return find


def resolve(text: str | None, operator: str | None = None) -> dict[str, EnvironmentSettings]:
    return {e.name: e for e in load(text, operator).resolve(estate(*ESTATE))}


def error(text: str, operator: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        load(text, operator).resolve(estate(*ESTATE))
    return str(caught.value)


CONTRACT = """\
version: 1
environments:
  - path: environments/*              # glob from the repository's root; each match is a root module
    exclude: [environments/sandbox-*]
  - path: environments/prod
    name: prod-eu                     # default: the path below the glob's fixed part
    workspace: eu
    var_files: [eu.tfvars]
    backend_config: {key: prod-eu/terraform.tfstate}   # or a list of files
    env: [AWS_PROFILE]                # names of variables that Terraform may see, or {NAME: value}
    extra_files: ["policies/*.json"]  # part of the closure
    timeout: 20m
    policy: {pending: alert}
    aws: {plan_role_arn: "arn:aws:iam::123456789012:role/p", apply_role_arn: "arn:aws:iam::123456789012:role/a", external_id: x}
terraform: {binary: auto}             # auto | a path or name | embedded
concurrency: auto                     # or a number
ignore:
  - {address: "module.app.aws_ecs_service.*", path: desired_count, reason: autoscaled, until: 2027-01-31}
policy:
  pending: alert                      # alert | apply | propose
  drift: alert                        # alert | revert | propose      (covers absorbed and residue)
  input: alert                        # alert | apply | propose
  prefer: revert                      # the proposal opened as a pull request: revert | adopt
  approval: {require: merged}         # merged | signed (signers: FILE) | reviewed (approvals: 1)
  limits: {changes: 50, destroys: 0, replaces: 0, share: 50%}
  protect: ["aws_db_instance.*"]
  windows: [{allow: "0 9 * * mon-fri", for: 8h, zone: Europe/Berlin}, {deny: "0 0 20 12 *", for: 14d, zone: UTC}]
  suspended: {reason: "migration", until: 2026-12-01}
ledger: {url: "sqlite:////var/lib/driftguard/ledger.sqlite"}
"""  # noqa: E501


def test_the_example_of_the_contract_is_read_as_it_stands() -> None:
    settings = load(CONTRACT)
    environments = {e.name: e for e in settings.resolve(estate(*ESTATE))}
    assert list(environments) == ["dev", "prod-eu", "staging"]
    prod = environments["prod-eu"]
    assert (prod.path, prod.workspace, prod.var_files) == ("environments/prod", "eu", ("eu.tfvars",))
    assert prod.backend_config == {"key": "prod-eu/terraform.tfstate"}
    assert prod.env == {"AWS_PROFILE": None}
    assert prod.extra_files == ("policies/*.json",)
    assert prod.timeout == timedelta(minutes=20)
    assert prod.aws.apply_role_arn == f"{ROLE}/a"
    assert prod.origin == "driftguard.yaml:5"
    assert prod.policy.protect == ("aws_db_instance.*",)
    assert prod.policy.limits.share == 0.5
    assert [w.for_ for w in prod.policy.windows] == [timedelta(hours=8), timedelta(days=14)]
    assert prod.policy.suspended is not None
    assert prod.policy.suspended.until == datetime(2026, 12, 1, 23, 59, 59, 999999, UTC)
    assert environments["dev"].workspace == "default"
    assert environments["dev"].aws.plan_role_arn is None


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "version: 1\n", "policy:\nledger:\n"])
def test_without_anything_written_the_defaults_only_alert(text: str | None) -> None:
    settings = load(text)
    assert [e.name for e in settings.resolve(estate(*ESTATE))] == ["dev", "prod", "sandbox-ann", "staging"]
    policy = settings.policy
    assert (policy.pending, policy.drift, policy.input) == ("alert", "alert", "alert")
    assert (policy.limits.destroys, policy.limits.replaces, policy.approval.require) == (0, 0, "merged")
    assert (settings.concurrency, settings.terraform.binary, settings.ledger.url) == (None, "auto", None)


# --- what is refused -----------------------------------------------------------------------------

BAD = [
    ("version: 2", "driftguard.yaml:1: `version` is 2, expected 1"),
    ("\nversion: one", 'driftguard.yaml:2: `version` is "one", expected 1'),
    ("polcy: {}", "driftguard.yaml:1: unknown key `polcy`; did you mean `policy`?"),
    ("protect: [a]", "driftguard.yaml:1: unknown key `protect`; it belongs to `policy`"),
    ("approval: {}", "driftguard.yaml:1: unknown key `approval`; it belongs to `policy`"),
    ("xyz: 1", "unknown key `xyz`; expected one of version, environments, terraform,"),
    ("policy:\n  limits:\n    destroy: 1", "driftguard.yaml:3: unknown key `policy.limits.destroy`; did you mean"),
    (
        "policy:\n  windows:\n    - fro: 1h",
        "driftguard.yaml:3: unknown key `policy.windows[0].fro`; did you mean `for`?",
    ),
    ("- a", "driftguard.yaml:1: the file is a list, expected a mapping"),
    ("just words", 'driftguard.yaml:1: the file is "just words", expected a mapping'),
    ("a: [1\nb: 2", "driftguard.yaml:2: not YAML: "),
    ("policy:\n  protect: [*.main]", "driftguard.yaml:2: not YAML: "),
    ("policy:\n  protect:\n  - *db", "; put a value that begins with * into quotes (column 5)"),
    ("\tversion: 1", "driftguard.yaml:1: not YAML: found character"),
    ("version: 1\n---\nversion: 1", "driftguard.yaml:2: not YAML: "),
    ("version: 1\nversion: 1", "driftguard.yaml:2: `version` is repeated; first in line 1; keep one"),
    (
        "policy:\n  drift: alert\n  drift: revert",
        "driftguard.yaml:3: `policy.drift` is repeated; first in line 2",
    ),
    ("policy: &p\n  limits: *p", "driftguard.yaml:1: an alias that contains itself"),
    ("? [a]\n: 1", "driftguard.yaml:1: a key that is not text"),
    ("version: !!python/name:os.system x", "driftguard.yaml:1: the tag "),
    ('version: "\\UFFFFFFFF"', "driftguard.yaml:1: not YAML: an escape"),
    ("a: 1\nb: \x07", "driftguard.yaml:2: not YAML: a control character"),
    ("[" * 3000, "driftguard.yaml:1: not a configuration: nested too deeply"),
    ("concurrency: 0", "driftguard.yaml:1: `concurrency` is 0, expected auto, or a whole number from 1 to 1024"),
    ("concurrency: true", "`concurrency` is true, expected auto"),
    ("terraform: {binary: ./terraform}", '`terraform.binary` is "./terraform", expected auto, embedded, the name'),
    ("terraform: terraform", '`terraform` is "terraform", expected a mapping of keys'),
    ("environments: environments/*", '`environments` is "environments/*", expected a list'),
    ("environments:\n- environments/*", '`environments[0]` is "environments/*", expected a mapping of keys'),
    ("environments:\n  -\n", "driftguard.yaml:2: `environments[0]` is empty, expected a mapping of keys"),
    ("environments:\n- name: x", "driftguard.yaml:2: in `environments[0]`: the key `path` is missing"),
    ("environments:\n- path: ../x", '`environments[0].path` is "../x", expected a path from the repository\'s root'),
    ("environments:\n- path: /x", "expected a path from the repository's root"),
    ("environments:\n- {path: a, name: -v}", '`environments[0].name` is "-v", expected a name'),
    ("environments:\n- {path: a, workspace: a/b}", "expected the name of a Terraform workspace"),
    ("environments:\n- {path: a, timeout: 20 minutes}", 'is "20 minutes", expected a duration such as 90s, 15m, 6h'),
    ("environments:\n- {path: a, timeout: 0s}", "expected a duration such as"),
    ("environments:\n- {path: a, timeout: 20}", "`environments[0].timeout` is 20, expected a duration such as"),
    ("environments:\n- {path: a, var_files: eu.tfvars}", '`environments[0].var_files` is "eu.tfvars", expected a list'),
    ("environments:\n- {path: a, var_files: [/x.tfvars]}", "`environments[0].var_files[0]` is"),
    (
        "environments:\n- {path: a, backend_config: x}",
        "expected a mapping of the backend's settings, or a list of files",
    ),
    ("environments:\n- {path: a, backend_config: [key=x]}", "expected a mapping of the backend's settings"),
    (
        "environments:\n- {path: a, env: [A B]}",
        "`environments[0].env` expects a list of names of environment variables",
    ),
    ("environments:\n- {path: a, env: A}", "`environments[0].env` expects a list of names"),
    (
        "environments:\n- {path: a, aws: {plan_role_arn: ...}}",
        '`environments[0].aws.plan_role_arn` is "...", expected the',
    ),
    ("aws: {duration: 1m}", '`aws.duration` is "1m", expected a duration from 15m to 12h'),
    ("ignore: [{path: tags}]", "in `ignore[0]`: the key `address` is missing"),
    ("ignore: [{address: a, until: soon}]", '`ignore[0].until` is "soon", expected a date such as 2027-01-31'),
    ("ignore: [{address: a, until: 2027-02-30}]", "expected a date such as 2027-01-31"),
    ("ignore: [{address: ''}]", '`ignore[0].address` is "", expected text that is not empty'),
    ("ignore: [{address: a, reason: 7}]", "`ignore[0].reason` is 7, expected text"),
    ("policy: {drift: apply}", "`policy.drift` is \"apply\", expected 'alert', 'revert' or 'propose'"),
    ("policy: {limits: {destroys: -1}}", "`policy.limits.destroys` is -1, expected a whole number of at least 0"),
    ("policy: {limits: {changes: true}}", "`policy.limits.changes` is true, expected a whole number"),
    ("policy: {limits: {share: 50}}", "`policy.limits.share` is 50, expected a percentage from 0% to 100%"),
    ("policy: {limits: {share: 101%}}", "expected a percentage from 0% to 100%"),
    (
        "policy: {approval: {require: signed}}",
        "`policy.approval` requires signed commits and needs `signers` beside it",
    ),
    (
        "policy: {approval: {signers: keys/allowed}}",
        "expected an absolute path: signers come from outside the repository",
    ),
    ("policy: {approval: {require: reviewed, approvals: 0}}", "expected a whole number of at least 1"),
    ("policy: {windows: [{for: 1h}]}", "`policy.windows[0]` needs exactly one of `allow` and `deny`"),
    ("policy: {windows: [{allow: 0 9 * *, for: 1h}]}", "expected a cron expression of five fields"),
    ("policy: {windows: [{allow: 0-0 9 * * *, for: 1h}]}", "expected a cron expression of five fields"),
    ("policy: {windows: [{allow: R 9 * * *, for: 1h}]}", "expected a cron expression of five fields"),
    ("policy: {windows: [{allow: 0 0 30 2 *, for: 1h}]}", "that matches some time"),
    ("policy: {windows: [{allow: 0 9 * * *, for: 1h, zone: Europe}]}", 'zone` is "Europe", expected an IANA time zone'),
    ("policy: {windows: [{allow: 0 9 * * *, for: 1h, zone: ../x}]}", "expected an IANA time zone"),
    ("policy: {suspended: {until: 2026-12-01}}", "in `policy.suspended`: the key `reason` is missing"),
    ("policy: {backoff: {first: 1d}}", "`policy.backoff` waits 1d first, which is longer than 6h"),
    ("policy: {flapping: {reverts: 0}}", "`policy.flapping.reverts` is 0, expected a whole number of at least 1"),
    ("ledger: {url: mysql://db/x}", '`ledger.url` is "mysql://db/x", expected sqlite:///PATH, postgresql://HOST'),
    ("ledger: {url: 'sqlite:///x', url_env: X}", "`ledger` has both `url` and `url_env`; keep one"),
    ("ledger: {url: 'postgresql://[x/y'}", "expected sqlite:///PATH, postgresql://HOST"),
    (
        "environments: [{path: stacks/*}]",
        "driftguard.yaml:1: `path: stacks/*` matches no directory that holds Terraform",
    ),
    (
        "environments:\n- {path: environments/prod, workspace: eu}\n- {path: environments/prod, workspace: us}",
        "driftguard.yaml:3: environments/prod has another workspace here than in driftguard.yaml:2, expected a `name`",
    ),
    (
        "environments:\n- path: environments/*\n- {path: environments/prod, name: dev}",
        "two environments are called dev: environments/dev (driftguard.yaml:2) and environments/prod",
    ),
    (
        "environments:\n- {path: environments/prod, name: a}\n- {path: environments/prod, name: b}",
        "driftguard.yaml:3: b and a (driftguard.yaml:2) have the same directory environments/prod, workspace default",
    ),
    ("environments: [{path: environments/prod, var_files: [../../../x.tfvars]}]", "var_files of prod names"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_file_is_refused_with_place_finding_and_expectation(text: str, message: str) -> None:
    assert message in error(text)


def test_a_quoted_number_is_not_a_number() -> None:
    assert "`policy.limits.destroys`" in error("policy: {limits: {destroys: '1'}}")


def test_all_errors_are_listed_one_a_line_in_the_order_of_the_file() -> None:
    lines = error("version: 3\npolicy:\n  drift: never\n  limit: {}\nconcurrency: many\n").splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "3", "4", "5"]


def test_a_flood_of_errors_is_cut_short() -> None:
    lines = error("\n".join(f"wrong{n}: 1" for n in range(500))).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "driftguard.yaml: and 480 more errors"


def test_a_bomb_of_aliases_is_refused() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert "too many values" in error(bomb)


def test_a_file_that_is_not_utf8_or_too_large_is_refused() -> None:
    for text, message in ((b"version: 1\na: \xff", "driftguard.yaml:2: a byte"), (b"#" * 2**21, "1048576")):
        with pytest.raises(UsageError, match=message):
            config.load(text, source="driftguard.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "ledger: {url: 'postgresql://me:hunter2canary@db/x'}",
        "ledger: {url: 'postgresql://db/x?password=hunter2canary'}",
        "ledger: {url: 'mysql://me:hunter2canary@db/x'}",
        "ledger: {url_env: 'hunter2canary!'}",
        "policy: 'postgresql://me:hunter2canary@db/x'",
        "'https://me:hunter2canary@db/x': 1",
        "environments: [{path: environments/prod, env: {'hunter2canary!': x}}]",
    ],
)
def test_a_refused_secret_is_not_repeated(text: str) -> None:
    assert "hunter2canary" not in error(text)


def test_values_that_may_be_credentials_are_not_in_the_representation() -> None:
    settings = load("environments: [{path: environments/prod, env: {X: canary}, backend_config: {secret: canary}}]")
    assert "canary" not in repr(settings)
    assert "canary" not in repr(settings.resolve(estate(*ESTATE)))


def test_nothing_found_without_a_file_states_how_to_begin() -> None:
    with pytest.raises(UsageError, match=r"driftguard\.yaml does not exist\. .*`driftguard init` writes one"):
        load(None).resolve(estate("stacks/prod"))
    with pytest.raises(UsageError, match=r"driftguard\.yaml:1: .*list them under `environments`"):
        load("version: 1").resolve(estate("stacks/prod"))


_keys = st.sampled_from(
    sorted({key for part in config.json_schema()["$defs"].values() for key in part["properties"]})
    + sorted(config.json_schema()["properties"])
)
yaml_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)


@given(st.text(alphabet=st.sampled_from("ab: \n-[]{}&*!<>|'\"#%?,@`\t\\U0199~é\x00")) | yaml_like.map(yaml.safe_dump))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    assert in_words(refusal(text.encode()))


@given(st.dictionaries(_keys, yaml_like, max_size=6))
def test_any_values_of_known_keys_are_read_or_refused_in_words(values: dict[str, object]) -> None:
    assert in_words(refusal(yaml.safe_dump(values).encode()))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_words(text: bytes) -> None:
    assert in_words(refusal(text))


# --- values --------------------------------------------------------------------------------------


def test_words_that_yaml_takes_for_something_else_stay_text() -> None:
    text = """
    environments:
      - path: environments/prod
        name: "1"
        workspace: no
        backend_config: {encrypt: true, retries: 5, version: 1.10, mode: 0123, at: 12:30, day: 2026-01-01}
    """
    prod = resolve(text)["1"]
    assert prod.workspace == "no"
    assert prod.backend_config == {
        "encrypt": "true",
        "retries": "5",
        "version": "1.10",
        "mode": "0123",
        "at": "12:30",
        "day": "2026-01-01",
    }


def test_anchors_and_merge_keys_work() -> None:
    text = """
    environments:
      - &base {path: environments/dev, timeout: 5m, workspace: eu}
      - {<<: *base, path: environments/prod, workspace: us}
    """
    found = resolve(text)
    assert (found["prod"].timeout, found["prod"].workspace) == (timedelta(minutes=5), "us")


@pytest.mark.parametrize("env", ["[A, B: 1]", "[A, {B: 1}]", "{A: , B: 1}"])
def test_variables_are_a_list_or_a_mapping_or_both(env: str) -> None:
    assert resolve(f"environments: [{{path: environments/prod, env: {env}}}]")["prod"].env == {"A": None, "B": "1"}


def test_a_date_lasts_until_the_end_of_its_day_in_utc() -> None:
    rule = IgnoreRule(address="a", until="2027-01-31")  # type: ignore[arg-type]
    assert not rule.expired(date(2027, 1, 31))
    assert not rule.expired(datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC))
    assert rule.expired(date(2027, 2, 1))
    moment = IgnoreRule(address="a", until="2027-01-31T18:00:00+02:00")  # type: ignore[arg-type]
    assert moment.until == datetime(2027, 1, 31, 16, tzinfo=UTC)
    assert not IgnoreRule(address="a").expired(date(9999, 12, 31))


@pytest.mark.parametrize("text", ["90s", "15m", "6h", "2d"])
def test_durations_read_back_as_written(text: str) -> None:
    forge = load(f"forge: {{kind: git, expires: {text}}}").forge
    assert forge is not None
    assert config.duration_text(forge.expires) == text


def test_a_window_can_be_made_in_code() -> None:
    window = Window(allow="0 9 * * mon-fri", for_=timedelta(hours=8), zone="Europe/Berlin")
    assert (window.allow, window.deny, window.for_) == ("0 9 * * mon-fri", None, timedelta(hours=8))


# --- entries and environments --------------------------------------------------------------------


def test_later_entries_win_and_policies_merge_key_by_key() -> None:
    text = """
    policy: {pending: apply, limits: {changes: 10, destroys: 1}, protect: [a], suspended: {reason: move}}
    environments:
      - {path: environments/*, timeout: 5m, policy: {limits: {destroys: 2}, protect: [b]}}
      - {path: environments/p*, policy: {drift: revert, limits: {replaces: 3}, suspended: }}
      - {path: environments/prod, timeout: 9m}
    """
    found = resolve(text)
    prod, dev = found["prod"].policy, found["dev"].policy
    assert (prod.pending, prod.drift, prod.protect, prod.suspended) == ("apply", "revert", ("b",), None)
    assert (prod.limits.changes, prod.limits.destroys, prod.limits.replaces) == (10, 2, 3)
    assert (dev.drift, dev.limits.replaces) == ("alert", 0)
    assert dev.suspended is not None
    assert (found["prod"].timeout, found["dev"].timeout) == (timedelta(minutes=9), timedelta(minutes=5))


def test_names_make_several_environments_of_one_directory() -> None:
    text = """
    environments:
      - path: environments/*
      - {path: environments/prod, name: prod-eu, workspace: eu}
      - {path: environments/prod, name: prod-us, workspace: us}
      - {path: environments/prod, timeout: 1h}
    """
    found = resolve(text)
    assert [n for n in found if n.startswith("prod")] == ["prod-eu", "prod-us"]
    assert [found[n].workspace for n in ("prod-eu", "prod-us")] == ["eu", "us"]
    assert {found[n].timeout for n in ("prod-eu", "prod-us")} == {timedelta(hours=1)}


@pytest.mark.parametrize(
    ("path", "directory", "name"),
    [
        ("environments/*", "environments/prod", "prod"),
        ("*/prod", "environments/prod", "environments/prod"),
        ("live/*/*", "live/eu/prod", "eu/prod"),
        ("environments/prod/", "environments/prod", "prod"),
        ("./environments/*", "environments/prod", "prod"),
        (".", ".", "root"),
    ],
)
def test_the_default_name_is_the_path_below_the_globs_fixed_part(path: str, directory: str, name: str) -> None:
    settings = load(f"environments: [{{path: '{path}'}}]")
    assert [e.name for e in settings.resolve(estate(directory))] == [name]


@pytest.mark.parametrize("odd", ["it's", "a\nb", "-x", "…", "a\\b", "x" * 300, "tab\t", "\u202eabc"])
def test_a_directory_that_cannot_be_a_name_is_a_fault_of_that_environment_alone(odd: str) -> None:
    found = load(None).resolve(lambda include, exclude: ["environments/good", f"environments/{odd}"])
    by_fault = {environment.fault is None: environment for environment in found}
    assert by_fault[True].name == "good"
    assert by_fault[False].path == f"environments/{odd}"
    assert "cannot give its environment a name" in str(by_fault[False].fault)
    assert re.fullmatch(r"[A-Za-z0-9_./@+-]{1,120}", by_fault[False].name)


# --- the operator's file -------------------------------------------------------------------------


def test_the_operators_file_wins_over_everything_in_the_repositorys() -> None:
    repository = """
    concurrency: 2
    ledger: {url_env: THEIRS}
    policy: {pending: alert}
    environments:
      - {path: environments/prod, policy: {pending: apply, limits: {destroys: 9, changes: 7}}, timeout: 5m}
    """
    operator = "{ledger: {url: 'sqlite:////x'}, policy: {pending: propose, limits: {destroys: 1}}}"
    settings = load(repository, operator)
    prod = settings.resolve(estate(*ESTATE))[0]
    assert settings.ledger == LedgerSettings(url="sqlite:////x")
    assert settings.concurrency == 2
    assert (prod.policy.pending, prod.policy.limits.destroys, prod.policy.limits.changes) == ("propose", 1, 7)
    assert prod.timeout == timedelta(minutes=5)


def test_no_override_of_the_repository_weakens_the_operators_approval() -> None:
    repository = """
    environments:
      - path: environments/*
      - {path: environments/prod, policy: {approval: {require: signed, signers: /tmp/theirs}}}
      - {path: environments/dev, policy: {approval: {require: merged}}}
    """
    operator = "policy: {approval: {require: reviewed, approvals: 2}}"
    approvals = {e.policy.approval for e in resolve(repository, operator).values()}
    assert approvals == {config.Approval(require="reviewed", approvals=2)}


def test_signers_of_the_operator_stand_beside_the_operators_file() -> None:
    settings = load(None, "policy: {approval: {require: signed, signers: keys/allowed}}")
    assert settings.policy.approval.signers == "/etc/driftguard/keys/allowed"


def test_roles_come_from_the_operator_alone_once_the_operator_names_one() -> None:
    repository = f"""
    aws: {{apply_role_arn: "{ROLE}/evil", external_id: evil}}
    environments:
      - path: environments/*
      - {{path: environments/dev, aws: {{plan_role_arn: "{ROLE}/evil", region: evil}}}}
    """
    operator = f"environments: [{{path: environments/prod, aws: {{plan_role_arn: '{ROLE}/plan'}}}}]"
    settings = load(repository, operator)
    found = {e.name: e for e in settings.resolve(estate(*ESTATE))}
    assert found["prod"].aws.plan_role_arn == f"{ROLE}/plan"
    assert "evil" not in repr([e.aws for e in found.values()]) + repr(settings.aws)
    assert settings.notices == (
        "driftguard.yaml: every `aws` in this file is ignored, because /etc/driftguard/own.yaml sets the roles.",
    )
    assert resolve(repository, "concurrency: 1")["dev"].aws.plan_role_arn == f"{ROLE}/evil"


def test_an_operators_entry_overrides_by_directory_and_takes_no_environment_away() -> None:
    repository = "environments: [{path: environments/prod, name: prod-eu, workspace: eu}, {path: environments/dev}]"
    found = resolve(repository, "environments: [{path: environments/*, exclude: [environments/s*], timeout: 1m}]")
    assert list(found) == ["dev", "prod-eu"]
    assert {e.timeout for e in found.values()} == {timedelta(minutes=1)}
    assert found["prod-eu"].workspace == "eu"


def test_an_operators_glob_does_not_rename_the_repositorys_environments() -> None:
    assert list(resolve("version: 1", "environments: [{path: '*/prod', timeout: 1m}]")) == list(resolve(None))


def test_errors_name_the_operators_file() -> None:
    assert error("version: 1", "\nledgr: {}").startswith("/etc/driftguard/own.yaml:2: unknown key `ledgr`")
    assert error("version: 1", "environments: [{path: nowhere}]").startswith("/etc/driftguard/own.yaml:1: ")


# --- ignore rules, protection, ledger ------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "path", "given", "attribute", "covered"),
    [
        ("module.app.aws_ecs_service.*", "desired_count", "module.app.aws_ecs_service.web", "desired_count", True),
        ("module.app.aws_ecs_service.*", "desired_count", "module.db.aws_ecs_service.web", "desired_count", False),
        ('aws_x.y["k"]', None, 'aws_x.y["k"]', "tags.owner", True),
        ('aws_x.y["k"]', None, "aws_x.yk", "tags.owner", False),
        ("aws_x.y[*]", None, 'aws_x.y["a.b"]', "tags", True),
        ("*", "tags.*", "aws_x.y", "tags.owner", True),
        ("*", "tags.*", "aws_x.y", "tags_all.owner", False),
        ("*", "tags", "aws_x.y", "tags.owner", True),
        ("*", "tags", "aws_x.y", "tags_all", False),
        ("*", "rule[0]", "aws_x.y", "rule[0].port", True),
        ("*", "rule[?].port", "aws_x.y", "rule[1].port", True),
        ("aws_x.*", None, "data.aws_x.y", "a", False),
        ("a.*", None, 'a.b["\n"]', "", True),
        ("*.b*c.*", None, "a.b.b.xc.c.d", "", True),
        ("*", "*.port", "aws_x.y", "rule.port.port[0]", True),
        ("*a" * 40 + "b", None, "a" * 400, "", False),
    ],
)
def test_ignore_rules_cover_what_their_globs_state(
    address: str, path: str | None, given: str, attribute: str, covered: bool
) -> None:
    assert IgnoreRule(address=address, path=path).matches(given, attribute) is covered


def test_an_ignore_rule_is_named_as_it_was_written() -> None:
    assert IgnoreRule(address="aws_x.*", path="tags.*").name == "aws_x.* tags.*"
    assert IgnoreRule(address="aws_x.*").name == "aws_x.*"


@pytest.mark.parametrize(
    ("glob", "address", "type_", "protects"),
    [
        ("aws_db_instance.*", "aws_db_instance.main", "aws_db_instance", True),
        ("aws_db_instance.*", 'module.a["x.y]"].module.b[0].aws_db_instance.main["k"]', "aws_db_instance", True),
        ("aws_db_instance", "module.a.aws_db_instance.main", "aws_db_instance", True),
        ("aws_db_*", "aws_db_subnet_group.main", "aws_db_subnet_group", True),
        ("module.a.*", "module.a.aws_s3_bucket.x", "aws_s3_bucket", True),
        ("aws_db_instance.*", "aws_s3_bucket.x", "aws_s3_bucket", False),
        ("aws_db_instance.main", "aws_db_instance.other", "aws_db_instance", False),
    ],
)
def test_protection_holds_in_every_module(glob: str, address: str, type_: str, protects: bool) -> None:
    assert Policy(protect=("never.*", glob)).protecting(address, type_) == (glob if protects else None)


def test_the_ledgers_url_comes_from_the_variable_that_is_named() -> None:
    ledger = load("ledger: {url_env: DRIFTGUARD_LEDGER}").ledger
    assert ledger.resolve({"DRIFTGUARD_LEDGER": "postgresql://me:pw@db/x"}) == "postgresql://me:pw@db/x"
    with pytest.raises(UsageError, match="DRIFTGUARD_LEDGER"):
        ledger.resolve({})
    assert LedgerSettings().resolve({}) is None


# --- surroundings --------------------------------------------------------------------------------


def test_terraform_sees_the_allow_list_and_what_env_names(tmp_path: Path) -> None:
    environ = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "AWS_PROFILE": "p",
        "https_proxy": "x",
        "TF_TOKEN_app_terraform_io": "t",
        "SLACK_BOT_TOKEN": "s",
        "GITHUB_TOKEN": "g",
        "TF_CLI_ARGS": "-x",
        "TF_CLI_ARGS_plan": "-x",
        "TF_LOG": "TRACE",
        "TF_WORKSPACE": "w",
        "TF_VAR_a": "a",
        "TF_VAR_b": "b",
        "TF_DATA_DIR": "d",
        "TF_INPUT": "1",
        "GIT_DIR": "/x",
    }
    seen = config.terraform_environment({"TF_VAR_a": None, "EXTRA": "1", "GONE": None}, environ)
    assert seen == {
        **{name: environ[name] for name in ("PATH", "LC_ALL", "AWS_PROFILE", "https_proxy", "TF_VAR_a")},
        "TF_TOKEN_app_terraform_io": "t",
        "EXTRA": "1",
        **OURS,
    }
    assert config.missing_variables({"TF_VAR_a": None, "EXTRA": "1", "GONE": None}, environ) == ("GONE",)


OURS = {"TF_APPEND_USER_AGENT": "driftguard"}


def test_a_cli_configuration_or_plugin_cache_that_is_missing_is_not_passed_on(tmp_path: Path) -> None:
    there = tmp_path / "terraformrc"
    there.touch()
    for file, cache in ((there, tmp_path), (tmp_path / "gone", tmp_path / "gone")):
        seen = config.terraform_environment({}, {"TF_CLI_CONFIG_FILE": str(file), "TF_PLUGIN_CACHE_DIR": str(cache)})
        passed_on = {"TF_CLI_CONFIG_FILE": str(file), "TF_PLUGIN_CACHE_DIR": str(cache)} if file == there else {}
        assert seen == {**passed_on, **OURS}


def test_an_assumed_roles_process_does_not_see_who_assumed_it() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "k", "AWS_PROFILE": "p", "AWS_ROLE_ARN": "r", "AWS_REGION": "eu-west-1"}
    assert config.terraform_environment({}, environ, own_aws_identity=False) == {"AWS_REGION": "eu-west-1", **OURS}
    named = config.terraform_environment({"AWS_PROFILE": None}, environ, own_aws_identity=False)
    assert named == {"AWS_REGION": "eu-west-1", "AWS_PROFILE": "p", **OURS}


def test_calls_of_terraform_are_known_as_ours_beside_what_a_team_calls_them() -> None:
    seen = config.terraform_environment({"TF_APPEND_USER_AGENT": "acme/1"}, {})
    assert seen == {"TF_APPEND_USER_AGENT": "acme/1 driftguard"}


def test_folders_follow_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = config.directories()
    assert (found.cache, found.state) == (tmp_path / "cache" / "driftguard", tmp_path / "state" / "driftguard")


# --- init, schema, reference ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        ([], ["dev", "prod", "sandbox-ann", "staging"]),
        ([{"path": "environments/*", "exclude": ["environments/s*"]}], ["dev", "prod"]),
        ([{"path": "live/*"}, {"path": "top", "workspaces": ["x", "y"]}], ["a", "b", "top/x", "top/y"]),
        ([{"path": "."}], ["root"]),
    ],
)
def test_the_first_file_loads_and_finds_what_was_found(entries: list[dict[str, Any]], names: list[str]) -> None:
    settings = load(config.template(entries))
    assert [e.name for e in settings.resolve(estate(*ESTATE, "live/a", "live/b", "top", "."))] == names
    assert settings.policy == Policy()


def test_the_comments_of_the_first_file_are_valid_keys() -> None:
    lines = config.template([]).splitlines()
    bare = [line[2:] if line.startswith("# ") else line for line in lines]
    keys = [line for line in bare if line[:1] == " " or line.split(":")[0] in config.json_schema()["properties"]]
    settings = load("\n".join(keys))
    assert settings.policy.windows
    assert settings.ignore
    assert settings.ledger.url_env == "DRIFTGUARD_LEDGER"
    assert settings.resolve(estate(*ESTATE))


def test_the_schema_accepts_the_contracts_example_and_refuses_unknown_keys() -> None:
    validator = jsonschema.Draft202012Validator(config.json_schema())
    document = yaml.load(CONTRACT, Loader=yaml.BaseLoader)
    document["version"] = 1
    for key in ("changes", "destroys", "replaces"):
        document["policy"]["limits"][key] = int(document["policy"]["limits"][key])
    validator.validate(document)
    assert not validator.is_valid({"polcy": {}})
    assert not validator.is_valid({"policy": {"windows": [{"for": 8}]}})


def test_the_committed_schema_and_reference_are_those_of_the_code() -> None:
    schema = json.dumps(config.json_schema(), indent=2, ensure_ascii=False) + "\n"
    page = DOCS / "configuration.md"
    mark = "<!-- generated -->\n"
    written = page.read_text().split(mark)[0] + mark + "\n" + config.reference()
    if os.environ.get("DRIFTGUARD_WRITE_DOCS"):
        (DOCS / "driftguard.schema.json").write_text(schema)
        page.write_text(written)
    assert (DOCS / "driftguard.schema.json").read_text() == schema
    assert page.read_text() == written


# --- one entry, many environments ----------------------------------------------------------------


class Files(config.CommitFiles):
    """Files of a commit by their paths."""

    def __init__(self, **contents: str) -> None:
        self.contents = {path.replace("__", "/"): text for path, text in contents.items()}
        self.listing = config.Listing(("default", "eu-1", "eu-2", "us"))

    def workspaces(self, base: config.EnvironmentSettings) -> config.Listing:
        return self.listing

    def matching(self, pattern: str) -> list[str]:
        return sorted(p for p in self.contents if fnmatch.fnmatch(p, pattern) and p.count("/") == pattern.count("/"))

    def read(self, path: str) -> bytes:
        return self.contents[path].encode()


ONE_ENTRY = """\
environments:
  - path: live/*
    workspaces: [eu, us]
    backend_config: {key: "{path}/{workspace}.tfstate", role: "{dir}-{name}"}
    aws: {plan_role_arn: "arn:aws:iam::123456789012:role/{dir}-plan"}
    env: {TF_VAR_at: "{workspace}", AWS_PROFILE: null}
    extra_files: ["policies/{dir}/*.json"]
"""


def test_workspaces_make_an_environment_each_and_placeholders_are_filled_in() -> None:
    made = {e.name: e for e in load(ONE_ENTRY).resolve(estate("live/a", "live/b"))}
    assert list(made) == ["a/eu", "a/us", "b/eu", "b/us"]
    one = made["b/us"]
    assert (one.workspace, one.extra_files) == ("us", ("policies/b/*.json",))
    assert one.backend_config == {"key": "live/b/us.tfstate", "role": "b-b/us"}
    assert one.aws.plan_role_arn == "arn:aws:iam::123456789012:role/b-plan"
    assert one.env == {"TF_VAR_at": "us", "AWS_PROFILE": None}


def made_of(workspaces: str, files: Files) -> dict[str, str | None]:
    """Names of what an entry with these workspaces makes, and why each cannot be planned."""
    text = f"environments: [{{path: live/*, workspaces: {workspaces}, var_files: ['{{workspace}}.tfvars']}}]"
    return {e.name: e.fault for e in load(text).resolve(estate("live/a"), files)}


def test_a_glob_of_workspaces_is_held_against_the_backend_and_leaves_the_default_one_out() -> None:
    assert made_of("'*'", Files()) == dict.fromkeys(("a/eu-1", "a/eu-2", "a/us"))
    assert made_of("['eu-*', asia, default]", Files()) == dict.fromkeys(("a/asia", "a/default", "a/eu-1", "a/eu-2"))
    assert made_of("[eu]", Files()) == {"a/eu": None}


def test_a_glob_without_a_list_keeps_what_is_known_and_is_never_no_environment() -> None:
    files, fault = Files(), "The bucket cannot be reached."
    files.listing = config.Listing(("eu-1", "us"), fault)
    assert made_of("['eu-*', us]", files) == {"a/eu-1": fault, "a/us": None}
    files.listing = config.Listing((), fault)
    assert list(made_of("'*'", files).values()) == [fault]
    (why,) = made_of("'asia-*'", Files()).values()
    assert why is not None
    assert "matches no workspace of the backend, which has default, eu-1, eu-2, us" in why


def test_a_glob_of_workspaces_needs_one_backend() -> None:
    text = (
        "environments: [{path: live/*, workspaces: '*', from: {file: 'r/*.json'}, backend_config: {key: '{from.k}'}}]"
    )
    (one,) = load(text).resolve(estate("live/a"), Files(**{"r/x.json": '{"k": "1"}'}))
    assert one.fault is not None
    assert "a glob in `workspaces` needs one backend, and that of live/a varies by {from.k}" in one.fault


def test_each_makes_an_environment_of_each_var_file_but_the_automatic_ones() -> None:
    text = "environments: [{path: i, each: '*.tfvars', workspace: '{var_file}', var_files: ['c/*.tfvars']}]"
    files = Files(**{"i/dev.tfvars": "", "i/prod.tfvars": "", "i/terraform.tfvars": "", "i/c/all.tfvars": ""})
    made = load(text).resolve(estate("i"), files)
    assert [(e.name, e.workspace, e.var_files) for e in made] == [
        (f"i/{name}", name, ("c/all.tfvars", f"{name}.tfvars")) for name in ("dev", "prod")
    ]
    assert [e.elsewhere for e in made] == [("i/prod.tfvars",), ("i/dev.tfvars",)]


def test_var_files_with_one_name_are_distinguished_by_their_directories() -> None:
    text = "environments: [{path: i, each: 'env/*/terraform.tfvars', workspace: '{var_file}'}]"
    files = Files(**{"i/env/eu/terraform.tfvars": "", "i/env/us/terraform.tfvars": ""})
    made = load(text.replace("terraform.tfvars", "t.tfvars")).resolve(
        estate("i"), Files(**{"i/env/eu/t.tfvars": "", "i/env/us/t.tfvars": ""})
    )
    assert [e.name for e in made] == ["i/eu", "i/us"]
    assert [e.name for e in load(text).resolve(estate("i"), files)] == ["i/eu", "i/us"]


def test_a_var_file_that_terraform_takes_by_itself_makes_no_environment_by_chance() -> None:
    files = Files(**{"i/terraform.tfvars": "", "i/x.auto.tfvars": "", "i/eu.tfvars": ""})
    made = load("environments: [{path: i, each: '*.tfvars', workspace: '{var_file}'}]").resolve(estate("i"), files)
    assert [e.name for e in made] == ["i/eu"]


def test_a_workspace_has_no_slash_of_a_path_that_is_filled_in() -> None:
    text = "environments: [{path: live/i, each: 'vars/*/*.tfvars', workspace: '{dir}-{var_file}'}]"
    files = Files(**{f"live/i/vars/{name}.tfvars": "" for name in ("eu/dev", "eu/prod", "us/dev")})
    made = load(text).resolve(estate("live/i"), files)
    assert [(e.name, e.workspace) for e in made] == [
        (f"i/{name}", f"i-{name.replace('/', '-')}") for name in ("eu/dev", "eu/prod", "us/dev")
    ]


FROM = """\
environments:
  - path: account
    from: {file: "accounts/*.json", name: ".name"}
    workspace: "{from.name}"
    aws: {plan_role_arn: "arn:aws:iam::{from.account.id}:role/plan"}
"""


@pytest.mark.parametrize(
    ("records", "wanted"),
    [
        ('["a", {"name": "b"}]', {"account/x/1": "a record that is no object", "account/b": None}),
        ('[{"id": 1}, {"id": 2}]', {"account/x/1": "no text under .name", "account/x/2": "no text under .name"}),
        ("[]", {"account": "hold no record"}),
        ('{"name": "a/../b c"}', {None: "cannot be the name of"}),
    ],
)
def test_a_record_that_is_wrong_is_a_fault_of_its_environment_alone(
    records: str, wanted: dict[str | None, str | None]
) -> None:
    text = 'environments: [{path: account, from: {file: "a/*.json", name: ".name"}, workspace: "{from.name}"}]'
    made = load(text).resolve(estate("account"), Files(**{"a/x.json": records}))
    assert len(made) == len(wanted)
    for one in made:
        fault = wanted[one.name if one.name in wanted else None]
        assert (one.fault is None) == (fault is None)
        assert fault is None or fault in str(one.fault)


def test_a_record_names_no_file_outside_of_the_repository() -> None:
    text = (
        'environments: [{path: account, from: {file: "a/*.json"}, var_files: ["{from.vars}"], name: "{from.vars}-x"}]'
    )
    files = Files(**{"a/x.json": '{"vars": "../../etc/a.tfvars"}'})
    assert "leaves the repository" in str(load(text).resolve(estate("account"), files)[0].fault)


def test_two_records_of_one_name_are_named_with_their_files() -> None:
    text = 'environments: [{path: account, from: {file: "a/*.json", name: ".name"}, workspace: "{from.name}"}]'
    files = Files(**{"a/x.json": '{"name": "a"}', "a/y.json": '{"name": "a"}'})
    with pytest.raises(UsageError, match=r"\(a/y\.json\): two environments are called account/a: .*\(a/x\.json\)"):
        load(text).resolve(estate("account"), files)


def test_plain_scalars_of_records_are_text() -> None:
    text = 'environments: [{path: account, from: {file: "a/*.yaml", name: ".id"}, workspace: "{from.id}-{from.on}"}]'
    files = Files(
        **{"a/x.yaml": "- {id: 012345670123, on: no}\n- {id: 2026-01-02, on: 12:30}\n".replace("12:30", "1_0")}
    )
    assert [e.workspace for e in load(text).resolve(estate("account"), files)] == ["012345670123-no", "2026-01-02-1_0"]


def test_placeholders_in_the_name_of_a_plain_entry_are_filled_in() -> None:
    text = 'environments: [{path: "live/*", workspace: eu, name: "{dir}-{workspace}"}]'
    assert [e.name for e in load(text).resolve(estate("live/a", "live/b"))] == ["a-eu", "b-eu"]
    wrong = load('environments: [{path: live/a, name: "{from.x}"}]').resolve(estate("live/a"))
    assert "no value for {from.x} in `name`" in str(wrong[0].fault)


def test_a_workspace_that_is_written_twice_is_one_environment() -> None:
    made = load("environments: [{path: i, workspaces: [a, b, a]}]").resolve(estate("i"))
    assert [e.name for e in made] == ["i/a", "i/b"]


def test_records_of_files_make_an_environment_each_and_one_that_is_wrong_is_its_own_fault() -> None:
    files = Files(
        **{
            "accounts/a.json": '{"name": "a", "account": {"id": "123456789012"}}',
            "accounts/many.json": '[{"name": "b", "account": {"id": "210987654321"}}, {"name": "c"}]',
            "accounts/odd.json": "{",
            "accounts/short.json": '{"name": "s", "account": {"id": "12"}}',
        }
    )
    made = {e.name: e for e in load(FROM).resolve(estate("account"), files)}
    roles = {name: e.aws.plan_role_arn for name, e in made.items() if e.fault is None}
    assert roles == {
        "account/a": "arn:aws:iam::123456789012:role/plan",
        "account/b": "arn:aws:iam::210987654321:role/plan",
    }
    assert "no value for {from.account.id}" in (made["account/c"].fault or "")
    assert "accounts/odd.json cannot be read" in (made["account/odd"].fault or "")
    assert "is not the ARN of an IAM role" in (made["account/s"].fault or "")


def test_a_named_entry_overrides_one_of_many() -> None:
    text = ONE_ENTRY + "  - {path: live/b, name: b/us, timeout: 2m}\n  - {path: live/*, owner: core}\n"
    made = {e.name: e for e in load(text).resolve(estate("live/a", "live/b"))}
    assert list(made) == ["a/eu", "a/us", "b/eu", "b/us"]
    assert [name for name, e in made.items() if e.timeout == timedelta(minutes=2)] == ["b/us"]
    assert {e.owner for e in made.values()} == {"core"}


def test_names_may_be_written_with_placeholders() -> None:
    text = "environments: [{path: live/*/*, name: '{dir}-{workspace}', workspaces: [eu]}, {path: x, name: 'y-{path}'}]"
    made = load(text).resolve(estate("live/prod/vpc", "x"))
    assert [e.name for e in made] == ["vpc-eu", "y-x"]


def test_a_glob_of_var_files_that_matches_nothing_is_the_environments_fault() -> None:
    made = load("environments: [{path: i, var_files: ['x/*.tfvars']}, {path: j}]").resolve(estate("i", "j"), Files())
    assert [bool(e.fault) for e in made] == [True, False]


def test_texts_in_braces_that_are_no_placeholders_stay() -> None:
    made = load("""environments: [{path: i, env: {TF_VAR_x: '{"name": 1}', TF_VAR_y: "{other}"}}]""").resolve(
        estate("i")
    )
    assert made[0].env == {"TF_VAR_x": '{"name": 1}', "TF_VAR_y": "{other}"}
