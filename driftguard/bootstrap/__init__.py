"""From settings to adapters: the only package that sees both sides."""
