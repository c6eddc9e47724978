"""The types of configuration values, each with its expectation in words."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, NoReturn
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from driftguard.config import cron
from driftguard.config.placeholders import templated

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CRON_ITEM: Final = re.compile(r"(?i:(?:\*|(\d{1,2}|[a-z]{3})(?:-(\d{1,2}|[a-z]{3}))?)(?:/\d{1,2})?)")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_GLOB_CHARACTERS: Final = frozenset("*?[")


def expected(words: str) -> NoReturn:
    """Fail a validation with the expectation; the reader adds the line and the value found."""
    raise PydanticCustomError("expected", "{words}", {"words": words})


def refused(sentence: str) -> NoReturn:
    """Fail a validation with a sentence of its own, without the value found."""
    raise PydanticCustomError("refused", "{sentence}", {"sentence": sentence})


# --- glob patterns -------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def pattern(glob: str, before: str = "", after: str = "") -> re.Pattern[str]:
    """A compiled glob over addresses: `*` is any text, dots and brackets included, `?` one character.

    Square brackets stand for themselves, as they do in `aws_x.y["k"]`. `before` and `after` are
    regular expressions that may surround the glob.
    """
    first, *rest = ["".join("." if c == "?" else re.escape(c) for c in part) for part in re.split(r"\*+", glob)]
    # Atomic groups, as in fnmatch: a glob with many stars must not take exponential time.
    body = first + "".join(f"(?>.*?{part})" for part in rest[:-1]) + "".join(f".*{part}" for part in rest[-1:])
    return re.compile(f"{before}{body}{after}", re.DOTALL)


def is_glob(path: str) -> bool:
    """Whether a repository path holds glob characters."""
    return not _GLOB_CHARACTERS.isdisjoint(path)


# --- durations, shares, moments ------------------------------------------------------------------

DURATION: Final = "a duration such as 90s, 15m, 6h or 2d"


def duration(text: str) -> timedelta | None:
    """A duration such as `90s`, `15m`, `6h` or `2d`; None for anything else."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match is not None and int(match[1]) else None


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    found = duration(value) if isinstance(value, str) else None
    if found is None:
        expected(DURATION)
    return found


def duration_text(duration: timedelta) -> str:
    """A duration as the configuration writes it: `90s`, `15m`, `6h`, `2d`."""
    seconds = int(duration.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _share(value: Any) -> float:
    if isinstance(value, float) and 0 <= value <= 1:
        return value
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", value) if isinstance(value, str) else None
    if match is None or float(match[1]) > 100:
        expected("a percentage from 0% to 100%, such as 50%")
    return float(match[1]) / 100


def _until(value: Any) -> datetime:
    """A plain date lasts until the end of that day in UTC; a time without a zone is UTC."""
    words = "a date such as 2027-01-31 (until the end of that day, UTC) or a time such as 2027-01-31T18:00:00+01:00"
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if not isinstance(value, str) or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:$|[Tt ])", value):
        expected(words)
    try:
        if len(value) == 10:
            return datetime.combine(date.fromisoformat(value), time.max, UTC)
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        expected(words)


# --- windows -------------------------------------------------------------------------------------


def _cron(value: Any) -> str:
    words = 'a cron expression of five fields (minute hour day month weekday), such as "0 9 * * mon-fri"'
    fields = value.split() if isinstance(value, str) else []
    if len(fields) != 5 or not all(_cron_field(field) for field in fields):
        expected(words)
    expression = " ".join(fields)
    if not cron.is_valid(expression):
        expected(words + " that matches some time")
    return expression


def _cron_field(field: str) -> bool:
    # Stricter than cron libraries: `0-0` and `5-1` are mistakes; `L`, `#` and random fields differ between libraries.
    for item in field.split(","):
        match = _CRON_ITEM.fullmatch(item)
        if match is None:
            return False
        low, high = match[1], match[2]
        if low and high and low.isdigit() and high.isdigit() and int(low) >= int(high):
            return False
    return True


def _zone(value: Any) -> str:
    words = "an IANA time zone such as Europe/Berlin or UTC"
    if not isinstance(value, str) or not value:
        expected(words)
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        expected(words)
    return value


# --- names and paths -----------------------------------------------------------------------------


def _repository_path(value: Any) -> str:
    words = "a path from the repository's root, such as environments/prod"
    if not isinstance(value, str) or not value.strip() or value.startswith(("/", "~")) or "\\" in value:
        expected(words)
    path = posixpath.normpath(value)
    if not path.isprintable() or path == ".." or path.startswith("../"):
        expected(words)
    return path


def _absolute_folder(value: Any) -> str:
    text = _text(value)
    return text if text.startswith("/") and ".." not in text.split("/") else expected("an absolute path without `..`")


def _var_file(value: Any) -> str:
    if not isinstance(value, str) or not value or value.startswith(("/", "~")) or not value.isprintable():
        expected("a file of the repository, relative to the environment's directory, such as eu.tfvars")
    return value


