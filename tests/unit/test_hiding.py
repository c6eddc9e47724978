"""Secret values in Terraform's messages: found where Terraform marks them, replaced in every form they take."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.adapters.terraform.hiding import (
    MIN_LENGTH,
    Hiding,
    forms_of,
    is_secret,
    sensitive_values,
    values_of_backend,
    values_of_variables,
)
from driftguard.redaction import REDACTED

SECRET = 'p"4ss w<rd/ü&'
FORMS = {
    "as it is": SECRET,
    "in JSON": json.dumps({"k": SECRET}),
    "in JSON with its letters": json.dumps({"k": SECRET}, ensure_ascii=False),
    "in JSON of Go": json.dumps({"k": SECRET}).replace("<", "\\u003c").replace("&", "\\u0026"),
    "in JSON inside JSON": json.dumps(json.dumps({"k": SECRET})),
    "in a URL": f"https://h/?q={quote(SECRET, safe='')}",
    "in a URL's path": f"https://h/{quote(SECRET)}/x",
    "in a URL, small letters": f"https://h/?q={quote(SECRET, safe='').lower()}".replace("%C3%BC", "%c3%bc"),
    "in a form": f"q={quote_plus(SECRET)}&r=1",
    "in base64": f"Basic: {base64.b64encode(SECRET.encode()).decode()}",
    "in base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
}


def test_a_value_is_replaced_in_each_form_that_a_message_may_quote() -> None:
    for form, text in FORMS.items():
        hidden = Hiding([SECRET])(f"before {text} after")
        assert REDACTED in hidden, form
        assert "4ss" not in hidden, form
        assert base64.b64encode(SECRET.encode()).decode()[:8] not in hidden, form


@given(st.text(min_size=1, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_no_form_of_a_value_is_left_in_any_text(value: str, before: str, after: str) -> None:
    hide = Hiding([value])
    for form in forms_of(value) if is_secret(value) else ():
        assert form not in hide(before + form + after).replace(REDACTED, "\0")


def test_a_longer_value_goes_first_so_that_no_part_of_it_remains() -> None:
    assert Hiding(["hunter22", "hunter22-and-more"])("it was hunter22-and-more") == f"it was {REDACTED}"


def test_a_value_of_several_lines_is_hidden_on_one_line_and_line_by_line() -> None:
    hide = Hiding(["first-line-of-it\nsecond-line-of-it\n"])
    assert hide("got first-line-of-it second-line-of-it") == f"got {REDACTED}"
    assert hide("line 2: second-line-of-it") == f"line 2: {REDACTED}"


@pytest.mark.parametrize("value", ["", "abc", "true", "False", "null", "   x   "])
def test_words_of_the_language_and_short_values_hide_nothing(value: str) -> None:
    text = "abc is true, False or null;    x   "
    assert Hiding([value])(text) == text
    assert MIN_LENGTH == 4


def plan(**members: object) -> bytes:
    return msgspec.json.encode({"format_version": "1.2", **members})


@pytest.mark.parametrize(
    "text",
    [
        plan(resource_changes=[{"change": {"before": {"a": "open", "b": "S3CRET"}, "before_sensitive": {"b": True}}}]),
        plan(resource_drift=[{"change": {"after": {"a": ["x", "S3CRET"]}, "after_sensitive": {"a": [False, True]}}}]),
        plan(resource_changes=[{"change": {"after": {"a": {"b": [{"c": "S3CRET"}]}}, "after_sensitive": True}}]),
        plan(prior_state={"values": {"outputs": {"o": {"sensitive": True, "value": {"k": "S3CRET"}}}}}),
        plan(
            prior_state={
                "values": {
                    "root_module": {
                        "child_modules": [{"resources": [{"values": {"a": "S3CRET"}, "sensitive_values": {"a": True}}]}]
                    }
                }
            }
        ),
        plan(planned_values={"outputs": {"o": {"sensitive": True, "value": ["S3CRET"]}}}),
        plan(output_changes={"o": {"before": "S3CRET", "before_sensitive": True}}),
        plan(
            variables={"v": {"value": "S3CRET"}, "w": {"value": "open"}},
            configuration={"root_module": {"variables": {"v": {"sensitive": True}, "w": {}}}},
        ),
        plan(action_invocations=[{"config_values": {"a": "S3CRET"}, "config_sensitive": {"a": True}}]),
        plan(prior_state={"values": {"root_module": {"resources": [{"values": {"db_password": "S3CRET"}}]}}}),
        plan(configuration={"provider_config": {"x": {"expressions": {"token": {"constant_value": "S3CRET"}}}}}),
        plan(
            resource_changes=[{"change": {"before": {"doc": '{"inner": "S3CRET"}'}, "before_sensitive": {"doc": True}}}]
        ),
        msgspec.json.encode({"version": 4, "outputs": {"o": {"value": "S3CRET", "sensitive": True}}}),
        msgspec.json.encode(
            {
                "resources": [
                    {
                        "instances": [
                            {
                                "attributes": {"a": [{"b": "S3CRET"}], "c": "open"},
                                "sensitive_attributes": [
                                    [
                                        {"type": "get_attr", "value": "a"},
                                        {"type": "index", "value": {"value": 0, "type": "number"}},
                                        {"type": "get_attr", "value": "b"},
                                    ]
                                ],
                            }
                        ]
                    }
                ]
            }
        ),
    ],
)
def test_what_a_plan_or_a_state_marks_as_sensitive_is_found(text: bytes) -> None:
    found = sensitive_values(text)
    assert "S3CRET" in found
    assert not {"open", "x"} & found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "before",
                        "before_sensitive",
                        "sensitive_attributes",
                        "attributes",
                        "configuration",
                        "variables",
                        "root_module",
                        "type",
                        "value",
                        "sensitive",
                        "values",
                        "password",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_odd_input_is_read_without_an_error(value: object) -> None:
    sensitive_values(msgspec.json.encode(value))


def test_what_is_no_json_has_no_values() -> None:
    assert [sensitive_values(text) for text in (b"", b"PK\3\4", b"[1]", b"\xff", b"[" * 100_000)] == [set()] * 5


def test_variables_that_are_passed_on_count_with_what_is_inside_of_them() -> None:
    json_text, hcl_text = '{"password": "in\\"side"}', '{ password = "hcl\\"side" }'
    environment = {"TF_VAR_a": "hunter22", "TF_VAR_b": json_text, "TF_VAR_c": hcl_text, "AWS_REGION": "eu-west-1"}
    assert values_of_variables(environment) == {"hunter22", json_text, 'in"side', hcl_text, 'hcl"side'}


def test_credentials_of_a_backend_are_found_in_settings_and_files(tmp_path: Path) -> None:
    (tmp_path / "a.tfbackend").write_text('bucket = "open-bucket"\nsecret_key = "S3CRET"\n')
    assert values_of_backend({"bucket": "open", "access_key": "S3CRET"}, tmp_path) == {"S3CRET"}
    assert values_of_backend(("a.tfbackend", "missing"), tmp_path) == {"S3CRET"}
