"""Edits Terraform source so that it matches reality, if that can be proven; pure."""
