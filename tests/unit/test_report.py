"""The JSON report as structs, and reasons: old and newer ledgers are read, and nothing of their words is lost."""

from __future__ import annotations

import msgspec
import pytest

from driftguard.model import Action, Label, Verdict
from driftguard.model.reasons import Reason, ReasonName
from driftguard.model.report import EnvironmentReport, read_environment
from tests.support.sample_alerts import DELETED, RESIZE, change, outside, report, resource


def full() -> EnvironmentReport:
    web = resource("toy_thing.web", outside("value", "one", "two"), change("size", Label.PENDING, 1, 1, 2))
    gone = resource("toy_thing.gone", DELETED)
    return report(
        "blue", Verdict.DIVERGED, web, gone, action=Action.HOLD, reasons=["mixed_with_drift: a, b"], commits=[RESIZE]
    )


def test_a_report_comes_back_from_its_json_as_it_was() -> None:
    assert read_environment(msgspec.json.decode(msgspec.json.encode(full()))) == full()


def test_a_row_of_an_older_version_has_fewer_fields() -> None:
    row = msgspec.to_builtins(full())
    for key in ("outputs", "warnings", "seconds", "baseline"):
        del row[key]
    del row["resources"][0]["action_reason"]
    back = read_environment(row)
    assert (back.resources, back.outputs, back.baseline.commit) == (full().resources, (), None)


def test_a_row_of_a_newer_version_keeps_its_words_and_loses_its_unknown_fields() -> None:
    row = msgspec.to_builtins(full())
    row |= {"verdict": "restive", "owner": "team-a"}
    row["resources"][0]["labels"] = ["restless"]
    row["decision"] = {"action": "ponder", "reasons": ["moon_phase: full", "moon_phase"]}
    row["error"] = {"kind": "dependency", "message": "m", "since": 1}
    back = read_environment(row)
    assert (back.verdict, back.resources[0].labels, back.decision.action) == ("restive", ("restless",), "ponder")
    assert back.error_kind == "dependency"
    first, second = back.decision.reasons
    assert (first.name, first.detail, first.text, first.explanation) == (
        "moon_phase",
        "full",
        *["moon_phase: full"] * 2,
    )
    assert (second.passes, second.silent, str(second)) == (False, False, "moon_phase")


@pytest.mark.parametrize("name", ReasonName)
@pytest.mark.parametrize("detail", ["", "2 of at most 0", "a: b"])
def test_a_reason_comes_back_from_its_json_form(name: ReasonName, detail: str) -> None:
    reason = Reason(name, detail)
    assert Reason.parse(str(reason)) == reason
    assert isinstance(Reason.parse(str(reason)).name, ReasonName)
    assert detail in reason.text


def test_the_detail_of_a_reason_stands_behind_its_first_sentence() -> None:
    assert Reason(ReasonName.LIMIT_DESTROYS, "2 of at most 0").text == (
        "The plan destroys more than `policy.limits.destroys` allows (2 of at most 0). Raise it, or apply manually."
    )
