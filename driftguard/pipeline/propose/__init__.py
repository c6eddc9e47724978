"""Proposals: a pull request for each environment that needs a person's word, and what becomes of it.

Takes what is wanted now, the environment's newest proposal and the forge; gives reasons for the decision. Each step is
recorded before it is made, so a crash leaves no duplicate.
"""

from __future__ import annotations

from driftguard.pipeline.propose.lifecycle import PREFIX, Choices, Draft, Means, Outcome, settle

__all__ = ["PREFIX", "Choices", "Draft", "Means", "Outcome", "settle"]
