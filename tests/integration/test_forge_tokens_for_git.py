"""The forge's token for git: a GitHub App's is renewed, a file's is read anew, a missing one is no obstacle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine

from driftguard.adapters.forges.opening import ReadingToken, git_token
from driftguard.adapters.git.branches import GitBranches
from driftguard.adapters.git.locations import HostToken, locate, with_token
from driftguard.adapters.git.repository import head_of, open_repository
from driftguard.bootstrap.session import Session
from driftguard.bootstrap.target import Target
from driftguard.config.forge import Forge
from driftguard.errors import ForgeFault, OperatorError
from tests.integration.test_github_access import KEY, PUBLIC
from tests.support.git_server import GitServer
from tests.support.github_double import GitHubDouble, Repository
from tests.support.github_double.connecting import settings
from tests.support.gitlab_double import GitLabDouble

pytest_plugins = ["tests.support.github_double.fixtures", "tests.support.gitlab_double.fixtures"]

HOUR = 3600
BRANCH = "driftguard/dev/0123abcd"
TOKENS = "POST /app/installations/{installation_id}/access_tokens"


@pytest.fixture
def repository(github: GitHubDouble) -> Repository:
    made = github.add_repository()
    made.git.add_commit("main", {"main.tf": "a\n"})
    return made


@pytest.fixture
def served(github: GitHubDouble, repository: Repository) -> Iterator[GitServer]:
    """The repository over HTTP, to whoever shows a token that GitHub knows and that has not expired."""
    folder = repository.git.path.parent
    with GitServer(folder, "x-access-token", "", lambda token: github.api.caller(token) is not None) as server:
        yield server


def address(server: GitServer, repository: Repository) -> str:
    """The URL as an operator writes it: without a credential."""
    return server.url(repository.git.path.name, "-").replace("x-access-token:-@", "")


def reading(forge: Forge, environ: dict[str, str]) -> HostToken:
    token = git_token(forge, ReadingToken(forge, environ))
    assert token is not None
    return token


def as_app(github: GitHubDouble, repository: Repository) -> HostToken:
    app = github.add_app(repository, PUBLIC)
    return reading(settings(github, token_env=None, app={"id": app.id, "key_env": "KEY"}), {"KEY": KEY})


def asked(github: GitHubDouble) -> int:
    return len(github.made("POST", "/access_tokens"))


def test_an_apps_token_is_renewed_for_fetch_and_push(
    github: GitHubDouble, repository: Repository, served: GitServer, tmp_path: Path
) -> None:
    url, token = address(served, repository), as_app(github, repository)
    with time_machine.travel(datetime.now(UTC)) as clock:
        opened = open_repository(url, tmp_path, token=token)
        branches = GitBranches(opened.mirror, with_token(locate(url), token), author="D <d@example.com>", signing=None)
        assert head_of(url, "main", token) == opened.head
        assert asked(github) == 1  # one token serves them all
        for hour in (1, 2):
            clock.shift(HOUR)
            made = repository.git.add_commit("main", {"main.tf": f"{hour}\n"})
            assert head_of(url, "main", token) == made
            assert opened.current_head() == made
            commit = branches.commit(opened.head, {"a.tf": b"%d" % hour}, "m", datetime.now(UTC))
            branches.push(f"{BRANCH}{hour}", commit, None)
            assert repository.git.tip(f"{BRANCH}{hour}") == commit
            assert asked(github) == 1 + hour
        opened.close()


def test_an_apps_token_is_renewed_while_git_can_still_use_it(
    github: GitHubDouble, repository: Repository, served: GitServer
) -> None:
    url, token = address(served, repository), as_app(github, repository)
    with time_machine.travel(datetime.now(UTC)) as clock:
        head_of(url, None, token)
        clock.shift(HOUR - 660)  # a fetch may take 10 minutes
        head_of(url, None, token)
    assert asked(github) == 2


def test_a_session_reads_its_repository_with_the_app_of_the_operators_file(
    github: GitHubDouble,
    repository: Repository,
    served: GitServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = github.add_app(repository, PUBLIC)
    file = tmp_path / "operator.yaml"
    file.write_text(
        f"forge: {{kind: github, repository: acme/infra, url: '{github.url}', app: {{id: {app.id}, key_env: THE_KEY}}}}"
    )
    for name, value in {"THE_KEY": KEY, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    with Session(Target(address(served, repository), "main", file)) as session:
        assert session.head == repository.git.tip("main")
    assert asked(github) == 1


def test_a_token_that_github_does_not_give_is_named(
    github: GitHubDouble, repository: Repository, served: GitServer
) -> None:
    token = as_app(github, repository)
    github.allow(repository, "driftguard-acme[bot]", "none")
    with pytest.raises(ForgeFault, match=r"did not give a token for git, .* Check `forge.repository`"):
        head_of(address(served, repository), None, token)


def test_a_replaced_token_of_a_file_is_used_at_once(
    github: GitHubDouble, repository: Repository, served: GitServer, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(github.token)
    url = address(served, repository)
    token = reading(settings(github, token_env=None, token_file=str(file)), {})
    assert head_of(url, None, token)
    github.api.tokens.clear()
    file.write_text(github.add_token("driftguard-bot"))
    assert head_of(url, None, token)


def test_a_replaced_token_of_gitlab_is_used_at_once(gitlab: GitLabDouble, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("glpat-the-first-one-0000")
    forge = Forge(kind="gitlab", repository="acme/infra", token_file=str(file), url=gitlab.url)
    token = reading(forge, {})
    assert token.source.token() == "glpat-the-first-one-0000"
    file.write_text("glpat-the-second-one-000")
    assert token.source.token() == "glpat-the-second-one-000"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (None, "github.com"),
        ("https://api.github.com", "github.com"),
        ("https://api.acme.ghe.com", "acme.ghe.com"),
        ("https://git.acme.example/api/v3", "git.acme.example"),
    ],
)
def test_the_token_goes_to_the_host_of_the_repositories(url: str | None, host: str) -> None:
    forge = Forge(kind="github", repository="acme/infra", token_env="TOKEN", url=url)
    assert reading(forge, {}).host == host


def test_without_its_credential_a_repository_is_read_as_it_would_be_without_a_forge(
    github: GitHubDouble, repository: Repository, served: GitServer
) -> None:
    token = reading(settings(github), {})
    with pytest.raises(OperatorError, match="refuses our credentials"):
        head_of(address(served, repository), None, token)
    assert head_of(str(repository.git.path), None, token)
