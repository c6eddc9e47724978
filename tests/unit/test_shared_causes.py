"""Causes over the estate: one row for what is open for the same reason in many environments."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import yaml

from driftguard.config.models import IgnoreRule
from driftguard.model import Trace
from driftguard.model.estate import Occurrence
from driftguard.model.report import AttributeReport, EnvironmentReport, ResourceReport
from driftguard.pipeline.shared_causes import ignore_rule, request_text, request_title, shared_causes

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def environment(name: str, *attributes: AttributeReport, address: str = "aws_db_instance.main") -> EnvironmentReport:
    labels = tuple(sorted({a.label for a in attributes}))
    resource = ResourceReport(address, "aws_db_instance", labels=labels, attributes=attributes)
    return EnvironmentReport(name, verdict="drifted", resources=(resource,), owner="team-a")


def engine(label: str = "drift", wanted: object = "15.4", reality: object = "16.1") -> AttributeReport:
    return AttributeReport("engine_version", label, wanted, reality, wanted)


def test_the_same_change_in_forty_environments_is_one_row() -> None:
    reports = [(environment(f"shop-{n:02}", engine()), NOW) for n in range(40)]
    [cause] = shared_causes(reports)
    assert (cause.label, cause.type, cause.attribute, cause.wanted) == (
        "drift",
        "aws_db_instance",
        "engine_version",
        "15.4",
    )
    assert len(cause.environments) == 40


def test_another_label_or_wanted_value_is_another_cause() -> None:
    reports = [
        (environment("a", engine()), NOW),
        (environment("b", engine(wanted="14.9")), NOW),
        (environment("c", engine(label="pending")), NOW),
    ]
    assert len({cause.id for cause in shared_causes(reports)}) == 3


def test_what_one_variable_changed_is_one_row_whatever_it_sets() -> None:
    reports = [
        (environment(name, AttributeReport(path, "input", 1, 1, wanted, causes=("var.size",))), NOW)
        for name, path, wanted in (("a", "size", 2), ("b", "size", 3), ("b", "disk", 4))
    ]
    [cause] = shared_causes(reports)
    assert (cause.origin, cause.environments) == ("var.size", ("a", "b"))


def test_one_provider_upgrade_that_changed_forty_environments_is_one_row() -> None:
    upgrade = "hashicorp/aws 5.99.1 → 5.100.0"
    reports = [
        (environment(f"e-{n}", AttributeReport(f"default_{n % 3}", "pending", 1, 1, n, causes=(upgrade,))), NOW)
        for n in range(40)
    ]
    [cause] = shared_causes(reports)
    assert (cause.origin, cause.subject, len(cause.environments)) == (upgrade, upgrade, 40)


def test_a_cause_is_as_old_as_its_oldest_change_and_names_its_first_author() -> None:
    old = NOW - timedelta(days=3)
    occurrence = Occurrence("b", "aws_db_instance.main", "drift", "aws_db_instance", None, old, old)
    trace = Trace("aws_db_instance.main", "ModifyDBInstance", old, "ada", "", "console", "resource")
    reports = [(environment("a", engine()), NOW), (environment("b", engine()), NOW)]
    [cause] = shared_causes(reports, [occurrence], {("b", "aws_db_instance.main"): trace})
    assert (cause.since, cause.first_actor, cause.resources[0].environment) == (old, "ada", "b")


def test_noise_and_what_follows_from_another_change_have_no_row() -> None:
    attributes = [AttributeReport("tags", label) for label in ("noise", "adopted", "derived")]
    assert shared_causes([(environment("a", *attributes), NOW)]) == ()


def test_the_ignore_rule_covers_exactly_what_the_row_lists() -> None:
    addresses = ['aws_db_instance.a["x: y"]', "module.m.aws_db_instance.b[0]"]
    reports = [(environment(f"e{n}", engine(), address=address), NOW) for n, address in enumerate(addresses)]
    [cause] = shared_causes(reports)
    rules = [IgnoreRule(**rule) for rule in yaml.safe_load(ignore_rule(cause) or "")["ignore"]]
    for address in addresses:
        assert any(rule.matches(address, "engine_version") for rule in rules)
    assert not any(rule.matches("aws_db_instance.c", "engine_version") for rule in rules)
    assert not any(rule.matches(addresses[0], "storage") for rule in rules)


def test_an_object_that_was_deleted_has_no_ignore_rule() -> None:
    deleted = AttributeReport("", "drift", "present", "absent", "present")
    [cause] = shared_causes([(environment("a", deleted), NOW)])
    assert ignore_rule(cause) is None


def test_a_request_links_and_mentions_nothing() -> None:
    hostile = engine(wanted="@everyone [x](https://evil.example) #1 `", reality="![x](https://evil.example)|@all")
    [cause] = shared_causes([(environment("a", hostile, address='aws_db_instance.m["`@bob` | #2"]'), NOW)])
    text, title = request_text(cause), request_title(cause)
    assert "since 2026-11-28 12:00 UTC" in text
    assert "engine_version of aws_db_instance in 1 environment" in title
    outside_code = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert not re.search(r"@|evil|#\d|\]\(", outside_code)
