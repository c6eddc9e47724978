"""HCP Terraform, Terraform Enterprise and servers that speak their API: workspaces, runs, and plans made there."""
