"""The static site: byte-equal, whole, without script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from driftguard.adapters.sql.ledger import SqlLedger
from driftguard.errors import UsageError
from driftguard.web.links import file_name
from driftguard.web.site import write_site
from tests.support.sample_alerts import NOON, in_sync
from tests.support.web_estate import SECRET, made_ledger, record_run


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLedger]:
    made = made_ledger(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


def written(ledger: SqlLedger, folder: Path) -> Mapping[str, bytes]:
    write_site(ledger, folder, repository="infra")
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_two_exports_of_one_ledger_are_byte_equal(ledger: SqlLedger, tmp_path: Path) -> None:
    assert written(ledger, tmp_path / "one") == written(ledger, tmp_path / "another-folder")


def test_every_link_of_a_site_leads_to_a_file_of_it(ledger: SqlLedger, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    files = written(ledger, folder)
    pages = {path: content.decode() for path, content in files.items() if path.endswith(".html")}
    assert len(pages) == 6 + 9
    checked = 0
    for path, page in pages.items():
        for link in re.findall(r'(?:href|src|action)="([^"]*)"', page):
            parts = urlsplit(link)
            if parts.netloc == "forge.example.org":
                continue
            assert (parts.scheme, parts.netloc, parts.query) == ("", "", ""), link
            target = (folder / path).parent / unquote(parts.path) if parts.path else folder / path
            assert target.resolve().is_relative_to(folder.resolve())
            assert target.is_file(), f"{path}: {link}"
            if parts.fragment:
                assert f'id="{parts.fragment}"' in pages[target.resolve().relative_to(folder.resolve()).as_posix()]
            checked += 1
    assert checked > 200


def test_a_site_has_no_script_no_form_and_no_relative_time(ledger: SqlLedger, tmp_path: Path) -> None:
    files = written(ledger, tmp_path / "site")
    assert not [path for path in files if path.endswith(".js")]
    for path, content in files.items():
        text = content.decode()
        assert SECRET not in text
        if path.endswith(".html"):
            assert not re.search(r"<script|<form|<input|<select|hx-|<style| style=", text), path
            assert not re.search(r"\d (?:s|min|h|d) ago", text), path
    assert "2026-12-05 11:55 UTC" in files["index.html"].decode()  # as of the last entry


def test_a_site_replaces_an_earlier_one_and_nothing_else(ledger: SqlLedger, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    first = written(ledger, folder)
    (folder / "left-behind.html").write_text("old")
    assert written(ledger, folder) == first
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("ten years of work")
    with pytest.raises(UsageError, match="nothing was written"):
        written(ledger, other)
    assert [f.name for f in other.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "A", "a", "a b", "ü", ".hidden", "x" * 200, "con~1", ""])
def test_a_name_becomes_a_file_of_its_own_in_its_folder(name: str) -> None:
    made = file_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*", made)
    others = ["../../etc/passwd", "a/b", "A", "a", "a b", "ü", ".hidden", "x" * 200, "con~1", ""]
    assert len({file_name(each).lower() for each in others}) == len(others)


def test_hostile_names_stay_inside_of_the_site(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path, days=0)
    record_run(ledger, "run-x", NOON, [in_sync("../../outside"), in_sync("a/../b"), in_sync("B"), in_sync("b")])
    files = written(ledger, tmp_path / "deep" / "site")
    assert sum(path.startswith("environments/") and path.endswith(".html") for path in files) == 4
    assert not (tmp_path / "outside.html").exists()
    ledger.close()
