"""The base of every section of the configuration."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Model(BaseModel):
    """Base of all sections: unknown keys are errors, and values are frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_keys_count_as_not_written(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        required = {name for name, field in cls.model_fields.items() if field.default is not None}
        aliases = {field.validation_alias for name, field in cls.model_fields.items() if name in required}
        return {key: item for key, item in data.items() if item is not None or key not in required | aliases}


def switched_off(written: Any) -> Any:
    """What stands for a group of keys: `off`, which YAML reads as false, is short for `enabled: false`."""
    return {"enabled": False} if written is False or written == "off" else written


def or_off(schema: dict[str, Any]) -> None:
    """Let an editor take `off` as well, which YAML reads as false."""
    schema.update(anyOf=[{"$ref": schema.pop("$ref")}, {"enum": [False, "off"]}])
