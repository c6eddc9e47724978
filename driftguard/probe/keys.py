"""Everything but the providers' answers that a plan follows from, as digests by name."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from driftguard.ports import ProbeSubject
from driftguard.probe.packages import LOCK_FILE, Packages

#: What an assumed role's session is; the role's ARN stands in the key in its place.
SESSION_VARIABLES: Final = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


def plan_key(subject: ProbeSubject, packages: Packages, secret: bytes) -> Mapping[str, str]:
    """The key of an environment's plan.

    Args:
        secret: the digests of variables, which may be secrets, are keyed with it.

    Raises:
        NotVerified: a provider is not the one of the lock file.
        OSError: the environment is not initialised.
    """
    lock = lock_text(subject)
    verified = packages.verified(subject.work.data_dir, lock)
    program = Path(subject.tool.path).stat()
    variables = {k: v for k, v in subject.variables.items() if not (subject.role and k in SESSION_VARIABLES)}
    shared = provider_variables(variables)
    return {
        "closure": subject.closure_hash,
        "modules": _modules(subject.work.data_dir),
        "lock file": _digest(lock),
        "providers": _digest([[package.address, package.checksum, package.binary] for package in verified]),
        "tool": _digest([subject.tool.path, str(subject.tool), program.st_size, program.st_mtime_ns]),
        "variables": _keyed(secret, [sorted(variables.items()), subject.role]),
        "provider's variables": _keyed(secret, [sorted(shared.items()), subject.role]),
    }


def provider_variables(variables: Mapping[str, str]) -> Mapping[str, str]:
    """The variables that a shared provider process gets: without Terraform's own, which differ by environment."""
    return {name: value for name, value in variables.items() if not name.startswith("TF_")}


def lock_text(subject: ProbeSubject) -> str:
    """The lock file as `init` left it. OSError where the environment is not initialised."""
    return (subject.work.data_dir / LOCK_FILE).read_text()


def fetched_modules(data_dir: Path) -> Iterator[Path]:
    """The files of the modules that `init` fetched, in a fixed order."""
    folder = data_dir / "modules"
    for path in sorted(folder.rglob("*")):
        if path.is_file() and ".git" not in path.relative_to(folder).parts:
            yield path


def _modules(data_dir: Path) -> str:
    total = hashlib.sha256()
    for path in fetched_modules(data_dir):
        content = path.read_bytes()
        total.update(f"{path.relative_to(data_dir)}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _keyed(secret: bytes, value: object) -> str:
    return hmac.new(secret, _encoded(value), hashlib.sha256).hexdigest()


def _digest(value: object) -> str:
    return hashlib.sha256(_encoded(value)).hexdigest()
