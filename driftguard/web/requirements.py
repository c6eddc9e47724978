"""Whether the libraries of the web view are installed: the extra `web`."""

from __future__ import annotations

import importlib.util

from driftguard.distribution import install_command
from driftguard.errors import UsageError


def require_web() -> None:
    """Check that the extra `web` is installed.

    Raises:
        UsageError: it is not.
    """
    missing = [name for name in ("jinja2", "starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"the web view needs {', '.join(missing)}: {install_command('web')}. Nothing was run.")
