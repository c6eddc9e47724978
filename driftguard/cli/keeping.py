"""Commands that write to the ledger or check it: retry, forget, ledger verify."""

from __future__ import annotations

from typing import Annotated

import typer

from driftguard.cli.application import (
    EXIT_FAILED,
    ConfigOption,
    RefOption,
    RepoOption,
    VerboseOption,
    app,
    set_verbosity,
)

ledger = typer.Typer(help="The durable record.", no_args_is_help=False, rich_markup_mode=None)
app.add_typer(ledger, name="ledger")

Environments = Annotated[list[str], typer.Argument(metavar="ENV...", help="Names or globs.")]


@app.command()
def retry(
    env: Environments,
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Forgive failed applies and a blown fuse: the next reconcile may attempt again at once."""
    from driftguard.bootstrap import Session, Target

    set_verbosity(verbose)
    with Session(Target(repo, ref, config)) as session:
        for name in session.retry(env):
            print(f"{name}: the next `driftguard reconcile` may attempt again.")


@app.command()
def forget(
    env: Environments,
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Stop reporting environments whose directory was removed from git. Their history stays."""
    from driftguard.bootstrap import Session, Target

    set_verbosity(verbose)
    with Session(Target(repo, ref, config)) as session:
        for name in session.forget(env):
            print(f"{name}: no longer reported as removed.")


@ledger.command()
def verify(
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Check the ledger's hash chain; exit 1 and name the place where an entry was edited or is missing."""
    from driftguard.bootstrap import Session, Target

    set_verbosity(verbose)
    with Session(Target(repo, ref, config)) as session:
        faults = session.ledger.verify()
    for fault in faults:
        print(f"entry {fault.sequence}: {fault.message}")
    if faults:
        raise typer.Exit(EXIT_FAILED)
    print("The chain holds: no entry was edited or is missing.")
