"""One file at the head of a local repository without a mirror: the mirror's answer, or none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from driftguard.adapters.git.glance import file_at_head
from driftguard.adapters.git.repository import open_repository

FILE = "driftguard.yaml"


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "a repository"
    (folder / "environments" / "dev").mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / FILE).write_bytes(b"version: 1 # \xff committed\r\n")
    (folder / "environments" / "dev" / "main.tf").write_text("terraform {}\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    (folder / FILE).write_text("not committed")
    return folder


def same(repository: Path, cache: Path, ref: str | None = None, path: str = FILE) -> bytes | None:
    """The answer, which the mirror gives too."""
    found = file_at_head(str(repository), ref, path)
    opened = open_repository(str(repository), cache, ref)
    assert found is not None
    assert (found.display, found.content) == (opened.display, opened.file(opened.head, path))
    return found.content


def test_the_committed_file_is_read_from_anywhere_in_the_work_tree(repository: Path, tmp_path: Path) -> None:
    for folder in (repository, repository / "environments" / "dev"):
        assert same(folder, tmp_path / "cache") == b"version: 1 # \xff committed\r\n"


def test_a_file_that_is_not_committed_is_absent(repository: Path, tmp_path: Path) -> None:
    assert same(repository, tmp_path / "cache", path="other.yaml") is None


def test_a_branch_is_read_that_is_not_checked_out(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "feature/x")
    git(repository, "commit", "--quiet", "--all", "--message", "second")
    assert same(repository, tmp_path / "cache") == b"not committed"
    assert same(repository, tmp_path / "cache", "main") == b"version: 1 # \xff committed\r\n"
    assert same(repository, tmp_path / "cache", "feature/x") == b"not committed"


def test_a_linked_work_tree_has_a_head_of_its_own(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side" / FILE).write_text("side\n")
    git(tmp_path / "side", "commit", "--quiet", "--all", "--message", "side")
    assert same(tmp_path / "side", tmp_path / "cache") == b"side\n"


def test_a_surrounding_git_does_not_count(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    found = file_at_head(str(repository), None, FILE)
    assert found is not None
    assert found.content == b"version: 1 # \xff committed\r\n"


@pytest.mark.parametrize("ref", ["missing", "main^", "main:environments", "-x", "HEAD@{1}"])
def test_a_branch_that_is_not_there_has_no_answer(repository: Path, ref: str) -> None:
    assert file_at_head(str(repository), ref, FILE) is None


def test_other_places_have_no_answer(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(tmp_path / "bare.git"))
    git(repository, "checkout", "--quiet", "--force", "--detach")
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "--quiet")
    for place in (
        str(repository),
        str(tmp_path / "bare.git"),
        str(tmp_path / "empty"),
        str(tmp_path),
        str(tmp_path / "none"),
        str(repository / FILE),
        f"file://{repository}",
        "https://git.example.org/x.git",
        "git@example.org:x.git",
        "-x",
        "a\0b",
    ):
        assert file_at_head(place, None, FILE) is None
