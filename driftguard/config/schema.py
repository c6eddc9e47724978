"""The JSON Schema for editors and the reference of all keys, both generated from the models."""

from __future__ import annotations

from datetime import timedelta
from textwrap import fill
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from driftguard.config.models import Document
from driftguard.config.reading import keys, sections
from driftguard.config.values import duration_text

_PROSE_WIDTH: Final = 100


class _Generator(GenerateJsonSchema):
    """Leaves out defaults: they are Python values there, and stand in the reference as a user writes them."""

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `driftguard.yaml`."""
    schema = Document.model_json_schema(schema_generator=_Generator)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "driftguard.yaml",
    }


def reference() -> str:
    """Every key in Markdown: one table for each section, with type, default and meaning."""
    schema = json_schema()
    place: dict[type[BaseModel], tuple[str, ...]] = {}
    for path, model in sections(Document):
        if model not in place or len(path) < len(place[model]):
            place[model] = path
    parts = []
    for path, model in sections(Document):
        if place[model] != path:
            continue
        properties = (schema if model is Document else schema["$defs"][model.__name__])["properties"]
        parts.append(f"### {_heading(path)}\n\n{fill(' '.join((model.__doc__ or '').split()), _PROSE_WIDTH)}\n")
        rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
        for key, field in keys(model).items():
            cells = (f"`{key}`", _type(field, properties[key]), _default(field), field.description or "")
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _heading(path: tuple[str, ...]) -> str:
    if not path:
        return "Top level"
    return f"`{'.'.join(path)}[]`" if path[-1] in ("environments", "ignore", "windows") else f"`{'.'.join(path)}`"


def _type(field: FieldInfo, schema: dict[str, Any]) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(field.annotation))
    variants = [part for part in schema.get("anyOf", []) if part.get("type") != "null"]
    if len(variants) == 1:
        schema = variants[0]
    if variants[1:] and "$ref" in variants[0]:
        return "mapping, or `off`"
    kind = schema.get("type")
    if kind == "array":
        inner = schema["items"]
        return "list of mappings" if "$ref" in inner else f"list of {_plural(inner.get('title'))}"
    title = str(schema.get("title", ""))
    if title and not title.istitle():  # titles in capitals are pydantic's own, made from the key
        return title
    if "$ref" in schema or "allOf" in schema:
        return "mapping"
    return {"string": "text", "integer": "whole number"}.get(str(kind), str(kind))


def _plural(title: str | None) -> str:
    return {"path or glob": "globs", "file": "files"}.get(title or "", "text")


def _default(field: FieldInfo) -> str:
    default = field.default
    if field.is_required():
        return "required"
    if isinstance(default, timedelta):
        return f"`{duration_text(default)}`"
    if isinstance(default, float):
        return f"`{default:.0%}`"
    if field.json_schema_extra and isinstance(field.json_schema_extra, dict):
        return f"`{field.json_schema_extra['default']}`"
    if isinstance(default, str | int):
        return f"`{default}`"
    if isinstance(default, tuple) and default:
        return "`environments/*`"
    return ""
