"""The pages: each takes a view and gives its content, or its JSON twin."""
