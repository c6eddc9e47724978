"""A clean estate on a loopback cloud: `driftguard scan --probe` against a bare loop of `terraform plan`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.measure import DRIFTGUARD, Cost, Result, commit_all, home, run
from bench.scan import PLAN, apply_all, compared, estate_of, version_of
from driftguard.demo.cloud import Cloud, provider_cli_config

# Of a bare plan's CPU, for a command that starts cold: a fourteenth with AWS 3, a fiftieth with AWS 5.
_TARGETS = {"3": 1 / 14, "5": 1 / 50}
_SCAN = [*DRIFTGUARD, "scan", "--format", "json"]
_WITHOUT_AUDIT = "probe: {audit: 0%}\n"


def measure(
    scratch: Path, *, environments: int, repetitions: int, provider: str, mirror: Path | None
) -> Iterator[Result]:
    """Compare both on `environments` copies of the example estate's `dev`; they run in turns, `repetitions` each.

    Raises:
        RuntimeError: an environment was not answered by a probe, or the one that was changed outside was.
    """
    at_a_time = os.cpu_count() or 1
    terraform = shutil.which("terraform")
    if terraform is None:
        raise RuntimeError("The bare loop needs `terraform` on PATH.")
    with Cloud(scratch / "moto.log") as cloud:
        environment = {**home(scratch / "home"), **cloud.environment()}
        settings = provider_cli_config(scratch / "provider", mirror)
        if settings is not None:
            environment["TF_CLI_CONFIG_FILE"] = str(settings)
        plugins = scratch / "plugins"
        plugins.mkdir()
        repository = scratch / "estate"
        directories = estate_of(repository, cloud, environments, provider, at_a_time)
        apply_all(terraform, directories, {**environment, "TF_PLUGIN_CACHE_DIR": str(plugins)}, at_a_time)
        with (repository / "driftguard.yaml").open("a") as stream:
            stream.write(_WITHOUT_AUDIT)
        commit_all(repository, environment)  # with the lock files: without them a closure is open

        def bare() -> Cost:
            return run(
                [[terraform, *PLAN]] * environments,
                directories=directories,
                environment=environment,
                at_a_time=at_a_time,
            )

        def ours(*options: str) -> Cost:
            return run([[*_SCAN, *options]], directories=[repository], environment=environment)

        ours()  # initialises every environment in folders of its own
        bare_costs, tapped, probed = [], [], []
        for _ in range(repetitions):
            bare_costs.append(bare())
            tapped.append(ours())  # records each plan
            probed.append(ours("--probe"))
        _check(repository, environment, cloud)
    tools = f"Terraform {version_of(terraform)}, aws {provider}"
    what = f"{environments} clean environments, {tools}, median of {repetitions}"
    yield compared(f"probe of {what}: CPU", _cpu(bare_costs), _cpu(probed), _TARGETS[provider.split(".")[0]])
    yield compared(f"probe of {what}: wall", _wall(bare_costs), _wall(probed), 1.0)
    yield compared(f"scan with the tap of {what}: CPU", _cpu(bare_costs), _cpu(tapped), 1.0)


def _check(repository: Path, environment: Mapping[str, str], cloud: Cloud) -> None:
    """Change one environment outside: it alone must be planned."""
    assert set(_looked(repository, environment).values()) == {"probe in_sync"}, "every environment was probed"
    queues = cloud.client("sqs")
    url = next(url for url in queues.list_queues()["QueueUrls"] if "env-000" in url)
    queues.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77"})
    found = _looked(repository, environment)
    if found.pop("env-000") != "plan drifted" or set(found.values()) - {"probe in_sync"}:
        raise RuntimeError("A change outside was not found by a probe, or found where there was none.")


def _looked(repository: Path, environment: Mapping[str, str]) -> dict[str, str]:
    command = [*_SCAN, "--probe"]
    done = subprocess.run(command, cwd=repository, env=dict(environment), capture_output=True, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return {e["name"]: f"{e['checked_by']} {e['verdict']}" for e in report["environments"]}


def _cpu(costs: list[Cost]) -> list[float]:
    return [cost.cpu for cost in costs]


def _wall(costs: list[Cost]) -> list[float]:
    return [cost.wall for cost in costs]
