"""Stands between one connection of Terraform and a provider, and answers what the memory knows.

The provider's process is started by the first call that is not answered from memory. gRPC does both sides; messages
stay bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Final, NoReturn

import grpc

from driftguard.probe.memo import MEMO_CALLS, Memo, ProviderAnswer
from driftguard.probe.processes import NotPlain, ProviderProcess

_SERVICE: Final = "/tfplugin"
_HEALTH: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = b"\x08\x01"
_STOPS: Final = frozenset({"Stop", "StopProvider"})
_THREADS: Final = 64  # far more than Terraform's own parallelism
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.so_reuseport", 0),
]


class ProviderProxy(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A gRPC server on a Unix socket for one connection.

    Attributes:
        path: of the socket.
        process: the provider's, once it was needed.

    Args:
        start: gives the provider's process; called once at most.
    """

    def __init__(self, path: str, memo: Memo, start: Callable[[], ProviderProcess]) -> None:
        self.path, self._memo, self._start = path, memo, start
        self.process: ProviderProcess | None = None
        self._channel: Any = None
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="proxy")
        self._server = grpc.server(self._pool, handlers=(self,), options=_OPTIONS)
        self._server.add_insecure_port(f"unix:{path}")

    def __enter__(self) -> ProviderProxy:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()
        if self._channel is not None:
            self._channel.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def service(self, details: Any) -> Any:
        """The handler of a method, as gRPC asks for it; None: the method is not known."""
        method: str = details.method
        name = method.rpartition("/")[2]
        if method == _HEALTH:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: _SERVING)
        if not method.startswith(_SERVICE):
            return None  # go-plugin goes on without its broker and standard output
        if name in MEMO_CALLS:
            return grpc.unary_unary_rpc_method_handler(partial(self._remembered, method))
        if name in _STOPS:
            return grpc.unary_unary_rpc_method_handler(partial(self._stopped, method))
        return grpc.stream_stream_rpc_method_handler(partial(self._passed_on, method))

    def _remembered(self, method: str, request: bytes, context: Any) -> bytes:
        known = self._memo.answer(method, request)
        if known is None:
            known = self._asked(method, request, context)
            self._memo.learn(method, request, known)
        if not known.implemented:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "the provider does not know this call")
        return known.body

    def _asked(self, method: str, request: bytes, context: Any) -> ProviderAnswer:
        try:
            return ProviderAnswer(self._connected(context).unary_unary(method)(request))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                _failed(context, error)
            return ProviderAnswer(implemented=False)

    def _stopped(self, method: str, request: bytes, context: Any) -> bytes:
        """A process that was never started is stopped: an empty message, no error."""
        return b"" if self.process is None else self._asked(method, request, context).body

    def _passed_on(self, method: str, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        try:
            call = self._connected(context).stream_stream(method)(requests)
            context.add_callback(call.cancel)
            yield from call
        except grpc.RpcError as error:
            _failed(context, error)

    def _connected(self, context: Any) -> Any:
        with self._guard:
            if self._channel is None:
                try:
                    self.process = process = self._start()
                except NotPlain as error:
                    context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
                    raise
                self._channel = grpc.insecure_channel(f"unix:{process.socket}", options=_OPTIONS)
            return self._channel


def _failed(context: Any, error: Any) -> NoReturn:
    """End a call as the provider ended it."""
    context.set_trailing_metadata(error.trailing_metadata() or ())
    context.abort(error.code(), error.details())
    raise error
