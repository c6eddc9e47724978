"""Tells whether an environment is still as its last plan found it, without a plan."""
