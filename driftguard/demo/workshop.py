"""The place that the demo happens in: a cloud, a home and a repository in one folder, and the programs to run there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import msgspec

from driftguard import config
from driftguard.adapters.process import Stop, run
from driftguard.adapters.terraform.tool import find_tool
from driftguard.demo.cloud import FETCHED_PROVIDER, PACKAGED_PROVIDER, Cloud, provider_cli_config, write_estate

_COMMAND_SECONDS = 600.0
_PROGRAM = "from driftguard.cli import main; main()"
_IDENTITY = ("AUTHOR", "COMMITTER")
_TERMINAL = ("TERM", "COLORTERM", "NO_COLOR")
_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(Exception):
    """The story did not go as told; the message says where."""


class DemoStopped(Exception):
    """Somebody pressed Ctrl-C."""


class Workshop:
    """Everything that the demo touches; made by `workshop`.

    Attributes:
        channel: the Slack channel that alerts go to (`DRIFTGUARD_DEMO_CHANNEL`, with `SLACK_BOT_TOKEN`); None for none.
        slack_api: where Slack is (`DRIFTGUARD_DEMO_SLACK_API`, for a proxy).
    """

    def __init__(self, folder: Path, cloud: Cloud, stop: Stop) -> None:
        self.folder, self.cloud, self._stop = folder, cloud, stop
        self.repository = folder / "infra"
        self._server = folder / "server.git"
        home = folder / "home"
        home.mkdir()
        surroundings = config.surroundings()
        self._tool = find_tool("auto", surroundings.get("PATH", ""))
        self.variables = {
            "PATH": surroundings.get("PATH", ""),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            **{name: surroundings[name] for name in _TERMINAL if name in surroundings},
            **{f"GIT_{role}_NAME": "Ada" for role in _IDENTITY},
            **{f"GIT_{role}_EMAIL": "ada@example.org" for role in _IDENTITY},
            **cloud.environment(),
        }
        self.channel = surroundings.get("DRIFTGUARD_DEMO_CHANNEL") if surroundings.get("SLACK_BOT_TOKEN") else None
        self.slack_api = surroundings.get("DRIFTGUARD_DEMO_SLACK_API") or "https://slack.com/api/"
        if self.channel:
            self.variables["SLACK_BOT_TOKEN"] = surroundings["SLACK_BOT_TOKEN"]
            self.variables |= {name: surroundings[name] for name in _NETWORK if name in surroundings}
            self.variables["NO_PROXY"] = self.variables["no_proxy"] = "127.0.0.1,localhost"
        provider = provider_cli_config(folder)
        if provider is not None:
            self.variables["TF_CLI_CONFIG_FILE"] = str(provider)
        else:  # it comes from its registry
            self.variables |= {name: surroundings[name] for name in _NETWORK if name in surroundings}
            self.variables["NO_PROXY"] = self.variables["no_proxy"] = "127.0.0.1,localhost"
        write_estate(
            self.repository, cloud, provider_version=PACKAGED_PROVIDER if provider is not None else FETCHED_PROVIDER
        )

    @property
    def tool(self) -> str:
        """The Terraform that is used, e.g. `terraform 1.11.4`."""
        return str(self._tool)

    def say(self, text: str) -> None:
        """One line about what happens now, on standard error."""
        print(text, file=sys.stderr, flush=True)

    def git(self, *arguments: str) -> None:
        """Run git in the repository."""
        self._run("git", ["git", *arguments], self.repository, {})

    def commit(self, message: str) -> None:
        """Commit all that changed in the work tree."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def serve(self) -> None:
        """Put the repository on a server: a bare one, to which branches can be pushed."""
        self._run(
            "git", ["git", "clone", "--quiet", "--bare", str(self.repository), str(self._server)], self.folder, {}
        )
        self.git("remote", "add", "origin", str(self._server))

    def branches(self) -> list[str]:
        """The branches on the server that DriftGuard made."""
        listed = self._run("git", ["git", "ls-remote", "--heads", "origin", "driftguard/*"], self.repository, {})
        return [line.rpartition("refs/heads/")[2] for line in listed.splitlines()]

    def merge(self, branch: str) -> None:
        """Merge a branch of the server and push it."""
        self.git("fetch", "--quiet", "origin", branch)
        self.git("merge", "--quiet", "--no-ff", "--no-edit", "FETCH_HEAD")
        self.git("push", "--quiet", "origin", "main")

    def edit(self, path: str, old: str, new: str) -> None:
        """Change one place of a file of the work tree."""
        file = self.repository / path
        text = file.read_text()
        if text.count(old) != 1:
            raise DemoFailed(f"{path} does not hold {old!r} exactly once.")
        file.write_text(text.replace(old, new))

    def terraform(self, environment: str, *arguments: str) -> None:
        """Run Terraform by hand in an environment's directory."""
        folder = self.repository / "environments" / environment
        self._run(f"terraform in {environment}", [self._tool.path, *arguments], folder, {})

    def side_by_side(self, environments: tuple[str, ...]) -> Iterator[str]:
        """Create environments with Terraform, two at a time; yields the name of each as it is done."""

        def create(name: str) -> str:
            self.terraform(name, "init", "-input=false", "-no-color")
            self.terraform(name, "apply", "-input=false", "-no-color", "-auto-approve")
            return name

        with ThreadPoolExecutor(max_workers=2) as executor:
            yield from executor.map(create, environments)

    def driftguard(
        self, *arguments: str, expect: int, show: bool = True, variables: Mapping[str, str] | None = None
    ) -> str:
        """Run driftguard as its users do.

        Args:
            expect: the exit code that belongs to the story.
            show: show what a user sees, on this process's own output; nothing is returned then.
            variables: environment variables that differ from the workshop's own.
        """
        if show:
            print(f"\n$ driftguard {' '.join(arguments)}", flush=True)
        command = [sys.executable, "-P", "-c", _PROGRAM, *arguments, "--repo", str(self.repository)]
        return self._run(f"driftguard {arguments[0]}", command, self.folder, variables or {}, expect=expect, show=show)

    def labels(self, environment: str) -> set[str]:
        """The labels that the ledger has of an environment's last scan."""
        text = self.driftguard("explain", environment, "--format", "json", expect=0, show=False)
        return {label for resource in msgspec.json.decode(text)["resources"] for label in resource["labels"]}

    def _run(
        self,
        what: str,
        command: list[str],
        folder: Path,
        variables: Mapping[str, str],
        *,
        expect: int = 0,
        show: bool = False,
    ) -> str:
        if self._stop.requested:
            raise DemoStopped
        lines: list[bytes] = []
        done = run(
            command,
            directory=folder,
            environment={**self.variables, **variables},
            timeout_seconds=_COMMAND_SECONDS,
            stop=self._stop,
            on_line=lines.append,
            stdout_file=sys.stdout.buffer if show else None,
            stderr_file=sys.stderr.buffer if show else None,
            die_with_us=not show,  # whose output passes through a pipe
        )
        if self._stop.requested:
            raise DemoStopped
        output = b"\n".join(lines).decode(errors="replace")
        if done.code != expect:
            said = (done.stderr.strip() or output.strip())[-2000:]
            raise DemoFailed(f"{what} ended with exit code {done.code} instead of {expect}.\n{said}".rstrip())
        return output


@contextmanager
def workshop(keep: Path | None) -> Iterator[Workshop]:
    """A workshop that is gone afterwards, whatever happens; `keep` names a new folder that stays."""
    stop = Stop()

    def request(signum: int, frame: FrameType | None) -> None:
        if not stop.requested:
            with contextlib.suppress(OSError):
                os.write(2, b"\nStopping; what runs may finish what it is doing ...\n")
        stop.request()

    with ExitStack() as stack:
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:  # as with nohup
                signal.signal(number, request)
                stack.callback(signal.signal, number, before)
        if keep is None:
            folder = Path(tempfile.mkdtemp(prefix="driftguard-demo-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        else:
            folder = keep.absolute()
            folder.mkdir(parents=True)
        cloud = stack.enter_context(Cloud(folder / "cloud.log"))
        yield Workshop(folder, cloud, stop)
