"""A team's server: a bare repository that the work tree pushes to, and people who merge, push and delete there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.harness import Sandbox


class Origin:
    """The bare repository behind a sandbox's work tree."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder)], check=True)
        sandbox.git("remote", "add", "origin", str(folder))
        self.publish()

    def publish(self) -> None:
        """Push the work tree's main branch."""
        self.sandbox.git("push", "--quiet", "origin", "main")

    def branches(self) -> dict[str, str]:
        """Every branch but main, and its commit."""
        listed = self.sandbox.git("ls-remote", "--heads", "origin").splitlines()
        found = {line.split("\t")[1].removeprefix("refs/heads/"): line.split("\t")[0] for line in listed}
        return {name: commit for name, commit in found.items() if name != "main"}

    def only_branch(self, choice: str = "") -> str:
        """The branch of a proposal whose name ends with a choice; the preferred one by default."""
        ends = [name for name in self.branches() if name.endswith(("-adopt", "-revert"))]
        found = [name for name in self.branches() if (name.endswith(choice) if choice else name not in ends)]
        assert len(found) == 1, found
        return found[0]

    def merge(self, branch: str, *options: str) -> str:
        """Merge a branch as a person would, and push it; the commit at main's head."""
        self.sandbox.git("fetch", "--quiet", "origin", branch)
        self.sandbox.git("merge", "--quiet", "--no-edit", *(options or ("--no-ff",)), "FETCH_HEAD")
        self.publish()
        return self.sandbox.git("rev-parse", "HEAD")

    def squash(self, branch: str) -> str:
        """Merge a branch as one new commit, and push it."""
        self.sandbox.git("fetch", "--quiet", "origin", branch)
        self.sandbox.git("merge", "--quiet", "--squash", "FETCH_HEAD")
        self.sandbox.git("commit", "--quiet", "--message", f"Squash {branch}")
        self.publish()
        return self.sandbox.git("rev-parse", "HEAD")

    def files(self, branch: str) -> dict[str, str]:
        """What a branch changes against main: each path with its new contents."""
        self.sandbox.git("fetch", "--quiet", "origin", branch)
        changed = self.sandbox.git("diff", "--name-only", "--diff-filter=d", "HEAD...FETCH_HEAD").splitlines()
        return {path: self.sandbox.git("show", f"FETCH_HEAD:{path}") for path in changed}

    def delete(self, branch: str) -> None:
        self.sandbox.git("push", "--quiet", "origin", "--delete", branch)
