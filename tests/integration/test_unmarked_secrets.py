"""Secrets that Terraform's plan does not mark: seen with real Terraform, and sealed in the report."""

from __future__ import annotations

import pytest

from tests.support.harness import Sandbox, Toy
from tests.support.seeds import one_quick

pytestmark = pytest.mark.terraform

OLD, NEW = "an-old-secret-value", "a-new-secret-value"
# How the ignored attribute gets its value; what turns it into a secret comes with the second commit.
SOURCES = {
    "local": ("locals {\n  s = MARK\n}\n", 'sensitive("VALUE")', "local.s"),
    "variable": ('variable "v" {\n  default = "VALUE"\n  MARK\n}\n', "sensitive = true", "var.v"),
    "module": ('module "m" {\n  source = "./m"\n}\n', "", "module.m.o"),
}
INNER = 'output "o" {\n  value = "VALUE"\n  MARK\n}\n'


def files(toy: Toy, source: str, value: str, name: str, *, secret: bool) -> dict[str, str]:
    text, mark, reference = SOURCES[source]
    plain = "" if source == "variable" else '"VALUE"'
    body = text.replace("MARK", mark if secret else plain).replace("VALUE", value)
    thing = (
        f'resource "toy_thing" "web" {{\n  name  = "{name}"\n  value = {reference}\n'
        "  lifecycle {\n    ignore_changes = [value]\n  }\n}\n"
    )
    inner = INNER.replace("VALUE", value).replace("MARK", "sensitive = true" if secret else "")
    return {
        "environments/dev/main.tf": toy.root_module(body + thing),
        **({"environments/dev/m/main.tf": inner} if source == "module" else {}),
    }


@pytest.mark.parametrize("value", one_quick([OLD, NEW], pytest.mark.further))
@pytest.mark.parametrize("source", one_quick(SOURCES, pytest.mark.further))
def test_an_ignored_value_that_became_a_secret_is_sealed_in_a_replacement(
    sandbox: Sandbox, toy: Toy, source: str, value: str
) -> None:
    ignored = {".gitignore": ".terraform/\n*.tfstate*\n"}
    sandbox.commit("plain", files(toy, source, OLD, "web", secret=False) | ignored)
    sandbox.apply("environments/dev")
    sandbox.scan()
    sandbox.commit("secret", files(toy, source, value, "renamed", secret=True))
    report = sandbox.scan()
    (resource,) = report.environment("dev")["resources"]
    assert resource["actions"] == ["delete", "create"]
    assert "echo" in [attribute["path"] for attribute in resource["attributes"]]
    assert OLD not in report.stdout
    assert NEW not in report.stdout
