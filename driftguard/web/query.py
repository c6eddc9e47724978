"""What a request asks of a page: the moment, filters, order and page number of its query string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from driftguard.errors import UsageError

#: Rows of a page.
PAGE_ROWS: Final = 100
_MAX_VALUES: Final = 200
_MAX_LENGTH: Final = 500
_SINGLE: Final = frozenset({"at", "with", "page", "sort"})


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A page's query string, read.

    Attributes:
        at: the moment that the page shows; None for now.
        compared: a second moment to compare with.
        page: from 1.
        sort: the column to sort by, `-` before it for the reverse order; empty for the page's own order.
        filters: the values of each further key, in the order given; without empty ones.
    """

    at: datetime | None = None
    compared: datetime | None = None
    page: int = 1
    sort: str = ""
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def values(self, kind: str) -> tuple[str, ...]:
        """The values of a filter."""
        return self.filters.get(kind, ())

    def text(self, kind: str) -> str:
        """The first value of a filter; empty without one."""
        return next(iter(self.values(kind)), "")

    def on_page(self, page: int) -> str:
        """The query string of another page of the same list, with its `?`."""
        return replace(self, page=page).encoded()

    def sorted_by(self, column: str) -> str:
        """The query string that sorts by a column, and in reverse where it is sorted by it already."""
        return replace(self, page=1, sort=f"-{column}" if self.sort == column else column).encoded()

    def at_moment(self, at: datetime | None) -> str:
        """The query string of another moment."""
        return replace(self, at=at, page=1).encoded()

    def only(self, kind: str, value: str) -> str:
        """The query string with one filter and the moment alone."""
        return PageQuery(at=self.at, filters={kind: (value,)}).encoded()

    def moment_only(self) -> str:
        """The query string of the moment alone, for links to other pages."""
        return PageQuery(at=self.at).encoded()

    def encoded(self) -> str:
        """The query string with its `?`; empty where all is as by default."""
        pairs: list[tuple[str, str]] = []
        for name, moment in (("at", self.at), ("with", self.compared)):
            if moment is not None:
                pairs.append((name, written(moment)))
        pairs += [(kind, value) for kind, values in sorted(self.filters.items()) for value in values]
        if self.sort:
            pairs.append(("sort", self.sort))
        if self.page > 1:
            pairs.append(("page", str(self.page)))
        return f"?{urlencode(pairs)}" if pairs else ""


def read_query(pairs: Sequence[tuple[str, str]]) -> PageQuery:
    """A query string.

    Raises:
        UsageError: a moment or page number cannot be read, or there is far more than a form sends.
    """
    if len(pairs) > _MAX_VALUES or any(len(value) > _MAX_LENGTH for _, value in pairs):
        raise UsageError("The query string is too long. Nothing was read. Use fewer filters.")
    single = {name: value for name, value in pairs if name in _SINGLE and value}
    filters: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        if name not in _SINGLE and value.strip():
            filters[name] = (*filters.get(name, ()), value.strip())
    page = single.get("page", "1")
    if not (page.isascii() and page.isdigit() and 0 < int(page) < 1_000_000):
        raise UsageError(f"page={page[:20]} is not a page number; write page=2.")
    return PageQuery(
        at=read_moment(at, "at") if (at := single.get("at")) else None,
        compared=read_moment(other, "with") if (other := single.get("with")) else None,
        page=int(page),
        sort=single.get("sort", ""),
        filters=filters,
    )


def read_moment(text: str, name: str) -> datetime:
    """A moment in RFC 3339; without a zone it is UTC, and one in whole seconds includes its second.

    Raises:
        UsageError: it is not one.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        if not moment.microsecond:
            moment = moment.replace(microsecond=999_999)  # printed times are in whole seconds
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{name}={text[:40]} is not a time; write {name}=2026-11-01T12:00:00Z.") from None


def written(moment: datetime) -> str:
    """A moment as a query string has it: RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
