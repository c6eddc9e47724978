"""Plans on a platform: what a scan may make there, how it is followed, and what its failures amount to."""

from __future__ import annotations

import io
import ssl
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driftguard.adapters.process import Stop
from driftguard.adapters.tfe.client import Platform
from driftguard.adapters.tfe.engine import PlatformPlanner
from driftguard.adapters.tfe.workspaces import RemoteWorkspace, WorkspaceName
from driftguard.errors import EnvironmentFault, SafetyRefusal, TransientFault
from driftguard.model import ErrorKind
from driftguard.ports import StateIdentity, WorkingDirectory
from tests.support.forge_server import Answer, LostAnswer, Reset
from tests.support.tfe_double.certificate import certificate
from tests.support.tfe_double.plans import plan, state
from tests.support.tfe_double.running import Prepared
from tests.support.tfe_double.server import PlatformDouble
from tests.support.tfe_double.store import Planned, Run, Workspace

POST_RUNS = "POST /api/v2/runs"
GET_RUN = "GET /api/v2/runs/{id}"
GET_WORKSPACE = "GET /api/v2/organizations/{organization}/workspaces/{name}"


class Remote:
    """One workspace of a double, and the engine of an environment there."""

    def __init__(self, double: PlatformDouble, prepared: Prepared, folder: Path) -> None:
        self.double, self.prepared = double, prepared
        self.workspace: Workspace = double.add("prod")
        self.workspace.states.append(("sv-1", state()))
        self.stop = Stop()
        self.open: list[Platform] = []
        root = folder / "tree" / "environments" / "prod"
        root.mkdir(parents=True)
        (root / "main.tf").write_text("")
        (folder / "private").mkdir()
        self.work = WorkingDirectory(
            root,
            folder / "data",
            folder / "private",
            {},
            tree=folder / "tree",
            title="prod at 0123456789ab",
            queue_seconds=1.0,
            timeout_seconds=30.0,
        )
        self.plan_file = folder / "private" / "plan"

    def place(self) -> WorkspaceName:
        return WorkspaceName(self.double.host, self.double.organization, "prod")

    def remote(self, token: str | None = None) -> RemoteWorkspace:
        platform = Platform(self.double.host, token or self.double.token)
        self.open.append(platform)
        return RemoteWorkspace(platform, self.place(), self.stop)

    def planner(self) -> PlatformPlanner:
        remote = self.remote()
        return PlatformPlanner(remote, remote.read(), self.stop)

    def runs(self) -> list[Run]:
        return list(self.double.store.runs.values())


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssl.SSLContext]:
    public, context = certificate(tmp_path_factory.mktemp("certificate"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(public))
        yield context


@pytest.fixture
def remote(loopback: ssl.SSLContext, tmp_path: Path) -> Iterator[Remote]:
    prepared = Prepared(lambda files, stored: plan())
    with PlatformDouble(prepared, loopback) as double:
        remote = Remote(double, prepared, tmp_path)
        yield remote
        for platform in remote.open:
            platform.close()


def fault_of(work: Callable[[], object]) -> EnvironmentFault:
    with pytest.raises(EnvironmentFault) as raised:
        work()
    return raised.value


def test_a_scan_makes_a_speculative_plan_only_run(remote: Remote) -> None:
    remote.double.drops_messages = False
    engine = remote.planner()
    planned = engine.plan(remote.work, remote.plan_file)
    (run,) = remote.runs()
    assert (run.plan_only, run.configuration.speculative, run.status) == (True, True, "planned_and_finished")
    assert run.message == "DriftGuard scan of prod at 0123456789ab"
    assert planned.changes
    assert planned.state == StateIdentity("1-2-3", 1)
    assert planned.url == f"https://{remote.double.host}/app/acme/prod/runs/{run.id}"
    assert engine.show(remote.work, remote.plan_file)[0] == plan().json
    assert engine.state_in_plan(remote.work, remote.plan_file, refreshed=True) == state()
    assert remote.plan_file.stat().st_mode & 0o077 == 0
    assert not [request for request in remote.double.requests if "/actions/" in request.path]


def test_an_empty_plan_changes_nothing_and_keeps_what_was_changed_outside_terraform(remote: Remote) -> None:
    item = {"address": "terraform_data.b", "type": "terraform_data", "provider_name": "p", "change": {}}
    remote.prepared.answer = lambda files, stored: plan(actions=("no-op",), resource_drift=[item])
    planned = remote.planner().plan(remote.work, remote.plan_file)
    assert not planned.changes
    assert [each.address for each in planned.drifted] == ["terraform_data.b"]


def test_a_scan_plans_while_the_workspace_is_locked(remote: Remote) -> None:
    remote.workspace.locked_by = "an operator"
    assert remote.planner().plan(remote.work, remote.plan_file).changes
    assert remote.workspace.locked_by == "an operator"


def test_a_soft_failed_policy_ends_a_plan_only_run(remote: Remote) -> None:
    remote.double.store.after_plan = ["cost_estimating", "policy_checking", "policy_soft_failed"]
    assert remote.planner().plan(remote.work, remote.plan_file).changes
    assert remote.runs()[0].status == "policy_soft_failed"


def test_a_plan_that_failed_is_named_with_its_log_and_its_page(remote: Remote) -> None:
    log = "Initializing\n\x1b[31m╷\n│ Error: Invalid reference\n│ \n│   on main.tf line 3:\n╵\x1b[0m\n"
    remote.prepared.answer = lambda files, stored: Planned(b"", log)
    fault = fault_of(lambda: remote.planner().plan(remote.work, remote.plan_file))
    assert fault.kind is ErrorKind.PLAN
    assert "Error: Invalid reference on main.tf line 3:" in fault.message
    assert remote.runs()[0].id in fault.message


def test_a_run_that_stays_in_the_queue_is_cancelled_and_the_platform_is_named(remote: Remote) -> None:
    remote.double.store.stuck = "plan_queued"
    fault = fault_of(lambda: remote.planner().plan(remote.work, remote.plan_file))
    assert isinstance(fault, TransientFault)
    assert fault.kind is ErrorKind.PLATFORM
    assert "tfe.queue_timeout" in fault.message
    assert remote.runs()[0].status == "canceled"


def test_a_scan_that_is_stopped_cancels_its_run(remote: Remote) -> None:
    remote.double.store.stuck = "planning"
    timer = threading.Timer(1.0, remote.stop.request)
    timer.start()
    fault = fault_of(lambda: remote.planner().plan(remote.work, remote.plan_file))
    timer.join()
    assert fault.kind is ErrorKind.INTERRUPTED
    assert remote.runs()[0].status == "canceled"


def test_a_run_that_was_ended_on_the_platform_is_no_plan(remote: Remote) -> None:
    remote.prepared.answer = lambda files, stored: plan()
    remote.double.store.stuck = "pending"
    engine = remote.planner()

    def cancel() -> None:
        with remote.double.lock:
            for run in remote.runs():
                run.status = "canceled"

    timer = threading.Timer(0.6, cancel)
    timer.start()
    fault = fault_of(lambda: engine.plan(remote.work, remote.plan_file))
    timer.join()
    assert fault.kind is ErrorKind.PLATFORM
    assert "canceled" in fault.message


def test_a_switch_to_local_execution_during_the_run_makes_no_run(remote: Remote) -> None:
    engine = remote.planner()
    remote.workspace.execution = "local"
    assert fault_of(lambda: engine.plan(remote.work, remote.plan_file)).kind is ErrorKind.PLATFORM
    assert remote.runs() == []


def test_a_scan_holds_nothing_that_could_change_a_workspace(remote: Remote) -> None:
    workspace = remote.remote()
    for attempt in (
        lambda: workspace.configuration(remote.workspace.id, speculative=False),
        lambda: workspace.start(remote.workspace.id, "cv-1", "x", plan_only=False),
        lambda: workspace.act("run-1", "apply", "x"),
    ):
        with pytest.raises(SafetyRefusal):
            attempt()
    assert remote.double.requests == []


# --- the token, and what a network does -----------------------------------------------------------


def test_a_redirect_to_another_host_carries_no_token(remote: Remote) -> None:
    remote.double.redirects = True
    assert remote.planner().plan(remote.work, remote.plan_file).changes
    (request,) = remote.double.made("GET", "/plan")
    assert request.token == ""  # and the double refuses one there


def test_a_wrong_token_is_denied_without_a_second_request(remote: Remote) -> None:
    fault = fault_of(lambda: remote.remote("wrong").read())
    assert fault.kind is ErrorKind.DENIED
    assert "wrong" not in fault.message
    assert len(remote.double.made("GET", "/workspaces/prod")) == 1


def test_a_workspace_that_is_not_there_is_never_made(remote: Remote) -> None:
    del remote.double.store.workspaces["prod"]
    fault = fault_of(lambda: remote.remote().read())
    assert fault.kind is ErrorKind.CONFIG
    assert "prod" in fault.message


@pytest.mark.parametrize("failure", [Answer(429, "", {"Retry-After": "0"}), Answer(503, "busy"), Reset()])
def test_a_read_is_repeated(remote: Remote, failure: Answer | Reset) -> None:
    remote.double.fail(GET_WORKSPACE, failure)
    assert remote.remote().read().name == "prod"


def test_a_platform_that_stays_away_is_named(remote: Remote) -> None:
    remote.double.fail(GET_WORKSPACE, *[Answer(429, "", {"Retry-After": "0"})] * 9)
    fault = fault_of(lambda: remote.remote().read())
    assert isinstance(fault, TransientFault)
    assert fault.kind is ErrorKind.PLATFORM
    assert "rate limit" in fault.message


@pytest.mark.parametrize("lost", [LostAnswer(), LostAnswer(502)])
def test_a_run_whose_answer_was_lost_is_found_and_not_made_again(remote: Remote, lost: LostAnswer) -> None:
    remote.double.fail(POST_RUNS, lost)
    assert remote.planner().plan(remote.work, remote.plan_file).changes
    assert len(remote.runs()) == 1


def test_a_host_whose_api_lies_elsewhere_gets_no_token(remote: Remote) -> None:
    elsewhere = f'{{"tfe.v2": "https://{remote.double.elsewhere}/api/v2/"}}'
    remote.double.fail("GET /.well-known/terraform.json", Answer(200, elsewhere))
    fault = fault_of(lambda: remote.remote().read())
    assert fault.kind is ErrorKind.CONFIG
    assert [request.token for request in remote.double.requests] == [""]


# --- what is uploaded -----------------------------------------------------------------------------


def names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        return tar.getnames()


def test_the_upload_is_the_environments_directory_or_the_repository_below_a_working_directory(remote: Remote) -> None:
    tree = remote.work.tree
    assert tree is not None
    (tree / "modules").mkdir()
    (tree / "modules" / "main.tf").write_text("")
    (tree / ".git").write_text("gitdir: elsewhere")
    engine = remote.planner()
    engine.plan(remote.work, remote.plan_file)
    remote.workspace.directory = "environments/prod"
    engine.plan(remote.work, remote.plan_file)
    remote.workspace.directory = "elsewhere"
    fault = fault_of(lambda: engine.plan(remote.work, remote.plan_file))
    first, second = map(names, remote.prepared.uploaded)
    assert first == ["main.tf"]
    assert second == ["environments/prod/main.tf", "modules/main.tf"]
    assert fault.kind is ErrorKind.CONFIG
    assert len(remote.runs()) == 2


def test_terraformignore_is_honoured_and_files_that_terraform_made_are_left_out(remote: Remote) -> None:
    root = remote.work.directory
    for name in ("a.log", "keep.log", "docs/a.md", "errored.tfstate", ".terraform.lock.hcl", ".terraform/x"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("")
    (root / ".terraformignore").write_text("*.log\n!keep.log\ndocs/\n")
    (root / "link.tf").symlink_to("main.tf")
    remote.planner().plan(remote.work, remote.plan_file)
    assert names(remote.prepared.uploaded[0]) == [".terraformignore", "keep.log", "link.tf", "main.tf"]


def test_a_link_that_leaves_the_upload_makes_no_run(remote: Remote) -> None:
    (remote.work.directory / "common.tf").symlink_to("../../common.tf")
    fault = fault_of(lambda: remote.planner().plan(remote.work, remote.plan_file))
    assert fault.kind is ErrorKind.CONFIG
    assert "common.tf" in fault.message
    assert remote.runs() == []


def test_equal_trees_give_equal_uploads(remote: Remote) -> None:
    engine = remote.planner()
    engine.plan(remote.work, remote.plan_file)
    (remote.work.directory / "main.tf").touch()
    engine.plan(remote.work, remote.plan_file)
    first, second = remote.prepared.uploaded
    assert first == second
