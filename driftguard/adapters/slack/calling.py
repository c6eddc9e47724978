"""A call of Slack's Web API, and its result: a response, a refusal, or an unknown outcome (slack-sdk)."""

from __future__ import annotations

import http.client
import logging
import re
import time
import urllib.error
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct, ValidationError, convert

from driftguard.adapters.webhook import seconds_to_wait
from driftguard.errors import DeliveryFault

#: What a call raises that is not a refusal, beside slack-sdk's own errors: the network, an address or a token that no
#: request can be made of (ValueError), an answer that is none of Slack's (ValueError and the last two).
TROUBLE: Final = (OSError, http.client.HTTPException, ValueError, LookupError, AttributeError)
_TIMEOUT_SECONDS: Final = 15
# A longer wait is the outbox's: a call that sleeps holds up every other channel.
_MAX_SLEEP_SECONDS: Final = 2.0
_DEFAULT_WAIT_SECONDS: Final = 1.0
_TRIES: Final = 3
_CREDENTIALS: Final = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "missing_scope",
        "no_permission",
    }
)
# An error inside Slack; according to its documentation, the call may have taken effect.
_BROKEN: Final = frozenset({"internal_error", "fatal_error"})
_ADVICE: Final = {
    "channel_not_found": "Check the channel's name in slack.routes; invite the bot where it is private.",
    "not_in_channel": "Invite the bot to the channel.",
    "is_archived": "Name another channel in slack.routes.",
    "missing_scope": "Give the bot the scopes chat:write, channels:read, channels:history and files:write.",
    "invalid_auth": "Check the token.",
    "not_authed": "Check the token.",
}


class Refused(DeliveryFault):
    """Slack refused the call.

    Attributes:
        word: Slack's error code.
        reason: the code, and the missing scope if that is the cause.
    """

    def __init__(self, what: str, word: str, needed: str = "") -> None:
        self.word, self.reason = word, f"{word}: {needed}" if needed else word
        advice = _ADVICE.get(word, "A later run retries.")
        if needed:
            advice = f"Give the bot the scope {needed} and install it again."
        super().__init__(
            f"Slack refused to {what} ({self.reason}). {advice}",
            perhaps_delivered=word in _BROKEN,
            whole_sink=word in _CREDENTIALS | _BROKEN,
        )


class Posted(Struct, frozen=True):
    """Slack's response to a post: the channel's id, and the message's time stamp, which identifies it there."""

    channel: str
    ts: str

    @property
    def reference(self) -> str:
        """Channel and time stamp, as a delivery keeps them."""
        return f"{self.channel}/{self.ts}"


class WebApi:
    """Slack's Web API with a bot token.

    Attributes:
        client: slack-sdk's own, for its methods.
    """

    def __init__(self, token: str, api_url: str, sleep: Callable[[float], None] = time.sleep) -> None:
        """`api_url` ends with a slash."""
        from slack_sdk import WebClient

        # No retry handlers: slack-sdk's own repeats a post whose answer was lost, which would post it twice.
        self.client = WebClient(
            token=token, base_url=api_url, timeout=_TIMEOUT_SECONDS, retry_handlers=[], logger=silent_log()
        )
        self._sleep = sleep

    def call(self, what: str, method: Callable[..., Any], **arguments: Any) -> Any:
        """Slack's response; retried after the delay that Slack asks for when a rate limit is exceeded.

        Args:
            what: the action, after "to".

        Raises:
            Refused: Slack refused the call.
            DeliveryFault: the call failed, or its outcome is unknown.
        """
        from slack_sdk.errors import SlackApiError, SlackClientError

        for left in reversed(range(_TRIES)):
            try:
                return method(**arguments)
            except SlackApiError as error:
                wait = _asked_to_wait(error)
                if wait is None:
                    raise _refusal(what, error) from None
                if not left or wait > _MAX_SLEEP_SECONDS:
                    raise DeliveryFault(
                        f"Slack asked to wait {wait:g} s before the next {what}; a run after that retries.",
                        retry_after_seconds=wait,
                    ) from None
                self._sleep(wait)
            except (SlackClientError, *TROUBLE) as error:
                raise unreachable(what, error, "`slack.api_url` or the token") from None
        raise AssertionError("the last try returns or raises")

    def post(self, what: str, method: Callable[..., Any], **arguments: Any) -> Posted:
        """Where a message was posted; raises as `call`, and DeliveryFault where the response lacks the message."""
        answer = self.call(what, method, **arguments)
        try:
            return convert(answer.data, Posted)
        except ValidationError as error:
            raise unreachable(what, error, "`slack.api_url`") from None

    def pages(self, what: str, method: Callable[..., Any], key: str, **arguments: Any) -> Iterator[Any]:
        """The items of a list that Slack gives in pages; the end is where it names no further page, or one again."""
        cursors: list[str | None] = [None]
        while cursors[-1] not in cursors[:-1]:
            answer = self.call(what, method, cursor=cursors[-1], **arguments)
            yield from answer[key] or ()
            cursors.append((answer.get("response_metadata") or {}).get("next_cursor") or None)


def silent_log() -> logging.Logger:
    """A silent log for slack-sdk: its messages hold the URL, which for a webhook is a secret."""
    return logging.Logger("slack", logging.CRITICAL + 1)


def unreachable(what: str, error: Exception, settings: str) -> DeliveryFault:
    """No answer of Slack's; whether the request may have arrived all the same.

    Args:
        settings: what may be malformed where no request could be made at all.
    """
    reason: object = error.reason if isinstance(error, urllib.error.URLError) else error
    kind = type(reason).__name__
    # Some network errors are a ValueError, too, and so is an answer that is no text.
    sent = isinstance(reason, OSError | UnicodeDecodeError)
    if isinstance(reason, str | http.client.InvalidURL | ValueError) and not sent:
        return DeliveryFault(f"Slack cannot be asked to {what}: {settings} is malformed. Correct it.", whole_sink=True)
    if kind == "SlackRequestError":  # as slack-sdk calls it when a file is not taken
        return DeliveryFault(f"Slack refused a file when asked to {what}; a later run retries.")
    never_arrived = kind in ("ConnectionRefusedError", "gaierror", "SSLCertVerificationError")
    return DeliveryFault(
        f"Slack could not be reached to {what} ({kind}); a later run retries.",
        perhaps_delivered=not never_arrived,
        whole_sink=True,
    )


def _asked_to_wait(error: Any) -> float | None:
    response = error.response
    if getattr(response, "status_code", None) != 429:
        return None
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    return seconds_to_wait(headers.get("retry-after"), datetime.now(UTC)) or _DEFAULT_WAIT_SECONDS


def _refusal(what: str, error: Any) -> DeliveryFault:
    response = error.response
    status = getattr(response, "status_code", 0)
    data = getattr(response, "data", None)
    # For what is not JSON, such as a proxy's page, slack-sdk makes up a word of its text.
    word = str(data.get("error")) if isinstance(data, dict) else ""
    if status >= 500 or not isinstance(data, dict) or not re.fullmatch(r"[a-z][a-z0-9_]{0,79}", word):
        return DeliveryFault(
            f"Slack did not answer properly when asked to {what} (HTTP {status}); a later run retries.",
            perhaps_delivered=True,
            whole_sink=True,
        )
    needed = str(data.get("needed") or "")
    return Refused(what, word, needed if re.fullmatch(r"[a-z.:,_ ]{1,80}", needed) else "")
