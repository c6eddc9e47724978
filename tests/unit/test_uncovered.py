"""What looks like an environment and no entry covers is reported."""

from __future__ import annotations

from functools import partial

from driftguard import config
from driftguard.adapters.hcl.outline import outline
from driftguard.model import TreeEntry
from driftguard.pipeline.commitfiles import TreeFiles
from driftguard.pipeline.directories import find
from driftguard.pipeline.uncovered import uncovered
from tests.support.layouts import CODE, PROVIDER, S3


def places(
    files: dict[str, str], configuration: str, workspaces: dict[str, set[str]] | None = None
) -> list[tuple[str, str]]:
    tree = {path: TreeEntry("100644", path) for path in files}
    settings = config.load(configuration.encode(), source="driftguard.yaml")
    environments = settings.resolve(partial(find, tree), TreeFiles(tree, lambda path: files[path].encode()))
    outlines = {path: outline(path, text.encode()) for path, text in files.items() if path.endswith(".tf")}
    found = uncovered(
        tree, outlines, environments, ["modules/called"], lambda path: files[path].encode(), workspaces or {}
    )
    return [(place.path, place.workspace) for place in found]


FILES = {
    "live/a/main.tf": S3,
    "live/b/main.tf": S3,
    "modules/called/main.tf": S3,
    "modules/m/main.tf": PROVIDER,
    "examples/x/main.tf": S3,
    "lib/main.tf": CODE,
}


def test_a_directory_with_a_backend_that_no_entry_covers_is_uncovered() -> None:
    assert places(FILES, "environments: [{path: live/a}]") == [("live/b", "default")]
    assert places(FILES, "environments: [{path: live/*}]") == []


def test_a_var_file_beside_those_of_environments_is_uncovered() -> None:
    files = {"i/main.tf": S3, "i/vars/dev.tfvars": "", "i/vars/prod.tfvars": "", "i/vars/common.tfvars": ""}
    entry = "environments: [{path: i, var_files: [vars/common.tfvars, vars/dev.tfvars]}]"
    assert places(files, entry) == [("i", "prod")]
    assert places(files, "environments: [{path: i, each: 'vars/[dp]*.tfvars', workspace: '{var_file}'}]") == []
    assert places(files, "environments: [{path: i}]") == []  # var files have no part in its environments


def test_a_workspace_that_no_entry_covers_is_uncovered() -> None:
    files, known = {"i/main.tf": S3}, {"i": {"default", "eu", "us"}}
    assert places(files, "environments: [{path: i, workspaces: [eu]}]", known) == [("i", "us")]
    assert places(files, "environments: [{path: i, workspaces: [eu, us]}]", known) == []
