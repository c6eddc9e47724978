"""Which backend block of a directory counts."""

from __future__ import annotations

import pytest

from driftguard import config
from driftguard.adapters.hcl.outline import outline
from driftguard.model import Closure
from driftguard.pipeline.layout import backend_block, backend_kind
from driftguard.pipeline.predicting import EnvironmentFacts, predictions

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


@pytest.mark.parametrize(
    ("block", "entry", "text"),
    [
        ('backend "s3" {}', "", "has no settings"),
        ('backend "s3" {}', "backend_config: [a.hcl]", None),  # the contents of files are not read
        ('backend "s3" {\n    key = "k"\n  }', "", "has no `bucket` in the code"),
        ('backend "s3" {\n    key = "k"\n  }', "backend_config: {region: x}", "has no `bucket` in the code"),
        ('backend "s3" {\n    key = "k"\n  }', "backend_config: {bucket: b}", None),
        ('backend "azurerm" {}', "backend_config: {key: k}", "no `storage_account_name`, `container_name` in"),
        ('backend "http" {}', "env: {TF_HTTP_ADDRESS: 'https://state.example.org'}", None),
        ('backend "http" {}', "", "has no settings"),
    ],
)
def test_a_backend_that_cannot_be_initialised_is_predicted(block: str, entry: str, text: str | None) -> None:
    settings = config.load(f"environments: [{{path: i, {entry}}}]".encode(), source="driftguard.yaml")
    (environment,) = settings.resolve(lambda include, exclude: ["i"])
    outlines = (outline("i/main.tf", f"terraform {{\n  {block}\n}}\n".encode()),)
    closure = Closure(files={}, modules=(), remote_sources=(), init_key="")
    found = [one.text for one in predictions([EnvironmentFacts(environment, closure, outlines=outlines)])]
    assert (found == []) if text is None else (len(found) == 1 and text in found[0])
