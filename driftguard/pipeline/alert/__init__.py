"""Alerts that reach the right people once: follow, route, send."""
