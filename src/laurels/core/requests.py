"""
The door: what a caller hands over, checked and brought into the one form that everything behind it works on.

An Event or a command comes in, a Request goes out: ids and amounts are in range, the time is an instant, the data is
JSON of a bounded size, and a fingerprint says whether a repeated id carries the same content (SEMANTICS 12.2: not the
time).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from hashlib import blake2b
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from laurels.core import commands, periods
from laurels.core.errors import InvalidInput
from laurels.core.events import Event
from laurels.core.periods import Instant
from laurels.core.state import AMOUNT_MAX

if TYPE_CHECKING:
    from datetime import datetime

    from laurels.core.commands import AnyCommand

ID_CHARACTERS_MAX = 255
LINES_MAX = 1_000_000
REASON_CHARACTERS_MAX = 4_000
DATA_BYTES_MAX = 64 * 1024
DATA_DEPTH_MAX = 16
DOUBLE_MAX = int(sys.float_info.max)
FUTURE_US_MAX = 5 * 60 * 1_000_000

_EVENT_TYPE = re.compile(r"[a-z0-9_.]{1,100}").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
_LINE_BREAKS = str.maketrans("\r\n\t", "   ")
_FRACTION = re.compile(rb"\d[.eE]").search
_canonical_json = msgspec.json.Encoder(order="sorted", enc_hook=dict).encode
_read_json = msgspec.json.decode


class Request(msgspec.Struct):
    """
    One checked event or command.

    `actor` and `id` are its identity, `at` is its own time. `body` is what the journal keeps: an event's data (null
    when it has none) or the whole command, as JSON with sorted keys.
    """

    actor: str
    id: str
    type: str
    at: Instant
    body: str | None
    fingerprint: bytes
    data: Mapping[str, Any] | None = None
    command: AnyCommand | None = None


def receive(asked: Event | AnyCommand, now: Instant, *, future_max: int = FUTURE_US_MAX) -> Request:
    """
    Check one event or command and return it as a Request; `now` is the recording process's clock.

    Raises InvalidInput naming the field, the value and the way out.
    """
    if isinstance(asked, Event):
        return _receive_event(asked, now, future_max)
    if not isinstance(asked, commands.Command):
        raise InvalidInput("invalid_request", f"{shown(asked)} is no request. Record an Event, a command, or a list.")
    check_id(asked.user, "user")
    check_id(asked.id, "id")
    _check_command(asked)
    body = _canonical_json(asked)
    fingerprint = blake2b(body, digest_size=16).digest()
    tag = asked.__struct_config__.tag
    assert isinstance(tag, str)
    return Request(asked.user, asked.id, tag, now, body.decode(), fingerprint, command=asked)


def _receive_event(event: Event, now: Instant, future_max: int) -> Request:
    event_type: object = event.type
    if not isinstance(event_type, str) or not _EVENT_TYPE(event_type):
        raise InvalidInput(
            "invalid_event_type",
            f"{shown(event.type)} is no event type. Use 1 to 100 of a-z, 0-9, _ and dots, such as post.created.",
            "type",
        )
    check_id(event.user, "user")
    check_id(event.id, "id")
    at = now if event.time is None else instant_of(event.time, now, future_max)
    if event.data is None:
        return Request(event.user, event.id, event.type, at, None, _fingerprint(event.type, b""))
    body = _data_json(event.data)
    data = _read_json(body)  # A copy of plain JSON values: what a caller does to its own later changes nothing here.
    return Request(event.user, event.id, event.type, at, body.decode(), _fingerprint(event.type, body), data=data)


def check_id(value: object, path: str) -> None:
    """Raise InvalidInput unless this can be a user's or a request's id: 1 to 255 characters, nothing that hides."""
    if (
        isinstance(value, str)
        and 0 < len(value) <= ID_CHARACTERS_MAX
        and value.isprintable()
        and value.strip() == value
    ):
        return
    if (
        isinstance(value, str)
        and 0 < len(value) <= ID_CHARACTERS_MAX
        and not _CONTROL(value)
        and value.strip() == value
    ):
        return  # Unprintable but allowed, such as a zero-width joiner inside an emoji.
    raise InvalidInput(
        "invalid_id",
        f"{shown(value)} is no id. Use text of 1 to 255 characters without control characters, surrogates, or white "
        "space at either end.",
        path,
    )


def check_text(value: object, path: str, characters_max: int = ID_CHARACTERS_MAX) -> None:
    """Raise InvalidInput unless this is text that can be stored and shown on one line."""
    if not isinstance(value, str) or not value.strip() or len(value) > characters_max or _CONTROL(value):
        raise InvalidInput(
            "invalid_text",
            f"{shown(value)} cannot stand here. Use text of 1 to {characters_max} characters without control "
            "characters or surrogates.",
            path,
        )


def check_limit(limit: object, path: str = "limit", lines_max: int = LINES_MAX) -> None:
    """Raise InvalidInput unless a reader can ask for so many lines."""
    if type(limit) is not int or not 1 <= limit <= lines_max:
        raise InvalidInput("invalid_limit", f"{shown(limit)} is no number of lines. Ask for 1 to {lines_max:,}.", path)


def check_position(position: object, path: str) -> None:
    """Raise InvalidInput unless this can be where a page begins or ends: a whole number, counted from 0."""
    if type(position) is not int or not 0 <= position <= AMOUNT_MAX:
        raise InvalidInput("invalid_limit", f"{shown(position)} is no place in a list: give 0 or more.", path)


def is_id(value: object) -> bool:
    """Say whether this can be a user's id."""
    try:
        check_id(value, "")
    except InvalidInput:
        return False
    return True


