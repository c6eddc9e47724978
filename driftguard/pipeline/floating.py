"""What of a closure changes without a commit: floating modules, providers without a lock file, data about itself. Pure.

A source is pinned where its text alone decides which code it is: a commit, a tag that looks like a version, an exact
version of a registry. A branch, a range or an address without a checksum is not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import parse_qsl

from driftguard.model import ModuleSource, Move

_REGISTRY: Final = re.compile(r"(?:[\w.-]+(?::\d+)?/)?[\w-]+/[\w-]+/[\w-]+(?://.*)?")
_EXACT_VERSION: Final = re.compile(r"\s*=?\s*v?\d+(?:\.\d+){0,2}(?:-[\w.-]+)?\s*")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_TAG: Final = re.compile(r"refs/tags/.*|(?:.*[/_-])?v?\d+(?:\.\d+)+(?:[-+][\w.+-]*)?|v\d+")
# Branches that are called like versions: release/1.2, stable-1.2, 1.2-dev, refs/heads/1.2.
_BRANCH: Final = re.compile(
    r"refs/heads/.*|(?:.*/)?(?:release|hotfix|bugfix|feature|support|stable|maint|maintenance|branch(?:es)?)s?/.*"
    r"|(?:.*/)?(?:release|stable|support|maint|branch)[-_]v?\d+(?:\.\d+)?|.*-(?:stable|dev|develop|latest|snapshot|wip|branch)",
    re.I,
)
# Query parameters that fix the contents of an address: of go-getter, of S3 and of GCS.
_FIXING: Final = frozenset({"checksum", "versionId", "version", "generation", "digest"})
# A program, as written, that reads the checkout.
_READS_CHECKOUT: Final = re.compile(r"path\.(?:module|root|cwd)|\.{1,2}/|\bgit\b|\.(?:sh|py|js|rb|ts)\b")


def is_pinned(source: str, version: str | None = None) -> bool:
    """Whether a module's source from outside of the repository always gives the same code."""
    if _REGISTRY.fullmatch(source) and not source.startswith(("github.com/", "bitbucket.org/")):
        return bool(version and _EXACT_VERSION.fullmatch(version))
    given = dict(parse_qsl(source.partition("?")[2]))
    ref = given.get("ref") or given.get("rev") or given.get("tag") or ""  # of git, Mercurial and OCI
    tagged = _TAG.fullmatch(ref) and not _BRANCH.fullmatch(ref)
    return bool(_COMMIT.fullmatch(ref) or tagged or _FIXING & given.keys())


def module_moves(directory: str, calls: Collection[ModuleSource]) -> Iterator[Move]:
    """The module calls of a directory whose code changes without a commit."""
    for call in calls:
        source = call.source or ""
        is_expression = "${" in source or "%{" in source  # what it gives is evaluated elsewhere
        if not source or is_expression or source.startswith(("./", "../")) or is_pinned(source, call.version):
            continue
        of = f" {call.version}" if call.version else ""
        where = directory or "."
        yield Move(
            "module",
            f"{source}{of}",
            f"{where}: the module {call.name} ({source}{of}) is not pinned, so its code changes without a commit.",
        )


def provider_move(directory: str) -> Move:
    """An environment that uses providers and has no lock file in git."""
    where = directory or "."
    sentence = f"{where}: no .terraform.lock.hcl is committed, so its providers change without a commit."
    return Move("provider", "", sentence)


def data_moves(directory: str, outside: Collection[str], own: Collection[str]) -> Iterator[Move]:
    """The `data "http"` and `data "external"` of a directory that read the repository itself.

    Args:
        outside: as in `SourceFacts.outside`.
        own: names of the repository, such as `acme/infra`.
    """
    for each in outside:
        address, _, written = each.partition(" ")
        if address.startswith("data.http."):
            if not any(f"/{name}/" in f"{written.strip(chr(34))}/".replace(".git/", "/") for name in own):
                continue
            what = "fetches a file of this repository over the network"
        elif _READS_CHECKOUT.search(written):
            what = "runs a program that may read any file of this repository"
        else:
            continue
        yield Move(
            "data", address, f"{directory or '.'}: {address} {what}, so what it gives is not known from its closure."
        )
