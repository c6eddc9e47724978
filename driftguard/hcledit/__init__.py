"""Edits Terraform source so that it says what reality is, where that can be proven; pure."""
