"""Asks the questions of a recorded talk again, and compares every answer.

One provider process serves one group of environments in one look, and is never kept for the next: a provider with a
cache of its own would repeat itself. After any fault it is ended: a Configure that failed leaves the old client in
place, and one that was given up may still take effect.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any, Final

from driftguard.model.talks import CONFIGURE_CALLS, Exchange, ProviderSession, answer_digest
from driftguard.probe.processes import ProviderProcess

_ANSWER_SECONDS: Final = 120.0
_AT_ONCE: Final = 10  # as many as Terraform asks by itself, so that an API's limits are hit no harder than by a plan
_LIMITED: Final = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
# Words of an error inside an answer.
_LIMITED_WORDS: Final = (b"Throttl", b"Rate exceeded", b"RequestLimitExceeded", b"TooManyRequests", b"SlowDown")


class Differs(Exception):
    """An answer is another one than the plan's: a plan is needed.

    Attributes:
        type_name: the resource type, data source or function that was asked about.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(f"{exchange.call} {exchange.type_name}".strip())
        self.type_name = exchange.type_name


class Untrusted(Exception):
    """The process can be trusted no longer.

    Attributes:
        throttled: a rate limit was exceeded, or the answer did not come in time: more plans would make it worse.
    """

    def __init__(self, message: str, *, throttled: bool = False) -> None:
        super().__init__(message)
        self.throttled = throttled


class Replayer:
    """One provider process in one look.

    Args:
        key: that of the recorded digests.
        seconds: how long an answer may take.
        changes: how often each type was found changed: what changes often is asked about first.
    """

    def __init__(
        self,
        process: ProviderProcess,
        key: bytes,
        seconds: float = _ANSWER_SECONDS,
        changes: Mapping[str, int] | None = None,
    ) -> None:
        import grpc

        self._grpc, self._process, self._key, self._seconds = grpc, process, key, seconds
        self._changes = changes or {}
        self._configured: bytes | None = None
        self._methods: dict[str, Callable[..., bytes]] = {}
        self._channel: Any = grpc.insecure_channel(
            f"unix:{process.socket}",
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="probe")

    def repeat(self, session: ProviderSession) -> None:
        """Ask everything of one session again; ends at the first difference, with nothing left under way.

        Raises:
            Differs: an answer is another one.
            Untrusted: the provider failed, or was configured otherwise than in the plan.
        """
        configure = session.configure
        if configure is not None and configure.request != self._configured:
            self._configured = configure.request
            self._ask(configure)
        often_changed_first = sorted(session.repeated, key=lambda each: -self._changes.get(each.type_name, 0))
        futures = [self._pool.submit(self._ask, exchange) for exchange in often_changed_first]
        try:
            for future in futures:
                future.result()
        finally:
            self._settle(futures)

    def end(self) -> float:
        """End the process; the CPU seconds that it used."""
        self._pool.shutdown(cancel_futures=True)
        self._channel.close()
        return self._process.end()

    def _ask(self, exchange: Exchange) -> None:
        call = self._methods.get(exchange.method)
        if call is None:
            call = self._methods[exchange.method] = self._channel.unary_unary(exchange.method)
        try:
            answer = call(exchange.request, timeout=self._seconds)
        except self._grpc.RpcError as error:
            name = error.code().name
            raise Untrusted(f"{exchange.call}: {name}", throttled=name in _LIMITED) from None
        if not hmac.compare_digest(answer_digest(self._key, b"0", answer), exchange.digest):
            if exchange.call in CONFIGURE_CALLS:
                raise Untrusted(f"{exchange.call}: another answer")
            if any(word in answer for word in _LIMITED_WORDS):
                raise Untrusted(f"{exchange.call}: rate limit exceeded", throttled=True)
            raise Differs(exchange)

    @staticmethod
    def _settle(futures: Sequence[Future[None]]) -> None:
        for future in futures:
            future.cancel()
        wait_for(futures)
