"""Jobs on runners without a disk: the ledger in S3, through the real command."""

from __future__ import annotations

import shutil
import uuid

import pytest

from driftguard.demo.cloud import STATE_BUCKET, Cloud, make_state_bucket
from tests.support.harness import Sandbox
from tests.support.toy_estate import EstateOf


@pytest.mark.crash
def test_two_jobs_at_once_on_runners_without_a_disk_alert_once_and_lose_nothing(
    sandbox: Sandbox, estate_of: EstateOf, cloud: Cloud
) -> None:
    make_state_bucket(cloud)
    sandbox.variables |= {**cloud.environment(), "AWS_ENDPOINT_URL": cloud.endpoint}
    estate = estate_of("blue", "green")
    url = f"s3://{STATE_BUCKET}/{uuid.uuid4().hex}/ledger"
    sandbox.commit("a ledger in S3", {"driftguard.yaml": f"ledger: {{url: '{url}'}}\n"})
    estate.clouds["blue"].change("web", value="outside")
    jobs = [sandbox.start("reconcile", "--quiet", XDG_CACHE_HOME=str(sandbox.home / name)) for name in ("one", "two")]
    said = [job.communicate(timeout=120) for job in jobs]
    assert [job.returncode for job in jobs] == [2, 2], said
    assert "".join(out for out, _ in said).count("Drift in blue") == 1

    shutil.rmtree(sandbox.home / ".local", ignore_errors=True)
    entries = sandbox.run("history", "--format", "json", "--limit", "100").report["entries"]
    assert [entry["kind"] for entry in entries].count("run_finished") == 2
    assert [entry["kind"] for entry in entries].count("scanned") == 4
    assert sandbox.run("ledger", "verify").code == 0
