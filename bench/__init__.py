"""Measurements of DriftGuard on this machine, side by side with bare Terraform; `make bench` runs them."""
