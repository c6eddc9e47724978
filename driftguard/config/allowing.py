"""How far the repository's file may choose where secrets go: a commit's keys for variables, hosts and files.

Takes the checked documents of both files; gives the repository's without what does not count, and a sentence for each
such key. Every pusher to the tracked branch can write that file, so it may name only the services' own hosts, and
never a variable that would change what Terraform, git or a TLS connection does. The operator's file allows more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from driftguard.config.alerting import AlertSettings, NamedSink, Webhook
from driftguard.config.base import Model
from driftguard.config.forge import Forge
from driftguard.config.models import Document, EnvironmentEntry
from driftguard.config.platform import Tfe
from driftguard.config.routes import AlertRoute, Slack, is_slack
from driftguard.config.surroundings import is_passed_on

# Variables that steer Terraform, git, the loader or a connection: only the operator's file may set them.
_STEERING: Final = re.compile(
    r"TF_(?!VAR_|TOKEN_|REGISTRY_|HTTP_|ENCRYPTION$).*|TERRAFORM_CONFIG|TOFU_.*|TG_.*|TERRAGRUNT_.*|GODEBUG"
    r"|PATH|HOME|SHELL|ENV|BASH_ENV|BASH_FUNC_.*|IFS|TMPDIR|XDG_.*|NETRC|PYTHON.*|LD_.*|DYLD_.*"
    r"|GIT_.*|SSH_.*|.*_PROXY|.*_proxy|SSL_CERT_(?:FILE|DIR)|.*_CA_BUNDLE|.*_CA_CERTS?|.*_CACERT|.*_CAINFO|OPENSSL_.*"
    r"|AWS_ENDPOINT_URL.*|AWS_.*_ENDPOINT.*|AWS_CONTAINER_.*|AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
)
_OWN_HOSTS: Final = {
    "slack": ("slack.com", "slack-gov.com"),
    "github": ("github.com", "api.github.com", "ssh.github.com"),
    "gitlab": ("gitlab.com",),
    "pagerduty": ("events.pagerduty.com", "events.eu.pagerduty.com"),
}
# Files that choose the cloud's address and credentials: a commit may name them as little as the address itself.
_CLOUD_FILES: Final = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
# Tokens of DriftGuard's own that people keep under these names; nothing in an environment needs them.
_OWN_TOKENS: Final = ("SLACK_*", "DRIFTGUARD_*")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator's file lets the repository's file choose: globs of variables' names, and of hosts."""

    env: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


def permitted(
    repository: Document, operator: Document, source: str, allowed: Allowed | None
) -> tuple[Document, tuple[str, ...]]:
    """The repository's document as far as it counts, and a sentence for each key that does not.

    Args:
        source: what messages call the repository's file.
        allowed: None where there is no operator's file.
    """
    check = _Check(source, allowed, set(_used(operator)))
    slack, forge = repository.slack, repository.forge
    own_slack = check.slack(slack) if slack is not None else None
    update: dict[str, object] = {
        "slack": own_slack,
        "alerts": check.alerts(repository.alerts, slack=slack is None or own_slack is not None),
        "forge": check.forge(forge) if forge is not None else None,
        "ledger": repository.ledger if check.ledger(repository) else type(repository.ledger)(),
        "web": repository.web if check.web(repository) else type(repository.web)(),
        "environments": tuple(check.entry(entry) for entry in repository.environments),
        "tfe": check.tfe("tfe", repository.tfe),
    }
    fields = repository.model_fields_set
    document = repository.model_copy(update=update)
    document.__pydantic_fields_set__ = fields - {name for name, value in update.items() if value is None}
    return document, tuple(check.notices)


def _used(section: Model) -> Iterator[str]:
    """The variables that the keys of a section, and of those in it, read: every key that ends in `_env`."""
    for key in type(section).model_fields:
        value = getattr(section, key)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Model):
                yield from _used(each)
        if key.endswith("_env") and isinstance(value, str):
            yield value


