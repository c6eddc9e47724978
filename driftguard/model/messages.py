"""The text of an alert, before a sink formats it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from driftguard.model.alerts import Severity


@dataclass(frozen=True, slots=True)
class ChangeText:
    """One changed resource.

    Attributes:
        label: the cause in plain words.
        lines: what changed, one line for each attribute.
        by: who changed it and when, with the evidence; who wrote its block.
        consequence: what an apply destroys or makes anew, after "an apply"; empty where it keeps the object.
        who: who probably changed it, in a few words; empty where no author is known.
        alike: addresses of further resources with the very same change.
    """

    address: str
    label: str
    lines: tuple[str, ...]
    by: tuple[str, ...] = ()
    consequence: str = ""
    who: str = ""
    alike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentText:
    """One environment of a message; `omitted` counts resources that are not listed."""

    name: str
    headline: str
    changes: tuple[ChangeText, ...] = ()
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class CommitText:
    """One commit that is not applied; `url` where the repository's address gives one."""

    sha: str
    author: str
    subject: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class StepText:
    """One thing that the reader can do: a whole command, or a page to open."""

    text: str
    command: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One alert, or several with one cause, in words. Plain text: a sink escapes it.

    A phone's first screen holds `title`, `worst`, `who` and the first of `steps`; everything else comes below.

    Attributes:
        title: the whole alert in one line, for a phone's lock screen.
        worst: the worst changes, each an address (empty for none) and a few words.
        who: who probably did it, in a few words; empty where that is not known.
        steps: what the reader can do: at most three commands and links.
        resolution: how it was resolved; None while it is open.
        decision: what DriftGuard does about it, and why.
        meant_for: when it was meant to be sent, where that is long ago; None otherwise.
        note: why it is in another place than usual, or later than meant; may be empty.
        seen_at: when this was last true.
        links: text and URL.
        mention: the sink's own markup for whom to mention.
        checked: how the environment was looked at, and when its plan was made; empty where that is not known.
        details: everything as text, for a file, where the message has no room for all of it.
        button: what a button that acknowledges it stands for; None without one.
    """

    title: str
    severity: Severity
    environments: tuple[EnvironmentText, ...]
    decision: tuple[str, ...]
    commits: tuple[CommitText, ...]
    since: datetime
    seen_at: datetime
    worst: tuple[tuple[str, str], ...] = ()
    who: str = ""
    steps: tuple[StepText, ...] = ()
    resolution: str | None = None
    meant_for: datetime | None = None
    links: tuple[tuple[str, str], ...] = ()
    mention: str | None = None
    note: str = ""
    details: str | None = None
    button: str | None = None
    checked: str = ""

    @property
    def others(self) -> list[tuple[str, list[str]]]:
        """Environments after the first, by how they are now; those that are as the first come first."""
        by_headline: dict[str, list[str]] = {}
        for environment in self.environments[1:]:
            same = environment.headline == self.resolution
            by_headline.setdefault("the same" if same else environment.headline, []).append(environment.name)
        return sorted(by_headline.items(), key=lambda item: item[0] != "the same")
