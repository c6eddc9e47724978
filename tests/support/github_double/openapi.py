"""GitHub's own OpenAPI description, against which requests are checked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Self

import jsonschema

from tests.support.forge_server import Request

PACKAGE = "@octokit/openapi"
_FILE = "package/generated/api.github.com.json"


class Unavailable(Exception):
    """The description could not be fetched."""


class Description:
    """Which routes there are, and what they take."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._validators: dict[str, Any] = {}
        # A fixed word counts for more than a place for one: `/user` before `/{something}`.
        templates = sorted(document["paths"], key=lambda path: (path.count("{"), path))
        self._routes = [
            (path, _expression(path, document["paths"][path]), document["paths"][path]) for path in templates
        ]

    @classmethod
    def fetched(cls, folder: Path) -> Self:
        """The description out of the npm package, which is kept in a folder once it was fetched.

        Raises:
            Unavailable: npm or its registry cannot be reached.
        """
        kept = folder / "api.github.com.json"
        if not kept.exists():
            _fetch(folder, kept)
        return cls(json.loads(kept.read_bytes()))

    def faults(self, request: Request) -> list[str]:
        """What GitHub's description has against a request; nothing for a good one."""
        what = f"{request.method} {request.path}"
        found = self._operation(request)
        if isinstance(found, str):
            return [f"{what}: {found}"]
        key, operation = found
        faults = self._query_faults(key, operation, request.query) + self._body_faults(key, operation, request.body)
        return [f"{what}: {fault}" for fault in faults]

    def answer_faults(self, request: Request) -> list[str]:
        """What the description has against an answer of the double's: a field of another name or kind."""
        found = self._operation(request)
        if isinstance(found, str) or request.answer is None:
            return []
        key, operation = found
        response = self._resolved(operation["responses"].get(str(request.status), {}))
        described = response.get("content", {}).get("application/json", {}).get("schema")
        if described is None:
            return []
        validator = self._validator(f"{key} {request.status}", described, all_optional=True)
        if "oneOf" in validator.schema or "anyOf" in validator.schema:
            return []  # without what is required, nobody can tell the choices apart
        faults = _against(validator, request.answer)
        item, shown = validator.schema, request.answer
        if isinstance(shown, list):
            item, shown = item.get("items", {}), shown[0] if shown else {}
        faults += [f"no field {name}" for name in shown if name not in item.get("properties", shown)]
        return [f"answer to {request.method} {request.path}: {fault}" for fault in faults]

    def _operation(self, request: Request) -> tuple[str, dict[str, Any]] | str:
        """A name for the operation and its description; or what is wrong with the route."""
        for template, pattern, operations in self._routes:
            if pattern.fullmatch(request.path):
                operation = operations.get(request.method.lower())
                if operation is None:
                    return "the route does not know the method"
                return f"{request.method} {template}", operation
        return "there is no such route"

    def _query_faults(self, key: str, operation: dict[str, Any], query: dict[str, str]) -> list[str]:
        parameters = [self._resolved(parameter) for parameter in operation.get("parameters", ())]
        known = {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "query"}
        faults = [f"no parameter {name}" for name in query if name not in known]
        faults += [f"lacks {name}" for name, one in known.items() if one.get("required") and name not in query]
        for name in set(query) & set(known):
            validator = self._validator(f"{key} ?{name}", known[name]["schema"])
            value: Any = query[name]
            if validator.schema.get("type") == "integer" and value.lstrip("-").isdigit():
                value = int(value)
            elif validator.schema.get("type") == "boolean" and value in ("true", "false"):
                value = value == "true"
            faults += [f"{name}: {fault}" for fault in _against(validator, value)]
        return faults

    def _body_faults(self, key: str, operation: dict[str, Any], body: Any) -> list[str]:
        described = operation.get("requestBody")
        if described is None:
            return [] if body is None else ["takes no body"]
        if body is None:
            return ["lacks its body"] if described.get("required") else []
        schema = self._resolved(described)["content"]["application/json"]["schema"]
        validator = self._validator(f"{key} body", schema)
        faults = _against(validator, body)
        # The description lets anything be added; a name that it does not know is a slip all the same.
        if isinstance(body, dict) and "properties" in validator.schema:
            faults += [f"no property {name}" for name in body if name not in validator.schema["properties"]]
        return faults

    def _validator(self, key: str, schema: Any, *, all_optional: bool = False) -> Any:
        if key not in self._validators:
            plain = self._plain(schema)
            self._validators[key] = jsonschema.Draft7Validator(_all_optional(plain) if all_optional else plain)
        return self._validators[key]

    def _resolved(self, part: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in part:
            found: Any = self._document
            for word in part["$ref"].removeprefix("#/").split("/"):
                found = found[word.replace("~1", "/").replace("~0", "~")]
            part = found
        return part

    def _plain(self, schema: Any) -> Any:
        """A schema of OpenAPI 3.0 as one of JSON Schema: references put in, `nullable` spelled out."""
        if isinstance(schema, list):
            return [self._plain(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        schema = self._resolved(schema)
        plain = {
            key: value if key in ("example", "examples", "default", "enum") else self._plain(value)
            for key, value in schema.items()
            if key != "nullable"
        }
        if schema.get("nullable") is True:
            return {"anyOf": [plain, {"type": "null"}]}
        return plain


def _all_optional(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_all_optional(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _all_optional(value) for key, value in schema.items() if key != "required" or not isinstance(value, list)
    }


def _against(validator: Any, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}"[:300] for error in validator.iter_errors(value)]


def _expression(template: str, operations: dict[str, Any]) -> re.Pattern[str]:
    parameters = [
        p for operation in operations.values() if isinstance(operation, dict) for p in operation.get("parameters", ())
    ]
    long = {p["name"] for p in parameters if p.get("x-multi-segment")}
    expression = ""
    for index, piece in enumerate(re.split(r"\{([^}]+)\}", template)):
        expression += re.escape(piece) if index % 2 == 0 else ".+" if piece in long else "[^/]+"
    return re.compile(expression)


def _fetch(folder: Path, kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("there is no npm")
    try:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            command = [npm, "pack", "--silent", "--cache", f"{work}/cache", PACKAGE]
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=240, check=True)
            part = Path(work) / "part"
            with tarfile.open(Path(work) / done.stdout.split()[-1]) as packed:
                member = packed.extractfile(_FILE)
                assert member is not None
                part.write_bytes(member.read())
            part.replace(kept)
    except (subprocess.SubprocessError, OSError, tarfile.TarError, KeyError, IndexError) as error:
        raise Unavailable(f"npm could not fetch {PACKAGE} ({type(error).__name__})") from None
