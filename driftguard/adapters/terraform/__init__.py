"""Terraform or OpenTofu: finding the program, running it, and the embedded one."""
