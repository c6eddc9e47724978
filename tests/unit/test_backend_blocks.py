"""Which backend block of a directory counts."""

from __future__ import annotations

import pytest

from driftguard.adapters.hcl.outline import outline
from driftguard.pipeline.layout import backend_block, backend_kind

EMPTY = 'terraform {\n  backend "s3" {}\n}\n'
NAMED = 'terraform {\n  backend "s3" {\n    bucket = "b"\n    key = "k"\n  }\n}\n'


@pytest.mark.parametrize(
    ("files", "partial"), [([EMPTY], True), ([NAMED], False), ([EMPTY, NAMED], False), ([NAMED, EMPTY], False)]
)
def test_an_override_gives_the_settings_that_the_block_lacks(files: list[str], partial: bool) -> None:
    outlines = [outline(f"{number}.tf", text.encode()) for number, text in enumerate(files)]
    assert backend_kind(backend_block(outlines)) == ("s3", partial)


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ('backend "s3" {\n    key = "k"\n  }', ("s3", True)),
        ('backend "gcs" {\n    bucket = "b"\n  }', ("gcs", False)),
        ('backend "http" {\n    address = "https://state.example.org"\n  }', ("http", False)),
        ('backend "azurerm" {\n    key = "k"\n  }', ("azurerm", True)),
        ('backend "pg" {}', ("pg", False)),  # by PG_CONN_STR
        ('backend "remote" {}', ("remote", True)),
        ('backend "of_a_later_version" {\n    place = "p"\n  }', ("of_a_later_version", False)),
    ],
)
def test_a_backend_needs_what_names_its_state(block: str, kind: tuple[str, bool]) -> None:
    found = outline("main.tf", f"terraform {{\n  {block}\n}}\n".encode())
    assert backend_kind(backend_block([found])) == kind
