"""
Events as JSON, one object a line: `{"id": …, "type": …, "user": …, "time": …, "data": …}`, the last two optional.

The file is read as strangers' input: line by line, none longer than a bound, so that memory does not grow with it. A
line that is no event is reported with its number and left out. Gzipped files are known by their first bytes.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import msgspec

from laurels.core import periods
from laurels.core.errors import InvalidInput
from laurels.core.events import Event
from laurels.core.nearest import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

#: What an event may take with all its escapes; its data alone is bounded at 64 KiB.
LINE_BYTES_MAX = 2**20
GZIP_MAGIC = b"\x1f\x8b"
REQUIRED = ("id", "type", "user")
FIELDS = (*REQUIRED, "time", "data")


class EventsFile:
    """
    A file of events, or standard input for None. A context manager, which closes the file.

    Raises InvalidInput `file_unreadable`, with the reason, here and while it is read.
    """

    def __init__(self, path: Path | None) -> None:
        self.name = "standard input" if path is None else str(path)
        try:
            self._file: BinaryIO = sys.stdin.buffer if path is None else path.open("rb")
            self._bytes_total = 0 if path is None else path.stat().st_size
            self._lines = _unpacked(self._file)
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from None

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, but not standard input, which is not ours."""
        if self._file is not sys.stdin.buffer:
            self._file.close()

    @property
    def share_read(self) -> float:
        """Return how much of the file was read, from 0 to 1; 0 where its size is not known."""
        return self._file.tell() / self._bytes_total if self._bytes_total else 0.0

    def events(self, on_bad_line: Callable[[str], object]) -> Iterator[tuple[Event, str]]:
        """Yield each event with its place, `FILE:LINE`; `on_bad_line` gets `FILE:LINE: problem`."""
        for number, line in self._numbered():
            place = f"{self.name}:{number}"
            try:
                event = parse_event(line)
            except InvalidInput as bad:
                on_bad_line(f"{place}: {bad}")
            else:
                yield event, place

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank; of one that is too long, only so much that it can be told."""
        number = 0
        try:
            while line := self._lines.readline(LINE_BYTES_MAX + 1):
                number += 1
                rest = line
                while len(rest) > LINE_BYTES_MAX and not rest.endswith(b"\n"):
                    rest = self._lines.readline(LINE_BYTES_MAX + 1)
                if not line.isspace():
                    yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(f"it breaks off or is damaged after line {number}: {error}") from None

    def _unreadable(self, why: str) -> InvalidInput:
        return InvalidInput("file_unreadable", f"cannot be read: {why}", self.name)


def parse_event(text: bytes) -> Event:
    """Return the event that a JSON object describes. Raises InvalidInput with all that is wrong with its form."""
    if len(text) > LINE_BYTES_MAX:
        raise InvalidInput("invalid_event", f"longer than {LINE_BYTES_MAX:,} bytes, which no event needs")
    return event_of(json_of(text, "invalid_event"))


def json_of(text: bytes, code: str) -> Any:
    """Return what a text says as JSON. Raises InvalidInput with that code."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(code, f"no JSON that can be read: {error}") from None


def event_of(found: object, path: str = "") -> Event:
    """
    Return the event that a decoded JSON object describes.

    Raises InvalidInput with all that is wrong with its form; `path` is where it stands.
    """
    if not isinstance(found, dict):
        raise InvalidInput("invalid_event", f"an event is an object with {', '.join(REQUIRED)}", path)
    problems = [unknown("field", name, FIELDS) for name in found if name not in FIELDS]
    problems += [f"{name} is missing" for name in REQUIRED if name not in found]
    if problems:
        raise InvalidInput("invalid_event", "; ".join(problems), path)
    time = time_of(found.get("time"), f"{path}.time".removeprefix("."))
    return Event(found["type"], user=found["user"], id=found["id"], time=time, data=found.get("data"))


def time_of(text: object, path: str) -> datetime | None:
    """Return the time that a text says, None for None. Raises InvalidInput `naive_time` or `invalid_time`."""
    if text is None:
        return None
    try:
        if not isinstance(text, str):
            raise ValueError(f"{text!r:.60} is not text such as 2026-03-01T10:00:00Z")  # noqa: TRY004,TRY301
        return periods.to_datetime(periods.parse_instant(text))
    except ValueError as error:
        code = "naive_time" if isinstance(error, periods.NaiveTime) else "invalid_time"
        raise InvalidInput(code, str(error), path) from None


def _unpacked(file: BinaryIO) -> BinaryIO:
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[type-var]
    if buffered.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):
        return io.BufferedReader(gzip.GzipFile(fileobj=buffered))
    return buffered
