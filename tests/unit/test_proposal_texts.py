"""The text of a pull request: within the forge's limits, inert, the same for the same input."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.model import Label, Proposal, ProposalState, ProposedBranch, Verdict
from driftguard.model.report import ABSENT_VALUE
from driftguard.pipeline.propose.markup import code, inert, plain
from driftguard.pipeline.propose.text import RequestContent, body, commit_message, mark_of, title
from driftguard.sealed import ABSENT, PRESENT
from tests.support.sample_alerts import DELETED, change, drifted, outside, report, resource

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


def test_the_text_states_what_each_choice_does() -> None:
    about = content(resource("toy_thing.a", outside("value", "git", "outside")), other_url="https://forge.example/new")
    revert = body(about, proposal("revert", "adopt"), 65_536)
    assert title(about, proposal("revert"), 256) == "dev: revert changes outside Terraform (toy_thing.a)"
    assert "DriftGuard applies exactly this, once, until 2026-03-08 12:00 UTC" in revert
    assert "**Or instead:** [Adopt reality in the configuration](https://forge.example/new)" in revert
    assert "- Merging sets `value` `outside → git` of `toy_thing.a`." in revert
    assert "`value is outside, configured git`" in revert
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
    shown_plain = plain(text)
    assert "\n" not in shown_plain
    for character in "`*_[]<>#|~!":
        assert shown_plain.count(character) == shown_plain.count(f"\\{character}")
    assert "@" not in shown_plain.replace("@\u200b", "")
    assert "://" not in shown_plain


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
    lines = [line for line in text.splitlines() if "@acme/ops" in line]
    assert len(lines) == 2
    for fence in ("`" + line.partition("`")[2] for line in lines):
        # One of them begins with the attribute's path in a fence of its own.
        fences = re.findall(r"`+", fence)
        assert max(map(len, fences)) > 3
        assert fences.count(max(fences, key=len)) == 2


def test_control_characters_reach_no_terminal() -> None:
    assert "\x1b" not in code("a\x1b[2Jb") + plain("a\x1b[2Jb")


@pytest.mark.parametrize(
    "hostile",
    [
        "fixes #12",
        "see GH-7 and gh-8",
        "acme/infra#3",
        "!4 &5 $6 %7 ~bug",
        "@acme/ops",
        "see 4be1c90a57f24d0c8a6b3e1f9d7c5a2b0e8f6d41 and 7d2e91c",
        "![x](//e.example/p) <img src=//e.example/x>",
        "https://e.example www.e.example",
    ],
)
def test_a_subject_from_outside_refers_to_nothing_on_a_forge(hostile: str) -> None:
    references = re.compile(
        r"(?<!\\)[#!$%&~]\w|\\[#!~]\w|GH-\d|@\w|!\[|(?<!\\)<img|://|www\.|\b[0-9a-f]{7,40}\b", re.IGNORECASE
    )
    assert references.search(hostile)
    assert not references.search(plain(hostile)), plain(hostile)


@pytest.mark.parametrize(
    "command", ["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "***NO_CI***", "[ skip ci ]"]
)
def test_no_title_and_no_commit_commands_a_ci_service(command: str) -> None:
    about = content(resource(f'toy_thing.a["{command} #12"]', outside("value", "git", "outside")), environment="dev")
    for text in (title(about, proposal("revert"), 256), commit_message(f"dev {command} #12", "revert", "i")):
        assert command not in text
        assert "#12" not in text
    assert inert("dev: adopt reality") == "dev: adopt reality"
    assert inert("/close") != "/close"


def test_a_request_never_hides_what_it_destroys_behind_a_revert() -> None:
    zone = change("availability_zone", Label.DRIFT, "a", "b", "a", forces_replacement=True)
    orders = resource("aws_db_instance.orders", zone)
    about = content(orders, resource("aws_s3_bucket.a", outside("tags.x", ABSENT_VALUE, False)))
    assert title(about, proposal("revert"), 256) == (
        "dev: merging destroys and re-creates aws_db_instance.orders; its data is lost "
        "(revert changes outside Terraform)"
    )
    text = body(about, proposal("revert"), 65_536)
    first, *others = [line for line in text.splitlines() if "Merging" in line]
    assert first.startswith("- **Merging destroys and re-creates `aws_db_instance.orders`; it comes back empty")
    assert others == ["- Merging removes `tags.x` `false` of `aws_s3_bucket.a`."]
    assert "adopt" in title(about, proposal("adopt"), 256)


def test_a_request_about_a_deleted_database_names_that_it_comes_back_empty() -> None:
    about = content(resource("aws_db_instance.orders", DELETED))
    assert title(about, proposal("revert"), 256).startswith("dev: merging re-creates aws_db_instance.orders, empty")
    text = body(about, proposal("revert"), 65_536)
    assert "**Merging re-creates `aws_db_instance.orders`, empty; a restore would be from an automated backup" in text


def test_a_pending_request_names_what_it_adds_and_removes() -> None:
    bucket = resource(
        "aws_s3_bucket.a",
        change("acl", Label.PENDING, "x", "x", "y"),
        change("tags.a", Label.PENDING, "absent", "absent", 0),
        change("key", Label.PENDING, "1", "1", "2", secret=True),
    )
    made = resource("aws_s3_bucket.new", change("", Label.PENDING, ABSENT, ABSENT, PRESENT))
    pending = report("dev", Verdict.PENDING, bucket, made)
    text = body(RequestContent("dev", pending, ["update aws_s3_bucket.a"]), proposal("revert"), 65_536)
    assert [line for line in text.splitlines() if line.startswith("- Merging")] == [
        "- Merging sets `acl` `x → y` of `aws_s3_bucket.a`.",
        "- Merging adds `tags.a` `0` of `aws_s3_bucket.a`.",
        "- Merging sets `key` `values are not shown` of `aws_s3_bucket.a`.",
        "- Merging creates `aws_s3_bucket.new`.",
    ]
