"""Which trust levels a set-up reaches: who can change the cloud through DriftGuard, and what is missing.

The levels and their needs are those of docs/explanation/trust.md. `gather` asks; `assess` is pure.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from driftguard import config
from driftguard.bootstrap.reading import ledger_url
from driftguard.bootstrap.session import Session
from driftguard.bootstrap.target import Target
from driftguard.config import EnvironmentSettings
from driftguard.errors import DriftGuardError
from driftguard.model import BranchProtection

REPORT, MERGED, REVIEWED, SIGNED = "report", "merged", "reviewed", "signed"
LEVELS: Final = {
    REPORT: "no one can change the cloud",
    MERGED: "everyone with permission to merge",
    REVIEWED: "an author together with a reviewer",
    SIGNED: "the holders of the listed keys",
}
_EVERY: Final = tuple(LEVELS)
_WEB_KEY: Final = "noreply@github.com"
_MAX_NAMES: Final = 5


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """What a set-up is, as far as it can be asked.

    Attributes:
        environments: those at head that can be planned.
        operator_file: its path; None without one. `operator_fault`: why a pusher or another user could change it.
        signers: for each file of signers why it protects nothing; None for a good one.
        ledger_writer: the file that sets the ledger. `ledger_fault`: why others than the operator could change it.
        own_identity: whether this process has AWS credentials of its own, which plans without a role would get.
        forge_knows_reviews: None where the forge could not be asked.
        protection: of the tracked branch; None without a forge that knows it. `forge_fault`: why it is not known.
    """

    environments: tuple[EnvironmentSettings, ...]
    branch: str
    operator_file: Path | None
    operator_fault: str | None
    roles_by_operator: bool
    signers: dict[str, str | None]
    ledger_writer: str | None
    ledger_fault: str | None
    own_identity: bool
    forge_knows_reviews: bool | None
    protection: BranchProtection | None
    forge_fault: str | None


@dataclass(frozen=True, slots=True)
class TrustCheck:
    """One need of one or more levels: whether it holds (None: it could not be asked), the finding, the remedy."""

    name: str
    holds: bool | None
    found: str
    remedy: str
    levels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustLevel:
    """One level: whether it is reached (None: nothing known speaks against it), and the checks that are missing."""

    name: str
    reached: bool | None
    missing: tuple[TrustCheck, ...]


@dataclass(frozen=True, slots=True)
class TrustReport:
    """Every check and level; `asked` are the levels that the policies of the environments rely on."""

    asked: tuple[str, ...]
    checks: tuple[TrustCheck, ...]
    levels: tuple[TrustLevel, ...]

    @property
    def good(self) -> bool:
        """Whether every level that the policies rely on is reached."""
        return all(level.reached for level in self.levels if level.name in self.asked)

    def rows(self) -> list[tuple[str, str, str]]:
        """Word, subject and finding: the levels first, then each check with its remedy where it does not hold."""
        words = {True: "yes", False: "no", None: "unknown"}
        rows = []
        for level in self.levels:
            missing = ", ".join(check.name for check in level.missing)
            relied = "; the policy relies on it" if level.name in self.asked else ""
            text = LEVELS[level.name] + relied + (f"; missing: {missing}" if missing else "")
            rows.append((words[level.reached], f"level {level.name}", text))
        for check in self.checks:
            word = {True: "ok", False: "FAIL", None: "unknown"}[check.holds]
            rows.append((word, check.name, check.found if check.holds else f"{check.found}. {check.remedy}"))
        return rows

    def value(self) -> dict[str, Any]:
        """The same for `--format json`."""
        return {
            "asked": list(self.asked),
            "levels": [
                {"level": each.name, "reached": each.reached, "missing": [check.name for check in each.missing]}
                for each in self.levels
            ],
            "checks": [
                {
                    "check": each.name,
                    "good": each.holds,
                    "detail": each.found,
                    "remedy": None if each.holds else each.remedy,
                    "levels": list(each.levels),
                }
                for each in self.checks
            ],
        }


def examine_trust(repo: str, ref: str | None, operator_file: Path | None) -> TrustReport:
    """The trust levels of the present set-up; the forge is asked where one is configured.

    Raises:
        DriftGuardError: the repository or its configuration cannot be read.
    """
    with Session(Target(repo, ref, operator_file)) as session:
        return assess(gather(session, operator_file))


def assess(facts: TrustFacts) -> TrustReport:
    """The levels that the facts reach."""
    checks = (
        *_policy(facts),
        *_roles(facts),
        *_operator(facts),
        *_branch(facts),
        *_reviews(facts),
        *_signers(facts),
        _ledger(facts),
    )
    levels = []
    for name in LEVELS:
        missing = tuple(check for check in checks if name in check.levels and not check.holds)
        reached: bool | None = not missing
        if missing and all(check.holds is None for check in missing):
            reached = None
        levels.append(TrustLevel(name, reached, missing))
    acting = [each for each in facts.environments if _acts(each)]
    asked = tuple(dict.fromkeys(each.policy.approval.require for each in acting)) or (REPORT,)
    return TrustReport(asked, checks, tuple(levels))


def _acts(settings: EnvironmentSettings) -> bool:
    """Whether a policy can end in an apply: a merged proposal is one as well."""
    policy = settings.policy
    return (policy.pending, policy.drift, policy.input) != ("alert", "alert", "alert")


def _policy(facts: TrustFacts) -> Iterator[TrustCheck]:
    acting = [each for each in facts.environments if _acts(each)]
    found = f"{_names(acting)} can be applied" if acting else "every policy is alert-only"
    yield TrustCheck("policy", not acting, found, "For `report`, set `policy` to `alert` everywhere.", (REPORT,))
    for level, accepted in ((REVIEWED, (REVIEWED, SIGNED)), (SIGNED, (SIGNED,))):
        weak = [each for each in acting if each.policy.approval.require not in accepted]
        loose = [each for each in acting if each not in weak and not each.approved_by_operator]
        if weak:
            found = f"{_names(weak)} may be applied with less"
        elif loose:
            found = f"the approval of {_names(loose)} stands in the repository's file, which a commit may loosen"
        else:
            found = f"`policy.approval` asks for {level}"
        remedy = f"Set `policy: {{approval: {{require: {level}}}}}` in the operator's file (--config)."
        yield TrustCheck(f"approval {level}", not (weak or loose), found, remedy, (level,))


def _roles(facts: TrustFacts) -> Iterator[TrustCheck]:
    """Code of a commit runs in a plan, so the credentials of plans must not be able to apply."""
    plain = [each for each in facts.environments if each.aws.plan_role_arn is None]
    remedy = "Set `aws.plan_role_arn` in the operator's file: a role that can only read (read-only-credentials.md)."
    if plain and facts.own_identity:
        found = f"plans of {_names(plain)} run with the AWS credentials of this process"
    elif plain:
        found = f"no role for plans of {_names(plain)}, and no AWS credentials in this process's variables"
        remedy = f"{remedy} For another cloud, give this process credentials that can only read."
    else:
        found = "every plan has a role of its own"
    yield TrustCheck("role for plans", not plain, found, remedy, _EVERY)
    acting = [each for each in facts.environments if _acts(each) and each.aws.plan_role_arn is not None]
    same = [e for e in acting if e.aws.apply_role_arn in (None, e.aws.plan_role_arn)]
    found = f"{_names(same)} have no role for applies besides that of plans" if same else "applies have other roles"
    remedy = "Set `aws.apply_role_arn` to another role than that of plans."
    yield TrustCheck("role for applies", not same, found, remedy, (MERGED, REVIEWED, SIGNED))
    given = any(each.aws.plan_role_arn for each in facts.environments)
    holds = facts.roles_by_operator or not given
    found = "no commit chooses a role" if holds else "the repository's file sets them, so a commit may choose others"
    remedy = "Set `aws` in the operator's file, so that no commit chooses the roles."
    yield TrustCheck("roles by the operator", holds, found, remedy, _EVERY)


def _operator(facts: TrustFacts) -> Iterator[TrustCheck]:
    levels = (REVIEWED, SIGNED)
    remedy = "Pass one with --config: a file outside of the repository that only its owner may write."
    if facts.operator_file is None:
        yield TrustCheck("operator's file", False, "none is given", remedy, levels)
    else:
        found = f"{facts.operator_file} {facts.operator_fault or 'is no part of a commit'}"
        yield TrustCheck("operator's file", facts.operator_fault is None, found, remedy, levels)


def _branch(facts: TrustFacts) -> Iterator[TrustCheck]:
    """The protection of the tracked branch; what the forge does not report has to be looked at on its page."""
    known = facts.protection or BranchProtection()
    approvals = None if known.approvals is None else known.approvals >= 1
    both = (MERGED, REVIEWED)
    needs = (
        ("direct pushes", _negated(known.direct_push), "refuse pushes without a pull request", both),
        ("force pushes", _negated(known.force_push), "refuse force pushes", both),
        ("approval to merge", approvals, "require at least one approval", both),
        ("administrators", _negated(known.bypass), "let no one bypass the rules, administrators included", both),
        ("stale approvals", known.dismisses_stale, "dismiss approvals when commits are pushed", (REVIEWED,)),
    )
    for name, holds, rule, levels in needs:
        asked = f"the forge was not asked: {facts.forge_fault}" if facts.forge_fault else "the forge does not report it"
        found = {True: f"protected: {rule}", False: f"{facts.branch} is not protected", None: asked}[holds]
        remedy = f"On the forge's page of {facts.branch}, {rule}."
        yield TrustCheck(f"branch: {name}", holds, found, remedy, levels)


def _reviews(facts: TrustFacts) -> Iterator[TrustCheck]:
    found = {True: "the forge knows them", False: "no forge that knows reviews is configured"}
    remedy = "Configure `forge` with `kind: github` or `kind: gitlab`, and a token that may read."
    known = facts.forge_knows_reviews
    text = str(facts.forge_fault) if known is None else found[known]
    yield TrustCheck("reviews", known, text, remedy, (REVIEWED,))


def _signers(facts: TrustFacts) -> Iterator[TrustCheck]:
    remedy = "Set `policy.approval.signers` to a file that only the operator may write, without the forge's web key."
    faults = [f"{path}: {fault}" for path, fault in facts.signers.items() if fault is not None]
    found = "; ".join(faults) or ", ".join(facts.signers) or "no file of signers is named"
    yield TrustCheck("signers", bool(facts.signers) and not faults, found, remedy, (SIGNED,))


def _ledger(facts: TrustFacts) -> TrustCheck:
    remedy = "Set `ledger` in the operator's file, and let only DriftGuard's user read and write it."
    levels = (REVIEWED, SIGNED)
    if facts.ledger_writer == "repository":
        found = "the repository's file chooses the ledger, which holds approved points and the key of approvals"
        return TrustCheck("ledger", False, found, remedy, levels)
    found = facts.ledger_fault or "its hash chain is intact, and its key is DriftGuard's own"
    return TrustCheck("ledger", facts.ledger_fault is None, found, remedy, levels)


def _negated(fact: bool | None) -> bool | None:
    return None if fact is None else not fact


def _names(environments: Sequence[EnvironmentSettings]) -> str:
    shown = ", ".join(each.name for each in environments[:_MAX_NAMES])
    more = len(environments) - _MAX_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


# --- asking --------------------------------------------------------------------------------------


def gather(session: Session, operator_file: Path | None) -> TrustFacts:
    """The facts of an opened repository; a forge that does not answer is a fact as well."""
    environments = tuple(each for each in session.environments if each.fault is None)
    root = session.repository.local_root
    named = {each.policy.approval.signers for each in environments}
    knows, protection, fault = _ask_forge(session)
    return TrustFacts(
        environments=environments,
        branch=session.repository.ref,
        operator_file=operator_file,
        operator_fault=_file_fault(operator_file, root) if operator_file is not None else None,
        roles_by_operator=session.settings.roles_by_operator,
        signers={path: _signers_fault(Path(path), root) for path in sorted(filter(None, named))},
        ledger_writer=session.settings.written_by("ledger"),
        ledger_fault=_ledger_fault(session),
        own_identity=any(name in session.environ for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN")),
        forge_knows_reviews=knows,
        protection=protection,
        forge_fault=fault,
    )


def _ask_forge(session: Session) -> tuple[bool | None, BranchProtection | None, str | None]:
    """Whether reviews are known, the protection of the tracked branch, and why they are not known."""
    if session.settings.forge is None:
        return False, None, "no `forge` is configured"
    try:
        forge = session.opened_forge()
        if forge.service is None:
            return False, None, "a plain git server reports no protection"
        return True, forge.service.protection(session.repository.ref), None
    except DriftGuardError as error:
        return None, None, str(error).rstrip(".")


def _file_fault(file: Path, root: Path | None) -> str | None:
    """Why others than the operator could change a file; None where they cannot."""
    resolved = file.resolve()
    if root is not None and resolved.is_relative_to(root.resolve()):
        return "lies in the repository's work tree, so a commit can change it"
    for path, what in ((resolved, "is"), (resolved.parent, "lies in a folder that is")):
        mode = path.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            return f"{what} writable by other users"
    return None


def _signers_fault(file: Path, root: Path | None) -> str | None:
    try:
        fault = _file_fault(file, root)
        if fault is None and file.is_file():
            text = file.read_bytes()
            if not text.strip():
                return "is empty, so no commit is approved"
            if _WEB_KEY.encode() in text:
                return f"holds the forge's web key ({_WEB_KEY}): each merge on its page is signed with it"
        return fault
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _ledger_fault(session: Session) -> str | None:
    try:
        faults = session.ledger.verify()
    except DriftGuardError as error:
        return str(error).rstrip(".")
    if faults:
        return f"its hash chain is broken at entry {faults[0].sequence}"
    url = ledger_url(session.settings, config.directories(), session.environ, session.repository.display)
    file = Path(url.removeprefix("sqlite:///")).expanduser()
    if url.startswith("sqlite:") and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{file} is open to other users, and with it the key of approvals"
    return None
