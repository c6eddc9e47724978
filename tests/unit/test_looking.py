"""One look at several environments: what ends it, what it spares, and that no doubt counts as unchanged.

The provider is a gRPC server of the test; its program prints the server's address and notes the role that it got.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import msgspec
import pytest

from driftguard.errors import EnvironmentFault
from driftguard.model import Closure, ErrorKind, ToolVersion
from driftguard.model.talks import Exchange, ProviderSession, Talk, answer_digest
from driftguard.ports import Clock, Looked, ProbeSubject, Repository, StateStamps, Subjects, WorkingDirectory
from driftguard.probe.keys import plan_key
from driftguard.probe.looking import RecordingProbe
from driftguard.probe.packages import Packages, h1
from driftguard.probe.processes import ProviderProcesses
from driftguard.probe.replay import Replayer, Untrusted
from driftguard.probe.store import PlanRecord, RecordStore, derived_key

AWS = "registry.terraform.io/hashicorp/aws"
NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
KEY = b"k" * 32
SECRET = derived_key(KEY, b"driftguard probe answers 1")
CONFIGURE, READ = "/tfplugin5.Provider/Configure", "/tfplugin5.Provider/ReadResource"
PROGRAM = """#!/bin/sh
echo "$ROLE" >> {starts}
ln -s {socket} "$PLUGIN_UNIX_SOCKET_DIR/s$$"
echo "1|5|unix|$PLUGIN_UNIX_SOCKET_DIR/s$$|grpc|"
exec sleep 60
"""


class Cloud(grpc.GenericRpcHandler):  # type: ignore[misc]  # the library has no types
    """Answers each question with itself backwards, unless `answer` has another answer or an error."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.at_once = self.most_at_once = 0
        self.answer: Callable[[str, bytes], bytes | grpc.StatusCode | None] = lambda method, request: None
        self._guard = threading.Lock()

    def service(self, details: Any) -> Any:
        def handle(request: bytes, context: Any) -> bytes:
            with self._guard:
                self.asked.append(request)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                found = self.answer(details.method, request)
                if isinstance(found, grpc.StatusCode):
                    context.abort(found, "as asked")
                return request[::-1] if found is None else found
            finally:
                with self._guard:
                    self.at_once -= 1

        return grpc.unary_unary_rpc_method_handler(handle)


class Noon(Clock):
    def now(self) -> datetime:
        return NOON


@dataclass
class Stamps(StateStamps):
    """The stamps that it gives, one after another; the last one again and again."""

    given: list[str | Exception] = field(default_factory=lambda: ["written once"])

    def of(self, subject: ProbeSubject) -> str | None:
        found = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        if isinstance(found, Exception):
            raise found
        return found


class Known(Subjects):
    def __init__(self, subjects: Mapping[str, ProbeSubject]) -> None:
        self._subjects = subjects

    @contextmanager
    def occupied(self, name: str) -> Iterator[ProbeSubject]:
        yield self._subjects[name]

    @contextmanager
    def checked_out(self, subject: ProbeSubject) -> Iterator[Path]:
        yield subject.work.directory


