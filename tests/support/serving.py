"""How a session of tests starts programs that take long to load, and the provider that Terraform is attached to."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from driftguard.model.products import TERRAFORM
from tests.support.harness import REGISTRY

_HERE = Path(__file__).parent
_STARTING_SECONDS = 60.0
_REATTACH = re.compile(r'\{"registry\.(?:terraform\.io|opentofu\.org)/.*\}')


def launched(address: Path) -> Sequence[str]:
    """The command by which a forkserver at an address starts its program."""
    return [sys.executable, "-I", "-S", str(_HERE / "launcher.py"), str(address)]


@contextlib.contextmanager
def forkserver(address: Path, program: str, plainly: Sequence[str]) -> Iterator[Sequence[str]]:
    """The command that starts a program, while the block lasts.

    Args:
        address: a path for the socket that takes requests.
        program: one of `forkserver.PROGRAMS`.
        plainly: the command where processes cannot be forked: on macOS, after the system's own libraries were loaded.
    """
    if sys.platform == "darwin":
        yield plainly
        return
    command = [sys.executable, "-m", "tests.support.forkserver", str(address), program]
    environment = {**os.environ, "LANG": "C.UTF-8"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, cwd=_HERE.parents[1], env=environment, start_new_session=True
    ) as running:
        until = time.monotonic() + _STARTING_SECONDS
        while not address.exists():
            assert running.poll() is None, f"the forkserver of {program} ended"
            assert time.monotonic() < until, f"the forkserver of {program} did not start"
            time.sleep(0.01)
        yield launched(address)
        assert running.stdin is not None
        running.stdin.close()


@contextlib.contextmanager
def attached_provider(command: Sequence[str], variables: Mapping[str, str]) -> Iterator[str]:
    """A provider that serves any number of Terraform runs while the block lasts: the value of TF_REATTACH_PROVIDERS.

    Args:
        command: starts the provider, which writes that value to standard output: alone on a line, or as a shell does.
            It is ended with its standard input, so also when the tests are killed.
        variables: environment variables on top of this process's own.
    """
    watched = ["sh", "-c", '"$@" < /dev/null & cat > /dev/null; kill -KILL $!', "sh", *command]
    with subprocess.Popen(
        watched,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_HERE.parents[1],
        env={**os.environ, **variables},
        start_new_session=True,
        text=True,
    ) as provider:
        assert provider.stdin is not None
        assert provider.stdout is not None
        try:
            found = (_REATTACH.search(line) for line in provider.stdout)
            reattach = next((match[0] for match in found if match), None)
            assert reattach, f"{command[0]} did not start"
            yield reattach
        finally:
            provider.stdin.close()


def attached_terraform(folder: Path, reattach: str) -> Path:
    """A folder for PATH with a `terraform` that uses an attached provider.

    `init` is left alone: it installs the provider, checks it and writes the lock file as always.

    Args:
        folder: a new folder for the program, which stands for the `terraform` of this process's own PATH.
        reattach: the value of TF_REATTACH_PROVIDERS.
    """
    real = shutil.which("terraform")
    assert real is not None
    folder.mkdir()
    program = folder / "terraform"
    reattach = reattach.replace(TERRAFORM.registry, REGISTRY)  # a provider names but the registry that it knows
    attach = f"TF_REATTACH_PROVIDERS={shlex.quote(reattach)}\n  export TF_REATTACH_PROVIDERS"
    # Terraform ends before its memory is worth collecting: a quarter of its CPU.
    start = f'export GOGC=off\nexec {shlex.quote(real)} "$@"'
    program.write_text(f'#!/bin/sh\nif [ "$1" != init ]; then\n  {attach}\nfi\n{start}\n')
    program.chmod(0o755)
    return folder
