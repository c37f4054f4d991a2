"""
One user's state while one request is decided, and what has happened to it so far.

Every question (rules, levels, wallet, …) changes a user through a Draft only: it keeps the ledger, the metrics and the
list of changes in step, and remembers what moved, which is what achievements and quests then look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from laurels.core import periods
from laurels.core.changes import (
    ClaimTaken,
    CurrencyCredited,
    CurrencyDebited,
    CurrencyHeld,
    CurrencyReleased,
    MetricChanged,
    ScoreSubmitted,
    XpAwarded,
)
from laurels.core.errors import InvalidInput
from laurels.core.history import Forgotten, Memory
from laurels.core.state import AMOUNT_MAX, OpenHold, UserState

if TYPE_CHECKING:
    from laurels.core.catalog import Quest, Reward
    from laurels.core.changes import AchievementUnlocked, Change, EntryKind
    from laurels.core.periods import Instant
    from laurels.core.state import QuestRun


class QuestRecord(msgspec.Struct, frozen=True):
    """A quest run as its row keeps it: completed and claimed when (None: not by this request)."""

    quest: str
    period: str
    completed_at: Instant | None
    claimed_at: Instant | None


class Draft(msgspec.Struct, eq=False):
    """
    One user while one request is decided.

    `at` is the request's own time, `day` the label of the user's local day that holds it, `now` the time of recording;
    `before` has each moved metric's value when the request began, `dirty` the metrics that moved since achievements
    were last looked at. `moves` is what quests have not counted yet: metric, amount (or value submitted), and the
    different values seen.
    """

    user_id: str
    state: UserState
    at: Instant
    now: Instant
    day: int
    memory: Memory | None
    changes: list[Change] = []
    before: dict[str, int] = {}
    dirty: set[str] = set()
    moves: list[tuple[str, int, tuple[str, ...]]] = []
    unlocked: list[AchievementUnlocked] = []
    places_taken: list[str] = []
    fulfilled: dict[str, Quest] = {}
    completed: set[str] = set()
    quest_runs: dict[str, QuestRun | None] = {}
    quest_progress: dict[str, int] = {}
    quest_records: list[QuestRecord] = []
    claims: list[ClaimTaken] = []
    opened_hold: OpenHold | None = None
    closed_holds: list[tuple[str, str]] = []

    @classmethod
    def of(cls, user_id: str, state: UserState, at: Instant, now: Instant, memory: Memory | None = None) -> Draft:
        """Return an empty draft for a request of this own time."""
        return cls(user_id, state, at, now, periods.local_day(at, state.zone, state.day_starts_at), memory)

    # --- The ledger ---------------------------------------------------------------------------------------------------

    def award_xp(self, amount: int, rule: str, kind: EntryKind = "earn") -> None:
        """Move XP by an amount of either sign. Nothing happens for 0."""
        if amount:
            total = self.add("xp", amount)
            self.changes.append(XpAwarded(amount, total, rule, kind))

    def credit(self, currency: str, amount: int, rule: str, kind: EntryKind = "earn") -> None:
        """Put currency in; what is earned counts as such for ever."""
        if amount:
            if kind == "earn":
                self.add("earned." + currency, amount)
            elif kind == "refund":
                self.add("spent." + currency, -amount)
            self.changes.append(CurrencyCredited(currency, amount, self._post(currency, amount), rule, kind))

    def debit(self, currency: str, amount: int, kind: EntryKind) -> None:
        """Take currency out; whether there is enough was asked before."""
        if kind in ("spend", "capture"):
            self.add("spent." + currency, amount)
        self.changes.append(CurrencyDebited(currency, amount, self._post(currency, -amount), "", kind))

    def hold(self, hold: OpenHold) -> None:
        """Set currency aside."""
        self.state.holds.append(hold)
        self.opened_hold = hold
        balance = self._post(hold.currency, -hold.amount)
        self.changes.append(CurrencyHeld(hold.currency, hold.amount, balance, hold.id))

    def end_hold(self, hold: OpenHold, how: str) -> None:
        """Give all of a hold back, because it was captured or released."""
        self._release_expired(hold.currency)
        self._end_hold(hold, how)

    def pay(self, reward: Reward, rule: str) -> None:
        """Pay a reward: XP, then currencies."""
        self.award_xp(reward.xp, rule)
        for currency, amount in reward.currencies:
            self.credit(currency, amount, rule)

    def _post(self, currency: str, amount: int) -> int:
        """Move what is available and return it; what expired holds kept of it comes back first, so that it counts."""
        if self.state.holds:
            self._release_expired(currency)
        return self._move(currency, amount)

    def _release_expired(self, currency: str) -> None:
        for hold in [hold for hold in self.state.holds if hold.currency == currency and hold.has_expired(self.now)]:
            self._end_hold(hold, "expired")

    def _end_hold(self, hold: OpenHold, how: str) -> None:
        self.state.holds.remove(hold)
        self.closed_holds.append((hold.id, how))
        balance = self._move(hold.currency, hold.amount)
        self.changes.append(CurrencyReleased(hold.currency, hold.amount, balance, hold.id))

    def _move(self, currency: str, amount: int) -> int:
        balance = self.state.balances.get(currency, 0) + amount
        # With what is held: the end of a hold must never fail.
        check_range(balance + self.state.held(currency), currency)
        self.state.balances[currency] = balance
        return balance

    # --- Metrics ------------------------------------------------------------------------------------------------------

    def add(self, metric: str, delta: int) -> int:
        """Move a metric that sums up, built-in or declared, and return its new value. `delta` is not 0."""
        metrics = self.state.metrics
        old = metrics.get(metric)
        if old is None:
            old = self.state.value(metric)
        value = old + delta
        if not -AMOUNT_MAX <= value <= AMOUNT_MAX:
            check_range(value, metric)
        if metric not in self.before:  # From here `_set`, written out: this runs three times for every event.
            self.before[metric] = old
        metrics[metric] = value
        self.dirty.add(metric)
        self.moves.append((metric, delta, ()))
        if self.memory is not None:
            self.memory.note_change(metric, self.at)
        return value

    def change_metric(self, metric: str, delta: int) -> None:
        """Move a declared metric that sums up. Nothing happens for 0."""
        if delta:
            self.changes.append(MetricChanged(metric, self.add(metric, delta), delta))

    def submit(self, metric: str, value: int) -> bool:
        """Submit a value to a metric that keeps the best, and say whether it is the best. The first counts as it is."""
        known = self.state.metrics.get(metric)
        self.moves.append((metric, value, ()))
        if known is not None and value <= known:
            return False
        self._set(metric, self.state.value(metric), value)
        return True

    def submit_score(self, metric: str, value: int) -> None:
        """Submit a value to a declared metric that keeps the best; what is not the best may be that of its period."""
        old = self.state.value(metric)
        best = self.submit(metric, value)
        self.changes.append(
            MetricChanged(metric, value, value - old) if best and value != old else ScoreSubmitted(metric, value)
        )

    def see(self, metric: str, values: tuple[str, ...], new: int) -> None:
        """Count different values: all of them for quests, those `new` to the user for the metric."""
        if new:
            value = self.state.value(metric) + new
            self._set(metric, value - new, value)
            self.changes.append(MetricChanged(metric, value, new))
        self.moves.append((metric, new, values))

    def _set(self, metric: str, old: int, new: int) -> None:
        """Set a metric, and note what it was when the request began."""
        if metric not in self.before:
            self.before[metric] = old
        self.state.metrics[metric] = new
        self.dirty.add(metric)
        if self.memory is not None:
            self.memory.note_change(metric, self.at)

    @property
    def has_rare(self) -> bool:
        """Whether it causes rows besides the journal's and the user's."""
        return bool(
            self.unlocked
            or self.claims
            or self.quest_records
            or self.places_taken
            or self.closed_holds
            or self.opened_hold is not None
        )

    def value_before(self, metric: str) -> int:
        """Return what a metric was when the request began."""
        before = self.before.get(metric)
        return self.state.value(metric) if before is None else before

    @property
    def is_late(self) -> bool:
        """Whether the user has been further than this request's own time."""
        return self.at < self.state.latest_at

    def recall(self) -> Memory:
        """Return what the document no longer holds. Raises Forgotten where that was not loaded: the shell then does."""
        if self.memory is None:
            raise Forgotten(self.user_id)
        return self.memory


def check_range(value: int, what: str) -> None:
    """Raise InvalidInput when a sum leaves the whole numbers that are exact everywhere."""
    if not -AMOUNT_MAX <= value <= AMOUNT_MAX:
        raise InvalidInput(
            "amount_out_of_range", f"This would bring {what} to {value}, beyond ±(2^53 - 1). Nothing was recorded."
        )
