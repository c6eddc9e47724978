"""Where DriftGuard's report differs from the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from lab.configuration import Moment
from lab.judge import Expected, Mismatch
from lab.printing import HIDDEN, printed
from lab.truth import ABSENT, Fact, verdict
from lab.wire import UNKNOWN


def compare(expected: Mapping[str, Expected], report: Mapping[str, Any]) -> Iterator[Mismatch]:
    """Where a report differs from the truth."""
    replaced = any(len(r["actions"]) > 1 or "delete" in r["actions"] for r in report["resources"])
    wanted = verdict((e.labels for e in expected.values()), replaces=replaced)
    if report["error"]:
        yield Mismatch("environment", wanted, f"{report['verdict']}: {report['error']['message']}")
        return
    if report["verdict"] != wanted:
        yield Mismatch("environment", wanted, report["verdict"])
    reported = {resource["address"]: resource for resource in report["resources"]}
    reported |= {
        _key(invocation): _as_resource({**invocation, "certain": True}) for invocation in report["invocations"]
    }
    reported |= {f"output.{output['name']}": _as_resource(output) for output in report["outputs"]}
    for address in sorted(expected.keys() | reported.keys()):
        one, other = expected.get(address), reported.get(address)
        if one is None or other is None:
            yield Mismatch(address, _shown(one.labels if one else ()), _shown(other["labels"] if other else ()))
        elif not other["attributes"] and one.labels <= QUIET:
            yield from _compare_quiet(one, other)
        else:
            yield from _compare_one(one, other)


QUIET: Final = frozenset({"noise", "adopted"})


def _compare_quiet(expected: Expected, got: Mapping[str, Any]) -> Iterator[Mismatch]:
    """Where nothing was planned and no value was read, a commit makes it uncertain which of two labels it is."""
    labels = set(got["labels"])
    if labels != expected.labels and not (not got["certain"] and labels <= QUIET):
        yield Mismatch(expected.address, _shown(expected.labels), _shown(labels))


def _compare_one(expected: Expected, got: Mapping[str, Any]) -> Iterator[Mismatch]:
    if expected.labels != set(got["labels"]):
        yield Mismatch(expected.address, _shown(expected.labels), _shown(got["labels"]))
    needed = Counter(_signature(fact) for fact in expected.facts)
    found = Counter((a["path"], a["label"], a["certain"]) for a in got["attributes"])
    lacking, extra = needed - found, found - needed
    by_path = {fact.path: fact.five for fact in expected.facts}
    for path in sorted({path for path, _, _ in (*lacking, *extra)}):
        where = f"{expected.address} {path or '(object)'}"
        yield Mismatch(where, _at(path, lacking), _at(path, extra), by_path.get(path))
    if not lacking and not extra and "action." not in expected.address and not expected.address.startswith("output."):
        yield from _compare_values(expected, got)


def _compare_values(expected: Expected, got: Mapping[str, Any]) -> Iterator[Mismatch]:
    """Where the labels are right: the values beside them, whether they are hidden, and what forces a replacement."""
    moving = {fact.path for fact in expected.facts if fact.five is not None and isinstance(fact.five.desired, Moment)}
    needed = Counter(_values_of(fact) for fact in expected.facts)
    found = Counter(_reported(a, a["path"] in moving) for a in got["attributes"])
    for (path, wanted), (_, other) in zip(sorted(needed - found), sorted(found - needed), strict=False):
        yield Mismatch(f"{expected.address} {path or '(object)'}, values", wanted, other)


def _values_of(fact: Fact) -> tuple[str, str]:
    five = fact.five
    if not fact.path or five is None:
        return fact.path, ""
    reality = ABSENT if fact.gone else five.reality
    views = (five.state, reality, ABSENT if fact.lost else five.desired)
    hidden = (fact.secret, fact.secret and not fact.gone, fact.secret)
    shown = [HIDDEN if secret else printed(view) for view, secret in zip(views, hidden, strict=True)]
    return fact.path, f"{' | '.join(shown)}{' unknown' * (five.desired is UNKNOWN)}{' forces' * fact.forces}"


def _reported(attribute: Mapping[str, Any], moving: bool) -> tuple[str, str]:
    if not attribute["path"]:
        return "", ""
    shown = [printed(attribute[view]) for view in ("state", "reality", "desired")]
    if moving and not attribute["sensitive"]:
        shown[2] = printed(Moment())
    flags = f"{' unknown' * attribute['unknown']}{' forces' * attribute['forces_replacement']}"
    return attribute["path"], f"{' | '.join(shown)}{flags}"


def _key(invocation: Mapping[str, Any]) -> str:
    return f"{invocation['address']} {invocation['trigger']}"


def _as_resource(output: Mapping[str, Any]) -> dict[str, Any]:
    """A reported output in the form of a resource with one attribute."""
    attribute = {"path": "", "label": output["label"], "certain": output["certain"]}
    return {"labels": [output["label"]], "certain": output["certain"], "attributes": [attribute]}


def _signature(fact: Fact) -> tuple[str, str, bool]:
    return fact.path, fact.label, fact.certain


def _at(path: str, found: Counter[tuple[str, str, bool]]) -> str:
    """The labels at one path; a question mark stands behind what is not certain."""
    return _shown(f"{name}{'' if certain else '?'}" for at, name, certain in found.elements() if at == path)


def _shown(labels: Iterable[str]) -> str:
    return "+".join(sorted(labels)) or "nothing"
