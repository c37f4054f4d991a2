"""
Every error a caller can meet, one class for each thing a caller can do about it.

LaurelsError
├── InvalidInput            the request itself is wrong: naive_time, time_in_future, invalid_amount, …
├── Unknown                 it names something that is not there: unknown_user, unknown_currency, …
├── Conflict                it does not fit the state: request_id_reused, already_claimed, hold_closed, …
│   └── InsufficientFunds   carries `available`
├── CatalogInvalid          carries every problem found
├── SettingInvalid          a flag, variable or file entry that is no setting, or has a wrong value
└── Unavailable             the database is busy, locked, full, foreign, newer; `retryable` says whether to try again

Machines read `code` (stable, see the contract); people read the message: what happened, with the value, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Problem(msgspec.Struct, frozen=True):
    """One mistake: `path` says where (`rules[2].on`, `events[3].time`), `message` what is wrong and what to do."""

    path: str
    message: str


class LaurelsError(Exception):
    """
    Base of every error Laurels raises on purpose.

    `code` is stable and made for programs, the text is made for people, `retryable` says whether the same call may
    succeed later without any change.
    """

    retryable = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidInput(LaurelsError):
    """The request is malformed or out of range; nothing was recorded. `path` names the field."""

    def __init__(self, code: str, message: str, path: str = "") -> None:
        super().__init__(code, message)
        self.path = path

    def __str__(self) -> str:
        """Return the message, led by the place it is about."""
        return f"{self.path}: {self.args[0]}" if self.path else str(self.args[0])


class Unknown(LaurelsError):
    """The request names a user, currency, code or request that does not exist; nothing was recorded."""


class Conflict(LaurelsError):
    """The request is fine but the state does not allow it; nothing was recorded and its id stays free."""


class InsufficientFunds(Conflict):
    """A spend, transfer or hold asked for more than is there. `available` says how much there is."""

    def __init__(self, user_id: str, currency: str, amount: int, available: int) -> None:
        super().__init__(
            "insufficient_funds",
            f"{user_id!r} has {available} {currency} available, {amount} were asked for.",
        )
        self.available = available


class CatalogInvalid(LaurelsError):
    """The catalog has mistakes. `problems` holds all of them, in the order of the file."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem.path}: {problem.message}" for problem in problems)
        super().__init__("catalog_invalid", f"{source} has {count}:\n{lines}")
        self.problems = tuple(problems)


class SettingInvalid(LaurelsError):
    """A flag, environment variable or settings file entry is unknown or has a wrong value."""

    def __init__(self, message: str) -> None:
        super().__init__("setting_invalid", message)


class Unavailable(LaurelsError):
    """
    The database cannot take the request now (`retryable`) or cannot be used at all.

    `passes` says that the engine itself tries again for a while: a lost connection, a deadlock, a failover.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False, passes: bool = False) -> None:
        super().__init__(code, message)
        self.retryable = retryable or passes
        self.passes = passes
