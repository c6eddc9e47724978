"""From the settings of a forge to its adapter, and to the token that git shows there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, assert_never
from urllib.parse import urlsplit

from driftguard.adapters.forges.github_access import web_address
from driftguard.adapters.git.locations import HostToken, TokenSource
from driftguard.config.forge import Forge
from driftguard.errors import OperatorError
from driftguard.ports import HostedForge

log = logging.getLogger(__name__)

_USERS: Final = {"github": ("https://github.com", "x-access-token"), "gitlab": ("https://gitlab.com", "oauth2")}


def open_service(settings: Forge, environ: Mapping[str, str]) -> HostedForge | None:
    """The service that the settings name; None for a plain git server. Nothing is asked of it yet.

    Raises:
        OperatorError: its credential is not there or not what it should be.
    """
    match settings.kind:
        case "github":
            from driftguard.adapters.forges.github import GitHubForge

            return GitHubForge(settings, environ)
        case "gitlab":
            from driftguard.adapters.forges.gitlab import GitLabForge

            return GitLabForge(settings, environ)
        case "git":
            return None
        case _:
            assert_never(settings.kind)


def git_token(settings: Forge, source: TokenSource | None) -> HostToken | None:
    """The forge's token for git, for the forge's own host; None without a source."""
    if source is None or settings.kind not in _USERS:
        return None
    public, user = _USERS[settings.kind]
    address = (settings.url or public).rstrip("/")
    parts = urlsplit(web_address(address) if settings.kind == "github" else address)
    return HostToken(parts.hostname, user, source, plain_http=parts.scheme == "http")


class ReadingToken(TokenSource):
    """The token of a forge for reading: looked for when git first asks, empty where no credential is there.

    Git then asks as it would without a forge: a public repository, or a credential helper of the user, needs none.
    """

    def __init__(self, settings: Forge, environ: Mapping[str, str]) -> None:
        self._settings, self._environ = settings, environ
        self._service: HostedForge | None = None

    def token(self) -> str:
        """The token now; ForgeFault where the forge does not give an app's."""
        try:
            self._service = self._service or open_service(self._settings, self._environ)
            return self._service.token() if self._service is not None else ""
        except OperatorError as error:
            log.info("%s The repository is read without it.", error)
            return ""
