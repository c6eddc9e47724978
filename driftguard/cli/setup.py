"""Commands that help to start: init, doctor and demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftguard.cli.groups import LogOptions, RepositoryOptions, ResultOptions, Verbosity, spread
from driftguard.cli.options import EXIT_FAILED, EXIT_USAGE, Format
from driftguard.cli.output import emit_rows
from driftguard.errors import UsageError

if TYPE_CHECKING:
    from driftguard.doctor import Finding


def init(
    repo: Annotated[Path, typer.Option("--repo", metavar="PATH", help="The work tree to write into.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing driftguard.yaml.")] = False,
) -> None:
    """Write a first driftguard.yaml.

    Prints the environments found, and what was left out and why. The file has no effect until it is committed.
    """
    from driftguard.cli.text import counted
    from driftguard.config import CONFIG_FILE
    from driftguard.onboarding import first_configuration, ready_job, summary

    if not repo.is_dir():
        raise UsageError(f"--repo {repo} is not a directory; give the work tree of a repository.")
    target = repo / CONFIG_FILE
    if target.exists() and not force:
        raise UsageError(f"{target} exists and was not changed; --force replaces it.")
    first = first_configuration(repo)
    lines = list(summary(first))
    if first.text is not None:
        target.write_text(first.text)
        print(f"Wrote {target} for {counted(len(first.environments))}.")
    else:
        print("No environment found that DriftGuard can run itself; no file was written.")
    for line in lines:
        print(line)
    for tool in first.layout.foreign:
        print(f"\n{ready_job(tool)}", end="")
    if first.text is not None:
        print(f'Next: git add {CONFIG_FILE} && git commit -m "Add DriftGuard" && driftguard doctor')
    elif not first.layout.foreign:
        print(
            f"Next: write `environments` in {CONFIG_FILE} with the `path` of a root module, then `driftguard doctor`."
        )
        raise typer.Exit(EXIT_USAGE)


@spread
def doctor(
    *,
    opened: RepositoryOptions,
    slack: Annotated[
        bool, typer.Option("--slack", help="Send a test message to each configured Slack channel.")
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="ENV", help="Plan earlier commits of ENV to find its likely baseline."),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Show which trust levels the set-up reaches, and what is missing.")
    ] = False,
    result: ResultOptions,
    log: LogOptions,
) -> None:
    """Check everything that a run needs.

    Each failed check names the next step. Exit code 1 if a check failed; with --trust, if a level that the policy
    relies on is not reached.
    """
    shown = not log.quiet or result.format is not Format.TABLE
    if trust:
        _trust(opened, result, shown=shown)
        return
    if baseline is not None:
        _baselines(baseline, opened, result)
        return
    from driftguard.doctor import examine

    findings = list(examine(opened.repo, opened.ref, opened.config, slack=slack))
    rows = [(_mark(f), f.what, f"{f.detail.removesuffix('.')}. {f.remedy}" if f.remedy else f.detail) for f in findings]
    checks = [
        {"check": f.what, "good": f.good, "detail": f.detail, "remedy": f.remedy, "environments": f.environments}
        for f in findings
    ]
    if shown:
        emit_rows(("", "check", "detail"), rows, {"checks": checks}, result.format, result.output)
    if not all(finding.good for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def _baselines(env: str, opened: RepositoryOptions, result: ResultOptions) -> None:
    from driftguard.likely import likely_baselines, next_step

    found = likely_baselines(opened.target, env)
    rows = [("likely" if one.likely else "-", one.commit[:10], one.date, one.subject, one.proof) for one in found]
    value = {"environment": env, "commits": found, "next": next_step(env, found)}
    emit_rows(("", "commit", "date", "subject", "what its plan leaves"), rows, value, result.format, result.output)
    if result.format is Format.TABLE and result.output is None:
        print(next_step(env, found))
    if not any(one.likely for one in found):
        raise typer.Exit(EXIT_FAILED)


def _mark(finding: Finding) -> str:
    return "FAIL" if not finding.good else "note" if finding.remedy else "ok"


def _trust(opened: RepositoryOptions, result: ResultOptions, *, shown: bool) -> None:
    from driftguard.trust import examine_trust

    report = examine_trust(opened.repo, opened.ref, opened.config)
    if shown:
        emit_rows(("", "check", "detail"), report.rows(), report.value(), result.format, result.output)
    if not report.good:
        raise typer.Exit(EXIT_FAILED)


@spread
def demo(
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Keep the demo's files here.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Merge the proposal at the end without asking.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the web view at the end, until Ctrl-C.")] = False,
    *,
    log: Verbosity,
) -> None:
    """Show the whole loop on this machine.

    A cloud on loopback, changes from both sides, a scan, an apply, a rollback, a proposal. Needs no cloud account.
    """
    from driftguard.demo.walkthrough import run_demo

    raise typer.Exit(run_demo(keep, yes=yes, serve=serve))
