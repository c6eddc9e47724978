"""Who wrote the block that reality departed from: real git, hostile names included."""

from __future__ import annotations

from pathlib import Path

from driftguard.adapters.git.repository import open_repository
from driftguard.adapters.hcl.parser import SourceParser
from driftguard.pipeline.authorship import Authorship
from tests.support.harness import Sandbox

MAIN = """\
resource "aws_sqs_queue" "jobs" {
  name                       = "jobs"
  visibility_timeout_seconds = 30
}

resource "aws_sqs_queue" "mails" {
  name = "mails"
}
"""


def commit(
    sandbox: Sandbox, text: str, author: str, message: str, date: str, path: str = "environments/prod/main.tf"
) -> str:
    sandbox.write(path, text)
    sandbox.git("add", "--all")
    sandbox.variables |= {
        "GIT_AUTHOR_NAME": author,
        "GIT_COMMITTER_DATE": date,
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z",
    }
    sandbox.git("commit", "--quiet", "--message", message)
    return sandbox.git("rev-parse", "HEAD")


def test_the_newest_change_of_a_block_counts_and_other_blocks_do_not(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "home", {})
    first = commit(sandbox, MAIN, "Ada", "queues", "2026-01-01T10:00:00Z")
    second = commit(sandbox, MAIN.replace("30", "60"), "Eve\t&co", "slower; token=abcdef1234", "2026-02-01T10:00:00Z")
    sandbox.git("mv", "environments/prod/main.tf", "environments/prod/queues of ours.tf")
    commit(
        sandbox,
        MAIN.replace("30", "60"),
        "Mover",
        "rename",
        "2026-03-01T10:00:00Z",
        "environments/prod/queues of ours.tf",
    )
    repository = open_repository(str(sandbox.repository), tmp_path / "cache")
    found = Authorship(repository, repository, SourceParser(), repository.head)

    jobs = found.written_by("environments/prod", "aws_sqs_queue.jobs")
    assert jobs is not None
    assert (jobs.commit, jobs.author, jobs.path, jobs.line) == (
        second,
        "Eve\t&co",
        "environments/prod/queues of ours.tf",
        1,
    )
    assert "abcdef1234" not in jobs.subject
    assert jobs.date.isoformat() == "2026-02-01T10:00:00+00:00"
    mails = found.written_by("environments/prod", "aws_sqs_queue.mails")
    assert mails is not None
    assert (mails.commit, mails.author, mails.line) == (first, "Ada", 6)
    assert found.written_by("environments/prod", "aws_sqs_queue.other") is None
    assert found.written_by("environments/none", "aws_sqs_queue.jobs") is None
