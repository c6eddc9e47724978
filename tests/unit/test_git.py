"""The repository through our mirror: the user's files stay untouched, hostile names stay names, secrets stay out."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from driftguard.adapters.folders import folder_name
from driftguard.adapters.git.repository import GitRepository, open_repository
from driftguard.errors import OperatorError, UsageError
from tests.support.harness import Sandbox

TOKEN = "t0ken-c4nary"


@pytest.fixture
def user(tmp_path: Path) -> Sandbox:
    sandbox = Sandbox(tmp_path / "home", {})
    sandbox.commit("first", {"a.tf": "1", "environments/dev/main.tf": "2"})
    return sandbox


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fingerprint(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_head_is_the_tracked_branchs(user: Sandbox, cache: Path) -> None:
    head = user.git("rev-parse", "HEAD")
    user.git("checkout", "-q", "-b", "other")
    user.commit("second", {"a.tf": "changed"})
    assert open_repository(str(user.repository), cache, "main").head == head
    assert open_repository(str(user.repository), cache).ref == "other"


def test_a_place_inside_of_the_work_tree_will_do(user: Sandbox, cache: Path) -> None:
    opened = open_repository(str(user.repository / "environments" / "dev"), cache)
    assert opened.local_root == user.repository.resolve()


def test_a_detached_work_tree_is_read_at_its_commit(user: Sandbox, cache: Path) -> None:
    user.commit("second", {"a.tf": "changed"})
    user.git("checkout", "-q", "--detach", "HEAD~1")
    opened = open_repository(str(user.repository), cache)
    assert (opened.ref, opened.head) == ("HEAD", user.git("rev-parse", "HEAD"))


def test_new_commits_and_rewritten_branches_are_fetched(user: Sandbox, cache: Path) -> None:
    first = open_repository(str(user.repository), cache)
    user.git("commit", "-q", "--amend", "-m", "rewritten")
    second = open_repository(str(user.repository), cache)
    assert second.head == user.git("rev-parse", "HEAD") != first.head
    assert second.file(first.head, "a.tf") == b"1"  # what was a baseline once stays readable
    assert not second.is_ancestor(first.head, second.head)


def test_the_users_repository_stays_byte_identical(user: Sandbox, cache: Path) -> None:
    user.write("environments/dev/main.tf", "not committed")
    user.git("add", "--all")
    user.write("untracked.txt", "x")
    before = fingerprint(user.repository)
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head, "dev") as tree:
        assert (tree / "environments/dev/main.tf").read_text() == "2"
    opened.commits(None, opened.head, ["a.tf"])
    assert fingerprint(user.repository) == before


def test_variables_of_a_surrounding_git_do_not_lead_elsewhere(
    user: Sandbox, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head, "dev") as tree:
        assert (tree / "a.tf").read_text() == "1"
    assert not (tmp_path / "elsewhere").exists()


def test_the_tree_lists_files_links_and_odd_names(user: Sandbox, cache: Path) -> None:
    (user.repository / "link").symlink_to("a.tf")
    head = user.commit("odd", {"sp ace/ünï\tcode.tf": "x", "-dash": "y"})
    tree = open_repository(str(user.repository), cache).tree(head)
    assert set(tree) == {"a.tf", "environments/dev/main.tf", "link", "sp ace/ünï\tcode.tf", "-dash"}
    assert tree["link"].mode == "120000"


def test_a_blob_is_looked_at_once_for_all_closures_that_have_it(user: Sandbox, cache: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12\n"
    commit = user.commit("contents", {"a.zip": pointer, "b.txt": "x" * 200, "c.txt": "short"})
    repository = open_repository(str(user.repository), cache)
    blobs = {path: repository.tree(commit)[path].object_id for path in ("a.zip", "b.txt", "c.txt")}
    assert repository.lfs_missing([*blobs.values()]).keys() == {blobs["a.zip"]}
    shutil.rmtree(repository.mirror / "objects")  # what is asked of git from now on fails
    assert repository.lfs_missing([*blobs.values()]).keys() == {blobs["a.zip"]}
    assert repository.lfs_missing([blobs["b.txt"]]) == {}


def test_commits_are_those_that_touch_a_path(user: Sandbox, cache: Path) -> None:
    base = user.git("rev-parse", "HEAD")
    user.commit("other", {"b.tf": "x"})
    wanted = user.commit("wanted", {"a.tf": "x"})
    opened = open_repository(str(user.repository), cache)
    (found,) = opened.commits(base, opened.head, ["a.tf"])
    assert (found.sha, found.author, found.subject) == (wanted, "Ada", "wanted")
    assert opened.commits(None, opened.head, ["a.tf"]) == ()


def test_a_merge_counts_with_what_it_brought(user: Sandbox, cache: Path) -> None:
    base = user.git("rev-parse", "HEAD")
    user.git("checkout", "-q", "-b", "feature")
    user.commit("on a branch", {"a.tf": "branch"})
    user.git("checkout", "-q", "main")
    user.git("merge", "-q", "--no-ff", "-m", "merge it", "feature")
    opened = open_repository(str(user.repository), cache)
    ((merge, touched),) = opened.first_parents(base, opened.head)
    assert (merge.subject, touched) == ("merge it", frozenset({"a.tf"}))


def test_what_a_commit_states_of_itself_cannot_confuse_the_reading(user: Sandbox, cache: Path) -> None:
    base = user.git("rev-parse", "HEAD")
    user.write("a.tf", "x")
    user.git("add", "--all")
    subject = ":100644 \x01 \x02 odd"
    user.git("-c", "user.name=\x02A", "commit", "-q", "-m", subject)
    user.git("config", "--global", "log.showSignature", "true")
    opened = open_repository(str(user.repository), cache)
    (found,) = opened.commits(base, opened.head, ["a.tf"])
    assert found.subject == subject


def test_a_date_beyond_all_calendars_is_read(user: Sandbox, cache: Path) -> None:
    tree, parent = user.git("rev-parse", "HEAD^{tree}"), user.git("rev-parse", "HEAD")
    raw = f"tree {tree}\nparent {parent}\nauthor A <a> 9999999999999 +0000\ncommitter A <a> 9999999999999 +0000\n\nx\n"
    file = user.home / "raw"
    file.write_text(raw)
    user.git("reset", "-q", "--hard", user.git("hash-object", "-t", "commit", "-w", str(file)))
    opened = open_repository(str(user.repository), cache)
    ((commit, touched),) = opened.first_parents(parent, opened.head)
    assert (commit.date.year, touched) == (9999, frozenset())


def test_a_name_that_is_no_text_can_be_hashed_and_printed(user: Sandbox, cache: Path) -> None:
    (user.repository / os.fsdecode(b"\xff.tf")).write_text("x")
    base = user.git("rev-parse", "HEAD")
    head = user.commit("latin", {})
    opened = open_repository(str(user.repository), cache)
    (name,) = set(opened.tree(head)) - {"a.tf", "environments/dev/main.tf"}
    assert name.encode().decode() == r"\xff.tf"
    assert len(opened.commits(base, head, [name])) == 1


def test_a_commit_that_is_gone_is_an_answer_and_no_failure(user: Sandbox, cache: Path) -> None:
    opened = open_repository(str(user.repository), cache)
    gone = "1" * 40
    assert not opened.exists(gone)
    assert opened.tree(gone) == {}
    assert opened.commits(gone, opened.head, ["a.tf"]) == ()
    assert not opened.is_ancestor(gone, opened.head)
    assert opened.file(gone, "a.tf") is None
    with pytest.raises(UsageError, match="is not a commit of main"):
        opened.resolve(gone)
    assert opened.exists(opened.head)
    assert opened.resolve(opened.head[:8]) == opened.head


def test_thousands_of_paths_are_no_problem(user: Sandbox, cache: Path) -> None:
    base = user.git("rev-parse", "HEAD")
    user.commit("second", {"a.tf": "changed"})
    opened = open_repository(str(user.repository), cache)
    paths = [f"{'long/' * 20}{number}" for number in range(30_000)]
    assert len(opened.commits(base, opened.head, [*paths, "a.tf"])) == 1


def test_a_branch_may_take_the_place_of_a_directory_of_branches(user: Sandbox, cache: Path) -> None:
    user.git("branch", "release")
    open_repository(str(user.repository), cache, "release")
    user.git("branch", "-m", "release", "release/1")
    assert open_repository(str(user.repository), cache, "release/1").ref == "release/1"


def test_a_clone_without_history_is_read_and_gets_its_history_later(user: Sandbox, cache: Path, tmp_path: Path) -> None:
    first = user.git("rev-parse", "HEAD")
    user.commit("second", {"a.tf": "2"})
    clone = tmp_path / "clone"
    user.git("clone", "-q", "--depth", "1", f"file://{user.repository}", str(clone))
    shallow = open_repository(str(clone), cache)
    assert shallow.file(shallow.head, "a.tf") == b"2"
    assert not shallow.exists(first)
    user.git("-C", str(clone), "fetch", "-q", "--unshallow")
    whole = open_repository(str(clone), cache)
    assert whole.is_ancestor(first, whole.head)
    assert len(whole.commits(first, whole.head, ["a.tf"])) == 1


def test_a_second_work_tree_of_the_users_is_read_at_its_own_branch(user: Sandbox, cache: Path, tmp_path: Path) -> None:
    user.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    assert open_repository(str(tmp_path / "side"), cache).ref == "side"


def test_a_bare_repository_and_a_file_url_will_do(user: Sandbox, cache: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    user.git("clone", "-q", "--bare", str(user.repository), str(bare))
    for location in (str(bare), f"file://{bare}"):
        opened = open_repository(location, cache)
        assert (opened.head, opened.local_root) == (user.git("rev-parse", "HEAD"), None)


def test_a_machine_that_trusts_no_bare_repository_found_by_chance_is_no_obstacle(
    user: Sandbox, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.git("config", "--global", "safe.bareRepository", "explicit")
    monkeypatch.setenv("HOME", str(user.home))
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head, "dev") as tree:
        assert (tree / "a.tf").read_text() == next(iter(opened.read([opened.tree(opened.head)["a.tf"].object_id])))[
            1
        ].decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_repository_of_another_user_is_reported(user: Sandbox, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(user.home))
    for path in (user.repository, user.repository / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(OperatorError, match="belongs to another user"):
        open_repository(str(user.repository), cache)


def test_no_hook_of_the_users_is_run(
    user: Sandbox, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran-$(basename $0)\n")
        (hooks / name).chmod(0o755)
    user.git("config", "--global", "core.hooksPath", str(hooks))
    monkeypatch.setenv("HOME", str(user.home))
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head, "dev"):
        pass
    assert not list(tmp_path.glob("ran-*"))


@pytest.mark.parametrize(
    "location",
    [
        "-x",
        "--upload-pack=touch pwned",
        "ext::sh -c 'touch pwned'",
        "fd::17",
        "ftp://x/y",
        "https://-oProxy=x/y",
        "ssh://-oProxyCommand=touch@x/y",
        "-oProxyCommand=x@y:z",
        "http://[x/y",
        "https://x/a\nb",
        "",
        " ",
        "~nobody-at-all/x",
    ],
)
def test_hostile_locations_are_refused(location: str, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_repository(location, cache)
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("ref", ["-x", "--all", "a..b", "a b", "refs/heads/../x", "", "@{-1}", "a\0b", "a\nb"])
def test_hostile_refs_are_refused(ref: str, user: Sandbox, cache: Path) -> None:
    with pytest.raises(UsageError):
        open_repository(str(user.repository), cache, ref)


def test_a_missing_branch_names_those_there_are(user: Sandbox, cache: Path) -> None:
    with pytest.raises(UsageError, match=r"no branch 'prod'.*branches: main"):
        open_repository(str(user.repository), cache, "prod")


def test_what_is_no_repository_is_reported(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_repository(str(tmp_path / "nowhere"), cache)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="not inside a git repository"):
        open_repository(str(tmp_path / "empty"), cache)


def test_an_unreachable_remote_is_one_sentence(cache: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be reached"):
        open_repository("https://127.0.0.1:9/acme/infra.git", cache)


def whole(tree: Path) -> Path:
    """The mark of a work tree that was made to its end."""
    return tree.with_name(f"{tree.name}.whole")


def test_a_work_tree_keeps_its_path_and_is_made_again_when_half_made(user: Sandbox, cache: Path) -> None:
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head, "dev") as tree, opened.worktree(opened.head, "prod") as other:
        assert tree != other
        assert whole(tree).exists()
    whole(tree).unlink()  # as a run leaves it that was killed while the files were written
    (opened.mirror / "worktrees" / tree.name / "locked").write_text("initializing")
    (tree / "a.tf").unlink()
    user.commit("second", {"a.tf": "2"})
    later = open_repository(str(user.repository), cache)
    with later.worktree(opened.head, "dev") as again:
        assert (again, (again / "a.tf").read_text()) == (tree, "1")
    with later.worktree(later.head, "dev") as again:
        assert (again, (again / "a.tf").read_text()) == (tree, "2")


def test_a_run_that_is_killed_while_a_work_tree_is_made_leaves_nothing_in_the_way(user: Sandbox, cache: Path) -> None:
    user.commit("many", {f"f/{number}": "x" * 1000 for number in range(3000)})
    opened = open_repository(str(user.repository), cache)
    process = start(user, cache)
    path = cache / "repos" / opened.mirror.parent.name / "trees" / folder_name("dev")
    while not (path / "f").is_dir() and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = open_repository(str(user.repository), cache)
    with again.worktree(again.head, "dev") as tree:
        assert len(list((tree / "f").iterdir())) == 3000


def test_locks_that_a_killed_run_left_are_no_obstacle(user: Sandbox, cache: Path) -> None:
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head, "dev") as tree:
        pass
    (ref,) = (opened.mirror / "refs" / "driftguard").iterdir()
    for lock in ("config.lock", "packed-refs.lock", "HEAD.lock", f"refs/driftguard/{ref.name}.lock"):
        (opened.mirror / lock).touch()
    (opened.mirror / "worktrees" / tree.name / "index.lock").touch()
    head = user.commit("second", {"a.tf": "2"})
    again = open_repository(str(user.repository), cache)
    assert again.head == head
    with again.worktree(opened.head, "dev") as tree:
        assert (tree / "a.tf").read_text() == "1"


@pytest.mark.parametrize("damage", ["none", "no mark", "no record"])
def test_a_work_tree_is_clean_for_each_user_but_a_state_that_was_not_stored_stays(
    user: Sandbox, cache: Path, damage: str
) -> None:
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head, "dev") as tree:
        (tree / "a.tf").write_text("dirty")
        user.write(".gitignore", "*.zip\n")
        (tree / "environments/dev/left.zip").write_text("left by an apply")
        (tree / "environments/dev/.terraform.lock.hcl").write_text("written by terraform")
        (tree / "environments/dev/errored.tfstate").write_text("the only copy")
    if damage == "no mark":
        whole(tree).unlink()
    if damage == "no record":
        shutil.rmtree(opened.mirror / "worktrees")
    head = user.commit("ignore archives, and remove the environment", {"environments/dev/main.tf": "3"})
    with open_repository(str(user.repository), cache).worktree(head, "dev"):
        assert (tree / "a.tf").read_text() == "1"
        assert not (tree / "environments/dev/left.zip").exists()
        assert (tree / "environments/dev/errored.tfstate").read_text() == "the only copy"
        assert (tree / "environments/dev/.terraform.lock.hcl").exists() is (damage == "none")


def test_unused_work_trees_are_pruned_but_not_in_use_and_not_with_a_state(user: Sandbox, cache: Path) -> None:
    opened = open_repository(str(user.repository), cache)
    trees = {}
    with opened.worktree(opened.head, "used") as kept:
        for name in ("old", "state", "new"):
            with opened.worktree(opened.head, name) as trees[name]:
                pass
        (trees["state"] / "errored.tfstate").write_text("the only copy")
        for tree in (kept, trees["old"], trees["state"]):
            os.utime(whole(tree), (0, 0))
        open_repository(str(user.repository), cache)
        found = {path for path in kept.parent.iterdir() if path.is_dir()}
        assert found == {kept, trees["state"], trees["new"]}


PROGRAM = (
    "import sys; from pathlib import Path; from driftguard.adapters.git.repository import open_repository\n"
    "r = open_repository(sys.argv[1], Path(sys.argv[2]))\n"
    "with r.worktree(r.head, 'dev') as t: print((t / 'a.tf').read_text())"
)


def start(user: Sandbox, cache: Path) -> subprocess.Popen[str]:
    """Another run, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(user.repository), str(cache)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_runs_at_the_same_time_do_not_disturb_one_another(user: Sandbox, cache: Path) -> None:
    for process in [start(user, cache) for _ in range(4)]:
        stdout, stderr = process.communicate(timeout=60)
        assert stdout.strip() == "1", stderr


