"""Proves that an edited text differs from the original only where it was edited. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile

from driftguard.hcledit.edits import Edit, applied, in_order
from driftguard.hcledit.source import EditRefused
from driftguard.hcledit.syntax import Token

Tokens = Callable[[str], Sequence[Token]]


def proven(text: str, edits: Sequence[Edit], tokens_of: Tokens, formatted: Callable[[str], str] | None) -> str:
    """The text after the edits.

    Every word outside of them stands where it stood, below the same rules of the grammar. A text that was formatted is
    formatted afterwards too: the formatter may align neighbouring lines anew, but change nothing except white space.

    Args:
        tokens_of: every word of a text; it raises ValueError where the text cannot be parsed.
        formatted: what the formatter makes of a text; None for a notation that it does not know.

    Raises:
        EditRefused: any of this does not hold.
    """
    changed = applied(text, edits)
    try:
        before, after = tokens_of(text), tokens_of(changed)
    except ValueError as error:
        raise EditRefused(f"the file with the change in it could not be parsed at {error}") from None
    places = [(edit.start, edit.end) for edit in in_order(edits)]
    if list(_outside(before, places)) != list(_outside(after, _moved(edits))):
        raise EditRefused("the change would alter what stands around it")
    if formatted is None or formatted(text) != text:
        return changed
    tidy = formatted(changed)
    if tidy != changed:
        try:
            same = [_words(token) for token in tokens_of(tidy)] == [_words(token) for token in after]
        except ValueError:
            same = False
        if not same or "".join(tidy.split()) != "".join(changed.split()):
            raise EditRefused("the formatter would change more than white space")
    return tidy


def _moved(edits: Sequence[Edit]) -> list[tuple[int, int]]:
    """Where the new texts stand after all edits."""
    places, shift = [], 0
    for edit in in_order(edits):
        start = edit.start + shift
        places.append((start, start + len(edit.text)))
        shift += len(edit.text) - (edit.end - edit.start)
    return places


def _outside(tokens: Sequence[Token], places: Sequence[tuple[int, int]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The words that no place covers; both are in order."""
    index = 0
    for token in tokens:
        while index < len(places) and places[index][1] <= token.start:
            index += 1
        covering = takewhile(lambda place: place[0] < token.end, islice(places, index, None))  # noqa: B023
        if not any(token.start < end for _, end in covering):
            yield _words(token)


def _words(token: Token) -> tuple[str, tuple[str, ...]]:
    return token.text, token.rules
