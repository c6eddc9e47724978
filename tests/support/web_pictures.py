"""The pictures of the web view in the documentation, and the server of the sample estate that they are taken from.

`python -m tests.support.web_pictures` writes docs/images/web-*.png anew. It needs Chromium: `apt-get install chromium`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from driftguard.adapters.defects import FolderDefects
from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.config import WebSettings
from driftguard.web.access import Access
from driftguard.web.application import application
from driftguard.web.server import WebServer
from tests.support.web_browser import shoot, started, watched
from tests.support.web_estate import NOW, made_ledger

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDE, PHONE = {"width": 1280, "height": 760}, {"width": 380, "height": 760}
PICTURES = (
    ("web-overview.png", "/", "light", WIDE),
    ("web-environment.png", "/environments/shop-eu", "light", WIDE),
    ("web-environment-dark.png", "/environments/network/core", "dark", WIDE),
    ("web-causes.png", "/causes", "light", WIDE),
    ("web-trends.png", "/trends", "light", WIDE),
    ("web-phone.png", "/", "dark", PHONE),
)


@contextmanager
def sample_server(folder: Path, *, hostile: bool) -> Iterator[str]:
    """The address of a server of the sample estate."""
    with closing(made_ledger(folder, hostile=hostile)) as ledger, served(ledger, folder, NOW) as address:
        yield address


@contextmanager
def served(ledger: SqlLedger, folder: Path, now: datetime) -> Iterator[str]:
    """The address of a server of a ledger, whose clock stands."""
    settings = WebSettings(address="127.0.0.1:0")
    app = application(
        lambda: ledger,
        Access(settings),
        repository="infra",
        defects=FolderDefects(folder / "defects"),
        now=lambda: now,
    )
    server = WebServer(app, settings)
    server.start()
    try:
        yield server.address
    finally:
        server.close()


def main() -> None:
    """Write the pictures."""
    with (
        tempfile.TemporaryDirectory() as folder,
        sample_server(Path(folder), hostile=False) as origin,
        started() as browser,
    ):
        for name, path, scheme, size in PICTURES:
            with watched(browser, origin, color_scheme=scheme, viewport=size) as page:
                shoot(page, path, IMAGES / name)


if __name__ == "__main__":
    main()
