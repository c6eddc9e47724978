"""Plays histories through the probe: whenever it finds nothing changed, a plan has to be the one before.

A history is drawn as always. Between its changes DriftGuard looks by the probe, and Terraform plans without DriftGuard:
its plan is compared with the one that it made when DriftGuard planned last.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from driftguard.probe.packages import h1
from lab.changes import CHANGES
from lab.drawing import draw_configuration, draw_types
from lab.history import History, described
from lab.judge import Mismatch
from lab.provider import ADDRESS, Provider
from lab.site import Site, TerraformFailed
from lab.values import Dice

if TYPE_CHECKING:
    from lab.play import Tally

_VERSION: Final = "1.0.0"
_PLAN: Final = "plan.tfstate"  # git ignores it
# A provider of this laboratory process, as a program: it prints its address, and lives until it is killed.
_PROGRAM: Final = """#!/bin/sh
socket="$PLUGIN_UNIX_SOCKET_DIR/lab$$"
ln -s {socket} "$socket"
echo "1|6|unix|$socket|grpc|"
exec sleep 600
"""
_MIRROR: Final = 'provider_installation {{\n  filesystem_mirror {{ path = "{path}" }}\n}}\n'


def installed(folder: Path, provider: Provider) -> tuple[str, str]:
    """The provider as a package that Terraform installs: the texts of a lock file and of Terraform's configuration."""
    package = folder / "mirror" / ADDRESS / _VERSION / "linux_amd64"
    package.mkdir(parents=True)
    program = package / f"terraform-provider-lab_v{_VERSION}"
    program.write_text(_PROGRAM.format(socket=provider.socket))
    program.chmod(0o755)
    checksum = h1(package, [program])
    lock = f'provider "{ADDRESS}" {{\n  version = "{_VERSION}"\n  hashes = [\n    "{checksum}",\n  ]\n}}\n'
    return lock, _MIRROR.format(path=folder / "mirror")


def play_probed(dice: Dice, provider: Provider, tally: Tally) -> list[Mismatch]:
    """Draw one history and play it; each step at which the probe was wrong."""
    types = draw_types(dice)
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        package = installed(Path(folder), provider)
        site = Site(Path(folder), provider, types, modern=dice.flag(16), package=package)
        history = History(site, dice, draw_configuration(dice, types, actions=site.modern))
        try:
            history.begin(baseline=True)
            mismatches = _steps(history, tally)
        except TerraformFailed as failed:
            tally.invalid += 1
            tally.wrong.append(("terraform failed", [], "\n".join((*described(history), str(failed)))))
            return []
        tally.histories += 1
        if mismatches:
            text = "\n".join((*described(history), *(f"  ✗ {mismatch}" for mismatch in mismatches)))
            tally.wrong.append(("a wrong probe", mismatches, text))
        return mismatches


def _steps(history: History, tally: Tally) -> list[Mismatch]:
    site, wrong = history.site, []
    site.scan()  # initialised, so that its plan is recorded
    planned = document(site)
    for _ in range(history.dice.number(2, 6)):
        quiet = history.dice.flag(2)
        if not quiet:
            history.happen(CHANGES)
        report = site.scan(probe=True)
        probed, now = report["checked_by"] == "probe", document(site)
        if probed and (now is None or now != planned):
            wrong.append(Mismatch("probe", "a plan", f"the same as before {history.log[-1:]}"))
        by = report["checked_by"] if probed or not (quiet and site.not_probed()) else "kept out"
        tally.occurred[f"probe: {'nothing' if quiet else 'something'} changed, {by}"] += 1
        tally.occurred[f"probe: the plan {'differs' if now != planned else 'is the same'}, {report['checked_by']}"] += 1
        planned = now
    return wrong


def document(site: Site) -> str | None:
    """What Terraform plans now without DriftGuard, without its time; None where it cannot plan."""
    file = site.directory / _PLAN
    file.unlink(missing_ok=True)
    with site.cloud.from_elsewhere():
        site.terraform("init", "-input=false")
        site.terraform("plan", "-input=false", "-lock=false", f"-out={_PLAN}", may_fail=True)
    if not file.exists():
        return None
    found = json.loads(site.terraform("show", "-json", _PLAN))
    found.pop("timestamp", None)
    return json.dumps(found, sort_keys=True)
