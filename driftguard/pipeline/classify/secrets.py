"""Secrets that Terraform does not mark: kept by `ignore_changes` in an object that is replaced, computed, or of before.

Sealed are attributes whose expression reaches what is declared as sensitive, and wherever the text of a sensitive
variable, or of a sealed value of the same object, stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from driftguard.model.plan_document import PlanDocument
from driftguard.pipeline.classify.places import any_true, child

if TYPE_CHECKING:
    from driftguard.pipeline.classify.context import Context

_MIN_LENGTH: Final = 4
_DISTINCT_LENGTH: Final = 8  # a shorter text stands in other texts by chance
_WORDS: Final = frozenset({"true", "false", "null", "none", "default"})


class _VariableBlock(msgspec.Struct):
    sensitive: bool = False


class _DeclaringModule(msgspec.Struct):
    variables: dict[str, _VariableBlock] = {}


class _Declarations(msgspec.Struct):
    root_module: _DeclaringModule = msgspec.field(default_factory=_DeclaringModule)


class _VariableValue(msgspec.Struct):
    value: Any = None


def secret_texts(document: PlanDocument) -> frozenset[str]:
    """The texts in the values of root variables that are declared as sensitive."""
    if len(bytes(document.variables)) <= len(b"{}") or len(bytes(document.configuration)) <= len(b"{}"):
        return frozenset()
    try:
        declared = msgspec.json.decode(document.configuration, type=_Declarations).root_module.variables
        given = msgspec.json.decode(document.variables, type=dict[str, _VariableValue])
    except msgspec.ValidationError:
        return frozenset()  # not of Terraform's making: there is nothing to be found by name
    secret = {name for name, each in declared.items() if each.sensitive}
    texts = (text for name in secret if name in given for text in _texts(given[name].value))
    return frozenset(t for t in texts if len(t.strip()) >= _MIN_LENGTH and t.strip().lower() not in _WORDS)


def unmarked(context: Context, address: str, names: Iterable[str], masks: Sequence[Any]) -> dict[str, bool]:
    """A mask of the attributes of which Terraform marks nothing, and whose expression reaches a secret.

    Terraform knows better which part of a value is one, wherever it marks any.
    """
    return {
        name: True
        for name in names
        if not any(any_true(child(mask, name)) for mask in masks) and _reaches_one(context, address, name)
    }


def _reaches_one(context: Context, address: str, attribute: str) -> bool:
    if context.references.reached(address, attribute).secret:
        return True
    return context.sources is not None and context.sources.is_secret(address, attribute)


def masked_texts(values: Iterable[Any], masks: Iterable[Any]) -> frozenset[str]:
    """The longer texts below the masks in values: a short one stands elsewhere by chance."""
    every = list(masks)
    return frozenset(
        t for value in values for mask in every for t in _masked(value, mask) if len(t) >= _DISTINCT_LENGTH
    )


def _masked(value: Any, mask: Any) -> Iterator[str]:
    if mask is True:
        yield from _texts(value)
    elif isinstance(mask, dict) and isinstance(value, dict):
        for key, inner in mask.items():
            yield from _masked(value.get(key), inner)
    elif isinstance(mask, list) and isinstance(value, list):
        for item, inner in zip(value, mask, strict=False):
            yield from _masked(item, inner)


def holds_one(value: Any, texts: frozenset[str]) -> bool:
    """Whether one of the texts stands anywhere in a value; a short one counts only as a whole text."""
    if not texts:
        return False
    long = [secret for secret in texts if len(secret) >= _DISTINCT_LENGTH]
    return any(text in texts or any(secret in text for secret in long) for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value; keys are names, not secrets."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
