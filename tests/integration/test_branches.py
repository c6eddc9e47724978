"""Commits that DriftGuard makes and pushes: real git, over a path and over HTTP with a password."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from driftguard.adapters.git import GitRepository, open_repository
from driftguard.adapters.git.branches import Branches, push_location, with_token
from driftguard.adapters.git.locations import Location, locate
from driftguard.config import Signing
from driftguard.errors import ForgeFault, OperatorError
from tests.world.git_server import GitServer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHOR = "DriftGuard <driftguard@acme.example>"
BRANCH = "driftguard/dev/0123456789ab"
ODD = ("ü ≠ 😀.tf", "with space and 'quotes' \".tf", "-dash.tf", "new\nline.tf", "a*b?.tf", "deep/er/file.tf")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


class Place:
    """A server's bare repository with one commit, and our copy of it."""

    def __init__(self, folder: Path) -> None:
        self.server = folder / "served" / "infra.git"
        self.server.parent.mkdir()
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.server))
        self.work = folder / "work"
        git(folder, "clone", "--quiet", str(self.server), str(self.work))
        (self.work / "run.sh").write_text("#!/bin/sh\n")
        (self.work / "run.sh").chmod(0o755)
        (self.work / "old.tf").write_text("old\n")
        (self.work / "link.tf").symlink_to("old.tf")
        git(self.work, "add", "--all")
        git(self.work, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "-m", "first")
        git(self.work, "push", "--quiet", "origin", "HEAD:main")
        self.cache = folder / "cache"
        self.repository: GitRepository = open_repository(str(self.work), self.cache)
        self.head = self.repository.head

    def branches(self, location: Location | None = None, signing: Signing | None = None) -> Branches:
        place = location or locate(str(self.server))
        return Branches(self.repository.mirror, place, author=AUTHOR, signing=signing)

    def tip(self, branch: str = BRANCH) -> str | None:
        listed = git(self.server, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return listed or None


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    # A user whose own settings would sign, rewrite and refuse.
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[commit]\n gpgSign = true\n[user]\n name = Somebody\n email = x@y\n[core]\n autocrlf = true\n"
        "[init]\n defaultBranch = main\n[safe]\n directory = *\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "commit.gpgSign")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "false")
    return Place(tmp_path)


def test_a_commit_holds_exactly_what_it_is_given(place: Place) -> None:
    branches = place.branches()
    content = b"\x00\xff\r\nbinary"
    files: dict[str, bytes | None] = dict.fromkeys(ODD, content)
    commit = branches.commit(place.head, {**files, "run.sh": b"#!/bin/bash\n", "old.tf": None}, "Say ü\n\nMore\n", NOON)
    tree = place.repository.tree(commit)
    assert set(tree) == {*ODD[:3], "new\nline.tf", *ODD[4:], "run.sh", "link.tf"}
    assert {entry.mode for path, entry in tree.items() if path in ODD} == {"100644"}
    assert tree["run.sh"].mode == "100755"
    assert all(place.repository.file(commit, name) == content for name in ODD)
    said = git(place.repository.mirror, "log", "-1", "--format=%P|%an|%ae|%cn|%cI|%B", commit)
    assert said == f"{place.head}|DriftGuard|driftguard@acme.example|DriftGuard|2026-03-01T12:00:00+00:00|Say ü\n\nMore"


def test_equal_input_gives_the_same_commit(place: Place) -> None:
    ids = {place.branches().commit(place.head, {"a.tf": b"a"}, "m\n", NOON) for _ in range(2)}
    assert len(ids) == 1
    assert place.branches().commit(place.head, {"a.tf": b"b"}, "m\n", NOON) not in ids


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../b", ".git/config", "a/.GIT/hooks/x", "", "a\0b"])
def test_a_path_that_leaves_the_repository_is_refused(place: Place, path: str) -> None:
    with pytest.raises(OperatorError, match="not a file that a commit may hold"):
        place.branches().commit(place.head, {path: b"x"}, "m\n", NOON)


def test_a_link_is_not_written_through(place: Place) -> None:
    with pytest.raises(OperatorError, match="a link or a submodule"):
        place.branches().commit(place.head, {"link.tf": b"x"}, "m\n", NOON)


def test_a_commit_of_ours_can_be_planned(place: Place) -> None:
    commit = place.branches().commit(place.head, {"a.tf": b"a"}, "m\n", NOON)
    with place.repository.worktree(commit) as folder:
        assert (folder / "a.tf").read_bytes() == b"a"


def test_a_branch_is_pushed_moved_and_deleted_only_from_where_it_is_expected(place: Place) -> None:
    branches = place.branches()
    one, two, three = (branches.commit(place.head, {"a.tf": text}, "m\n", NOON) for text in (b"1", b"2", b"3"))
    branches.push(BRANCH, one, None)
    branches.push(BRANCH, one, None)  # done already
    assert branches.listed("driftguard/") == {BRANCH: one}
    for expected in (None, three):
        with pytest.raises(ForgeFault, match="somebody else moved it") as refused:
            branches.push(BRANCH, two, expected)
        assert not refused.value.denied
    branches.push(BRANCH, two, one)
    with pytest.raises(ForgeFault, match="somebody else moved it"):
        branches.delete(BRANCH, one)
    assert place.tip() == two
    branches.delete(BRANCH, two)
    branches.delete(BRANCH, two)
    assert (place.tip(), branches.listed("driftguard/")) == (None, {})


def test_a_server_that_refuses_is_told_from_one_that_is_away(place: Place) -> None:
    branches = place.branches()
    commit = branches.commit(place.head, {"a.tf": b"a"}, "m\n", NOON)
    hook = place.server / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'protected, ask https://ada:s3cretword@example.org/' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(ForgeFault, match="may push branches there") as refused:
        branches.push(BRANCH, commit, None)
    assert refused.value.denied
    assert "s3cretword" not in str(refused.value)
    shutil.rmtree(place.server)
    with pytest.raises(ForgeFault, match="could not be listed") as away:
        branches.push(BRANCH, commit, None)
    assert not away.value.denied


def test_an_answer_that_was_lost_after_the_push_counts(place: Place) -> None:
    hook = place.server / "hooks" / "post-receive"  # the push is done when this runs
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    hook.chmod(0o755)
    branches = place.branches()
    commit = branches.commit(place.head, {"a.tf": b"a"}, "m\n", NOON)
    branches.push(BRANCH, commit, None)
    assert place.tip() == commit


def test_a_token_travels_to_its_host_alone_and_is_shown_to_nobody(place: Place) -> None:
    with GitServer(place.server.parent, "x-access-token", "t0ken-word") as server:
        git(place.server, "config", "http.receivepack", "true")
        plain = replace(locate(server.url("infra.git")), credentials={})
        commit = place.branches().commit(place.head, {"a.tf": b"a"}, "m\n", NOON)
        for location in (
            plain,
            with_token(plain, "127.0.0.1", "x-access-token", "wr0ng-word"),
            with_token(plain, "elsewhere.example", "x-access-token", "t0ken-word"),
        ):
            with pytest.raises(ForgeFault) as refused:
                place.branches(location).push(BRANCH, commit, None)
            assert "-word" not in str(refused.value)
        place.branches(with_token(plain, "127.0.0.1", "x-access-token", "t0ken-word")).push(BRANCH, commit, None)
    assert place.tip() == commit


def test_branches_go_to_the_origin_of_a_work_tree(place: Place) -> None:
    work = locate(str(place.work))
    assert push_location(work, None).source == str(place.server.resolve())
    git(place.work, "remote", "set-url", "origin", "../served/infra.git")
    assert push_location(work, None).source == str(place.server.resolve())
    git(place.work, "remote", "set-url", "origin", "https://ada:s3cretword@git.example.org/infra.git")
    origin = push_location(work, None)
    assert (origin.source, bool(origin.credentials)) == ("https://git.example.org/infra.git", True)
    assert "s3cretword" not in repr(origin)
    assert push_location(work, "https://git.example.org/other.git").source == "https://git.example.org/other.git"
    git(place.work, "remote", "remove", "origin")
    assert push_location(work, None) == work
    bare = locate(str(place.server))
    assert push_location(bare, None) == bare


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_commits_are_signed_with_an_ssh_key(place: Place, tmp_path: Path) -> None:
    key = tmp_path / "signing key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signed = place.branches(signing=Signing(key_file=str(key)))
    commit = signed.commit(place.head, {"a.tf": b"a"}, "m\n", NOON)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"driftguard@acme.example {key.with_name('signing key.pub').read_text()}")
    git(place.repository.mirror, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", commit)
    assert signed.commit(place.head, {"a.tf": b"a"}, "m\n", NOON) == commit


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_key_that_asks_for_a_passphrase_is_an_error_and_no_question(place: Place, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "passphrase", "-f", str(key)], check=True)
    for path in (key, tmp_path / "missing"):
        with pytest.raises(OperatorError, match="a signed commit"):
            place.branches(signing=Signing(key_file=str(path))).commit(place.head, {"a.tf": b"a"}, "m\n", NOON)


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
def test_commits_are_signed_with_an_openpgp_key(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Path("/tmp") / f"driftguard-gpg-{os.getpid()}"  # the path of its socket may not be long
    ring.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(ring))
    try:
        made = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "driftguard@acme.example"]
        subprocess.run([*made, "ed25519", "sign"], check=True, capture_output=True)
        signing = Signing(format="openpgp", key_id="driftguard@acme.example")
        commit = place.branches(signing=signing).commit(place.head, {"a.tf": b"a"}, "m\n", NOON)
        git(place.repository.mirror, "verify-commit", commit)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False)
        shutil.rmtree(ring, ignore_errors=True)
