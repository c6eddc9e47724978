"""The repository through our mirror: the user's files stay untouched, hostile names stay names, secrets stay out."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from driftguard.adapters.git import GitRepository, open_repository
from driftguard.errors import OperatorError, UsageError
from tests.world.harness import World

TOKEN = "t0ken-c4nary"


@pytest.fixture
def user(tmp_path: Path) -> World:
    world = World(tmp_path / "home", {})
    world.commit("first", {"a.tf": "1", "environments/dev/main.tf": "2"})
    return world


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fingerprint(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_head_is_the_tracked_branchs(user: World, cache: Path) -> None:
    head = user.git("rev-parse", "HEAD")
    user.git("checkout", "-q", "-b", "other")
    user.commit("second", {"a.tf": "changed"})
    assert open_repository(str(user.repository), cache, "main").head == head
    assert open_repository(str(user.repository), cache).ref == "other"


def test_a_place_inside_of_the_work_tree_will_do(user: World, cache: Path) -> None:
    opened = open_repository(str(user.repository / "environments" / "dev"), cache)
    assert opened.local_root == user.repository.resolve()


def test_a_detached_work_tree_is_read_at_its_commit(user: World, cache: Path) -> None:
    user.commit("second", {"a.tf": "changed"})
    user.git("checkout", "-q", "--detach", "HEAD~1")
    opened = open_repository(str(user.repository), cache)
    assert (opened.ref, opened.head) == ("HEAD", user.git("rev-parse", "HEAD"))


def test_new_commits_and_rewritten_branches_are_fetched(user: World, cache: Path) -> None:
    first = open_repository(str(user.repository), cache)
    user.git("commit", "-q", "--amend", "-m", "rewritten")
    second = open_repository(str(user.repository), cache)
    assert second.head == user.git("rev-parse", "HEAD") != first.head
    assert second.file(first.head, "a.tf") == b"1"  # what was a baseline once stays readable
    assert not second.is_ancestor(first.head, second.head)


def test_the_users_repository_stays_byte_identical(user: World, cache: Path) -> None:
    user.write("environments/dev/main.tf", "not committed")
    user.git("add", "--all")
    user.write("untracked.txt", "x")
    before = fingerprint(user.repository)
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head) as tree:
        assert (tree / "environments/dev/main.tf").read_text() == "2"
    opened.commits(None, opened.head, ["a.tf"])
    assert fingerprint(user.repository) == before


def test_variables_of_a_surrounding_git_do_not_lead_elsewhere(
    user: World, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head) as tree:
        assert (tree / "a.tf").read_text() == "1"
    assert not (tmp_path / "elsewhere").exists()


def test_the_tree_lists_files_links_and_odd_names(user: World, cache: Path) -> None:
    (user.repository / "link").symlink_to("a.tf")
    head = user.commit("odd", {"sp ace/ünï\tcode.tf": "x", "-dash": "y"})
    tree = open_repository(str(user.repository), cache).tree(head)
    assert set(tree) == {"a.tf", "environments/dev/main.tf", "link", "sp ace/ünï\tcode.tf", "-dash"}
    assert tree["link"].mode == "120000"


def test_commits_are_those_that_touch_a_path(user: World, cache: Path) -> None:
    base = user.git("rev-parse", "HEAD")
    user.commit("other", {"b.tf": "x"})
    wanted = user.commit("wanted", {"a.tf": "x"})
    opened = open_repository(str(user.repository), cache)
    (found,) = opened.commits(base, opened.head, ["a.tf"])
    assert (found.sha, found.author, found.subject) == (wanted, "Ada", "wanted")
    assert opened.commits(None, opened.head, ["a.tf"]) == ()


def test_a_merge_counts_with_what_it_brought(user: World, cache: Path) -> None:
    base = user.git("rev-parse", "HEAD")
    user.git("checkout", "-q", "-b", "feature")
    user.commit("on a branch", {"a.tf": "branch"})
    user.git("checkout", "-q", "main")
    user.git("merge", "-q", "--no-ff", "-m", "merge it", "feature")
    opened = open_repository(str(user.repository), cache)
    ((merge, touched),) = opened.first_parents(base, opened.head)
    assert (merge.subject, touched) == ("merge it", {"a.tf"})


@pytest.mark.parametrize(
    "location",
    ["-x", "--upload-pack=touch pwned", "ext::sh -c 'touch pwned'", "fd::17", "ftp://x/y", "https://-oProxy=x/y"],
)
def test_hostile_locations_are_refused(location: str, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_repository(location, cache)
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("ref", ["-x", "--all", "a..b", "a b", "refs/heads/../x", ""])
def test_hostile_refs_are_refused(ref: str, user: World, cache: Path) -> None:
    with pytest.raises(UsageError):
        open_repository(str(user.repository), cache, ref)


def test_a_missing_branch_names_those_there_are(user: World, cache: Path) -> None:
    with pytest.raises(UsageError, match=r"no branch 'prod'.*branches: main"):
        open_repository(str(user.repository), cache, "prod")


def test_what_is_no_repository_is_said_so(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_repository(str(tmp_path / "nowhere"), cache)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="not inside a git repository"):
        open_repository(str(tmp_path / "empty"), cache)


def test_an_unreachable_remote_is_one_sentence(cache: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be reached"):
        open_repository("https://127.0.0.1:9/acme/infra.git", cache)


def test_a_work_tree_is_shared_and_made_again_when_half_made(user: World, cache: Path) -> None:
    opened = open_repository(str(user.repository), cache)
    with opened.worktree(opened.head) as tree, opened.worktree(opened.head) as same:
        assert tree == same
        mark = tree.with_suffix(".whole")
        assert mark.exists()
    mark.unlink()  # as a run leaves it that was killed while the files were written
    (tree / "a.tf").unlink()
    with opened.worktree(opened.head) as tree:
        assert (tree / "a.tf").read_text() == "1"


def test_old_work_trees_are_pruned_and_those_in_use_stay(user: World, cache: Path) -> None:
    opened = open_repository(str(user.repository), cache)
    first = opened.head
    with opened.worktree(first) as kept:
        for number in range(6):
            user.commit(f"c{number}", {"a.tf": f"v{number}"})
            opened = open_repository(str(user.repository), cache)
            with opened.worktree(opened.head):
                pass
        assert kept.is_dir()
        open_repository(str(user.repository), cache)
        trees = [path for path in kept.parent.iterdir() if path.is_dir()]
        assert len(trees) <= 5
        assert (kept / "a.tf").exists()


def test_two_processes_at_once_do_not_disturb_one_another(user: World, cache: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from driftguard.adapters.git import open_repository\n"
        "r = open_repository(sys.argv[1], Path(sys.argv[2]))\n"
        "with r.worktree(r.head) as t: print((t / 'a.tf').read_text())"
    )
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, "-c", program, str(user.repository), str(cache)]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in running:
        stdout, stderr = process.communicate(timeout=60)
        assert stdout.strip() == "1", stderr


# --- credentials ---------------------------------------------------------------------------------


@contextmanager
def git_server(project_root: Path) -> Iterator[str]:
    """git's own http-backend on loopback, behind Basic authentication; gives `host:port`."""
    backend = Path(subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip())
    wanted = "Basic " + base64.b64encode(f"ci:{TOKEN}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
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


def assert_token_nowhere(cache: Path) -> None:
    encoded = base64.b64encode(f"ci:{TOKEN}".encode())
    for file in cache.rglob("*"):
        if file.is_file():
            assert TOKEN.encode() not in file.read_bytes(), file
            assert encoded not in file.read_bytes(), file


def test_a_token_in_the_url_is_used_and_kept_nowhere(user: World, cache: Path) -> None:
    with git_server(user.home) as host:
        opened: GitRepository = open_repository(f"http://ci:{TOKEN}@{host}/infra/.git", cache)
        assert opened.head == user.git("rev-parse", "HEAD")
        assert opened.display == f"http://{host}/infra/.git"
        assert opened.local_root is None
    assert_token_nowhere(cache)


def test_a_wrong_token_is_one_sentence_without_it(user: World, cache: Path) -> None:
    with git_server(user.home) as host, pytest.raises(OperatorError, match="refuses our credentials") as caught:
        open_repository(f"http://ci:wrong-{TOKEN}@{host}/infra/.git", cache)
    assert TOKEN not in str(caught.value)
    assert_token_nowhere(cache)
