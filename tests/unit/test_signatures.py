"""Commit signatures count only when they are by signers whom the operator named."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from driftguard.adapters.git.repository import GitRepository, open_repository
from driftguard.adapters.signatures import verify_commits
from driftguard.errors import OperatorError
from driftguard.model import Commit, Signature, SignedBy
from driftguard.pipeline.approve.commits import Approvals, Range, judge_approvals
from tests.support.harness import Sandbox

PATH = os.environ["PATH"]


class Signer:
    """Somebody with an SSH key."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.key = name, folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.key)], check=True)

    def allowed(self, options: str = "") -> str:
        return f"{self.name}@example.org {options} {self.key.with_suffix('.pub').read_text()}"

    def commit(self, sandbox: Sandbox, text: str) -> str:
        sandbox.write("a.tf", text)
        sandbox.git("add", "--all")
        settings = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.key}"]
        sandbox.git(*settings, "commit", "-q", "-S", "-m", text)
        return sandbox.git("rev-parse", "HEAD")


@pytest.fixture
def user(tmp_path: Path) -> Sandbox:
    sandbox = Sandbox(tmp_path / "home", {})
    sandbox.commit("unsigned", {"a.tf": "0"})
    return sandbox


def opened(user: Sandbox) -> GitRepository:
    return open_repository(str(user.repository), user.home / "cache")


def write_commit(user: Sandbox, raw: str) -> str:
    """Make a commit object of any text; its id."""
    command = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
    return subprocess.run(
        command, cwd=user.repository, env=user.variables, input=raw, capture_output=True, text=True, check=True
    ).stdout.strip()


def status(user: Sandbox, commit: str, signers: Path) -> Signature:
    return verify_commits(opened(user).mirror, [commit], signers, PATH)[commit].status


def test_ssh_signatures_of_known_signers_are_good_and_no_others(user: Sandbox, tmp_path: Path) -> None:
    ada, eve = Signer(tmp_path, "ada"), Signer(tmp_path, "eve")
    unsigned = user.git("rev-parse", "HEAD")
    by_ada, by_eve = ada.commit(user, "1"), eve.commit(user, "2")
    signers = tmp_path / "allowed"
    signers.write_text(ada.allowed())
    found = verify_commits(opened(user).mirror, [unsigned, by_ada, by_eve], signers, PATH)
    assert found[by_ada] == SignedBy(Signature.GOOD, "ada@example.org")
    assert found[by_eve].status is not Signature.GOOD
    assert found[unsigned] == SignedBy(Signature.UNSIGNED, None)


def test_a_key_whose_time_was_over_is_not_good(user: Sandbox, tmp_path: Path) -> None:
    ada = Signer(tmp_path, "ada")
    commit = ada.commit(user, "1")
    signers = tmp_path / "allowed"
    signers.write_text(ada.allowed('valid-before="20200101"'))
    assert status(user, commit, signers) is not Signature.GOOD


def test_a_key_for_another_purpose_is_not_good(user: Sandbox, tmp_path: Path) -> None:
    ada = Signer(tmp_path, "ada")
    commit = ada.commit(user, "1")
    signers = tmp_path / "allowed"
    signers.write_text(ada.allowed('namespaces="file"'))
    assert status(user, commit, signers) is not Signature.GOOD


def test_a_signature_moved_to_another_commit_is_not_good(user: Sandbox, tmp_path: Path) -> None:
    ada = Signer(tmp_path, "ada")
    signed = ada.commit(user, "1")
    raw = user.git("cat-file", "commit", signed)
    forged = raw.replace("\n\n1", "\n\nsomething else")
    assert forged != raw
    made = write_commit(user, forged + "\n")
    user.git("reset", "-q", "--hard", made)
    signers = tmp_path / "allowed"
    signers.write_text(ada.allowed())
    assert status(user, made, signers) is Signature.BAD


