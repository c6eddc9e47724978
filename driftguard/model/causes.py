"""Why environments cannot be judged, by cause: what fails alike in many of them is one line with a count. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from driftguard.model.words import ErrorKind

# Where in a configuration something happened: a path (no address of a registry), a file's name, a line.
_PLACE: Final = (
    r"(?<![\w/.:-])\.{0,2}/?(?:[\w@+-]+/)+[\w.@+-]*"
    r"|[\w.@+-]+\.(?:tf|tofu|tfvars|hcl|yaml|yml)(?:\.json)?\b(?::\d+)?"
)
# What a server numbers its answers with.
_REQUEST: Final = r"(?i:request ?id|host ?id|trace ?id|x-amz-[\w-]+)\s*[:=]\s*[\w/+=.-]+|\b[0-9a-f]{8}-[0-9a-f-]{20,}\b"
_NETWORK: Final = re.compile(
    r"no such host|connection refused|connection reset|i/o timeout|TLS handshake timeout|network is unreachable"
    r"|Could not resolve host|context deadline exceeded|dial tcp|could not connect to|Failed to connect",
    re.I,
)
# The server that a message about the network names.
_SERVER: Final = re.compile(
    r"(?:https?|ssh|git)://(?:[^@/\s\"']*@)?([\w.-]+)|lookup ([\w.-]+)|(?i:resolve host):? ([\w.-]+)"
)
_MAX_WORD: Final = 3
_REMEDIES: Final = {
    ErrorKind.INIT: "Run `terraform init` in one of them to see the same; `driftguard doctor` names the usual causes.",
    ErrorKind.PLAN: "Run `terraform plan` in one of them to see the same.",
    ErrorKind.TIMEOUT: "Raise `timeout` of these environments, or run them with more of the machine (`concurrency`).",
    ErrorKind.LOCKED: "Wait for the other run, or release the state lock if its holder is gone.",
    ErrorKind.DENIED: "Give the plan role the permission that the message names.",
    ErrorKind.THROTTLED: "Lower `concurrency`, or ask for a higher limit.",
    ErrorKind.PARTIAL: "Run `terraform plan` in one of them to see what is missing.",
    ErrorKind.STATE_MOVED: "Another process applies there; the next run retries.",
    ErrorKind.CONFIG: "Correct the configuration as the message asks.",
    ErrorKind.DEPENDENCY: "Apply the unit that the message names first: `terragrunt run -- apply` in its directory.",
    ErrorKind.PLATFORM: "Look at the platform's status and at its queue; the next run retries.",
    ErrorKind.INTERRUPTED: "Run it again.",
    ErrorKind.INTERNAL: "Report it with the log that the message names.",
}
_NETWORK_REMEDY: Final = "Check the network, the proxy and the DNS of this machine; the next run retries."


def _called(name: str) -> str:
    """An expression for an environment's own name; a short one may be a word, and counts only where it is a name."""
    word = re.escape(name)
    if len(name) > _MAX_WORD:
        return rf"(?<![\w/.-]){word}(?![\w-])"
    return rf"(?<=[\"'`]){word}(?=[\"'`])|(?<=environment ){word}(?![\w-])|(?<=workspace ){word}(?![\w-])"


@dataclass(frozen=True, slots=True)
class Faulted:
    """An environment without a verdict: how it is called, and why it has none."""

    name: str
    path: str
    workspace: str
    kind: str
    message: str

    @property
    def gist(self) -> str:
        """What environments share when the same happened to them: no names, paths, lines, numbers of requests."""
        if network := _NETWORK.search(self.message):
            server = _SERVER.search(self.message)
            named = next(filter(None, server.groups())) if server else network[0].lower()
            return f"network: {re.sub(self._own_words(), '*', named)}"
        return f"{self.kind}: " + re.sub(f"{_REQUEST}|{self._own_words(_PLACE)}", "*", self.message)

    def _own_words(self, *more: str) -> str:
        """An expression for what is another word in each environment: its names, and numbers."""
        own = {name for name in (self.path, self.name, self.workspace) if name not in ("", ".")}
        return "|".join([*map(_called, sorted(own, key=len, reverse=True)), *more, r"\d+"])

    @property
    def remedy(self) -> str:
        """The next step."""
        if is_network(self.message):
            return _NETWORK_REMEDY
        return next((remedy for kind, remedy in _REMEDIES.items() if kind == self.kind), "")


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause of several environments without a verdict.

    Attributes:
        message: of the first of them.
        environments: their names, sorted.
    """

    kind: str
    message: str
    remedy: str
    environments: tuple[str, ...]


def is_network(message: str) -> bool:
    """Whether a message is about a network that does not answer."""
    return _NETWORK.search(message) is not None


def by_cause(faulted: Iterable[Faulted]) -> tuple[Cause, ...]:
    """The causes, those of most environments first."""
    groups: dict[str, list[Faulted]] = {}
    for each in faulted:
        groups.setdefault(each.gist, []).append(each)
    causes = [
        Cause(alike[0].kind, alike[0].message, alike[0].remedy, tuple(sorted(each.name for each in alike)))
        for alike in groups.values()
    ]
    return tuple(sorted(causes, key=lambda cause: (-len(cause.environments), cause.environments)))
