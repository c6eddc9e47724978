"""Clicks on the button of an alert: who may acknowledge, what it stands for, and the answer to the member."""

from __future__ import annotations

import glob
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from driftguard.config import Slack
from driftguard.model import AckClick
from driftguard.pipeline.acknowledging import OperatorWords, WordJournal
from driftguard.pipeline.alert.stamps import meant_by
from driftguard.ports import AlertRecord, Clock

log = logging.getLogger(__name__)

REFUSED: Final = (
    "You may not acknowledge alerts here: `slack.may_ack` does not list you. Ask an operator to add your member id "
    "{member}, or to run `driftguard ack`."
)
_CHANGED: Final = "It has changed or ended since this message was written, so nothing was acknowledged. Read it again."
_REASON: Final = "by button in Slack"


@dataclass(frozen=True, slots=True)
class ClickAnswer:
    """What a click did.

    Attributes:
        text: the answer that only the member sees.
        recorded: whether an acknowledgement was recorded, so that messages have to show it.
    """

    text: str
    recorded: bool = False


def answered(
    click: AckClick, may_ack: Collection[str], alerts: AlertRecord, words: Callable[[str], OperatorWords]
) -> ClickAnswer:
    """Acknowledge what a click means, once: a repetition finds it acknowledged.

    Args:
        may_ack: the ids of the members who may.
        words: journals the words of an operator of a name.
    """
    if click.member not in may_ack:
        return ClickAnswer(REFUSED.format(member=click.member))
    meant = meant_by(click.value, alerts.standing())
    if not meant:
        return ClickAnswer(_CHANGED)
    names = sorted({alert.environment for alert in meant if alert.acked is None})
    if not names:
        (by, *_) = sorted({alert.acked.by for alert in meant if alert.acked is not None})
        return ClickAnswer(f"It was acknowledged already, by {by}.")
    ids = {alert.id for alert in meant}
    words(f"{click.name} (Slack {click.member})").acknowledge([*map(glob.escape, names)], None, _REASON, only=ids)
    return ClickAnswer("Acknowledged. Reminders stop until it becomes worse.", recorded=True)


class Clicks(Protocol):
    """What receives clicks until it is closed."""

    def close(self) -> None:
        """Receive no more."""
        ...


class WordLedger(WordJournal, Protocol):
    """A ledger that takes operators' words."""

    @property
    def alerts(self) -> AlertRecord:
        """Its alerts."""
        ...

    @property
    def clock(self) -> Clock:
        """Its clock."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class Buttons:
    """Receives clicks as the settings ask for, and journals what they acknowledge.

    Args:
        listen: begins to receive, with an app's token, the bot's, the address of the API, and what to do at a click.
        open_ledger: opens the ledger of a URL.
        recorded: is called, in another thread, after each acknowledgement.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        listen: Callable[[str, str, str, Callable[[AckClick], str]], Clicks],
        open_ledger: Callable[[str], WordLedger],
        recorded: Callable[[], None],
    ) -> None:
        self._environ, self._listen, self._open_ledger, self._recorded = environ, listen, open_ledger, recorded
        self._followed: tuple[Slack | None, str] = None, ""
        self._listener: Clicks | None = None

    def follow(self, slack: Slack | None, ledger: str) -> None:
        """Receive clicks, and record them in the ledger of a URL; goes on as it is where both are the same."""
        if (slack, ledger) == self._followed:
            return
        self.close()
        self._followed = slack, ledger
        if slack is None or not slack.buttons:
            return
        names = (slack.app_token_env or "", slack.token_env or "")
        app, bot = (self._environ.get(name, "").strip() for name in names)
        if app and bot:
            self._listener = self._listen(app, bot, slack.api_url, partial(self._clicked, slack, ledger))
        else:
            lacking = names[0] if not app else names[1]
            log.warning("Nothing can be acknowledged from Slack: the environment variable %s is not set.", lacking)

    def close(self) -> None:
        """Receive no more clicks."""
        if self._listener is not None:
            self._listener.close()
        self._listener, self._followed = None, (None, "")

    def _clicked(self, slack: Slack, url: str, click: AckClick) -> str:
        with closing(self._open_ledger(url)) as ledger:
            words = partial(OperatorWords, ledger, ledger.alerts, ledger.clock)
            answer = answered(click, slack.may_ack, ledger.alerts, words)
        if answer.recorded:
            self._recorded()
        return answer.text
