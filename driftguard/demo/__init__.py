"""The whole job on one machine: an estate, a cloud on loopback, and what Terraform needs to use both."""