def test_a_signature_taken_from_another_commit_is_not_good(user: Sandbox, tmp_path: Path) -> None:
    ada = Signer(tmp_path, "ada")
    signed = user.git("cat-file", "commit", ada.commit(user, "1"))
    signature = signed[signed.index("gpgsig ") : signed.index("-----END SSH SIGNATURE-----")]
    plain = user.git("cat-file", "commit", user.commit("not by ada", {"a.tf": "2"}))
    head, message = plain.split("\n\n", 1)
    made = write_commit(user, f"{head}\n{signature}-----END SSH SIGNATURE-----\n\n{message}\n")
    user.git("reset", "-q", "--hard", made)
    signers = tmp_path / "allowed"
    signers.write_text(ada.allowed())
    assert status(user, made, signers) is Signature.BAD


def test_settings_of_the_judged_repository_and_of_its_user_do_not_count(user: Sandbox, tmp_path: Path) -> None:
    eve = Signer(tmp_path, "eve")
    commit = eve.commit(user, "1")
    theirs = tmp_path / "theirs"
    theirs.write_text(eve.allowed())
    user.git("config", "gpg.ssh.allowedSignersFile", str(theirs))
    user.git("config", "--global", "gpg.ssh.allowedSignersFile", str(theirs))
    ours = tmp_path / "ours"
    ours.write_text("")
    assert status(user, commit, ours) is not Signature.GOOD


def test_signers_that_cannot_be_read_are_one_sentence(user: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"signers file .* cannot be read"):
        status(user, user.git("rev-parse", "HEAD"), tmp_path / "nowhere")


class Gnupg:
    """A GnuPG home with one key."""

    def __init__(self, name: str, expires: str = "never") -> None:
        # The agent's socket lies in the home, and a socket's path may not be longer than about 100 characters.
        self.home = Path(tempfile.mkdtemp(prefix="gnupg-"))
        self.name = name
        self.gpg("--quick-gen-key", f"{name} <{name}@example.org>", "ed25519", "sign", expires)

    def gpg(self, *arguments: str, answers: str = "") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--pinentry-mode", "loopback"]
        command += ["--passphrase", "", *arguments]
        return subprocess.run(command, check=True, capture_output=True, input=answers.encode()).stdout

    def fingerprint(self) -> str:
        listed = self.gpg("--with-colons", "--list-keys", f"{self.name}@example.org").decode()
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))

    def vouch_for(self, other: Gnupg, file: Path) -> Path:
        """Certify another's key; a file with the certified key."""
        self.gpg("--import", str(other.public(file)))
        self.gpg("--quick-sign-key", other.fingerprint())
        file.write_bytes(self.gpg("--armor", "--export", other.name))
        return file

    def public(self, file: Path) -> Path:
        file.write_bytes(self.gpg("--armor", "--export", self.name))
        return file

    def commit(self, sandbox: Sandbox, text: str, **variables: str) -> str:
        sandbox.write("a.tf", text)
        sandbox.git("add", "--all")
        subprocess.run(
            ["git", "-c", f"user.signingkey={self.name}@example.org", "commit", "-q", "-S", "-m", text],
            cwd=sandbox.repository,
            env={**sandbox.variables, "GNUPGHOME": str(self.home), **variables},
            check=True,
        )
        return sandbox.git("rev-parse", "HEAD")

    def stop(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)
        shutil.rmtree(self.home, ignore_errors=True)


def test_openpgp_signatures_count_by_the_operators_file_of_keys(user: Sandbox, tmp_path: Path) -> None:
    ada, eve = Gnupg("ada"), Gnupg("eve")
    try:
        by_ada, by_eve = ada.commit(user, "1"), eve.commit(user, "2")
        keys = ada.public(tmp_path / "keys.asc")
        found = verify_commits(opened(user).mirror, [by_ada, by_eve], keys, PATH)
    finally:
        ada.stop()
        eve.stop()
    assert found[by_ada].status is Signature.GOOD
    assert found[by_eve].status is not Signature.GOOD


