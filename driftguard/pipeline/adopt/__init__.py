"""Writes down what reality is: edits Terraform source where it can be proven, and says why where it cannot.

Takes departures and one environment's source; gives the edited files, or the refusals. Pure: what it reads, the caller
hands to it. A refusal of one departure refuses everything. The caller proves the result by a plan.
"""

from __future__ import annotations

from driftguard.pipeline.adopt.adopting import adopt
from driftguard.pipeline.adopt.source import Parser, Source

__all__ = ["Parser", "Source", "adopt"]
