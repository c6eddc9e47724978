"""A proposal in words: title, text and comments of its pull request, as Markdown.

Takes reports as JSON, which are redacted; gives text. Pure: equal input, equal text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec

from driftguard import printable
from driftguard.model import ChangeText, ObjectTrace, Proposal
from driftguard.model.report import EnvironmentReport, ResourceReport
from driftguard.model.words import SETTLED
from driftguard.pipeline.changes import change_text, effects
from driftguard.pipeline.consequences import Fate, consequence, consequence_title, destructive, fate_of, rank
from driftguard.pipeline.propose.markup import code, inert, plain
from driftguard.report import shorten
from driftguard.sealed import mask

_MAX_LISTED: Final = 40
_MAX_EFFECTS: Final = 10
_ROOM_FOR_THE_END: Final = 3000
_CHOICES: Final = {
    "revert": "Revert reality to the configuration",
    "adopt": "Adopt reality in the configuration",
}


@dataclass(frozen=True, slots=True)
class RequestContent:
    """The content of a pull request.

    Attributes:
        traces: by resource address, the author of its change and of its block.
        actions: the actions of the plan, as the approval file lists them.
        other_url: the page that opens a pull request for the other choice.
        refused: why reality cannot be adopted.
    """

    environment: str
    report: EnvironmentReport
    actions: Sequence[str]
    traces: Mapping[str, ObjectTrace] = field(default_factory=dict)
    other_url: str | None = None
    refused: Sequence[str] = ()


def mark_of(environment: str) -> str:
    """The mark of a pull request in its text, whatever the name of its branch."""
    return f"<!-- driftguard: proposal for {printable.one_line(environment).replace('--', '')} -->"


def title(content: RequestContent, proposal: Proposal, longest: int) -> str:
    """The pull request's title."""
    changed = _changed(content.report)
    what = changed[0].address if len(changed) == 1 else f"{len(changed)} resources"
    outside = any(resource.changed_outside for resource in changed)
    if proposal.preferred.choice == "adopt":
        text = f"{content.environment}: adopt changes outside Terraform ({what})"
    else:
        goal = "revert changes outside Terraform" if outside else "apply the pending plan"
        worst = consequence_title(content.report.resources)
        text = f"{content.environment}: {goal} ({what})"
        if worst:
            text = f"{content.environment}: merging {worst} ({goal})"
    text = inert(mask(printable.one_line(text)))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def body(content: RequestContent, proposal: Proposal, longest: int) -> str:
    """The pull request's text, never longer than `longest` characters."""
    end = "\n".join(_end(content, proposal))
    head = "\n".join(_head(content, proposal))
    room = min(longest, 1_000_000) - len(head) - len(end) - 4
    middle = _listed(content, room)
    # Each piece was masked before it was fenced: a mask over the whole could eat the end of a fence.
    text = f"{head}\n{middle}\n{end}\n"
    return text if len(text) <= longest else text[: longest - 2] + "…\n"


def _head(content: RequestContent, proposal: Proposal) -> Iterator[str]:
    changed = _changed(content.report)
    outside = sum(resource.changed_outside for resource in changed)
    yield mark_of(content.environment)
    what = f"**{code(content.environment)}** "
    if outside:
        what += f"was changed outside Terraform: {_count(outside, 'resource')}."
    else:
        what += f"has a plan that needs a decision: {_count(len(changed), 'resource')}."
    yield what
    yield ""
    yield "### If you merge this"
    yield ""
    yield from _consequence(content, proposal)
    yield ""
    yield "Close it without merging to refuse: it is not opened again for this change."
    yield ""
    yield "### What changed"
    yield ""


def _consequence(content: RequestContent, proposal: Proposal) -> Iterator[str]:
    other = next((branch for branch in proposal.branches[1:]), None)
    if proposal.preferred.choice == "adopt":
        yield (
            f"The code of {code(content.environment)} states reality. Nothing is applied; a plan of this branch was "
            "made, and it changes none of this."
        )
    else:
        yield (
            f"DriftGuard applies exactly this, once, until {_moment(proposal.expires_at)} (the whole plan is below): "
            f"{_summary(content.actions)}. Any other change in the meantime, such as more drift or a commit that "
            "touches the environment, makes the approval void: then nothing is applied."
        )
        yield ""
        yield from _effects(content.report)
    if other is not None:
        yield ""
        name = _CHOICES[other.choice]
        link = f"[{name}]({content.other_url})" if content.other_url else name
        yield f"**Or instead:** {link}, branch {code(other.name)}."
    if content.refused:
        yield ""
        yield "Reality cannot be adopted with proof:"
        yield ""
        for why in content.refused[:10]:
            yield f"- {plain(why)}"
        if len(content.refused) > 10:
            yield f"- and {len(content.refused) - 10} more"