class World:
    """Environments whose plans are recorded, and the cloud that they asked."""

    def __init__(self, folder: Path, cloud: Cloud, socket: Path) -> None:
        self.folder, self.cloud, self.stamps = folder, cloud, Stamps()
        self.starts = folder / "starts"
        package = folder / "data/providers" / AWS / "1.0.0/linux_amd64"
        package.mkdir(parents=True)
        self.program = package / "terraform-provider-aws_v1.0.0"
        self.program.write_text(PROGRAM.format(starts=self.starts, socket=socket))
        self.program.chmod(0o755)
        checksum = h1(package, [self.program])
        lock = f'provider "{AWS}" {{\n  version = "1.0.0"\n  hashes = [\n    "{checksum}",\n  ]\n}}\n'
        (folder / "data/.terraform.lock.hcl").write_text(lock)
        self.tool = folder / "terraform"
        self.tool.write_text("")
        self.subjects: dict[str, ProbeSubject] = {}
        self.store = RecordStore(folder / "records", KEY)
        self.packages = Packages(folder / "checksums", KEY)

    def probe(self, key: bytes = KEY) -> RecordingProbe:
        return RecordingProbe(
            ledger_key=key,
            store=RecordStore(self.folder / "records", key),
            packages=self.packages,
            stamps=self.stamps,
            repository=cast(Repository, None),  # closures without files are not read
            clock=Noon(),
            max_age=timedelta(hours=24),
            processes=1,
        )

    def add(self, name: str, *, role: str = "one", reads: int = 3, types: Sequence[str] = ()) -> None:
        """An environment of some resources, planned a minute ago."""
        variables = {"PATH": "/bin:/usr/bin", "ROLE": role}
        work = WorkingDirectory(self.folder, self.folder / "data", self.folder, variables)
        self.subjects[name] = ProbeSubject(
            name, "hash", Closure({}, (), (), ""), ToolVersion("terraform", "1.11.4", str(self.tool)), role, work,
            variables, None, None,
        )  # fmt: skip
        questions = [(CONFIGURE, f"configure {name}"), *((READ, f"read {name} {n}") for n in range(reads))]
        if types:  # as fields of a message, which begin with the type's name
            questions[1:] = [(READ, f"\n{chr(len(t))}{t} {n}") for n, t in enumerate(types)]
        exchanges = tuple(
            Exchange(method, text.encode(), answer_digest(SECRET, b"0", text.encode()[::-1]))
            for method, text in questions
        )
        key = plan_key(self.subjects[name], self.packages, SECRET)
        sessions = (ProviderSession(AWS, exchanges),)
        record = PlanRecord(key, "written once", NOON - timedelta(minutes=1), sessions, msgspec.Raw(b"\x01"))
        self.store.keep(name, record)

    def look(self, key: bytes = KEY) -> Mapping[str, Looked]:
        return self.probe(key).look(Known(self.subjects), list(self.subjects))

    def roles(self) -> list[str]:
        """The role of each provider process that was started."""
        return self.starts.read_text().split() if self.starts.exists() else []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    cloud = Cloud()
    server = grpc.server(ThreadPoolExecutor(32), handlers=(cloud,))
    server.add_insecure_port(f"unix:{tmp_path}/cloud")
    server.start()
    try:
        yield World(tmp_path / "world", cloud, tmp_path / "cloud")
    finally:
        server.stop(None).wait()


def same(looks: Mapping[str, Looked]) -> list[str]:
    return [name for name, look in looks.items() if look.plan is not None]


def test_environments_of_one_role_share_a_process_and_those_of_another_do_not(world: World) -> None:
    for name, role in (("a", "one"), ("b", "two"), ("c", "one")):
        world.add(name, role=role)
    assert sorted(same(world.look())) == ["a", "b", "c"]
    assert sorted(world.roles()) == ["one", "two"]


def test_an_expired_role_is_no_answer(world: World) -> None:
    world.add("a")
    world.cloud.answer = lambda method, request: b"ExpiredToken: the token has expired" if method == READ else None
    looks = world.look()
    assert (same(looks), looks["a"].differs, looks["a"].throttled) == ([], True, False)
    world.stamps.given = [EnvironmentFault(ErrorKind.DENIED, "s3://states/a cannot be read: ExpiredToken.")]
    assert world.look()["a"].reason == "s3://states/a cannot be read: ExpiredToken."


def test_a_second_configure_that_fails_ends_the_process_before_anything_is_read(world: World) -> None:
    """As that of AWS 5.100 with AWS_CA_BUNDLE: afterwards its old client would answer."""
    for name in ("a", "b", "c"):
        world.add(name)
    seen: list[int] = []

    def fails_twice(method: str, request: bytes) -> bytes | None:
        seen.extend([len(world.roles())] if method == CONFIGURE else [])
        again = method == CONFIGURE and seen.count(len(world.roles())) > 1
        return b"unable to add custom RootCAs HTTPClient" if again else None

    world.cloud.answer = fails_twice
    looks = world.look()
    assert same(looks) == ["a", "c"]
    assert "Configure: another answer" in looks["b"].reason
    assert len(world.roles()) == 2  # the third got a new one
    assert not [request for request in world.cloud.asked if request.startswith(b"read b")]


