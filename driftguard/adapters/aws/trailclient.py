"""AWS sessions and CloudTrail clients with an environment's own credentials, and the account of those."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

# Ways to credentials that botocore would find in our own process, and a variable that Terraform must see for each.
_WAYS: Final = {
    "env": "AWS_ACCESS_KEY_ID",
    "assume-role-with-web-identity": "AWS_WEB_IDENTITY_TOKEN_FILE",
    "container-role": "AWS_CONTAINER_CREDENTIALS_",
}


def account_of(access_key_id: str) -> str:
    """The account that an access key id belongs to, as encoded in the id; the id itself if it has none.

    Roles of many environments in one account share its limit and its answers by this.
    """
    if not re.fullmatch(r"A[KS]IA[A-Z2-7]{16}", access_key_id):
        return access_key_id
    try:
        number = int.from_bytes(base64.b32decode(access_key_id[4:])[:6], "big")
    except (binascii.Error, ValueError):
        return access_key_id
    return f"account {(number & 0x7FFF_FFFF_FF80) >> 7:012}"


def session_of(variables: Mapping[str, str]) -> Any:
    """A boto3 session with the credentials that Terraform finds with these variables, and with no others."""
    import boto3
    import botocore.session

    session = botocore.session.Session()
    session.set_config_variable("profile", variables.get("AWS_PROFILE") or variables.get("AWS_DEFAULT_PROFILE"))
    for name in ("config_file", "ca_bundle"):
        if value := variables.get(f"AWS_{name.upper()}"):
            session.set_config_variable(name, value)
    if value := variables.get("AWS_SHARED_CREDENTIALS_FILE"):
        session.set_config_variable("credentials_file", value)
    if key := variables.get("AWS_ACCESS_KEY_ID"):
        session.set_credentials(key, variables.get("AWS_SECRET_ACCESS_KEY"), variables.get("AWS_SESSION_TOKEN"))
    else:
        chain = session.get_component("credential_provider")
        for way, variable in _WAYS.items():
            if not any(name.startswith(variable) for name in variables):
                chain.remove(way)
        if variables.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            chain.remove("iam-role")
    return boto3.session.Session(botocore_session=session)


def client_of(variables: Mapping[str, str], region: str) -> Any:
    """A CloudTrail client with the credentials that Terraform finds with these variables, and with no others."""
    from botocore.config import Config

    return session_of(variables).client(
        "cloudtrail",
        region_name=region,
        endpoint_url=endpoint_of(variables),
        # Repeating is done here, at the account's pace; botocore would do it at its own.
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=15),
    )


def endpoint_of(variables: Mapping[str, str]) -> str | None:
    """Where CloudTrail is asked, if not at AWS's own address."""
    return variables.get("AWS_ENDPOINT_URL_CLOUDTRAIL") or variables.get("AWS_ENDPOINT_URL")
