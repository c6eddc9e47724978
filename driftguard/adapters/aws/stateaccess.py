"""One cheap read of a state in S3, to learn whether the credentials at hand may read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from driftguard.adapters.aws.trailclient import session_of

NO_CREDENTIALS: Final = "there are no AWS credentials here"


@dataclass(frozen=True, slots=True)
class StatePlace:
    """Where a state lies in S3.

    Attributes:
        endpoint: None for AWS's own.
    """

    bucket: str
    key: str
    region: str | None = None
    endpoint: str | None = None


def refusal(place: StatePlace, variables: Mapping[str, str]) -> str | None:
    """Why a state cannot be read with Terraform's variables, in a few words; None where it can, or is not made yet.

    Reads the first byte of one object. A network that does not answer is a refusal, too; without credentials it is
    `NO_CREDENTIALS`.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    limits = Config(
        retries={"mode": "standard", "total_max_attempts": 2},
        connect_timeout=5,
        read_timeout=10,
        s3={"addressing_style": "path" if place.endpoint else "auto"},
    )
    region = place.region or variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
    endpoint = place.endpoint or variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL")
    try:
        client = session_of(variables).client("s3", region_name=region, endpoint_url=endpoint, config=limits)
        client.get_object(Bucket=place.bucket, Key=place.key, Range="bytes=0-0")["Body"].close()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code == "NoSuchBucket":
            return "the bucket does not exist"
        return None if status in (404, 416) else f"AWS refuses it ({code})"
    except NoCredentialsError:
        return NO_CREDENTIALS
    except (BotoCoreError, OSError, ValueError) as error:
        return f"it cannot be asked ({type(error).__name__})"
    return None
