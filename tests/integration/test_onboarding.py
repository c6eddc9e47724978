"""From `init` to a first scan, without a hand edit."""

from __future__ import annotations

import pytest

from tests.support.harness import Sandbox, Toy
from tests.support.layouts import SAMPLES
from tests.support.toy_estate import BODY


@pytest.mark.parametrize("name", ["live", "two_clouds", "var_files_common", "workspaces", "examples", "by_provider"])
def test_what_init_writes_is_what_doctor_and_environments_find(name: str, sandbox: Sandbox) -> None:
    sample = SAMPLES[name]
    for path, text in sample.files.items():
        sandbox.write(path, text)
    assert sandbox.run("init").code == 0
    sandbox.commit("estate")
    listed = sandbox.run("environments", "--format", "json").report["environments"]
    assert [item["name"] for item in listed] == list(sample.planted)
    assert [item["fault"] for item in listed] == [None] * len(listed)
    checks = {check["check"]: check for check in sandbox.run("doctor", "--format", "json").report["checks"]}
    assert checks["environments"]["good"], checks
    assert "uncovered" not in checks


def test_a_first_scan_after_init_names_what_no_entry_covers(sandbox: Sandbox, toy: Toy) -> None:
    for place in ("live/prod/web", "live/dev/web"):
        sandbox.write(f"{place}/main.tf", toy.root_module(BODY))
    sandbox.write("modules/x/main.tf", 'resource "toy_thing" "x" {\n  name = "x"\n}\n')
    assert sandbox.run("init").code == 0
    sandbox.commit("estate")
    sandbox.commit("a new account", {"accounts/new/main.tf": 'terraform {\n  backend "local" {}\n}\n'})
    report = sandbox.scan().report
    assert [e["name"] for e in report["environments"]] == ["dev/web", "prod/web"]
    assert [(e["error"] or {}).get("message") for e in report["environments"]] == [None, None]
    assert report["uncovered"] == [{"path": "accounts/new", "workspace": "default"}]
