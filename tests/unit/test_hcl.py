"""What is read from one Terraform file, and that what was read once is not read again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftguard.adapters.hcl.definitions import definitions
from driftguard.adapters.hcl.facts import CachingReader, _facts, parsed_source
from driftguard.model import ModuleSource, SourceFacts

ROOT = Path(__file__).resolve().parents[2]
BACKEND = 'terraform {\n  required_version = ">= 1.5"\n  backend "s3" {\n    key = "a"\n  }\n}\n'


def facts(text: str, path: str = "main.tf") -> SourceFacts:
    return CachingReader(Path("/nowhere")).read("id", path, text.encode())


def test_a_module_call_is_read_as_written() -> None:
    text = 'module "net" {\n  source  = "acme/vpc/aws" # why\n  version = "~> 5.0"\n}\n'
    assert facts(text).modules == (ModuleSource("net", "acme/vpc/aws", "~> 5.0"),)


def test_escapes_in_a_source_are_read_as_terraform_reads_them() -> None:
    (module,) = facts('module "net" {\n  source = "..\\u002fnet"\n}\n').modules
    assert module.source == "../net"


@pytest.mark.parametrize("spelling", ["module", "mod\\u0075le"])
def test_a_module_call_in_json_is_read(spelling: str) -> None:
    text = f'{{"{spelling}": {{"net": {{"source": "../net", "version": "1"}}}}}}'
    assert facts(text, "main.tf.json").modules == (ModuleSource("net", "../net", "1"),)


def test_a_file_with_nothing_for_init_has_no_init_facts() -> None:
    assert facts('resource "a" "b" {\n  tags = {}\n}\n').init_facts == ""


def test_comments_and_layout_are_nothing_to_initialise_for() -> None:
    commented = "# one\n\n" + BACKEND.replace('    key = "a"', '    # why\n    key   =   "a" # because')
    assert facts(commented).init_facts == facts(BACKEND).init_facts != ""


@pytest.mark.parametrize(
    ("old", "new"),
    [('"a"', '"b"'), (">= 1.5", ">= 1.6"), ('"s3"', '"gcs"'), ("backend", "cloud")],
)
def test_what_init_depends_on_shows_in_the_init_facts(old: str, new: str) -> None:
    assert facts(BACKEND.replace(old, new)).init_facts != facts(BACKEND).init_facts


def test_a_file_that_cannot_be_parsed_gives_every_source_and_path_in_it() -> None:
    found = facts('module "a" {{\n  source = "../a"\n  source /* x */ = /* y */ "../b"\n}\n# source = "../c"\n')
    assert {module.source for module in found.modules} == {"../a", "../c"}
    assert set(found.paths) == {"../a", "../b", "../c"}
    assert found.problem is not None
    assert found.problem.startswith(":1 could not be parsed; ")


@pytest.mark.parametrize("text", ['{"module": {"a": {"source": "../a"', '["module", "source: ../a"]'])
def test_json_that_cannot_be_parsed_is_guessed_too(text: str) -> None:
    found = facts(text, "main.tf.json")
    assert found.problem is not None
    assert found.init_facts == text


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything(source: bytes) -> None:
    for path in ("main.tf", "main.tf.json"):
        CachingReader(Path("/nowhere")).read("id", path, source + b"\nmodule")


@given(st.sampled_from(["../", "./", "../../"]), st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,3}", fullmatch=True))
def test_a_literal_path_is_found_wherever_it_stands(start: str, rest: str) -> None:
    path = start + rest
    text = f'locals {{\n  a = ["${{var.x}}", "x" , "{path}"]\n  b = "${{file("{path}")}}"\n}}\n'
    assert path in facts(text).paths
    assert path in facts(text).root_paths


def test_what_was_read_once_is_known_to_the_next_run(tmp_path: Path) -> None:
    file = tmp_path / "facts"
    first = CachingReader(file)
    found = first.read("id", "main.tf", BACKEND.encode())
    first.save()
    assert CachingReader(file).known("id") == found
    assert [path.name for path in tmp_path.iterdir()] == ["facts"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1", b'{"format": "0 0", "facts": {"id": {}}}'])
def test_a_cache_of_another_version_or_damaged_is_made_again(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "facts"
    file.write_bytes(content)
    assert CachingReader(file).known("id") is None


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    reader = CachingReader(tmp_path / "no such folder" / "facts")
    reader.read("id", "main.tf", b"")
    reader.save()


def test_the_parser_is_not_loaded_while_everything_is_known(tmp_path: Path) -> None:
    file = tmp_path / "facts"
    reader = CachingReader(file)
    reader.read("id", "main.tf", BACKEND.encode())
    reader.save()
    program = (
        "import sys; from pathlib import Path; from driftguard.adapters.hcl.facts import CachingReader\n"
        "r = CachingReader(Path(sys.argv[1])); assert r.read('id', 'main.tf', b'module')\n"
        "print([name for name in sys.modules if name in ('hcl2', 'lark')])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_file_larger_than_what_is_parsed_is_read_in_a_bounded_time_and_reported() -> None:
    block = 'resource "a" "b" {\n  name = "x${var.y}"\n}\n'
    large = ('module "m" { source = "./m" }\n' + block * 20_000).encode()
    began = time.monotonic()
    facts = _facts("large.tf", large)
    assert time.monotonic() - began < 5
    assert facts.problem is not None
    assert "is larger than 400 kB; every `source`" in facts.problem
    assert [module.source for module in facts.modules] == ["./m"]
    assert parsed_source("large.tf.json", b'{"a": "' + b"x" * 500_000 + b'"}') == {}
    assert "was not read" in (definitions("large.tf", large).problem or "")


@pytest.mark.parametrize("nest", ["[]", "()", "{}"])
def test_a_text_that_is_nested_without_end_is_a_problem_and_no_crash(nest: str) -> None:
    text = b'module "m" { source = "./m" }\nlocals { x = ' + nest[0].encode() * 5000 + nest[1].encode() * 5000 + b" }"
    assert _facts("deep.tf", text).problem is not None
    assert definitions("deep.tf", text).problem is not None
