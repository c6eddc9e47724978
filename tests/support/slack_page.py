"""The picture of the main message in the documentation: its real blocks as a page that looks like Slack.

`python -m tests.support.slack_page` writes docs/images/slack-drift.png anew, and each golden message as on a phone of
380 pixels, light and dark. It needs Chromium:
`apt-get install chromium fonts-lato fonts-noto-color-emoji`.
"""

from __future__ import annotations

import html
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from driftguard.adapters.slack.blocks import render
from driftguard.model import Message
from tests.support.chromium import FLAGS, chromium
from tests.support.sample_alerts import SAMPLES, drift_of_one_attribute

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "slack-drift.png"
_WIDTH, _HEIGHT = 720, 520
_STYLE = """
body { margin: 0; padding: 20px; background: #fff; color: #1d1c1d; font: 15px/1.46 Lato, "Noto Color Emoji", sans-serif;
  display: flex; gap: 10px }
.face { flex: none; width: 36px; height: 36px; border-radius: 8px; background: #4a154b; color: #fff; font-size: 17px;
  font-weight: 900; text-align: center; line-height: 36px }
.who { font-weight: 900 }
.app { font-size: 10px; font-weight: 700; background: #ececec; color: #616061; padding: 1px 3px;
  border-radius: 2px; margin: 0 6px; vertical-align: 1px } .time, .context { font-size: 12px; color: #616061 }
.header { font-size: 18px; font-weight: 900; line-height: 1.33; margin: 2px 0 6px; overflow-wrap: anywhere }
.section, .context { margin: 0 0 7px; overflow-wrap: anywhere }
code { font: 12px/1.5 "DejaVu Sans Mono", monospace; color: #c01343; background: #f8f8f8; border: 1px solid #ddd;
  border-radius: 3px; padding: 1px 3px }
pre { font: 12px/1.5 "DejaVu Sans Mono", monospace; background: #f8f8f8; border: 1px solid #ddd; border-radius: 4px;
  padding: 7px 8px; margin: 4px 0; white-space: pre-wrap }
.mention { background: #fdf2cc; color: #1264a3; border-radius: 3px; padding: 0 2px }
a { color: #1264a3; text-decoration: none }
"""
_MARKUP = re.compile(
    r"```(?P<block>.*?)```|`(?P<code>[^`\n]+)`|<!date\^[^|>]*\|(?P<date>[^>]*)>|<!subteam[^>]*>|"
    r"<(?P<url>https?://[^|>]+)\|(?P<label>[^>]*)>|\*(?P<bold>[^*\n]+)\*|"
    r"(?<!\w)_(?P<italic>[^_\n]+)_(?!\w)|\n",
    re.DOTALL,
)


def page(message: Message) -> str:
    """An HTML page that shows a message's blocks as Slack does."""
    _, blocks = render(message)
    shown = "\n".join(map(_block, blocks))
    who = '<span class="who">DriftGuard</span><span class="app">APP</span><span class="time">12:00 PM</span>'
    return (
        f'<!doctype html><meta charset="utf-8"><title>DriftGuard in Slack</title><style>{_STYLE}</style>'
        f'<div class="face">D</div><div>{who}\n{shown}</div>\n'
    )


def _block(block: dict[str, Any]) -> str:
    kind = block["type"]
    if kind == "header":
        return f'<div class="header">{html.escape(block["text"]["text"])}</div>'
    texts = [block["text"]] if kind == "section" else block["elements"]
    return f'<div class="{kind}">{" ".join(_mrkdwn(text["text"]) for text in texts)}</div>'


def _mrkdwn(text: str) -> str:
    """Slack's markup, in which `&<>` are escaped as in HTML already."""

    def shown(match: re.Match[str]) -> str:
        for name, form in (
            ("block", "<pre>{}</pre>"),
            ("code", "<code>{}</code>"),
            ("bold", "<b>{}</b>"),
            ("italic", "<i>{}</i>"),
        ):
            if match[name] is not None:
                return form.format(match[name])
        if match["url"]:
            return f'<a href="{match["url"]}">{match["label"]}</a>'
        if match["date"]:
            return str(match["date"])
        return "<br>" if match[0] == "\n" else '<span class="mention">@platform-oncall</span>'

    return _MARKUP.sub(shown, text).replace("</pre><br>", "</pre>").replace("<br><pre>", "<pre>")


def photograph(text: str, picture: Path, size: tuple[int, int]) -> None:
    """Write a picture (PNG) of an HTML page of a width and height, rendered by Chromium."""
    browser = chromium()
    if browser is None:
        sys.exit("Chromium is needed: apt-get install chromium fonts-lato fonts-noto-color-emoji")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "message.html"
        source.write_text(text)
        flags = [
            *FLAGS,
            f"--force-device-scale-factor={2 if size[1] < 1000 else 1}",
            f"--user-data-dir={folder}/profile",
        ]
        subprocess.run(
            [browser, *flags, f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}", source.as_uri()],
            check=True,
            capture_output=True,
            timeout=120,
        )


_PHONE_WIDTH, _PHONE_HEIGHT, _IN_A_ROW = 380, 640, 4
_PHONES = """
body { display: grid; grid-template-columns: repeat(4, 380px); gap: 12px; padding: 12px; background: #888 }
.phone { width: 380px; height: 640px; overflow: hidden; box-sizing: border-box; padding: 12px; background: #fff }
.phone h1 { font-size: 11px; font-weight: 400; margin: 0 0 8px; color: #888 }
"""
_DARK = """
.phone { background: #1a1d21; color: #d1d2d3 } .phone code, .phone pre { background: #232529; border-color: #444;
  color: #e8912d } .phone a { color: #36c5f0 } .phone .context { color: #9a9b9d }
.phone .mention { background: #443c1a }
"""


def phones(*, dark: bool) -> str:
    """An HTML page with each golden message as a phone's first screen shows it."""
    cards = []
    for sample in SAMPLES:
        _, blocks = render(sample().message())
        name = html.escape(sample.__name__.replace("_", " "))
        cards.append(f'<div class="phone"><h1>{name}</h1>{"".join(map(_block, blocks))}</div>')
    style = _STYLE + _PHONES + (_DARK if dark else "")
    title = "<title>DriftGuard on a phone</title>"
    return f'<!doctype html><meta charset="utf-8">{title}<style>{style}</style>{"".join(cards)}'


if __name__ == "__main__":
    photograph(page(drift_of_one_attribute().message()), PICTURE, (_WIDTH, _HEIGHT))
    rows = -(-len(SAMPLES) // _IN_A_ROW)
    whole = (_IN_A_ROW * (_PHONE_WIDTH + 12) + 12, rows * (_PHONE_HEIGHT + 12) + 12)
    for theme in ("light", "dark"):
        photograph(phones(dark=theme == "dark"), PICTURE.with_name(f"phone-{theme}.png"), whole)
