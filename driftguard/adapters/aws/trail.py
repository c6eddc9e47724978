"""Reads writing calls from CloudTrail, within its rate limit and a time budget; names what is missing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from driftguard.adapters.aws.trailclient import account_of, client_of, endpoint_of
from driftguard.adapters.aws.trailrecord import parse, read
from driftguard.model.traces import INCOMPLETE_NOTE, DriftedObject, TrailEvent, own_session

__all__ = ["CloudTrail", "account_of", "client_of", "parse"]

_FEW: Final = 4
_TRIES: Final = 4
_PER_PAGE: Final = 50
# CloudTrail delivers late: a response as old as this is as complete as a new one.
_FRESH: Final = timedelta(minutes=5)
# A stop is heeded that fast while something is waited for.
_SLICE_SECONDS: Final = 0.5
_KEPT: Final = timedelta(days=90) - timedelta(hours=1)
_THROTTLED: Final = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"})
# Services without a region of their own: their events are in one region of each partition.
_GLOBAL: Final = frozenset({"iam", "sts", "cloudfront", "route53", "organizations", "waf", "shield", "budgets"})
_NO_CREDENTIALS: Final = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"}
    | {"TokenRetrievalError", "UnauthorizedSSOTokenError", "SSOTokenLoadError", "ConfigNotFound", "ConfigParseError"}
)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One event that writes, and hashes of what its request mentions; the request itself is not kept."""

    event: TrailEvent
    mentioned: frozenset[int]


@dataclass(slots=True)
class _Answer:
    """What was read for one question: all events from `low` to `high`, unless pages ran out in between (`cut`)."""

    low: datetime
    high: datetime
    recorded: dict[str, _Recorded] = field(default_factory=dict)
    cut: bool = False


@dataclass(slots=True)
class _Area:
    """One account and region: what was read there, and how often it may still be asked."""

    pages_left: int
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    next_at: float = 0.0
    answers: dict[str | None, _Answer] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    clients: dict[str, Any] = field(default_factory=dict, repr=False)

    def recorded(self) -> list[_Recorded]:
        return [recorded for answer in self.answers.values() for recorded in answer.recorded.values()]


class _LookupRefused(Exception):
    """CloudTrail gives no events; the text is the reason. `any_identity`: for all. `denied`: a missing permission."""

    def __init__(self, reason: str, *, any_identity: bool = False, denied: bool = False) -> None:
        super().__init__(reason)
        self.any_identity, self.denied = any_identity, denied


class _OutOfTime(_LookupRefused):
    """No more requests in this run, in any region."""