def instant_of(time: datetime, now: Instant, future_max: int) -> Instant:
    """Return the instant of an event's own time; refuse naive times, the future, and what was before 1970."""
    at = read_instant(time, "time")
    if at > now + future_max:
        raise InvalidInput(
            "time_in_future",
            f"{periods.format_instant(at)} is more than {future_max // 1_000_000} s after now "
            f"({periods.format_instant(now)}). Check the sender's clock.",
            "time",
        )
    if at < 0:
        raise InvalidInput("time_too_early", f"{periods.format_instant(at)} is before 1970-01-01T00:00:00Z.", "time")
    return at


def read_instant(time: datetime, path: str) -> Instant:
    """Return a caller's time as an instant. Raises InvalidInput `naive_time`, or `invalid_time` for what is none."""
    try:
        return periods.from_datetime(time)
    except periods.NaiveTime as error:
        raise InvalidInput("naive_time", str(error), path) from None
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput("invalid_time", f"{shown(time)} is not an aware datetime.", path) from None


def check_amount(amount: object, path: str = "amount", *, signed: bool = False) -> None:
    """Raise InvalidInput unless the amount is a whole number of at least 1 (signed: of either sign, not 0)."""
    if isinstance(amount, bool) or not isinstance(amount, int) or (amount < 1 and not signed) or amount == 0:
        wanted = "a whole number other than 0" if signed else "a whole number of at least 1"
        raise InvalidInput("invalid_amount", f"{shown(amount)} is not an amount: give {wanted}.", path)
    if abs(amount) > AMOUNT_MAX:
        raise InvalidInput(
            "amount_out_of_range", f"{shown(amount)} is beyond ±(2^53 - 1), where whole numbers are exact.", path
        )


