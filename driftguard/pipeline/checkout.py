"""From an environment at a commit to a working directory: the root module in a clean work tree, its own data.

Takes the work tree, the environment's settings and folders; gives a `WorkingDirectory`. Nothing of it lies in the
user's own work tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from driftguard.config import EnvironmentSettings
from driftguard.errors import EnvironmentFault
from driftguard.model import Closure, ErrorKind
from driftguard.ports import WorkingDirectory

LOCK_FILE = ".terraform.lock.hcl"


def working_directory(
    tree: Path,
    settings: EnvironmentSettings,
    closure: Closure,
    *,
    data_dir: Path,
    private: Path,
    environment: Mapping[str, str],
) -> WorkingDirectory:
    """The place to run Terraform for one environment at one commit.

    Raises:
        EnvironmentFault: the environment's directory is not part of the commit.
    """
    directory = tree / settings.path
    if not directory.is_dir():
        raise EnvironmentFault(
            ErrorKind.CONFIG, f"{settings.path} does not exist at this commit, so there is nothing to plan."
        )
    lock_file = LOCK_FILE if settings.path == "." else f"{settings.path}/{LOCK_FILE}"
    return WorkingDirectory(
        directory=directory,
        data_dir=data_dir,
        private=private,
        environment=environment,
        workspace=settings.workspace,
        var_files=settings.var_files,
        backend_config=settings.backend_config,
        timeout_seconds=settings.timeout.total_seconds(),
        lock_committed=lock_file in closure.files,
    )
