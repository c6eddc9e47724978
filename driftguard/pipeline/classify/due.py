"""Objects that their provider renews by the clock: which types, and when one is due.

What a provider plans for such an object once its time has come is no outside change and no commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Renewal:
    """Since when an object is due.

    Attributes:
        again: whether it was due already when it was made, so that it is due after each apply.
        markers: attributes that the provider moves by itself to show it.
    """

    since: datetime
    again: bool
    markers: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Renewed:
    """Which attributes of a type hold when it ends, how long before that it is renewed, and when it was made.

    Attributes:
        end, start: RFC 3339, a date, or seconds since 1970.
        early: the path of a number of `unit`.
        default: that number where it is null.
        markers: attributes that the provider moves by itself once it is due.
    """

    end: str
    early: tuple[str, ...] = ()
    unit: timedelta = timedelta()
    default: int = 0
    start: str = ""
    markers: frozenset[str] = frozenset()


def due(type_: str, state: Any, now: datetime | None) -> Renewal | None:
    """Whether an object is due, from its values in the state; None where it is not, or its type is never.

    Args:
        now: the plan's timestamp; None where the plan has none.
    """
    renewed = _TYPES.get(type_)
    if renewed is None or now is None or not isinstance(state, dict):
        return None
    end = moment(state.get(renewed.end))
    if end is None:
        return None
    try:
        since = end - renewed.unit * _count(state, renewed)
    except OverflowError:
        return None
    made = moment(state.get(renewed.start))
    return Renewal(since, made is not None and since <= made, renewed.markers) if since <= now else None


def is_renewed(type_: str) -> bool:
    """Whether objects of a type are renewed by the clock."""
    return type_ in _TYPES


def moment(value: Any) -> datetime | None:
    """A moment in RFC 3339, a date (UTC) or positive seconds since 1970; None for anything else."""
    try:
        if type(value) is int and value > 0:
            return datetime.fromtimestamp(value, UTC)
        if not isinstance(value, str) or len(value) < 10:
            return None
        found = datetime.fromisoformat(_to_microseconds(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _to_microseconds(text: str) -> str:
    """RFC 3339 with at most six digits of a second: providers print nine."""
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return f"{head}{dot}{digits[:6]}{rest[len(digits) :]}" if dot else text


def _count(state: Mapping[str, Any], renewed: _Renewed) -> int:
    value: Any = state if renewed.early else renewed.default
    for name in renewed.early:
        value = value.get(name) if isinstance(value, dict) else None
    return min(value, _MAX_COUNT) if type(value) is int else renewed.default


_MAX_COUNT: Final = 10**6
_HOUR, _DAY, _SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
_TLS: Final = _Renewed(
    "validity_end_time",
    ("early_renewal_hours",),
    _HOUR,
    start="validity_start_time",
    markers=frozenset({"ready_for_renewal"}),
)
_VAULT: Final = _Renewed(
    "expiration", ("min_seconds_remaining",), _SECOND, default=604800, markers=frozenset({"renew_pending"})
)
_GITLAB: Final = _Renewed("expires_at", ("rotation_configuration", "rotate_before_days"), _DAY, start="created_at")
# Each from its provider's documentation: what it reads again, and plans anew once that has passed.
_TYPES: Final[Mapping[str, _Renewed]] = {
    "time_rotating": _Renewed("rotation_rfc3339", start="rfc3339"),
    "tls_self_signed_cert": _TLS,
    "tls_locally_signed_cert": _TLS,
    "acme_certificate": _Renewed(
        "certificate_not_after", ("min_days_remaining",), _DAY, default=30, start="certificate_not_before"
    ),
    "vault_pki_secret_backend_cert": _VAULT,
    "vault_pki_secret_backend_sign": _VAULT,
    "cloudflare_origin_ca_certificate": _Renewed("expires_on", ("min_days_for_renewal",), _DAY),
    "gitlab_project_access_token": _GITLAB,
    "gitlab_group_access_token": _GITLAB,
    "gitlab_personal_access_token": _GITLAB,
}
