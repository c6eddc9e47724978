"""The double of a platform is held to what a real server answered, recorded in fixtures/tfe/talk.jsonl.

Each line is one request of that talk: what was asked, the status, and the answer's members with the kinds of their
values. The double answers the same statuses, and no member that the server did not send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.tfe_double.certificate import certificate
from tests.support.tfe_double.plans import plan
from tests.support.tfe_double.running import Prepared
from tests.support.tfe_double.server import PlatformDouble
from tests.support.tfe_double.store import Planned

TALK = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures" / "tfe" / "talk.jsonl").read_text().splitlines()
]
KINDS: dict[type, str] = {str: "text", bool: "truth", int: "number", float: "number"}
MAX_POLLS = 12


@pytest.fixture
def double(tmp_path: Path) -> Iterator[PlatformDouble]:
    _, context = certificate(tmp_path)
    with PlatformDouble(Prepared(lambda files, stored: plan()), context) as running:
        running.refusal = 500
        running.add("net-a", tags=["net"], execution="local")
        yield running


def unlike(found: Any, recorded: Any, where: str = "") -> Iterator[str]:
    """What the double sent and the server did not."""
    if found is None or recorded is None:
        return
    if isinstance(found, dict) and isinstance(recorded, dict):
        for name, value in found.items():
            if name in recorded:
                yield from unlike(value, recorded[name], f"{where}.{name}")
            else:
                yield f"{where}.{name} was never sent"
    elif isinstance(found, list) and isinstance(recorded, list):
        for value in found if recorded else ():
            yield from unlike(value, recorded[0], f"{where}[]")
    elif KINDS.get(type(found)) != recorded:
        yield f"{where} is {found!r}, and was {recorded!r}"


class Talk:
    """Repeats the recorded requests with the double's own ids."""

    def __init__(self, double: PlatformDouble, client: httpx.Client) -> None:
        self._double, self._client = double, client
        self._own: dict[str, str] = {}
        self._upload = ""

    def ask(self, line: dict[str, Any]) -> httpx.Response:
        path, body = line["path"], json.dumps(line["request"]) if line["request"] else None
        for recorded, own in self._own.items():
            path, body = path.replace(recorded, own), body.replace(recorded, own) if body else None
        headers = {"Authorization": f"Bearer {self._double.token}", "Content-Type": "application/vnd.api+json"}
        if line["title"] == "wrong token":
            headers["Authorization"] = "Bearer wrong"
        if line["method"] == "PUT":
            return self._client.put(self._upload, content=b"tar")
        if path.startswith("/.well-known"):
            del headers["Authorization"]
        for _ in range(MAX_POLLS):
            answer = self._client.request(
                line["method"], f"https://{self._double.host}{path}", content=body, headers=headers
            )
            found = self._attributes(answer)
            if "/runs/" not in path or line["method"] != "GET" or found.get("status") in (line["state"], "errored"):
                break
        self._learn(line, answer)
        return answer

    def _attributes(self, answer: httpx.Response) -> dict[str, Any]:
        if "json" not in answer.headers.get("content-type", "") or not answer.content:
            return {}
        data = (answer.json() or {}).get("data")
        return data.get("attributes") or {} if isinstance(data, dict) else {}

    def _learn(self, line: dict[str, Any], answer: httpx.Response) -> None:
        if line["id"] and "-" in line["id"] and answer.status_code < 400:
            own = answer.json()["data"]["id"]
            self._own.setdefault(line["id"].partition("-")[2], own.partition("-")[2])
        self._upload = self._attributes(answer).get("upload-url") or self._upload


def answer_for(title: str) -> Planned:
    if title.startswith("an error"):
        return Planned(b"", "Error: no")
    return plan(actions=("no-op",)) if title.startswith("in sync") else plan()


def _given(planned: Planned, files: bytes, stored: bytes) -> Planned:
    return planned


def test_the_double_answers_as_the_recorded_server_did(double: PlatformDouble) -> None:
    problems: list[str] = []
    prepared = double.store.terraform
    assert isinstance(prepared, Prepared)
    with httpx.Client(verify=False) as client:
        talk = Talk(double, client)
        for number, line in enumerate(TALK):
            prepared.answer = partial(_given, answer_for(line["title"]))
            answer = talk.ask(line)
            what = f"{number} {line['title']}"
            if answer.status_code != line["status"]:
                problems.append(f"{what}: {answer.status_code}, and was {line['status']}: {answer.text[:200]}")
            elif isinstance(line["answer"], dict) and "json" in (line["content_type"] or ""):
                problems += [f"{what}: {each}" for each in unlike(answer.json(), line["answer"])]
    assert problems == []


def test_the_recorded_talk_holds_no_token_and_no_address() -> None:
    text = json.dumps(TALK)
    assert "Bearer" not in text
    assert "http" not in text.replace("https://tfe.example.com", "")
