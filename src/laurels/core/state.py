"""
Everything `decide` must know about one user, as one compact document: arrays, what changes often first.

A struct's array form takes new fields at its end without touching stored documents. The document holds the newest part
of what could grow for ever (windows of limits, runs of streaks, windows of quests); `history.py` says how the rest
comes back.
"""

from __future__ import annotations

import msgspec

from laurels.core.periods import Instant

AMOUNT_MAX = 2**53 - 1  # exact in SQL, in Redis scores and in every JSON client


class Uses(msgspec.Struct, array_like=True):
    """How often a limited rule was used: per window label, and, for a cooldown, the times, ascending."""

    windows: dict[int, int] = {}
    times: list[Instant] = []


class Run(msgspec.Struct, array_like=True):
    """
    Days in a row, `first` to `last`: qualifying ones but for those frozen, and those bridged (which nobody could meet).

    A run begins and ends with a qualifying day.
    """

    first: int
    last: int
    frozen: list[int] = []
    bridged: list[int] = []

    @property
    def length(self) -> int:
        """Return the number of qualifying days."""
        return self.last - self.first + 1 - len(self.frozen) - len(self.bridged)


class Streak(msgspec.Struct, array_like=True):
    """
    A streak's runs, oldest first; the last one is the streak.

    `seen_at`, `zone` and `day_starts_at` are of the latest event. `has_older` says that there are runs before these,
    which only the journal knows.
    """

    runs: list[Run]
    freezes: int
    longest: int
    seen_at: Instant
    zone: str
    day_starts_at: int
    has_older: bool = False


class QuestRun(msgspec.Struct, array_like=True):
    """
    A quest in the window `label`: the `number`-th run there, what each goal counts so far, and from when it counts.

    `until` is 0 where the window's own end holds, `completed_at` -1 while it runs; `seen` holds the different values of
    goals that count those.
    """

    label: int
    number: int
    counts: list[int]
    counts_from: Instant = 0
    until: Instant = 0
    completed_at: Instant = -1
    seen: dict[str, list[str]] | None = None

    @property
    def is_completed(self) -> bool:
        """Whether its goals were met."""
        return self.completed_at >= 0


class Unclaimed(msgspec.Struct, array_like=True, gc=False):
    """A completed run whose reward waits for its user, with what it pays: that of the day on which it was completed."""

    period: str
    xp: int
    currencies: tuple[tuple[str, int], ...]


class OpenHold(msgspec.Struct, array_like=True, gc=False):
    """Currency set aside; `expires_at` 0 means never."""

    id: str
    currency: str
    amount: int
    expires_at: Instant

    def has_expired(self, now: Instant) -> bool:
        """Whether it counts as released at an instant."""
        return 0 < self.expires_at <= now


class UserState(msgspec.Struct, array_like=True):
    """
    One user. `version` counts the journal's rows for this user, `latest_at` is the latest own time among them.

    `metrics` holds built-in ones too; a metric that never changed is not there. `quests` holds each quest's newest
    window, `unlocks` how often each achievement was unlocked, and by quest: `completions` how often it was completed,
    `unclaimed` the runs whose reward waits, `completed_at` the newest own times of completions where a cooldown asks
    for them. `refused` holds why there was no place in a limited achievement, which its user is told once.
    """

    version: int = 0
    latest_at: Instant = 0
    metrics: dict[str, int] = {}
    balances: dict[str, int] = {}
    quests: dict[str, QuestRun] = {}
    uses: dict[str, Uses] = {}
    streaks: dict[str, Streak] = {}
    unlocks: dict[str, int] = {}
    completions: dict[str, int] = {}
    unclaimed: dict[str, list[Unclaimed]] = {}
    completed_at: dict[str, list[Instant]] = {}
    notified: int = 0
    level_paid: int = 1
    holds: list[OpenHold] = []
    zone: str = "UTC"
    day_starts_at: int = 0
    groups: dict[str, str] = {}
    opted_out: bool = False
    refused: dict[str, str] = {}

    def value(self, metric: str) -> int:
        """Return a metric's value; what never changed is 0, and the level 1."""
        return self.metrics.get(metric, 1 if metric == "level" else 0)

    def held(self, currency: str) -> int:
        """Return what open holds keep of a currency."""
        return sum(hold.amount for hold in self.holds if hold.currency == currency)
