"""What DriftGuard remembers of its own applies: differences that stand, and objects that are due again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.changes import life_shortened, time_passed
from lab.configuration import Configuration, Resource
from lab.history import History
from lab.opinions import unreadable
from lab.provider import Provider
from lab.remedies import ACTING, applied
from lab.schema import CERTIFICATE, ROTATING, STUBBORN, Attribute, Type
from lab.site import Site
from lab.statestore import StateStore
from tests.lab.conftest import Least
from tests.support.seeds import one_quick

pytestmark = [pytest.mark.lab, pytest.mark.terraform]

Acting = Callable[[Type], History]


@pytest.fixture
def acting(tmp_path: Path, provider: Provider, store: StateStore) -> Acting:
    """Gives an environment with one resource of a type, in sync, whose plans DriftGuard applies."""

    def begun(kind: Type) -> History:
        site = Site(tmp_path, provider, {kind.name: kind}, store=store)
        policy = {"pending": "apply", "drift": "revert", "input": "apply"}
        site.settings = ACTING.format(**policy)
        history = History(site, Least(), Configuration(resources=(Resource("one", kind.name, {"name": "one"}),)))
        history.policy = policy
        assert history.begin() == []
        return history

    return begun


def test_a_difference_that_stood_after_a_complete_apply_is_restless(acting: Acting) -> None:
    history = acting(Type("lab_t", (Attribute("code", form=STUBBORN), Attribute("text"))))
    (one,) = history.config.resources
    history.commit(Configuration((replace(one, arguments={"name": "one", "code": "TWO"}),)), "two")
    assert list(applied(history)) == []
    assert history.noted == ["restless alone after an apply"]
    history.then = history.seen_applied()
    _, report, mismatches = history.judge()
    assert (mismatches, report["verdict"]) == ([], "in_sync")
    (there,) = history.site.cloud.objects.values()
    there["code"] = "three"  # another difference than the one that stood
    _, report, mismatches = history.judge()
    assert (mismatches, report["verdict"]) == ([], "drifted")


@pytest.mark.parametrize("kind", one_quick([ROTATING, CERTIFICATE], pytest.mark.further), ids=lambda kind: kind.name)
def test_an_object_that_is_due_again_after_its_own_apply_is_held(acting: Acting, kind: Type) -> None:
    history = acting(kind)
    assert time_passed(history)
    assert life_shortened(history)
    assert list(applied(history)) == []
    assert history.noted == ["due again after an apply"]


def test_a_cloud_that_cannot_be_read_is_unknown_and_leaves_the_baseline(acting: Acting) -> None:
    history = acting(Type("lab_t", (Attribute("text"),)))
    (there,) = history.site.cloud.objects.values()
    there["text"] = "hotfix"
    assert list(unreadable(history)) == []
    assert history.judge()[2] == []