@pytest.mark.parametrize("limit", [b"ThrottlingException: Rate exceeded", grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_rate_limit_backs_off_for_the_whole_group_and_starts_one_plan(world: World, limit: Any) -> None:
    for name in "abcdefgh":
        world.add(name)
    world.add("other", role="two")
    world.cloud.answer = lambda method, request: limit if request.startswith(b"read a") else None
    looks = world.look()
    assert same(looks) == ["other"]
    assert [name for name, look in looks.items() if look.differs] == ["a"]  # one plan, not eight
    assert sorted(name for name, look in looks.items() if look.throttled) == list("bcdefgh")
    assert not [r for r in world.cloud.asked if r.split()[1] in (b"b", b"h")]


def test_two_thousand_resources_are_asked_ten_at_once(world: World) -> None:
    world.add("large", reads=2000)
    assert same(world.look()) == ["large"]
    assert len(world.cloud.asked) == 2001
    assert world.cloud.most_at_once <= 10


def test_the_first_difference_ends_the_questions_of_its_environment(world: World) -> None:
    world.add("large", reads=2000)
    world.add("b")
    world.cloud.answer = lambda method, request: b"changed" if request == b"read large 5" else None
    looks = world.look()
    assert same(looks) == ["b"]
    assert looks["large"].another_answer
    assert len(world.cloud.asked) < 1000


def test_a_provider_that_is_not_the_one_of_the_lock_file_is_not_started(world: World) -> None:
    world.add("a")
    world.program.write_text(world.program.read_text() + "# changed\n")
    looks = world.look()
    assert "is not the one of the lock file" in looks["a"].reason
    assert (same(looks), world.roles()) == ([], [])


@pytest.mark.parametrize("given", [["before"], ["written once", "during"]])
def test_a_state_that_was_written_before_or_during_a_probe_is_planned(world: World, given: list[Any]) -> None:
    world.add("a")
    world.stamps.given = given
    looks = world.look()
    assert (same(looks), looks["a"].reason) == ([], "the state was written")
    world.stamps.given = ["written once"]
    assert same(world.look()) == ["a"]


def test_a_plan_during_which_the_state_was_written_is_not_recorded(world: World) -> None:
    world.add("a")
    world.stamps.given = ["before", "after"]
    probe, subject = world.probe(), world.subjects["a"]
    started = probe.begin(subject)
    assert started is not None
    kept = probe.keep(subject, started, Talk(()), b"\x01", NOON)
    assert (kept, world.store.read("a")) == ("something changed while it was planned", None)


def test_records_of_another_key_are_none(world: World) -> None:
    world.add("a")
    looks = world.look(b"o" * 32)
    assert (same(looks), looks["a"].reason, world.roles()) == ([], "no plan is recorded", [])


def test_a_configure_that_comes_too_late_ends_the_process(world: World) -> None:
    world.add("a")
    world.cloud.answer = lambda method, request: time.sleep(1)
    record = world.store.read("a")
    assert record is not None
    with ProviderProcesses() as processes:
        process = processes.start(str(world.program), world.subjects["a"].variables, world.folder)
        replayer = Replayer(process, SECRET, seconds=0.1)
        with pytest.raises(Untrusted, match="Configure: DEADLINE_EXCEEDED") as late:
            replayer.repeat(record.sessions[0])
        replayer.end()
        assert late.value.throttled
        assert not process.running
    assert not [request for request in world.cloud.asked if request.startswith(b"read")]


def test_another_role_of_the_same_variables_is_another_plan(world: World) -> None:
    world.add("a")
    world.subjects["a"] = replace(world.subjects["a"], role="arn:aws:iam::1:role/other")
    assert world.look()["a"].reason.startswith("changed: ")


def test_types_that_changed_before_are_asked_about_first(world: World) -> None:
    world.add("a", types=["quiet"] * 300 + ["busy"])
    world.cloud.answer = lambda method, request: b"changed" if b"busy" in request else None
    assert same(world.look()) == []
    assert world.store.changes() == {"busy": 1}
    world.cloud.asked.clear()
    assert same(world.look()) == []
    assert len(world.cloud.asked) < 50
    assert world.store.changes() == {"busy": 2}
