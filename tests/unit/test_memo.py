"""Answers from memory: which are given, which never, and what stands between Terraform and a provider."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from driftguard.probe.memo import MEMO_PROVIDERS, Memo, MemoStore, ProviderAnswer
from driftguard.probe.packages import Package
from driftguard.probe.processes import ProviderProcess
from driftguard.probe.proxy import ProviderProxy

KEY = b"k" * 32
SCHEMA, READ = "/tfplugin5.Provider/GetProviderSchema", "/tfplugin5.Provider/ReadResource"
VALIDATE, STOP = "/tfplugin5.Provider/ValidateResourceTypeConfig", "/tfplugin5.Provider/Stop"
AWS = Package(min(MEMO_PROVIDERS), "/bin/aws", "h1:one")
VARIABLES = {"HOME": "/home/ci", "AWS_REGION": "eu-west-1"}


def memo(
    store: MemoStore, package: Package = AWS, variables: dict[str, str] = VARIABLES, *, answers: bool = True
) -> Memo:
    found = store.of(package, VARIABLES | variables, answers=answers)
    assert found is not None
    return found


@pytest.fixture
def store(tmp_path: Path) -> MemoStore:
    return MemoStore(tmp_path / "answers", KEY)


def test_an_answer_is_given_once_two_processes_gave_it(store: MemoStore) -> None:
    first = memo(store)
    first.learn(VALIDATE, b"question", ProviderAnswer(b"answer"))
    first.learn(VALIDATE, b"question", ProviderAnswer(b"answer"))  # the same process again is no second witness
    assert memo(store).answer(VALIDATE, b"question") is None
    memo(store).learn(VALIDATE, b"question", ProviderAnswer(b"answer"))
    assert memo(store).answer(VALIDATE, b"question") == ProviderAnswer(b"answer")
    assert memo(store, answers=False).answer(VALIDATE, b"question") is None
    assert memo(store).answer(VALIDATE, b"another question") is None
    assert memo(store).answer(SCHEMA, b"question") is None


@pytest.mark.parametrize("before", [1, 2])
def test_an_answer_that_differed_once_is_never_given(store: MemoStore, before: int) -> None:
    for _ in range(before):
        memo(store).learn(VALIDATE, b"question", ProviderAnswer(b"answer"))
    checked = memo(store, answers=False)
    checked.learn(VALIDATE, b"question", ProviderAnswer(b"another answer"))
    assert checked.wrong == ["ValidateResourceTypeConfig"]
    for _ in range(3):
        memo(store).learn(VALIDATE, b"question", ProviderAnswer(b"answer"))
        assert memo(store).answer(VALIDATE, b"question") is None


@pytest.mark.parametrize(
    "method", [READ, STOP, "/tfplugin5.Provider/Configure", "/tfplugin5.Provider/PlanResourceChange"]
)
def test_what_may_follow_from_the_cloud_or_the_clock_is_never_remembered(store: MemoStore, method: str) -> None:
    for _ in range(3):
        memo(store).learn(method, b"question", ProviderAnswer(b"answer"))
    assert memo(store).answer(method, b"question") is None


@pytest.mark.parametrize(
    ("package", "variables", "same"),
    [
        (AWS, {}, True),
        (AWS, {"TF_VAR_name": "x", "AWS_SESSION_TOKEN": "of an hour"}, True),
        (AWS, {"AWS_REGION": "us-east-1"}, False),
        (AWS, {"AWS_PROFILE": "other"}, False),
        (Package(AWS.address, AWS.binary, "h1:two"), {}, False),
        (Package(max(MEMO_PROVIDERS), AWS.binary, AWS.checksum), {}, False),
    ],
)
def test_an_answer_is_of_one_program_with_its_variables(
    store: MemoStore, package: Package, variables: dict[str, str], same: bool
) -> None:
    for _ in range(2):
        memo(store).learn(SCHEMA, b"", ProviderAnswer(b"schema"))
    assert (memo(store, package, variables).answer(SCHEMA, b"") == ProviderAnswer(b"schema")) is same


def test_providers_that_were_not_tried_answer_for_themselves(store: MemoStore) -> None:
    assert store.of(Package("registry.terraform.io/hashicorp/google", "/bin/google", "h1:x"), {}, answers=True) is None


def test_the_memory_is_sealed_bounded_and_opened_by_its_key_only(tmp_path: Path, store: MemoStore) -> None:
    for _ in range(2):
        memo(store).learn(VALIDATE, b"password: hunter2", ProviderAnswer(b"hunter2 is too short"))
    files = [path for path in (tmp_path / "answers").rglob("*") if path.is_file()]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600]
    assert b"hunter2" not in files[0].read_bytes()
    assert memo(MemoStore(tmp_path / "answers", b"x" * 32)).answer(VALIDATE, b"password: hunter2") is None
    sealed = files[0].read_bytes()
    files[0].write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert memo(store).answer(VALIDATE, b"password: hunter2") is None
    store.prune()
    assert files[0].exists()


# --- between Terraform and a provider -----------------------------------------------------------------


class _Provider(grpc.GenericRpcHandler):  # type: ignore[misc]  # the library has no types
    """Answers with the question backwards, and counts; one that asks for it fails."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def service(self, details: Any) -> Any:
        def answers(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            for request in requests:
                self.calls.append(details.method)
                if request == b"unknown":
                    context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method")
                if request == b"fail":
                    context.set_trailing_metadata((("why", "asked"),))
                    context.abort(grpc.StatusCode.INTERNAL, "as asked")
                yield request[::-1]

        return grpc.stream_stream_rpc_method_handler(answers)


@contextmanager
def proxied(memo: Memo, provider: _Provider) -> Iterator[tuple[Any, list[ProviderProcess]]]:
    """A channel to a proxy before a provider, and the processes that it started."""
    started: list[ProviderProcess] = []
    with tempfile.TemporaryDirectory(prefix="dg-") as folder:
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        server = grpc.server(ThreadPoolExecutor(4), handlers=(provider,), options=unlimited)
        server.add_insecure_port(f"unix:{folder}/p")
        server.start()

        def start() -> ProviderProcess:
            started.append(ProviderProcess(subprocess.Popen(["sleep", "60"]), 5, f"{folder}/p"))
            return started[-1]

        try:
            with (
                ProviderProxy(f"{folder}/s", memo, start),
                grpc.insecure_channel(f"unix:{folder}/s", options=unlimited) as channel,
            ):
                yield channel, started
        finally:
            server.stop(None).wait()
            for process in started:
                process.end()


def ask(channel: Any, method: str, request: bytes) -> bytes:
    answer: bytes = channel.unary_unary(method)(request, timeout=20)
    return answer


def test_a_provider_starts_only_for_what_is_not_remembered(store: MemoStore) -> None:
    provider = _Provider()
    for _ in range(2):
        with proxied(memo(store), provider) as (channel, started):
            assert [ask(channel, SCHEMA, b"ab"), ask(channel, SCHEMA, b"ab"), len(started)] == [b"ba", b"ba", 1]
    provider.calls.clear()
    with proxied(memo(store), provider) as (channel, started):
        assert [ask(channel, SCHEMA, b"ab"), ask(channel, STOP, b"")] == [b"ba", b""]
        assert (started, provider.calls) == ([], [])
        assert [ask(channel, READ, b"xy"), ask(channel, READ, b"xy"), len(started)] == [b"yx", b"yx", 1]
        assert provider.calls == [READ, READ]


def test_a_call_that_a_provider_does_not_know_is_remembered_as_such(store: MemoStore) -> None:
    provider = _Provider()
    for starts in (1, 1, 0):
        with proxied(memo(store), provider) as (channel, started):
            with pytest.raises(grpc.RpcError) as caught:
                ask(channel, "/tfplugin5.Provider/GetResourceIdentitySchemas", b"unknown")
            assert (caught.value.code(), len(started)) == (grpc.StatusCode.UNIMPLEMENTED, starts)


def test_errors_and_streams_pass_through_unchanged(store: MemoStore) -> None:
    with proxied(memo(store), _Provider()) as (channel, _):
        for method in (READ, SCHEMA):
            with pytest.raises(grpc.RpcError) as caught:
                ask(channel, method, b"fail")
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INTERNAL, "as asked")
            assert ("why", "asked") in [tuple(each) for each in caught.value.trailing_metadata()]
        stream = channel.stream_stream("/tfplugin6.Provider/ListResource")
        assert list(stream(iter([b"ab", b"cd"]), timeout=20)) == [b"ba", b"dc"]
        assert ask(channel, READ, b"x" * (6 << 20)) == b"x" * (6 << 20)


def test_what_is_not_the_providers_is_not_asked_of_it(store: MemoStore) -> None:
    provider = _Provider()
    with proxied(memo(store), provider) as (channel, started):
        assert ask(channel, "/grpc.health.v1.Health/Check", b"") == b"\x08\x01"
        with pytest.raises(grpc.RpcError) as caught:
            ask(channel, "/plugin.GRPCStdio/StreamStdio", b"")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert started == []
