"""Who asks, and which environments are visible to that reader: peers, identity headers, hashed bearer tokens."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from driftguard.config import WebSettings
from driftguard.config.web import UNIX
from driftguard.errors import OperatorError

#: A shorter token could be guessed from its hash.
MIN_TOKEN_LENGTH: Final = 32
_BEARER: Final = "bearer "
_PREFIX: Final = "sha256:"


@dataclass(frozen=True, slots=True)
class Viewer:
    """A reader of the pages.

    Attributes:
        name: as the proxy or the tokens file names the reader; empty on loopback without an identity.
        patterns: globs of the environments that are visible.
    """

    name: str
    patterns: tuple[str, ...]

    def sees(self, environment: str) -> bool:
        """Whether an environment is visible."""
        return any(fnmatchcase(environment, pattern) for pattern in self.patterns)

    @property
    def sees_all(self) -> bool:
        """Whether every environment is visible, and with them the counts of whole runs."""
        return "*" in self.patterns


#: The reader on loopback where no identity is asked for, and of the static site.
EVERYTHING: Final = Viewer("", ("*",))


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request proves about its sender.

    Attributes:
        peer: the address of the connection's other end; None for a Unix socket.
        headers: names in lower case, with values, in order.
    """

    peer: str | None
    headers: Sequence[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        """The values of a header, in order."""
        return [value for each, value in self.headers if each == name.lower()]


class TokensFile:
    """Hashed bearer tokens: `sha256:HASH NAME GROUP[,GROUP]` in each line; `#` begins a comment.

    The file is read again when it changes, so that a token can be withdrawn while the pages are served.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._known: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
        self.read()

    def read(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """The tokens' hashes, names and groups.

        Raises:
            OperatorError: the file cannot be read, or a line has another form.
        """
        with self._lock:
            try:
                status = self._path.stat()
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
                if stamp != self._stamp:
                    self._known = tuple(self._lines(self._path.read_text()))
                    self._stamp = stamp
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                raise OperatorError(
                    f"web.tokens_file {self._path} cannot be read ({reason}); no request is answered until it can be."
                ) from None
            return self._known

    def _lines(self, text: str) -> Iterable[tuple[str, str, tuple[str, ...]]]:
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            digest = words[0].removeprefix(_PREFIX)
            if len(words) != 3 or digest == words[0] or len(digest) != 64 or not digest.isascii():
                raise OperatorError(
                    f"web.tokens_file {self._path}:{number} is not `sha256:HASH NAME GROUP[,GROUP]`; correct the line. "
                    "No request is answered until then."
                )
            yield digest.lower(), words[1], tuple(words[2].split(","))

    def find(self, token: str) -> tuple[str, tuple[str, ...]] | None:
        """The name and groups of a token; None for one that is not listed."""
        if len(token) < MIN_TOKEN_LENGTH:
            return None
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        found = [(name, groups) for known, name, groups in self.read() if hmac.compare_digest(known, digest)]
        return found[0] if found else None


class Access:
    """Decides which reader a request comes from.

    Raises:
        OperatorError: the tokens file cannot be read.
    """

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._networks = [ipaddress.ip_network(n) for n in settings.trusted_proxy if not n.startswith(UNIX)]
        self._sockets = {n.removeprefix(UNIX) for n in settings.trusted_proxy if n.startswith(UNIX)}
        self._tokens = TokensFile(Path(settings.tokens_file).expanduser()) if settings.tokens_file else None

    @property
    def takes_tokens(self) -> bool:
        """Whether bearer tokens count."""
        return self._tokens is not None

    def viewer(self, asking: Asking) -> Viewer | None:
        """The reader; None where an identity is needed and not proved.

        Raises:
            OperatorError: the tokens file cannot be read.
        """
        if not self._settings.restricted:
            return EVERYTHING
        return self._by_token(asking) or self._by_proxy(asking)

    def allows_host(self, host: str) -> bool:
        """Whether a request may give this `Host`: another name may be a page of another site that found this address.

        https://owasp.org/www-community/attacks/DNS_Rebinding
        """
        name = host.strip().lower()
        if name.startswith("["):
            name = name.partition("]")[0].removeprefix("[")
        elif name.count(":") == 1:
            name = name.partition(":")[0]
        return name in self._settings.allowed_hosts

    def _by_token(self, asking: Asking) -> Viewer | None:
        values = asking.values("authorization")
        if self._tokens is None or len(values) != 1 or not values[0].lower().startswith(_BEARER):
            return None
        found = self._tokens.find(values[0][len(_BEARER) :].strip())
        return None if found is None else Viewer(found[0], self._patterns(found[1]))

    def _by_proxy(self, asking: Asking) -> Viewer | None:
        settings = self._settings
        if settings.user_header is None or not self._is_listed(asking.peer):
            return None
        # A header that stands twice may be the client's own beside the proxy's.
        users, groups = asking.values(settings.user_header), asking.values(settings.groups_header)
        if len(users) != 1 or not users[0].strip() or len(groups) > 1:
            return None
        named = [group.strip() for group in groups[0].split(",")] if groups else []
        return Viewer(users[0].strip(), self._patterns(named))

    def _is_listed(self, peer: str | None) -> bool:
        if self._settings.socket is not None:
            return self._settings.socket in self._sockets
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def _patterns(self, groups: Iterable[str]) -> tuple[str, ...]:
        known = self._settings.groups
        return tuple(dict.fromkeys(pattern for group in groups for pattern in known.get(group, ())))
