"""Who changed what drifted, and who wrote what it departed from: real Terraform, the real AWS provider, real git."""

from __future__ import annotations

import re
import time

import pytest

from tests.integration.test_labels_on_aws import QUEUE
from tests.support.aws import Shop
from tests.support.trail_double import TrailDouble

pytestmark = [pytest.mark.terraform, pytest.mark.aws]


def test_an_alert_names_who_did_it_once_cloudtrail_knows_and_lives_without(shop: Shop) -> None:
    shop.settle(QUEUE)
    with TrailDouble() as trail:
        variables = {"AWS_ENDPOINT_URL_CLOUDTRAIL": trail.url}
        assert shop.sandbox.run("reconcile", **variables).code == 0
        assert trail.asked == []  # what is in sync is not asked about

        shop.tag_queue(owner="eve")
        parameters = {"queueUrl": shop.queue_url(), "tags": {"owner": "eve-secret-value"}}
        trail.happened("TagQueue", "sqs.amazonaws.com", "driftguard", parameters, userIdentity=OWN)
        trail.happened("TagQueue", "sqs.amazonaws.com", "eve", parameters)
        ran = shop.sandbox.run("reconcile", **variables)
        assert ran.code == 2
        assert re.search(r"hanged by eve .* from 198\.51\.100\.7, .*: TagQueue", ran.stdout), ran.stdout
        assert re.search(r"Written in git by Ada, .*: “the shop” \(.*, environments/shop/main\.tf:1\)", ran.stdout)
        assert "eve-secret-value" not in ran.stdout + ran.stderr
        asked = len(trail.asked)
        assert shop.sandbox.run("reconcile", **variables).code == 2
        assert len(trail.asked) == asked  # the answer is known
        time.sleep(1.2)  # the scan before counts as an earlier run's
        shop.tag_queue(owner="mallory")
        trail.happened("TagQueue", "sqs.amazonaws.com", "mallory", {**parameters, "tags": {"owner": "mallory"}})
        assert shop.sandbox.run("reconcile", **variables).code == 2
        assert len(trail.asked) > asked  # it was changed again, perhaps by somebody else
        assert b"eve-secret-value" not in b"".join(shop.sandbox.bytes_left().values())

        shop.set_timeout(77)
        trail.refusing = True
        ran = shop.sandbox.run("reconcile", **variables)
        assert ran.code == 2
        assert "cloudtrail:LookupEvents" in ran.stdout + ran.stderr  # what to allow, and nothing worse
        found = shop.sandbox.run("doctor", **variables)
        assert "cannot be asked: AccessDeniedException" in found.stdout
        assert found.code == 0


OWN = {
    "type": "AssumedRole",
    "arn": "arn:aws:sts::123456789012:assumed-role/plan/driftguard-shop-20261123T093000-0a1b2c3d",
    "sessionContext": {"sessionIssuer": {"userName": "plan"}},
}
