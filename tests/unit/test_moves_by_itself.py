"""What moves by itself: the clock, the checkout, actions, reads for checks, orphans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from driftguard.adapters.hcl.sources import Configuration, TextSources
from driftguard.model import Classification, Label, Verdict
from driftguard.model.configuration_sources import MovingAttribute, remedy
from driftguard.pipeline.classify.labels import Evidence, classify
from driftguard.ports import Checkout
from tests.support.plans import KEY, plan, resource

FIRST_SCAN = Evidence(has_baseline=False)
NOW = "2026-11-27T20:07:12Z"
STAMP = "terraform_data.stamp"


def labels(result: Classification) -> dict[str, set[Label]]:
    return {found.address: set(found.labels) for found in result.resources}


def planned(*resources: Any, expressions: Any = None, **more: Any) -> Classification:
    listed = [{"address": address, "expressions": found} for address, found in (expressions or {}).items()]
    document = plan(*resources, configuration={"root_module": {"resources": listed}}, timestamp=NOW, **more)
    return classify(document, FIRST_SCAN, KEY)


@pytest.mark.parametrize(
    ("before", "after", "restless"),
    [
        ("2026-11-27T20:06:07Z", NOW, True),
        ("built 2026-11-26", "built 2026-11-27", True),
        ("2026-11-26", "later than 2026-11-27", False),
        ("a", "b", False),
    ],
)
def test_a_value_of_the_plans_moment_is_restless(before: str, after: str, restless: bool) -> None:
    changed = resource(STAMP, state={"input": before}, desired={"input": after})
    result = planned(changed, expressions={STAMP: {"input": {}}})
    assert labels(result) == {STAMP: {Label.RESTLESS if restless else Label.PENDING}}
    assert (result.verdict is Verdict.IN_SYNC) == restless
    assert not result.resources[0].certain


def test_a_new_moment_voids_no_approval_and_another_reality_does() -> None:
    def fingerprint(before: str, after: str) -> str | None:
        changed = resource(STAMP, state={"input": before}, desired={"input": after})
        return planned(changed, expressions={STAMP: {"input": {}}}).plan_fingerprint

    old = "2026-11-01T00:00:00Z"
    assert fingerprint(old, NOW) == fingerprint(old, "2026-11-27T20:09:00Z")
    assert fingerprint(old, NOW) != fingerprint("2026-11-02T00:00:00Z", NOW)


def test_a_restless_replacement_with_an_effect_is_pending() -> None:
    views: dict[str, Any] = {"state": {"a": "2026-11-01"}, "desired": {"a": "2026-11-27"}}
    address = "aws_instance.web"
    changed = resource(address, **views, actions=["delete", "create"], replace_paths=[["a"]])
    assert labels(planned(changed, expressions={address: {"a": {}}})) == {address: {Label.PENDING}}


def test_an_object_that_is_due_by_the_clock_was_not_deleted() -> None:
    state = {"rfc3339": "2026-11-01T00:00:00Z", "rotation_rfc3339": "2026-11-27T20:00:00Z", "rotation_days": 26}
    unknown = {"rfc3339": True, "rotation_rfc3339": True}
    due = resource("time_rotating.key", state=state, reality=None, desired={"rotation_days": 26}, unknown=unknown)
    result = planned(due)
    assert (result.verdict, labels(result)) == (Verdict.PENDING, {"time_rotating.key": {Label.INPUT}})
    early = resource(
        "time_rotating.key",
        state={**state, "rotation_rfc3339": "2027-01-01T00:00:00Z"},
        reality=None,
        desired={"rotation_days": 26},
        unknown=unknown,
    )
    assert labels(planned(early)) == {"time_rotating.key": {Label.DRIFT}}


@pytest.mark.parametrize(
    ("filename", "label"),
    [
        ("./kubeconfig", Label.RESTLESS),
        ("out/key.pem", Label.RESTLESS),
        ("../../etc/cron.d/x", Label.DRIFT),
        ("/etc/hosts", Label.DRIFT),
        ("backend.tf", Label.DRIFT),
        ("x.auto.tfvars", Label.DRIFT),
        (".terraform/x", Label.DRIFT),
        ("x.tfstate.d/y.tofu.json", Label.DRIFT),
        (".git/hooks/post-checkout", Label.DRIFT),
        (".gitattributes", Label.DRIFT),
    ],
)
def test_a_file_of_the_checkout_is_restless_and_no_other_file(filename: str, label: Label) -> None:
    values = {"filename": filename, "content": "x"}
    gone = resource("local_file.f", state=values, reality=None, desired=values)
    assert labels(planned(gone)) == {"local_file.f": {label}}


def test_each_restless_attribute_is_named_with_its_place_and_remedy() -> None:
    files = {
        "env/main.tf": b"\n".join(
            [
                b"locals {",
                b"  now = plantimestamp()",
                b"}",
                b'module "m" {',
                b'  source = "../mod"',
                b"}",
                b'resource "toy" "a" {',
                b'  tags = { at = local.now, note = "uuid() is text" }',
                b"  name = path.module",
                b"}",
                b'resource "toy" "ignored" {',
                b"  seen = timestamp()",
                b"  lifecycle {",
                b"    ignore_changes = [seen]",
                b"  }",
                b"}",
                b"",
            ]
        ),
        "mod/main.tf": b'resource "toy" "b" {\n  file = abspath("x")\n}\n',
    }
    found = list(Configuration("env", files).moving())
    assert found == [
        MovingAttribute("toy.a.tags", "plantimestamp", "env/main.tf:2"),
        MovingAttribute("module.m.toy.b.file", "abspath", "mod/main.tf:2"),
    ]
    advice = [remedy(attribute.call) for attribute in found]
    assert [("time_static" in text, "path.module" in text) for text in advice] == [(True, False), (False, True)]


def test_links_on_the_way_to_a_file_of_the_checkout_are_followed(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env/inside").symlink_to("../build")
    (tmp_path / "env/outside").symlink_to("/etc")
    (tmp_path / "env/git").symlink_to("../.git")
    (tmp_path / "env/readme").symlink_to("../README.md")
    tracked = {"env/inside", "env/outside", "env/git", "env/readme", "README.md", "env/data"}
    sources = TextSources(Configuration("env", {}), None, Checkout(tmp_path, "env", tracked))
    assert [name for name in ("inside/x", "x", "new/x") if sources.is_left_out(name)] == ["inside/x", "x", "new/x"]
    assert not any(sources.is_left_out(name) for name in ("outside/x", "git/x", "readme", "data/x", "../README.md"))


def test_only_the_operators_table_makes_further_types_files_of_the_checkout() -> None:
    gone = resource("acme_file.f", state={"path": "x"}, reality=None, desired={"path": "x"})
    configuration, checkout = Configuration(".", {}), Checkout(Path("/nowhere"), ".", set())
    found = {}
    for table in ({}, {"acme_file": "path"}):
        sources = TextSources(configuration, None, checkout, table)
        found[len(table)] = labels(classify(plan(gone), FIRST_SCAN, KEY, sources=sources))
    assert found == {0: {"acme_file.f": {Label.DRIFT}}, 1: {"acme_file.f": {Label.RESTLESS}}}


def test_a_read_for_a_check_block_is_no_change() -> None:
    read = resource("data.toy_probe.p", state=None, desired={"n": 1}, actions=["read"], unknown={"s": True})
    assert read[1] is not None
    read[1]["action_reason"] = "read_because_check_nested"
    result = planned(read)
    assert (result.verdict, result.resources, result.plan_fingerprint) == (Verdict.IN_SYNC, (), None)


def test_an_action_alone_is_not_in_sync() -> None:
    result = planned(action_invocations=[{"address": "action.toy_flush.f", "invoke_action_trigger": {}}])
    assert (result.verdict, [i.address for i in result.invocations]) == (Verdict.PENDING, ["action.toy_flush.f"])
    assert result.plan_fingerprint is not None


def test_the_reality_of_an_orphan_is_what_the_refresh_found() -> None:
    drift, change = resource("toy_volume.old", state={"n": "a"}, reality={"n": "b"}, desired=None)
    assert change is not None
    change["change"]["before"] = {"n": "a"}  # as Terraform up to 1.11 writes it
    result = planned((drift, change))
    assert result.verdict is Verdict.DIVERGED


def test_the_configurations_text_follows_locals_and_modules() -> None:
    files = {
        "env/main.tf": b"\n".join(
            [
                b"locals {",
                b"  tags = { at = timestamp() }",
                b"}",
                b'module "m" {',
                b'  source = "../mod"',
                b"  t = local.tags",
                b"}",
                b'resource "toy" "plain" {',
                b'  name = "call timestamp() now"',
                b"}",
                b"",
            ]
        ),
        "mod/main.tf": b'variable "t" {}\nresource "toy" "b" {\n  tags = var.t\n}\n',
    }
    sources = TextSources(Configuration("env", files), None, Checkout(Path("/nowhere"), "env", {"env/main.tf"}))
    found = sources.of("module.m.toy.b[0]", "tags")
    assert found is not None
    assert (found.moves, found.place) == (True, "env/main.tf:2")
    plain = sources.of("toy.plain", "name")
    assert plain is not None
    assert not plain.moves


@pytest.mark.parametrize(
    ("address", "before"),
    [
        ("a_b.three[0]", ("a_b.two[0]", "a_b.one[0]")),
        ("a_b.three_more", ()),
        ('module.new["x.y"].a_b.inner', ('module.new["x.y"].a_b.old', "module.old.a_b.old")),
        ("a_b.ring", ("a_b.other",)),
    ],
)
def test_moved_blocks_lead_back_to_earlier_addresses(address: str, before: tuple[str, ...]) -> None:
    root = """
        module "new" {
          source   = "../module"
          for_each = toset(["x.y"])
        }
        moved {
          from = a_b.one
          to   = a_b.two
        }
        moved {
          from = a_b.two
          to   = a_b.three
        }
        moved {
          from = module.old
          to   = module.new["x.y"]
        }
        moved {
          from = a_b.other
          to   = a_b.ring
        }
        moved {
          from = a_b.ring
          to   = a_b.other
        }
    """
    module = "moved {\n  from = a_b.old\n  to = a_b.inner\n}\n"
    files = {"e/main.tf": root.encode(), "module/main.tf": module.encode()}
    assert Configuration("e", files).moved_from(address) == before
