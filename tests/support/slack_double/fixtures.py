"""A Slack double with two channels, and the real client for it; a test module takes them with `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slack_sdk import WebClient

from tests.support.slack_double.calls import client_of
from tests.support.slack_double.server import SlackDouble


@pytest.fixture
def double() -> Iterator[SlackDouble]:
    with SlackDouble(channels=("drift", "prod-drift")) as running:
        yield running


@pytest.fixture
def client(double: SlackDouble) -> WebClient:
    return client_of(double)
