"""Approved commits are applied by themselves, and nothing else ever is: real Terraform."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.conftest import Estate
from tests.support.harness import Ran

pytestmark = pytest.mark.terraform

APPLY = "policy: {pending: apply}\n"


def thing(name: str, **fields: Any) -> str:
    lines = "".join(f"  {field} = {_hcl(value)}\n" for field, value in fields.items())
    return f'resource "toy_thing" "{name}" {{\n  name = "{name}"\n{lines}}}\n'


def _hcl(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_hcl(item)}" for key, item in value.items()) + " }"
    return str(value) if isinstance(value, Raw) else json.dumps(value)


class Raw(str):
    """An expression, to be written without quotes."""


def decision(ran: Ran, environment: str = "dev") -> tuple[str, list[str]]:
    """The action, and the names of the reasons."""
    found = ran.environment(environment)["decision"]
    return found["action"], [reason.split(":")[0] for reason in found["reasons"]]


def test_a_merged_change_is_applied_and_remembered_with_who_approved_it(estate: Estate) -> None:
    estate.configure(APPLY)
    first = estate.merge("Add a", thing("a", value="1"))
    ran = estate.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["policy_apply", "merged", "applied"]))
    dev = ran.environment("dev")
    assert (dev["verdict"], dev["baseline"]) == ("in_sync", {"commit": first, "from": "apply"})

    second = estate.merge("Change a", thing("a", value="2"))
    assert estate.reconcile().code == 0
    assert estate.toy.effects() == ["create a", "update a"]
    assert estate.reconcile().code == 0  # nothing to do, nothing done
    assert estate.toy.effects() == ["create a", "update a"]
    assert not estate.locked()

    entries = estate.sandbox.run("history", "dev", "--format", "json").report["entries"]
    opened = [e["data"] for e in entries if e["kind"] == "attempt_opened"]
    assert [o["commit"] for o in opened] == [first, second]
    assert opened[1]["data"]["approved_by"] == [{"commit": second, "author": "Ada", "subject": "Change a"}]
    finished = [e["data"] for e in entries if e["kind"] == "attempt_finished"]
    assert finished[1]["data"]["resources"] == {"toy_thing.a": "done"}
    assert estate.sandbox.run("ledger", "verify").code == 0


def test_a_hotfix_is_never_reverted_by_a_merge_and_goes_on_when_it_is_undone(estate: Estate) -> None:
    estate.configure(APPLY)
    estate.merge("Add a", thing("a", value="1", tags={"owner": "x"}))
    estate.reconcile()
    estate.toy.change("a", tags={"owner": "hotfix"})
    estate.merge("Change a", thing("a", value="2", tags={"owner": "x"}))

    ran = estate.reconcile()
    assert (ran.code, ran.environment("dev")["verdict"]) == (2, "diverged")
    assert decision(ran) == ("hold", ["mixed_with_drift"])
    assert estate.toy.thing("a")["tags"] == {"owner": "hotfix"}
    assert estate.toy.thing("a")["value"] == "1"
    explained = estate.sandbox.run("explain", "dev").stdout
    assert "Revert them manually" in explained

    estate.toy.change("a", tags={"owner": "x"})
    assert estate.reconcile().code == 0
    assert estate.toy.thing("a")["value"] == "2"


def test_a_conflict_is_held_whatever_the_policy(estate: Estate) -> None:
    estate.configure("policy: {pending: apply, drift: revert, input: apply}\n")
    estate.merge("Add a", thing("a", value="1"))
    estate.reconcile()
    estate.toy.change("a", value="by hand")
    estate.merge("Change a", thing("a", value="2"))
    ran = estate.reconcile()
    assert (ran.code, decision(ran)) == (2, ("hold", ["conflict"]))
    assert estate.toy.thing("a")["value"] == "by hand"


def test_without_a_policy_nothing_is_ever_applied(estate: Estate) -> None:
    estate.merge("Add a", thing("a"))
    ran = estate.reconcile()
    assert (ran.code, decision(ran)) == (2, ("alert", ["policy_alert"]))
    assert estate.toy.effects() == []


def test_drift_heals_until_something_else_is_fighting(estate: Estate) -> None:
    estate.configure("policy: {pending: apply, drift: revert, flapping: {reverts: 2, within: 1d}}\n")
    estate.merge("Add a", thing("a", value="1"))
    estate.reconcile()
    for _ in range(2):
        estate.toy.change("a", value="fought over")
        ran = estate.reconcile()
        assert (ran.code, decision(ran)[0]) == (0, "apply")
        assert estate.toy.thing("a")["value"] == "1"
    estate.toy.change("a", value="fought over")
    ran = estate.reconcile()
    assert (ran.code, decision(ran)) == (2, ("hold", ["flapping"]))
    assert estate.toy.thing("a")["value"] == "fought over"
    estate.sandbox.run("retry", "dev")
    assert estate.reconcile().code == 0


def test_an_apply_that_fails_half_way_is_recorded_backed_off_and_converges(estate: Estate) -> None:
    estate.configure("policy: {pending: apply, drift: revert, backoff: {first: 1h, most: 6h}}\n")
    first = estate.merge("Add a", thing("a"))
    estate.reconcile()
    estate.toy.faults(fail_create=["c"])
    body = thing("a") + thing("b") + thing("c", value=Raw("toy_thing.b.echo"))
    second = estate.merge("Add b and c", body + thing("d", value=Raw("toy_thing.c.echo")))
    ran = estate.reconcile()
    assert (ran.code, decision(ran)) == (2, ("hold", ["apply_failed"]))
    dev = ran.environment("dev")
    assert dev["baseline"]["commit"] == first
    labels = {r["address"]: r["labels"] for r in dev["resources"]}
    assert "pending" in labels["toy_thing.d"]
    assert "toy_thing.b" not in labels  # it was finished

    entries = estate.sandbox.run("history", "dev", "--format", "json").report["entries"]
    (failed,) = [e["data"] for e in entries if e["kind"] == "attempt_finished" and e["data"]["state"] == "failed"]
    assert failed["data"]["resources"] == {"toy_thing.b": "done", "toy_thing.c": "failed"}
    assert "refuses c" in failed["data"]["error"]["message"]

    assert decision(estate.reconcile()) == ("hold", ["backoff"])
    estate.toy.faults()
    assert decision(estate.reconcile()) == ("hold", ["backoff"])
    estate.sandbox.run("retry", "dev")
    ran = estate.reconcile()
    assert (ran.code, ran.environment("dev")["baseline"]["commit"]) == (0, second)
    assert sorted(estate.toy.effects()) == ["create a", "create b", "create c", "create d"]


def test_a_new_commit_ends_the_backoff(estate: Estate) -> None:
    estate.configure("policy: {pending: apply, drift: revert}\n")
    estate.toy.faults(fail_create=["b"])
    estate.merge("Add a and b", thing("a") + thing("b"))
    assert estate.reconcile().code == 2
    estate.merge("Take b out", thing("a"))
    assert estate.reconcile().code == 0


def test_limits_protection_suspension_and_windows_hold_and_report_it(estate: Estate) -> None:
    estate.configure(APPLY)
    body = "".join(thing(name) for name in "abcdef")
    estate.merge("Add things", body)
    assert estate.reconcile().code == 0
    estate.merge("Take two out", "".join(thing(name) for name in "abcd"))
    # Each alone, and in every combination: the tests of `decide`.
    all_at_once = "protect: ['toy_thing.e'], suspended: {reason: migration}, windows: [{deny: '* * * * *', for: 1h}]"
    cases = {
        f"policy: {{pending: apply, {all_at_once}}}\n": ["protected", "limit_destroys", "suspended", "window_closed"],
        "policy: {pending: propose}\n": ["proposals_not_available"],
    }
    for text, reasons in cases.items():
        estate.configure(text)
        assert decision(estate.reconcile()) == ("hold", reasons), text
    assert len(estate.toy.effects()) == 6
    estate.configure("policy: {pending: apply, limits: {destroys: 2}}\n")
    assert estate.reconcile().code == 0
    assert sorted(estate.toy.effects()[6:]) == ["delete e", "delete f"]


def test_a_plan_that_would_delete_almost_everything_is_held_whatever_the_limits(estate: Estate) -> None:
    estate.configure("policy: {pending: apply, limits: {destroys: 100, share: 100%}}\n")
    estate.merge("Add things", "".join(thing(name) for name in "abc"))
    estate.reconcile()
    estate.merge("Oops", "")
    assert decision(estate.reconcile()) == ("hold", ["would_delete_almost_everything"])
    assert "delete" not in " ".join(estate.toy.effects())


def test_rolling_back_is_git_revert_and_its_preview_names_what_it_destroys(estate: Estate) -> None:
    estate.configure("policy: {pending: apply, limits: {destroys: 1}}\n")
    estate.merge("Add a", thing("a", value="1"))
    estate.reconcile()
    estate.merge("Change a, add b", thing("a", value="2") + thing("b"))
    assert estate.reconcile().code == 0
    estate.sandbox.git("revert", "--no-edit", "HEAD")
    preview = estate.sandbox.scan().environment("dev")
    planned = {r["address"]: r["actions"] for r in preview["resources"]}
    assert planned == {"toy_thing.a": ["update"], "toy_thing.b": ["delete"]}
    assert preview["decision"]["action"] == "apply"
    assert estate.reconcile().code == 0
    assert estate.toy.thing("a")["value"] == "1"
    assert not (estate.toy.folder / "b.json").exists()


def test_rewritten_history_is_held(estate: Estate) -> None:
    estate.configure(APPLY)
    estate.merge("Add a", thing("a", value="1"))
    estate.reconcile()
    estate.write(thing("a", value="2"))
    estate.sandbox.git("commit", "--quiet", "--all", "--amend", "--message", "Rewritten")
    assert decision(estate.reconcile()) == ("hold", ["history_rewritten"])
    assert estate.toy.thing("a")["value"] == "1"


def test_what_changes_between_decision_and_apply_voids_it(estate: Estate) -> None:
    estate.configure("policy: {pending: apply}\n")
    estate.merge("Add a", thing("a", value="1", tags={"o": "x"}))
    estate.reconcile()
    estate.merge("Change a", thing("a", value="2", tags={"o": "x"}))
    # The first plan that the pass makes is followed by a change behind its back.
    wrapper = estate.sandbox.home / "terraform-then-change"
    marker = estate.sandbox.home / "changed"
    wrapper.write_text(
        f"""#!/bin/sh
