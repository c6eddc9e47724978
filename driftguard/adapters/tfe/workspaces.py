"""One workspace as DriftGuard works with it: its settings, state, variables, and the runs that are made there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from driftguard.adapters.terraform.files import identity_of
from driftguard.adapters.tfe import shapes
from driftguard.adapters.tfe.client import Missing, Platform, Unanswered, wait
from driftguard.adapters.tfe.selection import Selection
from driftguard.adapters.tfe.shapes import Run, Workspace, row, rows
from driftguard.errors import EnvironmentFault, SafetyRefusal
from driftguard.model import ErrorKind
from driftguard.ports import StateIdentity, StopSignal

_MAX_PAGES: Final = 200
_PAGE: Final = 100
_UPLOAD_SECONDS: Final = 120.0
_NOT_FOUND: Final = (
    "The workspace {name} of the organization {organization} does not exist on {host}, or the token may not see it, so "
    "nothing was planned. Correct its name, create it, or use another token."
)


@dataclass(frozen=True, slots=True)
class WorkspaceName:
    """A workspace by its names: the platform's host, the organization, the workspace."""

    host: str
    organization: str
    name: str

    def page(self, run: str) -> str:
        """The page of a run, by the form of address that `terraform` itself prints."""
        return f"https://{self.host}/app/{self.organization}/{self.name}/runs/{run}"


class RemoteWorkspace:
    """One workspace on a platform. Every method raises as `Platform.get` and `Platform.post`.

    It makes runs that cannot be applied, and confirms none: SafetyRefusal for anything else.
    """

    _confirms = False

    def __init__(self, platform: Platform, place: WorkspaceName, stop: StopSignal) -> None:
        self.platform, self.place, self._stop = platform, place, stop

    def stopped_by(self, stop: StopSignal) -> RemoteWorkspace:
        """The same, ended by another request."""
        return type(self)(self.platform, self.place, stop)

    def read(self) -> Workspace:
        """Its settings now. EnvironmentFault (`config`) where there is none."""
        try:
            path = f"/organizations/{self.place.organization}/workspaces/{self.place.name}"
            return shapes.workspace(row(self.platform.get(path, self._stop).document.get("data")))
        except Missing:
            where = self.place
            text = _NOT_FOUND.format(name=where.name, organization=where.organization, host=where.host)
            raise EnvironmentFault(ErrorKind.CONFIG, text) from None

    def state(self, workspace: str) -> tuple[StateIdentity, bytes]:
        """The identity and text of its state; of none before the first write."""
        try:
            answer = self.platform.get(f"/workspaces/{workspace}/current-state-version", self._stop)
        except Missing:
            return StateIdentity(None, None, empty=True), b""
        address = row(row(answer.document.get("data")).get("attributes")).get("hosted-state-download-url")
        if not isinstance(address, str) or not address:
            raise EnvironmentFault(
                ErrorKind.DENIED, f"{self.place.host} does not give the state of {self.place.name} to this token."
            )
        text = self.platform.download(address, self._stop)
        return identity_of(text), text

    # --- runs -----------------------------------------------------------------------------------

    def configuration(self, workspace: str, *, speculative: bool) -> tuple[str, str]:
        """Make a configuration version: its id, and the address that its files are uploaded to."""
        self._refuse_unless(speculative)
        attributes = {"auto-queue-runs": False, "speculative": speculative}
        body = {"data": {"type": "configuration-versions", "attributes": attributes}}
        path = f"/workspaces/{workspace}/configuration-versions"
        # One that is made twice runs nothing.
        made = row(self.platform.post(path, body, self._stop, once=False).document.get("data"))
        address = row(made.get("attributes")).get("upload-url")
        if not isinstance(address, str) or not address:
            raise EnvironmentFault(
                ErrorKind.PLATFORM, f"{self.place.host} gave no address for the files of a run, so none was made."
            )
        return shapes.identifier(made), address

    def upload(self, configuration: str, address: str, content: bytes) -> None:
        """Upload the files of a configuration version, and wait until the platform has taken them."""
        self.platform.upload(address, content, self._stop)
        waited = 0.0
        while True:
            answer = self.platform.get(f"/configuration-versions/{configuration}", self._stop)
            found = row(row(answer.document.get("data")).get("attributes"))
            if found.get("status") == "uploaded":
                return
            if found.get("status") == "errored" or waited >= _UPLOAD_SECONDS:
                why = found.get("error-message") or found.get("error") or "it was not taken in time"
                raise EnvironmentFault(
                    ErrorKind.PLATFORM, f"{self.place.host} did not take the files of a run: {why}. No run was made."
                )
            wait(0.25, self._stop)
            waited += 0.25

    def start(self, workspace: str, configuration: str, message: str, *, plan_only: bool) -> Run:
        """Make the run of a configuration version; the one that was made already where an answer was lost."""
        self._refuse_unless(plan_only)
        body = {
            "data": {
                "type": "runs",
                "attributes": {"message": message, "plan-only": plan_only, "auto-apply": False},
                "relationships": {
                    "workspace": {"data": {"type": "workspaces", "id": workspace}},
                    "configuration-version": {"data": {"type": "configuration-versions", "id": configuration}},
                },
            }
        }
        try:
            return shapes.run(row(self.platform.post("/runs", body, self._stop).document.get("data")))
        except Unanswered:
            found = self.of_configuration(workspace, configuration)
            if found is None:
                raise
            return found

    def run(self, run: str) -> Run:
        """A run as it is now."""
        return shapes.run(row(self.platform.get(f"/runs/{run}", self._stop).document.get("data")))

    def of_configuration(self, workspace: str, configuration: str) -> Run | None:
        """The run that was made of a configuration version; None where there is none."""
        for document in self._pages(f"/workspaces/{workspace}/runs", lists_runs=True):
            found = shapes.run(document)
            if found.configuration == configuration:
                return found
        return None

    def act(self, run: str, action: str, comment: str) -> None:
        """`apply`, `discard` or `cancel` a run. `Unanswered` where the answer was lost, or it was too late."""
        self._refuse_unless(action in ("discard", "cancel"))
        self.platform.post(f"/runs/{run}/actions/{action}", {"comment": comment}, self._stop)

    def _refuse_unless(self, harmless: bool) -> None:
        if not (harmless or self._confirms):
            raise SafetyRefusal("A scan makes plan-only runs and confirms none; nothing was changed.")

    def plan_json(self, plan: str) -> bytes:
        """A plan as JSON; empty for one that failed."""
        return self.platform.get(f"/plans/{plan}/json-output", self._stop).body

    def log(self, kind: str, identifier: str) -> str:
        """The log of a plan or an apply; empty where it cannot be read."""
        try:
            answer = self.platform.get(f"/{kind}/{identifier}", self._stop)
            address = row(row(answer.document.get("data")).get("attributes")).get("log-read-url")
            return self.platform.download(address, self._stop).decode(errors="replace") if address else ""
        except EnvironmentFault as fault:
            if fault.kind is ErrorKind.INTERRUPTED:
                raise
            return ""

    # --- variables ------------------------------------------------------------------------------

    def variables(self, workspace: str) -> list[Mapping[str, Any]]:
        """The attributes of its own variables and of those of its variable sets; a sensitive value is null."""
        found = [row(each.get("attributes")) for each in self._pages(f"/workspaces/{workspace}/vars")]
        for each in self._pages(f"/workspaces/{workspace}/varsets"):
            path = f"/varsets/{shapes.identifier(each)}/relationships/vars"
            found += [row(one.get("attributes")) for one in self._pages(path)]
        return found

    def _pages(self, path: str, *, lists_runs: bool = False) -> Iterator[Mapping[str, Any]]:
        yield from pages(self.platform, path, self._stop, lists_runs=lists_runs)


