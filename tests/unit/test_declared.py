"""Where a resource is declared, and which lines that is."""

from __future__ import annotations

import pytest

from driftguard.adapters.hcl.parser import SourceParser
from driftguard.pipeline.authorship import located_blocks
from driftguard.pipeline.declared import LocatedBlock, declared

PARSER = SourceParser()

ROOT = """\
# The estate.
module "service" {
  source   = "../../modules/service" # ours
  for_each = { "a.b[0]" = 1 }
}

module "vpc" {
  source  = "terraform-aws-modules/vpc/aws"
  version = "5.0.0"
}

resource "aws_sqs_queue" "jobs" {
  name = "jobs"
  tags = {
    owner = "ada"
  }
}
data "aws_region" "here" {}
"""
SERVICE = """\
module "queues" {
  source = "./queues"
}
resource "aws_iam_role" "worker" {
  name = "worker"
}
"""
QUEUES = 'resource "aws_sqs_queue" "work" {\r\n  for_each = toset(["x"])\r\n  name = each.key\r\n}\r\n'


def files(directory: str) -> tuple[LocatedBlock, ...]:
    sources = {
        "environments/prod": ("main.tf", ROOT),
        "modules/service": ("main.tf", SERVICE),
        "modules/service/queues": ("queues.tf", QUEUES),
    }
    if directory not in sources:
        return ()
    name, text = sources[directory]
    return located_blocks(PARSER, f"{directory}/{name}", text.encode())


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("aws_sqs_queue.jobs", ("environments/prod/main.tf", 12, 17)),
        ('aws_sqs_queue.jobs["x.y"]', ("environments/prod/main.tf", 12, 17)),
        ("data.aws_region.here", ("environments/prod/main.tf", 18, 18)),
        ('module.service["a.b[0]"].aws_iam_role.worker', ("modules/service/main.tf", 4, 6)),
        (
            'module.service["a.b[0]"].module.queues.aws_sqs_queue.work["x"]',
            ("modules/service/queues/queues.tf", 1, 4),
        ),
        ("module.vpc.aws_vpc.this[0]", ("environments/prod/main.tf", 7, 10)),
        ("module.vpc.module.deeper.aws_vpc.this", ("environments/prod/main.tf", 7, 10)),
        ("module.service.aws_iam_role.gone", ("environments/prod/main.tf", 2, 5)),
    ],
)
def test_an_address_leads_to_its_block(address: str, place: tuple[str, int, int]) -> None:
    found = declared(address, "environments/prod", files)
    assert found is not None
    assert (found.path, found.block.line, found.block.last_line) == place


@pytest.mark.parametrize("address", ["aws_sqs_queue.other", "module.other.aws_vpc.this", "", "module", '["', "a..b"])
def test_what_no_block_declares_is_nowhere(address: str) -> None:
    assert declared(address, "environments/prod", files) is None


def test_a_module_whose_source_is_no_plain_string_is_put_down_to_its_call() -> None:
    text = 'module "m" {\n  source = "./${var.which}"\n}\n'
    call = located_blocks(PARSER, "main.tf", text.encode())
    found = declared("module.m.aws_vpc.this", ".", lambda directory: call)
    assert found is not None
    assert (found.block.line, found.source) == (1, None)


@pytest.mark.parametrize("source", [b"resource {", b"\xff\xfe", b"", b"x" * 500_000])
def test_a_file_that_cannot_be_read_has_no_blocks(source: bytes) -> None:
    assert located_blocks(PARSER, "main.tf", source) == ()


def test_json_syntax_has_no_lines_to_name() -> None:
    assert located_blocks(PARSER, "main.tf.json", b'{"resource": {}}') == ()
