"""What people see of foreign texts: no escape sequence, no reordered or hidden text, no link that a text brought."""

from __future__ import annotations

import io
import logging
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from driftguard.adapters.plain import as_text
from driftguard.adapters.slack.blocks import render
from driftguard.cli.entrypoint import _MaskedFormatter
from driftguard.cli.inspect import _explained, _explanation
from driftguard.cli.options import Format
from driftguard.cli.output import emit_rows
from driftguard.cli.progress import Reporter
from driftguard.cli.summary import markdown
from driftguard.cli.text import print_run
from driftguard.model import Label, Verdict
from driftguard.model.report import EnvironmentReport, RunReport, read_environment
from driftguard.pipeline.alert.text import message_of
from driftguard.pipeline.history import LastScan
from driftguard.pipeline.propose.text import RequestContent, body, title
from driftguard.printable import REPLACEMENT, cell, code, html, one_line, printable
from tests.support.sample_alerts import REPOSITORY, RESIZE, Passes, change, outside, report, resource
from tests.unit.test_proposal_texts import proposal

HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://evil.example\x07click\x1b]8;;\x07",
    "\x9b2J",
    "a\rb\x08\x7f\x00",
    "\u202egnp.exe",
    "\u2066x\u2069\u200f",
    "zero\u200bwidth\u00ad\ufeff",
    "line\u2028para\u2029\x0b\x0c\x85",
    "\U000e0041\U000e0042tags",
    "blank\u3164\u2800",
    "z" + "\u0301" * 40,
    "half \ud83d end",
    "private \ue000",
)
_TEXTS = st.text() | st.sampled_from(HOSTILE) | st.text(st.characters(categories=("Cc", "Cf", "Co", "Zl", "Zp", "Mn")))


def is_harmless(text: str) -> bool:
    return all(c == "\n" or c.isprintable() for c in text) and not re.search(r"[\u115f\u1160\u2800\u3164]", text)


