"""Who owns an environment: its entry, or CODEOWNERS for the file that declares it."""

from __future__ import annotations

from functools import partial

import pytest

from driftguard import config
from driftguard.model import TreeEntry
from driftguard.pipeline.directories import find
from driftguard.pipeline.owners import with_owners

CODE = {"live/a/main.tf": "", "live/b/z.tf": "", "live/b/backend.tf": ""}


def owners(files: dict[str, str], entry: str = "") -> list[str | None]:
    tree = {path: TreeEntry("100644", path) for path in {**CODE, **files}}
    text = f'environments: [{{path: "live/*"{entry}}}]'
    settings = config.load(text.encode(), source="driftguard.yaml").resolve(partial(find, tree))
    return [each.owner for each in with_owners(settings, tree, lambda path: files[path].encode())]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, [None, None]),
        ({"CODEOWNERS": "* @acme/all\n/live/b/ @acme/b @bob\n"}, ["@acme/all", "@acme/b @bob"]),
        ({".github/CODEOWNERS": "/live/b/backend.tf @x\n", "CODEOWNERS": "* @y\n"}, [None, "@x"]),
        ({".gitlab/CODEOWNERS": "[Section]\n/live/ @acme/live\n"}, ["@acme/live", "@acme/live"]),
        ({"CODEOWNERS": "* @all\n/live/a/\n"}, [None, "@all"]),
        ({"CODEOWNERS": "* @all\u2028/live @b\n"}, [None, None]),
    ],
)
def test_the_owner_is_that_of_the_declaring_file(files: dict[str, str], expected: list[str | None]) -> None:
    assert owners(files) == expected


def test_the_owner_of_an_entry_wins() -> None:
    assert owners({"CODEOWNERS": "* @all\n"}, ", owner: platform") == ["platform", "platform"]
