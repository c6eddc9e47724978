"""Terraform's plan JSON (`show -json`), decoded only as far as classification needs it.

Values stay undecoded views into the original text (`msgspec.Raw`) until a resource turns out to have
changed, so that a plan of 20,000 resources costs little more memory than its own text.
Format: https://developer.hashicorp.com/terraform/internals/json-format (major version 1; OpenTofu's is the same).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import msgspec

from driftguard.nesting import decode_bounded

_NULL = msgspec.Raw(b"null")
_EMPTY = msgspec.Raw(b"{}")


class UnreadablePlan(ValueError):
    """The text is not a plan in Terraform's JSON format; the message is a sentence that names what it is instead."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What is planned for one object: `before` and `after` with their masks, all undecoded."""

    actions: tuple[str, ...]
    before: msgspec.Raw = _NULL
    after: msgspec.Raw = _NULL
    after_unknown: msgspec.Raw = _EMPTY
    before_sensitive: msgspec.Raw = _EMPTY
    after_sensitive: msgspec.Raw = _EMPTY
    replace_paths: msgspec.Raw = _NULL
    importing: msgspec.Raw = _NULL

    @property
    def is_import(self) -> bool:
        """Whether the object is taken into the state by this plan."""
        return bytes(self.importing) != b"null"


class ResourceItem(msgspec.Struct, frozen=True, gc=False):
    """One entry of `resource_changes` or `resource_drift`."""

    address: str
    change: Change
    mode: str = "managed"
    type: str = ""
    provider_name: str = ""
    previous_address: str | None = None
    deposed: str | None = None
    action_reason: str | None = None


class ResourceTrigger(msgspec.Struct, frozen=True, gc=False):
    """The resource whose lifecycle invokes an action, and at which of its events (`BeforeCreate`, `AfterUpdate`).

    Attributes:
        on_failure: what becomes of the resource where the action fails: halt, taint, continue (Terraform 1.16).
    """

    triggering_resource_address: str = ""
    action_trigger_event: str = ""
    on_failure: str = ""


class InvocationItem(msgspec.Struct, frozen=True, gc=False):
    """One entry of `action_invocations` (Terraform 1.14 and later)."""

    address: str
    type: str = ""
    provider_name: str = ""
    config_values: msgspec.Raw = _NULL
    config_sensitive: msgspec.Raw = _EMPTY
    config_unknown: msgspec.Raw = _EMPTY
    lifecycle_action_trigger: ResourceTrigger | None = None


class DeferredInvocation(msgspec.Struct, frozen=True, gc=False):
    """One entry of `deferred_action_invocations`."""

    reason: str = ""
    action_invocation: InvocationItem | None = None


class _PriorObject(msgspec.Struct, frozen=True):
    address: str
    tainted: bool = False


class _PriorModule(msgspec.Struct, frozen=True):
    resources: list[_PriorObject] = []
    child_modules: list[_PriorModule] = []


class _PriorValues(msgspec.Struct, frozen=True):
    root_module: _PriorModule = _PriorModule()


class _PriorState(msgspec.Struct, frozen=True):
    values: _PriorValues = _PriorValues()


def _tainted(module: _PriorModule) -> Iterator[str]:
    yield from (found.address for found in module.resources if found.tainted)
    for below in module.child_modules:
        yield from _tainted(below)


class PlanDocument(msgspec.Struct, frozen=True):
    """The parts of a plan with reality and the effects of an apply.

    Attributes:
        timestamp: the moment that `plantimestamp()` gives (RFC 3339); None before Terraform 1.5.
    """

    format_version: str
    terraform_version: str = ""
    resource_drift: list[ResourceItem] = []
    resource_changes: list[ResourceItem] = []
    output_changes: dict[str, Change] = {}
    deferred_changes: list[msgspec.Raw] = []
    action_invocations: list[InvocationItem] = []
    deferred_action_invocations: list[DeferredInvocation] = []
    variables: msgspec.Raw = _EMPTY
    configuration: msgspec.Raw = _EMPTY
    prior_state: msgspec.Raw = _EMPTY
    timestamp: str | None = None
    errored: bool = False
    complete: bool = True

    def tainted(self) -> frozenset[str]:
        """Addresses of the objects that the state marks as tainted; empty where the plan does not name them."""
        if b'"tainted"' not in bytes(self.prior_state):
            return frozenset()
        root = msgspec.json.decode(self.prior_state, type=_PriorState).values.root_module
        return frozenset(_tainted(root))

    @property
    def partial(self) -> bool:
        """Whether the plan does not cover everything: it ended in an error, was targeted, or deferred work."""
        deferred = self.deferred_changes or self.deferred_action_invocations
        return self.errored or not self.complete or bool(deferred)


