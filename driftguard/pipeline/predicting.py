"""What a scan would fail on, or could not be certain of, from facts alone; one prediction for all that share a cause.

Takes what is known of each environment without running anything; gives `Prediction` values. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

from driftguard.config import EnvironmentSettings
from driftguard.model import Closure
from driftguard.model.causes import Faulted
from driftguard.model.configuration_sources import MovingAttribute, remedy
from driftguard.model.outlines import Outline
from driftguard.model.words import code_that_runs, plural
from driftguard.pipeline.layout import backend_block, backend_kind, lacking_settings

_MAX_ALIKE: Final = 5
_ON_PLATFORM: Final = ("cloud", "remote")


@dataclass(frozen=True, slots=True)
class EnvironmentFacts:
    """What is known of an environment without running anything.

    Attributes:
        closure: None where it cannot be known.
        fault: why it cannot be planned, one sentence; None where nothing is known against it.
        outlines: of the Terraform files of its directory.
        given: names of variables that get a value from var files or the environment.
        lacking: names of environment variables that `env` asks for and this process does not have.
        moving: attributes whose value is another one in each plan or checkout.
        state_is_reachable: whether a local state would be found: not where the repository was given as a URL.
    """

    settings: EnvironmentSettings
    closure: Closure | None
    fault: str | None = None
    outlines: tuple[Outline, ...] = ()
    given: frozenset[str] = frozenset()
    lacking: tuple[str, ...] = ()
    state_is_reachable: bool = True
    moving: tuple[MovingAttribute, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One cause, and the environments that it concerns.

    Attributes:
        check: the subject, in a word or two.
        blocks: whether no verdict is possible; False for what only makes it less certain.
        environments: their names, sorted; empty for what concerns none of them.
    """

    check: str
    blocks: bool
    text: str
    remedy: str = ""
    environments: tuple[str, ...] = ()

    def counted(self, total: int) -> str:
        """The text with how many environments of all it concerns."""
        noun = "environment" if total == 1 else "environments"
        return f"{len(self.environments)} of {total} {noun}: {self.text}" if self.environments else self.text


_Predicted = Iterator[Prediction]


def predictions(facts: Sequence[EnvironmentFacts]) -> _Predicted:
    """Everything that is predicted, in the order in which it is put right; what blocks comes first within a check."""
    for rule in _RULES:
        found = [
            (Faulted(settings.name, settings.path, settings.workspace, one.check, one.text).gist, settings.name, one)
            for each in facts
            for settings in (each.settings,)
            for one in rule(each)
        ]
        yield from limited(grouped(found))


def grouped(found: Sequence[tuple[str, str, Prediction]]) -> list[Prediction]:
    """One prediction for all of one gist.

    Args:
        found: gist, name of the environment, and prediction.
    """
    groups: dict[tuple[str, str], list[tuple[str, Prediction]]] = {}
    for gist, name, one in found:
        groups.setdefault((one.check, gist), []).append((name, one))
    return [
        Prediction(alike[0][1].check, alike[0][1].blocks, alike[0][1].text, alike[0][1].remedy, names)
        for alike in groups.values()
        for names in (tuple(sorted({name for name, _ in alike})),)
    ]


def limited(found: Sequence[Prediction]) -> _Predicted:
    """The predictions of each check, those of most environments first; the rest of many as one with a count."""
    ordered = sorted(found, key=lambda one: (one.check, not one.blocks, -len(one.environments), one.environments))
    for check, group in groupby(ordered, key=attrgetter("check")):
        alike = list(group)
        yield from alike[:_MAX_ALIKE]
        rest = alike[_MAX_ALIKE:]
        if rest:
            names = tuple(sorted({name for one in rest for name in one.environments}))
            text = f"and {plural(len(rest), 'more cause')} of this kind, such as: {rest[0].text}"
            yield Prediction(check, any(one.blocks for one in rest), text, rest[0].remedy, names)


# --- what blocks -----------------------------------------------------------------------------------


def _configuration(facts: EnvironmentFacts) -> _Predicted:
    if facts.fault is not None:
        yield Prediction("configuration", True, facts.fault)
    if facts.lacking:
        names = ", ".join(facts.lacking)
        remedy = "Set them for this process, or remove them from `env`."
        yield Prediction("variables", True, f"the environment variables {names} (`env`) are not set", remedy)


