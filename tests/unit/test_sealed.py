"""Sealed values compare and digest, and never print."""

from __future__ import annotations

import pickle
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.sealed import ABSENT, PRESENT, REDACTED, UNKNOWN, Sealed, looks_secret, mask, reveal

CANARY = "c4n4ry-v4lue"
KEY = b"k" * 32


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda v: f"{v:>10}"])
def test_a_sealed_value_never_prints(show: Any) -> None:
    assert CANARY not in show(Sealed(CANARY))


def test_a_sealed_value_cannot_be_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Sealed(CANARY))


def test_what_terraform_calls_sensitive_is_hidden_as_a_whole() -> None:
    assert reveal(Sealed({"a": [1, 2]}, secret=True), "x") == REDACTED


def test_markers_print_as_words() -> None:
    assert [reveal(Sealed(m)) for m in (ABSENT, PRESENT, UNKNOWN)] == ["absent", "present", None]


@pytest.mark.parametrize(
    "path",
    [
        "password",
        "master_password",
        "db.admin_password",
        "environment[0].variables.API_TOKEN",
        "auth_token",
        "private_key",
        "connection_string",
        "settings.clientSecret",
        "secret",
        "secret_string",
    ],
)
def test_an_attribute_named_like_a_credential_is_one(path: str) -> None:
    assert looks_secret(path, CANARY)


@pytest.mark.parametrize(
    "path",
    ["name", "secret_arn", "token_ttl", "key", "tags.owner", "password_policy", "kms_key_id", "bypass", "monkey"],
)
def test_an_attribute_that_only_points_at_a_secret_is_none(path: str) -> None:
    assert not looks_secret(path, "value")


@pytest.mark.parametrize(
    "value",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a" * 36,
        "glpat-" + "a" * 20,
        "xoxb-1234567890-abcdefghij",
        "https://user:pa55@example.org/path",
        "postgresql://app:pa55@db/app",
        "-----BEGIN RSA PRIVATE KEY-----\nMII",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
        "Server=db;Password=hunter22;",
        "export DB_PASSWORD='hunter 2'",
        'made with {"client_secret": "hunter22"} today',
        '{\\"apiKey\\": \\"hunter22\\"}',
        "https://hooks.slack.com/services/T000/B000/XXXX",
    ],
)
def test_a_value_shaped_like_a_credential_is_hidden_wherever_it_stands(value: str) -> None:
    assert reveal(Sealed({"description": [value]}), "x") == {"description": [REDACTED]}
    assert value not in mask(f"before {value} after")


@pytest.mark.parametrize("url", ["https://t0ken@example.org/r.git", "https://me:t0ken@example.org/r.git"])
def test_userinfo_is_masked_in_free_text(url: str) -> None:
    assert "t0ken" not in mask(f"fatal: could not read from {url}")


def test_ssh_remotes_and_mail_addresses_stay_readable() -> None:
    text = "git@github.com:acme/infra.git by someone@example.org"
    assert mask(text) == text


@pytest.mark.parametrize("part", ["a", "a.", "eyJ", "password", "token ", "\\", "://", "x@"])
def test_masking_takes_time_in_proportion_to_the_text(part: str) -> None:
    started = time.process_time()
    mask(part * 50_000)
    assert time.process_time() - started < 2.0


def test_a_credential_inside_of_json_text_is_hidden() -> None:
    shown = reveal(Sealed('{"env":[{"name":"DB_PASSWORD","value":"c4n4ry"}],"n":1}'), "container_definitions")
    assert "c4n4ry" not in shown
    assert msgspec.json.decode(shown)["n"] == 1
    shown = reveal(Sealed('{"password":"c4n4ry","n":1}'), "settings")
    assert msgspec.json.decode(shown) == {"password": REDACTED, "n": 1}
    assert reveal(Sealed('{"password": "c4n4ry", cut'), "settings") == REDACTED


def test_equal_values_have_equal_digests_and_other_keys_others() -> None:
    assert Sealed({"a": 1, "b": 2}).digest(KEY) == Sealed({"b": 2, "a": 1}).digest(KEY)
    assert Sealed(1).digest(KEY) != Sealed("1").digest(KEY)
    assert Sealed(1).digest(KEY) != Sealed(1).digest(b"x" * 32)
    assert Sealed("absent").digest(KEY) != Sealed(ABSENT).digest(KEY)


nested = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=10,
)
wrappers = st.lists(st.sampled_from(["list", "object", "json", "pair"]), max_size=5)


@given(nested, wrappers, st.sampled_from(["db_password", "API_TOKEN", "privateKey"]))
def test_redaction_holds_at_any_depth(beside: Any, wrapping: list[str], name: str) -> None:
    value: Any = {name: CANARY, "beside": beside}
    for wrapper in wrapping:
        if wrapper == "list":
            value = [beside, value]
        elif wrapper == "object":
            value = {"inner": value}
        elif wrapper == "json":
            value = msgspec.json.encode(value).decode()
        else:
            value = [{"name": name, "value": CANARY}, value]
    shown = msgspec.json.encode(reveal(Sealed(value), "settings")).decode()
    assert CANARY not in shown


@given(nested, wrappers)
def test_what_terraform_marks_is_hidden_at_any_depth(value: Any, wrapping: list[str]) -> None:
    for _ in wrapping:
        value = {"x": [CANARY, value]}
    assert reveal(Sealed(value, secret=True), "x") == REDACTED
