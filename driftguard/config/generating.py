"""One entry, many environments: by workspaces, var files or records of files; and the placeholders in its texts.

Everything is a function of the entry and of the files of one commit.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from posixpath import basename, join, normpath, relpath
from typing import Any, Final, Protocol

import yaml

from driftguard.config import reading
from driftguard.config.environment import EnvironmentSettings
from driftguard.config.models import Aws, EnvironmentEntry, Records
from driftguard.config.placeholders import PLACEHOLDER
from driftguard.config.values import is_glob
from driftguard.config.workspaces import Listing, spelled_out

AUTOMATIC: Final = re.compile(r"terraform\.tfvars(?:\.json)?|.*\.auto\.tfvars(?:\.json)?")
"""The var files that Terraform takes by itself where they lie in the root module's directory."""
UNREADABLE: Final = (ValueError, yaml.YAMLError, RecursionError)
"""What `parsed` raises."""
_MAX_RECORDS: Final = 10_000


NOT_ASKED: Final = Listing((), "The workspaces of its backend were not listed, so it is not planned.")
"""The listing where no backend is asked."""

OF_PLATFORM: Final = ("tfe",)
"""The value of `each` that stands for every workspace that a `cloud` block or the backend `remote` selects."""

_Record = tuple[str | None, Mapping[str, str], str | None, str | None]
_NO_RECORD: Final[_Record] = (None, {}, None, None)


class CommitFiles(Protocol):
    """What entries refer to: the files of one commit, and the workspaces of backends."""

    def workspaces(self, base: EnvironmentSettings) -> Listing:
        """The workspaces of the backend of an environment, which is that of an entry without any workspace."""
        ...

    def matching(self, pattern: str) -> Sequence[str]:
        """The files that match a glob from the repository's root, sorted."""
        ...

    def read(self, path: str) -> bytes:
        """One of them."""
        ...


