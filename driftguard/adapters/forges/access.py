"""Requests to any forge: its credential, retries of reads, and the fault for a request without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from driftguard.errors import ForgeFault, OperatorError

# A server behind the forge's own front does not answer; 500 may be about this one request.
AWAY: Final = frozenset({502, 503, 504})
AGAIN: Final = "The next run retries."


def credential(
    forge: str, what: str, key: str, variable: str | None, file: str | None, environ: Mapping[str, str]
) -> str:
    """A credential without the whitespace around it.

    Args:
        what: its kind, such as `token`; key: the beginning of its settings, such as `forge.token`.

    Raises:
        OperatorError: it is not there, or cannot be one; the message never holds it.
    """
    if variable is not None:
        value = environ.get(variable, "").strip()
        if not value:
            raise OperatorError(
                f"The variable {variable} holds no {what} for {forge}. Set it, or name another in `{key}_env`."
            )
    else:
        try:
            value = Path(str(file)).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise OperatorError(
                f"The {what} for {forge} could not be read from {file} ({type(error).__name__}). "
                f"Check the file, or name another in `{key}_file`."
            ) from None
        if not value:
            raise OperatorError(
                f"The file {file} holds no {what} for {forge}. Fill it, or name another in `{key}_file`."
            )
    # A library that refuses another character would quote the token.
    if what == "token" and not (value.isascii() and value.isprintable() and " " not in value):
        raise OperatorError(
            f"The token for {forge} in {variable or file} holds a space or another character that no token has. "
            "Check that it was copied as a whole."
        )
    return value


def retries() -> Any:
    """Retries of reads only: of a write, the answer may be all that was lost."""
    from urllib3.util import Retry

    return Retry(
        total=2,
        redirect=0,
        other=0,
        backoff_factor=0.2,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=frozenset({"GET"}),
        respect_retry_after_header=False,
        raise_on_status=False,
    )


def unreachable(forge: str, what: str, error: OSError, *, writes: bool) -> ForgeFault:
    """The fault for a request without an answer; one that was never sent has certainly done nothing."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    reason = getattr(error.args[0], "reason", None) if error.args else None
    never_sent = isinstance(reason, (ConnectTimeoutError, NewConnectionError))
    return ForgeFault(
        f"{forge} could not be reached to {what} ({type(reason or error).__name__}). {AGAIN}",
        perhaps_done=writes and not never_sent,
        whole_forge=True,
    )
