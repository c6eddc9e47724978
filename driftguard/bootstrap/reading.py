"""The ledger of a repository for commands that need nothing else: nothing is loaded that only a run needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from driftguard import config
from driftguard.adapters.folders import folder_name
from driftguard.adapters.git.glance import HeadFile, file_at_head
from driftguard.adapters.sql.reading import open_journal
from driftguard.bootstrap.target import Target
from driftguard.config import Directories, Settings
from driftguard.ports import JournalReader

if TYPE_CHECKING:
    from driftguard.pipeline.acknowledging import OperatorWords


@contextmanager
def open_records(target: Target) -> Iterator[JournalReader]:
    """The journal of the ledger that the settings at head name.

    Raises:
        UsageError: the repository, the branch or the configuration is not one that can be read.
        OperatorError: the repository or the ledger cannot be reached.
    """
    with closing(open_journal(read_records(target)[1])) as journal:
        yield journal


@contextmanager
def open_words(target: Target) -> Iterator[OperatorWords]:
    """What journals operators' words in the ledger that the settings at head name. Errors as in `open_records`."""
    from driftguard.adapters.sql.writing import open_for_words
    from driftguard.pipeline.acknowledging import OperatorWords

    with closing(open_for_words(read_records(target)[1])) as ledger:
        yield OperatorWords(ledger, ledger.alerts, ledger.clock, config.surroundings().get("USER", ""))


def read_records(target: Target) -> tuple[Settings, str, str]:
    """The settings at head, the ledger's URL that they name, and what messages call the repository."""
    directories = config.directories()
    found = file_at_head(target.repo, target.ref, config.CONFIG_FILE) or _by_the_mirror(target, directories)
    settings = target.load(found.content)
    return settings, ledger_url(settings, directories, config.surroundings(), found.display), found.display


def ledger_url(settings: Settings, directories: Directories, environ: Mapping[str, str], display: str) -> str:
    """The URL of the ledger that the settings name, by default one for this repository in the user's state folder."""
    url = settings.ledger.resolve(environ)
    return url or f"sqlite:///{directories.state / folder_name(display) / 'ledger.db'}"


def _by_the_mirror(target: Target, directories: Directories) -> HeadFile:
    from driftguard.adapters.git.repository import open_repository

    with closing(open_repository(target.repo, directories.cache, target.ref, token=target.git_token())) as repository:
        return HeadFile(repository.display, repository.file(repository.head, config.CONFIG_FILE))
