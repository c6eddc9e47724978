"""Requests to the web application in this process, from any peer and with any headers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from driftguard.adapters.defects import FolderDefects
from driftguard.config import WebSettings
from driftguard.web.access import Access
from driftguard.web.application import application
from driftguard.web.view import WebLedger
from tests.support.web_estate import NOW

HOST = "127.0.0.1:8899"


class WebClient:
    """Asks an application over a ledger.

    Args:
        ledger: None for one that fails as a defect does.
    """

    def __init__(self, ledger: WebLedger | None, folder: Path, settings: WebSettings | None = None) -> None:
        def given() -> WebLedger:
            assert ledger is not None, "no ledger"
            return ledger

        defects = FolderDefects(folder / "defects")
        access = Access(settings or WebSettings())
        self._app = application(given, access, repository="infra", defects=defects, now=self._clock)
        self.now = NOW

    def _clock(self) -> datetime:
        return self.now

    def get(
        self, path: str, headers: Mapping[str, str] | Sequence[tuple[str, str]] = (), *, peer: str = "127.0.0.1"
    ) -> httpx.Response:
        """The answer to GET."""
        return self.ask("GET", path, headers, peer=peer)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        peer: str = "127.0.0.1",
    ) -> httpx.Response:
        """The answer to a request; `Host` is that of the default address where none is given."""
        given = list(headers.items() if isinstance(headers, Mapping) else headers)
        if not any(name.lower() == "host" for name, _ in given):
            given.append(("Host", HOST))
        return asyncio.run(self._ask(method, path, given, peer))

    async def _ask(self, method: str, path: str, headers: Sequence[tuple[str, str]], peer: str) -> httpx.Response:
        transport: Any = httpx.ASGITransport(self._app, raise_app_exceptions=False, client=(peer, 40000))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await client.request(method, path, headers=list(headers))
