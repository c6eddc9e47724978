"""Every Terraform and OpenTofu on this machine, and which of them an environment gets.

Programs on PATH may be shims of a version manager, which answer by the directory and the variables that they are called
with: they are asked in a copy of the environment's place with its version files, and with those variables of its runs
that steer a shim. No credential is among them.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from driftguard.adapters.terraform.tool import ask, embedded_program, on_path
from driftguard.errors import EnvironmentFault, OperatorError
from driftguard.model import ErrorKind, ToolVersion
from driftguard.model.products import PRODUCTS
from driftguard.model.versions import VersionNeed, order

# The folders of version managers: variable and default below HOME, then the pattern of programs below it.
_MANAGERS: Final = (
    (("TFENV_CONFIG_DIR", "TFENV_ROOT"), ".tfenv", ("versions/*/terraform",)),
    (("TENV_ROOT",), ".tenv", ("Terraform/*/terraform", "OpenTofu/*/tofu")),
    (
        ("MISE_DATA_DIR",),
        ".local/share/mise",
        tuple(
            f"installs/{tool}/*/{sub}{name}"
            for tool, name in (("terraform", "terraform"), ("opentofu", "tofu"))
            for sub in ("", "bin/")
        ),
    ),
    (("ASDF_DATA_DIR",), ".asdf", ("installs/terraform/*/bin/terraform", "installs/opentofu/*/bin/tofu")),
)

# The variables that decide which program a shim starts, and those with which it reaches what it has to install.
_STEERING: Final = re.compile(
    r"PATH$|HOME$|XDG_|TFENV_|TENV_|MISE_|ASDF_|TERRAFORM|TOFU|OPENTOFU"
    r"|LANG$|LC_|TMPDIR$|SSL_CERT_|(?i:https?|no|all)_(?i:proxy)$"
)


class Toolbox:
    """Finds programs and asks each for its version, once for each place and set of variables.

    Args:
        environ: the variables of this process.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._asked: dict[object, ToolVersion] = {}
        self._installed: tuple[tuple[str, str, str], ...] | None = None

    def choose(self, binary: str, need: VersionNeed, directory: str, variables: Mapping[str, str]) -> ToolVersion:
        """The program for an environment.

        The one on PATH, if it will do: it is the operator's choice. Else the newest one of a version manager that
        will do, and the embedded one last.

        Args:
            binary: `terraform.binary` of its settings.
            directory: its directory, from the repository's root.
            variables: those that its Terraform will have.

        Raises:
            OperatorError: there is no program at all, or the one that `binary` names does not answer.
            EnvironmentFault: `config`: none of them will do.
        """
        found: list[ToolVersion] = []
        for choice in need.choices():
            for tool in self._candidates(binary, need, directory, variables):
                found.append(tool)
                if choice.accepts(tool.product, tool.version):
                    return tool
        if not found:
            on_path(binary, variables.get("PATH", ""))  # raises with what to install
        here = ", ".join(dict.fromkeys(self._labelled(tool) for tool in found))
        raise EnvironmentFault(
            ErrorKind.CONFIG,
            f"No {need.title} here will do: {need} is required; here: {here}. "
            "Install one with a version manager or on PATH, or set `terraform.version` or `terraform.binary`.",
        )

    def everything(self, directory: str, variables: Mapping[str, str]) -> list[str]:
        """Every program here, in words: `terraform 1.11.4`, `embedded terraform 1.15.5`."""
        tools = self._candidates("auto", VersionNeed(), directory, variables)
        return list(dict.fromkeys(self._labelled(tool) for tool in tools))

    @staticmethod
    def _labelled(tool: ToolVersion) -> str:
        return f"embedded {tool}" if tool.path == embedded_program() else str(tool)

    def _candidates(
        self, binary: str, need: VersionNeed, directory: str, variables: Mapping[str, str]
    ) -> Iterator[ToolVersion]:
        if binary not in ("auto", "embedded"):
            yield self._ask(on_path(binary, variables.get("PATH", "")), need, directory, variables)
            return
        if binary == "auto":
            yield from self._of_path(need, directory, variables)
            for _, path, product in sorted(self._managed(), key=_releases_first, reverse=True):
                if need.product in (None, product):
                    yield from self._answering(path, need, directory, variables)
        if (embedded := embedded_program()) is not None:
            yield from self._answering(embedded, VersionNeed(), ".", variables)

    def _of_path(self, need: VersionNeed, directory: str, variables: Mapping[str, str]) -> Iterator[ToolVersion]:
        """The programs on PATH; a shim that has no version for this place gives none."""
        for name in PRODUCTS:
            try:
                path = on_path(name, variables.get("PATH", ""))
            except OperatorError:
                continue
            yield from self._answering(path, need, directory, variables)

    def _answering(
        self, path: str, need: VersionNeed, directory: str, variables: Mapping[str, str]
    ) -> Iterator[ToolVersion]:
        try:
            yield self._ask(path, need, directory, variables)
        except OperatorError:
            return

    def _managed(self) -> tuple[tuple[str, str, str], ...]:
        """Version, path and product of what version managers installed."""
        if self._installed is None:
            self._installed = tuple(_installed(self._environ))
        return self._installed

    def _ask(self, path: str, need: VersionNeed, directory: str, variables: Mapping[str, str]) -> ToolVersion:
        # Credentials of the environment's runs are none of a version's business.
        steering = {name: value for name, value in variables.items() if _STEERING.match(name)}
        key = (path, tuple(sorted(need.files.items())), tuple(sorted(steering.items())))
        if key not in self._asked:
            with tempfile.TemporaryDirectory(prefix="driftguard-") as folder:
                for name, content in need.files.items():
                    file = Path(folder, name)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                place = Path(folder, directory)
                place.mkdir(parents=True, exist_ok=True)
                self._asked[key] = ask(path, place, steering)
        return self._asked[key]


def _releases_first(installed: tuple[str, str, str]) -> tuple[bool, object]:
    """What programs are sorted by: a pre-release is chosen only where no release will do."""
    version = installed[0]
    return "-" not in version, order(version)


def _installed(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    home = environ.get("HOME", "")
    for names, default, patterns in _MANAGERS:
        given = next((environ[name] for name in names if environ.get(name)), None)
        if default.endswith("mise") and given is None and environ.get("XDG_DATA_HOME"):
            given = f"{environ['XDG_DATA_HOME']}/mise"
        root = Path(given or (f"{home}/{default}" if home else "/nonexistent"))
        for pattern in patterns:
            for program in root.glob(pattern):
                if program.is_file():
                    version = program.relative_to(root).parts[2 if pattern.startswith("installs/") else 1]
                    yield version, str(program), program.name
