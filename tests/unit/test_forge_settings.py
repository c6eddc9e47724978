"""The configuration's `forge`: what each kind needs, and what is refused in one sentence."""

from __future__ import annotations

from datetime import timedelta

import pytest

from driftguard.errors import UsageError
from tests.unit.test_config import load

GITHUB = "forge: {kind: github, repository: acme/infra, token_env: GITHUB_TOKEN"

GITLAB = "forge: {kind: gitlab, repository: acme/infra, token_env: GITLAB_TOKEN"


@pytest.mark.parametrize(
    "text",
    [
        "forge: {kind: git}",
        f"{GITHUB}}}",
        "forge: {kind: gitlab, repository: acme/platform/infra, token_file: /run/secrets/gitlab}",
        "forge: {kind: github, repository: acme/infra, app: {id: 12, key_file: /etc/app.pem}}",
        "forge: {kind: git, signing: {format: openpgp, key_id: '0xABCD'}}",
        "forge: {kind: git, signing: {key_file: /etc/key}, author: 'Ops <ops@acme.example>', expires: 2d}",
    ],
)
def test_every_kind_of_forge_is_read(text: str) -> None:
    forge = load(text).forge
    assert forge is not None
    assert forge.expires in (timedelta(days=7), timedelta(days=2))


def test_a_forge_of_ones_own_is_read_where_the_operator_allows_its_host() -> None:
    text = f"{GITHUB}, url: https://git.acme.example/api/v3}}"
    forge = load(text, "allow_env: [GITHUB_TOKEN]\nallow_hosts: [git.acme.example]").forge
    assert forge is not None
    assert forge.url == "https://git.acme.example/api/v3/"
    assert load(text).forge is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("forge: {kind: gitea}", "expected 'github', 'gitlab' or 'git'"),
        ("forge: {kind: github, token_env: T}", "needs `repository` with `kind: github`"),
        ("forge: {kind: github, repository: infra, token_env: T}", "needs `repository` with `kind: github`"),
        ("forge: {kind: github, repository: acme/infra}", "exactly one of `token_env`, `token_file` and `app`"),
        (f"{GITHUB}, token_file: /t}}", "exactly one of `token_env`, `token_file` and `app`"),
        (f"{GITHUB}, app: {{id: 1, key_file: /k}}}}", "exactly one of `token_env`, `token_file` and `app`"),
        ("forge: {kind: gitlab, repository: a/b, app: {id: 1, key_file: /k}}", "only `kind: github` supports"),
        ("forge: {kind: github, repository: a/b, app: {id: 1}}", "exactly one of `key_env` and `key_file`"),
        ("forge: {kind: gitlab, repository: a/b, token_file: token}", "expected an absolute path"),
        ("forge: {kind: gitlab, repository: a/b, token_env: glpat-0123456789abcdefghij}", "not the name of"),
        ("forge: {kind: git, author: ops}", "expected `Name <address>`"),
        ("forge: {kind: git, author: 'a <b> <c>'}", "expected `Name <address>`"),
        ("forge: {kind: git, signing: {format: ssh, key_id: x}}", "needs `key_file` with `format: ssh`"),
        ("forge: {kind: git, signing: {format: openpgp}}", "or `key_id` with `format: openpgp`"),
        ("forge: {kind: git, most_open: 0}", "most_open"),
        (f"{GITHUB}, url: https://github.com}}", "did you mean `https://api.github.com`, which is the default?"),
        (f"{GITHUB}, url: https://www.github.com/acme/infra}}", "did you mean `https://api.github.com`"),
        (f"{GITHUB}, url: https://git.acme.example/api/graphql}}", "did you mean `https://git.acme.example/api/v3`?"),
        (f"{GITHUB}, url: https://gitlab.com}}", "did you mean `kind: gitlab`?"),
        (f"{GITLAB}, url: https://git.acme.example/api/v4}}", "did you mean `https://git.acme.example`?"),
        (f"{GITLAB}, url: https://git.acme.example/gitlab/api/v4/}}", "mean `https://git.acme.example/gitlab`?"),
        (f"{GITLAB}, url: https://gitlab.com/acme/infra}}", "did you mean `https://gitlab.com`, which is the default?"),
        (f"{GITLAB}, url: https://git.acme.example/api/v3}}", "did you mean `kind: github`?"),
        ("policy: {approval: {require: reviewed, code_owners: maybe}}", "code_owners"),
    ],
)
def test_what_a_forge_lacks_is_one_sentence_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        load(text)
    assert str(refused.value).startswith("driftguard.yaml:1: ")
    assert sentence in str(refused.value)
    assert "glpat-" not in str(refused.value)


def test_the_operators_forge_wins_as_a_whole() -> None:
    forge = load(f"{GITHUB}, most_open: 99}}", "forge: {kind: git}").forge
    assert forge is not None
    assert (forge.kind, forge.repository, forge.most_open) == ("git", None, 10)
