"""Files that are named by something else than a literal in a call: arguments, variables, templates, module sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.test_discover import closure

HERE = "environments/dev/main.tf"
FILES = {
    "environments/dev/.terraform.lock.hcl": "",
    "config/dev.yaml": "text: one\n",
    "config/other.yaml": "x\n",
    "config/a.json": "{}",
    "unrelated/file.txt": "y\n",
}
COMPOSED = 'join("/", ["..", "..", "config", "dev.yaml"])'
VALUES = {"environments/dev/terraform.tfvars": 'v = "../../config/dev.yaml"\n'}
AS_JSON = COMPOSED.replace('"', '\\"')


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "facts"


def reads_exactly(cache: Path, files: dict[str, str], path: str = "config/dev.yaml") -> None:
    """The closure holds a file, and no other one of the repository that is not named; it is closed."""
    found = closure({**FILES, **files}, cache)
    assert (path in found.files, "unrelated/file.txt" in found.files, found.open) == (True, False, ())


@pytest.mark.parametrize(
    "text",
    [
        f'data "local_file" "x" {{\n  filename = {COMPOSED}\n}}\n',
        f'data "local_sensitive_file" "x" {{\n  filename = {COMPOSED}\n}}\n',
        f'data "external" "x" {{\n  program = ["python3", {COMPOSED}]\n}}\n',
        f'data "sops_file" "x" {{\n  source_file = {COMPOSED}\n}}\n',
        f'resource "aws_lambda_function" "x" {{\n  filename = {COMPOSED}\n}}\n',
        f'resource "some_thing" "x" {{\n  whatever = {COMPOSED}\n}}\n',
        f'resource "some_thing" "x" {{\n  list = [{COMPOSED}]\n}}\n',
        f'resource "some_thing" "x" {{\n  inner {{\n    deep {{\n      source = {COMPOSED}\n    }}\n  }}\n}}\n',
        'resource "a_b" "x" {\n for_each = {a = "dev"}\n a = "${dirname(path.cwd)}/../config/${each.value}.yaml"\n}\n',
        f'provider "kubernetes" {{\n  config_path = {COMPOSED}\n}}\n',
        f'ephemeral "sops_file" "x" {{\n  source_file = {COMPOSED}\n}}\n',
    ],
)
def test_an_argument_whose_value_is_a_file_names_it(text: str, cache: Path) -> None:
    reads_exactly(cache, {HERE: text})


@pytest.mark.parametrize(
    "text",
    [
        f'{{"data": {{"local_file": {{"x": {{"filename": "${{{AS_JSON}}}"}}}}}}}}',
        f'{{"data": [{{"external": {{"x": {{"program": ["python3", "${{{AS_JSON}}}"]}}}}}}]}}',
        f'{{"provider": {{"kubernetes": {{"config_path": "${{{AS_JSON}}}"}}}}}}',
        f'{{"data": {{"archive_file": {{"z": {{"source_file": "${{{AS_JSON}}}", "output_path": "x.zip"}}}}}}}}',
        '{"resource": {"some_thing": {"x": {"for_each": {"a": "config"}, "inner": [{"source": '
        '"${join(\\"/\\", [\\"..\\", \\"..\\", each.value, \\"dev.yaml\\"])}"}]}}}}',
    ],
)
def test_an_argument_in_json_syntax_names_its_file_too(text: str, cache: Path) -> None:
    reads_exactly(cache, {f"{HERE}.json": text})


@pytest.mark.parametrize(
    "text",
    [
        'data "local_file" "x" {\n  filename = var.v\n}\n',
        'data "external" "x" {\n  program = ["python3", var.v]\n}\n',
        'resource "aws_s3_object" "x" {\n  source = var.v\n}\n',
        'resource "some_thing" "x" {\n  whatever = var.v\n}\n',
        'module "m" {\n  source = "../../modules/m"\n  file   = var.v\n}\n',
    ],
)
def test_a_path_in_a_file_of_variables_is_named_whatever_reads_it(text: str, cache: Path) -> None:
    module = 'variable "file" {}\nresource "some_thing" "x" {\n  whatever = var.file\n}\n'
    reads_exactly(cache, {HERE: f'variable "v" {{}}\n{text}', **VALUES, "modules/m/main.tf": module})


def test_a_path_in_a_variable_of_the_environment_is_named(cache: Path) -> None:
    text = 'variable "v" {}\nresource "some_thing" "x" {\n  whatever = var.v\n}\n'
    found = closure({**FILES, HERE: text}, cache, variables={"v": "../../config/dev.yaml"})
    assert ("config/dev.yaml" in found.files, found.open) == (True, ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('data "local_file" "x" {\n  filename = data.a.b.c\n}\n', "data.local_file.x.filename is not known"),
        ('data "external" "x" {\n  program = ["sh", "${data.a.b.c}/x.sh"]\n}\n', "data.external.x.program is not"),
        ('resource "aws_s3_object" "x" {\n  source = module.m.path\n}\n', "aws_s3_object.x.source is not known"),
    ],
)
def test_an_argument_that_surely_names_an_unknown_file_opens_the_closure(text: str, says: str, cache: Path) -> None:
    found = closure({**FILES, HERE: text}, cache)
    assert [sentence for sentence in found.open if says in sentence and f"{HERE}:2" in sentence]


@pytest.mark.parametrize(
    "value", ["data.a.b.c", '"${data.a.b.c}/x"', "path.cwd", "abspath(path.root)", "path.root", "true"]
)
def test_an_argument_that_may_be_anything_opens_nothing(value: str, cache: Path) -> None:
    found = closure({**FILES, HERE: f'resource "some_thing" "x" {{\n  whatever = {value}\n}}\n'}, cache)
    assert ("unrelated/file.txt" in found.files, found.open) == (False, ())


PATTERNS = (
    r"{dev,none}.yaml {*.yaml,*.txt} *.{yaml,txt} d{e*,}v.yaml [!a]*.yaml [^a]*.yaml {de{v,w},x}.yaml **/dev.yaml"
)
OTHER_PATTERNS = r"{x,y}.yaml *.json [!d]*.yaml D*.yaml {d,e}.yaml dev\\\\.yam"


@pytest.mark.parametrize(
    "pattern", [*PATTERNS.split(), "**", "d?v.yaml", "d\\\\ev.yaml", "[a-e]ev.yaml", *OTHER_PATTERNS.split()]
)
def test_every_pattern_of_fileset_is_followed(pattern: str, cache: Path) -> None:
    whole = f'join("/", ["..", "..", "config", "{pattern}"])'
    text = f"locals {{\n  a = [for f in fileset(path.module, {whole}) : file(f)]\n}}\n"
    found = closure({**FILES, HERE: text}, cache)
    assert ("config/dev.yaml" in found.files, found.open) == (pattern not in OTHER_PATTERNS.split(), ())


def test_a_template_that_reads_a_file_names_it(cache: Path) -> None:
    for call in ('templatefile("${path.module}/x.sh", {})', 'templatefile(join("/", [path.module, "x.sh"]), {})'):
        template = {"environments/dev/x.sh": 'echo ${file("../../config/dev.yaml")}\n'}
        reads_exactly(cache, {HERE: f"locals {{\n  a = {call}\n}}\n", **template})


def test_a_template_that_reads_a_file_of_an_unknown_name_opens_the_closure(cache: Path) -> None:
    files = {
        "environments/dev/x.sh": '${file("${p}/config/dev.yaml")}',
        HERE: 'locals {\n  a = templatefile("x.sh", {})\n}\n',
    }
    found = closure({**FILES, **files}, cache)
    assert "unrelated/file.txt" in found.files
    assert found.open[0].startswith("environments/dev/x.sh is a template that reads files")


@pytest.mark.parametrize("name", ["a_override.tf", "override.tf", "zz_override.tf"])
def test_an_override_file_counts_last_whatever_its_name(name: str, cache: Path) -> None:
    reads_exactly(
        cache,
        {
            HERE: 'locals {\n  p = "x"\n  a = file(local.p)\n}\n',
            f"environments/dev/{name}": f"locals {{\n  p = {COMPOSED}\n}}\n",
        },
    )


def test_an_override_file_changes_the_arguments_of_a_module(cache: Path) -> None:
    reads_exactly(
        cache,
        {
            HERE: 'module "m" {\n  source = "../../modules/m"\n  file   = "x"\n}\n',
            "environments/dev/a_override.tf": f'module "m" {{\n  file = {COMPOSED}\n}}\n',
            "modules/m/main.tf": 'variable "file" {}\nlocals {\n  a = file(var.file)\n}\n',
        },
    )


MODULE = {"modules/m/main.tf": 'locals {\n  a = file("../../config/dev.yaml")\n}\n'}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("var.m", "../../modules/m"),
        ('"${var.m}/m"', "../../modules"),
        ('"../../modules/${var.m}"', "m"),
        ("local.m", "x"),
    ],
)
def test_a_module_source_that_is_an_expression_is_evaluated(source: str, value: str, cache: Path) -> None:
    text = 'variable "m" {\n  const = true\n}\nlocals {\n  m = join("/", ["..", "..", "modules", "m"])\n}\n'
    files = {
        HERE: f'{text}module "m" {{\n  source = {source}\n}}\n',
        "environments/dev/terraform.tfvars": f'm = "{value}"\n',
    }
    reads_exactly(cache, {**files, **MODULE}, "modules/m/main.tf")
    reads_exactly(cache, {**files, **MODULE})
    other = closure(
        {**FILES, **files, **MODULE, "environments/dev/terraform.tfvars": 'm = "../../modules/other"\n'}, cache
    )
    assert "local" in source or other.init_key != closure({**FILES, **files, **MODULE}, cache).init_key


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("data.a.b.c", "environments/dev: the source of a module is not known before it is planned"),
        ('"../../modules/${data.a.b.c}"', "every file below modules/ counts"),
        ('"${data.a.b.c}/m"', "every file of the repository counts"),
        ('format("%s/vpc/aws", "acme")', "the module acme/vpc/aws is not pinned"),
    ],
)
def test_a_module_source_that_is_not_known_or_not_pinned_opens_the_closure(source: str, says: str, cache: Path) -> None:
    found = closure({**FILES, **MODULE, HERE: f'module "m" {{\n  source = {source}\n}}\n'}, cache)
    assert [sentence for sentence in found.open if says in sentence]
    assert "acme" in source or "modules/m/main.tf" in found.files


def test_more_values_than_are_followed_open_the_closure(cache: Path) -> None:
    names = ", ".join(f'"{number}"' for number in range(300))
    files = {f"many/{number}.txt": "" for number in range(300)} | {
        HERE: (
            f'module "m" {{\n  source = "../../modules/m"\n  for_each = toset([{names}])\n'
            '  file = join("/", ["..", "..", "many", "${each.value}.txt"])\n}\n'
        ),
        "modules/m/main.tf": 'variable "file" {}\nlocals {\n  a = file(var.file)\n}\n',
    }
    found = closure({**FILES, **files}, cache)
    assert ("many/299.txt" in found.files, bool(found.open)) == (True, True)


def test_combinations_that_are_more_than_followed_open_the_closure(cache: Path) -> None:
    keys, inner = ([f"{name}{number}" for number in range(20)] for name in "ki")
    values = {key: {"id": key} | dict.fromkeys(inner, "other") for key in keys}
    values["k19"]["i19"] = "dev"
    text = (
        f'locals {{\n  d = join("/", ["..", "..", "config"])\n  m = {json.dumps(values).replace(":", " =")}\n'
        f'  a = file("${{local.d}}/${{local.m[{chosen(keys)}][{chosen(inner)}]}}.yaml")\n}}\n'
    )
    found = closure({**FILES, HERE: text}, cache)
    assert ("config/dev.yaml" in found.files, bool(found.open)) == (True, True)


def chosen(names: list[str]) -> str:
    """An expression that is one of several texts."""
    return f"try({', '.join(map(json.dumps, names))})"
