"""What a scan of a repository would fail on: facts of its environments, and one cheap question for each access.

`doctor` prints it before anything is run; a scan that gives no verdicts ends with the same causes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from posixpath import basename, dirname, join, normpath
from typing import Final, TypeVar

import msgspec

from driftguard import config
from driftguard.adapters.aws.credentials import Credentials
from driftguard.adapters.aws.stateaccess import NO_CREDENTIALS, StatePlace, refusal
from driftguard.adapters.hcl.outline import outline
from driftguard.adapters.hcl.sources import Configuration
from driftguard.adapters.machine import SystemClock
from driftguard.bootstrap.session import Session
from driftguard.config import EnvironmentSettings
from driftguard.coverage import uncovered_places
from driftguard.errors import DriftGuardError, EnvironmentFault
from driftguard.model import Closure, ErrorKind, TreeEntry
from driftguard.model.causes import Faulted, is_network
from driftguard.model.configuration_sources import MovingAttribute
from driftguard.model.outlines import Outline
from driftguard.model.report import CauseReport, RunReport
from driftguard.model.units import stack_of
from driftguard.pipeline.filearguments import automatic
from driftguard.pipeline.layout import backend_block, backend_kind, foreign_units, is_terraform
from driftguard.pipeline.predicting import EnvironmentFacts, Prediction, grouped, limited, on_platform, predictions
from driftguard.ports import Purpose
from driftguard.report import causes

_MAX_NAMES: Final = 8
_SIDE_BY_SIDE: Final = 8

_Asked = TypeVar("_Asked")


def predicted(session: Session) -> Iterator[Prediction]:
    """Everything that is predicted without asking a server.

    Raises:
        DriftGuardError: the environments cannot be read at all.
    """
    facts = facts_of(session)
    yield from _versions(session, facts)
    yield from predictions(facts)
    yield from _uncovered(session)
    paths = {settings.path for settings in session.environments}
    covered = paths | {stack for stack in map(stack_of, paths) if stack is not None}
    tree = session.repository.tree(session.head)
    for tool, found in foreign_units(tree, lambda path: _content(session, tree[path])).items():
        units = [unit for unit in found if unit not in covered]
        if not units:
            continue
        text = f"{tool} is not run by DriftGuard: {_listed(units)}"
        run_by_entry = "Write an entry of `environments` whose `path` matches them, or label its plans "
        remedy = run_by_entry if tool == "Terragrunt" else "Label its plans "
        yield Prediction(tool, False, text, f"{remedy}with `driftguard classify`.")


def _content(session: Session, entry: TreeEntry) -> bytes:
    return b"".join(content for _, content in session.repository.read([entry.object_id]))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


# --- facts -----------------------------------------------------------------------------------------


def facts_of(session: Session) -> list[EnvironmentFacts]:
    """What is known of each environment at head."""
    outlines = _Outlines(session)
    return [_facts(session, settings, outlines) for settings in session.environments]


class _Outlines:
    """The outlines of the files of one commit, each blob read once."""

    def __init__(self, session: Session) -> None:
        self._repository, self._tree = session.repository, session.repository.tree(session.head)
        self._read: dict[str, Outline] = {}
        self._inside: dict[str, list[str]] = {}
        for path in self._tree:
            self._inside.setdefault(dirname(path) or ".", []).append(path)

    def of_module(self, directory: str) -> tuple[Outline, ...]:
        """Those of a directory's Terraform files."""
        return tuple(self._of([path for path in self._inside.get(directory, ()) if is_terraform(path)]))

    def given(self, settings: EnvironmentSettings) -> frozenset[str]:
        """The names of variables that an environment's var files give a value."""
        inside = [basename(path) for path in self._inside.get(settings.path, ())]
        files = [normpath(join(settings.path, name)) for name in (*automatic(inside), *settings.var_files)]
        return frozenset(name for file in self._of(files) for name in file.attributes)

    def _of(self, paths: Sequence[str]) -> Iterator[Outline]:
        wanted = {path: self._tree[path].object_id for path in paths if path in self._tree}
        unread = {object_id: path for path, object_id in wanted.items() if object_id not in self._read}
        for object_id, content in self._repository.read(list(unread)):
            self._read[object_id] = _read(unread[object_id], content)
        return (self._read[object_id] for object_id in wanted.values())


