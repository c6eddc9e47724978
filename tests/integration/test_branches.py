"""Commits that DriftGuard makes and pushes: real git, over a path and over HTTP with a password."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from driftguard.adapters.git.branches import GitBranches, push_location
from driftguard.adapters.git.locations import HostToken, Location, locate, with_token
from driftguard.adapters.git.repository import GitRepository, open_repository
from driftguard.config import Signing
from driftguard.errors import ForgeFault, OperatorError, UsageError
from tests.support.git_server import GitServer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHOR = "DriftGuard <driftguard@acme.example>"
BRANCH = "driftguard/dev/0123456789ab"
ODD = ("ü ≠ 😀.tf", "with space and 'quotes' \".tf", "-dash.tf", "new\nline.tf", "a*b?.tf", "deep/er/file.tf")


def git(folder: Path, *arguments: str) -> str:
    ada = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
    ada |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in ada.items()}
    environment = {**os.environ, **ada, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def flags(fault: ForgeFault) -> tuple[bool, bool, bool]:
    return fault.denied, fault.missing, fault.perhaps_done


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
        git(self.work, "commit", "--quiet", "-m", "first")
        git(self.work, "push", "--quiet", "origin", "HEAD:main")
        self.cache = folder / "cache"
        self.repository: GitRepository = open_repository(str(self.work), self.cache)
        self.head = self.repository.head

    def branches(self, location: Location | None = None, signing: Signing | None = None) -> GitBranches:
        place = location or locate(str(self.server))
        return GitBranches(self.repository.mirror, place, author=AUTHOR, signing=signing)

    def commit(self, content: bytes = b"a") -> str:
        return self.branches().commit(self.head, {"a.tf": content}, "m\n", NOON)

    def hook(self, name: str, script: str) -> Path:
        """Make the server run a script for each push."""
        hook = self.server / "hooks" / name
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)
        return hook

    def tip(self, branch: str = BRANCH) -> str | None:
        listed = git(self.server, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return listed or None


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    # A user whose own settings would sign, rewrite, refuse and add to a push.
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[commit]\n gpgSign = true\n[user]\n name = Somebody\n email = x@y\n[core]\n autocrlf = true\n"
        "[init]\n defaultBranch = main\n[safe]\n directory = *\n"
        "[push]\n gpgSign = true\n followTags = true\n pushOption = ci.skip\n recurseSubmodules = check\n"
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
    ids = {place.commit() for _ in range(2)}
    assert len(ids) == 1
    assert place.branches().commit(place.head, {"a.tf": b"b"}, "m\n", NOON) not in ids


def test_a_path_that_leaves_the_repository_is_refused(place: Place) -> None:
    outside = ("/etc/passwd", "../x", "a/../b", ".git/config", "a/.GIT/hooks/x", "", "a\0b", "a\udcff.tf")
    for path in (*outside, "./a.tf", "a//b.tf", "a/"):
        with pytest.raises(OperatorError, match="not a file that a commit may hold"):
            place.branches().commit(place.head, {path: b"x"}, "m\n", NOON)


def test_a_file_does_not_take_the_place_of_something_else(place: Place) -> None:
    branches = place.branches()
    with pytest.raises(OperatorError, match="a link or a submodule"):
        branches.commit(place.head, {"link.tf": b"x"}, "m\n", NOON)
    base = branches.commit(place.head, {"deep/er/file.tf": b"1"}, "m\n", NOON)
    for files in ({"old.tf/x": b""}, {"link.tf/x": b""}, {"deep/er": b""}, {"deep": None}, {"n": b"", "n/x": b""}):
        with pytest.raises(OperatorError, match="folder"):
            branches.commit(base, files, "m\n", NOON)
    both = branches.commit(base, {"old.tf/x": b"", "old.tf": None}, "m\n", NOON)
    assert set(place.repository.tree(both)) == {"old.tf/x", "link.tf", "run.sh", "deep/er/file.tf"}


def test_what_is_not_one_commit_or_one_branch_is_never_handed_to_git(place: Place) -> None:
    branches = place.branches()
    for name in ("--output=/tmp/x", "HEAD", "", "+" + "0" * 40, "a" * 39):
        with pytest.raises(OperatorError, match="not the id of a commit"):
            branches.commit(name, {}, "m\n", NOON)
        for commit, expected in ((name, None), (place.head, name)):
            with pytest.raises(OperatorError, match="not the id of a commit"):
                branches.push(BRANCH, commit, expected)
    for name in ("a:refs/heads/main", "", "-x", "a b", "a*", "../main", "a\nb"):
        with pytest.raises(OperatorError, match="not a branch's name"):
            branches.push(name, place.head, None)
    assert git(place.server, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_a_message_is_any_text_and_ends_with_a_line_end(place: Place) -> None:
    for message, stored in (("no end", "no end\n"), ("-m\n\n# kept\n", "-m\n\n# kept\n"), ("a\0b\udcff", "a?b?\n")):
        commit = place.branches().commit(place.head, {"a.tf": b"a"}, message, NOON)
        made = subprocess.run(["git", "cat-file", "commit", commit], cwd=place.repository.mirror, capture_output=True)
        assert made.stdout.partition(b"\n\n")[2] == stored.encode()


def test_a_commit_of_ours_can_be_planned(place: Place) -> None:
    with place.repository.worktree(place.commit(), "dev") as folder:
        assert (folder / "a.tf").read_bytes() == b"a"


def test_a_branch_is_pushed_moved_and_deleted_only_from_where_it_is_expected(place: Place) -> None:
    branches, (one, two, three) = place.branches(), (place.commit(text) for text in (b"1", b"2", b"3"))
    branches.push(BRANCH, one, None)
    branches.push(BRANCH, one, None)  # done already
    assert branches.listed("driftguard/") == {BRANCH: one}
    for expected in (None, three):
        with pytest.raises(ForgeFault, match="it was moved meanwhile") as refused:
            branches.push(BRANCH, two, expected)
        assert not refused.value.denied
    branches.push(BRANCH, two, one)
    with pytest.raises(ForgeFault, match="it was moved meanwhile"):
        branches.delete(BRANCH, one)
    assert place.tip() == two
    branches.delete(BRANCH, two)
    branches.delete(BRANCH, two)
    assert (place.tip(), branches.listed("driftguard/")) == (None, {})


def test_a_server_that_refuses_is_distinguished_from_one_that_is_away(place: Place) -> None:
    branches, commit = place.branches(), place.commit()
    place.hook("pre-receive", "echo 'protected, ask https://ada:s3cretword@example.org/' >&2\nexit 1")
    with pytest.raises(ForgeFault, match="may push branches there") as refused:
        branches.push(BRANCH, commit, None)
    assert refused.value.denied
    assert "s3cretword" not in str(refused.value)
    shutil.rmtree(place.server)
    with pytest.raises(ForgeFault, match="could not be pushed") as away:
        branches.push(BRANCH, commit, None)
    assert flags(away.value) == (False, True, False)
    with pytest.raises(ForgeFault, match="could not be listed"):
        branches.listed("driftguard/")
    nobody = place.branches(Location("http://127.0.0.1:9/infra.git", "http://127.0.0.1:9/infra.git"))
    with pytest.raises(ForgeFault, match="could not be pushed") as unreachable:
        nobody.push(BRANCH, commit, None)
    assert flags(unreachable.value) == (False, False, True)


def test_a_server_in_trouble_is_distinguished_from_one_that_refuses(place: Place) -> None:
    lock = place.server / "refs" / "heads" / f"{BRANCH}.lock"  # as another push of the server's would hold it
    lock.parent.mkdir(parents=True)
    lock.touch()
    with pytest.raises(ForgeFault, match="next run retries") as trouble:
        place.branches().push(BRANCH, place.commit(), None)
    assert not trouble.value.denied
    lock.unlink()
    place.branches().push(BRANCH, place.commit(), None)
    assert place.tip() == place.commit()


def test_a_server_that_does_not_answer_is_left_after_some_time(place: Place) -> None:
    place.hook("pre-receive", "exec sleep 5")
    where = locate(str(place.server))
    slow = GitBranches(place.repository.mirror, where, author=AUTHOR, signing=None, network_seconds=0.8)
    with pytest.raises(ForgeFault, match="did not answer in time") as late:
        slow.push(BRANCH, place.commit(), None)
    assert not late.value.denied


def test_an_answer_that_was_lost_after_the_push_counts(place: Place) -> None:
    place.hook("post-receive", "kill -9 $PPID")  # the push is done when this runs
    place.branches().push(BRANCH, place.commit(), None)
    assert place.tip() == place.commit()


def test_an_answer_that_was_lost_on_the_way_counts_if_the_branch_is_there(place: Place) -> None:
    with GitServer(place.server.parent, "x-access-token", "t0ken-word") as server:
        branches = place.branches(locate(server.url("infra.git")))
        one, two = (place.commit(text) for text in (b"1", b"2"))
        server.lost_answers = 1
        branches.push(BRANCH, one, None)
        assert (place.tip(), server.lost_answers) == (one, 0)
        server.lost_answers = 1
        branches.delete(BRANCH, one)
        assert (place.tip(), server.lost_answers) == (None, 0)
        server.lost_answers, server.away_after_loss = 1, True
        with pytest.raises(ForgeFault, match="Whether it arrived is not known") as unknown:
            branches.push(BRANCH, two, None)
        assert unknown.value.perhaps_done
        assert place.tip() == two


def test_who_may_read_but_not_push_is_denied(place: Place) -> None:
    with GitServer(place.server.parent, "x-access-token", "t0ken-word") as server:
        server.writable = False
        branches = place.branches(locate(server.url("infra.git")))
        with pytest.raises(ForgeFault, match="403") as refused:
            branches.push(BRANCH, place.commit(), None)
        assert refused.value.denied
        assert branches.listed("ma") == {"main": place.head}


@pytest.mark.parametrize(
    "refusal",
    [
        (403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."),
        (403, "You have triggered an abuse detection mechanism."),
        (429, "Retry later"),
    ],
)
def test_a_rate_limit_of_the_git_server_is_no_missing_permission(place: Place, refusal: tuple[int, str]) -> None:
    with GitServer(place.server.parent, "x-access-token", "t0ken-word") as server:
        url = server.url("infra.git")
        branches, server.refusal = place.branches(locate(url)), refusal
        for attempt in (lambda: branches.push(BRANCH, place.commit(), None), lambda: branches.listed("driftguard/")):
            with pytest.raises(ForgeFault, match="rate limit exceeded") as limited:
                attempt()
            assert flags(limited.value) == (False, False, False)
            assert limited.value.retry_after_seconds == 60
        with pytest.raises(OperatorError, match="its rate limit is exceeded"):
            open_repository(url, place.cache / "other")


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps is not installed")
def test_credentials_stand_on_no_command_line_and_in_no_error(place: Place) -> None:
    pair = base64.b64encode(b"x-access-token:t0ken-word").decode()
    seen = place.server.parent / "seen"
    place.hook("pre-receive", f"ps -eww -o args >'{seen}'\necho 'you are {pair}, t0ken-word' >&2\nexit 1")
    protected = pytest.raises(ForgeFault, match="you are")
    with GitServer(place.server.parent, "x-access-token", "t0ken-word") as server, protected as refused:
        place.branches(locate(server.url("infra.git"))).push(BRANCH, place.commit(), None)
    running = seen.read_text()
    assert f"{place.commit()}:refs/heads/{BRANCH}" in running
    for secret in ("t0ken-word", pair):
        assert secret not in running
        assert secret not in str(refused.value)


def test_runs_side_by_side_push_their_own_branches_and_one_wins_a_shared_one(place: Place) -> None:
    def own(number: int) -> str:
        commit = place.branches().commit(place.head, {f"{number}.tf": b"a"}, "m\n", NOON)
        place.branches().push(f"driftguard/{number}", commit, None)
        return commit

    with ThreadPoolExecutor(4) as pool:
        commits = list(pool.map(own, range(4)))
        assert place.branches().listed("driftguard/") == {f"driftguard/{n}": c for n, c in enumerate(commits)}
        asked = {commit: pool.submit(place.branches().push, BRANCH, commit, None) for commit in commits}
    faults = {commit: str(push.exception()) for commit, push in asked.items() if push.exception()}
    assert set(commits) - set(faults) == {place.tip()}
    assert all("it was moved meanwhile" in said for said in faults.values())


def test_a_run_that_is_killed_while_it_pushes_leaves_nothing_in_the_way(place: Place, tmp_path: Path) -> None:
    started = tmp_path / "started"
    hook = place.hook("pre-receive", f"touch '{started}'\nexec sleep 20")
    program = (
        "import sys; from pathlib import Path\n"
        "from driftguard.adapters.git.branches import GitBranches\n"
        "from driftguard.adapters.git.locations import locate\n"
        "branches = GitBranches(Path(sys.argv[1]), locate(sys.argv[2]), author='a <b>', signing=None)\n"
        "branches.push(*sys.argv[3:], None)\n"
    )
    given = (str(place.repository.mirror), str(place.server), BRANCH, place.commit())
    killed = subprocess.Popen([sys.executable, "-c", program, *given], start_new_session=True)
    while not started.exists() and killed.poll() is None:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert started.exists()
    assert place.tip() is None
    hook.unlink()
    assert not list(place.repository.mirror.rglob("*.lock"))
    open_repository(str(place.work), place.cache)
    place.branches().push(BRANCH, place.commit(), None)
    assert place.tip() == place.commit()
    git(place.server, "fsck", "--strict")


def test_a_branch_is_pushed_from_a_copy_without_history(place: Place, tmp_path: Path) -> None:
    (place.work / "old.tf").write_text("new\n")
    git(place.work, "commit", "-qam", "2")
    git(place.work, "push", "--quiet", "origin", "HEAD:main")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{place.server}", "shallow")
    repository = open_repository(str(tmp_path / "shallow"), tmp_path / "cache-of-ci")
    assert (repository.mirror / "shallow").exists()
    where = push_location(locate(str(tmp_path / "shallow")), None)
    branches = GitBranches(repository.mirror, where, author=AUTHOR, signing=None)
    branches.push(BRANCH, branches.commit(repository.head, {"a.tf": b"a"}, "m\n", NOON), None)
    assert git(place.server, "rev-list", "--count", BRANCH) == "3"


class GivenToken:
    """A token that never changes."""

    def __init__(self, word: str) -> None:
        self._word = word

    def token(self) -> str:
        return self._word


def host_token(host: str, word: str, **more: bool) -> HostToken:
    return HostToken(host, "x-access-token", GivenToken(word), **more)


def test_a_token_travels_to_its_host_alone_and_is_shown_to_no_user(place: Place) -> None:
    with GitServer(place.server.parent, "x-access-token", "t0ken-word") as server:
        plain = replace(locate(server.url("infra.git")), credentials={})
        commit = place.commit()
        wrong = with_token(plain, host_token("127.0.0.1", "wr0ng-word"))
        for location in (plain, wrong, with_token(plain, host_token("elsewhere.example", "t0ken-word"))):
            with pytest.raises(ForgeFault) as refused:
                place.branches(location).push(BRANCH, commit, None)
            assert "-word" not in str(refused.value)
            assert refused.value.denied
        place.branches(with_token(plain, host_token("127.0.0.1", "t0ken-word"))).push(BRANCH, commit, None)
    assert place.tip() == commit


def test_a_token_is_not_sent_where_others_can_read_it(place: Place) -> None:
    def given(url: str, **more: bool) -> bool:
        return bool(with_token(locate(url), host_token("git.example.org", "t0ken-word", **more)).variables())

    assert given("https://git.example.org/infra.git")
    assert not given("http://git.example.org/infra.git")
    assert given("http://git.example.org/infra.git", plain_http=True)
    assert not given("https://git.example.org.evil.example/infra.git")
    assert not given("ssh://git@git.example.org/infra.git")
    own = locate("https://ada:her-word@git.example.org/infra.git")
    assert with_token(own, host_token("git.example.org", "t0ken-word")) == own


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
    for url in ("github-of-acme:acme/infra.git", "git@git.example.org:acme/infra.git"):
        git(place.work, "remote", "set-url", "origin", url)
        assert push_location(work, None).source == url
    git(place.work, "remote", "set-url", "origin", "../gone.git")
    with pytest.raises(UsageError, match=r"remote `origin`: .*gone\.git does not exist\. Set forge\.push_url"):
        push_location(work, None)
    for url in ("ext::sh -c 'touch /tmp/x'", "--upload-pack=x", "fd::3"):
        with pytest.raises(UsageError, match=r"forge\.push_url"):
            push_location(work, url)
    git(place.work, "remote", "remove", "origin")
    for location in (work, locate(str(place.server))):
        assert push_location(location, None) == location


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
    for name, said in (("locked", "incorrect passphrase"), ("missing", "No such file"), ("-f", "No such file")):
        with pytest.raises(OperatorError, match=f"could not be signed with .*{name}.*{said}"):
            place.branches(signing=Signing(key_file=str(tmp_path / name))).commit(
                place.head, {"a.tf": b"a"}, "m\n", NOON
            )


def test_who_commits_and_with_which_key_must_be_stated_properly(place: Place) -> None:
    where = locate(str(place.server))
    for author in ("DriftGuard", " <a@b>", "a@b", "DriftGuard <a@b"):
        with pytest.raises(UsageError, match="Name <address>"):
            GitBranches(place.repository.mirror, where, author=author, signing=None)
    with pytest.raises(UsageError, match="not an absolute path"):
        place.branches(signing=Signing(key_file="ssh-keys/id"))


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
