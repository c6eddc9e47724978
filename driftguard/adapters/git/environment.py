"""The environment that git runs in: known variables, and nothing of a git that surrounds us."""

from __future__ import annotations

import os
import re

# What git takes from a surrounding git process (a hook, for one) would point it at another repository.
_NOT_INHERITED = re.compile(r"^GIT_(?!SSH|ASKPASS|SSL_|PROXY|HTTP_PROXY|CONFIG_NOSYSTEM|CONFIG_GLOBAL|PYTHON_REFRESH)")
ALWAYS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_COUNT": "0",
    "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file",
    "LC_ALL": "C",
}


def forget_surrounding_git() -> None:
    """Drop what a surrounding git put into this process's environment, all of which git would take over."""
    for name in [name for name in os.environ if _NOT_INHERITED.match(name)]:
        del os.environ[name]


def git_environment() -> dict[str, str]:
    """The variables for a git process."""
    kept = {name: value for name, value in os.environ.items() if not _NOT_INHERITED.match(name)}
    return {**kept, **ALWAYS}
