"""The notices of keys in the repository's file that count only in part, or in the operator's file."""

from __future__ import annotations

from collections.abc import Iterator

from driftguard.config.models import Document, EnvironmentEntry


def without_the_operator(repository: Document, source: str) -> Iterator[str]:
    """The notices of keys in the repository's file that count in the operator's file only."""
    for key in sorted({"allow_env", "allow_hosts", "checkout_files"} & repository.model_fields_set):
        yield f"{source}: `{key}` counts in the operator's file only."


def partly_protected(repository: Document, operator: Document, source: str) -> Iterator[str]:
    """The notice of a condition of approval that only the repository's own file sets."""
    asked = sorted(_approvals(repository) - {"merged"})
    if asked and not _approvals(operator):
        yield (
            f"{source}: `approval: {' and '.join(asked)}` stands in the repository's own file only, which protects "
            "partly: a commit may loosen it for later ranges. Set it in the operator's file (--config)."
        )


def _approvals(document: Document) -> set[str]:
    """The conditions of approval that a file sets, at the top level or for an environment."""
    parts: tuple[Document | EnvironmentEntry, ...] = (document, *document.environments)
    policies = (part.policy for part in parts if part.policy is not None)
    return {p.approval.require for p in policies if "approval" in p.model_fields_set and p.approval is not None}
