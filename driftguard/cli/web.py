"""Commands of the web view: serve the pages, or write them as a static site."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftguard.cli.groups import LogOptions, RepositoryOptions, spread
from driftguard.errors import DriftGuardError
from driftguard.web.requirements import require_web

if TYPE_CHECKING:
    from driftguard.bootstrap.target import Target

log = logging.getLogger("driftguard")

WebAddress = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="Listen address. Default: `web.address`, 127.0.0.1:8899."),
]


@spread
def serve(
    address: WebAddress = None,
    *,
    opened: RepositoryOptions,
    options: LogOptions,
) -> None:
    """Serve the web view, read-only.

    The estate, its causes, approvals, trends, alerts and runs, now and at any moment of the ledger. An address that is
    not loopback needs `web.trusted_proxy` with `web.user_header`, or `web.tokens_file`. Ctrl-C and SIGTERM end it.
    """
    require_web()
    from driftguard.bootstrap.web import open_web

    with open_web(opened.target) as view:
        server = view.server(address)
        if not options.quiet:
            print(f"The web view is served on {server.address} until Ctrl-C.", file=sys.stderr, flush=True)
        server.run()


@spread
def report(
    site: Annotated[Path, typer.Option("--site", metavar="DIR", help="Write the pages into this folder.")],
    *,
    opened: RepositoryOptions,
    options: LogOptions,
) -> None:
    """Write the web view as a static site.

    The pages as of the ledger's last entry, as files without script, for CI artifacts, Pages or a bucket.
    """
    require_web()
    from driftguard.bootstrap.web import open_web
    from driftguard.model.words import plural

    with open_web(opened.target) as view:
        count = view.site(site)
    if not options.quiet:
        print(f"Wrote {plural(count, 'file')}; open {site / 'index.html'}.", file=sys.stderr)


@contextmanager
def served_beside(target: Target) -> Iterator[None]:
    """Serve the web view in a thread while the agent runs; where it cannot be served, the agent runs without it.

    Raises:
        UsageError: the extra `web` is not installed.
    """
    require_web()
    from driftguard.bootstrap.web import open_web

    with ExitStack() as stack:
        try:
            server = stack.enter_context(open_web(target)).server()
            server.start()
            stack.callback(server.close)
            log.warning("The web view is served on %s.", server.address)
        except DriftGuardError as error:
            log.warning("The web view is not served: %s Correct it and start the agent again.", error)
        yield
