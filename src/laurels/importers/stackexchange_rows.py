"""
The files of a Stack Exchange data dump, read row by row: XML to attributes, attributes to checked values.

Dumps are read as strangers' input. A file that is not XML is an error with its line; a document type, which entity
bombs and references to other files need, is refused; only one piece of the file is in memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, NoReturn
from xml.parsers import expat

from laurels.core.errors import InvalidInput
from laurels.core.periods import Instant, from_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

#: Read at a time. Large, because expat scans an unfinished attribute again with every piece.
PIECE_BYTES = 1 << 20
#: The largest number that Laurels takes.
WHOLE_MAX = 2**53 - 1
#: Of the texts that are kept: names and tags are shorter on every site.
TEXT_CHARACTERS_MAX = 1_000

SHOWN_CHARACTERS_MAX = 40

#: What XML 1.0 allows neither bare nor as a reference.
FORBIDDEN = bytes(set(range(32)) - set(b"\t\n\r"))
CONTROLS_TO_SPACES = bytes.maketrans(FORBIDDEN, b" " * len(FORBIDDEN))
FORBIDDEN_REFERENCE = re.compile(rb"&#x0*(?:[0-8bcef]|1[0-9a-f]|d[89a-f][0-9a-f]{2}|fff[ef]);", re.IGNORECASE)
REFERENCE_BYTES_MAX = 16


def read_rows(file: Path, on_bytes: Callable[[int], object]) -> Iterator[tuple[int, dict[str, str]]]:
    """
    Yield the line number and the attributes of each `<row …/>`.

    `on_bytes` gets the size of each piece when its rows are done. Raises InvalidInput (`dump_unreadable`) with file and
    line where the file stops being XML; the rows before that have been yielded.
    """
    found: list[tuple[int, dict[str, str]]] = []
    parser = expat.ParserCreate("utf-8")

    def element(name: str, attributes: dict[str, str]) -> None:
        if name == "row":
            found.append((parser.CurrentLineNumber, attributes))

    def doctype(*_: object) -> NoReturn:
        # expat bounds entity bombs by itself since 2.4.1, but not every Python has that one.
        raise expat.ExpatError("a dump has no document type (<!DOCTYPE …>)")

    parser.StartElementHandler = element
    parser.StartDoctypeDeclHandler = doctype
    with file.open("rb") as stream:
        for piece in _readable_pieces(stream):
            try:
                parser.Parse(piece, not piece)
            except expat.ExpatError as error:
                raise InvalidInput(
                    "dump_unreadable",
                    f"{error}. The file is damaged or not part of a dump: unpack the archive again.",
                    path=f"{file}:{parser.CurrentLineNumber}",
                ) from error
            yield from found
            found.clear()
            on_bytes(len(piece))


def _readable_pieces(stream: BinaryIO) -> Iterator[bytes]:
    """
    Yield the file in pieces of about the same size, the last one empty, without the control characters XML forbids.

    Real dumps have some in their texts, bare or as `&#x0E;`, and an XML parser may not go on after one. What replaces
    them is of the same length, so that bytes and lines are still counted right.
    """
    rest = b""
    while piece := stream.read(PIECE_BYTES):
        piece = rest + piece.translate(CONTROLS_TO_SPACES)
        # A reference may be cut in two by the end of the piece.
        end = piece.rfind(b"&", -REFERENCE_BYTES_MAX)
        piece, rest = (piece, b"") if end < 0 else (piece[:end], piece[end:])
        yield FORBIDDEN_REFERENCE.sub(lambda reference: b" " * len(reference[0]), piece)
    if rest:
        yield rest
    yield b""


class BadValueError(ValueError):
    """An attribute is missing or not what the format says. Its text is for the person who imports."""


def _fail(problem: str) -> NoReturn:
    raise BadValueError(problem)


@dataclass(frozen=True, slots=True)
class Row:
    """
    The attributes of one row, each read as what it has to be; raises BadValueError where it is not.

    `now` is when the dump is read: nothing in it can have happened later.
    """

    attributes: Mapping[str, str]
    now: Instant

    def whole(self, name: str, *, minimum: int = 1) -> int:
        """Read a whole number within what Laurels takes."""
        text = self._present(name)
        # int() alone would also take "1_000", " 7" and the digits of every alphabet.
        if re.fullmatch(r"-?[0-9]{1,16}", text) and minimum <= int(text) <= WHOLE_MAX:
            return int(text)
        _fail(f"{name}={_shown(text)} is not a whole number from {minimum} to {WHOLE_MAX}")

    def whole_or_none(self, name: str) -> int | None:
        """Read a whole number that may be absent."""
        return self.whole(name) if name in self.attributes else None

    def person(self, name: str) -> int | None:
        """Read a user id; None is somebody who earns nothing, a deleted user or the system's."""
        user = self.whole(name, minimum=-1) if name in self.attributes else 0
        return user if user > 0 else None

    def time(self, name: str) -> Instant:
        """Read a date and time. Dumps are in UTC and do not say so."""
        text = self._present(name)
        try:
            time = datetime.fromisoformat(text)
            at = from_datetime(time if time.tzinfo else time.replace(tzinfo=UTC))
        except ValueError:
            _fail(f"{name}={_shown(text)} is not a date and time")
        if not 0 <= at <= self.now:
            _fail(f"{name}={_shown(text)} lies before 1970 or in the future")
        return at

    def time_or_none(self, name: str) -> Instant | None:
        """Read an instant that may be absent."""
        return self.time(name) if name in self.attributes else None

    def text_or_none(self, name: str) -> str | None:
        """Read a short text that may be absent."""
        text = self.attributes.get(name)
        if text is not None and len(text) > TEXT_CHARACTERS_MAX:
            _fail(f"{name} has {len(text):,} characters, more than {TEXT_CHARACTERS_MAX:,}")
        return text

    def _present(self, name: str) -> str:
        return self.attributes[name] if name in self.attributes else _fail(f"{name} is missing")


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…")
