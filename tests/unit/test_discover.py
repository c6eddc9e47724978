"""Environments and closures from a commit's tree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.hcl.facts import CachingReader
from driftguard.errors import EnvironmentFault, UsageError
from driftguard.model import Closure, SourceFacts, TreeEntry
from driftguard.model.expressions import Definitions
from driftguard.pipeline.approve.approval_file import APPROVALS
from driftguard.pipeline.directories import find
from driftguard.pipeline.discover import Closures
from driftguard.ports import SourceReader

NETWORK = 'module "net" {\n  source = "../../modules/network"\n}\n'


class Tree(SourceReader):
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

    def closures(self, **options: Any) -> Closures:
        return Closures(self.entries, self, APPROVALS, **options)

    def lfs_missing(self, object_ids: Sequence[str]) -> Mapping[str, str]:
        return {i: "it is away" for i in object_ids if self.contents[i].startswith("version https://git-lfs")}

    def link_target(self, object_id: str) -> str:
        return self.contents[object_id]

    def templates(self, object_ids: Sequence[str]) -> Mapping[str, SourceFacts]:
        return {i: self.reader.read_template(i, self.contents[i].encode()) for i in object_ids}

    def definitions(self, sources: Sequence[tuple[str, str]]) -> Mapping[str, Definitions]:
        return {i: self.reader.read_definitions(i, path, self.contents[i].encode()) for path, i in sources}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "facts"


def closure(files: Mapping[str, str], cache: Path, directory: str = "environments/dev", **options: Any) -> Closure:
    of_the_commit = {name: options.pop(name) for name in ("product", "own_names") if name in options}
    found = Tree(files, cache).closures(**of_the_commit).closure(directory, **options)
    assert found is not None
    return found


# --- what belongs to a closure besides modules ----------------------------------------------------


def test_var_files_of_other_environments_are_no_part_of_a_closure(cache: Path) -> None:
    files = {"i/main.tf": "locals {}", "i/vars/dev.tfvars": "a", "i/vars/prod.tfvars": "b"}
    found = closure(files, cache, "i", var_files=["vars/dev.tfvars"], elsewhere=["i/vars/prod.tfvars"])
    assert sorted(found.files) == ["i/main.tf", "i/vars/dev.tfvars"]


@pytest.mark.parametrize(
    "text", ['file("vars/prod.tfvars")', 'file("${path.root}/vars/prod.tfvars")', 'fileset("vars", "*")']
)
def test_a_var_file_that_the_code_reads_stays_in_the_closure(cache: Path, text: str) -> None:
    files = {"i/main.tf": f"locals {{\n  x = {text}\n}}\n", "i/vars/prod.tfvars": "b"}
    assert "i/vars/prod.tfvars" in closure(files, cache, "i", elsewhere=["i/vars/prod.tfvars"]).files


def test_version_files_above_a_directory_and_every_required_version_are_known(cache: Path) -> None:
    files = {
        "live/a/main.tf": 'terraform {\n  required_version = ">= 1.5, < 2"\n}\nmodule "m" {\n  source = "../../m"\n}\n',
        "m/main.tf": 'terraform {\n  required_version = "~> 1.11"\n',  # cannot be parsed
        "m/b.tf.json": '{"terraform": {"required_version": "!= 1.12.0"}}',
        ".terraform-version": "1.11.4",
        "live/.tool-versions": "terraform 1.11.4",
        "other/.terraform-version": "1.0.0",
    }
    found = closure(files, cache, "live/a")
    assert found.requires == ("!= 1.12.0", ">= 1.5, < 2", "~> 1.11")
    assert list(found.version_files) == ["live/.tool-versions", ".terraform-version"]
    assert found.version_files.keys() <= found.files.keys()


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
        '[for k in ["a", "${var.b}", "x"] : file("../../shared/${k}/a.json")]',
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


def test_a_submodule_that_is_not_there_is_named_and_never_an_empty_directory(cache: Path) -> None:
    tree = Tree({"environments/dev/main.tf": 'module "m" {\n  source = "../../vendor/net/modules/a"\n}\n'}, cache)
    tree.entries["vendor/net"] = TreeEntry("160000", "c" * 40)
    found = tree.closures().closure("environments/dev")
    assert found is not None
    assert found.files["vendor/net"] == "c" * 40
    assert found.missing == ("The git submodule vendor/net is not there: it has no files at its pinned commit.",)


def test_a_submodule_that_is_there_counts_with_its_files_and_its_pin(cache: Path) -> None:
    call = 'module "m" {\n  source = "../../vendor/net/modules/a"\n}\n'
    tree = Tree({"environments/dev/main.tf": call, "vendor/net/modules/a/main.tf": "", "vendor/other/x": ""}, cache)
    tree.entries["vendor/net"] = tree.entries["vendor/other"] = TreeEntry("160000", "c" * 40)
    found = tree.closures().closure("environments/dev")
    assert found is not None
    assert (set(found.files), found.missing, found.modules) == (
        {"environments/dev/main.tf", "vendor/net", "vendor/net/modules/a/main.tf"},
        (),
        ("vendor/net/modules/a",),
    )


def test_a_pointer_of_git_lfs_is_no_content(cache: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"
    found = closure({"environments/dev/main.tf": "", "environments/dev/a.zip": pointer}, cache)
    assert found.missing == ("environments/dev/a.zip is a Git LFS pointer: it is away.",)
    assert closure({"environments/dev/main.tf": "", "other/a.zip": pointer}, cache).missing == ()


def test_symbolic_links_that_go_in_circles_end(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": 'module "m" {\n  source = "../../a/x"\n}\n',
        "a": "->b",
        "b": "->a",
    }
    assert closure(files, cache).modules == ()


def test_a_set_of_characters_that_is_none_is_reported(cache: Path) -> None:
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
    before = closure(files, cache).hash("terraform 1.11.4", "a")
    assert closure({**files, "modules/other/main.tf": "# x"}, cache).hash("terraform 1.11.4", "a") == before
    changed = closure({**files, "modules/network/main.tf": "# x"}, cache)
    same = closure(files, cache)
    hashes = {
        before,
        changed.hash("terraform 1.11.4", "a"),
        same.hash("terraform 1.12.0", "a"),
        same.hash("terraform 1.11.4", "b"),
    }
    assert len(hashes) == 4


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


# --- computed file names -------------------------------------------------------------------------

CONFIG = {"config/dev.yaml": "text: one\n", "config/other.yaml": "x\n", "unrelated/file.txt": "y\n"}
READ = (
    'variable "v" {{\n  default = {default}\n}}\nlocals {{\n  dir = "../../config/"\n  found = file({argument})\n}}\n'
)


@pytest.mark.parametrize(
    "argument",
    [
        "var.v",
        'join("/", [path.module, "..", "..", "config", "dev.yaml"])',
        'join("/", concat([path.root, ".."], ["..", "config/dev.yaml"]))',
        'format("%s/../../%s/dev.%s", path.module, "config", "yaml")',
        'replace("../../config-dev.yaml", "-", "/")',
        '"${dirname(dirname(abspath(path.module)))}/config/dev.yaml"',
        '"${local.dir}dev.yaml"',
        '"${path.cwd}/../../config/dev.yaml"',
        "trimspace(<<EOT\n../../config/dev.yaml\nEOT\n)",
        "trimspace(<<-EOT\n      ${path.module}/../../config/dev.yaml\n    EOT\n)",
        'abspath("../../config/${basename("x/dev.yaml")}")',
        '"../../config/${lower("DEV")}.yaml"',
        '{ a = "../../config/dev.yaml" }["a"]',
        'lookup({ a = "../../config/dev.yaml" }, "a", "x")',
        'element(["../../config/dev.yaml"], 0)',
        'true ? "../../config/dev.yaml" : "none"',
        'trimsuffix("../../config/dev.yaml.tpl", ".tpl")',
        'try("../../config/dev.yaml", "none")',
        '"../../config/${terraform.workspace}.yaml"',
        '[for f in fileset("../../config", "dev.*") : "../../config/${f}"][0]',
        '"${path.module}/${join("/", ["..", "..", "config"])}/dev.yaml"',
        '(("../../config/dev.yaml"))',
    ],
)
def test_a_file_name_that_can_be_evaluated_is_exactly_known(argument: str, cache: Path) -> None:
    text = READ.format(default='"../../config/dev.yaml"', argument=argument)
    found = closure({"environments/dev/main.tf": text, **CONFIG}, cache, workspace="dev")
    assert {"environments/dev/main.tf", "config/dev.yaml"} <= set(found.files)
    assert (found.open, "unrelated/file.txt" in found.files) == ((), False)


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("terraform.tfvars", 'v = "../../config/dev.yaml"\n', {}),
        ("terraform.tfvars.json", '{"v": "../../config/dev.yaml"}', {}),
        ("x.auto.tfvars", 'v = "../../config/dev.yaml"\n', {}),
        ("x.auto.tfvars.json", '{"v": "../../config/dev.yaml"}', {}),
        ("dev.tfvars", 'v = "../../config/dev.yaml"\n', {"var_files": ["dev.tfvars"]}),
        ("other.txt", "", {"variables": {"v": "../../config/dev.yaml"}}),
    ],
)
def test_a_file_name_comes_from_wherever_a_variable_gets_its_value(
    name: str, content: str, options: dict[str, Any], cache: Path
) -> None:
    files = {"environments/dev/main.tf": READ.format(default='"nothing"', argument="var.v"), **CONFIG}
    found = closure({**files, f"environments/dev/{name}": content}, cache, **options)
    assert "config/dev.yaml" in found.files
    assert (found.open, "unrelated/file.txt" in found.files) == ((), False)


def test_a_file_name_is_followed_through_module_calls(cache: Path) -> None:
    files = {
        "environments/dev/main.tf": (
            'module "outer" {\n  source = "../../modules/outer"\n  names = { a = "dev", b = "other" }\n}\n'
        ),
        "modules/outer/main.tf": (
            'variable "names" {}\nmodule "inner" {\n  source = "../inner"\n  for_each = var.names\n'
            '  file = "../../config/${each.value}.yaml"\n}\n'
        ),
        "modules/inner/main.tf": 'variable "file" {}\nlocals {\n  x = yamldecode(file(var.file)).text\n}\n',
        **CONFIG,
    }
    found = closure(files, cache)
    assert {"config/dev.yaml", "config/other.yaml"} <= set(found.files)
    assert found.open == ()


@pytest.mark.parametrize(
    ("argument", "counts", "says"),
    [
        ("data.x.y.z", True, "every file of the repository counts"),
        ('"../../config/${data.x.y.z}.yaml"', False, "every file below config/ counts"),
        ('var.v == "a" ? data.x.y.z : "a"', True, "every file of the repository counts"),
        ('"/etc/hosts"', None, "lies outside of the repository (/etc/hosts)"),
        ('"../../../../x"', None, "lies outside of the repository"),
        ('pathexpand("~/x")', None, "lies outside of the repository"),
        ('yamldecode(file("../../config/dev.yaml")).path', True, "every file of the repository counts"),
        ("substr(var.v, 0, 3)", True, "every file of the repository counts"),
    ],
)
def test_a_file_name_that_cannot_be_evaluated_opens_the_closure(
    argument: str, counts: bool | None, says: str, cache: Path
) -> None:
    text = READ.format(default='"a"', argument=argument)
    found = closure({"environments/dev/main.tf": text, **CONFIG}, cache)
    assert [sentence for sentence in found.open if says in sentence and "environments/dev/main.tf:6" in sentence]
    if counts is not None:
        assert ("unrelated/file.txt" in found.files) is counts
        assert "config/other.yaml" in found.files


def test_what_an_archive_packs_is_read_and_the_archive_itself_is_made(cache: Path) -> None:
    text = (
        'data "archive_file" "zip" {\n  type = "zip"\n  source_dir = join("/", ["..", "..", "config"])\n'
        '  output_path = "${path.module}/made.zip"\n}\n'
        "locals {\n  h = filebase64sha256(data.archive_file.zip.output_path)\n}\n"
    )
    lock = {"environments/dev/.terraform.lock.hcl": ""}
    found = closure({"environments/dev/main.tf": text, **lock, **CONFIG}, cache)
    assert {"config/dev.yaml", "config/other.yaml"} <= set(found.files)
    assert (found.open, "unrelated/file.txt" in found.files) == ((), False)


def test_a_data_file_below_the_folder_of_approvals_is_a_file_like_any_other(cache: Path) -> None:
    files = {"environments/dev/main.tf": 'locals {\n  a = file("../../.driftguard/data.yaml")\n}\n'}
    approval = ".driftguard/approvals/dev/1.yaml"
    found = closure({**files, ".driftguard/data.yaml": "x", approval: "y"}, cache)
    assert (".driftguard/data.yaml" in found.files, approval in found.files) == (True, False)
    root = closure({"main.tf": "", approval: "y", ".driftguard/data.yaml": "x"}, cache, ".")
    assert (".driftguard/data.yaml" in root.files, approval in root.files) == (True, False)
