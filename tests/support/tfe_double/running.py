"""What plans in the double: real Terraform with its built-in provider, or prepared answers."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.tfe_double.store import Planned

_BACKEND = "zz_double_override.tf"


class RealTerraform:
    """Real Terraform in a folder of its own for each run, with a local state in the place of the platform's.

    Attributes:
        uploaded: the names in each tar, in order.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.uploaded: list[list[str]] = []

    def plan(self, files: bytes, directory: str, state: bytes, variables: list[dict[str, Any]]) -> Planned:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        with tarfile.open(fileobj=io.BytesIO(files), mode="r:gz") as tar:
            self.uploaded.append(tar.getnames())
            tar.extractall(folder, filter="data")
        work = folder / directory
        (work / _BACKEND).write_text('terraform {\n  backend "local" {}\n}\n')
        if state:
            (work / "terraform.tfstate").write_bytes(state)
        given = {v["key"]: v["value"] for v in variables if v.get("category") == "terraform"}
        (work / "zz.auto.tfvars.json").write_text(json.dumps(given))
        log = ""
        for command in (["init", "-input=false", "-no-color"], ["plan", "-input=false", "-no-color", "-out=plan"]):
            done = self._run(work, command)
            log += done.stdout.decode() + done.stderr.decode()
            if done.returncode != 0:
                return Planned(b"", log)
        return Planned(self._run(work, ["show", "-json", "plan"]).stdout, log, work)

    def apply(self, planned: Planned) -> tuple[bytes, str, bool]:
        done = self._run(planned.work, ["apply", "-input=false", "-no-color", "plan"])
        state = planned.work / "terraform.tfstate"
        text = done.stdout.decode() + done.stderr.decode()
        return state.read_bytes() if state.exists() else b"", text, done.returncode == 0

    def _run(self, work: Path, arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "CHECKPOINT_DISABLE": "1"}
        return subprocess.run(["terraform", *arguments], cwd=work, env=environment, capture_output=True, timeout=120)


class Prepared:
    """Answers that a test prepared.

    Attributes:
        answer: gives the plan of an upload and a state.
        uploaded: the tars, in order.
    """

    def __init__(self, answer: Callable[[bytes, bytes], Planned]) -> None:
        self.answer = answer
        self.uploaded: list[bytes] = []

    def plan(self, files: bytes, directory: str, state: bytes, variables: list[dict[str, Any]]) -> Planned:
        self.uploaded.append(files)
        return self.answer(files, state)

    def apply(self, planned: Planned) -> tuple[bytes, str, bool]:
        serial = int(planned.work or 1)
        state = {"version": 4, "lineage": "1-2-3", "serial": serial + 1, "outputs": {}, "resources": []}
        return json.dumps(state).encode(), "Apply complete!", True
