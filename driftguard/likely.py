"""The likely baseline of an environment, for estates that are not in sync on the day they meet DriftGuard."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import closing

from driftguard import config
from driftguard.adapters.aws.credentials import Credentials
from driftguard.adapters.folders import RunFolders
from driftguard.adapters.machine import SystemClock
from driftguard.adapters.process import Stop
from driftguard.bootstrap.session import Session
from driftguard.bootstrap.target import Target
from driftguard.errors import UsageError
from driftguard.model.words import plural
from driftguard.pipeline.checkout import EnvironmentRun
from driftguard.pipeline.likely import LikelyBaseline, history_of, likely_baseline


def likely_baselines(target: Target, name: str) -> list[LikelyBaseline]:
    """The newest commits of an environment's closure, each planned against the state and the cloud of today.

    Changes nothing.

    Raises:
        UsageError: there is no such environment, or the name means several.
        EnvironmentFault: it cannot be planned at all.
    """
    clock, stop = SystemClock(), Stop()
    now = clock.now()
    run_id = f"doctor-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    with Session(target, stop) as session:
        chosen = session.select([name])
        if len(chosen) > 1:
            raise UsageError(f"--baseline {name!r} means {len(chosen)} environments; name one of them.")
        task = session.task(chosen[0], False)
        context = session.scan_context(Credentials(run_id, clock, session.environ), now, False)
        cache = config.directories().cache
        folders = RunFolders(cache, session.repository.display, run_id, stop)
        with closing(folders), folders.occupy(chosen[0].name) as own:
            run = EnvironmentRun(task.settings, task.closure, task.engine, own)
            commits = history_of(context, run, session.repository)
            return [likely_baseline(context, run, commit) for commit in commits]


def next_step(name: str, found: Sequence[LikelyBaseline]) -> str:
    """The command that follows from it."""
    likely = next((one for one in found if one.likely), None)
    if likely is None:
        return (
            f"None of the last {plural(len(found), 'commit')} leaves nothing but drift; settle what is pending first."
        )
    return f"Next: driftguard baseline {name} --commit {likely.commit[:10]} --reason 'likely, by doctor'"
