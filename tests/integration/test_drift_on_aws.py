"""Drift on the real AWS provider: the test on AWS that runs with every `make test`."""

from __future__ import annotations

import pytest

from tests.integration.test_labels_on_aws import JOBS, QUEUE
from tests.support.aws import Shop, labels, resource, values

pytestmark = pytest.mark.terraform


def test_a_tag_changed_outside_is_drift(shop: Shop) -> None:
    shop.settle(QUEUE)
    shop.tag_queue(owner="eve")
    code, found = shop.scan()
    assert (code, found["verdict"]) == (2, "drifted")
    assert labels(found) == {JOBS: {"tags.owner": "drift", "tags_all.owner": "drift"}}
    assert values(found, JOBS, "tags.owner") == ("ada", "eve", "ada")
    assert resource(found, JOBS)["actions"] == ["update"]
    shop.tag_queue(owner="ada")
    assert shop.scan()[1]["verdict"] == "in_sync"
