"""Terragrunt: Terraform or OpenTofu run through it, in a unit's directory."""
