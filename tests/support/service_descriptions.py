"""AWS's service descriptions, read once per process: each boto3 session would read megabytes of JSON of its own."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.loaders
import botocore.session


def read_once(*services: str) -> None:
    """Give all boto3 sessions of this process one loader, which keeps what it reads; read some services' now."""
    loader = botocore.loaders.create_loader()

    def shared(search_path_string: str | None = None) -> Any:
        return loader if search_path_string is None else botocore.loaders.Loader([search_path_string])

    botocore.session.create_loader = shared
    for service in services:
        boto3.Session("id", "key", region_name="eu-central-1").client(service)
