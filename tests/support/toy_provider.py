"""A Terraform provider whose cloud is a folder: real Terraform, real plans, no start-up cost, faults on demand.

Each `toy_thing` is a JSON file `<name>.json` in the provider's folder. A file `faults.json` beside them steers it:

    {"read_seconds": 1.5, "create_seconds": 2, "hang_on_read": true,
     "fail_create": ["name"], "fail_update": ["name"], "fail_read": "message"}

Every effect is appended to `effects.log`, one `create|update|delete NAME` a line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tf import runner, types
from tf.provider import Provider
from tf.schema import Attribute, Schema
from tf.types import Unknown

CLOUD = Path()
FIELDS = ("name", "value", "tags", "rules", "secret", "db_password")


class ToyProvider(Provider):
    def get_model_prefix(self) -> str:
        return "toy_"

    def full_name(self) -> str:
        return "registry.terraform.io/driftguard/toy"

    def get_provider_schema(self, diags: Any) -> Schema:
        return Schema(attributes=[Attribute("folder", types.String(), required=True)])

    def validate_config(self, diags: Any, config: dict[str, Any]) -> None:
        pass

    def configure_provider(self, diags: Any, config: dict[str, Any]) -> None:
        global CLOUD
        CLOUD = Path(config["folder"])

    def get_data_sources(self) -> list[Any]:
        return []

    def get_resources(self) -> list[Any]:
        return [Thing]


class Thing:
    def __init__(self, provider: ToyProvider) -> None:
        pass

    @classmethod
    def get_name(cls) -> str:
        return "thing"

    @classmethod
    def get_schema(cls) -> Schema:
        return Schema(
            attributes=[
                Attribute("id", types.String(), computed=True),
                Attribute("name", types.String(), required=True, requires_replace=True),
                Attribute("value", types.String(), optional=True),
                Attribute("tags", types.Map(types.String()), optional=True),
                Attribute("rules", types.Set(types.String()), optional=True),
                Attribute("secret", types.String(), optional=True, sensitive=True),
                Attribute("db_password", types.String(), optional=True),
                Attribute("echo", types.String(), computed=True),
            ]
        )

    def validate(self, diags: Any, type_name: str, config: dict[str, Any]) -> None:
        pass

    def plan(self, ctx: Any, current: dict[str, Any] | None, planned: dict[str, Any]) -> dict[str, Any]:
        if current is not None and current.get("value") != planned.get("value"):
            planned["echo"] = Unknown
        return planned

    def create(self, ctx: Any, planned: dict[str, Any]) -> dict[str, Any] | None:
        time.sleep(faults().get("create_seconds", 0))
        if planned["name"] in faults().get("fail_create", []):
            ctx.diagnostics.add_error("Creation refused", f"The toy cloud refuses {planned['name']}.")
            return None
        return write("create", planned)

    def read(self, ctx: Any, current: dict[str, Any]) -> dict[str, Any] | None:
        if faults().get("hang_on_read"):
            time.sleep(3600)
        time.sleep(faults().get("read_seconds", 0))
        if "fail_read" in faults():
            ctx.diagnostics.add_error("Read failed", faults()["fail_read"])
            return None
        file = CLOUD / f"{current['name']}.json"
        if not file.exists():
            return None
        return view(json.loads(file.read_text()))

    def update(self, ctx: Any, current: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any] | None:
        time.sleep(faults().get("create_seconds", 0))
        if planned["name"] in faults().get("fail_update", []):
            ctx.diagnostics.add_error("Update refused", f"The toy cloud refuses {planned['name']}.")
            return current
        return write("update", planned)

    def delete(self, ctx: Any, current: dict[str, Any]) -> None:
        (CLOUD / f"{current['name']}.json").unlink(missing_ok=True)
        log("delete", current["name"])

    def import_(self, ctx: Any, id: str) -> dict[str, Any] | None:
        file = CLOUD / f"{id}.json"
        return view(json.loads(file.read_text())) if file.exists() else None

    def upgrade(self, ctx: Any, version: int, old: dict[str, Any]) -> dict[str, Any]:
        return old


def faults() -> dict[str, Any]:
    file = CLOUD / "faults.json"
    return json.loads(file.read_text()) if file.exists() else {}


def write(verb: str, planned: dict[str, Any]) -> dict[str, Any]:
    thing = {field: planned.get(field) for field in FIELDS}
    file = CLOUD / f"{thing['name']}.json"
    scratch = file.with_suffix(".part")
    scratch.write_text(json.dumps(thing))
    scratch.rename(file)
    log(verb, thing["name"])
    return view(thing)


def view(thing: dict[str, Any]) -> dict[str, Any]:
    return {**{f: thing.get(f) for f in FIELDS}, "id": thing["name"], "echo": f"echo of {thing.get('value')}"}


def log(verb: str, name: str) -> None:
    with (CLOUD / "effects.log").open("a") as stream:
        stream.write(f"{verb} {name}\n")


class Patient(runner._ShutdownInterceptor):
    """Finishes what is being done when Terraform asks to stop, as providers should; the library cuts it off."""

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if details.method.endswith("/StopProvider"):
            return continuation(details)
        return super().intercept_service(continuation, details)


def main() -> None:
    """Serve Terraform until it says that it is done."""
    runner._ShutdownInterceptor = Patient
    runner.run_provider(ToyProvider(), sys.argv)


if __name__ == "__main__":
    main()
