"""The parts of the probe: purity, packages, records, processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from driftguard.model.talks import Exchange, ProviderSession
from driftguard.probe.packages import NotVerified, Packages, h1, locked_providers
from driftguard.probe.processes import NotPlain, ProviderProcesses
from driftguard.probe.purity import impure
from driftguard.probe.store import PlanRecord, RecordStore

KEY = b"k" * 32


# --- what no probe can see -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a = timestamp()",
        "a = timestamp ()",
        "a = timestamp /* x */ ()",
        "a = timestamp # x\n ()",
        "a = plantimestamp()",
        "a = uuid()",
        'a = bcrypt("x")',
        'a = abspath("x")',
        'a = pathexpand("~")',
        "a = path.cwd",
        "a = path . cwd",
        "a = path/* x */.cwd",
        'data "terraform_remote_state" "a" {}',
        'data "terraform\\u005fremote_state" "a" {}',
        'a = file("/outside")',
        'a = file("${path.module}/../x")',
        'a = file("${path.module}/${var.x}")',
        "a = file(var.x)",
        'a = templatefile("x.tpl", {})',
        'a = fileset(path.module, "*")',
        'a = filebase64sha256("x")',
        "a = <<E\n# ${timestamp()}\nE",
        '{"a": "${timestamp()}"}',
        '{"a": "${time\\u0073tamp()}"}',
        '{"a": "${file(\\"/outside\\")}"}',
    ],
)
def test_what_a_probe_cannot_see_is_found_in_every_syntax(text: str) -> None:
    assert list(impure(text))


@pytest.mark.parametrize(
    "text",
    [
        "timestamp = 1",
        "a = var.timestamp",
        "a = formatdate(var.f, var.t)",
        "a = path.module",
        'a = file("${path.module}/x.txt")',
        'a = file( "${path.root}/x/y.txt" )',
        'a = templatefile("${path.module}/x.tpl", { a = 1 })',
        "profile = 1",
        "a = provider::toy::upper(1)",
        'a = uuidv5("dns", "x")',
    ],
)
def test_what_follows_from_the_closure_is_left_alone(text: str) -> None:
    assert not list(impure(text))


def test_lines_are_counted_from_one_and_named_once() -> None:
    assert list(impure("a = 1\nb = [timestamp(), timestamp()]\nc = path.cwd\n")) == [(2, "timestamp"), (3, "path.cwd")]


# --- provider packages -----------------------------------------------------------------------------

ADDRESS = "registry.terraform.io/acme/toy"


def package(data_dir: Path, content: bytes = b"program") -> Path:
    folder = data_dir / "providers" / ADDRESS / "1.0.0" / "linux_amd64"
    folder.mkdir(parents=True)
    (folder / "terraform-provider-toy_v1.0.0").write_bytes(content)
    (folder / "LICENSE").write_bytes(b"free")
    return folder


def lock(checksum: str) -> str:
    hashes = f'  hashes = [\n    "{checksum}",\n    "zh:0",\n  ]'
    return f'provider "{ADDRESS}" {{\n  version     = "1.0.0"\n  constraints = "1.0.0"\n{hashes}\n}}\n'


def test_a_verified_package_is_read_once_and_a_changed_one_again(tmp_path: Path) -> None:
    folder = package(tmp_path)
    text = lock(h1(folder, sorted(folder.iterdir())))
    memory = tmp_path / "kept" / "checksums"
    assert Packages(memory, KEY).verified(tmp_path, text)[0].address == ADDRESS
    assert memory.exists()
    program = folder / "terraform-provider-toy_v1.0.0"
    program.write_bytes(b"PROGRAM")
    with pytest.raises(NotVerified, match="not the one of the lock file"):
        Packages(memory, KEY).verified(tmp_path, text)


def test_remembered_checksums_of_another_are_not_believed(tmp_path: Path) -> None:
    folder = package(tmp_path)
    memory = tmp_path / "checksums"
    wrong = lock("h1:made-up")
    with pytest.raises(NotVerified):
        Packages(memory, KEY).verified(tmp_path, wrong)
    remembered = memory.read_bytes()
    real = h1(folder, sorted(folder.iterdir())).encode()
    memory.write_bytes(remembered[:32] + remembered[32:].replace(real, b"h1:made-up"))
    with pytest.raises(NotVerified):
        Packages(memory, KEY).verified(tmp_path, wrong)


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotVerified, match=r"acme/toy 1\.0\.0 is not installed"):
        Packages(tmp_path / "m", KEY).verified(tmp_path, lock("h1:x"))


def test_a_lock_file_without_h1_is_no_proof(tmp_path: Path) -> None:
    package(tmp_path)
    text = lock("h1:x").replace('    "h1:x",\n', "")
    assert locked_providers(text)[ADDRESS].hashes == frozenset()
    with pytest.raises(NotVerified):
        Packages(tmp_path / "m", KEY).verified(tmp_path, text)


# --- records ---------------------------------------------------------------------------------------


def record(secret: bytes = b"hunter2-hunter2", at: datetime = datetime(2026, 1, 2, tzinfo=UTC)) -> PlanRecord:
    session = ProviderSession(ADDRESS, (Exchange("/tfplugin6.Provider/ReadResource", secret, b"d" * 32),))
    return PlanRecord({"closure": "1"}, "state", at, (session,), msgspec.Raw(b"\x01"))


def test_a_record_is_read_as_it_was_kept_and_holds_nothing_in_clear(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "records", KEY)
    store.keep("prod/vpc", record())
    assert store.read("prod/vpc") == record()
    files = list((tmp_path / "records").iterdir())
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600]
    assert all(word not in files[0].read_bytes() for word in (b"hunter2", b"ReadResource", b"acme"))


def test_a_record_is_void_under_another_key_name_or_content(tmp_path: Path) -> None:
    store = RecordStore(tmp_path, KEY)
    store.keep("prod", record())
    assert RecordStore(tmp_path, b"o" * 32).read("prod") is None
    (file,) = tmp_path.iterdir()
    store.keep("dev", record())
    other = next(path for path in tmp_path.iterdir() if path != file)
    other.write_bytes(file.read_bytes())  # one environment's record in the place of another's
    assert store.read("dev") is None
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert store.read("prod") is None
    file.write_bytes(b"")
    assert store.read("prod") is None
    store.drop("prod")
    store.drop("prod")


def test_a_provider_that_an_audit_found_wrong_stays_so(tmp_path: Path) -> None:
    RecordStore(tmp_path, KEY).distrust([ADDRESS])
    assert RecordStore(tmp_path, KEY).distrusted() == {ADDRESS}


# --- processes -------------------------------------------------------------------------------------


def script(folder: Path, text: str) -> str:
    file = folder / "provider"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    "line",
    [
        "1|6|tcp|127.0.0.1:1|grpc|",
        "1|6|unix|/x|grpc|MIIB",
        "1|6|unix|/x|netrpc|",
        "1|7|unix|/x|grpc|",
        "nonsense",
        "",
    ],
)
def test_a_provider_that_offers_no_plain_socket_is_refused_and_ended(tmp_path: Path, line: str) -> None:
    with ProviderProcesses() as processes, pytest.raises(NotPlain):
        processes.start(
            script(tmp_path, f'echo $$ > {tmp_path}/pid; echo "{line}"; exec sleep 60'), os.environ, tmp_path
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with ProviderProcesses() as processes, pytest.raises(NotPlain, match="No such file"):
        processes.start(str(tmp_path / "gone"), os.environ, tmp_path)


def test_providers_end_with_the_block_and_their_folder_is_gone(tmp_path: Path) -> None:
    with ProviderProcesses() as processes:
        running = processes.start(
            script(tmp_path, 'echo "1|5|unix|$TMPDIR/s|grpc|"; exec sleep 60'), os.environ, tmp_path
        )
        assert (running.protocol, running.socket) == (5, f"{processes.folder}/s")
        assert running.running
        folder = processes.folder
    assert running.process.wait(5) == -signal.SIGKILL
    running.end()
    assert not folder.exists()


def test_providers_do_not_outlive_a_killed_starter(tmp_path: Path) -> None:
    provider = script(tmp_path, f'echo $$ > {tmp_path}/pid; echo "1|5|unix|$TMPDIR/s|grpc|"; exec sleep 60')
    code = (
        "import os, pathlib, signal; from driftguard.probe.processes import ProviderProcesses\n"
        f"p = ProviderProcesses(); p.start({provider!r}, os.environ, pathlib.Path('/'))\n"
        "print(p.folder, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while (Path(f"/proc/{pid}").exists() or Path(done.stdout.strip()).exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(done.stdout.strip()).exists()
