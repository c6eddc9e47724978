"""`driftguard.yaml`: reading, validation, documentation. The only reader of the process's environment variables."""

from __future__ import annotations

from driftguard.config.alerting import AgentSettings, AlertSettings, DampingSettings, DigestSettings, Reminder, Webhook
from driftguard.config.environment import EnvironmentSettings
from driftguard.config.forge import App, Forge, Signing
from driftguard.config.generating import CommitFiles, NoFiles
from driftguard.config.ledger import LedgerSettings
from driftguard.config.models import (
    Approval,
    Aws,
    Backoff,
    Flapping,
    IgnoreRule,
    Limits,
    Policy,
    Suspended,
    Terraform,
    Window,
)
from driftguard.config.platform import Tfe, own_token, token_variable
from driftguard.config.probe import ProbeSettings
from driftguard.config.routes import AlertFacts, AlertRoute, Route, Slack
from driftguard.config.schema import json_schema, reference
from driftguard.config.settings import CONFIG_FILE, Find, Settings, load
from driftguard.config.surroundings import (
    Directories,
    directories,
    missing_variables,
    run_url,
    summary_page,
    surroundings,
    terraform_environment,
    terraform_variables,
)
from driftguard.config.template import template
from driftguard.config.values import duration, duration_text
from driftguard.config.web import WebSettings
from driftguard.config.workspaces import Listing

__all__ = [
    "CONFIG_FILE",
    "AgentSettings",
    "AlertFacts",
    "AlertRoute",
    "AlertSettings",
    "App",
    "Approval",
    "Aws",
    "Backoff",
    "CommitFiles",
    "DampingSettings",
    "DigestSettings",
    "Directories",
    "EnvironmentSettings",
    "Find",
    "Flapping",
    "Forge",
    "IgnoreRule",
    "LedgerSettings",
    "Limits",
    "Listing",
    "NoFiles",
    "Policy",
    "ProbeSettings",
    "Reminder",
    "Route",
    "Settings",
    "Signing",
    "Slack",
    "Suspended",
    "Terraform",
    "Tfe",
    "WebSettings",
    "Webhook",
    "Window",
    "directories",
    "duration",
    "duration_text",
    "json_schema",
    "load",
    "missing_variables",
    "own_token",
    "reference",
    "run_url",
    "summary_page",
    "surroundings",
    "template",
    "terraform_environment",
    "terraform_variables",
    "token_variable",
]
