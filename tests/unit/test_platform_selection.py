"""Which workspace a block selects, and whose token is used there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from driftguard.adapters.hcl.backends import state_block
from driftguard.adapters.tfe.selection import Selection, is_remote, selection
from driftguard.adapters.tfe.tokens import token_of
from driftguard.errors import EnvironmentFault


def selected(
    text: str,
    config: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Selection:
    block = state_block({"main.tf": text.encode()})
    assert block is not None
    assert is_remote(block)
    return selection(block, config or {}, files or {}, variables or {})


def cloud(body: str) -> str:
    return f"terraform {{\n  cloud {{\n{body}\n  }}\n}}\n"


def backend(body: str) -> str:
    return f'terraform {{\n  backend "remote" {{\n{body}\n  }}\n}}\n'


def test_a_cloud_block_names_its_workspace() -> None:
    found = selected(cloud('organization = "acme"\nworkspaces { name = "net" }'))
    assert found == Selection("app.terraform.io", "acme", "net")
    assert found.workspace("default") == "net"


def test_variables_stand_in_for_a_cloud_block_alone() -> None:
    variables = {"TF_CLOUD_ORGANIZATION": "acme", "TF_CLOUD_HOSTNAME": "TFE.example", "TF_CLOUD_PROJECT": "core"}
    found = selected(cloud(""), variables=variables)
    assert (found.host, found.organization, found.project) == ("tfe.example", "acme", "core")
    with pytest.raises(EnvironmentFault, match="organization"):
        selected(backend('workspaces { name = "a" }'), variables=variables)


def test_tags_are_a_list_or_a_map() -> None:
    by_list = selected(cloud('organization = "acme"\nworkspaces {\n  tags = [\n    "net",\n    "eu",\n  ]\n}'))
    by_map = selected(cloud('organization = "acme"\nworkspaces { tags = { layer = "net", region = "eu" } }'))
    assert by_list.tags == {"net": None, "eu": None}
    assert by_map.tags == {"layer": "net", "region": "eu"}
    with pytest.raises(EnvironmentFault, match="each: tfe"):
        by_list.workspace("default")
    assert by_list.workspace("net-eu") == "net-eu"


def test_a_prefix_goes_before_the_environments_workspace() -> None:
    found = selected(backend('organization = "acme"\nworkspaces { prefix = "net-" }'))
    assert found.workspace("eu") == "net-eu"


def test_backend_settings_come_from_the_configuration_too() -> None:
    text = backend("")
    assert selected(text, {"organization": "acme", "hostname": "tfe.example"}).host == "tfe.example"
    for content in (
        b'organization = "acme"\nworkspaces { name = "net" }',
        b'organization = "acme"\nworkspaces = { name = "net" }',
    ):
        assert selected(text, files={"x.tfbackend": content}) == Selection("app.terraform.io", "acme", "net")


def test_what_is_no_literal_is_not_guessed() -> None:
    with pytest.raises(EnvironmentFault, match="no literal"):
        selected(cloud('organization = var.organization\nworkspaces { name = "net" }'))


def test_other_backends_are_none_of_a_platform() -> None:
    assert not is_remote(state_block({"main.tf": b'terraform {\n  backend "s3" {}\n}\n'}))
    assert not is_remote(None)


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "variable"),
    [
        ("app.terraform.io", "TF_TOKEN_app_terraform_io"),
        ("tfe.corp-net.example", "TF_TOKEN_tfe_corp__net_example"),
        ("tfe.example:8443", "TF_TOKEN_tfe_example:8443"),
    ],
)
def test_a_token_is_found_by_its_host_alone(host: str, variable: str) -> None:
    assert token_of(host, {variable: "secret", "TF_TOKEN_evil_example": "other"}) == "secret"
    with pytest.raises(EnvironmentFault, match="no token for") as raised:
        token_of(f"not-{host}", {variable: "secret"})
    assert "secret" not in str(raised.value)


def test_a_token_comes_from_the_files_of_terraform(tmp_path: Path) -> None:
    home, given = tmp_path / "home", tmp_path / "cli.tfrc"
    login = home / ".terraform.d" / "credentials.tfrc.json"
    login.parent.mkdir(parents=True)
    login.write_text(json.dumps({"credentials": {"tfe.example": {"token": "of login"}}}))
    given.write_text('credentials "tfe.example" {\n  token = "given"\n}\n')
    assert token_of("tfe.example", {"HOME": str(home)}) == "of login"
    (home / ".terraformrc").write_text('credentials "tfe.example" { token = "of the file" }\n')
    assert token_of("tfe.example", {"HOME": str(home)}) == "of the file"
    assert token_of("tfe.example", {"HOME": str(home), "TF_CLI_CONFIG_FILE": str(given)}) == "given"
    given.write_text("")
    with pytest.raises(EnvironmentFault, match="TF_TOKEN_tfe_example"):
        token_of("tfe.example", {"HOME": str(home), "TF_CLI_CONFIG_FILE": str(given)})
