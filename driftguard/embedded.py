"""The old address of `driftguard-terraform`, for environments that were installed before it moved."""

from driftguard.adapters.terraform.embedded import main

__all__ = ["main"]
