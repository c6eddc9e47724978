"""A double of the API of HCP Terraform: workspaces, configuration versions, runs with their states and locks."""
