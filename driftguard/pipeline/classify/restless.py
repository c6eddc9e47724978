"""What is planned again whatever is applied: values of the clock or of chance, the checkout's path, its files."""

from __future__ import annotations

import posixpath
from typing import Any, Final

from driftguard.model import Label
from driftguard.model.configuration_sources import AttributeSource, may_be_left_out
from driftguard.model.plan_configuration import Reached
from driftguard.model.plan_document import ResourceItem
from driftguard.pipeline.classify.context import Context
from driftguard.pipeline.classify.moving import moves_with_the_checkout, moves_with_the_clock
from driftguard.pipeline.classify.rules import Ruling, Subject
from driftguard.sealed import UNKNOWN

# Types whose object is a file of the machine that applies, and the attribute with its name.
FILES: Final = {"local_file": "filename", "local_sensitive_file": "filename"}
# Types that may be replaced without an effect outside of Terraform.
_HARMLESS: Final = frozenset({"null_resource", "terraform_data"})


def by_expression(
    context: Context, name: str, attribute: str, subject: Subject, values: tuple[Any, Any]
) -> Ruling | None:
    """Whether a value with S=R is restless by its source, or because the very same difference stood before.

    Args:
        name: the resource's address, or `output NAME` with an empty attribute.
        values: R and D, which differ.
    """
    reality, desired = values
    digests = context.evidence.digests
    if digests is not None and digests.stood(subject, reality, desired):
        return Ruling(Label.RESTLESS, "S=R, R≠D, and the same difference stood after a complete apply")
    held = None if digests is None else digests.holds(subject, reality, desired)
    if held is False:
        return None
    before = subject.address if attribute else name
    source = context.sources.of(name, attribute, before=before) if context.sources is not None else None
    if source is not None:
        return _by_text(context, source, held, _moves_by_its_values(context, name, attribute, reality, desired))
    if _by_configuration(context, name, before, attribute, reality, desired):
        return Ruling(
            Label.RESTLESS, "S=R, and the expression moves by itself, as far as the plan shows", certain=False
        )
    return None


def is_wanted_as_before(context: Context, name: str, attribute: str, *, before: str) -> bool:
    """Whether a value that moves by itself has the source that it had at the baseline, so that no commit changed it.

    Its values at two commits differ all the same: each plan has its own moment, each checkout its own path.
    """
    if context.sources is None or not context.evidence.closure_changed:
        return False
    source = context.sources.of(name, attribute, before=before)
    return source is not None and source.moves and source.unchanged


def moves_by_itself(context: Context, name: str, attribute: str) -> bool:
    """Whether the configuration's text calls a function of the clock or of chance, or yields the checkout's path."""
    source = context.sources.of(name, attribute) if context.sources is not None else None
    return source is not None and source.moves


def in_a_replacement(item: ResourceItem, ruling: Ruling) -> Ruling:
    """The ruling where it forces a replacement: only what has no effect outside of Terraform may be so each time."""
    if item.type in _HARMLESS:
        return ruling
    return Ruling(Label.PENDING, f"{ruling.rule}; but it replaces the resource", ruling.certain)


def file_of_the_checkout(
    context: Context, item: ResourceItem | None, state: Any, reality: Any, desired: Any
) -> Ruling | None:
    """Whether an object is a file that lies in the work tree of the last apply, and in no other."""
    if item is None or reality is not None:
        return None
    filename = _same_filename(context, item.type, state, desired)
    if filename is None or not _is_below(filename):
        return None
    left_out = context.sources.is_left_out(filename) if context.sources is not None else None
    if left_out is False:
        return None
    rule = "a file of the checkout, which another checkout does not have"
    return Ruling(Label.RESTLESS, rule, certain=bool(left_out) and context.evidence.has_baseline)


def _same_filename(context: Context, type_: str, state: Any, desired: Any) -> str | None:
    """The name of the file that an object of a type is, where S and D agree on it; None for any other object."""
    attribute = FILES.get(type_) or (context.sources.file_attribute(type_) if context.sources is not None else None)
    if attribute is None or not isinstance(state, dict) or not isinstance(desired, dict):
        return None
    filename = state.get(attribute)
    return filename if isinstance(filename, str) and filename == desired.get(attribute) else None


def _is_below(filename: str) -> bool:
    """Whether a file name is relative, stays in the directory as it reads, and is no file of the configuration."""
    path = posixpath.normpath(filename)
    outside = path.startswith(("/", "..", "~")) or path == "." or "\\" in path or "\x00" in path
    return not outside and may_be_left_out(path)


def _moves_by_its_values(context: Context, name: str, attribute: str, reality: Any, desired: Any) -> bool:
    """Whether the values allow that the source's calls are what moves them."""
    if desired is UNKNOWN:
        reached = context.references.reached(name, attribute) if attribute else None
        return reached is None or not reached.resources & context.becoming_known
    by_clock = moves_with_the_clock(reality, desired, context.now, bare=True)
    return by_clock or moves_with_the_checkout(reality, desired)


def _by_text(context: Context, source: AttributeSource, held: bool | None, fitting: bool) -> Ruling | None:
    if not source.moves or not (fitting or source.closed):
        return None
    if not (context.evidence.same_closure or source.unchanged or not context.evidence.has_baseline):
        return None
    where = f" ({source.call}, {source.place})" if source.place else ""
    return Ruling(Label.RESTLESS, f"S=R, and its source moves by itself{where}", certain=held is True)


def _by_configuration(
    context: Context, name: str, name_before: str, attribute: str, reality: Any, desired: Any
) -> bool:
    """The same from the plan's own `configuration`, which has neither locals nor functions."""
    references = context.references
    output = name.removeprefix("output ") if not attribute else None
    expression = references.output_expression(output) if output else references.expression(name, attribute)
    if expression is None or not _same_expression_before(context, name_before, attribute, expression):
        return False
    reached = references.reached_by_output(output) if output else references.reached(name, attribute)
    if desired is UNKNOWN:
        return _unknown_by_itself(context, reached)
    if moves_with_the_clock(reality, desired, context.now, bare=reached.bare):
        return reached.calls
    return bool(reached.paths) and moves_with_the_checkout(reality, desired)


def _same_expression_before(context: Context, name: str, attribute: str, expression: Any) -> bool:
    if context.baseline_references is None:
        return not context.evidence.closure_changed
    before = context.baseline_references
    output = name.removeprefix("output ") if not attribute else None
    return bool(expression == (before.output_expression(output) if output else before.expression(name, attribute)))


def _unknown_by_itself(context: Context, reached: Reached) -> bool:
    """Whether nothing that the expression refers to is unknown before the apply, so that a function makes it so."""
    if not reached.calls or reached.resources & context.becoming_known:
        return False
    return not (reached.open and context.made_anew)