def _check_command(command: AnyCommand) -> None:
    """Check what is particular to each command; codes of currencies and quests wait for the catalog."""
    match command:
        case commands.AwardXp() | commands.Credit() | commands.Spend():
            check_amount(command.amount)
        case commands.Hold():
            check_amount(command.amount)
            _check_expiry(command.expires_at)
        case commands.Adjust():
            check_amount(command.amount, signed=True)
        case commands.Transfer():
            check_amount(command.amount)
            check_id(command.to, "to")
            if command.to == command.user:
                raise InvalidInput("invalid_transfer", f"{command.user!r} cannot transfer to themselves.", "to")
        case commands.Capture() | commands.Refund() if command.amount is not None:
            check_amount(command.amount)
        case _:
            pass
    for name in ("currency", "unit", "hold", "request", "quest", "source"):
        if (value := getattr(command, name, "")) != "":
            check_text(value, name)
    for name in ("source_id", "reason", "period"):
        if (value := getattr(command, name, None)) is not None:
            is_prose = name == "reason"
            lines = value.translate(_LINE_BREAKS) if is_prose and isinstance(value, str) else value
            check_text(lines, name, characters_max=REASON_CHARACTERS_MAX if is_prose else ID_CHARACTERS_MAX)


def _check_expiry(expires_at: object) -> None:
    if expires_at is not None and (type(expires_at) is not int or expires_at > periods.INSTANT_MAX):
        raise InvalidInput(
            "invalid_time",
            f"{shown(expires_at)} is no instant. Give microseconds since 1970; wallet(…).hold(…) takes a datetime.",
            "expires_at",
        )


def _data_json(data: object) -> bytes:
    """
    Return an event's data as JSON with sorted keys.

    Raise InvalidInput naming the place that no JSON text can hold.
    """
    if not isinstance(data, (dict, Mapping)):  # A dict is found out at once; asking an abstract class takes longer.
        raise InvalidInput("invalid_data", f"An event's data is an object (a mapping), not {shown(data)}.", "data")
    _check_json(data, "data", DATA_DEPTH_MAX)
    body = _canonical_json(data if type(data) is dict else dict(data))
    if len(body) > DATA_BYTES_MAX:
        raise InvalidInput(
            "data_too_large",
            f"The data takes {len(body)} bytes as JSON, at most {DATA_BYTES_MAX} are stored. Send a reference instead.",
            "data",
        )
    return body


def _check_json(value: Any, path: str, depth: int) -> None:
    if isinstance(value, str):
        if "\x00" in value or not value.isprintable():
            _check_characters(value, path)
    elif value is None or isinstance(value, bool):
        pass
    elif isinstance(value, int):
        if abs(value) > DOUBLE_MAX:
            raise InvalidInput("invalid_data", "The number is beyond what a double can hold.", path)
    elif isinstance(value, float):
        if not isfinite(value):
            raise InvalidInput("invalid_data", f"{value} is not a JSON number.", path)
    elif depth == 0:
        raise InvalidInput("data_too_deep", f"The data is nested more than {DATA_DEPTH_MAX} deep.", path)
    elif isinstance(value, (dict, Mapping)):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidInput("invalid_data", f"The key {shown(key)} is not text.", path)
            if not key.isprintable():
                _check_characters(key, path)
            _check_json(inner, f"{path}.{key:.60}", depth - 1)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            _check_json(inner, f"{path}[{place}]", depth - 1)
    else:
        raise InvalidInput("invalid_data", f"{shown(value)} is not a JSON value.", path)


def _check_characters(text: str, path: str) -> None:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput("invalid_data", "The text holds U+0000 or a lone surrogate, which no database stores.", path)


def _fingerprint(event_type: str, body: bytes) -> bytes:
    """Hash type and data as JSON values: 1 and 1.0 are the same number, and keys are sorted already."""
    if _FRACTION(body):
        body = _canonical_json(_whole(_read_json(body)))
    return blake2b(event_type.encode() + b"\0" + body, digest_size=16).digest()


def _whole(value: Any) -> Any:
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is dict:
        return {key: _whole(inner) for key, inner in value.items()}
    if type(value) is list:
        return [_whole(inner) for inner in value]
    return value


def shown(value: object) -> str:
    """Return a value as a message may show it: never ten megabytes of it."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits.
        return "that number"
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"  # noqa: PLR2004