def _effects(report: EnvironmentReport) -> Iterator[str]:
    """What merging does, as sentences about the future; what it destroys, replaces or makes anew stands first."""
    worst = destructive(report.resources)
    for resource in worst[:_MAX_EFFECTS]:
        name = code(resource.address)
        yield f"- **Merging {plain(consequence(resource)).replace(' it', f' {name}', 1)}.**"
    shown = len(worst[:_MAX_EFFECTS])
    sentences = []
    for resource in _changed(report):
        name = code(resource.address)
        if fate_of(resource) is Fate.KEPT and "create" in resource.actions:
            sentences.append(f"- Merging creates {name}.")
        elif fate_of(resource) is Fate.KEPT:
            found = effects(resource.attributes)
            sentences += [f"- Merging {verb} {code(path)} {code(values)} of {name}." for verb, path, values in found]
    yield from sentences[: _MAX_EFFECTS - shown]
    more = len(worst) + len(sentences) - _MAX_EFFECTS
    if more > 0:
        yield f"- and {_count(more, 'more effect')}"


def _summary(actions: Sequence[str]) -> str:
    if len(actions) <= 3:
        return ", ".join(code(action) for action in actions)
    words: dict[str, int] = {}
    for action in actions:
        word = action.partition(" ")[0]
        words[word] = words.get(word, 0) + 1
    return ", ".join(f"{word} {_count(count, 'resource')}" for word, count in words.items())


def _listed(content: RequestContent, room: int) -> str:
    """The changed resources, as many as there is room for."""
    parts: list[str] = []
    changed = _changed(content.report)
    used = 0
    for resource in changed[:_MAX_LISTED]:
        text = _resource(change_text(resource, content.traces.get(resource.address)))
        if used + len(text) > room - 200:
            break
        parts.append(text)
        used += len(text) + 1
    left = len(changed) - len(parts)
    if left:
        parts.append(f"and {_count(left, 'more resource')}: `driftguard explain` lists them.")
    return "\n".join(parts)


def _resource(change: ChangeText) -> str:
    lines = [f"- {code(change.address)}: {plain(change.label)}"]
    if change.consequence:
        lines.append(f"  - **an apply {plain(change.consequence)}**")
    lines += [f"  - {code(line)}" for line in change.lines]
    lines += [f"  - {plain(line)}" for line in change.by]
    return "\n".join(lines)


def _end(content: RequestContent, proposal: Proposal) -> Iterator[str]:
    yield ""
    yield "<details><summary>The plan</summary>"
    yield ""
    used = 0
    for number, action in enumerate(content.actions):
        line = f"- {code(action)}"
        used += len(line) + 1
        if used > _ROOM_FOR_THE_END:
            yield f"- and {len(content.actions) - number} more; the approval file lists all of them"
            break
        yield line
    yield ""
    yield "</details>"
    yield ""
    rows = [("plan", proposal.plan_fingerprint), ("drift", proposal.drift_fingerprint), ("commit", proposal.commit)]
    yield " · ".join(f"{name} `{value}`" for name, value in rows if value)


def _changed(report: EnvironmentReport) -> list[ResourceReport]:
    """The report's unsettled resources, those changed outside Terraform first, then by address."""
    unsettled = [
        msgspec.structs.replace(
            resource,
            labels=tuple(label for label in resource.labels if label not in SETTLED),
            attributes=tuple(attribute for attribute in resource.attributes if attribute.label not in SETTLED),
        )
        for resource in report.resources
        if not SETTLED.issuperset(resource.labels)
    ]
    return sorted(unsettled, key=lambda r: (rank(r), not r.changed_outside, r.address))


def commit_message(environment: str, choice: str, proposal_id: str) -> str:
    """The message of the commit on a proposal's branch."""
    what = {
        "revert": f"{environment}: approve the plan",
        "adopt": f"{environment}: adopt reality",
    }[choice]
    return f"{inert(shorten(what))}\n\nDriftguard-Proposal: {proposal_id}\n"


def _count(count: int, thing: str) -> str:
    return f"1 {thing}" if count == 1 else f"{count} {thing}s"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