terraform "$@"
code=$?
case " $* " in *" show "*)
  if [ ! -e "{marker}" ]; then
    touch "{marker}"
    sed -i 's/"o": "x"/"o": "hotfix"/' "{estate.toy.folder}/a.json"
  fi;;
esac
exit $code
"""
    )
    wrapper.chmod(0o755)
    estate.sandbox.commit(
        "Wrap", {"driftguard.yaml": f"terraform: {{binary: {wrapper}}}\npolicy: {{pending: apply}}\n"}
    )
    marker.touch()
    estate.sandbox.scan()  # the baseline's and head's data directories are ready now
    marker.unlink()
    ran = estate.reconcile()
    assert decision(ran) == ("hold", ["plan_changed"])
    assert estate.toy.thing("a") | {} == {**estate.toy.thing("a"), "value": "1", "tags": {"o": "hotfix"}}
    assert not estate.locked()
    assert decision(estate.reconcile()) == ("hold", ["mixed_with_drift"])


def test_a_state_that_was_lost_is_held_and_nothing_is_made_twice(estate: Estate) -> None:
    estate.configure("policy: {pending: apply, drift: revert, input: apply}\n")
    estate.merge("Add a", thing("a"))
    assert estate.reconcile().code == 0
    estate.lose_state()
    # Nor is it certain: no lock file is committed, so its provider may have changed.
    assert decision(estate.reconcile()) == ("hold", ["state_replaced", "uncertain"])
    assert estate.toy.effects() == ["create a"]


def test_removing_a_directory_alerts_and_destroys_nothing(estate: Estate) -> None:
    estate.configure(APPLY)
    estate.merge("Add dev", thing("a"))
    estate.merge("Add prod", thing("p"), environment="prod")
    assert estate.reconcile().code == 0
    estate.sandbox.git("rm", "-r", "--quiet", "environments/prod")
    estate.sandbox.commit("Remove prod")
    ran = estate.reconcile()
    assert (ran.code, decision(ran, "prod")) == (1, ("alert", ["environment_removed"]))
    assert ran.environment("dev")["verdict"] == "in_sync"
    assert (estate.toy.folder / "p.json").exists()
    assert estate.sandbox.run("forget", "prod").code == 0
    assert estate.reconcile().code == 0


def test_history_shows_what_was_true_then(estate: Estate) -> None:
    estate.configure(APPLY)
    estate.merge("Add a", thing("a", value="1"))
    estate.reconcile()
    then = datetime.now(UTC)  # to the microsecond: printed times are whole seconds, and a second may hold both runs
    estate.toy.change("a", value="2")
    estate.sandbox.run("scan", "--quiet")
    assert estate.sandbox.run("explain", "dev", "--format", "json").report["verdict"] == "drifted"
    assert (
        estate.sandbox.run("explain", "dev", "--at", then.isoformat(), "--format", "json").report["verdict"]
        == "in_sync"
    )
    entries = estate.sandbox.run("history", "dev", "--at", then.isoformat(), "--format", "json").report["entries"]
    assert entries
    assert all(datetime.fromisoformat(entry["at"]) <= then for entry in entries)
