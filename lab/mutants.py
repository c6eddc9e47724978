"""Breaks the classifier in one way at a time, in a process of its own, to see that the laboratory notices."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

# The classifier as it is, which must not be found wrong: otherwise the others prove nothing.
INTACT: Final = "none"
_CHUNK: Final = 25
_PACKAGE: Final = "driftguard.pipeline.classify"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to break the classifier: a text of a module that is replaced, where it stands exactly once."""

    name: str
    module: str
    old: str
    new: str

    @property
    def path(self) -> str:
        """The module's full name."""
        return f"{_PACKAGE}.{self.module}"

    def broken(self, source: str) -> str:
        """The module's source with the defect.

        Raises:
            ValueError: the text is not there, or not once.
        """
        if source.count(self.old) != 1:
            raise ValueError(f"mutant {self.name!r}: {self.old!r} stands {source.count(self.old)} times in {self.path}")
        return source.replace(self.old, self.new)


MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant("drift is a conflict", "rules", 'DRIFT, "S≠R, D=S"', 'CONFLICT, "S≠R, D=S"'),
    Mutant("drift only where D=S", "rules", 'DRIFT, "S≠R, D=L"', 'CONFLICT, "S≠R, D=L"'),
    Mutant("conflict is drift", "rules", 'CONFLICT, "S≠R, D≠R, D≠S, D≠L"', 'DRIFT, "S≠R, D≠R, D≠S, D≠L"'),
    Mutant("absorbed is input", "rules", 'ABSORBED, "S=R, R≠D, D=L, R is', 'INPUT, "S=R, R≠D, D=L, R is'),
    Mutant("input is absorbed", "rules", 'INPUT, "S=R, R≠D, D=L, R is', 'ABSORBED, "S=R, R≠D, D=L, R is'),
    Mutant("an absorbed change is overwritten", "rules", 'CONFLICT, "S=R, R≠D, D≠L', 'PENDING, "S=R, R≠D, D≠L'),
    Mutant("adopted is noise", "rules", 'ADOPTED, "S≠R, R=D, D≠L"', 'NOISE, "S≠R, R=D, D≠L"'),
    Mutant("no L without a commit", "rules", "baseline = desired  # equal", "pass  # equal"),
    Mutant(
        "null is empty",
        "equality",
        "if left is right:\n        return True\n    if isinstance",
        "if left is right or (not left and not right):\n        return True\n    if isinstance",
    ),
    Mutant(
        "numbers are doubles",
        "equality",
        "    if isinstance(value, float):\n        return int(value)",
        "    if isinstance(value, int | float):\n        return float(value)",
    ),
    Mutant("JSON text is text", "equality", 'if text.lstrip()[:1] not in ("{", "["):', "if True:"),
    Mutant("lists by position", "walk", "if longest <= 1 and not masks.is_set:", "if True:"),
    Mutant("order does not count", "walk", "if not found and not _equal(four):", "if False:"),
    Mutant("S is R", "views", "state = decode(drifted.change.before) if drifted else reality", "state = reality"),
    Mutant(
        "R is the planned change's",
        "views",
        "decode(drifted.change.after if drifted else",
        "decode(known.change.before if item else",
    ),
    Mutant(
        "nothing beside a deletion",
        "views",
        'since is news."""\n    if evidence.same_closure:',
        'since is news."""\n    if True:',
    ),
    Mutant("a deletion loses no change", "views", 'return Ruling(Label.CONFLICT, "S≠R, R≠L, D absent")', "return None"),
    Mutant("a move is pending", "existence", 'REFACTOR, f"moved from', 'PENDING, f"moved from'),
    Mutant("an import is pending", "existence", 'REFACTOR, "imported"', 'PENDING, "imported"'),
    Mutant("tainted is pending", "existence", 'RESIDUE, "tainted object"', 'PENDING, "tainted object"'),
    Mutant("sensitivity is nothing", "resources", "in sensitivity_places(self._views):", "in ():"),
    Mutant("a check's read is a change", "resources", "quiet = known.action_reason == _FOR_A_CHECK", "quiet = False"),
    Mutant("no difference stands", "restless", "digests.stood(subject, reality, desired)", "False"),
    Mutant(
        "moves are not followed back", "context", "if self._is_wanted(a)), known.address)", "if False), known.address)"
    ),
    Mutant("an unknown element was wanted", "elements", "return UNKNOWN if fits else", "return element if fits else"),
    Mutant("due again is due", "resources", "since.again and _is_due", "False and _is_due"),
    Mutant("what is replaced settles", "verdicts", ' or ("delete" in', ' or (False and "delete" in'),
    Mutant("drift beside pending is drift", "verdicts", " or (drifted and waiting):", ":"),
    Mutant("absorbed is in sync", "verdicts", "bool(labels & DRIFTED)", "bool(labels & (DRIFTED - {Label.ABSORBED}))"),
)


class _Breaking(MetaPathFinder):
    """Loads one module with the mutant's defect."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._mutant.path:
            return None
        found = PathFinder.find_spec(name, path, target)
        assert found is not None
        assert found.origin is not None
        return importlib.util.spec_from_loader(name, _Loader(self._mutant, found.origin), origin=found.origin)


class _Loader(SourceLoader):
    """The module's source, broken."""

    def __init__(self, mutant: Mutant, file: str) -> None:
        self._mutant, self._file = mutant, file

    def get_filename(self, fullname: str) -> str:
        return f"{self._file} ({self._mutant.name})"

    def get_data(self, path: str | bytes) -> bytes:
        return self._mutant.broken(Path(self._file).read_text()).encode()


def hunt(name: str, runs: int, seed: int) -> tuple[int, str]:
    """Break the classifier of this process, and play until it is noticed.

    Args:
        name: one of `MUTANTS`, or `INTACT` for none.

    Returns:
        How many histories that took, and what was noticed; an empty text where nothing was.
    """
    assert _PACKAGE not in sys.modules, "the classifier is loaded already"
    for mutant in MUTANTS:
        if mutant.name == name:
            sys.meta_path.insert(0, _Breaking(mutant))
    from lab.play import play

    histories = 0
    for part in range(runs // _CHUNK):  # a long draw varies what it drew before, a new one draws afresh
        tally = play(_CHUNK, seed * 10_000 + part, "end at the first")
        histories += tally.histories
        noticed = [kind for kind, mismatches, _ in tally.wrong if mismatches]
        if noticed:
            return histories, noticed[0]
    return histories, ""
