"""Finds planted secrets in bytes: as they are, compressed, in archives, encoded as base64, in URLs or in JSON."""

from __future__ import annotations

import base64
import binascii
import io
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote_to_bytes

from tests.support.secret_shapes import distinct_part, examples

_COMPRESSED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{20,}")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_MAX_DEPTH = 3
_MIN_NEEDLE = 8


class Planted:
    """Secrets of every shape, new ones for each place; the parts of them that only chance can repeat are searched."""

    def __init__(self) -> None:
        self._needles: dict[bytes, str] = {}
        self._places = 0

    def plant(self, place: str, *, every_form: bool = False) -> dict[str, str]:
        """A secret of each shape, by the shape's name; in all of its forms if asked, as NAME 0, NAME 1, …"""
        self._places += 1
        made = {}
        for kind, forms in examples(1000 + self._places).items():
            for number, secret in enumerate(forms if every_form else forms[:1]):
                made[f"{kind} {number}"] = secret
                self.add(f"{place}: {kind}", secret)
        return made

    def add(self, what: str, secret: str) -> str:
        """Search for one more secret."""
        needle = distinct_part(secret)
        if len(needle) < _MIN_NEEDLE:
            needle = max(re.split(r"[^A-Za-z0-9-]", secret), key=len)
        assert len(needle) >= _MIN_NEEDLE, what
        self._needles[needle.encode()] = what
        return secret

    def found_in(self, content: bytes) -> set[str]:
        """What stands in these bytes, in whatever form."""
        return {what for form in forms_of(content) for needle, what in self._needles.items() if needle in form}

    def __len__(self) -> int:
        return len(self._needles)


def forms_of(content: bytes, depth: int = _MAX_DEPTH) -> Iterator[bytes]:
    """The bytes, and everything that is packed or encoded in them."""
    yield content
    if depth:
        for inner in _unpacked(content):
            yield from forms_of(inner, depth - 1)


def _unpacked(content: bytes) -> Iterator[bytes]:
    for match in _COMPRESSED.finditer(content):
        decoder = zlib.decompressobj(47)  # gzip or zlib, by the header
        try:
            inner = decoder.decompress(content[match.start() :], 50_000_000)
        except zlib.error:
            continue
        if len(inner) >= _MIN_NEEDLE:
            yield inner
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    decoded = b"\n".join(_from_base64(content))
    if decoded:
        yield decoded
    if b"%" in content and (plain := unquote_to_bytes(content)) != content:
        yield plain
    if b"\\" in content:
        plain = re.sub(rb"\\u00([0-9a-fA-F]{2})", lambda m: binascii.unhexlify(m[1]), content)
        yield plain.replace(b"\\", b"")


def _from_base64(content: bytes) -> Iterator[bytes]:
    """Each run of base64 at each alignment; what is no text in it is left out."""
    for match in _BASE64.finditer(content):
        run = match[0].translate(_URL_SAFE)
        for skip in range(4):
            part = run[skip:]
            decoded = base64.b64decode(part + b"A" * (-len(part) % 4))
            if re.search(rb"[ -~]{8}", decoded):
                yield decoded


def rows_of(file: Path) -> bytes:
    """Every value of a SQLite file as text: in the file itself a long one is split over pages."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return "\n".join(connection.iterdump()).encode()


def bytes_of(files: Mapping[Path, bytes]) -> Iterator[tuple[str, bytes]]:
    """Each file's name and bytes, those of databases as rows too."""
    for file, content in files.items():
        yield str(file), content
        if content.startswith(b"SQLite format 3"):
            yield f"{file} (rows)", rows_of(file)
