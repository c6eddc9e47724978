"""The sandbox of the demo: a cloud, a home directory and a repository in one folder, and the programs to run there."""

from __future__ import annotations

import contextlib
import os
import shlex
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
from driftguard.adapters.terraform.toolbox import Toolbox
from driftguard.demo.cloud import (
    ESTATE_REQUIRES,
    FETCHED_PROVIDER,
    PACKAGED_PROVIDER,
    Cloud,
    provider_cli_config,
    write_estate,
)
from driftguard.errors import EnvironmentFault, OperatorError
from driftguard.model import ToolVersion
from driftguard.model.products import PRODUCTS
from driftguard.model.report import EnvironmentReport
from driftguard.model.versions import VersionNeed

_COMMAND_SECONDS = 600.0
_PROGRAM = "from driftguard.cli import main; main()"
_IDENTITY = ("AUTHOR", "COMMITTER")
_TERMINAL = ("TERM", "COLORTERM", "NO_COLOR")
_NOT_PROXIED = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(Exception):
    """A step of the demo failed; the message names it."""


class DemoInterrupted(Exception):
    """Ctrl-C or SIGTERM ended the demo."""


def _tool(environ: Mapping[str, str]) -> ToolVersion:
    """The Terraform of the demo; the embedded one where those of this machine are too old for its estate."""
    variables = {name: environ[name] for name in ("PATH", "HOME") if name in environ}
    try:
        return Toolbox(environ).choose("auto", VersionNeed((ESTATE_REQUIRES,)), ".", variables)
    except EnvironmentFault as fault:
        raise OperatorError(fault.message) from None