@given(_TEXTS)
def test_a_printable_text_has_no_character_that_is_not_shown_as_itself(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert is_harmless(shown)
    assert printable(text, lines=True).split("\n") == [printable(line) for line in text.split("\n")]
    assert printable(shown) == shown
    shown.encode()


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")) | st.sampled_from("äß日本語🎉é ")))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(_TEXTS)
def test_no_more_than_a_few_marks_stand_on_one_letter(text: str) -> None:
    run = 0
    for character in printable(text):
        run = run + 1 if unicodedata.combining(character) else 0
        assert run <= 4


@given(st.text(st.sampled_from("`| \\\n\x1bab") | st.characters()))
def test_a_code_span_ends_where_its_text_ends(text: str) -> None:
    span = code(text)
    fence = re.match(r"`+", span)
    assert fence is not None
    inside = span[len(fence[0]) : -len(fence[0])]
    assert span.endswith(fence[0])
    assert fence[0] not in re.findall(r"`+", inside)
    assert inside.strip(" ") == one_line(text).strip(" ")


@pytest.mark.parametrize(
    "text",
    [
        "[click](https://evil.example)",
        "![x](//evil.example/a.png)",
        "see https://evil.example/?token",
        "www.evil.example",
        "[a][b]",
        "@acme/admins please approve",
        "closes #12",
        "fixes GH-12",
        "mailto:a",
    ],
)
def test_a_link_an_image_or_a_mention_in_a_cell_is_code(text: str) -> None:
    shown = cell(text)
    assert shown == f"`{text}`"


@given(st.text(st.sampled_from("<>&|`\\[](!)@#:/w.1 \n\x1b") | st.characters()))
def test_a_cell_stays_one_cell_without_markup(text: str) -> None:
    shown = cell(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", shown)
    if not shown.startswith("`"):
        assert not re.search(r"[<>`@]|://|\]\(|!\[", shown)
        assert "<" not in html(text)


def _texts_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in members:
        if isinstance(item, str):
            yield (*path, key), item
        yield from _texts_in(item, (*path, key))


def _with_hostile_texts(text: str) -> EnvironmentReport:
    """A report with every kind of change, in which each text holds a hostile one."""
    web = resource("toy_thing.web", outside("value", "one", "two"), change("size", Label.PENDING, 1, 1, 2))
    plain = report("blue", Verdict.DIVERGED, web, reasons=["mixed_with_drift: a"], commits=[RESIZE])
    row = msgspec.to_builtins(plain)
    row |= {"warnings": ["note"], "error": {"kind": "plan", "message": "failed"}}
    for path, found in list(_texts_in(row)):
        if path[-1] not in ("date", "verdict", "planned_at"):
            inner: Any = row
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = f"{found}{text}"
    return read_environment(row)


def _everything_shown(environment: EnvironmentReport) -> Iterator[tuple[str, str]]:
    """Each way of a report to a person, with the text that arrives."""
    now = "2026-11-01T12:00:00Z"
    run = RunReport(
        repository="repo\x1b[1m",
        ref="main\u202e",
        commit="c" * 40,
        summary={"diverged": 1},
        environments=(environment,),
    )
    stream = io.StringIO()
    print_run(Console(file=stream, width=200, highlight=False), run, noise=True)
    yield "table", stream.getvalue()
    yield "markdown", markdown(run)
    rows = list(_explained(environment))
    scan = LastScan(now, environment, {"commit": "c" * 40})
    headings = ("resource", "attribute", "label", "S", "R", "D", "L", "rule")
    yield "explain", "\n".join(_explanation(scan, headings, rows, None))
    over_time = Passes()
    over_time.look(environment)
    message = message_of(over_time.standing(), now=over_time.now, repository=REPOSITORY)
    yield "alert as text", as_text(message)
    notification, blocks = render(message)
    yield "Slack", "\n".join([notification, *(text for _, text in _texts_in(blocks))])
    request = RequestContent(environment.name, environment, [f"update {environment.resources[0].address}"])
    yield "pull request", title(request, proposal("revert"), 256) + "\n" + body(request, proposal("revert"), 60_000)


@pytest.mark.parametrize("text", [t for t in HOSTILE if "\ud83d" not in t], ids=ascii)  # JSON holds no half character
def test_whatever_a_report_holds_no_way_to_a_person_obeys_it(text: str) -> None:
    for way, shown in _everything_shown(_with_hostile_texts(text)):
        assert is_harmless(shown), (way, [line for line in shown.split("\n") if not is_harmless(line)])
        assert len(shown) > 100, way


_LINKS = (
    "![x](https://evil.example/a.png)",
    "[click](https://evil.example)",
    "<https://evil.example|ok>",
    "<!channel> <@U123>",
    "@acme/admins",
    "<img src=x>",
)
# What makes a link, an image or a mention: in Markdown outside of code and of HTML, in Slack wherever it stands.
_MARKDOWN = re.compile(r"!\[|\]\(|(?<!\()https://evil|<(?:https|!|@|img)|@acme")
_SLACK = re.compile(r"<https://evil|<!channel|<@U123")


def _active_in_markdown(text: str) -> list[str]:
    """Lines in which something of a text would become a link, an image or a mention."""
    found = []
    for line in text.split("\n"):
        shown = re.sub(r"<code>.*?</code>|<!--.*?-->|(`+)(?:(?!\1).)*\1", "", line)
        if _MARKDOWN.search(shown.replace("@\u200b", "")):
            found.append(line)
    return found


@pytest.mark.parametrize("text", _LINKS)
def test_no_page_or_message_makes_a_link_an_image_or_a_mention_of_a_foreign_text(text: str) -> None:
    environment = _with_hostile_texts(f" {text}")
    ways = dict(_everything_shown(environment))
    assert _active_in_markdown(ways["markdown"]) == []
    title_, _, page = ways["pull request"].partition("\n")
    assert _active_in_markdown(page) == []
    assert "@acme" not in title_
    over_time = Passes()
    over_time.look(environment)
    _, blocks = render(message_of(over_time.standing(), now=over_time.now, repository=REPOSITORY))
    texts = [block for block in _objects_in(blocks) if "text" in block and block.get("type") == "mrkdwn"]
    assert len(texts) > 3
    assert [block["text"] for block in texts if _SLACK.search(block["text"])] == []
    assert [block for block in texts if block.get("verbatim") is not True] == []  # else Slack links addresses


def _objects_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects_in(inner)


def test_logs_progress_and_tables_of_the_ledger_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(HOSTILE)
    record = logging.LogRecord("driftguard", logging.INFO, "x", 1, "%s", (text,), None)
    assert is_harmless(_MaskedFormatter("%(message)s").format(record))
    with Reporter(quiet=False) as progress:
        progress.line(text)
        progress.done(text, "in_sync", 1.0)
    emit_rows(("a",), [(text,)], {}, Format.TABLE, None)
    emit_rows(("a",), [(text,)], {}, Format.MARKDOWN, None)
    printed = capsys.readouterr()
    assert REPLACEMENT in printed.err
    assert is_harmless(printed.err)
    assert is_harmless(printed.out)
