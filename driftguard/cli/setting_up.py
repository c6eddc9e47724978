"""Commands that help to start: init, doctor and demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from driftguard.cli.application import (
    EXIT_FAILED,
    ConfigOption,
    RefOption,
    RepoOption,
    VerboseOption,
    app,
    set_verbosity,
)
from driftguard.errors import UsageError


@app.command()
def init(
    repo: Annotated[Path, typer.Option("--repo", metavar="PATH", help="The work tree to write into.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace a driftguard.yaml that is there.")] = False,
) -> None:
    """Write a commented driftguard.yaml from what is found; it changes nothing until it is committed."""
    from driftguard.bootstrap import CONFIG_FILE, first_configuration

    if not repo.is_dir():
        raise UsageError(f"--repo {repo} is not a directory; give the work tree of a repository.")
    target = repo / CONFIG_FILE
    if target.exists() and not force:
        raise UsageError(f"{target} exists and was left as it is; --force replaces it.")
    text, found = first_configuration(repo)
    target.write_text(text)
    print(f"Wrote {target} for {found} environments. Look through it, commit it, then run `driftguard scan`.")


@app.command()
def doctor(
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Check everything that a run needs, and say what to do about what is missing."""
    from driftguard.doctor import examine

    set_verbosity(verbose)
    console = Console(highlight=False)
    healthy = True
    for finding in examine(repo, ref, config):
        healthy = healthy and finding.good
        line = Text("ok    " if finding.good else "FAIL  ", style="green" if finding.good else "bold red")
        console.print(line.append(f"{finding.what}: ", style="bold").append(finding.detail, style="default"))
    if not healthy:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def demo(
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Keep the demo's files here.")] = None,
    verbose: VerboseOption = 0,
) -> None:
    """Show the whole job on this machine: a cloud on loopback, a repository, changes from both sides, a scan."""
    from driftguard.demo.story import tell

    set_verbosity(verbose)
    raise typer.Exit(tell(keep))
