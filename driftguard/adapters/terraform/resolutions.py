"""What floating modules and providers are now: asked of their servers, so that no cache decides a verdict.

A working directory that was initialised before stays as it is only if a new one would get the same. Sources that can
be asked are compared (`git ls-remote`, the versions of a registry); for all others a fresh one is fetched. Answers are
kept in memory for `terraform.refresh_modules`, never on disk: a new process asks again.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from driftguard.adapters.process import Stop, run
from driftguard.adapters.terraform.registries import versions
from driftguard.ports import WorkingDirectory

_RECORD: Final = "driftguard-modules.json"
_ASK_SECONDS: Final = 60.0
_YOUNG_SECONDS: Final = 30.0  # environments that are initialised one after another share an answer


class _Module(msgspec.Struct, rename="pascal"):
    """One line of Terraform's own `modules.json`."""

    source: str = ""
    version: str = ""


class _Manifest(msgspec.Struct, rename="pascal"):
    modules: list[_Module] = []


@dataclass(slots=True)
class Resolutions:
    """The answers of this process, with the monotonic time at which each was given. Thread-safe."""

    _answers: dict[str, tuple[float, str | None]] = field(default_factory=dict)
    _providers: dict[Path, float] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def providers_are_old(self, work: WorkingDirectory) -> bool:
        """Whether providers that no lock file fixes were selected by another process, or too long ago."""
        selected = self._providers.get(work.data_dir)
        known = selected is not None and time.monotonic() - selected < work.refresh_seconds
        return "provider" in work.moves and not known

    def modules_moved(self, work: WorkingDirectory, stop: Stop) -> bool:
        """Whether a new directory would get other modules than this one has, or that cannot be asked."""
        if "module" not in work.moves:
            return False
        try:
            recorded = msgspec.json.decode((work.data_dir / _RECORD).read_bytes(), type=dict[str, str | None])
        except (OSError, msgspec.DecodeError):
            recorded = {}
        asked = (self._ask(source, work, work.refresh_seconds, stop) for source in recorded)
        return not recorded or any(
            now is None or now != then for now, then in zip(asked, recorded.values(), strict=True)
        )

    def forget(self, work: WorkingDirectory) -> None:
        """Delete the modules of a directory, so that `init` fetches them."""
        shutil.rmtree(work.data_dir / "modules", ignore_errors=True)
        (work.data_dir / _RECORD).unlink(missing_ok=True)

    def initialised(self, work: WorkingDirectory, stop: Stop) -> None:
        """Take note of what `init` has just selected."""
        self._providers[work.data_dir] = time.monotonic()
        if "module" in work.moves:
            found = {source: self._ask(source, work, _YOUNG_SECONDS, stop) for source in _fetched(work.data_dir)}
            (work.data_dir / _RECORD).write_bytes(msgspec.json.encode(found))

    def _ask(self, source: str, work: WorkingDirectory, seconds: float, stop: Stop) -> str | None:
        """What a source is now; None where that cannot be asked."""
        with self._guard:  # each source is asked once, however many environments use it
            at, answer = self._answers.get(source, (None, None))
            if at is None or time.monotonic() - at > seconds:
                answer = _commit_of(source, work, stop) if "::" in source else versions(source, work.environment)
                self._answers[source] = time.monotonic(), answer
            return answer


OF_THIS_PROCESS: Final = Resolutions()
"""What every run of this process shares."""


def _fetched(data_dir: Path) -> Iterator[str]:
    """The sources of the modules that `init` fetched, also of those that other modules call."""
    with suppress(OSError, msgspec.DecodeError):
        manifest = msgspec.json.decode((data_dir / "modules" / "modules.json").read_bytes(), type=_Manifest)
        sources = {module.source for module in manifest.modules}
        yield from sorted(s for s in sources if s and not s.startswith(("./", "../")))


def _commit_of(source: str, work: WorkingDirectory, stop: Stop) -> str | None:
    """The commit that a git source gives now; None for any other source, and where the server does not answer."""
    kind, _, rest = source.partition("::")
    if kind != "git":
        return None
    address, _, query = rest.partition("?")
    scheme, separator, path = address.partition("://")
    path = path.partition("//")[0] if separator else scheme.partition("//")[0]
    url = f"{scheme}{separator}{path}" if separator else path
    ref = dict(parse_qsl(query)).get("ref")
    wanted = ["HEAD"] if ref is None else [f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/tags/{ref}^{{}}", ref]
    listed = _git(["ls-remote", "--", url, *wanted], work.environment, stop)
    return None if listed is None else " ".join(sorted(listed.split())) or f"commit {ref}"


def _git(arguments: list[str], variables: Mapping[str, str], stop: Stop) -> str | None:
    lines: list[bytes] = []
    try:
        done = run(
            ["git", *arguments],
            directory=Path("/"),
            environment={**variables, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            timeout_seconds=_ASK_SECONDS,
            stop=stop,
            on_line=lines.append,
        )
    except OSError:  # git is not installed
        return None
    return b"\n".join(lines).decode(errors="replace") if done.code == 0 else None