def _read(path: str, content: bytes) -> Outline:
    """A file's outline; of a file of variables in JSON their names."""
    if not path.endswith(".tfvars.json"):
        return outline(path, content)
    try:
        return Outline(attributes=dict.fromkeys(msgspec.json.decode(content, type=dict[str, msgspec.Raw]), ""))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return Outline()


def _facts(session: Session, settings: EnvironmentSettings, outlines: _Outlines) -> EnvironmentFacts:
    closure, fault = None, settings.fault
    if fault is None:
        try:
            closure = session.closures.at(settings, session.head)
        except EnvironmentFault as error:
            fault = error.message
    return EnvironmentFacts(
        settings=settings,
        closure=closure,
        fault=fault,
        outlines=outlines.of_module(settings.path),
        given=outlines.given(settings) | config.terraform_variables(settings.env, session.environ).keys(),
        lacking=config.missing_variables(settings.env, session.environ),
        state_is_reachable=session.repository.local_root is not None,
        moving=() if closure is None else tuple(_moving(session, settings, closure)),
    )


def _moving(session: Session, settings: EnvironmentSettings, closure: Closure) -> Iterator[MovingAttribute]:
    files = {path: object_id for path, object_id in closure.files.items() if is_terraform(path)}
    contents = dict(session.repository.read(sorted(set(files.values()))))
    return Configuration(settings.path, {path: contents[object_id] for path, object_id in files.items()}).moving()


def _versions(session: Session, facts: Sequence[EnvironmentFacts]) -> Iterator[Prediction]:
    """The Terraform versions that environments need and do not have here, one for each need."""
    lacking: dict[str, list[EnvironmentSettings]] = {}
    for settings in (each.settings for each in facts if each.closure is not None and not on_platform(each)):
        try:
            session.tool(settings)
        except EnvironmentFault:
            lacking.setdefault(str(session.version_need(settings)), []).append(settings)
        except DriftGuardError:  # reported by the check of Terraform
            return
    found = []
    for need, wanting in lacking.items():
        variables = config.terraform_environment(wanting[0].env, session.environ)
        here = ", ".join(session.toolbox.everything(wanting[0].path, variables)) or "none"
        names = tuple(sorted(settings.name for settings in wanting))
        remedy = "Install one of them, or set `terraform.version`."
        found.append(Prediction("versions", True, f"{need} is required; here: {here}", remedy, names))
    yield from limited(found)


def _uncovered(session: Session) -> Iterator[Prediction]:
    """What looks like an environment and no entry covers; that may be intended."""
    places = uncovered_places(session)
    if places:
        named = _listed([f"{each.path} ({each.workspace})" for each in places])
        yield Prediction("uncovered", False, f"no entry covers {named}", "Add them to `environments`.")


# --- access ----------------------------------------------------------------------------------------


def access(session: Session) -> Iterator[Prediction]:
    """Roles that cannot be assumed and states that cannot be read, each asked once for all that share it."""
    facts = [each for each in facts_of(session) if each.closure is not None]
    credentials = Credentials("doctor", SystemClock(), session.environ)
    roles: dict[tuple[str, str | None, Purpose], list[EnvironmentSettings]] = {}
    for settings in (each.settings for each in facts):
        aws = settings.aws
        purposes: tuple[tuple[Purpose, str | None], ...] = (("plan", aws.plan_role_arn), ("apply", aws.apply_role_arn))
        for purpose, arn in purposes:
            if arn is not None:
                roles.setdefault((arn, aws.external_id, purpose), []).append(settings)

    def assumed(asked: tuple[str, str | None, Purpose]) -> str | None:
        try:
            credentials.variables(roles[asked][0], asked[2])
        except EnvironmentFault as fault:
            return fault.message
        return None

    refused = grouped(
        [
            (Faulted(first.name, first.path, first.workspace, "roles", message).gist, settings.name, one)
            for asked, message in _side_by_side(assumed, list(roles))
            if message is not None
            for first, one in ((roles[asked][0], Prediction("roles", True, message)),)
            for settings in roles[asked]
        ]
    )
    yield from limited(refused)
    unusable = {name for one in refused for name in one.environments}
    yield from _states([each for each in facts if each.settings.name not in unusable], credentials)
    yield from limited([*_platforms(session, filter(on_platform, facts))])


