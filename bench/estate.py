"""A large estate from few entries: 1,500 environments by directories, var files and records of accounts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.measure import DRIFTGUARD, MIB, PEAK, Result, commit_all, home, run

_DIRECTORIES, _VAR_FILES, _ACCOUNTS = 500, 25, 500
_STACKS = 20  # with `_VAR_FILES` environments each
_TARGET_SECONDS, _TARGET_MIB = 5.0, 200
_CONFIGURATION = """\
environments:
  - path: live/*/*
  - {path: stacks/*, each: "vars/*.tfvars", workspace: "{var_file}"}
  - {path: account, from: {file: "accounts/*.json", name: .name}, backend_config: {key: "{from.name}"}}
"""
_ROOT = """\
terraform {{
  required_version = ">= 1.5"
  backend "s3" {{
    bucket = "state"
    key    = "{key}"
  }}
}}

module "network" {{
  source = "{up}modules/network"
  name   = "{key}"
}}

resource "aws_sqs_queue" "jobs" {{
  name = "{key}"
}}
"""
_MEASURED = (
    PEAK
    + """
import contextlib, io
from driftguard.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    sys.argv = ["driftguard", "environments", "--quiet", "--format", "json"]
    main()
print(peak())
"""
)


def measure(scratch: Path) -> Iterator[Result]:
    """`driftguard environments`, the whole command, when the files were read once."""
    environment, repository = home(scratch / "home"), scratch / "estate"
    write(repository)
    commit_all(repository, environment)
    command = [*DRIFTGUARD, "environments", "--quiet", "--format", "json"]
    count = _DIRECTORIES + _STACKS * _VAR_FILES + _ACCOUNTS
    first = run([command], directories=[repository], environment=environment)
    again = run([command], directories=[repository], environment=environment)
    what = f"`driftguard environments`, {count:,} from three entries"
    yield Result(f"{what}, first run", str(first))
    target = f"< {_TARGET_SECONDS:.0f} s"
    yield Result(f"{what}, again", str(again), target, again.wall < _TARGET_SECONDS)
    peak = _peak(repository, environment)
    yield Result(f"{what}, peak memory", f"{peak} MiB", f"< {_TARGET_MIB} MiB", peak < _TARGET_MIB)


def write(repository: Path) -> None:
    """The estate's files."""
    files = {"driftguard.yaml": _CONFIGURATION, "modules/network/main.tf": 'variable "name" {}\n'}
    for number in range(_DIRECTORIES):
        place = f"live/account{number // 10:03}/stack{number % 10}"
        files[f"{place}/main.tf"] = _ROOT.format(key=place, up="../../../")
        files[f"{place}/.terraform.lock.hcl"] = "# locked\n"
    for number in range(_STACKS):
        files[f"stacks/s{number:02}/main.tf"] = _ROOT.format(key=f"s{number}", up="../../")
        files |= {f"stacks/s{number:02}/vars/v{n:02}.tfvars": f"n = {n}\n" for n in range(_VAR_FILES)}
    files["account/main.tf"] = _ROOT.format(key="account", up="../")
    files |= {f"accounts/a{number:04}.json": f'{{"name": "a{number:04}"}}\n' for number in range(_ACCOUNTS)}
    for path, text in files.items():
        file = repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def _peak(repository: Path, environment: Mapping[str, str]) -> int:
    program = [DRIFTGUARD[0], "-P", "-c", _MEASURED]
    done = subprocess.run(program, cwd=repository, env=dict(environment), capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) // MIB
