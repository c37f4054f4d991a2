"""What an application tells Laurels: that a user did something."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something `user` did.

    `id` is yours and makes the event safe to send again: it belongs to the user, is recorded once, and a repeat gets
    the stored outcome. `time` is when it happened (aware; the time of recording when absent), `data` any JSON object
    of at most 64 KiB. An event is checked when it is recorded, not when it is made.
    """

    type: str
    user: str = field(kw_only=True)
    id: str = field(kw_only=True)
    time: datetime | None = field(default=None, kw_only=True)
    data: Mapping[str, Any] | None = field(default=None, kw_only=True)
