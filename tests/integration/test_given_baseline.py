"""`driftguard baseline`: an operator's word as the reference for labels, never as an approval."""

from __future__ import annotations

from tests.support.harness import Sandbox
from tests.support.toy_estate import EstateOf, verdicts


def test_a_given_baseline_decides_labels_and_stays_on_record(sandbox: Sandbox, estate_of: EstateOf) -> None:
    estate = estate_of("blue", "green")
    applied = estate.commit
    estate.rewrite("blue", 'value = "one"', 'value = "two"')
    assert sandbox.scan("blue").report["environments"][0]["resources"][0]["certain"] is False

    asked = sandbox.run("baseline", "blue", "--commit", applied, "--reason", "applied by hand")
    assert asked.code != 0  # nobody answered
    assert f"blue: {applied[:10]} as fully applied; 1 later commit is pending." in asked.stdout

    ran = sandbox.run("baseline", "*", "--commit", applied, "--reason", "applied by hand", "--yes")
    assert ran.code == 0, ran.stderr
    report = sandbox.scan().report
    assert verdicts(report) == {"blue": "pending", "green": "in_sync"}
    blue = report["environments"][0]
    assert blue["baseline"] == {"commit": applied, "from": "given"}
    assert blue["approved"]["commit"] is None
    assert blue["resources"][0]["certain"] is True
    assert "given as baseline by" in sandbox.run("history").stdout


def test_a_commit_without_the_environment_is_refused_as_its_baseline(sandbox: Sandbox, estate_of: EstateOf) -> None:
    before = sandbox.commit("nothing yet", {"README": "x"})
    estate_of("blue")
    ran = sandbox.run("baseline", "blue", "--commit", before, "--reason", "x", "--yes")
    assert ran.code == 64
    assert "Nothing recorded" in ran.stderr
    assert sandbox.run("baseline", "blue", "--reason", " ", "--yes").code == 64
