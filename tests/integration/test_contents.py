"""Plans and applies see what git has: submodules, Git LFS, ephemeral variables, data files."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import Estate
from tests.integration.test_reconcile import Raw, decision, thing
from tests.support.seeds import one_quick
from tests.support.toy_estate import error

pytestmark = pytest.mark.terraform

INNER = 'terraform {\n  required_providers {\n    toy = { source = "driftguard/toy" }\n  }\n}\n' + thing(
    "inner", value="1"
)
CALL = 'module "m" {\n  source = "../../modules/m"\n}\n' + thing("a", value="1")


def module_repository(estate: Estate, folder: Path) -> Path:
    """A repository of its own with the module that the estate calls."""
    folder.mkdir(parents=True)
    git = estate.sandbox.git
    git("init", "--quiet", "--initial-branch=main", str(folder))
    (folder / "main.tf").write_text(INNER)
    git("-C", str(folder), "add", "-A")
    git("-C", str(folder), "commit", "--quiet", "--message", "The module")
    return folder


def move_into_submodule(estate: Estate, url: str) -> None:
    git = estate.sandbox.git
    git("rm", "--quiet", "-r", "modules/m")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "modules/m")
    git("commit", "--quiet", "--message", "The module moves into a submodule")


def test_a_module_that_moves_into_a_submodule_is_still_there(estate: Estate, tmp_path: Path) -> None:
    estate.configure("policy: {pending: apply, limits: {destroys: 1}}\n")
    estate.sandbox.write("modules/m/main.tf", INNER)
    estate.merge("Apply", CALL)
    assert estate.reconcile().code == 0
    source = module_repository(estate, tmp_path / "m")
    move_into_submodule(estate, str(source))
    ran = estate.reconcile()
    assert (ran.code, ran.environment("dev")["verdict"]) == (0, "in_sync")
    assert estate.toy.effects() == ["create a", "create inner"] or estate.toy.effects() == ["create inner", "create a"]

    (source / "main.tf").write_text(INNER.replace('"1"', '"2"'))
    estate.sandbox.git("-C", str(source), "commit", "--quiet", "--all", "--message", "Two")
    pin = estate.sandbox.git("-C", str(source), "rev-parse", "HEAD").strip()
    estate.sandbox.git("-C", "modules/m", "-c", "protocol.file.allow=always", "fetch", "--quiet", str(source), "main")
    estate.sandbox.git("-C", "modules/m", "checkout", "--quiet", pin)
    estate.sandbox.commit("Move the pin")
    ran = estate.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["policy_apply", "merged", "applied"]))
    assert estate.toy.thing("inner")["value"] == "2"


@pytest.mark.parametrize("reason", one_quick(["elsewhere", "gone"], pytest.mark.further))
def test_a_submodule_that_cannot_be_fetched_deletes_nothing(estate: Estate, tmp_path: Path, reason: str) -> None:
    estate.configure("policy: {pending: apply, limits: {destroys: 1}}\n")
    estate.sandbox.write("modules/m/main.tf", INNER)
    estate.merge("Apply", CALL)
    assert estate.reconcile().code == 0
    source = module_repository(estate, tmp_path / "m")
    move_into_submodule(estate, str(source))
    if reason == "elsewhere":
        estate.sandbox.git("config", "--file", ".gitmodules", "submodule.modules/m.url", "https://other.example/m.git")
        estate.sandbox.commit("Point elsewhere")
    else:
        source.rename(tmp_path / "moved")
    ran = estate.reconcile()
    message = error(ran.environment("dev"))
    assert "The git submodule modules/m is not there" in message
    assert {"elsewhere": "other.example; `allow_hosts`", "gone": "does not exist"}[reason] in message
    assert "delete inner" not in estate.toy.effects()


def test_a_pointer_of_git_lfs_is_never_applied_as_content(estate: Estate) -> None:
    estate.configure("policy: {pending: apply}\n")
    estate.sandbox.write(
        "environments/dev/payload.txt",
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12\n",
    )
    estate.merge("Apply", thing("a", value=Raw('file("${path.module}/payload.txt")')))
    ran = estate.reconcile()
    assert "environments/dev/payload.txt is a Git LFS pointer" in error(ran.environment("dev"))
    assert estate.toy.effects() == []


_CONTENT = b"the content\r\n\x00\xff"
_STAND_IN = """\
#!/bin/sh
# Fetches as `git lfs smudge` does: it reads a pointer, and keeps the content in the storage.
[ "$1" = smudge ] || exit 3
oid=$(sed -n 's/^oid sha256://p')
place=$(git rev-parse --git-dir)/lfs/objects/$(echo $oid | cut -c1-2)/$(echo $oid | cut -c3-4)
mkdir -p "$place" && SERVED > "$place/$oid"
"""


def with_lfs(estate: Estate, kind: str, folder: Path) -> None:
    """Put a `git lfs` on the machine: the real one, one that stands in for it, or one whose server lies."""
    if kind == "real":
        if shutil.which("git-lfs") is None:
            pytest.skip("git-lfs is not installed")
        return
    served = {"stand-in": f'cat "{folder}/content"', "lies": "echo something else"}[kind]
    folder.mkdir()
    (folder / "content").write_bytes(_CONTENT)
    program = folder / "git-lfs"
    program.write_text(_STAND_IN.replace("SERVED", served))
    program.chmod(0o755)
    estate.sandbox.variables["PATH"] = f"{folder}:{estate.sandbox.variables['PATH']}"


def merge_pointer(estate: Estate, url: str | None = None) -> None:
    """Merge a pointer to the content, whose digest is applied; the content is in the repository's own storage."""
    oid = hashlib.sha256(_CONTENT).hexdigest()
    storage = estate.sandbox.repository / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4]
    storage.mkdir(parents=True)
    (storage / oid).write_bytes(_CONTENT)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(_CONTENT)}\n"
    estate.sandbox.write("environments/dev/payload.bin", pointer)
    if url is not None:
        estate.sandbox.write(".lfsconfig", f"[lfs]\n\turl = {url}\n")
    estate.merge("Apply", thing("a", value=Raw('filesha256("${path.module}/payload.bin")')))