class NoFiles:
    """A commit of which only the directories are known."""

    def workspaces(self, base: EnvironmentSettings) -> Listing:
        """No backend is asked."""
        return NOT_ASKED

    def matching(self, pattern: str) -> Sequence[str]:
        """Nothing matches."""
        return ()

    def read(self, path: str) -> bytes:
        """Never called: nothing matches."""
        raise FileNotFoundError(path)


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the environments that an entry makes of a directory.

    Attributes:
        workspace: None where the entry's own counts.
        var_file: relative to the directory; None where the entry has no `each`.
        parts: what distinguishes it from the others of the entry, in words; the end of its default name.
        record: values for `{from.KEY}`, by dotted key.
        fault: why it cannot be planned.
        source: the file of its record.
    """

    workspace: str | None = None
    var_file: str | None = None
    parts: tuple[str, ...] = ()
    record: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None
    source: str | None = None


def generates(entry: EnvironmentEntry) -> bool:
    """Whether an entry makes environments by workspaces, var files or records."""
    return bool(entry.workspaces or entry.each or entry.from_)


def variants(
    entry: EnvironmentEntry, origin: str, directory: str, files: CommitFiles, base: Callable[[], EnvironmentSettings]
) -> Iterator[Variant]:
    """The environments that a generating entry makes of one directory, in order.

    Where its globs match nothing, one that cannot be planned.

    Args:
        origin: where the entry stands.
        base: gives the environment of the entry without any workspace, whose backend has the workspaces.
    """
    found = False
    for variant in _variants(entry, directory, files, base):
        found = True
        yield variant
    if not found:
        globs = " or ".join(entry.each)
        why = f"`each` matches no file for {directory}: {globs}. Correct the glob"
        if entry.from_ is not None and not any(files.matching(entry.from_.file)):
            why = f"`from.file` matches no file for {directory}: {entry.from_.file}. Correct the glob"
        elif entry.from_ is not None and not globs:
            why = f"the files of `from.file` hold no record for {directory}: {entry.from_.file}. Add one"
        yield Variant(fault=f"{origin}: {why}.")


def _variants(
    entry: EnvironmentEntry, directory: str, files: CommitFiles, base: Callable[[], EnvironmentSettings]
) -> Iterator[Variant]:
    workspaces = _workspaces(entry, directory, files, base) or [(None, None)]
    by_file = entry.each and entry.each != OF_PLATFORM
    var_files = _each(entry, directory, files) if by_file else [(None, None)]
    records = _records(entry.from_, files) if entry.from_ else iter([_NO_RECORD])
    for (name, record, broken, source), (workspace, fault), (var_file, stem) in itertools.product(
        records, workspaces, var_files
    ):
        parts = tuple(part for part in (name, workspace, stem) if part is not None)
        yield Variant(workspace, var_file, parts, record, broken or fault, source)


def _workspaces(
    entry: EnvironmentEntry, directory: str, files: CommitFiles, base: Callable[[], EnvironmentSettings]
) -> Sequence[tuple[str | None, str | None]]:
    """The workspaces of an entry, each with why it cannot be planned; its backend is asked only for a glob."""
    wanted = Placeholders(directory, Variant()).texts(entry.workspaces)
    if entry.each == OF_PLATFORM:
        wanted = (*wanted, "*")
    if not any(map(is_glob, wanted)):
        return [(workspace, None) for workspace in dict.fromkeys(entry.workspaces)]
    settings = replace(base(), var_files=(), fault=None)
    backend = settings.backend_config
    texts = [*(backend.values() if isinstance(backend, Mapping) else backend), settings.aws.plan_role_arn or ""]
    varying = next((found[0] for found in map(PLACEHOLDER.search, texts) if found), None)
    if varying is None:
        return spelled_out(wanted, files.workspaces(settings))
    fault = f"{settings.origin}: a glob in `workspaces` needs one backend, and that of {directory} varies by {varying}."
    return spelled_out(wanted, Listing((), fault))


def _each(entry: EnvironmentEntry, directory: str, files: CommitFiles) -> list[tuple[str | None, str | None]]:
    """Var files, relative to the directory, with what `{var_file}` stands for."""
    globs = Placeholders(directory, Variant()).texts(entry.each)
    taken = [name for glob in globs for name in expanded(glob, directory, files) if not _by_itself(name, glob)]
    return list(var_file_names(dict.fromkeys(taken)).items())


def _by_itself(name: str, glob: str) -> bool:
    """Whether a glob matches a file by chance that Terraform takes without being asked."""
    return bool(AUTOMATIC.fullmatch(basename(name))) and not AUTOMATIC.fullmatch(basename(glob))


def var_file_names(files: Iterable[str]) -> dict[str, str]:
    """What `{var_file}` stands for, by file: its name without `.tfvars`, or the parts in which the paths differ."""
    taken = list(files)
    stems = {name: stem(name) for name in taken}
    if len(set(stems.values())) < len(stems):  # eu/terraform.tfvars, us/terraform.tfvars
        stems = {name: name.removesuffix(".json").removesuffix(".tfvars") for name in taken}
        if len({basename(name) for name in taken}) == 1:
            stems = {name: name.rpartition("/")[0] for name in taken}
        lead = _shared_lead(list(stems.values()))
        stems = {name: text[lead:] for name, text in stems.items()}
    return stems


def _shared_lead(paths: list[str]) -> int:
    """The length of the directories that paths begin with in common."""
    lead = 0
    for parts in zip(*(path.split("/")[:-1] for path in paths), strict=False):
        if len(set(parts)) > 1:
            break
        lead += len(parts[0]) + 1
    return lead


def expanded(glob: str, directory: str, files: CommitFiles) -> list[str]:
    """The files that a glob relative to a directory matches, relative to it; a plain path as it is."""
    if not is_glob(glob):
        return [glob]
    here = "" if directory == "." else "".join(f"[{c}]" if c in "*?[" else c for c in directory)
    return [relpath(path, directory) for path in files.matching(normpath(join(here, glob)))]


def stem(var_file: str) -> str:
    """What `{var_file}` stands for: the file's name without `.tfvars`."""
    return basename(var_file).removesuffix(".json").removesuffix(".tfvars")


