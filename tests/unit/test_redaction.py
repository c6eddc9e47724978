"""The table of credentials: each row finds its kind, and no harmless identifier is taken for one."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import botocore
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.redaction import SHAPES, looks_secret_name, looks_secret_text, mask
from driftguard.sealed import REDACTED, Sealed, reveal
from tests.support.secret_shapes import distinct_part, examples

FIXTURES = Path(__file__).parents[1] / "fixtures" / "identifiers"
EXAMPLES = examples(20)


def forms() -> Iterator[tuple[str, str]]:
    return ((kind, example) for kind, examples in EXAMPLES.items() for example in examples)


def test_each_row_has_an_example_and_each_example_a_row() -> None:
    assert [shape.kind for shape in SHAPES] == list(EXAMPLES)
    assert len(SHAPES) >= 60


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.kind)
def test_each_row_finds_its_kind_by_itself(shape: object) -> None:
    for example in EXAMPLES[shape.kind]:  # type: ignore[attr-defined]
        assert re.search(shape.pattern, example), example  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "example"), list(forms()))
def test_a_credential_is_hidden_wherever_it_stands(kind: str, example: str) -> None:
    secret = distinct_part(example)
    for text in (
        example,
        f"before {example} after",
        f"KEY={example}",
        f'{{"k": "{example}"}}',
        f"line\\n{example}",
        f"a%3D{example}",
        f"x: {example},",
        f"({example})",
    ):
        assert secret not in mask(text), kind
        assert looks_secret_text(text), kind
    assert reveal(Sealed({"description": [example]}), "x") == {"description": [REDACTED]}


@pytest.mark.parametrize(
    "text",
    [
        "gp3-disk-encryption-policy-eu",
        "task-instruction-category-non-compliance",
        "risk-assessment-and-management-plan-2026",
        "desk-0123456789abcdef-eu",
        "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sgr-0123456789abcdef0",
        "https://registry.example.org/v2/app:1.2.3@sha256:0123",
        "someone@example.org",
        "git@github.com:acme/infra.git",
        "basic internationalization",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "password_policy",
        "pat.example.org",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert mask(text) == text
    assert reveal(Sealed(text), "description") == text


def identifiers_of_the_provider() -> list[str]:
    return (FIXTURES / "aws_provider.txt").read_text().split()


def identifiers_of_botocore(services: int) -> set[str]:
    found: set[str] = set()
    for file in sorted((Path(botocore.__file__).parent / "data").rglob("service-2.json*"))[::7][:services]:
        raw = file.read_bytes()
        model = msgspec.json.decode(gzip.decompress(raw) if file.suffix == ".gz" else raw)
        for name, shape in model["shapes"].items():
            found |= {name, *shape.get("members", {}), *shape.get("enum", [])}
    return found


def test_no_identifier_of_the_cloud_has_the_shape_of_a_credential() -> None:
    harmless = [*identifiers_of_the_provider(), *identifiers_of_botocore(60)]
    assert len(harmless) > 20_000
    assert [name for name in harmless if mask(name) != name or looks_secret_text(name)] == []


def test_the_attributes_of_the_provider_whose_values_are_hidden_are_the_reviewed_ones() -> None:
    """Each of these holds a credential, or blocks and lists that do; a new one is looked at before it is added."""
    names = [name for name in identifiers_of_the_provider() if not name.startswith("aws_")]
    hidden = [name for name in names if looks_secret_name(name)]
    assert "\n".join(hidden) + "\n" == (FIXTURES / "aws_provider_hidden.txt").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "http_tokens",
        "next_token",
        "client_request_token",
        "manage_master_user_password",
        "password_length",
        "kms_key_id",
        "token_validity_units",
        "auth_type",
        "secretsmanager_secret_arn",
        "enable_basic_auth",
        "pathway",
    ],
)
def test_a_name_that_only_speaks_of_credentials_hides_nothing(name: str) -> None:
    assert not looks_secret_name(name)


@given(
    st.sampled_from(["password", "token", "secret", "api_key", "private_key", "client_secret", "auth_token"]),
    st.sampled_from(["", "db", "prod_db", "DB", "github"]),
    st.sampled_from(["", "prod", "v2", "base", "value", "wo"]),
    st.sampled_from(["snake", "upper", "camel", "kebab"]),
)
def test_a_credentials_name_hides_in_every_spelling(noun: str, before: str, after: str, spelling: str) -> None:
    words = [word for word in (before, noun, after) if word]
    name = "_".join(words).lower()
    if spelling == "upper":
        name = name.upper()
    elif spelling == "kebab":
        name = name.replace("_", "-")
    elif spelling == "camel":
        name = "".join(part.title() for part in name.split("_"))
    assert looks_secret_name(name), name
