"""Estates of toy things: with states behind an `http` backend, or in S3 with lock files."""

from __future__ import annotations

import json
import os
import ssl
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from driftguard.demo.cloud import REGION, Cloud
from lab.statestore import StateStore
from tests.support.harness import Ran, Sandbox, Toy
from tests.support.tfe_double.certificate import certificate
from tests.support.tfe_double.place import PlatformAccess
from tests.support.tfe_double.running import RealTerraform
from tests.support.tfe_double.server import PlatformDouble
from tests.support.toy_estate import Applied, ToyEstate


class Estate:
    """One or more environments of toy things with their states in a backend that locks them.

    Attributes:
        sandbox: the machine, with the repository.
        toy: the cloud of the things.
    """

    def __init__(self, sandbox: Sandbox, toy: Toy, store: StateStore) -> None:
        self.sandbox, self.toy, self._store = sandbox, toy, store
        self.bucket = f"state-{uuid.uuid4().hex[:12]}"

    def backend(self, environment: str) -> str:
        """The backend block of an environment."""
        return self._store.backend(f"{self.bucket}/{environment}")

    def write(self, body: str, environment: str = "dev") -> None:
        """Write an environment's root module into the work tree."""
        self.sandbox.write(
            f"environments/{environment}/main.tf", self.toy.root_module(body, backend=self.backend(environment))
        )

    def merge(self, message: str, body: str, environment: str = "dev") -> str:
        """Write and commit an environment's root module."""
        self.write(body, environment)
        return self.sandbox.commit(message)

    def configure(self, text: str) -> None:
        """Commit a driftguard.yaml."""
        self.sandbox.commit("Configure DriftGuard", {"driftguard.yaml": text})

    def reconcile(self, *arguments: str, **variables: str) -> Ran:
        return self.sandbox.run("reconcile", "--format", "json", *arguments, **variables)

    def locked(self, environment: str = "dev") -> bool:
        """Whether the state is locked."""
        return f"{self.bucket}/{environment}" in self._store.locks

    def state(self, environment: str = "dev") -> dict[str, Any] | None:
        """An environment's state; None where there is none."""
        found = self._store.states.get(f"{self.bucket}/{environment}")
        return None if found is None else dict(json.loads(found))

    def store_state(self, state: Mapping[str, Any], environment: str = "dev") -> None:
        """Put a state in the place of an environment's."""
        self._store.states[f"{self.bucket}/{environment}"] = json.dumps(state)

    def lose_state(self, environment: str = "dev") -> None:
        """Remove an environment's state from its backend."""
        del self._store.states[f"{self.bucket}/{environment}"]


class S3Estate(Estate):
    """An estate whose states lie in S3 with lock files, as real ones do: for what DriftGuard itself asks of S3."""

    def __init__(self, sandbox: Sandbox, toy: Toy, store: StateStore, cloud: Cloud) -> None:
        super().__init__(sandbox, toy, store)
        self.cloud, self.storage = cloud, cloud.client("s3")
        self.storage.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        sandbox.variables.update(cloud.environment())

    def backend(self, environment: str) -> str:
        """The backend block of an environment."""
        endpoint = self.cloud.endpoint
        return f"""
  backend "s3" {{
    bucket       = "{self.bucket}"
    key          = "{environment}/terraform.tfstate"
    region       = "{REGION}"
    use_lockfile = true

    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_region_validation      = true
    skip_requesting_account_id  = true

    endpoints = {{
      s3  = "{endpoint}"
      sts = "{endpoint}"
      iam = "{endpoint}"
    }}
  }}
"""

    def lock_key(self, environment: str = "dev") -> str:
        """The object that is an environment's lock."""
        return f"{environment}/terraform.tfstate.tflock"

    def locked(self, environment: str = "dev") -> bool:
        """Whether the state is locked."""
        listed: dict[str, Any] = self.storage.list_objects_v2(Bucket=self.bucket, Prefix=self.lock_key(environment))
        return bool(listed.get("KeyCount"))


@pytest.fixture(scope="session")
def state_store() -> Iterator[StateStore]:
    """Terraform's `http` backend, for states whose place is not the subject."""
    with StateStore() as running:
        yield running


@pytest.fixture
def estate(sandbox: Sandbox, toy: Toy, state_store: StateStore) -> Estate:
    return Estate(sandbox, toy, state_store)


@pytest.fixture
def s3_estate(sandbox: Sandbox, toy: Toy, state_store: StateStore, cloud: Cloud) -> S3Estate:
    return S3Estate(sandbox, toy, state_store, cloud)


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory, toy_configuration: Path, attached: Path) -> Applied:
    folder = tmp_path_factory.mktemp("seed")
    variables = {"TF_CLI_CONFIG_FILE": str(toy_configuration), "PATH": f"{attached}:{os.environ['PATH']}"}
    return Applied.make(Sandbox(folder / "home", variables), Toy(folder / "cloud"))


@pytest.fixture
def estate_of(sandbox: Sandbox, tmp_path: Path, applied: Applied) -> Callable[..., ToyEstate]:
    """Makes environments of the given names on this test's machine."""
    return lambda *names: ToyEstate(sandbox, tmp_path / "clouds", applied, names)


@pytest.fixture(scope="session")
def loopback_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for servers on loopback, and the context of such a server."""
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def platform(tmp_path: Path, loopback_certificate: tuple[Path, ssl.SSLContext]) -> Iterator[PlatformDouble]:
    """A double of a platform whose runs are real Terraform."""
    (tmp_path / "platform").mkdir()
    with PlatformDouble(RealTerraform(tmp_path / "platform"), loopback_certificate[1]) as double:
        yield double


@pytest.fixture
def access(
    request: pytest.FixtureRequest, sandbox: Sandbox, loopback_certificate: tuple[Path, ssl.SSLContext]
) -> PlatformAccess:
    """A platform on which this test's machine is logged in: a real server where TFE_URL and TFE_TOKEN are given."""
    if os.environ.get("TFE_URL"):
        host, token = os.environ["TFE_URL"].removeprefix("https://").strip("/"), os.environ["TFE_TOKEN"]
        version = os.environ.get("TFE_TERRAFORM_VERSION", "1.11.4")
        given = PlatformAccess(host, token, os.environ["TFE_ORGANIZATION"], None, version)
        trusted = os.environ.get("SSL_CERT_FILE")
        given.log_in(sandbox, Path(trusted) if trusted else None)
        return given
    double: PlatformDouble = request.getfixturevalue("platform")
    given = PlatformAccess(double.host, double.token, double.organization, double)
    given.log_in(sandbox, loopback_certificate[0])
    return given