@pytest.mark.parametrize("kind", ["real", "stand-in"])
def test_a_content_of_git_lfs_is_what_is_applied(estate: Estate, tmp_path: Path, kind: str) -> None:
    with_lfs(estate, kind, tmp_path / "lfs")
    estate.configure("policy: {pending: apply}\n")
    merge_pointer(estate)
    ran = estate.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["policy_apply", "merged", "applied"])), ran.stdout
    assert estate.toy.thing("a")["value"] == hashlib.sha256(_CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("kind", "url", "reason"),
    [
        ("stand-in", "https://other.example/lfs", "its server is other.example; `allow_hosts` in the operator's file"),
        ("stand-in", "git@other.example:acme/lfs.git", "its server is other.example; `allow_hosts`"),
        ("lies", None, "its content could not be fetched from the repository"),
    ],
)
def test_a_content_of_git_lfs_that_cannot_be_trusted_applies_nothing(
    estate: Estate, tmp_path: Path, kind: str, url: str | None, reason: str
) -> None:
    with_lfs(estate, kind, tmp_path / "lfs")
    estate.configure("policy: {pending: apply}\n")
    merge_pointer(estate, url)
    message = error(estate.reconcile().environment("dev"))
    assert f"environments/dev/payload.bin is a Git LFS pointer: {reason}" in message
    assert estate.toy.effects() == []


def test_the_filters_of_the_users_git_do_not_run_on_what_is_planned(estate: Estate, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    estate.sandbox.git("config", "--global", "filter.evil.smudge", f"touch {mark}; cat")
    estate.configure("policy: {pending: apply}\n")
    estate.sandbox.write(".gitattributes", "*.tf filter=evil\n")
    estate.merge("Apply", thing("a", value="1"))
    mark.unlink(missing_ok=True)
    assert estate.reconcile().code == 0
    assert not mark.exists()


def test_ephemeral_variables_of_var_files_are_given_to_the_apply_as_well(estate: Estate) -> None:
    estate.configure("environments: [{path: environments/*, var_files: [prod.tfvars]}]\npolicy: {pending: apply}\n")
    estate.sandbox.write("environments/dev/prod.tfvars", 'token = "abc"\nother = "plain"\n')
    cloud = f'"{estate.toy.folder}"'
    body = (
        'variable "token" {\n  type = string\n  ephemeral = true\n}\nvariable "other" {\n  type = string\n}\n'
        f'provider "toy" {{\n  alias = "x"\n  folder = var.token == "abc" ? {cloud} : "/nonexistent"\n}}\n'
        + thing("a", value=Raw("var.other"), provider=Raw("toy.x"))
    )
    estate.merge("Apply", body)
    ran = estate.reconcile()
    assert (ran.code, decision(ran)) == (0, ("apply", ["policy_apply", "merged", "applied"]))
    assert estate.toy.thing("a")["value"] == "plain"


def test_a_commit_to_a_data_file_named_by_a_variable_is_that_commits_change(estate: Estate) -> None:
    estate.configure("policy: {pending: alert, input: apply}\n")
    estate.sandbox.write("config/dev.yaml", "text: one\n")
    estate.sandbox.write("environments/dev/terraform.tfvars", 'config_file = "../../config/dev.yaml"\n')
    body = 'variable "config_file" {\n  type = string\n}\n'
    estate.write(body + thing("a", value=Raw("yamldecode(file(var.config_file)).text")))
    estate.sandbox.commit("Apply", {"driftguard.yaml": "policy: {pending: apply}\n"})
    assert estate.reconcile().code == 0
    estate.configure("policy: {pending: alert, input: apply}\n")
    commit = estate.sandbox.commit("Change the data", {"config/dev.yaml": "text: two\n"})
    ran = estate.reconcile()
    dev = ran.environment("dev")
    assert (dev["verdict"], decision(ran)[0]) == ("pending", "alert")
    assert "pending" in dev["resources"][0]["labels"]
    assert [each["sha"] for each in dev["commits"]] == [commit]
    assert estate.toy.thing("a")["value"] == "one"


def test_one_oddly_named_directory_is_an_unknown_of_its_own(estate: Estate) -> None:
    estate.merge("Good", thing("a", value="1"), "good")
    estate.merge("Odd", thing("b", value="1"), "it's")
    ran = estate.sandbox.run("scan", "--format", "json")
    good, odd = sorted(ran.report["environments"], key=lambda each: each["path"])
    assert (ran.code, good["verdict"], odd["verdict"]) == (1, "pending", "unknown")
    assert 'The directory "environments/it\'s" cannot give its environment a name' in error(odd)
    assert "driftguard.yaml" not in error(odd)
