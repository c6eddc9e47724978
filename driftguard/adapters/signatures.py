"""Verifies commit signatures against signers that the operator names, and no others.

git does the work (`%G?`), with a configuration that the judged repository cannot touch: no system or user settings,
and a key store of our own. The file of signers is an SSH allowed-signers file (ssh-keygen(1)), a file of OpenPGP
public keys, or a GnuPG home directory with its own trust. With an allowed-signers file git checks `valid-before` and
`valid-after` against the committer's date, which the committer chooses: take a lost key out of the file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from driftguard.adapters.process import run
from driftguard.errors import OperatorError
from driftguard.model import Signature, SignedBy
from driftguard.ports import Signatures

_SECONDS = 120.0
# git's letters: good, good of unknown validity, expired signature, expired key, revoked key, bad, cannot check, none.
_STATUS = {
    "G": Signature.GOOD,
    "U": Signature.UNTRUSTED,
    "X": Signature.EXPIRED,
    "Y": Signature.EXPIRED,
    "R": Signature.REVOKED,
    "B": Signature.BAD,
    "E": Signature.UNTRUSTED,
    "N": Signature.UNSIGNED,
}
# In a GnuPG home git's G also covers a key of marginal validity, which too few vouch for.
_TRUSTED = ("fully", "ultimate")


class GitSignatures(Signatures):
    """Signatures of the commits of a mirror, verified by git.

    Args:
        mirror: the bare repository that holds the commits.
        search_path: PATH, for git, gpg and ssh-keygen.
    """

    def __init__(self, mirror: Path, search_path: str) -> None:
        self._mirror, self._search_path = mirror, search_path

    def verify(self, commits: Sequence[str], signers: Path) -> Mapping[str, SignedBy]:
        """The signature of each commit, by its id."""
        return verify_commits(self._mirror, commits, signers, self._search_path)


def verify_commits(mirror: Path, commits: Sequence[str], signers: Path, search_path: str) -> Mapping[str, SignedBy]:
    """The signature of each commit.

    Args:
        mirror: the bare repository that holds the commits.
        signers: whose signatures count.
        search_path: PATH, for git, gpg and ssh-keygen.

    Raises:
        OperatorError: the signers cannot be read, or git cannot verify at all.
    """
    if not commits:
        return {}
    with (
        tempfile.TemporaryDirectory(prefix="driftguard-keys-") as scratch,
        _keys(signers, Path(scratch), search_path) as (home, allowed),
    ):
        command = ["git", "-c", "gpg.program=gpg", "-c", "gpg.ssh.program=ssh-keygen"]
        command += ["-c", f"gpg.ssh.allowedSignersFile={allowed}", "--git-dir", str(mirror)]
        command += ["log", "--no-walk=unsorted"]
        found = {}
        for line in _output([*command, "--format=%H%x00%G?%x00%GS", *commits, "--"], home, search_path):
            commit, letter, signer = line.decode(errors="replace").split("\0", 2)
            found[commit] = SignedBy(_STATUS.get(letter, Signature.BAD), signer or None)
        good = [commit for commit, signed in found.items() if signed.status is Signature.GOOD]
        if good and signers.is_dir():
            # Asked of good ones only: of a signature without any trust git aborts.
            for line in _output([*command, "--format=%H%x00%GT", *good, "--"], home, search_path):
                commit, trust = line.decode().split("\0", 1)
                if trust not in _TRUSTED:
                    found[commit] = replace(found[commit], status=Signature.UNTRUSTED)
    return found


@contextmanager
def _keys(signers: Path, scratch: Path, search_path: str) -> Iterator[tuple[Path, Path]]:
    """A GnuPG home and an allowed-signers file; whichever the signers are not is empty."""
    home, no_signers = scratch / "gnupg", scratch / "no_signers"
    home.mkdir(mode=0o700)
    no_signers.touch()
    if signers.is_dir():
        yield signers, no_signers
        return
    try:
        content = signers.read_bytes()
    except OSError as error:
        raise OperatorError(
            f"The signers file {signers} cannot be read: {error.strerror}. Nothing counts as signed without it."
        ) from None
    if content.startswith(b"-----BEGIN PGP") or (content[:1] and content[0] & 0x80):
        # Every key of the operator's file is trusted; this key store has no other.
        (home / "gpg.conf").write_text("trust-model always\n")
        _output(["gpg", "--batch", "--quiet", "--import", str(signers)], home, search_path)
        yield home, no_signers
    else:
        yield home, signers


def _output(command: Sequence[str], home: Path, search_path: str) -> list[bytes]:
    lines: list[bytes] = []
    environment = {
        "PATH": search_path,
        "HOME": str(home),
        "GNUPGHOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "LC_ALL": "C",
    }
    try:
        done = run(command, directory=home, environment=environment, timeout_seconds=_SECONDS, on_line=lines.append)
    except OSError as error:
        raise OperatorError(f"{command[0]} could not be started: {error.strerror}.") from None
    if done.code != 0:
        raise OperatorError(f"{command[0]} could not verify signatures: {' '.join(done.stderr.split())[:300]}")
    return lines
