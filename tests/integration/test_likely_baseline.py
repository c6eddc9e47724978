"""An estate that is dirty on the day it meets DriftGuard: what has a baseline, and which commit it may be."""

from __future__ import annotations

import json

from tests.support.toy_estate import EstateOf


def test_the_commit_whose_plan_leaves_nothing_but_drift_is_offered(estate_of: EstateOf) -> None:
    estate = estate_of("blue", "green")
    sandbox = estate.sandbox
    pending = estate.rewrite("blue", '"one"', '"two"', "Raise the value")
    sandbox.commit("elsewhere", {"README.md": "x", "CODEOWNERS": "/environments/blue/ @acme/blue\n"})
    estate.clouds["blue"].change("web", tags={"team": "outside"})

    ran = sandbox.run("scan")
    ended = " ".join(ran.stdout.split())
    assert "1 of 2 environments have a baseline" in ended
    assert "1 needs one" in ended
    assert "driftguard doctor --baseline blue" in ended
    assert "driftguard baseline blue --commit SHA --reason TEXT" in ended

    ran = sandbox.run("doctor", "--baseline", "blue", "--format", "json")
    assert ran.code == 0
    found = json.loads(ran.stdout)
    assert [(c["commit"], c["likely"]) for c in found["commits"]] == [(pending, False), (estate.commit, True)]
    assert "pending" in found["commits"][0]["proof"]
    assert found["commits"][1]["proof"] == "1 drift object"
    assert f"driftguard baseline blue --commit {estate.commit[:10]}" in found["next"]

    given = sandbox.run("baseline", "blue", "--commit", estate.commit[:10], "--reason", "by doctor", "--yes")
    assert given.code == 0, given.stderr
    report = sandbox.scan("blue").report
    (blue,) = report["environments"]
    labels = {a["path"]: (a["label"], a["certain"]) for r in blue["resources"] for a in r["attributes"]}
    assert labels["value"] == ("pending", True)
    assert labels["tags.team"] == ("drift", True)
    assert blue["owner"] == "@acme/blue"
    assert "need" not in sandbox.run("scan", "blue").stdout
