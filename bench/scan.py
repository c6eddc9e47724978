"""A clean estate on a loopback cloud: `driftguard scan` against a bare loop of `terraform plan`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.measure import DRIFTGUARD, Cost, Result, commit_all, home, run
from driftguard.demo.cloud import Cloud, provider_cli_config, write_estate

_PLAN = ["plan", "-detailed-exitcode", "-lock=false", "-input=false"]
_CPU_TARGET, _WALL_TARGET = 1.10, 1.15


def measure(
    scratch: Path, *, environments: int, repetitions: int, provider: str, mirror: Path | None
) -> Iterator[Result]:
    """Compare both on `environments` copies of the example estate's `dev`; they run in turns, `repetitions` each."""
    with standing(scratch, environments=environments, provider=provider, mirror=mirror) as estate:

        def ours() -> Cost:
            return estate.driftguard("scan", "--format", "json")

        first = ours()  # initialises every environment in folders of its own
        bare_costs, ours_costs = [], []
        for _ in range(repetitions):
            bare_costs.append(estate.bare_plans())
            ours_costs.append(ours())
    what = f"scan of {environments} clean environments, {estate.tools}, median of {repetitions}"
    yield compared(f"{what}: CPU", [c.cpu for c in bare_costs], [c.cpu for c in ours_costs], _CPU_TARGET)
    yield compared(f"{what}: wall", [c.wall for c in bare_costs], [c.wall for c in ours_costs], _WALL_TARGET)
    yield Result("the first scan of them, with `terraform init`", f"{first.cpu:.1f} s CPU, {first.wall:.1f} s wall")


@dataclass(frozen=True, slots=True)
class Estate:
    """Clean environments on a loopback cloud, applied, in a repository with their lock files.

    Attributes:
        tools: Terraform, the provider and how many run at a time, in words.
    """

    terraform: str
    cloud: Cloud
    repository: Path
    directories: list[Path]
    environment: Mapping[str, str]
    at_a_time: int
    tools: str

    def bare_plans(self) -> Cost:
        """The cost of a bare plan of each environment."""
        return run(
            [[self.terraform, *_PLAN]] * len(self.directories),
            directories=self.directories,
            environment=self.environment,
            at_a_time=self.at_a_time,
        )

    def driftguard(self, *arguments: str) -> Cost:
        """The cost of one command of ours in the repository."""
        return run([[*DRIFTGUARD, *arguments]], directories=[self.repository], environment=self.environment)


@contextmanager
def standing(
    scratch: Path, *, environments: int, provider: str, mirror: Path | None, settings: str = ""
) -> Iterator[Estate]:
    """Copies of the example estate's `dev` while the block lasts.

    Args:
        settings: further lines of `driftguard.yaml`.

    Raises:
        RuntimeError: there is no `terraform` on PATH.
    """
    at_a_time = os.cpu_count() or 1
    terraform = shutil.which("terraform")
    if terraform is None:
        raise RuntimeError("The bare loop needs `terraform` on PATH.")
    with Cloud(scratch / "moto.log") as cloud:
        environment = {**home(scratch / "home"), **cloud.environment()}
        configuration = provider_cli_config(scratch / "provider", mirror)
        if configuration is not None:
            environment["TF_CLI_CONFIG_FILE"] = str(configuration)
        plugins = scratch / "plugins"
        plugins.mkdir()
        repository = scratch / "estate"
        directories = _write(repository, cloud, environments, provider, at_a_time)
        with (repository / "driftguard.yaml").open("a") as stream:
            stream.write(settings)
        _apply(terraform, directories, {**environment, "TF_PLUGIN_CACHE_DIR": str(plugins)}, at_a_time)
        commit_all(repository, environment)  # with the lock files: without them a closure is open
        tools = f"Terraform {_version(terraform)}, aws {provider}, {at_a_time} at a time"
        yield Estate(terraform, cloud, repository, directories, environment, at_a_time, tools)


def _version(terraform: str) -> str:
    asked = subprocess.run([terraform, "version", "-json"], capture_output=True, text=True, check=True)
    return str(json.loads(asked.stdout)["terraform_version"])


def _write(repository: Path, cloud: Cloud, count: int, provider: str, at_a_time: int) -> list[Path]:
    write_estate(repository, cloud, ["dev"], provider)
    pattern = repository / "environments" / "dev"
    directories = []
    for number in range(count):
        name = f"env-{number:03}"
        directory = pattern.with_name(name)
        shutil.copytree(pattern, directory)
        for file in directory.iterdir():
            text = file.read_text().replace("shop-dev", f"shop-{name}")
            file.write_text(text.replace("dev/terraform.tfstate", f"{name}/terraform.tfstate"))
        directories.append(directory)
    shutil.rmtree(pattern)
    (repository / ".gitignore").write_text(".terraform/\n")
    (repository / "driftguard.yaml").write_text(
        "environments:\n"
        "  - path: environments/*\n"
        "    env: [TF_VAR_payment_api_key]\n"
        f"concurrency: {at_a_time}\n"
        "terraform: {binary: terraform}\n"
    )
    return directories


def _apply(terraform: str, directories: list[Path], environment: Mapping[str, str], at_a_time: int) -> None:

    def terraform_in(directory: Path, *arguments: str) -> None:
        done = subprocess.run(
            [terraform, *arguments], cwd=directory, env=dict(environment), capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"terraform {arguments[0]} in {directory.name}: {done.stderr}")

    def apply(directory: Path) -> None:
        terraform_in(directory, "apply", "-input=false", "-auto-approve")
        # What the provider reads differently right after it has made something is settled by a second look.
        terraform_in(directory, "apply", "-input=false", "-auto-approve", "-refresh-only")

    for directory in directories:  # one after the other: the plugin cache has no lock
        terraform_in(directory, "init", "-input=false")
    with ThreadPoolExecutor(at_a_time) as executor:
        list(executor.map(apply, directories))


def compared(what: str, bare: list[float], ours: list[float], target: float) -> Result:
    ratio = median(ours) / median(bare)
    measured = f"{_spread(ours)} against {_spread(bare)} bare: {ratio:.3f} ×"
    return Result(what, measured, f"≤ {target:.2f} ×", ratio <= target)


def _spread(seconds: list[float]) -> str:
    return f"{median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"
