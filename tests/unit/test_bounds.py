"""Inputs that others write are bounded: in size, in nesting, and in the time that they take."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.hcl.definitions import definitions
from driftguard.adapters.hcl.facts import parsed_source
from driftguard.adapters.hcl.outline import outline
from driftguard.adapters.terraform.hiding import sensitive_values
from driftguard.errors import UsageError
from driftguard.hcledit.documents import document
from driftguard.model.outlines import Outline
from driftguard.nesting import MAX_DEPTH
from driftguard.pipeline.classify.digests import digests_of_state
from driftguard.pipeline.foreign_plan import MAX_BYTES, ForeignPlan, classify_text
from driftguard.redaction import REDACTED
from driftguard.sealed import Sealed, reveal
from tests.support.harness import Sandbox
from tests.support.secret_shapes import Chance


def nested(depth: int, inside: str = "1", kind: str = "list") -> str:
    before, after = {"list": ("[", "]"), "object": ('{"a":', "}"), "mixed": ('[{"a":', "}]")}[kind]
    return before * depth + inside + after * depth


def plan(before: str, after: str = "{}", count: int = 1) -> bytes:
    """A plan that updates resources from one JSON text to another."""
    change = f'"actions": ["update"], "before": {before}, "after": {after}, "after_unknown": {{}}'
    resources = ",".join(
        f'{{"address": "a.b[{number}]", "mode": "managed", "type": "a", "name": "b", "index": {number}, '
        f'"provider_name": "x", "change": {{{change}}}}}'
        for number in range(count)
    )
    return (
        f'{{"format_version": "1.2", "complete": true, "errored": false, "resource_changes": [{resources}]}}'.encode()
    )


@pytest.mark.parametrize("kind", ["list", "object", "mixed"])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 700, 5_000, 100_000])
def test_a_plan_that_is_nested_too_deep_is_refused_in_one_sentence(kind: str, depth: int) -> None:
    with pytest.raises(UsageError, match=r"plan\.json: .*(nested more than 100 deep|recursion)") as caught:
        classify_text(ForeignPlan(plan(f'{{"v": {nested(depth, kind=kind)}}}'), "plan.json"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_value_as_deep_as_is_allowed_is_labelled() -> None:
    report = classify_text(ForeignPlan(plan(f'{{"v": {nested(MAX_DEPTH - 1)}}}'), "plan.json"))
    assert [change.path for change in report.environments[0].resources[0].attributes] == ["v[0]"]


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 600, 900, 20_000])
@pytest.mark.parametrize("text", [nested, lambda depth: "[" * depth, lambda depth: nested(depth, kind="object")])
def test_json_text_in_a_value_that_is_nested_too_deep_is_a_text(depth: int, text: Any) -> None:
    """A cloud's other users write such values: a description of `[[[[` must not end the environment's run."""
    value = json.dumps({"description": text(depth), "policy": text(depth)})
    (found,) = classify_text(ForeignPlan(plan(value), "plan.json")).environments
    assert {change.label for change in found.resources[0].attributes} == {"pending"}
    assert document(text(depth)) is None
    sensitive_values(plan(value))


def test_json_in_the_texts_of_json_hides_what_it_holds_at_any_depth() -> None:
    secret = "AKIA" + Chance(1).some("ABCDEFGH", 16)
    for levels in range(1, 12):
        text = secret
        for _ in range(levels):
            text = json.dumps([text]) if levels > 8 else nested(90, json.dumps(text))
        assert secret not in json.dumps(reveal(Sealed(text), "description")), levels
    assert reveal(Sealed(nested(150, f'"{secret}"')), "description") == REDACTED


def test_a_state_that_is_nested_too_deep_has_no_digests() -> None:
    resource = {"mode": "managed", "type": "a", "name": "b", "provider": "p", "instances": [{"attributes": {"v": 0}}]}
    text = json.dumps({"version": 4, "resources": [resource]}).replace("0", nested(900))
    assert digests_of_state(text.encode(), b"key") is None


@pytest.mark.parametrize("ending", ["tf.json", "tfvars.json"])
def test_json_source_that_is_nested_too_deep_is_reported_and_not_read(ending: str) -> None:
    source = f'{{"locals": {{"x": {nested(20_000)}}}}}'.encode()
    assert definitions(f"deep.{ending}", source).problem == f"deep.{ending} could not be parsed."
    assert parsed_source(f"deep.{ending}", source) == {}
    assert outline(f"deep.{ending}", source) == Outline()


def test_source_larger_than_what_is_parsed_has_no_outline() -> None:
    began = time.monotonic()
    assert outline("large.tf", b'resource "a" "b" {}\n' * 2_000_000) == Outline()
    assert time.monotonic() - began < 1


_WIDE: dict[str, Any] = {
    "texts": lambda n: {"v": [f"a{i}" for i in range(n)]},
    "objects": lambda n: {"v": [{"k": f"a{i}"} for i in range(n)]},
    "a map": lambda n: {f"a{i}": i for i in range(n)},
    "JSON text": lambda n: {"v": json.dumps([f"a{i}" for i in range(n)])},
    "a policy": lambda n: {"policy": json.dumps({"Statement": [{"Action": [f"s3:{i}"]} for i in range(n)]})},
    "words": lambda n: {"v": "a " * n * 20},
    "beginnings of keys": lambda n: {"v": "-----BEGIN PRIVATE KEY-----" * n},
    "beginnings of URLs": lambda n: {"v": "a://" * n * 5},
    "beginnings of tokens": lambda n: {"v": "eyJ" * n * 20},
}


@pytest.mark.parametrize("kind", _WIDE)
def test_the_time_for_a_large_value_grows_no_faster_than_its_size(kind: str) -> None:
    seconds = []
    for size in (1000, 4000):
        text = plan(json.dumps(_WIDE[kind](size)))
        tries = []
        for _ in range(3):  # the least of them: other programs run on this machine
            began = time.process_time()
            classify_text(ForeignPlan(text, "plan.json"))
            tries.append(time.process_time() - began)
        seconds.append(min(tries))
    assert seconds[1] < 10 * max(seconds[0], 0.05)  # four times for linear, sixteen for quadratic


def test_an_input_larger_than_the_limit_is_refused_with_exit_code_64(tmp_path: Path, driftguard: Sequence[str]) -> None:
    machine = Sandbox(tmp_path / "home", {}, driftguard)
    large = tmp_path / "large.json"
    with large.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    ran = machine.run("classify", str(large))
    assert (ran.code, ran.stdout) == (64, "")
    assert ran.stderr == f"driftguard: {large} is larger than 256 MiB, which is more than is read. Nothing was run.\n"
    deep = tmp_path / "deep.json"
    deep.write_bytes(plan(f'{{"v": {nested(50_000)}}}'))
    ran = machine.run("classify", str(deep))
    assert (ran.code, len(ran.stderr.splitlines())) == (64, 1)
