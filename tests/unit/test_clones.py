"""Partial, sparse and shallow clones, as CI makes them: they are read, or the message names what to change."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from driftguard.adapters.git.repository import GitRepository, open_repository
from driftguard.errors import OperatorError

IDENTITY = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "a@example.org"}
COMMITTER = {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "a@example.org"}


class Server:
    """A repository on a server that allows partial clones, and its history."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bare, self.work = folder, folder / "origin.git", folder / "work"
        self.git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        self.git(self.bare, "config", "uploadpack.allowFilter", "true")
        self.git(folder, "clone", "--quiet", str(self.bare), str(self.work))
        for number in (1, 2, 3):
            for path in ("live/dev/main.tf", "other/large.txt"):
                (self.work / path).parent.mkdir(parents=True, exist_ok=True)
                (self.work / path).write_text(f"# {number}\n")
            self.commit(self.work, str(number))
            self.git(self.work, "push", "--quiet", "origin", "HEAD:main")

    def git(self, folder: Path, *arguments: str) -> str:
        variables = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(self.folder), **IDENTITY, **COMMITTER}
        done = subprocess.run(["git", *arguments], cwd=folder, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, folder: Path, message: str) -> None:
        self.git(folder, "add", "--all")
        self.git(folder, "commit", "--quiet", "--message", message)

    def clone(self, *options: str) -> Path:
        self.git(self.folder, "clone", "--quiet", *options, f"file://{self.bare}", "clone")
        return self.folder / "clone"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def opened(clone: Path) -> GitRepository:
    return open_repository(str(clone), clone.parent / "cache")


@pytest.mark.parametrize("option", ["--filter=blob:none", "--filter=tree:0", "--filter=blob:limit=1"])
def test_a_partial_clone_is_read_whole_and_stays_as_it_is(server: Server, option: str) -> None:
    clone = server.clone(option)
    before = server.git(clone, "count-objects", "-v")
    repository = opened(clone)
    assert repository.file(repository.head, "other/large.txt") == b"# 3\n"
    assert [commit.subject for commit, _ in repository.first_parents(None, repository.head)] == ["3", "2", "1"]
    (old,) = [commit.sha for commit, _ in repository.first_parents(None, repository.head) if commit.subject == "1"]
    assert repository.file(old, "other/large.txt") == b"# 1\n"
    assert repository.shortcomings == ()
    assert server.git(clone, "count-objects", "-v") == before


def test_a_partial_clone_with_a_commit_of_its_own_is_read_at_that_commit(server: Server) -> None:
    clone = server.clone("--filter=blob:none")
    (clone / "live/dev/main.tf").write_text("# own\n")
    server.commit(clone, "own")
    repository = opened(clone)
    assert repository.file(repository.head, "live/dev/main.tf") == b"# own\n"


def test_a_sparse_clone_is_read_whole(server: Server) -> None:
    clone = server.clone("--filter=blob:none", "--sparse")
    server.git(clone, "sparse-checkout", "set", "live")
    assert not (clone / "other").exists()
    repository = opened(clone)
    assert repository.file(repository.head, "other/large.txt") == b"# 3\n"
    with repository.worktree(repository.head, "dev") as tree:
        assert (tree / "other/large.txt").read_text() == "# 3\n"


def test_a_mirror_that_is_whole_needs_the_server_of_a_partial_clone_no_more(server: Server) -> None:
    clone = server.clone("--filter=blob:none")
    opened(clone).close()
    server.bare.rename(server.folder / "away.git")
    assert opened(clone).head


def test_a_partial_clone_whose_server_is_away_names_the_flag_to_change(server: Server) -> None:
    clone = server.clone("--filter=blob:none")
    server.bare.rename(server.folder / "away.git")
    with pytest.raises(OperatorError, match="partial clone") as refused:
        opened(clone)
    message = str(refused.value)
    assert "actions/checkout: remove `filter`" in message
    assert "corruption" not in message


def test_a_shallow_clone_is_read_and_the_flag_to_change_is_named(server: Server) -> None:
    clone = server.clone("--depth=1")
    for _ in range(2):
        repository = opened(clone)
        assert repository.file(repository.head, "other/large.txt") == b"# 3\n"
        (note,) = repository.shortcomings
        assert "fetch-depth: 0" in note
        repository.close()
    server.git(clone, "fetch", "--quiet", "--unshallow")
    assert opened(clone).shortcomings == ()


def test_a_shallow_partial_clone_is_read(server: Server) -> None:
    clone = server.clone("--depth=1", "--filter=blob:none")
    repository = opened(clone)
    assert repository.file(repository.head, "other/large.txt") == b"# 3\n"
