"""The reader of HTTP/2 against a real gRPC client and server, and against frames of every legal form."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftguard.model.talks import answer_digest
from driftguard.probe.frames import Data, FrameReader, Headers, Reset
from driftguard.probe.recorder import Recorder, messages

KEY = b"k" * 32
READ = "/tfplugin6.Provider/ReadResource"


class _Answers(grpc.GenericRpcHandler):  # type: ignore[misc]  # the library has no types
    """Answers every call with its request backwards; one that asks for it fails."""

    def service(self, details: Any) -> Any:
        def answer(request: bytes, context: Any) -> bytes:
            if request == b"fail":
                context.abort(grpc.StatusCode.INTERNAL, "as asked")
            return request[::-1]

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def recorded_wire(folder: Path, calls: Callable[[Any], None]) -> Iterator[tuple[bytes, bytes]]:
    """The bytes of both directions of one connection on which calls were made."""
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((_Answers(),))
    server.add_insecure_port(f"unix:{folder}/server")
    server.start()
    up, down = bytearray(), bytearray()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/client")
        listener.listen()

        def serve() -> None:
            near, _ = listener.accept()
            with near, socket.socket(socket.AF_UNIX) as far:
                far.connect(f"{folder}/server")
                back = threading.Thread(target=copy, args=(far, near, down))
                back.start()
                copy(near, far, up)
                back.join()

        thread = threading.Thread(target=serve)
        thread.start()
        with grpc.insecure_channel(f"unix:{folder}/client") as channel:
            calls(channel)
        thread.join()
    server.stop(0).wait()
    yield bytes(up), bytes(down)


def copy(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with suppress(OSError):  # either side ends without closing the connection
        while chunk := source.recv(1 << 16):
            kept += chunk
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, bytes, list[bytes]]]:
    requests = [b"one", b"", b"x" * 300_000, b"two"]

    def calls(channel: Any) -> None:
        ask = channel.unary_unary(READ)
        for request in requests:
            ask(request, metadata=(("name", "value" * 40),))

    with recorded_wire(tmp_path_factory.mktemp("wire"), calls) as (up, down):
        yield up, down, requests


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 1 << 20), max_size=40), st.lists(st.integers(0, 1 << 20), max_size=40))
def test_a_talk_is_the_same_however_its_bytes_are_cut(
    wire: tuple[bytes, bytes, list[bytes]], up_cuts: list[int], down_cuts: list[int]
) -> None:
    up, down, requests = wire
    recorder = Recorder("toy", KEY)
    for piece in pieces(up, up_cuts):
        recorder.upward(piece)
    for piece in pieces(down, down_cuts):
        recorder.downward(piece)
    recorder.closed()
    assert recorder.broken == ""
    found = recorder.session.exchanges
    assert [e.request for e in found] == requests
    assert [e.digest for e in found] == [answer_digest(KEY, b"0", request[::-1]) for request in requests]


def test_bytes_one_by_one_give_the_same_talk(tmp_path: Path) -> None:
    with recorded_wire(tmp_path, lambda channel: channel.unary_unary(READ)(b"one")) as (up, down):
        recorder = Recorder("toy", KEY)
        for number in up:
            recorder.upward(bytes([number]))
        for number in down:
            recorder.downward(bytes([number]))
    assert [e.request for e in recorder.session.exchanges] == [b"one"]


def test_an_answer_that_is_an_error_is_recorded_with_its_status(tmp_path: Path) -> None:
    def calls(channel: Any) -> None:
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(READ)(b"fail")

    with recorded_wire(tmp_path, calls) as (up, down):
        recorder = Recorder("toy", KEY)
        recorder.upward(up)
        recorder.downward(down)
    assert [e.digest for e in recorder.session.exchanges] == [answer_digest(KEY, b"13", b"")]


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("ApplyResourceChange", "ApplyResourceChange cannot be repeated"),
        ("ImportResourceState", "ImportResourceState cannot be repeated"),
        ("OpenEphemeralResource", "OpenEphemeralResource cannot be repeated"),
        ("AMethodOfTheFuture", "AMethodOfTheFuture cannot be repeated"),
    ],
)
def test_a_call_that_cannot_be_repeated_breaks_the_talk(tmp_path: Path, method: str, reason: str) -> None:
    with recorded_wire(tmp_path, lambda c: c.unary_unary(f"/tfplugin6.Provider/{method}")(b"x")) as (up, down):
        recorder = Recorder("toy", KEY)
        recorder.upward(up)
        recorder.downward(down)
    assert recorder.broken == reason


def test_a_second_configuration_breaks_the_talk(tmp_path: Path) -> None:
    def calls(channel: Any) -> None:
        ask = channel.unary_unary("/tfplugin5.Provider/Configure")
        ask(b"a")
        ask(b"b")

    with recorded_wire(tmp_path, calls) as (up, down):
        recorder = Recorder("toy", KEY)
        recorder.upward(up)
        recorder.downward(down)
    assert recorder.broken == "configured twice"


def test_a_call_without_an_answer_breaks_the_talk(wire: tuple[bytes, bytes, list[bytes]]) -> None:
    up, down, _ = wire
    recorder = Recorder("toy", KEY)
    recorder.upward(up)
    recorder.downward(down[: len(down) // 2])
    recorder.closed()
    assert recorder.broken == f"{READ} had no answer"


# --- frames of every legal form --------------------------------------------------------------------


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "grpc-status"]), st.text("xyz", max_size=50)), max_size=20),
    st.integers(0, 40),
    st.booleans(),
    st.integers(1, 5),
    st.sampled_from([0, 64, 4096]),
)
def test_padded_prioritised_and_continued_headers_are_read(
    fields: list[tuple[str, str]], padding: int, priority: bool, parts: int, table: int
) -> None:
    encoder = hpack.Encoder()
    encoder.header_table_size = table
    reader = FrameReader(from_client=False)
    for stream in (1, 3):  # the second block rests on the header table of the first
        block = encoder.encode(fields)
        size = max(1, len(block) // parts)
        cut = [block[at : at + size] for at in range(0, len(block), size)] or [b""]
        first = (b"\0" * 5 if priority else b"") + cut[0]
        body = bytes([padding]) + first + b"\0" * padding
        flags = 0x8 | (0x20 if priority else 0) | (0x4 if len(cut) == 1 else 0)
        sent = frame(1, flags, stream, body)
        for number, part in enumerate(cut[1:], 2):
            sent += frame(9, 0x4 if number == len(cut) else 0, stream, part)
        expected = {name.encode(): value.encode() for name, value in fields}
        assert list(reader.feed(sent)) == [Headers(stream, expected)]


def test_data_is_read_without_its_padding_and_other_frames_are_let_pass() -> None:
    reader = FrameReader(from_client=True)
    sent = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 1, 0, b"")
        + frame(8, 0, 0, b"\0\0\1\0")
        + frame(6, 0, 0, b"12345678")
    )
    assert list(reader.feed(sent)) == []
    assert list(reader.feed(frame(0, 0x8, 1, b"\2ab\0\0") + frame(3, 0, 5, b"\0\0\0\1"))) == [Data(1, b"ab"), Reset(5)]


@pytest.mark.parametrize("body", [b"", b"\5abc"])
def test_more_padding_than_frame_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="padding"):
        list(FrameReader(from_client=False).feed(frame(0, 0x8, 1, body)))


@pytest.mark.parametrize("body", [b"\1\0\0\0\0", b"\0\0\0\0\5abc", b"\0\0"])
def test_compressed_and_cut_messages_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        messages(body)