class _Allowance:
    """How long may still be asked: the time in which at least one thread asks counts."""

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._seconds, self._clock, self._sleep, self._stopping = seconds, clock, sleep, stopping
        self._guard = threading.Lock()
        self._asking, self._since, self._used, self._over = 0, 0.0, 0.0, False

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Count the time of the block."""
        with self._guard:
            if not self._asking:
                self._since = self._clock()
            self._asking += 1
        try:
            yield
        finally:
            with self._guard:
                self._asking -= 1
                if not self._asking:
                    self._used += self._clock() - self._since

    def wait(self, seconds: float) -> None:
        """Sleep; raises _OutOfTime, if possible before, where the time or the whole job ends."""
        with self._guard:
            used = self._used + (self._clock() - self._since if self._asking else 0.0)
            self._over = self._over or used + seconds >= self._seconds
        if self._over:
            raise _OutOfTime(f"one run reads it for at most {self._seconds:g} s; the next run continues")
        while not self._stopping():
            if seconds <= 0:
                return
            self._sleep(min(seconds, _SLICE_SECONDS))
            seconds -= _SLICE_SECONDS
        raise _OutOfTime("DriftGuard is stopping; the next run continues")


class CloudTrail:
    """CloudTrail's event history for one run over many environments. Thread-safe. Make a new one for each run.

    One thread at a time reads an account and region; the events serve every environment.

    Args:
        requests_per_second: for each account and region; AWS allows 2.
        clock: seconds that only grow.
        sleep: waits that many seconds.
        connect: a CloudTrail client from an environment's variables and a region; boto3's by default.
        pages: how many pages of 50 events are read for each account and region.
        budget_seconds: how long it is asked in all, waits included; the request that is under way then is finished,
            which takes 20 s at most. A note names what was not read by then.
        stopping: whether to ask nothing more, because everything ends; heeded within half a second of a wait.
        own_roles: the roles that DriftGuard assumes, as `own_session` takes them: their calls changed nothing outside
            Terraform.
    """

    def __init__(
        self,
        requests_per_second: float = 2.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        connect: Callable[[Mapping[str, str], str], Any] | None = None,
        pages: int = 10,
        budget_seconds: float = 60.0,
        stopping: Callable[[], bool] = lambda: False,
        own_roles: AbstractSet[str] = frozenset(),
    ) -> None:
        self._own_roles = own_roles
        self._interval_seconds, self._clock = 1.0 / requests_per_second, clock
        self._allowance = _Allowance(budget_seconds, clock, sleep, stopping)
        self._connect, self._pages = connect or client_of, pages
        self._areas: dict[tuple[str, str], _Area] = {}
        self._guard = threading.Lock()

    def _counts(self, event: TrailEvent, since: datetime, until: datetime) -> bool:
        own = own_session(event, self._own_roles)
        return event.error is None and not own and since <= event.at <= until

    def events(
        self,
        objects: Sequence[DriftedObject],
        since: datetime,
        until: datetime,
        variables: Mapping[str, str],
        region: str | None,
    ) -> tuple[tuple[TrailEvent, ...], str | None]:
        """Writing calls between two times, newest first, and the reason why they may be incomplete.

        Never raises for what AWS or the network does. Few objects are asked for by name; for many, or where a name
        gives nothing, all writing calls of the window are read.

        Args:
            since: aware; CloudTrail keeps 90 days.
            variables: environment variables of the environment's Terraform: whose credentials are used.
            region: of objects that do not name it themselves; None takes `AWS_REGION` of the variables.
        """
        since = max(since, until - _KEPT)
        if since >= until:
            return (), None
        home = region or variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
        areas: dict[str | None, list[DriftedObject]] = {}
        for item in objects:
            areas.setdefault(_region_of(item, home), []).append(item)
        found: dict[str, TrailEvent] = {}
        notes: list[str] = []
        for place, items in sorted(areas.items(), key=lambda pair: pair[0] or ""):
            if place is None:
                notes.append(f"CloudTrail could not be asked about {items[0].address}: no AWS region is known.")
                continue
            recorded, note = self._area_events(place, items, since, until, variables)
            known = {hash(name): name for item in items for name in item.names}
            found.update((r.event.id, _with_names(r, known)) for r in recorded if since <= r.event.at <= until)
            notes += [note] if note else []
        ordered = sorted(found.values(), key=lambda event: (event.at, event.id), reverse=True)
        return tuple(ordered), " ".join(dict.fromkeys(notes)) or None

    def probe(self, variables: Mapping[str, str], region: str | None) -> str:
        """One line on whether CloudTrail can be asked with these variables; never raises."""
        home = region or variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
        if home is None:
            return "cannot be asked: no AWS region is known; set AWS_REGION; alerts name no author"
        area, who = self._area(variables, home)
        try:
            with self._allowance.spent(), area.lock:
                self._call(area, self._client(area, who, variables, home), {"MaxResults": 1})
        except _LookupRefused as refusal:
            word = str(refusal).partition(",")[0]
            allow = "; allow cloudtrail:LookupEvents to the plan role" if refusal.denied else ""
            return f"cannot be asked: {word}{allow}; alerts name no author"
        return f"can be asked in {home}"

    def _area_events(
        self,
        region: str,
        items: Sequence[DriftedObject],
        since: datetime,
        until: datetime,
        variables: Mapping[str, str],
    ) -> tuple[list[_Recorded], str | None]:
        """What is known of a region, and why it is not all. Holds the area's lock while it asks."""
        area, who = self._area(variables, region)
        with self._allowance.spent(), area.lock:
            if who not in area.refusals and "*" not in area.refusals:
                try:
                    note = self._ask(area, self._client(area, who, variables, region), items, since, until)
                    return area.recorded(), f"CloudTrail in {region} {note}" if note else None
                except _OutOfTime as end:  # the same for every region, so that it is reported once
                    return area.recorded(), f"{INCOMPLETE_NOTE}: {end}."
                except _LookupRefused as refusal:
                    area.refusals["*" if refusal.any_identity else who] = str(refusal)
            # An identity without the permission does not see the events of another one either.
            known = [] if who in area.refusals else area.recorded()
            reason = area.refusals.get(who) or area.refusals["*"]
            return known, f"CloudTrail could not be asked in {region}: {reason}."

    def _ask(
        self, area: _Area, client: Any, items: Sequence[DriftedObject], since: datetime, until: datetime
    ) -> str | None:
        """Ask by name, then by window; gives what is left out for lack of pages."""
        swept = area.answers.get(None)
        missing = list(items)
        if len(items) <= _FEW and (swept is None or swept.low > since):
            for item in items:
                if not item.names:
                    continue
                # Half of the pages are left to the window, which serves every environment of the account.
                answer = self._read(area, client, item.names[0], since, until, self._pages // 2)
                if any(self._counts(recorded.event, since, until) for recorded in answer.recorded.values()):
                    missing.remove(item)
        if not missing:
            return None
        answer = self._read(area, client, None, since, until, 0)
        if not answer.cut:
            return None
        return (
            f"has more than the {self._pages} pages that one run reads: "
            f"what was done before {answer.low:%Y-%m-%d %H:%M} UTC may be missing."
        )

    def _read(
        self, area: _Area, client: Any, name: str | None, since: datetime, until: datetime, leave_pages: int
    ) -> _Answer:
        """The answer for a resource's name, or for all writing calls (None), completed to cover the window."""
        answer = area.answers.setdefault(name, _Answer(until, until))
        if until - answer.high > _FRESH:
            self._extend(area, client, name, answer, (answer.high, until), leave_pages)
            answer.high = until
        if since < answer.low and not answer.cut:
            answer.low = self._extend(area, client, name, answer, (since, answer.low), leave_pages)
        return answer

    def _extend(
        self,
        area: _Area,
        client: Any,
        name: str | None,
        answer: _Answer,
        window: tuple[datetime, datetime],
        leave_pages: int,
    ) -> datetime:
        """Read a window's pages into an answer, newest first; gives the moment down to which all was read."""
        attribute = ("ReadOnly", "false") if name is None else ("ResourceName", name)
        request: dict[str, Any] = {
            "LookupAttributes": [{"AttributeKey": attribute[0], "AttributeValue": attribute[1]}],
            "StartTime": window[0],
            "EndTime": window[1],
            "MaxResults": _PER_PAGE,
        }
        low = window[1]
        while area.pages_left > leave_pages:
            page = self._call(area, client, request)
            area.pages_left -= 1
            for raw in page.get("Events", ()):
                recorded = _Recorded(*read(raw))
                low = min(low, recorded.event.at)
                if not recorded.event.read_only:
                    answer.recorded[recorded.event.id] = recorded
            if not page.get("NextToken"):
                return window[0]
            request["NextToken"] = page["NextToken"]
        answer.cut = True
        return low

    def _call(self, area: _Area, client: Any, request: Mapping[str, Any]) -> Any:
        """One page, at its turn. The area's lock is held by the caller."""
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(1, _TRIES + 1):
            self._wait(area)
            try:
                return client.lookup_events(**request)
            except ClientError as error:
                word = _word(error)
                if word in _THROTTLED and attempt < _TRIES:
                    self._allowance.wait(float(2**attempt))
                    continue
                raise _refused(error, word) from None
            except (BotoCoreError, OSError, ValueError) as error:
                raise _refused(error, type(error).__name__) from None
        raise AssertionError("the last try returns or raises")

    def _wait(self, area: _Area) -> None:
        self._allowance.wait(max(0.0, area.next_at - self._clock()))
        area.next_at = max(self._clock(), area.next_at) + self._interval_seconds

    def _area(self, variables: Mapping[str, str], region: str) -> tuple[_Area, str]:
        """The account's and region's area, and whose credentials ask there."""
        profile = variables.get("AWS_PROFILE") or variables.get("AWS_DEFAULT_PROFILE") or "default"
        who = variables.get("AWS_ACCESS_KEY_ID") or f"profile {profile} {variables.get('AWS_CONFIG_FILE', '')}"
        place = f"{account_of(who)} {endpoint_of(variables) or ''}"
        with self._guard:
            return self._areas.setdefault((place, region), _Area(self._pages)), who

    def _client(self, area: _Area, who: str, variables: Mapping[str, str], region: str) -> Any:
        from botocore.exceptions import BotoCoreError

        try:
            if who not in area.clients:
                area.clients[who] = self._connect(variables, region)
            return area.clients[who]
        except (BotoCoreError, OSError, ValueError) as error:
            raise _refused(error, type(error).__name__) from None


def _region_of(item: DriftedObject, home: str | None) -> str | None:
    if item.service not in _GLOBAL:
        return item.region or home
    if (home or "").startswith("us-gov-"):
        return "us-gov-west-1"
    return "cn-north-1" if (home or "").startswith("cn-") else "us-east-1"


def _with_names(recorded: _Recorded, known: Mapping[int, str]) -> TrailEvent:
    more = sorted(known[found] for found in recorded.mentioned & known.keys())
    return replace(recorded.event, resources=tuple(dict.fromkeys((*recorded.event.resources, *more))))


def _word(error: Exception) -> str:
    """AWS's error code, or the class of what went wrong; never a text, which might hold a secret."""
    response = getattr(error, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    return code if re.fullmatch(r"[\w.:-]{1,80}", code) else type(error).__name__


def _refused(error: Exception, word: str) -> _LookupRefused:
    from botocore import exceptions as aws

    if word.startswith("AccessDenied") or word == "UnauthorizedOperation":
        return _LookupRefused(f"{word}, cloudtrail:LookupEvents is not allowed", denied=True)
    if word in _THROTTLED:
        return _LookupRefused(f"API rate limit exceeded ({word})", any_identity=True)
    if word in _NO_CREDENTIALS:
        return _LookupRefused(f"there are no AWS credentials to ask with ({word})")
    response = getattr(error, "response", None)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(response, dict) else 0
    if status >= 500 or isinstance(error, aws.ConnectionError | aws.HTTPClientError):
        return _LookupRefused(f"AWS did not answer ({word})", any_identity=True)
    return _LookupRefused(f"AWS does not accept the request ({word})")
