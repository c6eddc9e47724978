"""The web view of a repository: its ledger and settings, the application, the static site."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from driftguard import config
from driftguard.adapters.defects import FolderDefects
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.adapters.sql.opening import open_ledger
from driftguard.bootstrap.reading import read_records
from driftguard.bootstrap.target import Target
from driftguard.config import WebSettings
from driftguard.web.access import Access
from driftguard.web.application import application
from driftguard.web.server import WebServer
from driftguard.web.site import write_site


@dataclass(frozen=True, slots=True)
class WebView:
    """An opened ledger with what its pages need."""

    ledger: SqlLedger
    settings: WebSettings
    repository: str

    def server(self, address: str | None = None) -> WebServer:
        """A server of the pages.

        Args:
            address: in place of the configured one.

        Raises:
            UsageError: the address needs an identity that is not configured.
            OperatorError: the address is not available, or the tokens file cannot be read.
        """
        settings = self.settings if address is None else self.settings.at(address)
        defects = FolderDefects(config.directories().state / "defects")
        app = application(lambda: self.ledger, Access(settings), repository=self.repository, defects=defects)
        return WebServer(app, settings)

    def site(self, folder: Path) -> int:
        """Write the static site; how many files it has."""
        return write_site(self.ledger, folder, repository=self.repository)


@contextmanager
def open_web(target: Target) -> Iterator[WebView]:
    """The web view of the ledger that the settings at head name."""
    settings, url, display = read_records(target)
    with closing(open_ledger(url)) as ledger:
        yield WebView(ledger, settings.web, Path(display).name)
