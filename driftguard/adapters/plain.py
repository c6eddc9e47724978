"""Alerts as plain text: on standard output, and wherever a service shows no more than that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC

from driftguard.errors import DeliveryFault
from driftguard.model import ChangeText, Delivery, Message
from driftguard.ports import Sink
from driftguard.printable import printable


def as_text(message: Message) -> str:
    """A message as lines of text, with a line end and without anything that a terminal would obey."""
    return harmless("\n".join(_lines(message))) + "\n"


def harmless(text: str) -> str:
    """Text with its line ends, without what is not shown as itself (colours, backspaces, ...)."""
    return printable(text, lines=True)


def _lines(message: Message) -> Iterator[str]:
    yield f"[{'resolved' if message.resolution else message.severity.value}] {message.title}"
    yield from _opening(message)
    yield from _first_screen(message)
    for environment in message.environments[:1]:
        if len(message.environments) > 1 or environment.headline not in (message.resolution, ""):
            yield f"  {environment.name}: {environment.headline}".removesuffix(": ")
        for change in environment.changes:
            yield f"    {change.address} ({change.label}{_alike(change)})"
            if change.consequence:
                yield f"      an apply {change.consequence}"
            yield from (f"      {line}" for line in (*change.lines, *change.by))
        if environment.omitted:
            yield f"    and {environment.omitted} more resources"
    for headline, names in message.others:
        yield f"  {headline[:1].upper()}{headline[1:].removesuffix('.')} ({len(names)}): {', '.join(names)}"
    yield from (f"  commit {commit.sha[:10]} {commit.author}: {commit.subject}" for commit in message.commits)
    yield from (f"  {line}" for line in message.decision)
    yield from (f"  {text}: {url}" for text, url in message.links)


def _opening(message: Message) -> Iterator[str]:
    """Why it comes late or from another place, and how it ended."""
    if message.meant_for is not None:
        yield f"  Delayed: meant for {message.meant_for.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
    yield from (f"  {text}" for text in (message.note, message.resolution) if text)


def _first_screen(message: Message) -> Iterator[str]:
    """The worst changes, who did it, and what the reader can do."""
    yield from (f"  {address}: {text}" if address else f"  {text}" for address, text in message.worst)
    if message.who:
        yield f"  {message.who}"
    yield from (f"  {step.text}: {step.command or step.url}" for step in message.steps)


def _alike(change: ChangeText) -> str:
    return f"; {len(change.alike)} more alike" if change.alike else ""


class TextSink(Sink):
    """Prints events to standard output."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """`write` prints text, and raises OSError on failure."""
        self._write = write

    def post(self, delivery: Delivery, message: Message) -> str:
        """Print a message; its id is the delivery's."""
        line = str(delivery.body.get("line", ""))
        text = harmless(f"[{delivery.body['event']}] {line}") + "\n" if line else as_text(message)
        try:
            try:
                self._write(text)
            except UnicodeEncodeError as error:  # where people read it, not every character can be shown
                self._write(text.encode(error.encoding, "replace").decode(error.encoding))
        except OSError as error:
            raise DeliveryFault(f"Alerts could not be printed: {error.strerror}.", whole_sink=True) from None
        except ValueError as error:
            raise DeliveryFault(f"Alerts could not be printed ({type(error).__name__}).", whole_sink=True) from None
        return delivery.id

    def update(self, delivery: Delivery, message: Message) -> None:
        """Nothing: what is printed stays as it is."""

    def reply(self, delivery: Delivery, parent: Delivery, file: str | None) -> str:
        """Nothing: there are no threads."""
        return delivery.id

    def find(self, delivery: Delivery, parent: Delivery | None) -> str | None:
        """Nothing can be found again: what a killed run may have printed is printed again."""
        return None
