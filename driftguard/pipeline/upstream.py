"""Outputs of other units that an environment gets: their digests, and which of them changed. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from driftguard.model import Classification, Label, Verdict
from driftguard.model.units import UpstreamRow, UpstreamState

_FOLLOWING = frozenset({Label.INPUT, Label.DERIVED})


def upstream_rows(
    states: Sequence[UpstreamState],
    environments: Mapping[str, str],
    before: Mapping[str, UpstreamRow],
    verdict: Verdict,
    key: bytes,
) -> tuple[UpstreamRow, ...]:
    """What is kept of the states that a plan was made with.

    Args:
        environments: names by directory.
        before: what the last scan kept, by directory.
        verdict: of the environment that gets the outputs: in sync, they are the ones that it is settled with.
    """
    rows = []
    for state in states:
        outputs = {name: _digest(key, name, text) for name, text in state.outputs.items()}
        earlier = before.get(state.path)
        settled = outputs if verdict is Verdict.IN_SYNC else earlier.settled if earlier is not None else None
        name = environments.get(state.path)
        rows.append(UpstreamRow(state.path, name, state.lineage, state.serial, outputs, settled))
    return tuple(rows)


def upstream_changed(rows: Sequence[UpstreamRow], classification: Classification) -> str:
    """The changed outputs, with their environments, that are behind what no commit made; empty where there are none."""
    labels = frozenset[Label]().union(*(resource.labels for resource in classification.resources))
    labels |= {output.label for output in classification.outputs}
    if not labels & _FOLLOWING:
        return ""
    return "; ".join(f"{', '.join(row.changed)} of {row.environment or row.unit}" for row in rows if row.changed)


def _digest(key: bytes, name: str, text: bytes) -> str:
    return hmac.new(key, b"\0".join((b"output", name.encode(), text)), hashlib.sha256).hexdigest()[:32]