class DemoSandbox:
    """Everything that the demo changes; made by `demo_sandbox`.

    Attributes:
        channel: the Slack channel of alerts (`DRIFTGUARD_DEMO_CHANNEL`, with `SLACK_BOT_TOKEN`); None for none.
        operator_file: the operator's file, which allows the demo's variables and Slack's API.
        slack_api: Slack's API (`DRIFTGUARD_DEMO_SLACK_API`, for a proxy).
    """

    def __init__(self, folder: Path, cloud: Cloud, stop: Stop) -> None:
        self.folder, self.cloud, self._stop = folder, cloud, stop
        self.repository = folder / "infra"
        self.operator_file = folder / "operator.yaml"
        self._server = folder / "server.git"
        home = folder / "home"
        home.mkdir()
        inherited = config.surroundings()
        self._tool = _tool(inherited)
        self.variables = {
            "PATH": inherited.get("PATH", ""),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            **{name: inherited[name] for name in _TERMINAL if name in inherited},
            **{f"GIT_{role}_NAME": "Ada" for role in _IDENTITY},
            **{f"GIT_{role}_EMAIL": "ada@example.org" for role in _IDENTITY},
            **cloud.environment(),
        }
        self.channel = inherited.get("DRIFTGUARD_DEMO_CHANNEL") if inherited.get("SLACK_BOT_TOKEN") else None
        self.slack_api = inherited.get("DRIFTGUARD_DEMO_SLACK_API") or "https://slack.com/api/"
        if self.channel:
            self.variables |= {name: inherited[name] for name in (*_NETWORK, "SLACK_BOT_TOKEN") if name in inherited}
            self.variables |= _NOT_PROXIED
        provider = provider_cli_config(folder)
        if provider is not None:
            self.variables |= {"TF_CLI_CONFIG_FILE": str(provider)}
        else:  # the provider is downloaded from its registry
            self.variables |= {name: inherited[name] for name in _NETWORK if name in inherited}
            self.variables |= _NOT_PROXIED
        write_estate(
            self.repository, cloud, provider_version=PACKAGED_PROVIDER if provider is not None else FETCHED_PROVIDER
        )

    @property
    def tool(self) -> str:
        """The tool in use, e.g. `OpenTofu 1.12.6`."""
        return self._tool.title

    @property
    def product(self) -> str:
        """The tool's name, `Terraform` or `OpenTofu`."""
        return PRODUCTS[self._tool.product].title

    def progress(self, text: str) -> None:
        """Print one line of progress on standard error."""
        print(text, file=sys.stderr, flush=True)

    def git(self, *arguments: str) -> None:
        """Run git in the repository."""
        self._run("git", ["git", *arguments], self.repository, {})

    def commit(self, message: str) -> None:
        """Commit every change in the work tree."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def serve(self) -> None:
        """Clone the repository to a bare one, the git server of the demo."""
        self._run(
            "git", ["git", "clone", "--quiet", "--bare", str(self.repository), str(self._server)], self.folder, {}
        )
        self.git("remote", "add", "origin", str(self._server))

    def branches(self) -> list[str]:
        """The branches on the git server that DriftGuard pushed."""
        listed = self._run("git", ["git", "ls-remote", "--heads", "origin", "driftguard/*"], self.repository, {})
        return [line.rpartition("refs/heads/")[2] for line in listed.splitlines()]

    def merge(self, branch: str) -> None:
        """Merge a branch of the git server and push the result."""
        self.git("fetch", "--quiet", "origin", branch)
        self.git("merge", "--quiet", "--no-ff", "--no-edit", "FETCH_HEAD")
        self.git("push", "--quiet", "origin", "main")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that occurs once in a file of the work tree."""
        file = self.repository / path
        text = file.read_text()
        if text.count(old) != 1:
            raise DemoFailed(f"{path} does not hold {old!r} exactly once.")
        file.write_text(text.replace(old, new))

    def terraform(self, environment: str, *arguments: str) -> None:
        """Run Terraform in an environment's directory, without DriftGuard."""
        folder = self.repository / "environments" / environment
        self._run(f"{self._tool.product} in {environment}", [self._tool.path, *arguments], folder, {})

    def create(self, environments: tuple[str, ...]) -> Iterator[str]:
        """Create environments with Terraform, with a parallelism of two; yields each name once created."""

        def create_one(name: str) -> str:
            self.terraform(name, "init", "-input=false", "-no-color")
            self.terraform(name, "apply", "-input=false", "-no-color", "-auto-approve")
            return name

        with ThreadPoolExecutor(max_workers=2) as executor:
            yield from executor.map(create_one, environments)

    def driftguard(
        self, *arguments: str, expect: int, show: bool = True, variables: Mapping[str, str] | None = None
    ) -> str:
        """Run a driftguard command in a process of its own.

        Args:
            expect: the expected exit code.
            show: pass its output on to this process's own; nothing is returned then.
            variables: environment variables that override the sandbox's own.
        """
        if show:
            print(f"\n$ driftguard {shlex.join(arguments)}", flush=True)
        command = [sys.executable, "-P", "-c", _PROGRAM, *arguments, "--repo", str(self.repository)]
        command += ["--config", str(self.operator_file)]
        return self._run(f"driftguard {arguments[0]}", command, self.folder, variables or {}, expect=expect, show=show)

    def labels(self, environment: str) -> set[str]:
        """The labels of an environment's last scan in the ledger."""
        text = self.driftguard("explain", environment, "--format", "json", expect=0, show=False)
        report = msgspec.json.decode(text, type=EnvironmentReport)
        return {str(label) for resource in report.resources for label in resource.labels}

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
            raise DemoInterrupted
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
            die_with_us=not show,  # only without a pipe to this process's own output
        )
        if self._stop.requested:
            raise DemoInterrupted
        output = b"\n".join(lines).decode(errors="replace")
        if done.code != expect:
            detail = (done.stderr.strip() or output.strip())[-2000:]
            raise DemoFailed(f"{what} ended with exit code {done.code} instead of {expect}.\n{detail}".rstrip())
        return output


@contextmanager
def demo_sandbox(keep: Path | None) -> Iterator[DemoSandbox]:
    """A sandbox that is deleted afterwards, also after a failure; `keep` names a new folder to keep it in."""
    stop = Stop()

    def request(signum: int, frame: FrameType | None) -> None:
        if not stop.requested:
            with contextlib.suppress(OSError):
                os.write(2, b"\nStopping; running programs may finish their step ...\n")
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
        yield DemoSandbox(folder, cloud, stop)
