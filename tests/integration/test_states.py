"""States that were lost, rolled back, emptied or shared: on real Terraform."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.integration.conftest import Estate
from tests.integration.test_reconcile import decision, thing
from tests.support.seeds import one_quick
from tests.support.toy_estate import end_all, processes_of, until

pytestmark = pytest.mark.terraform

ACTING = "policy: {pending: apply, drift: revert, input: apply}\n"


def stored(estate: Estate) -> dict[str, Any]:
    state = estate.state()
    assert state is not None
    return state


@pytest.mark.parametrize("policy", one_quick([ACTING, "policy: {pending: alert}\n"], pytest.mark.further))
def test_a_state_that_was_rolled_back_is_held_and_named_whatever_the_policy(estate: Estate, policy: str) -> None:
    estate.configure(ACTING)
    estate.merge("Add a", thing("a", value="1"))
    assert estate.reconcile().code == 0
    before = stored(estate)
    estate.merge("Add b", thing("a", value="1") + thing("b"))
    assert estate.reconcile().code == 0
    serial = stored(estate)["serial"]
    estate.store_state(before)
    estate.configure(policy)
    ran = estate.reconcile()
    action, reasons = decision(ran)
    assert (action, reasons[0]) == ("hold" if policy == ACTING else "alert", "state_replaced")
    detail = f"the state was rolled back, from serial {serial} to {before['serial']}"
    assert detail in ran.environment("dev")["decision"]["reasons"][0]
    assert sorted(estate.toy.effects()) == ["create a", "create b"]


def test_a_state_that_was_emptied_is_held_and_an_empty_one_before_the_first_apply_is_not(estate: Estate) -> None:
    estate.configure(ACTING)
    estate.merge("Add a", thing("a", value="1"))
    empty = {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "left-by-a-plan", "outputs": {}}
    estate.store_state({**empty, "resources": []})
    assert (estate.reconcile().code, estate.toy.effects()) == (0, ["create a"])

    estate.store_state({**stored(estate), "serial": 99, "resources": []})
    assert decision(estate.reconcile())[1][0] == "state_replaced"
    assert estate.toy.effects() == ["create a"]


@pytest.mark.provider_process
@pytest.mark.parametrize("number", one_quick([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]))
def test_an_interrupted_plan_leaves_no_state_where_there_was_none(estate: Estate, number: signal.Signals) -> None:
    estate.configure(ACTING)
    estate.merge("Add a", thing("a"))
    estate.toy.faults(configure_seconds=4)
    running = estate.sandbox.start("reconcile", "--format", "json")
    try:
        until(lambda: (estate.toy.folder / "configuring").exists(), "a plan")
        running.send_signal(number)
        running.communicate(timeout=60)
        until(lambda: processes_of(estate.sandbox) == {}, "the end of what the run had begun")
    finally:
        end_all(estate.sandbox)
    assert estate.state() is None
    estate.toy.faults()
    assert estate.reconcile().code == 0
    assert estate.toy.effects() == ["create a"]


def test_a_copy_of_a_directory_and_its_original_are_held_because_they_share_a_state(estate: Estate) -> None:
    estate.configure(ACTING)
    estate.merge("Add prod", thing("a", value="1"), environment="prod")
    assert estate.reconcile().code == 0
    copied = estate.toy.root_module(thing("a", value="2"), backend=estate.backend("prod"))
    estate.sandbox.commit("Copy prod", {"environments/copy/main.tf": copied})
    ran = estate.reconcile()
    assert ran.environment("copy")["decision"]["reasons"][0] == "state_shared: prod"
    estate.merge("Change prod", thing("a", value="3"), environment="prod")
    ran = estate.reconcile()
    for name, other in (("prod", "copy"), ("copy", "prod")):
        found = ran.environment(name)["decision"]
        assert (found["action"], found["reasons"][0]) == ("hold", f"state_shared: {other}")
    assert estate.toy.effects() == ["create a"]

    estate.sandbox.git("rm", "-r", "--quiet", "environments/copy")
    estate.sandbox.git("mv", "environments/prod", "environments/live")
    estate.sandbox.commit("Rename prod, and remove its copy")
    assert "state_shared" not in decision(estate.reconcile(), "live")[1]
