"""Closures of a large repository: 5,000 Terraform files in 500 directories, read for the first time and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.measure import DRIFTGUARD, Result, commit_all, home, run

_DIRECTORIES, _FILES = 500, 10
_ENVIRONMENTS = 100
_FIRST_TARGET, _AGAIN_TARGET = 60.0, 2.0


def measure(scratch: Path) -> Iterator[Result]:
    """`driftguard environments`, the whole command."""
    environment = home(scratch / "home")
    repository = scratch / "estate"
    for number in range(_DIRECTORIES):
        for index in range(_FILES):
            _write(repository, number, index)
    commit_all(repository, environment)
    command = [*DRIFTGUARD, "environments", "--format", "json"]
    first = run([command], directories=[repository], environment=environment)
    again = run([command], directories=[repository], environment=environment)
    what = f"`driftguard environments`, {_DIRECTORIES * _FILES:,} files in {_DIRECTORIES} directories"
    for name, cost, target in ((f"{what}, first run", first, _FIRST_TARGET), (f"{what}, again", again, _AGAIN_TARGET)):
        measured = f"{cost.wall:.2f} s ({cost.cpu:.2f} s CPU)"
        yield Result(name, measured, f"< {target:.0f} s", cost.wall < target)


def _write(repository: Path, number: int, index: int) -> None:
    """One file: every fifth directory is an environment that calls modules, the others are those modules."""
    is_root = number % (_DIRECTORIES // _ENVIRONMENTS) == 0
    directory = repository / ("environments" if is_root else "modules") / f"d{number:03}"
    directory.mkdir(parents=True, exist_ok=True)
    text = _RESOURCES.format(name=f"r{number}_{index}", index=index)
    if index == 0:
        text = _HEAD.format(backend=f'  backend "s3" {{\n    key = "{number}"\n  }}\n' if is_root else "") + text
    if index < 4 and is_root:
        target = number + 1 + index
        text += f'\nmodule "m{index}" {{\n  source = "../../modules/d{target:03}"\n  name   = "n{number}"\n}}\n'
    if index == 1 and not is_root and number + 5 < _DIRECTORIES:
        text += f'\nmodule "next" {{\n  source = "../d{number + 5:03}"\n  name   = var.name\n}}\n'
    (directory / f"file{index}.tf").write_text(text)


_HEAD = """\
terraform {{
  required_version = ">= 1.5"
{backend}
  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }}
  }}
}}

variable "name" {{
  type    = string
  default = "x"
}}

"""
_RESOURCES = """\
resource "aws_sqs_queue" "{name}" {{
  name                      = "${{var.name}}-{name}"
  message_retention_seconds = {index} * 86400
  tags                      = merge(var.tags, {{ Name = "{name}" }})
}}

resource "aws_iam_role" "{name}" {{
  name = "${{var.name}}-{name}"

  assume_role_policy = jsonencode({{
    Version = "2012-10-17"
    Statement = [{{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = {{ Service = "ecs-tasks.amazonaws.com" }}
    }}]
  }})
}}

resource "aws_security_group" "{name}" {{
  name   = "{name}"
  vpc_id = var.vpc_id

  dynamic "ingress" {{
    for_each = var.ingress
    content {{
      protocol    = "tcp"
      from_port   = ingress.value.port
      to_port     = ingress.value.port
      cidr_blocks = ingress.value.cidr_blocks
    }}
  }}
}}
"""
