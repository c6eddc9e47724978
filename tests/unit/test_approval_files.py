"""Approval files: what approves exactly one plan, once, and what everything else does not."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.model.fingerprints import versioned
from driftguard.pipeline.approve.approval_file import ApprovalFile, Unreadable, path_of, read, render, slug, with_id
from driftguard.pipeline.approve.plans import PlanFacts, judge_files

KEY = b"k" * 32
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIVEN = with_id(
    ApprovalFile(
        id="",
        environment="prod",
        plan_fingerprint="p" * 64,
        drift_fingerprint="d" * 64,
        commit="c" * 40,
        closure_hash="h" * 64,
        proposed_at=NOON,
        expires_at=NOON + timedelta(days=7),
        actions=('update toy_thing.a["ü: #\\"]', "update toy_thing.b"),
    ),
    KEY,
)
FACTS = PlanFacts("prod", "p" * 64, "d" * 64, "h" * 64, NOON + timedelta(days=1))
PATH = path_of(GIVEN)


def test_what_was_written_is_read() -> None:
    text = render(GIVEN, KEY)
    assert read(text, KEY) == GIVEN
    assert render(read(text, KEY), KEY) == text


def test_exactly_the_plan_that_was_proposed_is_approved() -> None:
    judged = judge_files({PATH: render(GIVEN, KEY)}, KEY, FACTS)
    assert (judged.id, judged.path, judged.void) == (GIVEN.id, PATH, None)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (replace(FACTS, plan_fingerprint="x" * 64, latest=GIVEN.id), "the plan is not the one"),
        (replace(FACTS, drift_fingerprint="x" * 64), "more or other attributes were changed outside"),
        (replace(FACTS, drift_fingerprint=None), "more or other attributes were changed outside"),
        (replace(FACTS, closure_hash="x" * 64), "a commit"),
        (replace(FACTS, now=GIVEN.expires_at), "expired at 2026-03-08 12:00 UTC"),
    ],
)
def test_anything_else_in_the_meantime_makes_it_void_and_states_why(facts: PlanFacts, why: str) -> None:
    judged = judge_files({PATH: render(GIVEN, KEY)}, KEY, facts)
    assert judged.id is None
    assert why in (judged.void or {})[GIVEN.id]


@pytest.mark.parametrize("why", ["used", "over"])
def test_an_approval_that_was_used_or_reported_as_void_approves_nothing_more(why: str) -> None:
    facts = replace(FACTS, **{why: frozenset({GIVEN.id})})  # type: ignore[arg-type]
    judged = judge_files({PATH: render(GIVEN, KEY)}, KEY, facts)
    assert (judged.id, judged.void) == (None, {})


def test_files_of_old_proposals_state_nothing() -> None:
    assert judge_files({PATH: render(GIVEN, KEY)}, KEY, replace(FACTS, plan_fingerprint="x" * 64)).void == {}


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ("staging", path_of(replace(GIVEN, environment="staging"))),  # copied into another environment's folder
        ("prod", f".driftguard/approvals/prod/{'x' * 64}.yaml"),  # under another plan's name
    ],
)
def test_a_file_that_lies_elsewhere_than_it_was_proposed_approves_nothing(environment: str, path: str) -> None:
    judged = judge_files({path: render(GIVEN, KEY)}, KEY, replace(FACTS, environment=environment))
    assert judged.id is None
    assert "not where DriftGuard proposed it" in (judged.void or {})[GIVEN.id]


def edits(text: str) -> list[str]:
    """Every single thing that somebody might change in a file."""
    found = [
        text.replace('"prod"', '"staging"'),
        text.replace("p" * 64, "q" * 64),
        text.replace("d" * 64, "e" * 64),
        text.replace("2026-03-08", "2036-03-08"),
        text.replace("toy_thing.b", "toy_thing.c"),
        text + '  - "destroy toy_thing.d"\n',
        re.sub(r'id: "[0-9a-f]+"', f'id: "{"0" * 32}"', text),
        re.sub(r"seal: \w+", f"seal: {'0' * 64}", text),
        re.sub(r"seal: \w+\n", "", text),
        text.replace("version: 1", "version: 2"),
    ]
    assert all(edited != text for edited in found)
    return found


@pytest.mark.parametrize("text", edits(render(GIVEN, KEY).decode()))
def test_a_file_that_a_user_changed_approves_nothing(text: str) -> None:
    judged = judge_files({PATH: text.encode()}, KEY, FACTS)
    assert judged.id is None
    assert PATH in (judged.void or {})


def test_a_file_of_another_ledger_approves_nothing() -> None:
    judged = judge_files({PATH: render(GIVEN, b"x" * 32)}, KEY, FACTS)
    assert judged.id is None
    assert "another ledger's DriftGuard" in (judged.void or {})[PATH]


@given(text=st.binary(max_size=200))
def test_no_other_text_is_an_approval(text: bytes) -> None:
    with pytest.raises(Unreadable):
        read(text, KEY)


@pytest.mark.parametrize(
    "text",
    [b"version: 1\nactions: !!python/object/apply:os.system [ls]\n", b"[" * 100_000, b"version: 1\nid: &a [*a]\n"],
)
def test_hostile_yaml_is_no_approval(text: bytes) -> None:
    with pytest.raises(Unreadable):
        read(text, KEY)


def test_a_damaged_file_beside_a_good_one_takes_nothing_from_it() -> None:
    files = {PATH: render(GIVEN, KEY), PATH.replace("p" * 64, "0" * 64): b"nonsense"}
    assert judge_files(files, KEY, FACTS).id == GIVEN.id


NAMES = st.text(st.sampled_from("abAB01._-/@+: ü"), min_size=1, max_size=12).filter(lambda n: n.strip() == n)


@given(one=NAMES, other=NAMES)
def test_different_environments_have_different_folders_and_branches(one: str, other: str) -> None:
    assert (slug(one) == slug(other)) == (one == other)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_+@./-]*", slug(one))
    assert ".." not in slug(one)
    assert not slug(one).endswith(("/", ".", ".lock"))


@pytest.mark.parametrize("text", ["\U0001f600 two", 'a "quoted" \\ one', "tab\t", "\u00e4\u2028"])
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    written = with_id(replace(GIVEN, environment=text, actions=(f"update {text}",)), KEY)
    assert read(render(written, KEY), KEY) == written


def test_a_file_that_repeats_itself_or_is_sealed_with_half_a_character_is_refused_at_once() -> None:
    text = render(GIVEN, KEY).decode()
    bomb = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    start = text.index("actions:")
    with pytest.raises(Unreadable):
        read("\n".join([text[:start], *bomb, "actions: [*l8]", "seal: x", ""]).encode(), KEY)
    with pytest.raises(Unreadable):
        read((text[: text.index("seal:")] + 'seal: "\\ud800"\n').encode(), KEY)


def test_an_approval_of_an_earlier_version_of_fingerprints_is_void_with_that_reason() -> None:
    facts = replace(FACTS, plan_fingerprint=versioned("p" * 64), drift_fingerprint=versioned("d" * 64), latest=GIVEN.id)
    judged = judge_files({PATH: render(GIVEN, KEY)}, KEY, facts)
    assert (judged.id, judged.void) == (None, {GIVEN.id: "it was made under an earlier version of plan fingerprints"})
