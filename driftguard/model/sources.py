"""Commits, trees, environments and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from driftguard.model.products import PRODUCTS
from driftguard.model.units import UnitFacts


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a commit's tree.

    Attributes:
        mode: git's octal file mode as text, such as `100644`, `120000` (symbolic link), `160000` (submodule).
        object_id: the git object id (hex).
    """

    mode: str
    object_id: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, as reports show it."""

    sha: str
    author: str
    date: datetime
    subject: str


class Signature(StrEnum):
    """What is known of a commit's signature."""

    GOOD = "good"
    UNSIGNED = "unsigned"
    UNTRUSTED = "untrusted"
    EXPIRED = "expired"
    REVOKED = "revoked"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class SignedBy:
    """A verified signature: its status, and whose it is where that is known."""

    status: Signature
    signer: str | None = None


@dataclass(frozen=True, slots=True)
class ToolVersion:
    """A Terraform-compatible program: `product` is `terraform` or `tofu`, `path` what is executed."""

    product: str
    version: str
    path: str

    def __str__(self) -> str:
        return f"{self.product} {self.version}"

    @property
    def title(self) -> str:
        """Product and version as texts call them: `OpenTofu 1.12.6`."""
        return f"{PRODUCTS[self.product].title} {self.version}"


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """One `module` block's source as written, e.g. `../../modules/network` or `app.terraform.io/acme/vpc/aws`."""

    name: str
    source: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """The newest change of a block: who made it, and where the block stands."""

    commit: str
    author: str
    date: datetime
    subject: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One Terraform file's references to other files.

    Attributes:
        init_facts: canonical text of everything in it that `terraform init` depends on.
        paths: paths that it mentions, relative to its directory; where one goes on with something that is known
            only to Terraform, the directory up to there.
        root_paths: the same, relative to the root module's directory, which is where Terraform runs.
        problem: when the file could not be parsed and the facts are a conservative guess: what follows the
            file's name in a sentence, e.g. `:13 could not be parsed; ...`.
        computed: whether it reads a file whose path is more than a literal below its own directory.
        uses_providers: whether it declares anything that a provider serves, Terraform's built-in one aside.
        reads: literal paths whose contents it takes: `module:PATH` or `root:PATH`, by what they are relative to.
        templates: literal paths of templates, as in `reads`.
        outside: its `data "http"` and `data "external"`: address, a space, and the address or program as written.
    """

    modules: tuple[ModuleSource, ...] = ()
    init_facts: str = ""
    paths: tuple[str, ...] = ()
    root_paths: tuple[str, ...] = ()
    problem: str | None = None
    computed: bool = False
    uses_providers: bool = False
    outside: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """Something of a closure that changes without a commit.

    Attributes:
        kind: `module`, `provider` or `data`.
        subject: a module's source, or an address; empty for providers.
        sentence: where it stands, and what follows from it.
    """

    kind: str
    subject: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Closure:
    """Every file that can change an environment's plan, at one commit.

    Attributes:
        files: repository path to git object id, sorted by path.
        modules: directories of local modules reached, sorted.
        remote_sources: module sources outside the repository, sorted.
        init_key: digest of what `terraform init` depends on (lock file, module calls, backend and provider
            requirements); equal keys mean that no commit asks for another init.
        warnings: one sentence for each file that could not be read exactly and was over-approximated.
        open: why it cannot be known completely, one sentence for each reason; empty for a closed one.
        requires: every `required_version` of its modules, sorted.
        version_files: version files above its directory, by path; they are part of `files`.
        missing: what of its content could not be had (submodules, Git LFS), one sentence each: it cannot be planned.
        moves: what of it changes without a commit; each is a reason in `open`, too.
        dangling: symbolic links in it that lead to nothing, one sentence each.
        product: `tofu` where its directory holds files of OpenTofu only, which Terraform does not read; None otherwise.
        given: files of it that lie in no commit, by their paths, with digests of their contents.
        absent: paths that its expressions read and that are not in git, sorted.
        unit: of a Terragrunt unit, whose own directory is not all that is planned; None for a root module.
    """

    files: Mapping[str, str]
    modules: tuple[str, ...]
    remote_sources: tuple[str, ...]
    init_key: str
    warnings: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    version_files: Mapping[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    dangling: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    product: str | None = None
    unit: UnitFacts | None = None

    def hash(self, tool: str, settings: str) -> str:
        """The closure hash: equal hashes mean that no commit changed the environment (hex, 64 digits).

        Args:
            tool: product and version of what plans.
            settings: the digest of the environment's settings that can change a plan.
        """
        import hashlib

        import msgspec

        parts = [sorted(self.files.items()), tool, settings, *([sorted(self.given.items())] if self.given else [])]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class Baseline:
    """The last known-good point of an environment.

    Attributes:
        commit: where it was last applied, or last seen in sync.
        origin: the contract's `baseline.from`: `apply`, `in_sync` or `given`.
        closure_hash: its closure hash then.
        lineage, serial: of the state then; None where the state had none.
        tool: product and version then, e.g. `terraform 1.11.4`.
        providers: provider address to version then.
        at: when (UTC).
        empty: whether the state held neither a managed resource nor an output; None where that was not recorded.
    """

    commit: str
    origin: str
    closure_hash: str
    lineage: str | None
    serial: int | None
    tool: str
    providers: Mapping[str, str]
    at: datetime
    empty: bool | None = None

    @property
    def held_something(self) -> bool:
        """Whether its state held resources or outputs, as far as that is known."""
        if self.empty is not None:
            return not self.empty
        return self.lineage is not None or self.origin == "given"
