"""The first configuration of a work tree: what it holds, what is written for it, and what is left to do.

Nothing is written that DriftGuard itself would refuse: the text is loaded and resolved before.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from driftguard import config
from driftguard.adapters.git.listing import work_tree_files, work_tree_root
from driftguard.adapters.hcl.outline import outline
from driftguard.config import CONFIG_FILE, EnvironmentSettings
from driftguard.config.values import accepts
from driftguard.distribution import DISTRIBUTION
from driftguard.errors import UsageError
from driftguard.model import TreeEntry
from driftguard.pipeline.commitfiles import TreeFiles
from driftguard.pipeline.directories import find
from driftguard.pipeline.entries import entries, entries_by_common_part, naming_entries, plain_entries
from driftguard.pipeline.layout import Layout, RootModule, is_terraform, read_layout
from driftguard.pipeline.units import units_with_code

_MAX_NAMES: Final = 8
_REGULAR: Final = "100644"


@dataclass(frozen=True, slots=True)
class FirstConfiguration:
    """What `driftguard init` writes and reports.

    Attributes:
        text: the configuration; None where there is no environment that DriftGuard can run.
        environments: as the text gives them, sorted by name.
        layout: what the work tree holds.
        running: the Terragrunt units whose code runs while they are read, sorted.
    """

    text: str | None
    environments: tuple[EnvironmentSettings, ...]
    layout: Layout
    running: tuple[str, ...] = ()


def first_configuration(folder: Path) -> FirstConfiguration:
    """The first configuration of a work tree.

    Raises:
        UsageError: the folder is not the root of its repository.
    """
    root = work_tree_root(folder)
    if root is not None and not os.path.samefile(root, folder):
        raise UsageError(f"{folder} lies inside the repository {root}. Nothing was written. Run it there.")
    paths = work_tree_files(folder)
    outlines = {p: outline(p, _content(folder / p)) for p in paths if is_terraform(p)}
    layout = _writable(read_layout(paths, outlines, lambda path: _content(folder / path)))
    units = layout.foreign.get("Terragrunt", ())
    running = tuple(units_with_code(units, paths, lambda path: _content(folder / path)))
    if not layout.roots:
        return FirstConfiguration(None, (), layout, running)
    tree = {path: TreeEntry(_REGULAR, path) for path in paths}
    with_faults: FirstConfiguration | None = None
    for written in _accepted(layout, tree, folder):
        made = replace(written, running=running)
        if not any(environment.fault for environment in made.environments):
            return made
        with_faults = with_faults or made
    if with_faults is not None:
        return with_faults
    raise UsageError(
        f"The environments of {folder} cannot be written as a configuration. Nothing was written. "
        f"Write `environments` in {CONFIG_FILE} by hand; found: {', '.join(root.path for root in layout.roots)}."
    )


def _accepted(layout: Layout, tree: Mapping[str, TreeEntry], folder: Path) -> Iterator[FirstConfiguration]:
    """The configurations that give exactly the layout's environments, the shortest first."""
    roots = layout.roots
    bare = [replace(root, each=(), workspaces=(), var_files=(), count=1) for root in roots]  # odd names of files
    directories = find(tree, ["**"])
    few = entries(roots, directories)
    named, longer = [*few, *naming_entries(roots)], entries_by_common_part(roots, directories)
    tried = ((few, roots), (named, roots), (longer, roots), (plain_entries(roots), roots), (plain_entries(bare), bare))
    for written, meant in tried:
        text = config.template(written)
        found = _resolved(text, tree, folder)
        if found is not None and _right(found, meant):
            yield FirstConfiguration(text, found, layout)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _writable(layout: Layout) -> Layout:
    """The layout without directories whose path no configuration can name."""
    odd = {root.path: "its path cannot be written in a configuration" for root in layout.roots if not _named(root.path)}
    roots = tuple(root for root in layout.roots if root.path not in odd)
    return Layout(roots, {**layout.left_out, **odd}, layout.foreign)


def _named(path: str) -> bool:
    return accepts("path", path) and path.isprintable()


def _resolved(text: str, tree: Mapping[str, TreeEntry], folder: Path) -> tuple[EnvironmentSettings, ...] | None:
    """The environments that a configuration gives; None where it is refused."""
    files = TreeFiles(tree, lambda path: _content(folder / path))
    try:
        return config.load(text.encode(), source=CONFIG_FILE).resolve(partial(find, tree), files)
    except UsageError:
        return None


def _right(found: Sequence[EnvironmentSettings], roots: Sequence[RootModule]) -> bool:
    """Whether exactly the roots are environments, each as often as it should be."""
    return Counter(environment.path for environment in found) == {root.path: root.count for root in roots}


# --- in words ------------------------------------------------------------------------------------


