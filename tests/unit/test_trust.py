"""The trust page names tests that exist, and examples keep the roles of plans and applies apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from driftguard.config import load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "trust.md"


def test_every_test_that_the_trust_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text()))
    written = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert len(named) > 20
    assert named - written == set()


def test_every_attack_on_the_trust_page_names_a_test() -> None:
    table = PAGE.read_text().partition("## Attack, limit, test")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 12
    assert [row for row in rows if "`test_" not in row] == []


def test_plans_and_applies_have_different_roles_in_every_example() -> None:
    found = 0
    for file in [*(ROOT / "docs").rglob("*.md"), *(f for f in (ROOT / "deploy").rglob("*") if f.is_file())]:
        text = file.read_text()
        plans = re.findall(r"\bplan_role_arn: *(arn:\S+?)[,}\s]", text + "\n")
        applies = re.findall(r"\bapply_role_arn: *(arn:\S+?)[,}\s]", text + "\n")
        assert not set(plans) & set(applies), file
        found += len(plans)
    assert found >= 3


_SIGNED = b"policy: {approval: {require: signed, signers: /etc/signers}}\n"
_REVIEWED = b"environments: [{path: 'a/*', policy: {approval: {require: reviewed}}}]\n"


@pytest.mark.parametrize("text", [_SIGNED, _REVIEWED])
def test_an_approval_that_only_the_repository_asks_for_is_a_notice(text: bytes) -> None:
    (notice,) = load(text, source="driftguard.yaml").notices
    assert "protects partly" in notice
    assert load(text, source="driftguard.yaml", operator_text=b"version: 1\n").notices == (notice,)
    assert load(text, source="driftguard.yaml", operator_text=_SIGNED, operator_source="/etc/o.yaml").notices == ()


def test_a_merged_approval_and_an_operators_one_need_no_notice() -> None:
    assert load(b"policy: {approval: {require: merged}}\n", source="driftguard.yaml").notices == ()
    assert load(b"version: 1\n", source="x", operator_text=_SIGNED, operator_source="/etc/o.yaml").notices == ()
