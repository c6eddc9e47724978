"""The text of a pull request: within the forge's limits, inert, the same for the same input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.model import Proposal, ProposalState, ProposedBranch
from driftguard.pipeline.propose.text import RequestContent, body, code, mark_of, plain, title
from tests.support.sample_alerts import drifted, outside, resource

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GITHUB = (256, 65_536)
TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"


def proposal(*choices: str) -> Proposal:
    branches = tuple(ProposedBranch(choice, f"driftguard/dev/0123-{choice}", "c" * 40) for choice in choices)
    return Proposal(
        id="i" * 32,
        state=ProposalState.OPEN,
        branches=branches,
        base="main",
        drift_fingerprint="d" * 64,
        plan_fingerprint="p" * 64,
        closure_hash="h" * 64,
        commit="c" * 40,
        proposed_at=NOON,
        expires_at=NOON + timedelta(days=7),
    )


def content(*resources: Any, environment: str = "dev", **more: Any) -> RequestContent:
    report = drifted(environment, *resources)
    actions = [f"update {each.address}" for each in report.resources]
    return RequestContent(environment, report, actions, **more)


def test_the_text_says_what_each_choice_does() -> None:
    about = content(resource("toy_thing.a", outside("value", "git", "outside")), other_url="https://forge.example/new")
    revert = body(about, proposal("revert", "adopt"), 65_536)
    assert title(about, proposal("revert"), 256) == "dev: revert changes outside Terraform (toy_thing.a)"
    assert "DriftGuard applies exactly this, once, until 2026-03-08 12:00 UTC" in revert
    assert "**Or instead:** [Adopt reality in the configuration](https://forge.example/new)" in revert
    assert "`value: git → outside`" in revert
    assert mark_of("dev") in revert
    adopt = body(about, proposal("adopt", "revert"), 65_536)
    assert title(about, proposal("adopt"), 256) == "dev: adopt changes outside Terraform (toy_thing.a)"
    assert "Nothing is applied" in adopt
    assert "[Revert reality to the configuration]" in adopt


@pytest.mark.parametrize("count", [1, 40, 1000])
@pytest.mark.parametrize("longest", GITHUB[1:])
def test_however_much_changed_the_text_stays_within_the_limit_and_counts_the_rest(count: int, longest: int) -> None:
    address = "module.network.aws_security_group_rule.allow" + "x" * 200
    many = [resource(f'{address}["{n}"]', outside("value", "a" * 500, "b" * 500)) for n in range(count)]
    refused = [f"{'y' * 900} {n}" for n in range(count)]
    about = content(*many, refused=refused)
    text = body(about, proposal("revert"), longest)
    assert len(text) <= longest
    assert f"plan `{'p' * 64}`" in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert count == 1 or "more" in text
    assert len(title(about, proposal("revert"), 256)) <= 256


HOSTILE = st.text(st.sampled_from("ab`*_[](){}<>#|~!@\\\n\r\t -&;/:."), max_size=60)


@given(text=HOSTILE)
def test_text_from_outside_is_never_markup_nor_a_mention(text: str) -> None:
    shown = code(text)
    fence = len(shown) - len(shown.lstrip("`"))
    assert "\n" not in shown
    assert "`" * fence not in shown[fence:-fence] or not text.strip()
    inert = plain(text)
    assert "\n" not in inert
    for character in "`*_[]<>#|~!":
        assert inert.count(character) == inert.count(f"\\{character}")
    assert "@" not in inert.replace("@\u200b", "")


@given(value=HOSTILE, name=HOSTILE)
def test_equal_input_gives_equal_text_without_credentials(value: str, name: str) -> None:
    hostile = resource(f'toy_thing.a["{name}"]', outside("value", value, f"{value} {TOKEN}"))
    about = content(hostile, traces={}, refused=[f"{name} {TOKEN}"])
    first, again = (body(about, proposal("revert", "adopt"), 65_536) for _ in range(2))
    assert first == again
    assert TOKEN not in first + title(about, proposal("revert"), 256)


def test_what_looks_like_a_credential_never_eats_the_end_of_a_fence() -> None:
    hostile = "```@acme/ops <img src=//e.example/x> ![x](//e.example/p) token:"
    text = body(content(resource("aws_x.a", outside("value", "git", hostile))), proposal("revert"), GITHUB[1])
    (line,) = [line for line in text.splitlines() if "@acme/ops" in line]
    fence = line.partition("- ")[2]
    ticks = len(fence) - len(fence.lstrip("`"))
    assert ticks > 3
    assert line.endswith("`" * ticks)


def test_control_characters_reach_no_terminal() -> None:
    assert "\x1b" not in code("a\x1b[2Jb") + plain("a\x1b[2Jb")
