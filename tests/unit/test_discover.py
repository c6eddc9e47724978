"""Environments and closures from a commit's tree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from driftguard.adapters.hcl.facts import CachingReader
from driftguard.errors import EnvironmentFault, UsageError
from driftguard.model import Closure, SourceFacts, TreeEntry
from driftguard.pipeline.discover import Closures, find

NETWORK = 'module "net" {\n  source = "../../modules/network"\n}\n'


class Tree:
    """Files of a commit; a value that starts with `->` is a symbolic link."""

    def __init__(self, files: Mapping[str, str], cache: Path) -> None:
        self.contents: dict[str, str] = {}
        self.entries: dict[str, TreeEntry] = {}
        self.reader = CachingReader(cache)
        self.parsed: list[str] = []
        for path, text in files.items():
            object_id = hashlib.sha1(text.encode()).hexdigest()
            self.contents[object_id] = text.removeprefix("->")
            self.entries[path] = TreeEntry("120000" if text.startswith("->") else "100644", object_id)

    def facts(self, sources: Sequence[tuple[str, str]]) -> Mapping[str, SourceFacts]:
        found = {}
        for path, object_id in sources:
            if self.reader.known(object_id) is None:
                self.parsed.append(path)
            found[object_id] = self.reader.read(object_id, path, self.contents[object_id].encode())
        return found

    def closures(self) -> Closures:
        return Closures(self.entries, self.facts, self.contents.__getitem__)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "facts"


def closure(files: Mapping[str, str], cache: Path, directory: str = "environments/dev", **options: object) -> Closure:
    found = Tree(files, cache).closures().closure(directory, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


# --- which directories are environments ------------------------------------------------------------


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["environments/*"], [], ["environments/dev", "environments/json", "environments/prod"]),
        (["environments/*"], ["environments/d*"], ["environments/json", "environments/prod"]),
        (["environments/**"], ["**/json"], ["environments/dev", "environments/prod", "environments/prod/eu"]),
        (["**"], ["environments/**", "modules/**"], ["."]),
        (["."], [], ["."]),
        (["./environments/dev/"], [], ["environments/dev"]),
        (["environments/[dp]*"], [], ["environments/dev", "environments/prod"]),
        (["nothing/*"], [], []),
    ],
)
def test_globs_match_directories_with_terraform_files(
    include: list[str], exclude: list[str], expected: list[str]
) -> None:
    paths = [
        "main.tf",
        "environments/dev/main.tf",
        "environments/prod/main.tf",
        "environments/prod/eu/main.tf",
        "environments/json/main.tf.json",
        "environments/docs/README.md",
        "modules/network/main.tf",
    ]
    assert find({path: TreeEntry("100644", "0") for path in paths}, include, exclude) == expected


# --- what is in a closure --------------------------------------------------------------------------


def test_modules_are_reached_transitively_and_files_of_others_are_left_out(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": NETWORK,
        "environments/dev/policies/a.json": "{}",
        "environments/dev/.terraform.lock.hcl": "lock",
        "environments/prod/main.tf": NETWORK,
        "modules/network/main.tf": 'module "zone" {\n  source = "./zone"\n}\n',
        "modules/network/zone/main.tf": 'module "tags" {\n  source = "../../../shared/tags"\n}\n',
        "modules/unused/main.tf": "",
        "shared/tags/main.tf.json": '{"output": {}}',
        "README.md": "x",
    }
    found = closure(files, cache)
    assert list(found.files) == [
        "environments/dev/.terraform.lock.hcl",
        "environments/dev/main.tf",
        "environments/dev/policies/a.json",
        "modules/network/main.tf",
        "modules/network/zone/main.tf",
        "shared/tags/main.tf.json",
    ]
    assert found.modules == ("modules/network", "modules/network/zone", "shared/tags")


def test_modules_of_json_files_count(cache: Path) -> None:
    files = {
        "environments/dev/main.tf.json": '{"module": {"net": {"source": "../../modules/network"}}}',
        "modules/network/main.tf": "",
    }
    assert closure(files, cache).modules == ("modules/network",)


def test_modules_that_refer_to_each_other_end(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": 'module "a" {\n  source = "../../a"\n}\n',
        "a/main.tf": 'module "b" {\n  source = "../b"\n}\n',
        "b/main.tf": 'module "a" {\n  source = "../a"\n}\n',
    }
    assert closure(files, cache).modules == ("a", "b")


def test_sources_outside_of_the_repository_are_listed_and_not_followed(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": """
module "vpc" {
  source  = "terraform-aws-modules/vpc/aws"
  version = "5.0.0"
}
module "git" {
  source = "git::https://example.org/x.git//sub?ref=v1"
}
module "out" {
  source = "../../../elsewhere"
}
module "gone" {
  source = "../../modules/gone"
}
"""
    }
    found = closure(files, cache)
    assert found.remote_sources == ("git::https://example.org/x.git//sub?ref=v1", "terraform-aws-modules/vpc/aws")
    assert len(found.warnings) == 2
    assert "outside of the repository" in found.warnings[0] + found.warnings[1]
    assert "no Terraform files" in found.warnings[0] + found.warnings[1]


def test_a_file_that_cannot_be_parsed_hides_no_dependency(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": f'resource broken {{{{\n{NETWORK}# source = "../../modules/old"\n',
        "modules/network/main.tf": "",
        "modules/old/main.tf": "",
    }
    found = closure(files, cache)
    assert found.modules == ("modules/network", "modules/old")
    (warning,) = found.warnings
    assert warning.startswith("environments/dev/main.tf:1 could not be parsed; every `source`")


def test_files_mentioned_by_a_literal_path_count(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": 'locals {\n  a = file("${path.module}/../../shared/a.json")\n  b = "../b.txt"\n}\n',
        "environments/b.txt": "b",
        "shared/a.json": "{}",
    }
    assert set(closure(files, cache).files) == {"environments/dev/main.tf", "environments/b.txt", "shared/a.json"}


@pytest.mark.parametrize(
    "text",
    [
        'file("${path.module}/../../shared/${var.kind}/a.json")',
        'fileset("${path.module}/../../shared", "**/*.json")',
        'fileset(path.module, "../../shared/**/*.json")',
        '[for k in ["a", "${var.b}", "../../shared/x"] : file("../../shared/${k}/a.json")]',
        '"${file("../../shared/x/a.json")}"',
    ],
)
def test_a_path_that_terraform_computes_counts_up_to_what_is_literal(text: str, cache: Path) -> None:
    files = {"environments/dev/main.tf": f"locals {{\n  a = {text}\n}}\n", "shared/x/a.json": "{}", "other.json": "{}"}
    assert set(closure(files, cache).files) == {"environments/dev/main.tf", "shared/x/a.json"}


@pytest.mark.parametrize("text", ['"${path.root}/../../shared/a.json"', '"../../shared/a.json"'])
def test_a_module_reads_from_where_terraform_runs(text: str, cache: Path) -> None:
    files = {
        "environments/dev/main.tf": 'module "m" {\n  source = "../../a/deep/down/module"\n}\n',
        "a/deep/down/module/main.tf": f"locals {{\n  x = file({text})\n}}\n",
        "shared/a.json": "{}",
    }
    assert "shared/a.json" in closure(files, cache).files


def test_environments_side_by_side_or_within_one_another_share_nothing(cache: Path) -> None:
    files = {
        "environments/prod/main.tf": 'locals {\n  a = file("${path.module}/policies/${var.x}.json")\n}\n',
        "environments/prod/policies/a.json": "{}",
        "environments/prod/eu/main.tf": "",
        "environments/prod/eu/policies/b.json": "{}",
        "environments/dev/main.tf": "# dev",
    }
    assert set(closure(files, cache, "environments/prod").files) == {
        "environments/prod/main.tf",
        "environments/prod/policies/a.json",
    }
    assert set(closure(files, cache, "environments/prod/eu").files) == {
        "environments/prod/eu/main.tf",
        "environments/prod/eu/policies/b.json",
    }


def test_a_template_that_looks_like_terraform_counts_when_it_is_mentioned(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": 'locals {\n  a = templatefile("${path.module}/templates/job.tf", {})\n}\n',
        "environments/dev/templates/job.tf": "${name}",
    }
    assert "environments/dev/templates/job.tf" in closure(files, cache).files


def test_a_module_whose_source_is_computed_brings_every_candidate(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": """
locals {
  chosen = "../../modules/chosen"
}
module "a" {
  source = "../../stacks/${var.kind}"
}
module "b" {
  source = local.chosen
}
""",
        "modules/chosen/main.tf": 'module "x" {\n  source = "../below"\n}\n',
        "modules/below/main.tf": "",
        "modules/other/main.tf": "# other",
        "stacks/one/main.tf": "# one",
        "stacks/two/main.tf": "# two",
    }
    found = closure(files, cache)
    assert found.modules == ("modules/below", "modules/chosen", "stacks/one", "stacks/two")
    assert found.remote_sources == ()
    assert len(found.warnings) == 2
    assert "../../stacks/${var.kind} is computed by Terraform; every module below ../../stacks/ counts" in "".join(
        found.warnings
    )


def test_a_submodule_counts_with_its_commit(cache: Path) -> None:
    tree = Tree({"environments/dev/main.tf": 'module "m" {\n  source = "../../vendor/net/modules/a"\n}\n'}, cache)
    tree.entries["vendor/net"] = TreeEntry("160000", "c" * 40)
    found = tree.closures().closure("environments/dev")
    assert found is not None
    assert found.files["vendor/net"] == "c" * 40
    (warning,) = found.warnings
    assert "lies in the git submodule vendor/net" in warning


def test_symbolic_links_that_go_in_circles_end(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": 'module "m" {\n  source = "../../a/x"\n}\n',
        "a": "->b",
        "b": "->a",
    }
    assert closure(files, cache).modules == ()


def test_a_set_of_characters_that_is_none_is_said_so(cache: Path) -> None:
    with pytest.raises(UsageError, match=r"'environments/\[z-a\]' is not a glob"):
        find({"environments/a/main.tf": TreeEntry("100644", "0")}, ["environments/[z-a]"])


def test_symbolic_links_bring_what_they_lead_to(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": 'module "m" {\n  source = "../../linked"\n}\n',
        "environments/dev/common.tf": "->../common.tf",
        "environments/common.tf": "",
        "linked": "->modules/real",
        "modules/real/main.tf": "",
    }
    found = closure(files, cache)
    assert "environments/common.tf" in found.files
    assert "linked" in found.files  # whoever points it elsewhere changes the plan
    assert found.modules == ("modules/real",)


def test_var_files_and_extra_files_count(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": "",
        "environments/common.tfvars": "x = 1",
        "policies/a/b.json": "{}",
        "policies/c.txt": "",
    }
    found = closure(files, cache, var_files=["../common.tfvars"], extra_files=["policies/**/*.json"])
    assert set(found.files) == {"environments/dev/main.tf", "environments/common.tfvars", "policies/a/b.json"}


def test_a_var_file_that_is_not_there_is_a_fault_of_the_environment(cache: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"environments/dev/eu\.tfvars .* not part of this commit"):
        closure({"environments/dev/main.tf": ""}, cache, var_files=["eu.tfvars"])


def test_a_directory_that_does_not_exist_has_no_closure(cache: Path) -> None:
    assert Tree({"a.tf": ""}, cache).closures().closure("environments/dev") is None


# --- what the hashes say ---------------------------------------------------------------------------


def test_the_closure_hash_changes_with_the_closure_and_with_nothing_else(cache: Path) -> None:
    files = {"environments/dev/main.tf": NETWORK, "modules/network/main.tf": "", "modules/other/main.tf": ""}
    before = closure(files, cache).hash("terraform 1.11.4", "default", ())
    assert closure({**files, "modules/other/main.tf": "# x"}, cache).hash("terraform 1.11.4", "default", ()) == before
    changed = closure({**files, "modules/network/main.tf": "# x"}, cache)
    same = closure(files, cache)
    hashes = {
        before,
        changed.hash("terraform 1.11.4", "default", ()),
        same.hash("terraform 1.12.0", "default", ()),
        same.hash("terraform 1.11.4", "eu", ()),
        same.hash("terraform 1.11.4", "default", ("eu.tfvars",)),
    }
    assert len(hashes) == 5


def test_only_what_init_depends_on_asks_for_another_init(cache: Path) -> None:
    base = {
        "environments/dev/main.tf": NETWORK,
        "environments/dev/backend.tf": 'terraform {\n  backend "s3" {\n    key = "a"\n  }\n}\n',
        "environments/dev/.terraform.lock.hcl": "1",
        "modules/network/main.tf": "",
    }
    before = closure(base, cache).init_key
    tags_only = {**base, "modules/network/main.tf": 'resource "x" "y" {\n  tags = {}\n}\n'}
    assert closure(tags_only, cache).init_key == before
    for change in (
        {"environments/dev/.terraform.lock.hcl": "2"},
        {"environments/dev/backend.tf": 'terraform {\n  backend "s3" {\n    key = "b"\n  }\n}\n'},
        {"modules/network/main.tf": 'terraform {\n  required_providers {\n    a = { source = "b/a" }\n  }\n}\n'},
        {"environments/dev/more.tf": 'module "m" {\n  source = "../../modules/network"\n}\n'},
    ):
        assert closure({**base, **change}, cache).init_key != before, change


def test_no_file_is_read_twice(cache: Path) -> None:
    files = {
        **{f"environments/e{n}/main.tf": NETWORK + f"# {n}\n" for n in range(5)},
        "modules/network/main.tf": "# module\n",
    }
    tree = Tree(files, cache)
    closures = tree.closures()
    for n in range(5):
        closures.closure(f"environments/e{n}")
    assert len(tree.parsed) == 6
    tree.reader.save()
    again = Tree(files, cache)
    again.closures().closure("environments/e0")
    assert again.parsed == []


def test_a_cache_that_is_damaged_costs_only_time(cache: Path) -> None:
    cache.write_bytes(b"{ not json")
    files = {"environments/dev/main.tf": NETWORK, "modules/network/main.tf": ""}
    assert closure(files, cache).modules == ("modules/network",)
