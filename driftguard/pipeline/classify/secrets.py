"""The texts of sensitive variables. Terraform marks none that `ignore_changes` kept or that a provider computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from driftguard.model.plan_document import PlanDocument

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


def holds_one(value: Any, texts: frozenset[str]) -> bool:
    """Whether one of the texts stands anywhere in a value; a short one counts only as a whole text."""
    if not texts:
        return False
    long = [secret for secret in texts if len(secret) >= _DISTINCT_LENGTH]
    return any(text in texts or any(secret in text for secret in long) for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
