"""DriftGuard's own process at many environments, with a program in Terraform's place that costs nothing."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from bench.measure import MIB, PEAK, Result, commit_all, home, run

_TARGET_MIB = 120.0
_PROGRAM = f"""{PEAK}
from driftguard.cli import main
try:
    main(sys.argv[2:])
finally:
    pathlib.Path(sys.argv[1]).write_text(str(peak()))
"""
_TERRAFORM = """#!/bin/sh
case "$1" in
version) echo '{"terraform_version": "1.11.4"}' ;;
plan)
  for argument; do
    case "$argument" in -out=*) cp "${0%/*}/plan.zip" "${argument#-out=}" ;; esac
  done ;;
esac
"""


def measure(scratch: Path, *, environments: int) -> Iterator[Result]:
    """The peak of resident memory of the process itself, its children left out."""
    environment = home(scratch / "home")
    program = scratch / "bin" / "terraform"
    program.parent.mkdir()
    program.write_text(_TERRAFORM)
    program.chmod(0o755)
    with zipfile.ZipFile(program.with_name("plan.zip"), "w") as archive:
        archive.writestr("tfstate", '{"version": 4, "lineage": "bench", "serial": 1}')
    environment["PATH"] = f"{program.parent}:{environment['PATH']}"
    repository = scratch / "estate"
    for number in range(environments):
        directory = repository / "environments" / f"env-{number:03}"
        directory.mkdir(parents=True)
        (directory / "main.tf").write_text(f'terraform {{\n  backend "s3" {{\n    key = "{number}"\n  }}\n}}\n')
    commit_all(repository, environment)
    peak_file = scratch / "peak"
    command = [sys.executable, "-P", "-c", _PROGRAM, str(peak_file), "scan", "--format", "json"]
    run([command], directories=[repository], environment=environment)
    cost = run([command], directories=[repository], environment=environment)
    peak = int(peak_file.read_text()) / MIB
    yield Result(
        f"driftguard's own process, scan of {environments} environments",
        f"{peak:.0f} MiB at its peak",
        f"≤ {_TARGET_MIB:.0f} MiB",
        peak <= _TARGET_MIB,
    )
    yield Result(
        "that scan, with a Terraform that does nothing",
        f"{1000 * cost.cpu / environments:.0f} ms CPU, {1000 * cost.wall / environments:.0f} ms wall per environment",
    )
