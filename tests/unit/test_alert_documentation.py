"""The guide to alerts is held to the code: its picture, its configurations, its signature check."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from typing import Any

import yaml

from driftguard.adapters.webhook import signature
from driftguard.config import AlertSettings, Slack
from tests.support.sample_alerts import drift_of_one_attribute
from tests.support.slack_page import PICTURE, page

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "alerts-in-slack.md"


def test_the_picture_in_the_documentation_shows_all_that_the_message_states() -> None:
    shown = html.unescape(re.sub(r"<[^<>]*>", " ", page(drift_of_one_attribute().message())))
    for said in (
        "Drift in prod-eu",
        "is false, configured true",
        "eve (SSO AdministratorAccess)",
        "driftguard explain prod-eu",
    ):
        assert said in shown
    assert not re.search(r"[<>*`^]", shown.partition("}")[2].rpartition("}")[2])
    assert 10_000 < PICTURE.stat().st_size < 300_000


def test_the_signature_check_in_the_documentation_takes_what_is_signed_and_nothing_else() -> None:
    text = GUIDE.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)
    genuine = scope["genuine"]
    now, old = str(int(time.time())), str(int(time.time()) - 600)

    def headers(moment: str, body: bytes) -> dict[str, str]:
        signed = signature(b"key", moment, body)
        return {"X-DriftGuard-Timestamp": moment, "X-DriftGuard-Signature": f"sha256={signed}"}

    assert genuine(headers(now, b"{}"), b"{}", "key")
    assert not genuine(headers(now, b"{}"), b"{ }", "key")
    assert not genuine(headers(now, b"{}"), b"{}", "other key")
    assert not genuine(headers(old, b"{}"), b"{}", "key")


def test_every_configuration_in_the_documentation_is_one() -> None:
    text = GUIDE.read_text()
    blocks = [re.sub(r"(?m)^    ", "", block) for block in re.findall(r"(?m)(?:^    .*\n)+", text)]
    written = [yaml.safe_load(block) for block in blocks if block.startswith(("slack:", "alerts:"))]
    assert len(written) == 10
    for settings_ in written:
        for key, value in settings_.items():
            assert Slack.model_validate(value) if key == "slack" else AlertSettings.model_validate(value)