def summary(first: FirstConfiguration) -> Iterator[str]:
    """What was found, what was left out and why, one line each."""
    names = [environment.name for environment in first.environments]
    if names:
        yield f"Environments: {listed(names)}."
    for environment in first.environments:
        if environment.fault:
            yield f"Not planned: {environment.fault}"
    reasons: dict[str, list[str]] = {}
    for path, why in first.layout.left_out.items():
        reasons.setdefault(why, []).append(path)
    for why, paths in sorted(reasons.items()):
        yield f"Left out ({why}): {listed(paths)}."
    if partial_ := [root.path for root in first.layout.roots if root.partial and root.backend_file is None]:
        yield (
            f"Backend settings are missing in {listed(partial_)}: give them as `backend_config`, "
            'such as {key: "{path}/terraform.tfstate"}.'
        )
    if unnamed := [root.path for root in first.layout.roots if root.unnamed]:
        yield (
            f"The code of {listed(unnamed)} depends on `terraform.workspace`, and the workspaces are not known: "
            'name them as `workspaces`, or write `workspaces: "*"` for all that the backend lists.'
        )
    for tool, units in first.layout.foreign.items():
        yield _FOREIGN[tool].format(paths=listed(units), count=len(units))
    yield from _code(first.running)


def _code(running: Sequence[str]) -> Iterator[str]:
    if running:
        yield f"Code runs while these units are read or planned (`run_cmd`, hooks): {listed(running)}."


def listed(names: Sequence[str]) -> str:
    """Names in a sentence, not more than a line of them."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


_CLASSIFY: Final = "`driftguard classify` labels the plans that it makes; a CI job for it follows."
_FOREIGN: Final = {
    "Terragrunt": "Terragrunt: {count} units ({paths}). An entry of `environments` whose `path` matches them makes an "
    "environment of each of them, and of each unit of a stack; `terragrunt` has to be on PATH.",
    "Atmos": "Atmos: DriftGuard does not read Atmos stacks ({count}: {paths}). " + _CLASSIFY,
    "CDKTF": "CDKTF: the output of `cdktf synth` is not in git ({paths}), and only what is in git is run. Commit it, "
    "or: " + _CLASSIFY,
    "Terramate": "Terramate: the code that `terramate generate` makes is not in git (stacks: {paths}), and only what "
    "is in git is run. Commit it, or: " + _CLASSIFY,
    "HCP Terraform": "HCP Terraform or Terraform Enterprise: where the workspace's execution mode is remote, its plans "
    "cannot be saved by DriftGuard ({paths}). " + _CLASSIFY,
}

_WRITE_PLAN: Final = ("terraform init -input=false", "terraform plan -input=false -out=tfplan")
_LABEL: Final = "driftguard classify plan.json"
_EACH: Final = (
    "while read -r plan; do echo; printf '%s' \"$plan\" | driftguard classify - || code=$?; done < plans.jsonl"
)
# For each tool: what a job has to install, and its commands, up to the labels. Exit code 2, divergence, makes it red.
_JOBS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "Terragrunt": (
        "Terraform and Terragrunt",
        (
            "terragrunt run --all --non-interactive plan -- -input=false -out=tfplan",
            "terragrunt run --all --non-interactive --tf-forward-stdout show -- -json tfplan > plans.jsonl",
            f"code=0; {_EACH}; exit $code",
        ),
    ),
    "Atmos": (
        "Terraform and Atmos",
        (
            "atmos terraform plan COMPONENT -s STACK -out=tfplan",
            "atmos terraform show COMPONENT -s STACK -- -json tfplan > plan.json",
            _LABEL,
        ),
    ),
    "CDKTF": (
        "Terraform and CDKTF",
        ("cdktf synth", "cd cdktf.out/stacks/STACK", *_WRITE_PLAN, "terraform show -json tfplan > plan.json", _LABEL),
    ),
    "Terramate": (
        "Terraform and Terramate",
        (
            "terramate generate",
            "terramate run -X -- terraform init -input=false",
            "terramate run -X -- terraform plan -input=false -out=tfplan",
            "terramate run -X -- terraform show -json tfplan > plans.jsonl",
            f"code=0; {_EACH}; exit $code",
        ),
    ),
    "HCP Terraform": ("Terraform", (*_WRITE_PLAN, "terraform show -json tfplan > plan.json", _LABEL)),
}


def ready_job(tool: str) -> str:
    """A GitHub Actions job that labels the plans of a tool that DriftGuard does not run."""
    needs, commands = _JOBS[tool]
    steps = "".join(f"          {command}\n" for command in commands)
    return f"""\
# .github/workflows/drift.yml; the summary of the run gets the labels
name: drift
on: {{schedule: [{{cron: "17 * * * *"}}], workflow_dispatch: {{}}}}
permissions: {{contents: read}}
jobs:
  classify:
    runs-on: ubuntu-latest
    env: {{DRIFTGUARD_PACKAGE: "git+https://git.example.org/platform/driftguard@v0.1.0"}}
    steps:
      - uses: actions/checkout@v6
      # Install {needs} here, and log in to the cloud.
      - run: pip install "{DISTRIBUTION} @ $DRIFTGUARD_PACKAGE" # not by name: it is on no public index
      - run: |
{steps}"""
