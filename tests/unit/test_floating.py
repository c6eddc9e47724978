"""What of a closure changes without a commit, by the text of the configuration alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftguard.pipeline.floating import is_pinned
from tests.unit.test_discover import closure


@pytest.mark.parametrize(
    ("source", "version", "pinned"),
    [
        ("git::https://example.org/acme/m.git?ref=v1.2.3", None, True),
        ("git::https://example.org/acme/m.git?ref=vpc/1.2.3", None, True),
        ("git::https://example.org/acme/m.git//sub?ref=0a1b2c3d4e", None, True),
        ("git::https://example.org/acme/m.git?depth=1&ref=refs/tags/live", None, True),
        ("git::https://example.org/acme/m.git?ref=main", None, False),
        ("git::https://example.org/acme/m.git?ref=release-candidate", None, False),
        ("git::ssh://git@example.org/acme/m.git", None, False),
        ("git::https://example.org/acme/m.git?ref=release/1.2", None, False),
        ("git::https://example.org/acme/m.git?ref=stable-1.2", None, False),
        ("git::https://example.org/acme/m.git?ref=release-1.2.3", None, True),
        ("git::https://example.org/acme/m.git?ref=1.2.x", None, False),
        ("git::https://example.org/acme/m.git?ref=2.0-dev", None, False),
        ("git::https://example.org/acme/m.git?ref=refs/heads/1.2", None, False),
        ("git::https://example.org/acme/m.git?ref=v1.2.3-rc1", None, True),
        ("hg::https://example.org/acme/m?rev=0a1b2c3d4e", None, True),
        ("oci://registry.example.org/m?digest=sha256:00", None, True),
        ("oci://registry.example.org/m?tag=1.2.3", None, True),
        ("terraform-aws-modules/vpc/aws", "5.1", True),  # as `= 5.1.0`
        ("git@github.com:acme/m.git", None, False),
        ("github.com/acme/m", None, False),
        ("github.com/acme/m?ref=v2", None, True),
        ("terraform-aws-modules/vpc/aws", "5.1.0", True),
        ("terraform-aws-modules/vpc/aws", "= 5.1.0", True),
        ("terraform-aws-modules/vpc/aws", "~> 5.1", False),
        ("terraform-aws-modules/vpc/aws", None, False),
        ("app.terraform.io/acme/vpc/aws//modules/x", ">= 1.0.0, < 2.0.0", False),
        ("https://example.org/m.zip", None, False),
        ("https://example.org/m.zip?checksum=sha256:00", None, True),
        ("s3::https://s3.amazonaws.com/b/m.zip?versionId=x", None, True),
        ("/opt/modules/x", None, False),
    ],
)
def test_a_source_is_pinned_where_its_text_states_which_code_it_is(
    source: str, version: str | None, pinned: bool
) -> None:
    assert is_pinned(source, version) is pinned


def call(source: str, more: str = "") -> str:
    return f'module "net" {{\n  source = "{source}"\n{more}}}\n'


THING = 'resource "toy_thing" "a" {\n  name = "a"\n}\n'


def test_a_floating_module_at_any_depth_opens_the_closure(tmp_path: Path) -> None:
    files = {"p/main.tf": call("../m"), "m/main.tf": call("acme/net/toy", '  version = "~> 1.0"\n')}
    found = closure({**files, "p/.terraform.lock.hcl": ""}, tmp_path / "facts", "p")
    assert [(move.kind, move.subject) for move in found.moves] == [("module", "acme/net/toy ~> 1.0")]
    assert found.open == (
        "m: the module net (acme/net/toy ~> 1.0) is not pinned, so its code changes without a commit.",
    )


@pytest.mark.parametrize(
    ("files", "kinds"),
    [
        ({"p/main.tf": THING}, ["provider"]),
        ({"p/main.tf": THING, "p/.terraform.lock.hcl": ""}, []),
        ({"p/main.tf": call("../m"), "m/main.tf": THING, "m/.terraform.lock.hcl": ""}, ["provider"]),
        ({"p/main.tf": call("acme/net/toy", '  version = "1.0.0"\n')}, ["provider"]),
        ({"p/main.tf": 'resource "terraform_data" "a" {}\n'}, []),
        ({"p/main.tf.json": '{"resource": {"toy_thing": {"a": {}}}}'}, ["provider"]),
    ],
)
def test_providers_without_a_committed_lock_file_open_the_closure(
    files: dict[str, str], kinds: list[str], tmp_path: Path
) -> None:
    assert [move.kind for move in closure(files, tmp_path / "facts", "p").moves] == kinds


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ('data "external" "x" {\n  program = ["bash", "${path.module}/x.sh"]\n}\n', True),
        ('data "external" "x" {\n  program = ["git", "rev-parse", "HEAD"]\n}\n', True),
        ('data "external" "x" {\n  program = ["aws-account"]\n}\n', False),
        ('data "http" "x" {\n  url = "https://raw.example.org/acme/infra/main/a.json"\n}\n', True),
        ('data "http" "x" {\n  url = "https://raw.example.org/acme/infra-2/main/a.json"\n}\n', False),
        ('data "http" "x" {\n  url = "https://ip.example.org"\n}\n', False),
    ],
)
def test_data_that_reads_the_repository_itself_is_named(block: str, named: bool, tmp_path: Path) -> None:
    files = {"p/main.tf": block, "p/.terraform.lock.hcl": ""}
    found = closure(files, tmp_path / "facts", "p", own_names=frozenset({"acme/infra"}))
    assert bool(found.open) is named
    if named:
        assert found.moves[0].subject in ("data.external.x", "data.http.x")
        assert "this repository" in found.open[0]


# --- what the tool reads ---------------------------------------------------------------------------

TWINS = {
    "p/a.tf": call("../from-tf"),
    "p/a.tofu": call("../from-tofu"),
    "p/b.tf.json": '{"module": {"j": {"source": "../from-tf-json"}}}',
    "p/b.tofu.json": '{"module": {"j": {"source": "../from-tofu-json"}}}',
    "p/c.tofu": 'locals {\n  x = "y"\n}\n',
    **{f"from-{kind}/m.tf": "locals {}\n" for kind in ("tf", "tofu", "tf-json", "tofu-json")},
}


@pytest.mark.parametrize(
    ("product", "modules", "files"),
    [
        ("terraform", ("from-tf", "from-tf-json"), ["p/a.tf", "p/b.tf.json"]),
        ("tofu", ("from-tofu", "from-tofu-json"), ["p/a.tofu", "p/b.tofu.json", "p/c.tofu"]),
    ],
)
def test_tofu_files_win_over_their_twins_for_tofu_and_are_not_read_by_terraform(
    product: str, modules: tuple[str, ...], files: list[str], tmp_path: Path
) -> None:
    found = closure(TWINS, tmp_path / "facts", "p", product=product)
    assert found.modules == modules
    assert [path for path in found.files if path.startswith("p/")] == files


def test_of_a_tool_that_is_not_known_both_twins_count(tmp_path: Path) -> None:
    assert len(closure(TWINS, tmp_path / "facts", "p").modules) == 4


# --- what is not in git ----------------------------------------------------------------------------


def test_a_dangling_link_that_terraform_reads_is_named_before_planning(tmp_path: Path) -> None:
    files = {"p/main.tf": "locals {}\n", "p/common.tf": "->../shared/common.tf", "p/NOTES": "->../gone"}
    found = closure(files, tmp_path / "facts", "p")
    assert found.dangling == (
        "p/NOTES leads to gone, which is not in git.",
        "p/common.tf leads to shared/common.tf, which is not in git.",
    )
    assert found.missing == ("The symbolic link p/common.tf leads to shared/common.tf, which is not in git.",)


def test_a_link_that_leads_to_a_file_or_a_directory_does_not_dangle(tmp_path: Path) -> None:
    files = {"p/main.tf": "locals {}\n", "p/c.tf": "->../s/c.tf", "s/c.tf": "locals {}\n", "p/d": "->../s"}
    assert closure(files, tmp_path / "facts", "p").dangling == ()


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ('x = file("a/b.json")', ("p/a/b.json",)),
        ('x = templatefile("${path.module}/c.tpl", {})', ("m/c.tpl",)),
        ('x = file("${path.root}/d.txt")', ("p/d.txt",)),
        ('x = file("${path.module}/there.txt")', ()),
        ('x = try(file("a.json"), "")', ()),
        ('x = fileexists("a.json") ? file("a.json") : ""', ()),
        ('# x = file("a.json")', ()),
        ('x = file("/etc/hostname")', ()),
        ('filename = "a.zip"\n  x = filebase64sha256("a.zip")', ()),
    ],
)
def test_literal_paths_that_are_not_in_git_are_named(text: str, absent: tuple[str, ...], tmp_path: Path) -> None:
    files = {"p/main.tf": call("../m"), "m/main.tf": f"locals {{\n  {text}\n}}\n", "m/there.txt": ""}
    assert closure(files, tmp_path / "facts", "p").absent == absent
