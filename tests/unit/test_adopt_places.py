"""Where a value comes from: variables, modules, JSON source; what refers to it, and who else would change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from driftguard.hcledit.adopting import adopt
from driftguard.model import Adoption, Departure, Refusal
from tests.support.adopt_source import source_of, terraform_formatted

RESOURCE = 'resource "aws_x" "a" {\n  n = 30\n}\n'
BY_VARIABLE = 'resource "aws_x" "a" {\n  n = var.n\n}\n\nvariable "n" {\n  default = 30\n}\n'
CALL = 'module "m" {\n  source = "../mod"\n}\n'


def departure(address: str = "aws_x.a", old: Any = 30, new: Any = 60) -> Departure:
    return Departure(address, "aws_x", {"n": old}, {"n": new}, frozenset({"n"}))


def gone(address: str = "aws_x.a") -> Departure:
    return Departure(address, "aws_x", {"n": 30}, None, frozenset())


def adopted(files: dict[str, str], *departures: Departure, **source: Any) -> Adoption:
    encoded = {path: text.encode() for path, text in files.items()}
    return adopt(departures or (departure(),), source_of(encoded, **source))


def changed(files: dict[str, str], *departures: Departure, **source: Any) -> dict[str, str]:
    adoption = adopted(files, *departures, **source)
    assert adoption.refusals == ()
    return {path: text.decode() for path, text in adoption.files.items()}


def refusal(files: dict[str, str], *departures: Departure, **source: Any) -> Refusal:
    adoption = adopted(files, *departures, **source)
    assert not adoption.files
    return adoption.refusals[0]


# --- variables ---------------------------------------------------------------------------------------------


def test_a_variables_default_is_edited() -> None:
    assert changed({"env/main.tf": BY_VARIABLE}) == {"env/main.tf": BY_VARIABLE.replace("30", "60")}


@pytest.mark.parametrize(
    ("given", "winner"),
    [
        (["env/terraform.tfvars"], "env/terraform.tfvars"),
        (["env/terraform.tfvars", "env/a.auto.tfvars"], "env/a.auto.tfvars"),
        (["env/a.auto.tfvars", "env/b.auto.tfvars"], "env/b.auto.tfvars"),
        (["env/a.auto.tfvars", "env/eu.tfvars"], "env/eu.tfvars"),
        (["env/eu.tfvars", "shared/common.tfvars"], "shared/common.tfvars"),
    ],
)
def test_the_last_var_file_that_gives_a_variable_is_edited(given: list[str], winner: str) -> None:
    files = {"env/main.tf": BY_VARIABLE, **dict.fromkeys(given, "m = 1\nn = 30 # s\n")}
    var_files = ("eu.tfvars", "../shared/common.tfvars")
    assert changed(files, var_files=var_files) == {winner: "m = 1\nn = 60 # s\n"}


def test_a_var_file_that_is_not_used_is_no_place() -> None:
    files = {"env/main.tf": BY_VARIABLE, "env/us.tfvars": "n = 31\n"}
    assert list(changed(files)) == ["env/main.tf"]


def test_a_var_file_in_json_is_edited() -> None:
    files = {"env/main.tf": BY_VARIABLE, "env/a.auto.tfvars.json": '{\n  "n": 30,\n  "s": "${x}"\n}\n'}
    assert changed(files) == {"env/a.auto.tfvars.json": '{\n  "n": 60,\n  "s": "${x}"\n}\n'}


@pytest.mark.parametrize("other", ["env/other.tf", "env/main.tf"])
def test_another_use_of_the_variable_is_named(other: str) -> None:
    files = {"env/main.tf": BY_VARIABLE}
    files[other] = files.get(other, "") + '# var.n\noutput "n" {\n  value = "${var.n}"\n}\n'
    found = refusal(files)
    line = files[other].split("${var.n}")[0].count("\n") + 1
    assert (found.path, found.line) == ("env/main.tf", 2)
    assert f"used in {other}:{line}" in found.why


def test_a_longer_name_and_a_comment_are_no_other_use() -> None:
    more = "# var.n\nlocals {\n  a = var.no\n  b = var.n-o\n}\n"
    assert changed({"env/main.tf": BY_VARIABLE, "env/other.tf": more})


@pytest.mark.parametrize(
    ("text", "source", "why"),
    [
        (BY_VARIABLE, {"variables": frozenset({"n"})}, "given from outside"),
        (BY_VARIABLE.replace("default = 30", "type = number"), {}, "no file of this environment gives"),
        (BY_VARIABLE.replace("default", "sensitive = true\n  default"), {}, "is sensitive"),
        (BY_VARIABLE.replace("30", "31"), {}, "not what Terraform wants"),
        (BY_VARIABLE.replace("var.n\n", "var.n.m\n"), {}, "the variable var.n.m"),
        (BY_VARIABLE.replace("var.n\n", "var.n + 1\n"), {}, "a calculation"),
        (BY_VARIABLE, {"shared": {"env/main.tf": ("us", "staging")}}, "would also change staging, us"),
    ],
)
def test_a_variable_is_refused(text: str, source: dict[str, Any], why: str) -> None:
    assert why in refusal({"env/main.tf": text}, **source).why


# --- modules -------------------------------------------------------------------------------------------------


def test_a_literal_in_a_module_is_edited() -> None:
    found = changed({"env/main.tf": CALL, "mod/main.tf": RESOURCE}, departure("module.m.aws_x.a"))
    assert found == {"mod/main.tf": RESOURCE.replace("30", "60")}


def test_an_argument_of_a_module_is_edited_in_its_call() -> None:
    call = CALL.replace('mod"\n', 'mod"\n  n = 30\n')
    other = 'module "o" {\n  source = "../mod"\n  n = 30\n}\n'
    files = {"env/main.tf": call + other, "mod/main.tf": BY_VARIABLE}
    found = changed(files, departure("module.m.aws_x.a"), shared={"mod/main.tf": ("us",)})
    assert found == {"env/main.tf": call.replace("30", "60") + other}


def test_an_argument_that_comes_from_a_variable_is_followed() -> None:
    root = CALL.replace('mod"\n', 'mod"\n  n = var.top\n') + 'variable "top" {}\n'
    files = {"env/main.tf": root, "env/terraform.tfvars": "top = 30\n", "mod/main.tf": BY_VARIABLE}
    assert changed(files, departure("module.m.aws_x.a")) == {"env/terraform.tfvars": "top = 60\n"}


def test_a_module_that_other_environments_use_names_them() -> None:
    files = {"env/main.tf": CALL, "mod/main.tf": RESOURCE}
    found = refusal(files, departure("module.m.aws_x.a"), shared={"mod/main.tf": ("staging", "prod-us")})
    assert (found.path, found.line) == ("mod/main.tf", 2)
    assert "would also change prod-us, staging" in found.why


def test_a_module_that_is_called_twice_names_the_other_call() -> None:
    files = {"env/main.tf": CALL + CALL.replace('"m"', '"o"'), "mod/main.tf": RESOURCE}
    found = refusal(files, departure("module.m.aws_x.a"))
    assert found.path == "mod/main.tf"
    assert "it would also change module.o (env/main.tf:4)" in found.why


@pytest.mark.parametrize(
    ("files", "address", "why"),
    [
        ({"env/main.tf": 'module "m" {\n  source = "acme/x/aws"\n}\n'}, "module.m.aws_x.a", "not in this repository"),
        ({"env/main.tf": CALL.replace("}", "  count = 2\n}"), "mod/main.tf": RESOURCE}, "module.m[0].aws_x.a", "count"),
        ({"env/main.tf": ""}, "aws_x.a", "nothing in env declares it"),
        ({"env/main.tf": RESOURCE, "env/b.tf": RESOURCE}, "aws_x.a", "declared more than once"),
        ({"env/main.tf": RESOURCE, "env/x_override.tf": RESOURCE}, "aws_x.a", "an override file"),
        ({"env/main.tf": RESOURCE + "resource {{\n"}, "aws_x.a", "could not be parsed"),
        ({"env/main.tf.json": '{"resource": {"aws_x": {"a": {"n": 1, "n": 2}}}}'}, "aws_x.a", "could not be parsed"),
    ],
)
def test_a_place_is_refused(files: dict[str, str], address: str, why: str) -> None:
    assert why in refusal(files, departure(address)).why


# --- resources that are gone -----------------------------------------------------------------------------------


def test_a_resource_that_is_gone_is_removed_with_its_comment() -> None:
    before = "# kept\n\n# the queue\n// jobs\n" + RESOURCE + "\n" + RESOURCE.replace('"a"', '"b"')
    after = "# kept\n\n" + RESOURCE.replace('"a"', '"b"')
    assert changed({"env/main.tf": before}, gone()) in ({"env/main.tf": after}, {"env/main.tf": "# kept\n\n\n" + after})


@pytest.mark.parametrize(
    "reference",
    [
        'output "x" {\n  value = aws_x.a.id\n}\n',
        'output "x" {\n  value = "id-${aws_x.a.id}"\n}\n',
        'resource "aws_x" "b" {\n  depends_on = [aws_x.a]\n}\n',
        "moved {\n  from = aws_x.a\n  to = aws_x.c\n}\n",
        'import {\n  id = "a"\n  to = aws_x.a\n}\n',
    ],
)
def test_a_resource_that_is_gone_and_referred_to_names_the_place(reference: str) -> None:
    files = {"env/main.tf": RESOURCE, "env/other.tf": reference}
    line = reference.split("aws_x.a")[0].count("\n") + 1
    found = refusal(files, gone())
    assert (found.path, found.line) == ("env/main.tf", 1)
    assert found.why == f"env/other.tf:{line} still refers to it"


@pytest.mark.parametrize("text", ["# aws_x.a\n", "locals {\n  x = data.aws_x.a.id\n  y = aws_x.ab.id\n}\n"])
def test_another_thing_with_a_like_name_is_no_reference(text: str) -> None:
    assert changed({"env/main.tf": RESOURCE, "env/other.tf": text}, gone()) == {"env/main.tf": ""}


def test_two_that_are_gone_may_refer_to_each_other() -> None:
    files = {"env/main.tf": RESOURCE, "env/b.tf": 'resource "aws_x" "b" {\n  n = aws_x.a.n\n}\n'}
    assert changed(files, gone(), gone("aws_x.b")) == {"env/main.tf": "", "env/b.tf": ""}


def test_a_move_in_the_root_that_names_a_modules_resource_is_a_reference() -> None:
    files = {"env/main.tf": CALL + "moved {\n  from = aws_x.o\n  to = module.m.aws_x.a\n}\n", "mod/main.tf": RESOURCE}
    assert refusal(files, gone("module.m.aws_x.a")).why == "env/main.tf:6 still refers to it"


# --- JSON source -------------------------------------------------------------------------------------------------

JSON = """\
{
  "resource": {
    "aws_x": {
      "a": {
        "n": 30,
        "s": "${local.s}",
        "rule": [{"port": 80}]
      },
      "b": {}
    }
  }
}
"""


@pytest.mark.parametrize(
    ("old", "new", "replaced"),
    [
        ({"n": 30}, {"n": 60}, ("30", "60")),
        ({"n": 30}, {"n": None}, ('        "n": 30,\n', "")),
        ({"t": None}, {"t": "$${"[1:] + "x}"}, ("80}]\n", '80}],\n        "t": "$${x}"\n')),
        ({"rule": [{"port": 80, "d": ""}]}, {"rule": [{"port": 81, "d": ""}]}, ("80", "81")),
        (
            {"rule": [{"port": 80, "d": ""}]},
            {"rule": [{"port": 80, "d": ""}, {"port": 81, "d": ""}]},
            ("80}", '80}, {"port": 81}'),
        ),
        ({"rule": [{"port": 80, "d": ""}]}, {"rule": []}, ('{"port": 80}', "")),
    ],
)
def test_json_source_is_edited(old: dict[str, Any], new: dict[str, Any], replaced: tuple[str, str]) -> None:
    found = changed({"env/main.tf.json": JSON}, Departure("aws_x.a", "aws_x", old, new, frozenset(new)))
    assert found == {"env/main.tf.json": JSON.replace(*replaced)}
    assert json.loads(found["env/main.tf.json"])


def test_a_template_in_json_source_is_refused() -> None:
    found = refusal({"env/main.tf.json": JSON}, Departure("aws_x.a", "aws_x", {"s": "a"}, {"s": "b"}, frozenset("s")))
    assert (found.path, found.line) == ("env/main.tf.json", 6)
    assert "an interpolation" in found.why


def test_a_resource_that_is_gone_is_cut_from_json_source() -> None:
    found = changed({"env/main.tf.json": JSON}, gone("aws_x.b"))
    assert json.loads(found["env/main.tf.json"]) == json.loads(JSON.replace('},\n      "b": {}', "}"))


# --- whole files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["\ufeff" + RESOURCE, RESOURCE.rstrip("\n"), "\n\n" + RESOURCE + "\n\n"])
def test_the_beginning_and_the_end_of_a_file_stay(text: str) -> None:
    found = changed({"env/main.tf": text}, formatted=terraform_formatted)
    assert found == {"env/main.tf": text.replace("30", "60")}


def test_the_formatter_may_only_align_beside_an_edit() -> None:
    text = 'resource "aws_x" "a" {\n  n = 30  # one\n  b = 100 # two\n}\n'
    found = changed({"env/main.tf": text}, departure(new=6), formatted=terraform_formatted)
    assert found == {"env/main.tf": text.replace("30  #", "6   #")}


def test_a_formatter_that_changes_more_is_not_followed() -> None:
    files = {"env/main.tf": RESOURCE}
    found = refusal(files, formatted=lambda text: text if b"30" in text else text + b"m = 1\n")
    assert found.why == "the formatter would change more than white space"


def test_one_refusal_refuses_everything_and_all_are_reported() -> None:
    text = RESOURCE + RESOURCE.replace('"a"', '"b"').replace("30", "local.n")
    adoption = adopted({"env/main.tf": text}, departure("aws_x.b"), departure("aws_x.a"), departure("aws_x.c"))
    assert not adoption.files
    assert [refusal.address for refusal in adoption.refusals] == ["aws_x.b", "aws_x.c"]


def test_a_file_that_is_not_unicode_is_refused() -> None:
    adoption = adopt([departure()], source_of({"env/main.tf": RESOURCE.encode() + b"# \xff\n"}))
    assert "could not be parsed" in adoption.refusals[0].why
