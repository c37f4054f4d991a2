"""
What an application asks Laurels to do: award, credit, spend, transfer, hold, accept, claim, adjust.

A command is a request like an event: it has an id, belongs to one user, and is recorded once. Each is one frozen
struct; its tag is the `type` in the journal, led by a colon so that no event type can be mistaken for it.
"""

from __future__ import annotations

import msgspec

from laurels.core.periods import Instant


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every command carries: whom it is about, and the id under which it is recorded once."""

    user: str
    id: str


class AwardXp(Command, frozen=True, tag=":award_xp"):
    """Give XP outside of any rule. With `source_id` it pays once per (user, source, source_id), whatever the id."""

    amount: int
    source: str = ""
    source_id: str | None = None
    reason: str | None = None


class Credit(Command, frozen=True, tag=":credit"):
    """Give currency; it counts as earned. With `source_id` it pays once per (user, currency, source, source_id)."""

    currency: str
    amount: int
    source: str = ""
    source_id: str | None = None
    reason: str | None = None


class Adjust(Command, frozen=True, tag=":adjust"):
    """Correct a balance by an amount of either sign; `unit` is `xp` or a currency. Neither earned nor spent."""

    unit: str
    amount: int
    source: str = ""
    source_id: str | None = None
    reason: str | None = None


class Spend(Command, frozen=True, tag=":spend"):
    """Take currency that is there; refused as `insufficient_funds` otherwise."""

    currency: str
    amount: int
    reason: str | None = None


class Transfer(Command, frozen=True, tag=":transfer"):
    """Move currency from `user` to another user; neither earned nor spent."""

    to: str
    currency: str
    amount: int
    reason: str | None = None


class Hold(Command, frozen=True, tag=":hold"):
    """Set currency aside until it is captured, released or past `expires_at`. The command's id is the hold's id."""

    currency: str
    amount: int
    expires_at: Instant | None = None
    reason: str | None = None


class Capture(Command, frozen=True, tag=":capture"):
    """Spend a hold, or a part of it; the rest is free again. `amount` absent means all of it."""

    hold: str
    amount: int | None = None
    reason: str | None = None


class Release(Command, frozen=True, tag=":release"):
    """Give a hold back to its owner."""

    hold: str
    reason: str | None = None


class Refund(Command, frozen=True, tag=":refund"):
    """
    Give back a spend or a capture, or a part of it.

    `request` is its id; `amount` absent means what is left of it.
    """

    request: str
    amount: int | None = None
    reason: str | None = None


class AcceptQuest(Command, frozen=True, tag=":accept"):
    """Start a quest that runs only from acceptance."""

    quest: str


class ClaimQuest(Command, frozen=True, tag=":claim"):
    """Take the reward of a completed quest: the oldest unclaimed run, or the one of `period`."""

    quest: str
    period: str | None = None


WalletCommand = Credit | Spend | Transfer | Hold | Capture | Release | Refund | Adjust
AnyCommand = AwardXp | WalletCommand | AcceptQuest | ClaimQuest
