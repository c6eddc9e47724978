"""`driftguard classify` in other pipelines: stable fingerprints, a baseline, noise rules, a decision, JUnit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from driftguard.cli.application import app

PLANS = Path(__file__).parents[1] / "fixtures" / "plans"
HEAD, BASELINE = str(PLANS / "outside_and_merged.json"), str(PLANS / "outside_only.json")


def classify(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["classify", *arguments])


def environment(*arguments: str) -> dict[str, Any]:
    ran = classify(*arguments, "--format", "json")
    (found,) = json.loads(ran.output)["environments"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, str], str]:
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def fingerprints(found: dict[str, Any]) -> tuple[str | None, str | None]:
    return found["drift_fingerprint"], found["plan_fingerprint"]


def test_fingerprints_are_stable_with_a_key_file_and_null_without(file: Callable[[str, str], str]) -> None:
    key, other = file("key", "0123456789abcdef" * 2), file("other", "fedcba9876543210" * 2)
    assert fingerprints(environment(HEAD)) == (None, None)
    first = fingerprints(environment(HEAD, "--key-file", key))
    assert None not in first
    assert fingerprints(environment(HEAD, "--key-file", key)) == first
    assert set(fingerprints(environment(HEAD, "--key-file", other))).isdisjoint(first)
    ran = classify(HEAD, "--key-file", file("short", "secret"))
    assert ran.exit_code != 0
    assert "at least 16" in str(ran.exception)


def test_the_plan_of_the_last_good_commit_gives_l() -> None:
    without, given = environment(HEAD), environment(HEAD, "--baseline-plan", BASELINE)
    assert (without["verdict"], given["verdict"]) == ("diverged", "diverged")
    assert {r["certain"] for r in without["resources"] if "pending" in r["labels"]} == {False}
    labels = {a["path"]: (a["label"], a["certain"]) for r in given["resources"] for a in r["attributes"]}
    assert ("conflict", True) in labels.values()
    assert all(attribute["baseline_known"] for r in given["resources"] for attribute in r["attributes"][:1])


@pytest.mark.parametrize("option", ["--ignore", "--config"])
def test_noise_rules_come_from_a_file(option: str, file: Callable[[str, str], str]) -> None:
    rules = file("rules.yaml", 'ignore: [{address: "aws_*", reason: elsewhere}]\n')
    assert environment(BASELINE)["verdict"] == "drifted"
    assert environment(BASELINE, option, rules)["verdict"] == "in_sync"
    assert classify(BASELINE, option, rules).exit_code == 0


@pytest.mark.parametrize(
    ("policy", "action", "reason"),
    [
        ("{drift: alert}", "alert", "policy_alert: drift"),
        ("{drift: revert}", "apply", "policy_revert: drift"),
        ("{drift: revert, limits: {changes: 0}}", "hold", "limit_changes"),
        ("{drift: revert, approval: {require: reviewed}}", "hold", "not_reviewed"),
        ("{drift: propose}", "hold", "proposals_not_available"),
    ],
)
def test_the_policy_of_a_file_decides(policy: str, action: str, reason: str, file: Callable[[str, str], str]) -> None:
    configuration = file("driftguard.yaml", f"policy: {policy}\n")
    assert environment(BASELINE, "--config", configuration)["decision"]["reasons"] == ["classify_only"]
    known = ("--baseline-plan", BASELINE)  # without it labels are not certain, and nothing is applied
    decision = environment(BASELINE, "--config", configuration, "--decide", *known)["decision"]
    assert decision["action"] == action, decision
    assert any(each.startswith(reason) for each in decision["reasons"]), decision


def test_a_decision_needs_a_policy_and_a_file_that_is_wrong_is_refused(file: Callable[[str, str], str]) -> None:
    assert "--config FILE" in str(classify(HEAD, "--decide").exception)
    wrong = file("wrong.yaml", "ignor: []\n")
    assert "unknown key `ignor`" in str(classify(HEAD, "--ignore", wrong).exception)
    assert "terraform show -json" in str(classify(HEAD, "--baseline-plan", wrong).exception)


@pytest.mark.parametrize("option", ["--schema", "--baseline-plan", "--key-file", "--ignore", "--config"])
def test_a_file_that_is_not_there_is_named_with_its_option(option: str) -> None:
    message = str(classify(HEAD, option, "nowhere").exception)
    assert message == f"{option}: nowhere cannot be read: No such file or directory. Nothing was run."


def test_a_plan_that_another_tool_made_has_no_commit() -> None:
    assert "1 environment: 1 diverged" in classify(HEAD).output
    assert " at `" not in classify(HEAD, "--format", "markdown").output


def test_junit_has_a_case_for_each_environment(file: Callable[[str, str], str]) -> None:
    ran = classify(BASELINE, "--format", "junit")
    assert ran.exit_code == 2
    suite = ElementTree.fromstring(ran.output.encode())
    assert {name: suite.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "1",
        "failures": "1",
        "errors": "0",
    }
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "drifted"
    assert "aws_sqs_queue.jobs: " in str(failure.text)
    assert "not-a-secret" not in ran.output
    settled = classify(BASELINE, "--ignore", file("r.yaml", 'ignore: [{address: "*"}]\n'), "--format", "junit")
    suite = ElementTree.fromstring(settled.output.encode())
    assert (suite.get("failures"), list(suite.iter("failure"))) == ("0", [])
