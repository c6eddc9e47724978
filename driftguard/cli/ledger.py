"""Commands that write to the ledger or check it: baseline, retry, forget, ledger verify."""

from __future__ import annotations

from typing import Annotated

import typer

from driftguard.cli.groups import RepositoryOptions, Verbosity, spread
from driftguard.cli.options import (
    EXIT_FAILED,
    RequiredNames,
)
from driftguard.errors import UsageError
from driftguard.printable import printable


@spread
def retry(
    env: RequiredNames,
    *,
    opened: RepositoryOptions,
    log: Verbosity,
) -> None:
    """Reset failed applies and the flapping limit.

    The next reconcile can apply immediately. Providers whose probes an audit found wrong are probed again.
    """
    from driftguard.bootstrap.session import Session

    with Session(opened.target) as session:
        for name in session.requests().retry(session.select(env)):
            print(f"{name}: reset. The next `driftguard reconcile` can apply.")


@spread
def baseline(
    env: RequiredNames,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason, kept in the ledger.")],
    commit: Annotated[
        str | None, typer.Option("--commit", metavar="SHA", help="The commit that was applied. Default: the head.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    *,
    opened: RepositoryOptions,
    log: Verbosity,
) -> None:
    """Record that a commit was fully applied.

    The baseline is the reference for labels, never an approval: each apply still needs its commits approved. Prints
    what it means first, and asks.
    """
    from driftguard.bootstrap.session import Session

    if not reason.strip():
        raise UsageError("--reason is empty; write why this commit is known to be applied.")
    with Session(opened.target) as session:
        chosen = session.select(env)
        given = session.given_baselines(chosen, commit or session.head)
        if missing := [settings.name for settings in chosen if settings.name not in given]:
            raise UsageError(f"{', '.join(missing)}: not part of that commit, or not complete there. Nothing recorded.")
        for settings in chosen:
            base, closure = given[settings.name].commit, session.closures.at(settings, session.head)
            later = session.repository.commits(base, session.head, sorted(closure.files if closure else ()))
            print(_meaning(settings.name, base, len(later)))
        print("What differs from that commit's configuration now will be drift; it is a reference, not an approval.")
        if not yes and not typer.confirm("Record it?"):
            raise typer.Exit(EXIT_FAILED)
        session.requests().give_baselines(given, reason.strip())
        for name in given:
            print(f"{name}: baseline recorded. The next scan labels against it.")


def _meaning(name: str, commit: str, later: int) -> str:
    changes = {0: "no later commit changed it", 1: "1 later commit is pending"}.get(
        later, f"{later} later commits are pending"
    )
    return f"{name}: {commit[:10]} as fully applied; {changes}."


@spread
def forget(
    env: RequiredNames,
    *,
    opened: RepositoryOptions,
    log: Verbosity,
) -> None:
    """Stop reporting a removed environment.

    For environments whose directory was removed from git. Their history stays in the ledger.
    """
    from driftguard.bootstrap.session import Session

    with Session(opened.target) as session:
        for name in session.requests().forget(session.environments, env):
            print(f"{name}: no longer reported as removed.")


@spread
def verify(
    *,
    opened: RepositoryOptions,
    log: Verbosity,
) -> None:
    """Check the ledger's hash chain.

    Exit code 1 if an entry was edited or is missing; its number is printed.
    """
    from driftguard.bootstrap.session import Session

    with Session(opened.target) as session:
        faults = session.ledger.verify()
    for fault in faults:
        print(printable(f"entry {fault.sequence}: {fault.message}"))
    if faults:
        raise typer.Exit(EXIT_FAILED)
    print("The hash chain is intact: no entry was edited or is missing.")