def test_threads_take_turns_in_a_work_tree_and_share_a_reader(user: Sandbox, cache: Path) -> None:
    opened = open_repository(str(user.repository), cache)

    def work(number: int) -> tuple[str, bytes | None]:
        with opened.worktree(opened.head, "dev") as tree:
            return (tree / "a.tf").read_text(), opened.file(opened.head, "a.tf")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(40))) == {("1", b"1")}


def test_without_git_there_is_one_sentence(user: Sandbox, cache: Path) -> None:
    program = PROGRAM.replace("import sys", "import os, sys; os.environ['PATH'] = '/nowhere'", 1)
    done = subprocess.run(
        [sys.executable, "-c", program, str(user.repository), str(cache)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1] == (
        "driftguard.errors.OperatorError: git is not installed, or not on PATH. Install git 2.30 or newer."
    )


# --- credentials ---------------------------------------------------------------------------------


def all_command_lines() -> bytes:
    found = b""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += file.read_bytes()
    return found


@contextmanager
def git_server(project_root: Path, command_lines: list[bytes]) -> Iterator[str]:
    """git's own http-backend on loopback, behind Basic authentication; gives `host:port`.

    Args:
        command_lines: gets, at each request, the arguments of all processes of this machine.
    """
    backend = Path(subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip())
    wanted = "Basic " + base64.b64encode(f"ci:{TOKEN}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            command_lines.append(all_command_lines())
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            variables = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(project_root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": "ci",
            }
            if self.headers.get("Content-Encoding"):
                variables["HTTP_CONTENT_ENCODING"] = self.headers["Content-Encoding"]
            answer = subprocess.run(
                [str(backend / "git-http-backend")], env=variables, input=body, capture_output=True
            ).stdout
            head, _, content = answer.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def assert_token_nowhere(cache: Path, *elsewhere: bytes) -> None:
    """Not plain, nor as the header that carries it, in any file of the cache or in what else there is."""
    encoded = base64.b64encode(f"ci:{TOKEN}".encode())
    files = [file for file in cache.rglob("*") if file.is_file()]
    assert files
    for content in (*elsewhere, *(file.read_bytes() for file in files)):
        assert TOKEN.encode() not in content
        assert encoded not in content


def test_a_token_in_the_url_is_used_and_kept_nowhere(
    user: Sandbox, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    seen: list[bytes] = []
    with git_server(user.home, seen) as host:
        opened: GitRepository = open_repository(f"http://ci:{TOKEN}@{host}/infra/.git", cache)
        assert opened.head == user.git("rev-parse", "HEAD")
        assert opened.display == f"http://{host}/infra/.git"
        assert opened.local_root is None
        with opened.worktree(opened.head, "dev"):
            pass
    assert seen
    assert_token_nowhere(cache, *seen, caplog.text.encode(), repr(vars(opened)).encode())


def test_a_wrong_token_is_one_sentence_without_it(user: Sandbox, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    seen: list[bytes] = []
    with git_server(user.home, seen) as host, pytest.raises(OperatorError, match="refuses our credentials") as caught:
        open_repository(f"http://ci:wrong-{TOKEN}@{host}/infra/.git", cache)
    assert_token_nowhere(cache, *seen, caplog.text.encode(), repr(caught.value).encode())


def test_a_repository_that_is_not_there_is_one_sentence(user: Sandbox, cache: Path) -> None:
    with git_server(user.home, []) as host, pytest.raises(OperatorError, match="there is no such repository"):
        open_repository(f"http://ci:{TOKEN}@{host}/nothing/.git", cache)
    assert_token_nowhere(cache)


def test_a_server_that_never_answers_is_given_up(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = f"http://ci:{TOKEN}@127.0.0.1:{silent.getsockname()[1]}/x.git"
        with pytest.raises(OperatorError, match="did not answer in time") as caught:
            open_repository(location, cache, network_seconds=0.5)
    assert_token_nowhere(cache, str(caught.value).encode())
    assert location.rpartition("@")[2].encode() not in all_command_lines()
