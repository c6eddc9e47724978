"""Environments without a verdict are grouped by cause, whatever their names, paths, lines or numbers of requests."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from driftguard.cli.summary import markdown
from driftguard.cli.text import print_run
from driftguard.model.causes import Faulted, by_cause
from driftguard.model.report import EnvironmentReport, ErrorReport, RunReport
from driftguard.report import causes


def faulted(number: int, message: str, kind: str = "plan") -> Faulted:
    name = f"live/e{number}"
    return Faulted(name, name, "default", kind, message.format(n=number, name=name))


@pytest.mark.parametrize(
    "message",
    [
        "{name}/main.tf:{n}: Unsupported argument: no argument named x",
        "main.tf:1{n}: Unsupported argument",
        "The environment {name} has no file for {n}.",
        "operation error S3: HeadObject, StatusCode: 403, RequestID: 7F{n}AB, HostID: ab/{n}+x=, api error Forbidden",
        "No Terraform here will do: ~> 9.{n} (required_version)",
        "request 5f9d3a0e-6a53-4d56-9d6c-0b1f5b3b7a1{n} failed",
        'Get "https://state-{n}.s3.eu-west-1.amazonaws.com/{name}": dial tcp: lookup state-{n}: no such host',
        "dial tcp 10.0.0.{n}:443: i/o timeout",
    ],
)
def test_one_cause_is_one_line_whatever_it_is_called(message: str) -> None:
    (cause,) = by_cause(faulted(number, message) for number in (1, 2, 3))
    assert cause.environments == ("live/e1", "live/e2", "live/e3")
    assert cause.remedy


def test_short_names_of_environments_do_not_hide_that_causes_are_alike() -> None:
    message = "a provider and a module are absent at all"
    both = [Faulted(name, name, "default", "init", message) for name in ("a", "b", "at")]
    assert len(by_cause(both)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Unsupported argument: x", "Unsupported block: x"),
        ("no such host", "connection refused"),
        ('The argument "a" is required', 'The argument "b" is required'),
    ],
)
def test_different_causes_stay_apart(one: str, other: str) -> None:
    assert len(by_cause([faulted(1, one), faulted(2, other)])) == 2


def report(count: int, message: str) -> RunReport:
    environments = tuple(
        EnvironmentReport(name=f"e{n}", verdict="unknown", error=ErrorReport("init", message.format(n=n)))
        for n in range(count)
    )
    return RunReport(summary={"unknown": count}, environments=environments, causes=tuple(causes(environments)))


def test_a_thousand_environments_behind_one_broken_network_are_one_line_with_a_count() -> None:
    message = 'Get "https://registry.terraform.io/{n}": dial tcp: lookup registry.terraform.io: no such host'
    text = StringIO()
    print_run(Console(file=text, width=120), report(1000, message), noise=False)
    printed = text.getvalue()
    assert len(printed.splitlines()) < 15
    assert printed.count("no such host") == 1
    assert "1000 environments" in printed
    assert "Check the network" in printed
    assert markdown(report(1000, message)).count("no such host") == 1


@pytest.mark.parametrize(
    "messages",
    [
        (
            "could not connect to r.example.org: failed to request discovery document: no such host",
            'Get "https://r.example.org/.well-known/terraform.json": dial tcp: lookup r.example.org on [::1]:53',
        ),
        ("Cloning into 'm'... fatal: Could not resolve host: r.example.org", "lookup r.example.org: i/o timeout"),
    ],
)
def test_a_server_that_is_not_reached_is_one_cause_in_whatever_words(messages: tuple[str, str]) -> None:
    first = messages[0].replace("connect to r.", "connect to https://r.")
    (cause,) = by_cause([faulted(1, first), faulted(2, messages[1])])
    assert len(cause.environments) == 2


def test_causes_of_a_few_environments_each_are_grouped_where_many_have_no_verdict() -> None:
    environments = tuple(
        EnvironmentReport(name=f"e{n}", verdict="unknown", error=ErrorReport("plan", f"cause {'abc'[n // 3]}"))
        for n in range(9)
    )
    whole = RunReport(summary={"unknown": 9}, environments=environments, causes=tuple(causes(environments)))
    text = StringIO()
    print_run(Console(file=text, width=120), whole, noise=False)
    assert [text.getvalue().count(f"plan: cause {letter}") for letter in "abc"] == [1, 1, 1]


def test_two_environments_behind_one_broken_network_are_one_line() -> None:
    text = StringIO()
    print_run(Console(file=text, width=120), report(2, "dial tcp: lookup r.example.org: no such host"), noise=False)
    assert text.getvalue().count("no such host") == 1


def test_a_few_environments_are_listed_one_by_one() -> None:
    text = StringIO()
    print_run(Console(file=text, width=120), report(3, "broken"), noise=False)
    assert text.getvalue().count("init: broken") == 3
