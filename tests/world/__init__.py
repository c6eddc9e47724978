"""The world that tests run in: a provider with a folder for a cloud, repositories, and the command line."""
