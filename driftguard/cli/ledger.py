"""Commands that write to the ledger or check it: retry, forget, ledger verify."""

from __future__ import annotations

import typer

from driftguard.cli.options import (
    EXIT_FAILED,
    ConfigOption,
    RefOption,
    RepoOption,
    RequiredNames,
    VerboseOption,
    set_verbosity,
)
from driftguard.printable import printable


def retry(
    env: RequiredNames,
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Reset failed applies and the flapping limit.

    The next reconcile can apply immediately.
    """
    from driftguard.bootstrap.session import Session
    from driftguard.bootstrap.target import Target

    set_verbosity(verbose)
    with Session(Target(repo, ref, config)) as session:
        for name in session.requests().retry(session.select(env)):
            print(f"{name}: reset. The next `driftguard reconcile` can apply.")


def forget(
    env: RequiredNames,
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Stop reporting a removed environment.

    For environments whose directory was removed from git. Their history stays in the ledger.
    """
    from driftguard.bootstrap.session import Session
    from driftguard.bootstrap.target import Target

    set_verbosity(verbose)
    with Session(Target(repo, ref, config)) as session:
        for name in session.requests().forget(session.environments, env):
            print(f"{name}: no longer reported as removed.")


def verify(
    repo: RepoOption = ".",
    ref: RefOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Check the ledger's hash chain.

    Exit code 1 if an entry was edited or is missing; its number is printed.
    """
    from driftguard.bootstrap.session import Session
    from driftguard.bootstrap.target import Target

    set_verbosity(verbose)
    with Session(Target(repo, ref, config)) as session:
        faults = session.ledger.verify()
    for fault in faults:
        print(printable(f"entry {fault.sequence}: {fault.message}"))
    if faults:
        raise typer.Exit(EXIT_FAILED)
    print("The hash chain is intact: no entry was edited or is missing.")
