"""Where the pages are: paths of the server, or relative files of the static site."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import quote

#: The pages beside those of environments, in the order of the navigation.
SECTIONS: Final[Mapping[str, str]] = {
    "overview": "Overview",
    "causes": "Causes",
    "approvals": "Approvals",
    "trends": "Trends",
    "alerts": "Alerts",
    "runs": "Runs",
}
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,80}")


class Links(Protocol):
    """The addresses that a page refers to."""

    static: bool

    def section(self, name: str) -> str:
        """A page that is no environment's."""
        ...

    def environment(self, name: str) -> str:
        """An environment's page."""
        ...

    def asset(self, name: str) -> str:
        """A file of style or script."""
        ...

    def badge(self, name: str | None) -> str:
        """The badge of an environment, or of all."""
        ...


class ServedLinks(Links):
    """Paths below the root of the server."""

    static = False

    def section(self, name: str) -> str:
        """`/` for the overview, `/NAME` for others."""
        return "/" if name == "overview" else f"/{name}"

    def environment(self, name: str) -> str:
        """`/environments/NAME`; slashes of the name stay."""
        return f"/environments/{quote(name, safe='/')}"

    def asset(self, name: str) -> str:
        """`/static/NAME`."""
        return f"/static/{name}"

    def badge(self, name: str | None) -> str:
        """`/badge.svg`, or `/badge/NAME.svg`."""
        return "/badge.svg" if name is None else f"/badge/{quote(name, safe='/')}.svg"


class SiteLinks(Links):
    """Relative paths of the files of a static site.

    Args:
        depth: how many folders below the site's root the referring page lies.
    """

    static = True

    def __init__(self, depth: int) -> None:
        self._up = "../" * depth

    def section(self, name: str) -> str:
        """`index.html` for the overview, `NAME.html` for others."""
        return f"{self._up}{'index' if name == 'overview' else name}.html"

    def environment(self, name: str) -> str:
        """`environments/FILE.html`."""
        return f"{self._up}environments/{file_name(name)}.html"

    def asset(self, name: str) -> str:
        """`static/NAME`."""
        return f"{self._up}static/{name}"

    def badge(self, name: str | None) -> str:
        """`badge.svg`, or `badge/FILE.svg`."""
        return f"{self._up}badge.svg" if name is None else f"{self._up}badge/{file_name(name)}.svg"


def file_name(name: str) -> str:
    """An environment's name as the name of a file, without its ending: of its own, and in no other folder.

    File systems that ignore case keep names apart, too: any name but one in plain lower case ends with a hash.
    """
    if _PLAIN.fullmatch(name) and name == name.lower():
        return name
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
    return f"{plain}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