def _var_file_globs(value: Any) -> tuple[str, ...]:
    globs = [value] if isinstance(value, str) else value
    if not isinstance(globs, list | tuple) or not globs:
        expected('a glob of var files, relative to the environment\'s directory, such as "vars/*.tfvars"')
    return tuple(_var_file(glob) for glob in globs)


def _record_key(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"\.[\w-]+(?:\.[\w-]+)*", value):
        expected("a key of the file, such as .name")
    return value


def _name(value: Any) -> str:
    usable = isinstance(value, str) and re.fullmatch(r"[\w.][\w./@+: -]{0,199}", value) and not value.endswith(" ")
    if not usable:
        expected("a name of letters, digits and . _ - / @ + : that does not begin with -")
    return str(value)


def _workspace(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.~$&+:=@][A-Za-z0-9_.~$&+:=@-]{0,89}", value):
        expected("the name of a Terraform workspace, such as default or eu")
    return value


def _is_variable(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value) is not None


def _variable_name(value: Any) -> str:
    if not _is_variable(value):  # what stands here may be the secret itself, so it is not repeated
        refused("is not the name of an environment variable: write the name here, never its value")
    return str(value)


def _binary(value: Any) -> str:
    # A relative path would run a program that a commit brings along.
    name = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", value)
    if not name and not (isinstance(value, str) and value.startswith("/") and value.isprintable()):
        expected("auto, embedded, the name of a program on PATH, or an absolute path")
    return str(value)


def _terraform_version(value: Any) -> str:
    term = r"\s*(?:=|!=|>=|<=|>|<|~>)?\s*[0-9]+(?:\.[0-9]+){0,2}(?:-[0-9A-Za-z.-]+)?\s*"
    if not isinstance(value, str) or not (value == "auto" or re.fullmatch(rf"{term}(?:,{term})*", value)):
        expected('auto, a version such as "1.11.4", or a constraint such as "~> 1.11"')
    return value.strip()


def _concurrency(value: Any) -> int | None:
    if value is None or value == "auto":
        return None
    if type(value) is not int or not 1 <= value <= 1024:
        expected("auto, or a whole number from 1 to 1024")
    return value


def _role_arn(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}", value):
        expected("the ARN of an IAM role, such as arn:aws:iam::123456789012:role/driftguard-plan")
    return value


def _channel(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"#[^\s#,@<>&]{1,80}|[CGD][A-Z0-9]{5,20}", value):
        expected("a channel as `#name` (in quotes: YAML takes # for a comment) or its id")
    return value


def _web_url(value: Any) -> str:
    words = "a URL that begins with https:// (http:// on this machine only)"
    if not isinstance(value, str) or not value.isprintable():
        expected(words)
    try:
        parts = urlsplit(value)
        host, secret = parts.hostname, parts.password is not None or parts.username is not None
    except ValueError:
        expected(words)
    if secret:
        refused("holds credentials: tokens come from the environment variable that is named beside it")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        expected(words)
    return value if value.endswith("/") else f"{value}/"


