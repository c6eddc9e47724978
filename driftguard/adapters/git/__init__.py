"""A git repository, through GitPython: its history and files, proposal branches, merges."""
