"""Alerts in Slack, through slack-sdk: a bot token, or with fewer features an incoming webhook."""

from __future__ import annotations

from driftguard.adapters.slack.client import SlackSink
from driftguard.adapters.slack.webhook import SlackWebhookSink

__all__ = ["SlackSink", "SlackWebhookSink"]