def _time_of_day(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", value):
        expected('a time of day such as "02:00", in quotes')
    return value


def _ledger_url(value: Any) -> str:
    words = "sqlite:///PATH, postgresql://HOST/DATABASE or s3://BUCKET/KEY"
    if not isinstance(value, str) or not value.isprintable():
        expected(words)
    try:
        parts = urlsplit(value)
        secret = parts.password is not None or any("pass" in key.lower() for key, _ in parse_qsl(parts.query))
    except ValueError:
        expected(words)
    if secret:
        refused("holds a password: put the URL into an environment variable and name that in ledger.url_env")
    if parts.scheme.split("+")[0] not in ("sqlite", "postgresql", "s3"):
        expected(words)
    if parts.scheme.startswith("s3") and not (parts.scheme == "s3" and parts.netloc and parts.path.strip("/")):
        expected(words)
    return value


# --- maps of text --------------------------------------------------------------------------------


def _text(value: Any) -> str:
    """Scalars as Terraform and AWS take them; the reader leaves all but whole numbers and booleans as written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int) or "\0" in str(value):
        expected("text, a number or a boolean")
    return str(value)


def _environment(value: Any) -> dict[str, str | None]:
    """Names to values; None for a variable that is only passed on."""
    merged: dict[str, Any] = {}
    for item in value if isinstance(value, list | tuple) else [value]:
        merged |= item if isinstance(item, dict) else {item: None} if isinstance(item, str) else {"": None}
    if isinstance(value, str) or not all(_is_variable(name) for name in merged):
        refused("expects a list of names of environment variables, each AWS_PROFILE or AWS_PROFILE: value")
    return {name: None if item is None else _text(item) for name, item in merged.items()}


def _backend_config(value: Any) -> dict[str, str] | tuple[str, ...]:
    words = "a mapping of the backend's settings, or a list of files"
    if isinstance(value, dict):
        if not all(isinstance(key, str) and re.fullmatch(r"[A-Za-z_][\w.-]*", key) for key in value):
            expected(words)
        return {key: _text(item) for key, item in value.items()}
    if not isinstance(value, list | tuple):
        expected(words)
    if not all(isinstance(item, str) and item and item.isprintable() and "=" not in item for item in value):
        expected(words)
    return tuple(value)


_CHECKS: Final = {"name": _name, "workspace": _workspace, "role": _role_arn, "path": _repository_path}


def accepts(kind: Literal["name", "workspace", "role", "path"], text: str) -> bool:
    """Whether a text without placeholders is such a value."""
    try:
        return _CHECKS[kind](text) == text
    except PydanticCustomError:
        return False


_NAME_SCHEMA: Final = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
_TEXT_SCHEMA: Final = {"type": ["string", "integer", "boolean"]}


def _kind(check: Callable[[Any], Any], **schema: Any) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(check), WithJsonSchema(schema)


Text = Annotated[str, Strict(), Field(min_length=1)]
Count = Annotated[int, Strict(), Field(ge=0)]
AtLeastOne = Annotated[int, Strict(), Field(ge=1)]
Duration = Annotated[timedelta, *_kind(_duration, type="string", pattern="^[0-9]{1,6}[smhd]$", title="duration")]
Share = Annotated[float, *_kind(_share, type="string", pattern=r"^[0-9]{1,3}(\.[0-9]+)? ?%$", title="percentage")]
Until = Annotated[datetime, *_kind(_until, type="string", title="date or time")]
Cron = Annotated[str, *_kind(_cron, type="string", title="cron expression")]
Zone = Annotated[str, *_kind(_zone, type="string", title="time zone")]
RepositoryPath = Annotated[str, *_kind(_repository_path, type="string", minLength=1, title="path or glob")]
AbsoluteFolder = Annotated[str, *_kind(_absolute_folder, type="string", pattern="^/", title="absolute path")]
VarFile = Annotated[str, *_kind(_var_file, type="string", minLength=1, title="file")]
EnvironmentName = Annotated[str, *_kind(templated(_name), type="string", minLength=1, maxLength=200)]
Workspace = Annotated[str, *_kind(templated(_workspace), type="string", minLength=1, maxLength=90)]
VarFileGlobs = Annotated[
    tuple[str, ...],
    *_kind(
        _var_file_globs,
        title="glob, or list of them",
        anyOf=[{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string", "minLength": 1}}],
    ),
]
RecordKey = Annotated[str, *_kind(_record_key, type="string", pattern=r"^\.[\w-]+(\.[\w-]+)*$", title="key")]
VariableName = Annotated[str, *_kind(_variable_name, title="name of an environment variable", **_NAME_SCHEMA)]
Binary = Annotated[str, *_kind(_binary, type="string", minLength=1)]
TerraformVersion = Annotated[str, *_kind(_terraform_version, type="string", minLength=1, title="auto or version")]
Concurrency = Annotated[
    int | None,
    *_kind(_concurrency, title="auto or number", anyOf=[{"const": "auto"}, {"type": "integer", "minimum": 1}]),
]
RoleArn = Annotated[str, *_kind(templated(_role_arn), type="string", pattern="^arn:aws", title="role ARN")]
Channel = Annotated[str, *_kind(templated(_channel), type="string", minLength=1, title="channel")]
WebUrl = Annotated[str, *_kind(_web_url, type="string", pattern="^https?://", title="URL")]
TimeOfDay = Annotated[str, *_kind(_time_of_day, type="string", pattern="^[0-9]{2}:[0-9]{2}$", title="time of day")]
LedgerUrl = Annotated[str, *_kind(_ledger_url, type="string", pattern="^(sqlite|postgresql|s3)", title="URL")]
TextMap = Annotated[
    dict[str, Annotated[str, BeforeValidator(_text)]],
    WithJsonSchema({"type": "object", "additionalProperties": _TEXT_SCHEMA, "title": "mapping of text"}),
]
Variables = Annotated[
    dict[str, str | None],
    *_kind(
        _environment,
        title="list of names, or mapping NAME: value",
        anyOf=[
            {
                "type": "array",
                "items": {"anyOf": [_NAME_SCHEMA, {"type": "object", "additionalProperties": _TEXT_SCHEMA}]},
            },
            {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean", "null"]}},
        ],
    ),
]
BackendConfig = Annotated[
    dict[str, str] | tuple[str, ...],
    *_kind(
        _backend_config,
        title="mapping, or list of files",
        anyOf=[
            {"type": "object", "additionalProperties": _TEXT_SCHEMA},
            {"type": "array", "items": {"type": "string"}},
        ],
    ),
]
