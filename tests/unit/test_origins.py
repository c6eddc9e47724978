"""The version of a module or provider, or the variables, behind what is pending or input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from driftguard.model.plan_document import PlanDocument
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.pipeline.classify.origins import upgraded
from tests.support.plans import KEY, plan, resource

PROVIDER = "registry.terraform.io/hashicorp/aws"
UPGRADE = upgraded({PROVIDER: "5.99.1"}, {PROVIDER: "5.100.0"})
ADDRESS = "aws_sqs_queue.jobs"


@dataclass(frozen=True)
class Text:
    """The source of an attribute, as the configuration's text has it."""

    unchanged: bool
    moves: bool = False
    closed: bool = False
    call: str = ""
    place: str = ""


class Texts:
    """Sources that are all changed, or all unchanged."""

    def __init__(self, *, unchanged: bool) -> None:
        self._text = Text(unchanged)

    def of(self, address: str, attribute: str, *, before: str = "") -> Text:
        return self._text

    def is_secret(self, address: str, attribute: str) -> bool:
        return False

    def moved_from(self, address: str) -> tuple[str, ...]:
        return ()

    def is_left_out(self, filename: str) -> bool | None:
        return False

    def file_attribute(self, type_: str) -> str | None:
        return None


def configured(expression: Any, value: Any = None, **root: Any) -> dict[str, Any]:
    """The configuration and the variables of a plan whose queue has one attribute `a`."""
    resources = [{"address": ADDRESS, "expressions": {"a": expression} if expression else {}}]
    variables = {"variables": {"size": {"value": value}, "other": {"value": 1}}} if value is not None else {}
    return {"configuration": {"root_module": {"resources": resources, **root}}, **variables}


def wants(desired: str, *, address: str = ADDRESS, **more: Any) -> PlanDocument:
    return plan(resource(address, state={"a": "old"}, reality={"a": "old"}, desired={"a": desired}), **more)


def causes(document: PlanDocument, before: PlanDocument | None = None, **evidence: Any) -> tuple[str, ...]:
    sources = evidence.pop("sources", None)
    found = Evidence(has_baseline=True, closure_changed=before is not None, state_written=False, **evidence)
    [change] = classify(document, found, KEY, baseline_document=before, sources=sources).resources
    [attribute] = change.attributes
    return attribute.causes


VARIABLE = {"references": ["var.size"]}
CONSTANT = {"constant_value": "new"}


def test_a_provider_of_another_version_is_an_upgrade() -> None:
    assert UPGRADE == {PROVIDER: "hashicorp/aws 5.99.1 → 5.100.0"}
    assert upgraded({PROVIDER: "5.99.1"}, {PROVIDER: "5.99.1", "example.com/a/b": "1.0.0"}) == {}


def test_a_variable_with_another_value_is_named() -> None:
    before = wants("old", **configured(VARIABLE, "old"))
    assert causes(wants("new", **configured(VARIABLE, "new")), before) == ("var.size",)
    assert causes(wants("new", **configured(CONSTANT, "new")), before) == ()


def test_a_variable_from_outside_is_named_where_no_commit_changed_anything() -> None:
    assert causes(wants("new", **configured(VARIABLE, "new"))) == ("var.size",)
    two = {"references": ["var.size", "var.other"]}
    assert causes(wants("new", **configured(two, "new"))) == ()
    looked_up = {"references": ["var.size", "data.aws_ami.a.id", "data.aws_ami.a"]}
    assert causes(wants("new", **configured(looked_up, "new"))) == ()


def test_a_new_provider_is_named_where_no_commit_changed_the_expression() -> None:
    before = wants("old", **configured(CONSTANT))
    now = wants("new", **configured(CONSTANT))
    assert causes(now, before, upgraded=UPGRADE, sources=Texts(unchanged=True)) == (UPGRADE[PROVIDER],)
    assert causes(now, before, upgraded=UPGRADE, sources=Texts(unchanged=False)) == ()
    assert causes(now, before, upgraded=UPGRADE) == ()
    assert causes(now, before, upgraded={"registry.terraform.io/other/x": "x"}, sources=Texts(unchanged=True)) == ()


def test_a_new_provider_is_named_for_a_default_that_nothing_configures() -> None:
    before = wants("old", **configured(None))
    assert causes(wants("new", **configured(None)), before, upgraded=UPGRADE) == (UPGRADE[PROVIDER],)
    assert causes(wants("new", **configured(None)), upgraded=UPGRADE) == (UPGRADE[PROVIDER],)


def called(version: str, source: str = "acme/app/aws") -> dict[str, Any]:
    module = {"resources": [{"address": "aws_sqs_queue.jobs", "expressions": {"a": CONSTANT}}]}
    call = {"source": source, "version_constraint": version, "module": module}
    return {"configuration": {"root_module": {"module_calls": {"app": call}}}}


def test_another_version_of_a_module_is_named() -> None:
    inside = "module.app.aws_sqs_queue.jobs"
    before = wants("old", address=inside, **called("1.2.0"))
    assert causes(wants("new", address=inside, **called("1.3.0")), before) == ("module.app 1.2.0 → 1.3.0",)
    assert causes(wants("new", address=inside, **called("1.2.0")), before) == ()
    url = "git::https://user:secret@example.org/app.git?ref="
    before = wants("old", address=inside, **called("", url + "v1"))
    found = causes(wants("new", address=inside, **called("", url + "v2")), before)
    assert found == ("module.app v1 → v2",)


def test_nothing_is_named_without_a_baseline() -> None:
    [change] = classify(wants("new", **configured(VARIABLE, "new")), Evidence(has_baseline=False), KEY).resources
    assert change.attributes[0].causes == ()