def _records(source: Records, files: CommitFiles) -> Iterator[_Record]:
    """Name, values, fault and file of each record."""
    for path in files.matching(source.file):
        default = basename(path).rpartition(".")[0] or basename(path)
        try:
            found = parsed(path, files.read(path))
        except UNREADABLE:
            why = f"{path} cannot be read as JSON or YAML, so this environment is not planned. Correct it."
            yield default, {}, why, path
            continue
        listed = (found if isinstance(found, list) else [found])[:_MAX_RECORDS]
        for number, record in enumerate(listed):
            flat = dict(_flattened(record)) if isinstance(record, dict) else {}
            name = flat.get(source.name.removeprefix(".")) if source.name else default
            nameless = default if len(listed) == 1 else f"{default}/{number + 1}"
            yield name or nameless, flat, _wrong_record(path, record, name, source), path


def _wrong_record(path: str, record: object, name: str | None, source: Records) -> str | None:
    """Why a record makes no environment that is planned."""
    if not isinstance(record, dict):
        return f"{path} has a record that is no object, so this environment is not planned. Correct it."
    return None if name else f"{path} has no text under {source.name}, which names the environment. Add it."


class _RecordLoader(yaml.CSafeLoader):
    """Plain scalars are text, as in the configuration: account ids keep their zeros, `no` is no."""

    yaml_implicit_resolvers = reading.RESOLVERS


def parsed(path: str, text: bytes) -> Any:
    """The mapping or list of a file of JSON, or else of YAML. Raises one of `UNREADABLE`."""
    found = json.loads(text) if path.endswith(".json") else yaml.load(text, _RecordLoader)
    if not isinstance(found, dict | list):
        raise ValueError(path)
    return found


def _flattened(value: Any, before: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flattened(inner, f"{before}.{key}" if before else str(key))
    elif isinstance(value, bool):
        yield before, "true" if value else "false"
    elif isinstance(value, str | int | float):
        yield before, str(value)


# --- placeholders --------------------------------------------------------------------------------


class Placeholders:
    """Fills in the placeholders of one environment's texts; those without a value stay and are in `missing`.

    Attributes:
        values: what each stands for, by name.
    """

    def __init__(self, directory: str, variant: Variant) -> None:
        self.values = {"path": directory, "dir": basename(directory) if directory != "." else "root"}
        self.values |= {f"from.{key}": value for key, value in variant.record.items()}
        if variant.var_file is not None:
            self.values["var_file"] = variant.parts[-1]
        self.missing: dict[str, None] = {}

    def set(self, name: str, value: str) -> None:
        """Give a placeholder its value."""
        self.values[name] = value

    def text(self, text: str) -> str:
        """A text with its placeholders filled in."""
        return self._filled(text, self.values)

    def workspace(self, text: str) -> str:
        """The name of a workspace; it has no slash, so `-` stands for those of paths."""
        of_paths = {name: self.values[name].replace("/", "-") for name in ("path", "var_file") if name in self.values}
        return self._filled(text, self.values | of_paths)

    def _filled(self, text: str, values: Mapping[str, str]) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] not in values:
                self.missing[found[1]] = None
            return values.get(found[1], found[0])

        return PLACEHOLDER.sub(value, text)

    def texts(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Several texts."""
        return tuple(self.text(text) for text in texts)

    def mapping(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The values of a mapping."""
        return {key: self.text(text) for key, text in texts.items()}

    def variables(self, env: Mapping[str, str | None]) -> dict[str, str | None]:
        """The values of variables; None stays."""
        return {key: None if text is None else self.text(text) for key, text in env.items()}

    def roles(self, aws: Aws) -> Aws:
        """The ARNs of roles."""
        written = {key: getattr(aws, key) for key in ("plan_role_arn", "apply_role_arn")}
        filled = {key: self.text(arn) for key, arn in written.items() if arn is not None}
        return aws.model_copy(update=filled) if any(filled[k] != written[k] for k in filled) else aws
