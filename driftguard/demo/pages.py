"""The web view at the end of the demo: a static site that stays, and pages that are served on request."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from driftguard.adapters.sql.opening import open_ledger
from driftguard.config import WebSettings
from driftguard.demo.sandbox import DemoSandbox
from driftguard.errors import DriftGuardError
from driftguard.web.requirements import require_web

_ADDRESS: Final = "127.0.0.1:0"


def show_pages(sandbox: DemoSandbox, folder: Path, *, serve: bool) -> str:
    """Write the static site into a folder that git ignores, and serve the pages until Ctrl-C where that is wanted.

    Returns:
        A sentence that names the site, or why there is none.
    """
    try:
        require_web()
    except DriftGuardError as error:
        return f"No pages were written: {error}"
    from driftguard.bootstrap.web import WebView

    [file] = (sandbox.folder / "home").rglob("ledger.db")
    with closing(open_ledger(f"sqlite:///{file}")) as ledger:
        view = WebView(ledger, WebSettings(), "infra")
        site = folder / "site"
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        view.site(site)
        if serve:
            server = view.server(_ADDRESS)
            print(f"\nThe web view is served on {server.address} until Ctrl-C.", file=sys.stderr, flush=True)
            server.run()
    return f"The same estate as pages: {site / 'index.html'}."
