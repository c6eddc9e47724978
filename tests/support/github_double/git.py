"""Git as GitHub does it on its side: a bare repository, read and merged with plumbing."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

WEB_FLOW = ("GitHub", "noreply@github.com")


class Conflict(Exception):
    """The two sides cannot be merged."""


@dataclass(frozen=True)
class GitCommit:
    """One commit as git keeps it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, str]
    committer: tuple[str, str]
    date: str
    message: str


class BareRepository:
    """A bare repository on disk; tests push to `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers: dict[tuple[str, ...], str] = {}
        if not path.exists():
            subprocess.run(
                ["git", "init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path)],
                check=True,
                env=_variables(),
            )

    def run(self, *arguments: str, cwd: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
        """What git prints; `CalledProcessError` when it fails."""
        where = ["-C", str(cwd)] if cwd else ["--git-dir", str(self.path)]
        command = ["git", *where, *arguments]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**_variables(), **(variables or {})}
        )
        return done.stdout.rstrip("\n")

    def remembered(self, *arguments: str) -> str:
        """What git prints about commits that are named by their ids, which never changes."""
        if arguments not in self._answers:
            self._answers[arguments] = self.run(*arguments)
        return self._answers[arguments]

    def tip(self, branch: str) -> str | None:
        """The commit at the head of a branch."""
        loose = self.path / "refs" / "heads" / branch
        if loose.is_file():
            return loose.read_text().strip()
        if not (self.path / "packed-refs").exists():
            return None
        return self.resolve(f"refs/heads/{branch}")

    def resolve(self, name: str) -> str | None:
        """The commit that a name stands for."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except subprocess.CalledProcessError:
            return None

    def keep(self, name: str, commit: str) -> None:
        """Set a reference."""
        self.run("update-ref", name, commit)

    def commits(self, base: str, head: str) -> list[str]:
        """The commits that are in `head` and not in `base`, oldest first."""
        return self.remembered("rev-list", "--reverse", "--topo-order", f"{base}..{head}").split()

    def contains(self, commit: str, ancestor: str) -> bool:
        return self.remembered("rev-list", "--count", f"{commit}..{ancestor}") == "0"

    def commit(self, sha: str) -> GitCommit:
        fields = "%T%x00%P%x00%an%x00%ae%x00%cn%x00%ce%x00%cI%x00%B"
        tree, parents, an, ae, cn, ce, date, message = self.remembered("show", "-s", f"--format={fields}", sha).split(
            "\0"
        )
        return GitCommit(sha, tree, tuple(parents.split()), (an, ae), (cn, ce), date, message.rstrip("\n"))

    def files(self, base: str, head: str) -> list[tuple[str, str, str | None]]:
        """Status, name and previous name of each file that differs from where `head` began."""
        words = self.remembered("diff", "--name-status", "-M", "-z", f"{base}...{head}").split("\0")
        found: list[tuple[str, str, str | None]] = []
        while len(words) > 1:
            status, name = words[0], words[1]
            if status[0] in "RC":
                found.append(("renamed", words[2], name))
                words = words[3:]
            else:
                found.append(({"A": "added", "D": "removed"}.get(status, "modified"), name, None))
                words = words[2:]
        return found

    def read(self, commit: str, path: str) -> bytes | None:
        """A file's content; None where there is no such file."""
        command = ["git", "--git-dir", str(self.path), "cat-file", "blob", f"{commit}:{path}"]
        done = subprocess.run(command, capture_output=True, env=_variables())
        return done.stdout if done.returncode == 0 else None

    def entries(self, commit: str, path: str) -> list[tuple[str, str]] | None:
        """Type and path of what lies in a folder; None where it is none."""
        try:
            listed = self.run("ls-tree", commit, f"{path.rstrip('/')}/" if path else "")
        except subprocess.CalledProcessError:
            return None
        rows = [line.split(None, 3) for line in listed.splitlines()]
        return [("dir" if kind == "tree" else "file", name) for _, kind, _, name in rows] or None

    # --- merges ----------------------------------------------------------------------------------

    def merged_tree(self, base: str, head: str) -> str:
        """The tree of both sides merged; raises `Conflict`."""
        try:
            return self.run("merge-tree", "--write-tree", base, head).splitlines()[0]
        except subprocess.CalledProcessError:
            raise Conflict from None

    def merge(self, branch: str, head: str, message: str, author: tuple[str, str]) -> str:
        """GitHub's merge commit; the new tip."""
        base = self._needed(branch)
        tree = self.merged_tree(base, head)
        return self._advance(branch, base, self._made(tree, [base, head], message, author, WEB_FLOW))

    def squash(self, branch: str, head: str, message: str, author: tuple[str, str]) -> str:
        """One commit with everything; the new tip."""
        base = self._needed(branch)
        tree = self.merged_tree(base, head)
        return self._advance(branch, base, self._made(tree, [base], message, author, WEB_FLOW))

    def rebase(self, branch: str, head: str, committer: tuple[str, str]) -> str:
        """A new commit for each of the branch's that is no merge; the new tip."""
        base = self._needed(branch)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "work"
            self.run("worktree", "add", "--quiet", "--detach", str(work), base)
            try:
                picked = self.run("rev-list", "--reverse", "--topo-order", "--no-merges", f"{base}..{head}").split()
                name, address = committer
                self.run(
                    *("cherry-pick", "--keep-redundant-commits", "--allow-empty", "--no-gpg-sign", *picked),
                    cwd=work,
                    variables={"GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": address},
                )
                tip = self.run("rev-parse", "HEAD", cwd=work)
            except subprocess.CalledProcessError:
                raise Conflict from None
            finally:
                self.run("worktree", "remove", "--force", str(work))
        return self._advance(branch, base, tip)

    def add_commit(
        self,
        branch: str,
        files: dict[str, str | None],
        message: str = "Change",
        author: tuple[str, str] = ("Someone", "someone@example.com"),
        start: str | None = None,
        committer: tuple[str, str] | None = None,
    ) -> str:
        """Put a commit on a branch (a new one starts at `start` or nowhere); None removes a file."""
        tip = self.tip(branch) or (self.tip(start) if start else None)
        now = int(time.time())
        (author_name, author_address), (name, address) = author, committer or author
        text = f"commit refs/heads/{branch}\nauthor {author_name} <{author_address}> {now} +0000\n"
        text += f"committer {name} <{address}> {now} +0000\n{_data(message)}"
        text += f"from {tip}\n" if tip else ""
        for path, content in files.items():
            text += f"D {path}\n" if content is None else f"M 100644 inline {path}\n{_data(content)}"
        self._import(text)
        made = self.tip(branch)
        assert made is not None
        return made

    def add_many(self, branch: str, count: int, start: str) -> None:
        """Put many commits on a new branch, each with a file of its own."""
        who = "Someone <someone@example.com> 1700000000 +0000"
        parent, text = f"from refs/heads/{start}^0\n", ""
        for number in range(count):
            text += f"commit refs/heads/{branch}\ncommitter {who}\n{_data('x')}{parent}"
            text += f"M 100644 inline many/{number}\n{_data('x')}"
            parent = ""
        self._import(text)

    def _import(self, text: str) -> None:
        command = ["git", "--git-dir", str(self.path), "fast-import", "--quiet"]
        subprocess.run(command, input=text.encode(), check=True, env=_variables())

    def _needed(self, branch: str) -> str:
        tip = self.tip(branch)
        assert tip is not None, branch
        return tip

    def _made(
        self, tree: str, parents: list[str], message: str, author: tuple[str, str], committer: tuple[str, str]
    ) -> str:
        given = [word for parent in parents for word in ("-p", parent)]
        return self.run(
            *("commit-tree", tree, *given, "-m", message),
            variables={
                "GIT_AUTHOR_NAME": author[0],
                "GIT_AUTHOR_EMAIL": author[1],
                "GIT_COMMITTER_NAME": committer[0],
                "GIT_COMMITTER_EMAIL": committer[1],
            },
        )

    def _advance(self, branch: str, old: str, new: str) -> str:
        self.run("update-ref", f"refs/heads/{branch}", new, old)
        return new


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"


def _variables() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C",
        # A test's repository need not outlive a power cut.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsync",
        "GIT_CONFIG_VALUE_0": "none",
    }
