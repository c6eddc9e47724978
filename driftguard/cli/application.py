"""The one place where commands are registered, in the order of use, with their help panels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from driftguard import __version__
from driftguard.cli.acknowledge import ack, silence
from driftguard.cli.agent import agent
from driftguard.cli.backtest import backtest
from driftguard.cli.classify import classify
from driftguard.cli.inspect import environments, explain, history, status
from driftguard.cli.ledger import baseline, forget, retry, verify
from driftguard.cli.run import reconcile, scan
from driftguard.cli.setup import demo, doctor, init
from driftguard.cli.web import report, serve
from driftguard.errors import UsageError

RUN: Final = "Run"
INSPECT: Final = "Inspect"
SET_UP: Final = "Set up"

COMMANDS: Final[tuple[tuple[str, Callable[..., None]], ...]] = (
    (RUN, scan),
    (RUN, reconcile),
    (RUN, agent),
    (RUN, classify),
    (RUN, baseline),
    (RUN, retry),
    (RUN, ack),
    (RUN, silence),
    (RUN, forget),
    (INSPECT, status),
    (INSPECT, explain),
    (INSPECT, history),
    (INSPECT, environments),
    (INSPECT, serve),
    (INSPECT, report),
    (INSPECT, backtest),
    (SET_UP, init),
    (SET_UP, doctor),
    (SET_UP, demo),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"driftguard {__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        raise UsageError("no command given. `driftguard --help` lists them; start with `driftguard scan`.")


def _application() -> typer.Typer:
    # Markdown mode: in Rich's own markup "[ENV]" would be a style and vanish.
    made = typer.Typer(
        name="driftguard",
        help="Keeps cloud infrastructure equal to git. Distinguishes drift from pending change, per attribute.",
        no_args_is_help=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    made.callback(invoke_without_command=True)(_root)
    for panel, command in COMMANDS:
        made.command(rich_help_panel=panel)(command)
    ledger = typer.Typer(help="Check the durable record.", no_args_is_help=False, rich_markup_mode="markdown")
    ledger.command()(verify)
    made.add_typer(ledger, name="ledger", rich_help_panel=INSPECT)
    return made


app: Final = _application()
