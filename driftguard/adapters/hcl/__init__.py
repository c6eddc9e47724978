"""Terraform source through python-hcl2: facts of a file, and the places where its values stand."""