class _Check:
    def __init__(self, source: str, allowed: Allowed | None, used: set[str]) -> None:
        self._source, self._allowed, self._used = source, allowed, used
        self.notices: list[str] = []

    def slack(self, slack: Slack) -> Slack | None:
        counts = all(
            self.variable(f"slack.{key}", name, "`slack` is left out, and alerts go to standard output")
            for key, name in (
                ("token_env", slack.token_env),
                ("webhook_env", slack.webhook_env),
                ("app_token_env", slack.app_token_env),
            )
            if name is not None
        )
        if not counts:
            return None
        if "api_url" in slack.model_fields_set and not self._host("slack.api_url", slack.api_url, "slack", "it"):
            return slack.model_copy(update={"api_url": Slack.model_fields["api_url"].default})
        return slack

    def alerts(self, alerts: AlertSettings, *, slack: bool) -> AlertSettings:
        """The alerts with only those recipients that count; `slack` where its channels do."""
        update: dict[str, object] = {}
        if alerts.webhook is not None and not self.webhook(alerts.webhook):
            update["webhook"] = None
        sinks = tuple(sink for sink in alerts.sinks if self.sink(sink))
        if sinks != alerts.sinks:
            update["sinks"] = sinks
        known = {sink.name for sink in sinks} | (set() if "webhook" in update else {"webhook"})
        lost = _lost(alerts.routes, known, slack=slack)
        if lost:
            update |= {"routes": tuple(filter(None, (_without(route, lost) for route in alerts.routes)))}
        return alerts.model_copy(update=update) if update else alerts

    def sink(self, sink: NamedSink) -> bool:
        """Whether a further sink of the repository counts."""
        left_out = f"the sink {sink.name} is left out"
        named = (("apprise_env", sink.apprise_env), ("pagerduty_env", sink.pagerduty_env))
        counts = [self.variable(f"alerts.sinks.{key}", name, left_out) for key, name in named if name is not None]
        if "api_url" in sink.model_fields_set:
            counts.append(self._host("alerts.sinks.api_url", sink.api_url, "pagerduty", f"the sink {sink.name}"))
        return all(counts)

    def webhook(self, webhook: Webhook) -> bool:
        """Whether the repository's webhook counts."""
        left_out = "`alerts.webhook` is left out"
        counts = [
            self.variable("alerts.webhook.url_env", webhook.url_env, left_out),
            self.variable("alerts.webhook.secret_env", webhook.secret_env, left_out),
        ]
        return all(counts)

    def forge(self, forge: Forge) -> Forge | None:
        left_out = "`forge` is left out"
        counts = [
            self.variable(f"forge.{key}", name, left_out)
            for key, name in (("token_env", forge.token_env), ("app.key_env", forge.app.key_env if forge.app else None))
            if name is not None
        ]
        files = (("token_file", forge.token_file), ("app.key_file", forge.app.key_file if forge.app else None))
        counts += [self._file(f"forge.{key}", left_out) for key, file in files if file is not None]
        if forge.url is not None:
            counts.append(self._host("forge.url", forge.url, forge.kind, "`forge`"))
        if forge.push_url is not None and urlsplit(forge.push_url).hostname:
            counts.append(self._host("forge.push_url", forge.push_url, forge.kind, "`forge`"))
        return forge if all(counts) else None

    def ledger(self, document: Document) -> bool:
        """Whether the repository's ledger counts."""
        ledger = document.ledger
        left_out = "the default ledger is used"
        if ledger.url_env is not None and not self.variable("ledger.url_env", ledger.url_env, left_out):
            return False
        host = urlsplit(ledger.url or "").hostname if (ledger.url or "").startswith("postgresql") else None
        if host is None or self._allowed is None or _matches(host, self._allowed.hosts):
            return True
        self._refuse("ledger.url", f"leads to {host}, which needs `allow_hosts` in the operator's file", left_out)
        return False

    def web(self, document: Document) -> bool:
        """Whether the repository's section of the web view counts: a commit must not choose who reads the pages."""
        if "web" not in document.model_fields_set:
            return True
        if self._allowed is None and document.web.loopback:
            return True
        problem = "counts in the operator's file only"
        if self._allowed is None:
            problem = f"serves on {document.web.address}, and only the operator's file may choose more than loopback"
        self._refuse("web", problem, "the pages are served on 127.0.0.1:8899")
        return False

    def entry(self, entry: EnvironmentEntry) -> EnvironmentEntry:
        """One entry with only those variables that count, and without files of this machine."""
        if entry.files is not None:
            self._refuse("environments.files", "counts in the operator's file only", "nothing is copied")
            entry = entry.model_copy(update={"files": None})
        entry = entry.model_copy(update={"tfe": self.tfe("environments.tfe", entry.tfe)})
        if "env" not in entry.model_fields_set:
            return entry
        kept = {name: value for name, value in entry.env.items() if self._env(name, value)}
        return entry if kept == entry.env else entry.model_copy(update={"env": kept})

    def tfe(self, key: str, tfe: Tfe) -> Tfe:
        """The platform's keys without a token: which of them goes where is the operator's choice."""
        if tfe.token_env is None:
            return tfe
        self._refuse(f"{key}.token_env", "counts in the operator's file only", "no token is taken from it")
        kept = tfe.model_copy(update={"host": None, "token_env": None})
        kept.__pydantic_fields_set__ = tfe.model_fields_set - {"host", "token_env"}
        return kept

    def variable(self, key: str, name: str, consequence: str) -> bool:
        """Whether a key may read a variable; each variable belongs to one key."""
        problem = None
        if name.startswith("AWS_") or _STEERING.fullmatch(name):
            problem = f"names {name}, which belongs to Terraform's credentials or to the system"
        elif name in self._used:
            problem = f"names {name}, which another key uses already"
        elif self._allowed is not None and not _matches(name, self._allowed.env):
            problem = f"names {name}, which needs `allow_env` in the operator's file"
        self._used.add(name)
        if problem is not None:
            self._refuse(key, problem, consequence)
        return problem is None

    def _env(self, name: str, value: str | None) -> bool:
        problem = None
        if _STEERING.fullmatch(name) or (value is not None and name in _CLOUD_FILES):
            problem = f"sets {name}, which steers Terraform or a connection: only the operator's file may"
        elif value is not None and name.startswith("TF_TOKEN_"):
            problem = f"gives a value to {name}, and a token of a commit does not count"
        elif value is None and not is_passed_on(name):
            if name in self._used or _matches(name, _OWN_TOKENS):
                problem = f"asks for {name}, which is DriftGuard's own"
            elif self._allowed is not None and not _matches(name, self._allowed.env):
                problem = f"asks for {name}, which needs `allow_env` in the operator's file"
        if problem is not None:
            self._refuse("environments.env", problem, "Terraform does not get it")
        return problem is None

    def _host(self, key: str, url: str, service: str, what: str) -> bool:
        host = (urlsplit(url).hostname or "").lower()
        own = _OWN_HOSTS.get(service, ())
        if host in own or (self._allowed is not None and _matches(host, self._allowed.hosts)):
            return True
        by = (
            "of the operator's file does not allow"
            if self._allowed is not None
            else "in an operator's file would allow"
        )
        self._refuse(key, f"leads to {host}, which `allow_hosts` {by}", f"{what} is left out")
        return False

    def _file(self, key: str, consequence: str) -> bool:
        if self._allowed is None:
            return True
        self._refuse(key, "names a file of this machine, which only the operator's file may", consequence)
        return False

    def _refuse(self, key: str, problem: str, consequence: str) -> None:
        notice = f"{self._source}: `{key}` {problem}; {consequence}."
        if notice not in self.notices:
            self.notices.append(notice)


def _lost(routes: Sequence[AlertRoute], known: Set[str], *, slack: bool) -> set[str]:
    """The sinks of routes that do not count; `slack` where its channels, and its webhook, do."""
    named = {name for route in routes for name in route.sinks}
    return {name for name in named if not (slack if is_slack(name) or name == "slack-webhook" else name in known)}


def _without(route: AlertRoute, lost: Set[str]) -> AlertRoute | None:
    """A route without some of its sinks; None where none is left."""
    left = tuple(name for name in route.sinks if name not in lost)
    return route.model_copy(update={"sinks": left}) if left else None


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
