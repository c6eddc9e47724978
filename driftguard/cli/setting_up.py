"""Commands that help to start: init, doctor and demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftguard.cli.application import (
    EXIT_FAILED,
    ConfigOption,
    Format,
    FormatOption,
    OutputOption,
    QuietOption,
    RefOption,
    RepoOption,
    VerboseOption,
    app,
    set_verbosity,
)
from driftguard.cli.looking import print_rows
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
    slack: Annotated[
        bool, typer.Option("--slack", help="Send a test message to every channel that alerts may go to.")
    ] = False,
    format: FormatOption = Format.TABLE,
    output: OutputOption = None,
    verbose: VerboseOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Check everything that a run needs, and say what to do about what is missing."""
    from driftguard.doctor import examine

    set_verbosity(verbose)
    findings = list(examine(repo, ref, config, slack=slack))
    rows = [("ok" if finding.good else "FAIL", finding.what, finding.detail) for finding in findings]
    checks = [{"check": f.what, "good": f.good, "detail": f.detail} for f in findings]
    if not quiet or format is not Format.TABLE:
        print_rows(("", "check", "detail"), rows, {"checks": checks}, format, output)
    if not all(finding.good for finding in findings):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def demo(
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Keep the demo's files here.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Merge the proposal at the end without asking.")] = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show the whole job on this machine: a cloud on loopback, changes from both sides, a scan, a proposal."""
    from driftguard.demo.story import tell

    set_verbosity(verbose)
    raise typer.Exit(tell(keep, yes=yes))