class ConfirmingWorkspace(RemoteWorkspace):
    """The same, in which runs may also be confirmed."""

    _confirms = True


def pages(
    platform: Platform,
    path: str,
    stop: StopSignal,
    query: Mapping[str, str | int] | None = None,
    *,
    lists_runs: bool = False,
) -> Iterator[Mapping[str, Any]]:
    """The objects of a list, over all its pages."""
    number: int | None = 1
    for _ in range(_MAX_PAGES):
        asked: dict[str, str | int] = {**(query or {}), "page[size]": _PAGE, "page[number]": number or 1}
        document = platform.get(path, stop, asked, lists_runs=lists_runs).document
        yield from rows(document.get("data"))
        following = row(row(document.get("meta")).get("pagination")).get("next-page")
        if not isinstance(following, int) or isinstance(following, bool) or following <= (number or 1):
            return
        number = following


def selected(platform: Platform, selection: Selection, stop: StopSignal) -> list[Workspace]:
    """The workspaces that a block selects, by tags, project or prefix, sorted by name."""
    query: dict[str, str | int] = {}
    if selection.tags and all(value is None for value in selection.tags.values()):
        query["search[tags]"] = ",".join(sorted(selection.tags))
    elif selection.tags:
        for number, (name, value) in enumerate(sorted(selection.tags.items())):
            query[f"filter[tagged][{number}][key]"] = name
            if value is not None:
                query[f"filter[tagged][{number}][value]"] = value
    if selection.project is not None:
        query["filter[project][id]"] = _project(platform, selection, stop)
    path = f"/organizations/{selection.organization}/workspaces"
    found = [shapes.workspace(document) for document in pages(platform, path, stop, query)]
    # A server may leave out a filter that it does not know.
    found = [each for each in found if _is_selected(each, selection, query.get("filter[project][id]"))]
    return sorted(found, key=lambda each: each.name)


def _is_selected(workspace: Workspace, selection: Selection, project: str | int | None) -> bool:
    names = set(selection.tags or ())
    return (
        selection.name in (None, workspace.name)
        and workspace.name.startswith(selection.prefix or "")
        and (project is None or workspace.project == project)
        and (workspace.tags is None or names <= workspace.tags)
    )


def _project(platform: Platform, selection: Selection, stop: StopSignal) -> str:
    """The id of a project. EnvironmentFault (`config`) where there is none of that name."""
    path = f"/organizations/{selection.organization}/projects"
    for document in pages(platform, path, stop, {"filter[names]": selection.project or ""}):
        if row(document.get("attributes")).get("name") == selection.project:
            return shapes.identifier(document)
    raise EnvironmentFault(
        ErrorKind.CONFIG, f"{selection.host} has no project {selection.project} in {selection.organization}."
    )
