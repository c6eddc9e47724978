"""Proposals: a pull request for each environment that needs a decision, and its life until it ends."""