class _Kind(msgspec.Struct, frozen=True):
    """Members that distinguish the kinds of Terraform's JSON; those that a plan has in any version come first."""

    format_version: Any = None
    planned_values: Any = None
    resource_changes: Any = None
    resource_drift: Any = None
    output_changes: Any = None
    configuration: Any = None
    prior_state: Any = None
    action_invocations: Any = None
    values: Any = None
    lineage: Any = None
    serial: Any = None
    valid: Any = None
    provider_schemas: Any = None
    function_signatures: Any = None
    event: Any = msgspec.field(default=None, name="@level")


_PLAN_MEMBERS: Final = tuple(_Kind.__struct_fields__[1:8])
_OTHER_KINDS: Final = (
    (("lineage", "serial", "values"), "a state, not a plan"),
    (("valid",), "the result of `terraform validate -json`, not a plan"),
    (("provider_schemas",), "the output of `terraform providers schema -json`, not a plan"),
    (("function_signatures",), "the output of `terraform metadata functions -json`, not a plan"),
    (("event",), "the log of `terraform plan -json`, not a plan"),
)
# How UTF-16 begins, and its name: with a byte-order mark, or with the first character of a JSON object.
_UTF16: Final = {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"{\x00": "utf-16-le",
    b"\x00{": "utf-16-be",
}
_DECODER = msgspec.json.Decoder(PlanDocument)


def read_document(text: bytes) -> PlanDocument:
    """Decode the output of `terraform show -json PLANFILE`: UTF-8 or UTF-16, with or without a byte-order mark.

    Raises:
        UnreadablePlan: the text is not JSON, not a plan, or of a major version not known here.
    """
    text = _as_utf8(text)
    try:
        document = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadablePlan(_other_kind(text) or f"this is not a plan in Terraform's JSON format ({error})") from None
    other = _other_format(document.format_version) if _has_content(document) else _other_kind(text)
    if other is not None:
        raise UnreadablePlan(other)
    return document


def _as_utf8(text: bytes) -> bytes:
    encoding = next((name for start, name in _UTF16.items() if text.startswith(start)), None)
    if encoding is None:
        return text.removeprefix(codecs.BOM_UTF8)
    try:
        return text.decode(encoding).encode()
    except UnicodeError:
        raise UnreadablePlan("this is not a text: its UTF-16 is damaged") from None


def _other_format(version: Any) -> str | None:
    """Why a plan of a format is not read; None for the format that is, and for what is none."""
    major = version.split(".")[0] if isinstance(version, str) else "1"
    if major == "1":
        return None
    if major == "0":
        return (
            f"this is a plan of format {version}, which Terraform before 1.1 writes: it does not mark changes made "
            "outside Terraform. Plan with Terraform 1.1 or later"
        )
    return f"this is a plan of format {version}, which is not known here; version 1 is"


def _has_content(document: PlanDocument) -> bool:
    return bool(document.resource_changes or document.resource_drift or document.output_changes)


def _other_kind(text: bytes) -> str | None:
    """What a text is instead of a plan of version 1, as a sentence; None where it may be one, or is not recognised."""
    if text.startswith(b"PK"):
        return "this is a saved plan file, not its JSON: `terraform show -json FILE` prints that"
    first_line = text.lstrip().split(b"\n", 1)[0]
    for candidate in (text, first_line):
        try:
            found = msgspec.json.decode(candidate, type=_Kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if any(getattr(found, member) is not None for member in _PLAN_MEMBERS):
            return _other_format(found.format_version)
        for members, what in _OTHER_KINDS:
            if any(getattr(found, member) is not None for member in members):
                return f"this is {what}"
        return "this holds no plan: it has none of a plan's members"
    return None


def exact_number(text: str) -> float | Decimal:
    """A JSON number with a fraction or exponent: a float where that holds it exactly, else a Decimal."""
    value, exact = float(text), Decimal(text)
    return value if isfinite(value) and Decimal(repr(value)) == exact else exact


VALUES: Final = msgspec.json.Decoder(float_hook=exact_number)


def decode(raw: msgspec.Raw) -> Any:
    """The JSON value behind an undecoded view; numbers are exact (int, float or Decimal).

    Raises:
        UnreadablePlan: it cannot be decoded.
    """
    try:
        return decode_bounded(bytes(raw), VALUES)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadablePlan(f"a value in the plan cannot be read ({error})") from None
