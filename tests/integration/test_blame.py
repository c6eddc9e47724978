"""Who wrote a resource's block last: real git, with the clones, settings, names and damage that people have."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from driftguard.adapters.git.repository import open_repository
from driftguard.adapters.hcl.parser import SourceParser
from driftguard.model import Written
from driftguard.pipeline.authorship import Authorship
from tests.support.harness import Sandbox

PROD = "environments/prod"
QUEUE = 'resource "aws_sqs_queue" "jobs" {\n  name  = "jobs"\n  delay = 30\n}\n'
MODULE = 'resource "aws_sqs_queue" "work" {\n  for_each = var.names\n  name     = each.key\n}\n'


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "home", {})


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def commit(sandbox: Sandbox, author: str, month: int, path: str, text: str, message: str = "change") -> str:
    """Commit one file by an author, on the first of a month of 2026."""
    return raw_commit(sandbox, author, f"2026-{month:02d}-01T10:00:00Z", path, text.encode(), message)


def raw_commit(sandbox: Sandbox, author: str, date: str, path: str, content: bytes, message: str = "change") -> str:
    sandbox.variables |= {
        "GIT_AUTHOR_NAME": author,
        "GIT_COMMITTER_DATE": date,
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z",
    }
    file = sandbox.repository / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return sandbox.commit(message)


def written(sandbox: Sandbox, cache: Path, address: str, root: str = PROD) -> Written | None:
    repository = open_repository(str(sandbox.repository), cache)
    return Authorship(repository, repository, SourceParser(), repository.head).written_by(root, address)


def test_of_two_authors_in_one_block_the_newest_counts(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    second = commit(sandbox, "Eve", 2, f"{PROD}/main.tf", QUEUE.replace("30", "60"), "slower")
    commit(sandbox, "Bob", 3, f"{PROD}/main.tf", QUEUE.replace("30", "60") + "\n# at the end\n")
    assert written(sandbox, cache, "aws_sqs_queue.jobs") == Written(
        second, "Eve", datetime(2026, 2, 1, 10, tzinfo=UTC), "slower", f"{PROD}/main.tf", 1
    )


def test_newest_is_by_when_it_was_committed_not_by_its_place_in_the_block(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    commit(sandbox, "Eve", 3, f"{PROD}/main.tf", QUEUE.replace('"jobs"\n', '"jobs2"\n'))
    commit(sandbox, "Bob", 2, f"{PROD}/main.tf", QUEUE.replace('"jobs"\n', '"jobs2"\n').replace("30", "60"))
    found = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert found is not None
    assert found.author == "Eve"


def test_keys_with_dots_and_brackets_lead_through_nested_modules(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", 'module "service" {\n  source = "../../modules/service"\n}\n')
    commit(sandbox, "Bob", 2, "modules/service/main.tf", '\nmodule "q" {\n  source = "./queues"\n}\n')
    commit(sandbox, "Eve", 3, "modules/service/queues/main.tf", MODULE)
    commit(sandbox, "Zoe", 4, "modules/service/queues/other.tf", "# newer, and not the block\n")
    found = written(sandbox, cache, 'module.service["a.b[0]"].module.q["]."].aws_sqs_queue.work["x.y[\\"z\\"]"]')
    assert found is not None
    assert (found.author, found.path, found.line) == ("Eve", "modules/service/queues/main.tf", 1)


def test_what_a_registry_module_declares_is_put_down_to_its_call(sandbox: Sandbox, cache: Path) -> None:
    call = 'module "vpc" {\n  source  = "terraform-aws-modules/vpc/aws"\n  version = "5.0.0"\n}\n'
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE + call)
    commit(sandbox, "Eve", 2, f"{PROD}/main.tf", QUEUE + call.replace("5.0.0", "5.1.0"))
    found = written(sandbox, cache, "module.vpc.aws_vpc.this[0]")
    assert found is not None
    assert (found.author, found.line) == ("Eve", 5)


def test_an_environment_may_be_the_repositorys_root(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, "main.tf", 'module "m" {\n  source = "./m"\n}\n')
    commit(sandbox, "Eve", 2, "m/main.tf", MODULE)
    found = written(sandbox, cache, 'module.m.aws_sqs_queue.work["a"]', ".")
    assert found is not None
    assert (found.author, found.path) == ("Eve", "m/main.tf")


def test_a_moved_file_keeps_the_authors_of_its_lines(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    sandbox.git("mv", f"{PROD}/main.tf", f"{PROD}/queues.tf")
    commit(sandbox, "Mover", 2, "README.md", "moved")
    found = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert found is not None
    assert (found.author, found.path) == ("Ada", f"{PROD}/queues.tf")


def test_lines_that_end_as_on_windows_are_counted_as_git_counts_them(sandbox: Sandbox, cache: Path) -> None:
    before = b"# one\r\n# two\r\n"
    lines = QUEUE.replace("\n", "\r\n").encode()
    raw_commit(sandbox, "Ada", "2026-01-01T10:00:00Z", f"{PROD}/main.tf", before + lines)
    raw_commit(sandbox, "Eve", "2026-02-01T10:00:00Z", f"{PROD}/main.tf", before.replace(b"two", b"2") + lines)
    found = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert found is not None
    assert (found.author, found.line) == ("Ada", 3)


def test_an_override_file_does_not_declare_what_it_overrides(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/zone.tf", QUEUE)
    commit(sandbox, "Eve", 2, f"{PROD}/a_override.tf", QUEUE.replace("30", "60"))
    commit(sandbox, "Eve", 3, f"{PROD}/override.tf", QUEUE.replace("30", "90"))
    found = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert found is not None
    assert (found.author, found.path) == ("Ada", f"{PROD}/zone.tf")


@pytest.mark.parametrize("address", ["aws_sqs_queue.gone", "module.gone.aws_vpc.this", 'aws_sqs_queue.jobs["', ""])
def test_what_no_block_declares_has_no_author(sandbox: Sandbox, cache: Path, address: str) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    assert written(sandbox, cache, address) is None


def test_a_block_in_json_syntax_has_no_author_and_hides_no_other(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    commit(sandbox, "Eve", 2, f"{PROD}/more.tf.json", '{"resource": {"aws_sqs_queue": {"mails": {"name": "m"}}}}')
    assert written(sandbox, cache, "aws_sqs_queue.mails") is None
    assert written(sandbox, cache, "aws_sqs_queue.jobs") is not None


def test_a_file_that_cannot_be_parsed_does_not_hide_the_others(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    commit(sandbox, "Eve", 2, f"{PROD}/broken.tf", "resource {{{")
    raw_commit(sandbox, "Eve", "2026-03-01T10:00:00Z", f"{PROD}/bytes.tf", b"\xff\xfe\x00")
    found = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert found is not None
    assert found.author == "Ada"


@pytest.mark.parametrize(
    "name", ["--output=stolen.tf", "-L1,1.tf", ":(top)main.tf", "a b\t\"c'$(x).tf", "ünïcode.tf", "*.tf", "a\nb.tf"]
)
def test_a_files_name_is_never_taken_for_anything_else(sandbox: Sandbox, cache: Path, name: str) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/{name}", QUEUE)
    commit(sandbox, "Eve", 2, name, QUEUE.replace("30", "60"))
    nested = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert nested is not None
    assert (nested.author, nested.path) == ("Ada", f"{PROD}/{name}")
    at_the_root = written(sandbox, cache, "aws_sqs_queue.jobs", ".")
    assert at_the_root is not None
    assert (at_the_root.author, at_the_root.path) == ("Eve", name)


@pytest.mark.parametrize(
    "author", ["--exec=x", "committer-time 1", "<!channel> *& <b>", "Ünï 作者", "a\tb", "boundary"]
)
def test_an_authors_name_is_only_text(sandbox: Sandbox, cache: Path, author: str) -> None:
    commit(sandbox, author, 1, f"{PROD}/main.tf", QUEUE, "committer-time 7\n\nauthor Nobody")
    found = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert found is not None
    assert found.author == author.replace("<", "").replace(">", "")  # which git itself leaves out of names
    assert (found.subject, found.date.year) == ("committer-time 7", 2026)


def test_no_credential_in_a_name_or_a_subject_is_shown(sandbox: Sandbox, cache: Path) -> None:
    token = "ghp_" + "a1B2" * 9
    commit(sandbox, f"Ada {token}", 1, f"{PROD}/main.tf", QUEUE, f"use https://me:{token}@example.org")
    found = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert found is not None
    assert token not in repr(found)


def test_a_commit_may_claim_any_moment(sandbox: Sandbox, cache: Path) -> None:
    raw_commit(sandbox, "Ada", "@99999999999999 +0000", f"{PROD}/main.tf", QUEUE.encode())
    found = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert found is not None
    assert (found.author, found.date.year) == ("Ada", 9999)


def test_a_clone_without_history_blames_no_user_for_what_lies_before_it(
    sandbox: Sandbox, cache: Path, tmp_path: Path
) -> None:
    other = QUEUE.replace("jobs", "mails")
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    commit(sandbox, "Eve", 2, "README.md", "the newest that the clone begins with")
    last = commit(sandbox, "Bob", 3, f"{PROD}/mails.tf", other)
    shallow = Sandbox(tmp_path / "runner", {})
    shutil.rmtree(shallow.repository)
    shallow.repository.mkdir()
    shallow.git("clone", "--quiet", "--depth=2", f"file://{sandbox.repository}", ".")

    repository = open_repository(str(shallow.repository), cache)
    authorship = Authorship(repository, repository, SourceParser(), repository.head)
    assert authorship.written_by(PROD, "aws_sqs_queue.jobs") is None
    mails = authorship.written_by(PROD, "aws_sqs_queue.mails")
    assert mails is not None
    assert (mails.author, mails.commit) == ("Bob", last)

    whole = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert whole is not None  # a first commit has no history either, and is an answer
    assert whole.author == "Ada"


def test_settings_of_the_user_who_runs_it_do_not_change_the_answer(
    sandbox: Sandbox, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text(
        "[blame]\n\tignoreRevsFile = .git-blame-ignore-revs\n\tblankBoundary = true\n"
        "[i18n]\n\tlogOutputEncoding = ISO-8859-1\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    commit(sandbox, "Renée", 1, f"{PROD}/main.tf", QUEUE)
    found = written(sandbox, cache, "aws_sqs_queue.jobs")
    assert found is not None
    assert found.author == "Renée"


@pytest.mark.parametrize("name", ["0" * 40, "HEAD", "--output=stolen", ""])
def test_what_is_no_commit_of_the_repository_has_no_authors(sandbox: Sandbox, cache: Path, name: str) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    repository = open_repository(str(sandbox.repository), cache)
    assert Authorship(repository, repository, SourceParser(), name).written_by(PROD, "aws_sqs_queue.jobs") is None
    assert repository.newest_change(name, f"{PROD}/main.tf", 1, 2) is None


def test_lines_beyond_a_files_end_have_no_author(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    repository = open_repository(str(sandbox.repository), cache)
    assert repository.newest_change(repository.head, f"{PROD}/main.tf", 100, 101) is None
    assert repository.newest_change(repository.head, f"{PROD}/none.tf", 1, 1) is None


def test_a_damaged_mirror_is_an_answer_not_a_failure(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    repository = open_repository(str(sandbox.repository), cache)
    authorship = Authorship(repository, repository, SourceParser(), repository.head)
    repository.tree(repository.head)
    shutil.rmtree(repository.mirror / "objects")
    assert authorship.written_by(PROD, "aws_sqs_queue.jobs") is None


def test_a_run_out_of_its_time_reports_nothing_rather_than_late(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", QUEUE)
    repository = open_repository(str(sandbox.repository), cache)
    authorship = Authorship(repository, repository, SourceParser(), repository.head, seconds=0.0)
    assert authorship.written_by(PROD, "aws_sqs_queue.jobs") is None


def test_many_threads_get_the_same_answer_and_a_block_is_asked_about_once(sandbox: Sandbox, cache: Path) -> None:
    commit(sandbox, "Ada", 1, f"{PROD}/main.tf", 'module "m" {\n  source = "../../m"\n}\n')
    commit(sandbox, "Eve", 2, "m/main.tf", MODULE)
    repository = open_repository(str(sandbox.repository), cache)
    authorship = Authorship(repository, repository, SourceParser(), repository.head)
    addresses = [f'module.m.aws_sqs_queue.work["{number}"]' for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda address: authorship.written_by(PROD, address), addresses))
    assert found[0] is not None
    assert found[0].author == "Eve"
    assert all(each is found[0] for each in found)