def test_an_expired_openpgp_key_does_not_count(user: Sandbox, tmp_path: Path) -> None:
    ada = Gnupg("ada", "seconds=2")
    try:
        commit = ada.commit(user, "1")
        keys = ada.public(tmp_path / "keys.asc")
        subprocess.run(["sleep", "3"], check=True)
        assert status(user, commit, keys) is Signature.EXPIRED
    finally:
        ada.stop()


def test_a_gnupg_home_counts_by_its_own_trust_and_marginal_is_not_enough(user: Sandbox, tmp_path: Path) -> None:
    operator, friend, ada = (Gnupg(name) for name in ("operator", "friend", "ada"))
    file = tmp_path / "key.asc"
    try:
        commit = ada.commit(user, "1")
        operator.gpg("--import", str(ada.public(file)))
        assert status(user, commit, operator.home) is Signature.UNTRUSTED
        operator.vouch_for(friend, tmp_path / "friend.asc")
        operator.gpg("--import-ownertrust", answers=f"{friend.fingerprint()}:4:\n")  # 4 is marginal
        operator.gpg("--import", str(friend.vouch_for(ada, file)))
        assert status(user, commit, operator.home) is Signature.UNTRUSTED
        operator.vouch_for(ada, file)
        assert status(user, commit, operator.home) is Signature.GOOD
    finally:
        for person in (operator, friend, ada):
            person.stop()


def test_a_revoked_openpgp_key_does_not_count(user: Sandbox, tmp_path: Path) -> None:
    ada = Gnupg("ada")
    try:
        commit = ada.commit(user, "1")
        assert status(user, commit, ada.public(tmp_path / "keys.asc")) is Signature.GOOD
        prepared = ada.home / "openpgp-revocs.d" / f"{ada.fingerprint()}.rev"
        revocation = tmp_path / "revocation.asc"
        revocation.write_text(prepared.read_text().replace(":-----BEGIN", "-----BEGIN"))
        ada.gpg("--import", str(revocation))
        assert status(user, commit, ada.public(tmp_path / "keys.asc")) is Signature.REVOKED
    finally:
        ada.stop()


# --- approvals, from facts ------------------------------------------------------------------------

COMMITS = tuple(Commit(letter * 40, f"author {letter}", datetime(2026, 1, 1, tzinfo=UTC), letter) for letter in "ab")


def test_merged_commits_are_approved_by_being_there() -> None:
    approvals = judge_approvals("merged", Range(True, COMMITS), {})
    assert (approvals.approved, len(approvals.by)) == (True, 2)


def test_one_unsigned_commit_holds_the_whole_range_and_is_named() -> None:
    signed = {"a" * 40: SignedBy(Signature.GOOD, "ada")}
    approvals = judge_approvals("signed", Range(True, COMMITS), signed)
    assert not approvals.approved
    assert [*map(str, approvals.reasons)] == ["not_signed: bbbbbbbbbb of author b is unsigned"]


def test_signatures_that_no_user_was_asked_for_prove_nothing() -> None:
    approvals = judge_approvals("signed", Range(None, ()), {})
    assert (approvals.approved, approvals.reasons[0].name) == (False, "not_signed")
    assert judge_approvals("signed", Range(True, ()), {}).approved  # no commit since the baseline touches the closure


@pytest.mark.parametrize("require", ["merged", "signed", "reviewed"])
def test_rewritten_history_is_never_approved(require: Literal["merged", "signed", "reviewed"]) -> None:
    assert not judge_approvals(require, Range(False, ()), {}).approved


def test_a_refusal_without_a_reason_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        Approvals(False, ())


def test_review_is_held_until_it_can_be_checked() -> None:
    assert judge_approvals("reviewed", Range(True, COMMITS), {}).reasons[0].name == "review_not_available"
