"""The laboratory: random histories on real Terraform whose labels and verdicts are known by construction.

`python -m lab --runs 100 --seed 1`; described in docs/explanation/how-verdicts-are-tested.md.
"""
