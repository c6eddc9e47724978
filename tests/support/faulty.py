"""A service on loopback that answers every request with the same failure, as a cloud does that refuses or is busy."""

from __future__ import annotations

from tests.support.loopback import Loopback, LoopbackHandler

_QUERY = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
)
_S3 = "<Error><Code>{code}</Code><Message>{message}</Message></Error>"


class Faulty(Loopback):
    """Use it in a `with` block.

    Args:
        status: the HTTP status of every answer.
        code: the cloud's own word for the failure.
        s3: answer in the form of S3 instead of the one that the query services have.
    """

    def __init__(self, status: int, code: str, message: str, *, s3: bool = False) -> None:
        body = (_S3 if s3 else _QUERY).format(code=code, message=message).encode()
        self.requests: list[str] = []
        noted = self.requests

        class Handler(LoopbackHandler):
            protocol_version = "HTTP/1.1"

            def fail(self) -> None:
                noted.append(f"{self.command} {self.path}")
                self.body()
                self.answer(status, body, {"Content-Type": "application/xml"})

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = fail

        super().__init__(Handler)
