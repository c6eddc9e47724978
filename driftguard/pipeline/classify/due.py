"""Objects that their provider renews by the clock: which types, and when one is due.

What a provider plans for such an object once its time has come is no outside change and no commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Due:
    """Since when an object is due.

    Attributes:
        again: whether it was due already when it was made, so that it is due after each apply.
        markers: attributes that the provider moves by itself to say so.
    """

    since: datetime
    again: bool
    markers: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Renewed:
    """How a type tells when it is due (`end` less `early`), when it was made, and what marks it."""

    end: Callable[[_Values], datetime | None]
    early: Callable[[_Values], timedelta] = lambda values: timedelta()
    start: Callable[[_Values], datetime | None] = lambda values: None
    markers: frozenset[str] = frozenset()


def due(type_: str, state: Any, now: datetime | None) -> Due | None:
    """Whether an object is due, from its values in the state; None where it is not, or its type is never.

    Args:
        now: the plan's timestamp; None where the plan has none.
    """
    renewed = _TYPES.get(type_)
    if renewed is None or now is None or not isinstance(state, dict):
        return None
    end = renewed.end(state)
    if end is None:
        return None
    try:
        since = end - renewed.early(state)
    except OverflowError:
        return None
    made = renewed.start(state)
    return Due(since, made is not None and since <= made, renewed.markers) if since <= now else None


def is_renewed(type_: str) -> bool:
    """Whether objects of a type are renewed by the clock."""
    return type_ in _TYPES


def moment(text: Any) -> datetime | None:
    """A moment in RFC 3339 or a date (UTC); None for anything else."""
    if not isinstance(text, str) or len(text) < 10:
        return None
    try:
        found = datetime.fromisoformat(_to_microseconds(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _to_microseconds(text: str) -> str:
    """RFC 3339 with at most six digits of a second: providers print nine."""
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return f"{head}{dot}{digits[:6]}{rest[len(digits) :]}" if dot else text


def _at(attribute: str) -> Callable[[_Values], datetime | None]:
    return lambda values: moment(values.get(attribute))


def _unix(attribute: str) -> Callable[[_Values], datetime | None]:
    def read(values: _Values) -> datetime | None:
        seconds = values.get(attribute)
        try:
            return datetime.fromtimestamp(seconds, UTC) if type(seconds) is int and seconds > 0 else None
        except (OverflowError, ValueError, OSError):
            return None

    return read


def _span(attribute: str, unit: timedelta, *, default: int = 0) -> Callable[[_Values], timedelta]:
    def read(values: _Values) -> timedelta:
        count = values.get(attribute)
        count = default if count is None else count
        return unit * min(count, 10**6) if type(count) is int else timedelta()

    return read


def _rotate_before(values: _Values) -> timedelta:
    """How long before its end a GitLab token is rotated: `rotation_configuration.rotate_before_days`."""
    rotation = values.get("rotation_configuration")
    days = rotation.get("rotate_before_days") if isinstance(rotation, dict) else None
    return timedelta(days=days) if type(days) is int and days < 10**6 else timedelta()


_HOUR, _DAY, _SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
_TLS = _Renewed(
    _at("validity_end_time"),
    _span("early_renewal_hours", _HOUR),
    _at("validity_start_time"),
    frozenset({"ready_for_renewal"}),
)
_GITLAB_TOKEN = _Renewed(_at("expires_at"), _rotate_before, _at("created_at"))
# Each from its provider's documentation: what it reads again, and plans anew once that has passed.
_TYPES: Final[Mapping[str, _Renewed]] = {
    "time_rotating": _Renewed(_at("rotation_rfc3339"), start=_at("rfc3339")),
    "tls_self_signed_cert": _TLS,
    "tls_locally_signed_cert": _TLS,
    "acme_certificate": _Renewed(
        _at("certificate_not_after"), _span("min_days_remaining", _DAY, default=30), _at("certificate_not_before")
    ),
    "vault_pki_secret_backend_cert": _Renewed(
        _unix("expiration"),
        _span("min_seconds_remaining", _SECOND, default=604800),
        markers=frozenset({"renew_pending"}),
    ),
    "vault_pki_secret_backend_sign": _Renewed(
        _unix("expiration"),
        _span("min_seconds_remaining", _SECOND, default=604800),
        markers=frozenset({"renew_pending"}),
    ),
    "cloudflare_origin_ca_certificate": _Renewed(_at("expires_on"), _span("min_days_for_renewal", _DAY)),
    "gitlab_project_access_token": _GITLAB_TOKEN,
    "gitlab_group_access_token": _GITLAB_TOKEN,
    "gitlab_personal_access_token": _GITLAB_TOKEN,
}
