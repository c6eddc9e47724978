"""Secret values in what Terraform prints: found in plans, states and variables, replaced in every form they take.

A provider's error quotes what it was given. Terraform hides sensitive values in its own texts, but not in those of
providers. The functions here are only called once a command has failed; they read, and never raise on odd input.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

import msgspec

from driftguard.nesting import decode_bounded
from driftguard.redaction import REDACTED, looks_secret_name, mask

MIN_LENGTH: Final = 4  # a shorter value stands in every text by chance
_MIN_LINE_LENGTH: Final = 8
_MAX_FILE_BYTES: Final = 1 << 20
_NO_SECRETS: Final = frozenset({"true", "false", "null", "none"})
# A value, and beside it which parts of it Terraform's JSON marks as sensitive.
_MASKED: Final = (
    ("before", "before_sensitive"),
    ("after", "after_sensitive"),
    ("values", "sensitive_values"),
    ("config_values", "config_sensitive"),
)
_QUOTED: Final = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_ASSIGNED: Final = re.compile(r'^\s*"?([A-Za-z_][\w-]*)"?\s*[=:]\s*"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)


class Hiding:
    """Replaces known values, and whatever has the shape of a credential, in free text."""

    __slots__ = ("_forms",)

    def __init__(self, values: Collection[str] = ()) -> None:
        """`values` that are shorter than `MIN_LENGTH`, or a word of the language, are left alone."""
        forms = {form for value in values if is_secret(value) for form in forms_of(value)}
        # Standard error was masked as it was read, so a value may be there with its shapes replaced already.
        masked = {mask(form) for form in forms}
        forms |= {form for form in masked if is_secret(form.replace(REDACTED, ""))}
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def __call__(self, text: str) -> str:
        """The text without them; longer values first, so that no part of one remains."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        return mask(text)


def is_secret(value: str) -> bool:
    """Whether a value differs from the ordinary words of a message."""
    return len(value.strip()) >= MIN_LENGTH and value.strip().lower() not in _NO_SECRETS


def forms_of(value: str) -> Iterator[str]:
    """The forms in which a message may quote a value: as it is, on one line, in JSON, in a URL, in base64."""
    lines = [line.strip() for line in value.splitlines()] if "\n" in value else []
    for text in (value, value.strip(), " ".join(value.split()), *(n for n in lines if len(n) >= _MIN_LINE_LENGTH)):
        if not is_secret(text):
            continue
        yield text
        for escaped in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
            yield escaped
            yield from (_as_go_escapes(escaped), json.dumps(escaped)[1:-1])
        yield text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${").replace("%{", "%%{")
        raw = text.encode(errors="surrogatepass")
        for encoded in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
            yield encoded
            yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
        yield base64.b64encode(raw).decode().rstrip("=")
        yield base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _as_go_escapes(text: str) -> str:
    """JSON text as Go's encoder writes it, safe inside HTML."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def values_of_variables(environment: Mapping[str, str]) -> set[str]:
    """The values of `TF_VAR_*` among a process's variables, and the texts inside of those that hold JSON or HCL."""
    found: set[str] = set()
    for name, value in environment.items():
        if name.startswith("TF_VAR_"):
            found |= {value, *_parts(value)}
    return found


def values_of_backend(settings: Mapping[str, str] | tuple[str, ...], directory: Path) -> set[str]:
    """The credentials among backend settings: given by name, or in files relative to the root module's directory."""
    if isinstance(settings, Mapping):
        return {str(value) for name, value in settings.items() if _names_credential(name)}
    found: set[str] = set()
    for entry in settings:
        try:
            text = (directory / entry).read_bytes()[:_MAX_FILE_BYTES].decode(errors="replace")
        except OSError:
            continue
        found |= {value for name, value in _ASSIGNED.findall(text) if _names_credential(name)}
    return found


def _names_credential(name: str) -> bool:
    return looks_secret_name(name) or name in ("access_key", "secret_key", "token", "conn_str")


def sensitive_values(text: bytes) -> set[str]:
    """What a plan (`show -json`) or a state (`state pull`) marks as sensitive, or names like a credential.

    Lists and objects count with each value in them. Empty for a text that is neither.
    """
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set()
    if not isinstance(document, dict):
        return set()
    found: set[str] = set()
    with suppress(RecursionError):
        _add_variables(document, found)
        _walk(document, found)
    return found


def _add_variables(document: dict[str, Any], found: set[str]) -> None:
    """The values of root variables that the configuration declares as sensitive."""
    root = _member(_member(document, "configuration"), "root_module")
    values = _member(document, "variables")
    for name, declared in _member(root, "variables").items():
        if (isinstance(declared, dict) and declared.get("sensitive")) or looks_secret_name(name):
            _add(_member(values, name).get("value"), True, found)


def _member(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _walk(node: Any, found: set[str]) -> None:
    """Look for masks and names at any depth: the same shapes stand in plans, prior states, modules and outputs."""
    pending = [node]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            _look_at(item, found)
            pending.extend(item.values())


def _look_at(item: dict[str, Any], found: set[str]) -> None:
    for value_key, mask_key in _MASKED:
        if item.get(mask_key):
            _add(item.get(value_key), item.get(mask_key), found)
    if item.get("sensitive") is True:
        _add(item.get("value"), True, found)
    paths = item.get("sensitive_attributes")
    for path in paths if isinstance(paths, list) else ():
        _add(_at(item.get("attributes"), path), True, found)
    for name, value in item.items():
        if looks_secret_name(name):
            value = value.get("constant_value") if isinstance(value, dict) else value
            if isinstance(value, str | list):
                _add(value, True, found)


def _at(value: Any, path: Any) -> Any:
    """The value at one of a state's `sensitive_attributes`: steps with `type` and `value`; None where there is none."""
    for step in path if isinstance(path, list) else ():
        key: Any = step.get("value") if isinstance(step, dict) else None
        key = key.get("value", key) if isinstance(key, dict) else key
        try:
            value = value[int(key) if isinstance(value, list) else key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return value


def _add(value: Any, marked: Any, found: set[str]) -> None:
    """Add each text and number of a value that its mask covers: True for all of it, or a mask for each member."""
    if not marked or value is None or isinstance(value, bool):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            _add(item, marked is True or (isinstance(marked, dict) and marked.get(key)), found)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            inner = isinstance(marked, list) and number < len(marked) and marked[number]
            _add(item, marked is True or inner, found)
    elif marked is True:
        found.add(str(value))
        found.update(_parts(str(value)))


def _parts(text: str) -> Iterator[str]:
    """The texts inside of one that holds JSON or HCL: the values of JSON, whatever is quoted in HCL."""
    if text.lstrip()[:1] not in ("{", "["):
        return
    inside: set[str] = set()
    try:
        _add(decode_bounded(text.encode()), True, inside)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        inside.update(inner.replace('\\"', '"') for inner in _QUOTED.findall(text))
    yield from inside
