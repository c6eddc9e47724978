"""Small repositories after the shapes of the field: from `init` to a first scan without a hand edit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.harness import Sandbox, Toy
from tests.support.layouts import CODE, PROVIDER, SAMPLES
from tests.support.toy_estate import verdicts

# Their backends or modules are on servers that are not there.
NOT_SCANNED = frozenset(
    {"cloud", "module_folders", "remote", "remote_json", "var_files_backends", "var_files_with_a_backend_file_each"}
)
WITH_MAKE_TEST = ("live", "workspaces", "partial_backends")
BLOCKED = frozenset({"cloud", "partial_backends", "remote", "remote_json", "tofu"})
REQUIRED = 'terraform {\n  required_providers {\n    toy = { source = "driftguard/toy" }\n  }\n}\n'
S3_BLOCK = '  backend "s3" {\n    bucket = "state"\n'


def runnable(text: str, toy: Toy) -> str:
    """A file of a sample with states in files, and with things of the toy provider in root modules."""
    provider = f'{REQUIRED}provider "toy" {{\n  folder = "{toy.folder}"\n}}\n'
    if S3_BLOCK in text:
        head, _, rest = text.partition(S3_BLOCK)
        text = f'{head}  backend "local" {{\n{rest.partition(chr(10))[2]}{provider}'
    elif PROVIDER in text:
        text = text.replace(PROVIDER, provider)
    elif CODE in text:
        text = text.replace(CODE, 'resource "terraform_data" "a" {}\n')
    return text.replace('{"s3": {"key": "a"}}', '{"local": {}}')


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in WITH_MAKE_TEST else pytest.mark.crash) for name in SAMPLES],
)
def test_from_init_to_a_first_scan_without_a_hand_edit(name: str, sandbox: Sandbox, toy: Toy) -> None:
    sample = SAMPLES[name]
    for path, text in sample.files.items():
        sandbox.write(path, runnable(text, toy))
    ran = sandbox.run("init")
    assert ran.code == (64 if name == "only_modules" else 0), ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    if not sample.planted:
        assert not (sandbox.repository / "driftguard.yaml").exists()
        return
    sandbox.commit("estate")

    listed = sandbox.run("environments", "--format", "json").report["environments"]
    assert matched([item["name"] for item in listed], sample.planted)
    checks: list[dict[str, Any]] = sandbox.run("doctor", "--format", "json").report["checks"]
    assert not [check for check in checks if check["check"] == "uncovered"]
    predicted = {env for check in checks if not check["good"] for env in check["environments"]}
    assert bool(predicted) == (name in BLOCKED), checks
    if name in NOT_SCANNED:
        return
    report = sandbox.scan().report
    assert matched(list(verdicts(report)), sample.planted)
    assert report["uncovered"] == []
    unknown = {e["name"]: e["error"]["message"] for e in report["environments"] if e["verdict"] == "unknown"}
    assert unknown.keys() == predicted, unknown
    assert {e["error"]["kind"] for e in report["environments"] if e["error"]} <= {"config", "init"}


def matched(names: list[str], planted: tuple[str, ...]) -> bool:
    """Whether exactly the planted environments are named; an odd name ends in a digest of its directory."""
    return len(names) == len(planted) and all(
        name == wanted or (wanted.endswith("-") and name.startswith(wanted))
        for name, wanted in zip(sorted(names), sorted(planted), strict=True)
    )
