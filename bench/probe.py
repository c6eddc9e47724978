"""A clean estate on a loopback cloud: `driftguard scan --probe` against a bare loop of `terraform plan`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.measure import DRIFTGUARD, Cost, Result
from bench.scan import Estate, compared, standing

# Of a bare plan's CPU, for a command that starts cold: a fourteenth with AWS 3, a fiftieth with AWS 5.
_TARGETS = {"3": 1 / 14, "5": 1 / 50}
_SCAN = ["scan", "--format", "json"]
_WITHOUT_AUDIT = "probe: {audit: 0%}\n"


def measure(
    scratch: Path, *, environments: int, repetitions: int, provider: str, mirror: Path | None
) -> Iterator[Result]:
    """Compare both on `environments` copies of the example estate's `dev`; they run in turns, `repetitions` each.

    Raises:
        RuntimeError: an environment was not answered by a probe, or the one that was changed outside was.
    """
    with standing(
        scratch, environments=environments, provider=provider, mirror=mirror, settings=_WITHOUT_AUDIT
    ) as estate:

        def ours(*options: str) -> Cost:
            return estate.driftguard(*_SCAN, *options)

        ours()  # initialises every environment in folders of its own
        bare_costs, tapped, probed = [], [], []
        for _ in range(repetitions):
            bare_costs.append(estate.bare_plans())
            tapped.append(ours())  # records each plan
            probed.append(ours("--probe"))
        _check(estate)
    what = f"{environments} clean environments, {estate.tools}, median of {repetitions}"
    yield compared(f"probe of {what}: CPU", _cpu(bare_costs), _cpu(probed), _TARGETS[provider.split(".")[0]])
    yield compared(f"probe of {what}: wall", _wall(bare_costs), _wall(probed), 1.0)
    yield compared(f"scan with the tap of {what}: CPU", _cpu(bare_costs), _cpu(tapped), 1.0)


def _check(estate: Estate) -> None:
    """Change one environment outside: it alone must be planned."""
    assert set(_looked(estate).values()) == {"probe in_sync"}, "every environment was probed"
    queues = estate.cloud.client("sqs")
    url = next(url for url in queues.list_queues()["QueueUrls"] if "env-000" in url)
    queues.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77"})
    found = _looked(estate)
    if found.pop("env-000") != "plan drifted" or set(found.values()) - {"probe in_sync"}:
        raise RuntimeError("A change outside was not found by a probe, or found where there was none.")


def _looked(estate: Estate) -> dict[str, str]:
    command = [*DRIFTGUARD, *_SCAN, "--probe"]
    done = subprocess.run(command, cwd=estate.repository, env=dict(estate.environment), capture_output=True, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return {e["name"]: f"{e['checked_by']} {e['verdict']}" for e in report["environments"]}


def _cpu(costs: list[Cost]) -> list[float]:
    return [cost.cpu for cost in costs]


def _wall(costs: list[Cost]) -> list[float]:
    return [cost.wall for cost in costs]
