"""From a page's content to HTML: the templates, and the words, moments and values that they print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from driftguard import __version__
from driftguard.model.words import plain_words, plural, verdict_text
from driftguard.printable import printable
from driftguard.web.access import Viewer
from driftguard.web.links import SECTIONS, Links
from driftguard.web.query import PageQuery

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
#: A sign for each verdict, so that colour is never the only one.
SIGNS: Final[Mapping[str, str]] = {
    "in_sync": "✓",
    "drifted": "▲",
    "pending": "●",
    "diverged": "◆",
    "unknown": "?",
}


@dataclass(frozen=True, slots=True)
class WebPage:
    """One page, before it is rendered.

    Attributes:
        section: the entry of the navigation that it belongs to.
        content: what the template prints.
        document: its JSON twin.
    """

    template: str
    section: str
    title: str
    content: Mapping[str, Any] = field(default_factory=dict)
    document: Any = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page is rendered with.

    Attributes:
        now: the moment that relative times refer to.
        repository: what the repository is called.
    """

    viewer: Viewer
    query: PageQuery
    now: datetime
    links: Links
    repository: str
    twin: str = ""


class Renderer:
    """The templates. Every text is printable and escaped; a name that a template misspells is an error."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("driftguard.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(version=__version__, sections=SECTIONS, signs=SIGNS)

    def html(self, page: WebPage, frame: Frame) -> str:
        """A page as HTML."""
        template = self._environment.get_template(page.template)
        return template.render(page=page, frame=frame, links=frame.links, query=frame.query, **page.content)


def _shown(value: Any) -> Any:
    """The only way of a value into a page; what is markup already went it before."""
    return printable(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def relative(moment: datetime, now: datetime) -> str:
    """A moment relative to another, such as `3 h ago` or `in 2 d`."""
    seconds = (now - moment).total_seconds()
    text = span(abs(seconds))
    return text if text == "now" else f"{text} ago" if seconds >= 0 else f"in {text}"


def span(seconds: float) -> str:
    """A duration in its largest unit, such as `45 s`, `12 min`, `3 h` or `9 d`."""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (1, "s")):
        if seconds >= size * (2 if size == _DAY else 1):
            return f"{int(seconds // size)} {unit}"
    return "now"


def absolute(moment: datetime) -> str:
    """A moment to the minute in UTC, such as `2026-11-28 04:12 UTC`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def read_time(value: datetime | str | None) -> datetime | None:
    """A moment of a report; None where there is none, or it cannot be read."""
    if value is None or isinstance(value, datetime):
        return value
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def when(value: datetime | str | None, frame: Frame) -> Markup | str:
    """A moment as a page prints it: relative with the absolute time beside it; on the static site absolute alone."""
    moment = read_time(value)
    if moment is None:
        return "–"
    machine, plain = moment.astimezone(UTC).isoformat(timespec="seconds"), absolute(moment)
    if frame.links.static:
        return Markup('<time datetime="{}">{}</time>').format(machine, plain)
    near = relative(moment, frame.now)
    return Markup('<time datetime="{}">{} <span class="absolute">{}</span></time>').format(machine, near, plain)


def age(value: datetime | str | None, frame: Frame) -> Markup | str:
    """How long ago a moment is, with it beside; on the static site the moment alone."""
    moment = read_time(value)
    if moment is None:
        return "–"
    if frame.links.static:
        return when(moment, frame)
    machine, long = moment.isoformat(timespec="seconds"), span(max(0.0, (frame.now - moment).total_seconds()))
    text = Markup('<time datetime="{}">{} <span class="absolute">since {}</span></time>')
    return text.format(machine, long, absolute(moment))


def soon(moment: datetime, frame: Frame) -> Markup:
    """A moment to come, relative, with the absolute time on demand."""
    machine, near = moment.isoformat(timespec="seconds"), relative(moment, frame.now)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(machine, absolute(moment), near)


def value_lines(value: Any) -> str:
    """A value of an attribute: JSON and texts of JSON on several lines, anything else as it is."""
    if isinstance(value, str):
        if value.lstrip()[:1] in ("{", "["):
            try:
                return msgspec.json.format(value, indent=2)
            except msgspec.DecodeError:
                return value
        return value if value else '""'
    if isinstance(value, dict | list) and value:
        return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2).decode()
    return msgspec.json.encode(value).decode()


def external(url: str | None) -> str | None:
    """An address of another site that a page may link to; None for any other text."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.hostname else None


def short(commit: str | None) -> str:
    """A commit's first ten characters."""
    return (commit or "")[:10] or "–"


def verdict(name: str) -> Markup:
    """A verdict with its sign."""
    known = name if name in SIGNS else "unknown"
    text = Markup('<span class="verdict {}"><span aria-hidden="true">{}</span> {}</span>')
    return text.format(known, SIGNS.get(known, "?"), printable(verdict_text(name)))


def seconds(value: float | timedelta) -> str:
    """A duration of a step or a run."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    return f"{number:.1f} s" if number < _MINUTE else span(number)


def breakable(text: str) -> Markup:
    """An address in which a line may break after a dot, a slash or an underscore."""
    escaped = str(escape(printable(text)))
    for mark in ("/", "_", "."):
        escaped = escaped.replace(mark, f"{mark}<wbr>")
    return Markup(escaped)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "when": when,
    "age": age,
    "soon": soon,
    "lines": value_lines,
    "external": external,
    "short": short,
    "verdict": verdict,
    "seconds": seconds,
    "breakable": breakable,
    "plural": plural,
    "plain": plain_words,
    "words": verdict_text,
}
