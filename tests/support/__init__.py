"""What tests run on: a provider with a folder for a cloud, repositories, doubles of services, and the command line."""