def _contents(facts: EnvironmentFacts) -> _Predicted:
    closure = facts.closure
    if closure is None:
        return
    remedy = "Commit what is missing, or fetch it when the repository is cloned."
    for sentence in closure.missing:
        yield Prediction("contents", True, sentence, remedy)
    for sentence in closure.dangling:
        if not any(sentence.partition(",")[0] in other for other in closure.missing):
            yield Prediction("dangling links", False, sentence, "Commit its target, or remove the link.")
    for path in closure.absent:
        remedy = "Commit it, or give it with `files` of the operator's file."
        yield Prediction("files not in git", True, f"{path} is read and is not in git", remedy)


def _code(facts: EnvironmentFacts) -> _Predicted:
    unit = facts.closure.unit if facts.closure is not None else None
    for text in code_that_runs(unit.runs) if unit is not None else ():
        yield Prediction("code", False, text)


def _backend(facts: EnvironmentFacts) -> _Predicted:
    if facts.closure is None or facts.closure.unit is not None:  # a unit's backend and inputs are Terragrunt's
        return
    block = backend_block(facts.outlines)
    kind, partial = backend_kind(block)
    if facts.settings.files_from is not None:  # what it holds is not parsed: it may be the backend, or values
        return
    if block is not None and partial and (text := _lacking(block, kind, facts.settings)):
        remedy = 'Write `backend_config` for the entry, such as {key: "{path}/terraform.tfstate"}.'
        yield Prediction("backend", True, text, remedy)
    if kind in ("", "local") and not facts.state_is_reachable:
        text = "the state is a local file, which is not part of git"
        yield Prediction("backend", True, text, "Give --repo the PATH where the state is, or use a remote backend.")


def _lacking(block: Outline, kind: str, settings: EnvironmentSettings) -> str | None:
    """What keeps a backend without all of its settings from being initialised; None where they are given otherwise."""
    given = settings.backend_config
    if not given and not block.attributes and "TF_HTTP_ADDRESS" not in settings.env:
        return f"the {kind} backend has no settings in the code, and `backend_config` gives none"
    if not isinstance(given, Mapping):  # the contents of files are not read
        return None
    lacking = [name for name in lacking_settings(block) if name not in given]
    if not lacking or (kind == "http" and "TF_HTTP_ADDRESS" in settings.env):
        return None
    return f"the {kind} backend has no `{'`, `'.join(lacking)}` in the code, and `backend_config` gives none"


def on_platform(facts: EnvironmentFacts) -> bool:
    """Whether the state lies on HCP Terraform, Terraform Enterprise or a server like them."""
    return backend_kind(backend_block(facts.outlines))[0] in _ON_PLATFORM


def _variables(facts: EnvironmentFacts) -> _Predicted:
    if facts.closure is None or facts.closure.unit is not None:
        return
    if facts.settings.files_from is not None or on_platform(facts):
        return  # or a platform may give the values
    declared = [block for file in facts.outlines for block in file.of("variable") if "default" not in block.attributes]
    without = sorted({"".join(block.labels[:1]) for block in declared} - facts.given)
    if without:
        text = f"no value for the variable{'s' if without[1:] else ''} {', '.join(without[:10])}"
        remedy = "Name a file of values in `var_files`, or pass `TF_VAR_…` on in `env`."
        yield Prediction("variables", True, text, remedy)


# --- what is not certain ---------------------------------------------------------------------------

_MOVES: Final = {
    "provider": (
        "lock files",
        "no .terraform.lock.hcl is committed: providers change without a commit, so labels are not certain",
        "Run `terraform init` there and commit the file.",
    ),
    "module": (
        "floating modules",
        "{subject} is not pinned: its code changes without a commit, so labels are not certain",
        "Pin `ref` to a tag or a commit, `version` to one version.",
    ),
    "data": (
        "data of itself",
        "{subject} reads this repository in a way that its closure does not hold",
        "Read the file with `file()`, or add it to `extra_files`.",
    ),
}


def _moves(facts: EnvironmentFacts) -> _Predicted:
    closure = facts.closure
    if closure is None:
        return
    for kind, subject in dict.fromkeys((move.kind, move.subject) for move in closure.moves):
        check, text, remedy = _MOVES[kind]
        yield Prediction(check, False, text.format(subject=subject), remedy)
    moving = {move.sentence for move in closure.moves}
    for sentence in dict.fromkeys((*closure.open, *closure.warnings)):
        if sentence not in moving:
            yield Prediction("closures", False, sentence)


def _restless(facts: EnvironmentFacts) -> _Predicted:
    for attribute in facts.moving:
        text = f"{attribute.name} is planned in each run: `{attribute.call}` at {attribute.place}"
        yield Prediction("restless values", False, text, remedy(attribute.call))


_Rule = Callable[[EnvironmentFacts], _Predicted]
_RULES: Final[tuple[_Rule, ...]] = (_configuration, _contents, _backend, _variables, _code, _moves, _restless)
