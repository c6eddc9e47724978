"""Terraform and OpenTofu: all in which they differ for DriftGuard, as one table of facts. Pure.

Versions are tuples of numbers; the first version that has something.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Product:
    """One of the two.

    Attributes:
        name: as reports and version needs call it; also the usual name of its program.
        title: as texts call it, and as its `version` command begins.
        registry: the host of provider addresses that name none.
        json_init_since: `init -json`.
        ephemeral_since: an apply of a plan file takes variables, and wants the ephemeral ones again.
        variable_sources_since: `init` takes variables, which may stand in sources of modules and (OpenTofu) in the
            backend.
    """

    name: str
    title: str
    registry: str
    json_init_since: tuple[int, ...]
    ephemeral_since: tuple[int, ...]
    variable_sources_since: tuple[int, ...]


TERRAFORM: Final = Product("terraform", "Terraform", "registry.terraform.io", (1, 9), (1, 10), (1, 15))
TOFU: Final = Product("tofu", "OpenTofu", "registry.opentofu.org", (1, 9), (1, 11), (1, 8))
PRODUCTS: Final[Mapping[str, Product]] = {product.name: product for product in (TERRAFORM, TOFU)}

_ANSWER: Final = re.compile(r"^(?P<title>[A-Za-z]+) v(?P<version>\d+\.\d+\.\d\S*)", re.M)


def answered(text: str) -> tuple[Product, str] | None:
    """Product and version that a program's `version` prints, such as `OpenTofu v1.12.6`; None for another program."""
    for found in _ANSWER.finditer(text):
        for product in PRODUCTS.values():
            if product.title == found["title"]:
                return product, found["version"]
    return None
