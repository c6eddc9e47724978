"""Which environments run on a platform: from the block of their root modules to workspaces with remote execution."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Final

from driftguard.adapters.hcl.backends import ENDINGS, state_block
from driftguard.adapters.process import Stop
from driftguard.adapters.tfe.selection import Selection, is_remote, selection
from driftguard.adapters.tfe.tokens import token_of
from driftguard.config import EnvironmentSettings, own_token, terraform_environment
from driftguard.distribution import install_command
from driftguard.errors import EnvironmentFault
from driftguard.model import Closure, ErrorKind, ToolVersion
from driftguard.ports import ApplyEngine, PlanEngine, Repository, SourceReader

if TYPE_CHECKING:
    from driftguard.adapters.tfe.client import Platform
    from driftguard.adapters.tfe.shapes import Workspace
    from driftguard.adapters.tfe.workspaces import RemoteWorkspace

_WITH_BLOCK: Final = ("cloud", "remote")
_EXACT: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-[\w.]+)?")
# What of a variable can change a plan. A sensitive value is null; `version-id` changes with it where there is one.
_VARIABLE_KEYS: Final = ("key", "value", "category", "hcl", "sensitive", "version-id")


class RemoteExecution:
    """One environment whose Terraform runs on a platform, as its workspace was when it was first asked."""

    def __init__(self, remote: RemoteWorkspace, settings: Workspace) -> None:
        self._remote, self.settings = remote, settings

    @property
    def version(self) -> ToolVersion:
        """The Terraform of the workspace."""
        return ToolVersion("terraform", self.settings.version, "")

    @cached_property
    def _inputs(self) -> tuple[str | None, tuple[str, ...]]:
        """A digest of the variables that the platform gives to runs, and why what they get is not known."""
        name, version = self.settings.name, self.settings.version
        floats = f"The workspace {name} runs Terraform {version}, which may be another one in the next run."
        moving = () if _EXACT.fullmatch(version) else (floats,)
        try:
            found = self._remote.variables(self.settings.id)
        except EnvironmentFault as fault:
            if fault.kind not in (ErrorKind.CONFIG, ErrorKind.DENIED):
                raise
            unread = f"The variables of the workspace {name} cannot be read, so their changes are not seen."
            return None, (*moving, unread)
        kept = sorted(json.dumps([each.get(key) for key in _VARIABLE_KEYS]) for each in found)
        return hashlib.sha256("\n".join(kept).encode()).hexdigest(), moving

    def closure(self, closure: Closure) -> Closure:
        """An environment's closure with what the platform adds: variables of the workspace and of variable sets.

        Raises:
            EnvironmentFault: the platform does not answer.
        """
        digest, reasons = self._inputs
        given = {**closure.given, f"variables of {self.settings.name}": digest} if digest else closure.given
        return replace(closure, given=given, open=(*closure.open, *reasons))

    def planner(self, stop: Stop) -> PlanEngine:
        """Plans there; it cannot change anything."""
        from driftguard.adapters.tfe.engine import PlatformPlanner

        return PlatformPlanner(self._remote.stopped_by(stop), self.settings, stop)

    def applier(self, stop: Stop) -> ApplyEngine:
        """Plans there, and confirms runs."""
        from driftguard.adapters.tfe.applying import PlatformApplier
        from driftguard.adapters.tfe.workspaces import ConfirmingWorkspace

        remote = ConfirmingWorkspace(self._remote.platform, self._remote.place, stop)
        return PlatformApplier(remote, self.settings, stop)

    @property
    def watched(self) -> str:
        """Why DriftGuard applies nothing there; empty where it may."""
        causes = (("auto-apply", self.settings.auto_apply), ("a VCS connection", self.settings.vcs))
        found = " and ".join(cause for cause, holds in causes if holds)
        return f"the workspace {self.settings.name} has {found}" if found else ""


class Platforms:
    """The platforms that the environments of a commit lie on; each workspace is asked once. Thread-safe.

    Args:
        commit: whose blocks count.
        environ: the variables of this process, with the operator's tokens.
    """

    def __init__(
        self, repository: Repository, reader: SourceReader, commit: str, environ: Mapping[str, str], stop: Stop
    ) -> None:
        self._repository, self._reader, self._environ, self._stop = repository, reader, environ, stop
        self._tree = repository.tree(commit)
        self._below: dict[str, list[str]] = {}
        for path in self._tree:
            if path.endswith(ENDINGS):
                self._below.setdefault(dirname(path) or ".", []).append(path)
        self._open: dict[tuple[str, str], Platform] = {}
        self._found: dict[str, RemoteExecution | None] = {}
        self._guard = threading.RLock()

    def close(self) -> None:
        """End all connections."""
        for platform in self._open.values():
            platform.close()

    def of(self, settings: EnvironmentSettings) -> RemoteExecution | None:
        """The remote execution of an environment; None where its Terraform runs here.

        Raises:
            EnvironmentFault: its state lies on a platform, and it is not known where its Terraform runs.
        """
        with self._guard:
            if settings.name not in self._found:
                self._found[settings.name] = self._execution(settings)
            return self._found[settings.name]

    def selection(self, settings: EnvironmentSettings) -> Selection | None:
        """What an environment's block selects on a platform; None without such a block. Raises as `of`."""
        files = self._terraform_files(settings.path)
        if not files:
            return None
        contents = self._contents(files)
        block = state_block(contents)
        if block is None or not is_remote(block):
            return None
        config = settings.backend_config
        named = () if isinstance(config, Mapping) else [normpath(join(settings.path, name)) for name in config]
        given = self._contents([path for path in named if path in self._tree])
        return selection(block, config if isinstance(config, Mapping) else {}, given, self._variables(settings))

    def workspaces(self, settings: EnvironmentSettings) -> tuple[str, ...] | None:
        """The workspaces that an environment's block selects, as the environment would name them.

        None where its state lies on no platform.

        Raises:
            EnvironmentFault: they cannot be listed.
        """
        wanted = self.selection(settings)
        if wanted is None:
            return None
        platform = self.platform(wanted.host, settings)
        from driftguard.adapters.tfe.workspaces import selected

        return tuple(each.name.removeprefix(wanted.prefix or "") for each in selected(platform, wanted, self._stop))

    def platform(self, host: str, settings: EnvironmentSettings) -> Platform:
        """A platform with the token of an environment. EnvironmentFault (`config`) without one."""
        try:
            from driftguard.adapters.tfe.client import Platform
        except ModuleNotFoundError as error:
            raise EnvironmentFault(
                ErrorKind.CONFIG,
                f"The state lies on {host}, and {error.name} is not installed, so it cannot be asked where Terraform "
                f"runs. Run `{install_command('tfe')}`.",
            ) from None
        token = token_of(host, self._variables(settings))
        with self._guard:
            if (host, token) not in self._open:
                self._open[host, token] = Platform(host, token)
            return self._open[host, token]

    def _execution(self, settings: EnvironmentSettings) -> RemoteExecution | None:
        found = self.selection(settings)
        if found is None:
            return None
        name = found.workspace(settings.workspace)
        platform = self.platform(found.host, settings)
        from driftguard.adapters.tfe.workspaces import RemoteWorkspace, WorkspaceName

        remote = RemoteWorkspace(platform, WorkspaceName(found.host, found.organization, name), self._stop)
        workspace = remote.read()
        return RemoteExecution(remote, workspace) if workspace.is_remote else None

    def _variables(self, settings: EnvironmentSettings) -> dict[str, str]:
        return {**terraform_environment(settings.env, self._environ), **own_token(settings.tfe, self._environ)}

    def _terraform_files(self, directory: str) -> Sequence[str]:
        """The Terraform files of a directory, if one of them may hold a block that names a platform."""
        paths = [p for p in self._below.get(directory, ()) if self._tree[p].mode not in ("120000", "160000")]
        facts = self._reader.facts([(path, self._tree[path].object_id) for path in paths])
        held = (fact.init_facts for fact in facts.values())
        return paths if any(word in each for each in held for word in _WITH_BLOCK) else ()

    def _contents(self, paths: Sequence[str]) -> dict[str, bytes]:
        ids = {path: self._tree[path].object_id for path in paths}
        contents = dict(self._repository.read(sorted(set(ids.values()))))
        return {path: contents[object_id] for path, object_id in ids.items()}
