"""Plans of real Terraform whose provider answers schemas and validations from memory."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from driftguard.model.talks import Talk
from driftguard.ports import WorkingDirectory
from driftguard.probe.memo import MemoStore
from driftguard.probe.packages import Packages
from driftguard.probe.store import RecordStore
from driftguard.probe.tap import REATTACH, Tap
from tests.support.harness import Sandbox, Toy
from tests.support.toy_provider import ADDRESS

pytestmark = [pytest.mark.terraform, pytest.mark.provider_process]

KEY = b"k" * 32
DEV = "environments/dev"
THING = 'resource "toy_thing" "web" {\n  name  = "web"\n  value = "one"\n}\n'


class TappedDirectory:
    """An applied and then drifted environment, planned by hand through a tap."""

    def __init__(self, sandbox: Sandbox, toy: Toy, folder: Path) -> None:
        sandbox.write(f"{DEV}/main.tf", toy.root_module(THING))
        sandbox.apply(DEV)
        toy.change("web", value="outside")
        self.sandbox, self._folder, self._bare = sandbox, folder, dict(sandbox.variables)
        self._packages, self._records = Packages(folder / "checksums", KEY), RecordStore(folder / "records", KEY)

    def run(self, *arguments: str, rechecked: float = 0.0) -> tuple[str, Talk]:
        """What Terraform prints, attached to a tap, and the talk."""
        root = self.sandbox.repository / DEV
        work = WorkingDirectory(root, root / ".terraform", self._folder, self._bare)
        memo = MemoStore(self._folder / "answers", KEY, frozenset({ADDRESS}))
        tap = Tap(KEY, self._packages, self._records, memo, rechecked)
        with closing(tap), tap.listen(work, self._bare) as listening:
            assert listening is not None
            self.sandbox.variables.update(listening.variables)
            done = self.sandbox.terraform(DEV, *arguments)
            del self.sandbox.variables[REATTACH]
            return done.stdout, listening.talk()


def shown(text: str) -> dict[str, Any]:
    """A plan's JSON without its time."""
    document: dict[str, Any] = json.loads(text)
    return {key: value for key, value in document.items() if key != "timestamp"}


def test_plans_with_answers_from_memory_are_those_of_bare_plans(sandbox: Sandbox, toy: Toy, tmp_path: Path) -> None:
    directory = TappedDirectory(sandbox, toy, tmp_path / "probe")
    sandbox.terraform(DEV, "plan", "-out=bare", "-lock=false")
    bare = shown(sandbox.terraform(DEV, "show", "-json", "bare").stdout)
    assert bare["resource_drift"], "there is drift to be found"
    for _ in range(3):
        _, talk = directory.run("plan", "-out=tapped", "-lock=false")
        assert (talk.broken, len(talk.sessions)) == ("", 1)
        text, talk = directory.run("show", "-json", "tapped")
        assert shown(text) == bare
    assert talk.cpu_seconds == 0.0, "no provider process was needed to show a plan"


def test_a_validation_that_follows_from_more_than_the_question_is_found_and_forgotten(
    sandbox: Sandbox, toy: Toy, tmp_path: Path
) -> None:
    warns = tmp_path / "warns"
    sandbox.variables["TOY_WARNS_WHERE_THERE_IS"] = str(warns)
    directory = TappedDirectory(sandbox, toy, tmp_path / "probe")
    for _ in range(2):
        directory.run("plan", "-lock=false")
    warns.touch()
    _, talk = directory.run("plan", "-lock=false", rechecked=1.0)
    assert "is answered differently" in talk.broken
    text, talk = directory.run("plan", "-lock=false")
    assert "follows from more than the configuration" in text
