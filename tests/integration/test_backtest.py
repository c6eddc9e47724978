"""`driftguard backtest` over a ledger of real runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.conftest import Estate
from tests.integration.test_reconcile import APPLY, thing
from tests.support.harness import Ran

pytestmark = pytest.mark.terraform


def value(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def backtest(estate: Estate, policy: str, *arguments: str) -> Ran:
    return estate.sandbox.run("backtest", "--policy", policy, *arguments)


def test_a_ledger_of_applies_holds_and_drift_is_replayed_word_for_word(estate: Estate) -> None:
    estate.configure(APPLY)
    estate.merge("Add a", thing("a", value="1", tags={"owner": "x"}))
    estate.reconcile()  # applied
    estate.toy.change("a", tags={"owner": "hotfix"})
    estate.reconcile()  # drift: alert
    estate.merge("Change a", thing("a", value="2", tags={"owner": "x"}))
    estate.reconcile()  # mixed: hold
    estate.toy.change("a", tags={"owner": "x"})
    assert estate.reconcile().code == 0  # applied

    file = estate.sandbox.repository / "driftguard.yaml"
    same = backtest(estate, str(file), "--format", "json")
    assert (same.code, value(same)["differences"], value(same)["not_replayed"]) == (0, [], [])
    assert value(same)["replayed"] == 4
    assert value(same)["decided"]["apply"] == 2

    other = estate.sandbox.repository.parent / "other.yaml"
    other.write_text("policy: {pending: apply, drift: revert}\n")
    found = value(backtest(estate, str(other), "--since", "1d", "--format", "json"))
    assert [(each["decided"]["action"], each["would_be"]["action"]) for each in found["differences"]] == [
        ("alert", "apply"),
        ("hold", "apply"),
    ]
    table = backtest(estate, str(other))
    assert (table.code, "3 decisions" in table.stdout) == (2, False)
    assert "2 decisions would be another one." in table.stdout
    assert "| dev |" in backtest(estate, str(other), "--format", "markdown").stdout

    estate.sandbox.git("branch", "strict")
    estate.sandbox.git("checkout", "-q", "strict")
    estate.sandbox.commit("Alert alone", {"driftguard.yaml": "environments: [{path: environments/*}]\n"})
    estate.sandbox.git("checkout", "-q", "main")
    strict = backtest(estate, "strict:driftguard.yaml", "--format", "json")
    assert value(strict)["would_be"] == {"alert": 4}


def test_bad_input_is_one_sentence(estate: Estate) -> None:
    estate.configure(APPLY)
    estate.merge("Add a", thing("a"))
    for arguments, text in (
        (["--policy", "none.yaml"], "--policy none.yaml cannot be read: No such file or directory."),
        (["--policy", "driftguard.yaml", "--since", "soon"], "--since soon: expected a duration such as 30d"),
        (["--policy", "main:none.yaml"], "the branch main has no file none.yaml"),
        ([], "Missing option '--policy'."),
    ):
        ran = estate.sandbox.run_in(estate.sandbox.repository, "backtest", *arguments)
        assert ran.code == 64
        assert text in ran.stderr
        assert len(ran.stderr.splitlines()) == 1
