"""Whether a branch holds what was to be merged: real repositories, merged in every way that forges know."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftguard.adapters.git.locations import locate
from driftguard.adapters.git.merges import GitMerges
from driftguard.errors import ForgeFault
from tests.support.github_double.git import BareRepository

REF = "refs/pull/1/head"
WHO = ("Ada", "ada@example.org")
IDENTITY = ("-c", f"user.name={WHO[0]}", "-c", f"user.email={WHO[1]}")


@pytest.fixture
def server(tmp_path: Path) -> BareRepository:
    """A branch of two commits beside a `main` that went on."""
    made = BareRepository(tmp_path / "server.git")
    made.add_commit("main", {"a.tf": "one\n", "b.tf": "one\n"})
    made.add_commit("feature", {"a.tf": "two\n"}, start="main")
    made.add_commit("feature", {"c.tf": "new\n"})
    made.add_commit("main", {"d.tf": "else\n"})
    made.keep(REF, tip(made, "feature"))
    return made


def tip(server: BareRepository, branch: str) -> str:
    return str(server.tip(branch))


@pytest.fixture
def merges(server: BareRepository, tmp_path: Path) -> GitMerges:
    mirror = BareRepository(tmp_path / "mirror.git")
    mirror.run("fetch", "--quiet", str(server.path), "refs/heads/main:refs/heads/main")
    return GitMerges(mirror.path, locate(str(server.path)))


def mirrored(server: BareRepository, tmp_path: Path) -> None:
    BareRepository(tmp_path / "mirror.git").run(
        "fetch", "--quiet", str(server.path), "+refs/heads/main:refs/heads/main"
    )


@pytest.mark.parametrize("how", ["merge", "squash", "rebase", "ff"])
def test_what_a_forge_merges_is_what_git_makes_of_it(
    server: BareRepository, merges: GitMerges, tmp_path: Path, how: str
) -> None:
    head, count = tip(server, "feature"), 1
    if how == "merge":
        server.merge("main", head, "Merge", WHO)
    elif how == "squash":
        server.squash("main", head, "Squashed", WHO)
    elif how == "rebase":
        server.rebase("main", head, WHO)
        count = 2
    else:
        server.keep("refs/heads/main", head)
    mirrored(server, tmp_path)
    last = tip(server, "main")
    oldest = str(server.resolve(f"{last}~{count - 1}"))
    assert merges.difference(oldest, last, head, REF) is None


@pytest.mark.parametrize("file", ["a.tf", "e.tf"])
@pytest.mark.parametrize("squashed", [False, True])
def test_a_merge_with_something_else_in_it_is_reported(
    server: BareRepository, merges: GitMerges, tmp_path: Path, squashed: bool, file: str
) -> None:
    head, before = tip(server, "feature"), tip(server, "main")
    server.merge("main", head, "Merge", WHO)
    more = server.commit(server.add_commit("evil", {file: "evil\n"}, start="main")).tree
    parents = ["-p", before] if squashed else ["-p", before, "-p", head]
    by_hand = server.run(*IDENTITY, "commit-tree", more, *parents, "-m", "Merge #1")
    server.keep("refs/heads/main", by_hand)
    mirrored(server, tmp_path)
    assert merges.difference(by_hand, by_hand, head, REF) == "it holds something else than its branch"


def test_conflicts_that_a_user_settled_are_reported(server: BareRepository, merges: GitMerges, tmp_path: Path) -> None:
    server.add_commit("main", {"a.tf": "three\n"})
    before, head = tip(server, "main"), tip(server, "feature")
    settled = server.run(*IDENTITY, "commit-tree", f"{head}^{{tree}}", "-p", before, "-p", head, "-m", "Merge")
    server.keep("refs/heads/main", settled)
    mirrored(server, tmp_path)
    assert merges.difference(settled, settled, head, REF) == "its conflicts were resolved manually"


def test_a_head_that_the_server_does_not_keep_is_a_fault(
    server: BareRepository, merges: GitMerges, tmp_path: Path
) -> None:
    squashed = server.squash("main", tip(server, "feature"), "Squashed", WHO)
    mirrored(server, tmp_path)
    with pytest.raises(ForgeFault, match="could not be fetched"):
        merges.difference(squashed, squashed, tip(server, "feature"), "refs/pull/2/head")
    with pytest.raises(ForgeFault, match="could not be fetched"):
        merges.difference(squashed, squashed, "0" * 40, REF)
