"""The whole loop on one machine: example environments, a cloud on loopback, and Terraform's settings for both."""