def _platforms(session: Session, facts: Iterable[EnvironmentFacts]) -> Iterator[Prediction]:
    """What keeps environments on a platform from being planned, or DriftGuard from applying there."""
    for settings in (each.settings for each in facts):
        try:
            remote = session.platforms.of(settings)
        except EnvironmentFault as fault:
            yield Prediction("platform", True, fault.message, "", (settings.name,))
            continue
        if remote is not None and remote.watched:
            text = f"{remote.watched}: it applies by itself and is watched for drift only"
            remedy = "To let DriftGuard apply, remove both from the workspace."
            yield Prediction("platform", False, text, remedy, (settings.name,))


def _states(facts: Sequence[EnvironmentFacts], credentials: Credentials) -> Iterator[Prediction]:
    places: dict[tuple[str, str | None], tuple[StatePlace, list[EnvironmentSettings]]] = {}
    for each in facts:
        place = state_place(each)
        if place is not None:
            key = (place.bucket, each.settings.aws.plan_role_arn)
            places.setdefault(key, (place, []))[1].append(each.settings)

    def read(asked: tuple[str, str | None]) -> str | None:
        place, sharing = places[asked]
        try:
            return refusal(place, credentials.variables(sharing[0], "plan"))
        except EnvironmentFault as fault:
            return fault.message

    found: dict[Prediction, set[str]] = {}
    for asked, why in _side_by_side(read, list(places)):
        if why is not None:
            names = {settings.name for settings in places[asked][1]}
            found.setdefault(_permission(asked[0], why), set()).update(names)
    yield from limited([replace(one, environments=tuple(sorted(names))) for one, names in found.items()])


def _permission(bucket: str, why: str) -> Prediction:
    if why == NO_CREDENTIALS:
        remedy = "Run doctor with the credentials of a scan to check them."
        return Prediction("permissions", False, f"{why}, so the permissions are not checked", remedy)
    remedy = "Allow s3:GetObject on the states and s3:ListBucket on the bucket to the plan role."
    return Prediction("permissions", True, f"the state in the bucket {bucket} cannot be read: {why}", remedy)


def state_place(facts: EnvironmentFacts) -> StatePlace | None:
    """Where an environment's state lies, if that is S3 and stands in literals."""
    block = backend_block(facts.outlines)
    if backend_kind(block)[0] != "s3" or block is None:
        return None
    own = facts.settings.backend_config
    settings = {name: block.literal(name) for name in block.attributes}
    settings |= dict(own) if isinstance(own, Mapping) else {}
    bucket, key = settings.get("bucket"), settings.get("key")
    if not bucket or not key:
        return None
    if facts.settings.workspace != "default":
        key = f"{settings.get('workspace_key_prefix') or 'env:'}/{facts.settings.workspace}/{key}"
    written = re.search(r'\bs3\s*=\s*"([^"]+)"', block.attributes.get("endpoints", ""))
    return StatePlace(bucket, key, settings.get("region"), written[1] if written else settings.get("endpoint"))


def _side_by_side(
    ask: Callable[[_Asked], str | None], questions: Sequence[_Asked]
) -> Iterator[tuple[_Asked, str | None]]:
    with ThreadPoolExecutor(max_workers=_SIDE_BY_SIDE) as executor:
        yield from zip(questions, executor.map(ask, questions), strict=True)


# --- a run that gave no verdicts -------------------------------------------------------------------

_PREDICTABLE: Final = frozenset({ErrorKind.CONFIG, ErrorKind.INIT, ErrorKind.PLAN})


def with_causes(session: Session, report: RunReport) -> RunReport:
    """A run's report whose causes are those that `doctor` predicts, as far as they explain its errors."""
    of_the_network = {name for cause in report.causes if is_network(cause.message) for name in cause.environments}
    failed = {
        each.name: each.error.kind
        for each in report.environments
        if each.error and each.error.kind in _PREDICTABLE and each.name not in of_the_network
    }
    try:
        found = list(_explained(session, failed)) if failed else []
    except DriftGuardError:
        found = []
    if not found:
        return report
    explained = {name for cause in found for name in cause.environments}
    found += causes(each for each in report.environments if each.name not in explained)
    ordered = sorted(found, key=lambda cause: (-len(cause.environments), cause.environments))
    return msgspec.structs.replace(report, causes=tuple(ordered))


def _explained(session: Session, failed: Mapping[str, str]) -> Iterator[CauseReport]:
    """The predictions that explain errors, each environment under the first of them.

    Args:
        failed: kinds of errors by environment.
    """
    left = dict(failed)
    for one in predicted(session):
        names = tuple(name for name in one.environments if one.blocks and name in left)
        if names:
            yield CauseReport(left[names[0]], one.text, one.remedy, names)
        for name in names:
            del left[name]
