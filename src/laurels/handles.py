"""What an application does with one user at a time: `engine.user(id)`, `.wallet(id)`, `.user(id).quest(code)`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar
from zoneinfo import available_timezones

import msgspec
from sqlalchemy import delete, update

from laurels.audit import note
from laurels.core import achievements, commands, history, periods, quests, streaks
from laurels.core.draft import Draft
from laurels.core.errors import Conflict, InvalidInput, Unavailable, Unknown
from laurels.core.nearest import unknown
from laurels.core.profile import profile_of
from laurels.core.requests import check_id, check_limit, check_position, check_text, read_instant, shown
from laurels.core.state import QuestRun, UserState
from laurels.store import reads
from laurels.store.tables import notifications, profiles, showcases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from laurels.core.catalog import Achievement, Catalog, Quest
    from laurels.core.changes import Outcome
    from laurels.core.notifications import Notification
    from laurels.core.periods import Instant
    from laurels.core.profile import Profile
    from laurels.engine import Engine
    from laurels.store.reads import Entry, StoredRequest, StoredRun

LAST_HOUR = 23
GROUPS_MAX = 50
STREAK_DAYS_MAX = 10_000
URL_CHARACTERS_MAX = 2_000
T = TypeVar("T")
_UNCHANGED = msgspec.UNSET


class AchievementView(msgspec.Struct, frozen=True, kw_only=True):
    """One achievement as a user sees it: unlocked or not, and how far along."""

    achievement: str
    name: str
    description: str
    icon: str
    image: str
    category: str
    rarity: str
    secret: bool
    unlocked: bool
    times: int
    unlocked_at: datetime | None
    value: int
    target: int
    showcased: bool = False
    order: int | None = None


class QuestView(msgspec.Struct, frozen=True, kw_only=True):
    """One quest run as a user sees it."""

    quest: str
    name: str
    description: str
    type: str
    period: str
    status: quests.QuestStatus
    value: int
    target: int
    starts_at: datetime | None
    ends_at: datetime | None


class StreakDay(msgspec.Struct, frozen=True):
    """
    A day of a streak such as 2026-11-22, or a week such as 2026-W47, and what became of it.

    `open` is not over yet.
    """

    day: str
    status: streaks.DayStatus | Literal["open"]


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a user did in all: requests by type, on how many days, and the own times of the first and the last.

    Commands have types that a colon leads.
    """

    requests: int
    by_type: dict[str, int]
    active_days: int
    first_at: datetime | None
    last_at: datetime | None


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """One local day of a user's: how many requests were theirs, and what XP and currencies changed by."""

    day: str
    requests: int
    xp: int
    currencies: dict[str, int]


class UserHandle:
    """One user, who need not exist yet. Reading an unknown user raises Unknown `unknown_user`."""

    def __init__(self, engine: Engine, user_id: str) -> None:
        check_id(user_id, "user")
        self.user_id = user_id
        self._engine = engine

    def set(
        self,
        *,
        timezone: str | msgspec.UnsetType = _UNCHANGED,
        day_starts_at: int | msgspec.UnsetType = _UNCHANGED,
        groups: Mapping[str, str] | msgspec.UnsetType = _UNCHANGED,
        opted_out: bool | msgspec.UnsetType = _UNCHANGED,
        display_name: str | msgspec.UnsetType | None = _UNCHANGED,
        avatar_url: str | msgspec.UnsetType | None = _UNCHANGED,
        actor: str = "",
    ) -> Profile:
        """
        Set what is given and leave the rest; a user who does not exist is created. Returns the profile.

        `timezone` is an IANA name, `day_starts_at` an hour (0 to 23). Both hold for what is recorded from now on.
        Opting out hides the user from every board at once; what is earned meanwhile counts again on the way back.
        `actor` is who does it, where it is an administrative act, for the audit log. Raises Unavailable `user_busy`
        (retryable), and sets nothing, where somebody else holds the user for longer than a moment.
        """
        _check_settings(timezone, day_starts_at, groups, opted_out, display_name, avatar_url)
        if opted_out is True:
            # Before it is committed: to be hidden a moment too long harms nobody.
            self._engine.projector.hide(self.user_id)
        zone = self._engine.catalog.zone
        with self._engine.write() as transaction:
            if transaction.lock([self.user_id], waiting_for=[self.user_id]):
                raise Unavailable("user_busy", f"Others hold {self.user_id!r}; try again.", retryable=True)
            connection = transaction.connection
            state = reads.state(connection, self.user_id) or UserState(zone=zone)
            stored = reads.stored_profile(connection, self.user_id)
            state.zone = _given(timezone, state.zone)
            state.day_starts_at = _given(day_starts_at, state.day_starts_at)
            state.groups = dict(_given(groups, state.groups))
            state.opted_out = _given(opted_out, state.opted_out)
            transaction.put(self.user_id, state)
            connection.execute(delete(profiles).where(profiles.c.user_id == self.user_id))
            connection.execute(
                profiles.insert().values(
                    user_id=self.user_id,
                    display_name=_given(display_name, stored.display_name),
                    avatar_url=_given(avatar_url, stored.avatar_url),
                    opted_out=int(state.opted_out),
                )
            )
            if actor:  # What was set, not to what: names and pictures have no place in the log.
                names = _given_names(
                    timezone=timezone,
                    day_starts_at=day_starts_at,
                    groups=groups,
                    opted_out=opted_out,
                    display_name=display_name,
                    avatar_url=avatar_url,
                )
                note(connection, self._engine.now(), actor, "user.set", self.user_id, {"set": names})
        if opted_out is False:
            self._engine.projector.show(self.user_id)
        return self.profile()

    def profile(self) -> Profile:
        """Return what a reader sees of the user now."""
        with self._engine.read() as connection:
            catalog = self._engine.catalog_in(connection)
            state = self._state(connection)
            stored = reads.stored_profile(connection, self.user_id)
        return profile_of(
            self.user_id,
            state,
            catalog,
            self._engine.now(),
            display_name=stored.display_name,
            avatar_url=stored.avatar_url,
        )

    def achievements(self) -> list[AchievementView]:
        """Return every achievement of the catalog in its order, those unlocked and those to come."""
        catalog = self._engine.catalog
        with self._engine.read() as connection:
            state = self._state(connection)
            unlocked_at = {
                unlock.achievement: unlock.unlocked_at for unlock in reads.unlocks_of(connection, self.user_id)
            }
            shown = reads.showcased(connection, self.user_id)
        return [
            _achievement_view(achievement, state, unlocked_at.get(achievement.code), shown.get(achievement.code))
            for achievement in catalog.achievements.values()
            if achievement.enabled or achievement.code in state.unlocks
        ]

    def showcase(self, achievement: str, *, showcased: bool = True, order: int = 0) -> AchievementView:
        """
        Show an achievement before others, at a place of the user's choice, or no longer.

        Raises Unknown for one that there is not, and Conflict `achievement_locked` for one that is not unlocked.
        """
        check_position(order, "order")
        if achievement not in self._engine.catalog.achievements:
            raise Unknown(
                "unknown_achievement",
                unknown("achievement", str(achievement), self._engine.catalog.achievements),
            )
        with self._engine.write() as transaction:
            connection = transaction.connection
            if achievement not in self._state(connection).unlocks:
                raise Conflict("achievement_locked", f"{self.user_id!r} has not unlocked {achievement!r}.")
            c = showcases.c
            connection.execute(delete(showcases).where(c.user_id == self.user_id, c.achievement == achievement))
            if showcased:
                row = {"user_id": self.user_id, "achievement": achievement, "place": order}
                connection.execute(showcases.insert().values(row))
        return next(view for view in self.achievements() if view.achievement == achievement)

    def stats(self) -> Stats:
        """Return what the user did in all."""
        with self._engine.read() as connection:
            self._state(connection)
            found = reads.requests_by_type(connection, self.user_id)
            days = reads.active_day_count(connection, self.user_id)
        return Stats(
            requests=sum(count for _, count, _, _ in found),
            by_type={kind: count for kind, count, _, _ in found},
            active_days=days,
            first_at=periods.to_datetime(min(first for _, _, first, _ in found)) if found else None,
            last_at=periods.to_datetime(max(last for _, _, _, last in found)) if found else None,
        )

    def activity(self, *, before: str | None = None, limit: int = 100) -> list[Activity]:
        """
        Return the days on which something happened to the user, the latest first.

        `before` is the day from which on they were read already.
        """
        check_limit(limit)
        label = None
        if before is not None:
            try:
                label = periods.parse_period_key("daily", before)
            except ValueError as error:
                raise InvalidInput("invalid_period", str(error), "before") from None
        with self._engine.read() as connection:
            self._state(connection)
            days = reads.days_of(connection, self.user_id, before=label, limit=limit)
            bounds = {"first": days[-1][0], "last": days[0][0]} if days else {"first": 0, "last": -1}
            totals = reads.totals_of(connection, self.user_id, **bounds)
        return [
            Activity(
                day=periods.period_key("daily", day),
                requests=count,
                xp=totals.get((day, "xp"), 0),
                currencies={
                    unit: total for (on, unit), total in sorted(totals.items()) if on == day and unit != "xp" and total
                },
            )
            for day, count in days
        ]

    def quests(self) -> list[QuestView]:
        """Return every quest of the catalog in its order: its current run, then the earlier ones that counted."""
        catalog = self._engine.catalog
        with self._engine.read() as connection:
            state = self._state(connection)
            stored = reads.quest_runs_of(connection, self.user_id)
            left = reads.quest_runs_left(connection, self.user_id)
        now = self._engine.now()
        runs = _earlier_runs(stored, left, catalog)
        return list(_quest_views(state, runs, catalog, Draft.of(self.user_id, state, now, now)))

    def quest(self, code: str) -> QuestHandle:
        """Return the handle of one quest of this user."""
        return QuestHandle(self._engine, self.user_id, code)

    def streak_days(self, code: str, *, count: int = 28) -> list[StreakDay]:
        """Return the last days (or weeks) of a streak up to now, oldest first."""
        check_limit(count, "count", STREAK_DAYS_MAX)
        rule = self._engine.catalog.streaks.get(code)
        if rule is None:
            raise Unknown("unknown_streak", unknown("streak", str(code), self._engine.catalog.streaks))
        kind: periods.PeriodKind = "daily" if rule.every == "day" else "weekly"
        with self._engine.read() as connection:
            state = self._state(connection)
            today = periods.period_label(kind, periods.local_day(self._engine.now(), state.zone, state.day_starts_at))
            streak = state.streaks.get(code)
            if streak is not None and streak.has_older and today - count < streak.runs[0].first:
                history.remember(state, reads.changes_of(connection, self.user_id), ())
        days = []
        for label in range(today - count + 1, today + 1):
            status = "missed" if streak is None else streaks.status_of(streak, label)
            is_open = label == today and status == "missed"
            days.append(StreakDay(periods.period_key(kind, label), "open" if is_open else status))
        return days

    def ledger(
        self, *, unit: str | None = None, before: tuple[int, int] | None = None, limit: int = 100
    ) -> list[Entry]:
        """
        Return the user's entries, newest first: of XP (`unit="xp"`), of one currency, or all.

        `before` is the `position` of the last entry of the page before.
        """
        check_limit(limit)
        for number in before or ():
            check_position(number, "before")
        currencies = self._engine.catalog.currencies
        with self._engine.read() as connection:
            state = self._state(connection)
            if unit is not None and unit != "xp" and unit not in currencies and unit not in state.balances:
                raise Unknown("unknown_currency", unknown("currency", str(unit), ["xp", *currencies]))
            return reads.ledger(connection, self.user_id, unit=unit, before=before, limit=limit)

    def notifications(self, *, unread: bool = False, before: int | None = None, limit: int = 100) -> list[Notification]:
        """
        Return the user's notifications, newest first.

        `before` is the number from which on they were read already.
        """
        check_limit(limit)
        if before is not None:
            check_position(before, "before")
        with self._engine.read() as connection:
            self._state(connection)
            return reads.notifications_of(connection, self.user_id, unread=unread, before=before, limit=limit)

    def mark_read(self, *, up_to: int | None = None) -> int:
        """Mark notifications as read, all or those numbered up to `up_to`; return how many were unread."""
        unread = update(notifications).where(notifications.c.user_id == self.user_id, notifications.c.read_at.is_(None))
        if up_to is not None:
            check_position(up_to, "up_to")
            unread = unread.where(notifications.c.number <= up_to)
        with self._engine.write() as transaction:
            self._state(transaction.connection)
            return transaction.connection.execute(unread.values(read_at=self._engine.now())).rowcount

    def outcome(self, request_id: str) -> Outcome:
        """Return what a request of this user caused. Raises Unknown `unknown_request`."""
        check_id(request_id, "id")
        with self._engine.read() as connection:
            self._state(connection)
            found = reads.outcome_of(connection, self.user_id, request_id)
        if found is None:
            raise Unknown("unknown_request", f"{self.user_id!r} has no request {request_id!r}.")
        return found

    def request(self, request_id: str) -> StoredRequest:
        """Return what a request of this user was: its type, times and data. Raises Unknown `unknown_request`."""
        check_id(request_id, "id")
        with self._engine.read() as connection:
            self._state(connection)
            found = reads.request_of(connection, self.user_id, request_id)
        if found is None:
            raise Unknown("unknown_request", f"{self.user_id!r} has no request {request_id!r}.")
        return found

    def _state(self, connection: Connection) -> UserState:
        state = reads.state(connection, self.user_id)
        if state is None:
            raise unknown_user(self.user_id)
        return state


class WalletHandle:
    """One user's currencies. Every method is a request: sent again with the same id it does nothing again."""

    def __init__(self, engine: Engine, user_id: str) -> None:
        self.user_id = user_id
        self._engine = engine

    def credit(
        self,
        currency: str,
        amount: int,
        *,
        request_id: str,
        source: str = "",
        source_id: str | None = None,
        reason: str | None = None,
    ) -> Outcome:
        """Give currency, which counts as earned; with `source_id` once per (user, currency, source, source_id)."""
        return self._engine.record(
            commands.Credit(
                user=self.user_id,
                id=request_id,
                currency=currency,
                amount=amount,
                source=source,
                source_id=source_id,
                reason=reason,
            )
        )

    def spend(self, currency: str, amount: int, *, request_id: str, reason: str | None = None) -> Outcome:
        """Take currency that is there. Raises InsufficientFunds, which says what is available."""
        return self._engine.record(
            commands.Spend(user=self.user_id, id=request_id, currency=currency, amount=amount, reason=reason)
        )

    def transfer(self, currency: str, amount: int, *, to: str, request_id: str, reason: str | None = None) -> Outcome:
        """Move currency to another user. Raises InsufficientFunds."""
        return self._engine.record(
            commands.Transfer(user=self.user_id, id=request_id, to=to, currency=currency, amount=amount, reason=reason)
        )

    def hold(
        self,
        currency: str,
        amount: int,
        *,
        request_id: str,
        expires_at: datetime | None = None,
        reason: str | None = None,
    ) -> Outcome:
        """Set currency aside; the request's id is the hold's id. Raises InsufficientFunds."""
        return self._engine.record(
            commands.Hold(
                user=self.user_id,
                id=request_id,
                currency=currency,
                amount=amount,
                expires_at=None if expires_at is None else read_instant(expires_at, "expires_at"),
                reason=reason,
            )
        )

    def capture(self, hold: str, amount: int | None = None, *, request_id: str, reason: str | None = None) -> Outcome:
        """Spend a hold or a part of it; the rest is free again. Raises Conflict `hold_closed` or `hold_expired`."""
        return self._engine.record(
            commands.Capture(user=self.user_id, id=request_id, hold=hold, amount=amount, reason=reason)
        )

    def release(self, hold: str, *, request_id: str, reason: str | None = None) -> Outcome:
        """Give a hold back. Raises Conflict `hold_closed` or `hold_expired`."""
        return self._engine.record(commands.Release(user=self.user_id, id=request_id, hold=hold, reason=reason))

    def refund(self, request: str, amount: int | None = None, *, request_id: str, reason: str | None = None) -> Outcome:
        """Give back a spend or capture by its request id, or a part of it; never more than is left of it."""
        return self._engine.record(
            commands.Refund(user=self.user_id, id=request_id, request=request, amount=amount, reason=reason)
        )

    def adjust(self, unit: str, amount: int, *, request_id: str, reason: str | None = None) -> Outcome:
        """Correct XP (`xp`) or a currency by an amount of either sign; neither earned nor spent."""
        return self._engine.record(
            commands.Adjust(user=self.user_id, id=request_id, unit=unit, amount=amount, reason=reason)
        )


class QuestHandle:
    """One quest of one user."""

    def __init__(self, engine: Engine, user_id: str, code: str) -> None:
        self.user_id = user_id
        self.code = code
        self._engine = engine

    def accept(self, *, request_id: str) -> Outcome:
        """Start a quest that counts from acceptance."""
        return self._engine.record(commands.AcceptQuest(user=self.user_id, id=request_id, quest=self.code))

    def claim(self, *, request_id: str, period: str | None = None) -> Outcome:
        """Take the reward of the oldest completed run that is not claimed, or of the run of `period`."""
        return self._engine.record(
            commands.ClaimQuest(user=self.user_id, id=request_id, quest=self.code, period=period)
        )


def unknown_user(user_id: str) -> Unknown:
    """Return the error for a user that there is not."""
    return Unknown("unknown_user", f"There is no user {user_id!r}.")


def _check_settings(
    timezone: object, day_starts_at: object, groups: object, opted_out: object, display_name: object, avatar_url: object
) -> None:
    if timezone is not _UNCHANGED and not (isinstance(timezone, str) and periods.zone_exists(timezone)):
        hint = unknown("time zone", str(timezone), available_timezones())
        raise InvalidInput("unknown_timezone", f"{hint} (IANA names, such as Europe/Berlin)", "timezone")
    if day_starts_at is not _UNCHANGED and (type(day_starts_at) is not int or not 0 <= day_starts_at <= LAST_HOUR):
        raise InvalidInput("invalid_hour", f"{shown(day_starts_at)} is no hour from 0 to 23.", "day_starts_at")
    if groups is not _UNCHANGED:
        if not isinstance(groups, Mapping):
            raise InvalidInput("invalid_groups", "Groups are a mapping of names to values.", "groups")
        if len(groups) > GROUPS_MAX:
            raise InvalidInput("invalid_groups", f"A user is in at most {GROUPS_MAX} groups.", "groups")
        for name, value in groups.items():
            check_id(name, "groups")
            check_id(value, f"groups.{name}")
    if opted_out is not _UNCHANGED and not isinstance(opted_out, bool):
        raise InvalidInput("invalid_choice", f"{shown(opted_out)} is neither True nor False.", "opted_out")
    if display_name is not _UNCHANGED and display_name is not None:
        check_text(display_name, "display_name")
    if avatar_url is not _UNCHANGED and avatar_url is not None:
        check_text(avatar_url, "avatar_url", characters_max=URL_CHARACTERS_MAX)


def _given_names(**settings: object) -> list[str]:
    return [name for name, value in settings.items() if value is not _UNCHANGED]


def _given(value: T | msgspec.UnsetType, otherwise: T) -> T:
    return otherwise if isinstance(value, msgspec.UnsetType) else value


def _achievement_view(
    achievement: Achievement, state: UserState, unlocked_at: Instant | None, place: int | None
) -> AchievementView:
    value, target = achievements.progress(achievement, state.value)
    return AchievementView(
        achievement=achievement.code,
        name=achievement.name,
        description=achievement.description,
        icon=achievement.icon,
        image=achievement.image,
        category=achievement.category,
        rarity=achievement.rarity,
        secret=achievement.secret,
        unlocked=achievement.code in state.unlocks,
        times=state.unlocks.get(achievement.code, 0),
        unlocked_at=None if unlocked_at is None else periods.to_datetime(unlocked_at),
        value=value,
        target=target,
        showcased=place is not None,
        order=place,
    )


def _quest_views(
    state: UserState, runs: Mapping[str, Mapping[str, QuestRun]], catalog: Catalog, draft: Draft
) -> Iterator[QuestView]:
    """Yield every quest's runs, newest first, with the current one where nothing was counted in it yet."""
    for quest in catalog.quests.values():
        known = dict(runs.get(quest.code, {}))
        newest = state.quests.get(quest.code)
        if newest is not None:
            known[quests.run_key(quest, newest.label, newest.number)] = newest
        current = quests.nearest_window(quest, draft)
        if quest.enabled and all(run.label != current for run in known.values()):
            known[quests.run_key(quest, current, 1)] = QuestRun(current, 1, [0] * len(quest.goals))
        in_order = sorted(known.items(), key=lambda item: (item[1].label, item[1].number), reverse=True)
        for key, run in in_order:
            yield _quest_view(quest, run, key, draft)


def _earlier_runs(
    stored: Sequence[StoredRun], left: Mapping[tuple[str, int], QuestRun], catalog: Catalog
) -> dict[str, dict[str, QuestRun]]:
    """Return, by quest and key, the runs that were completed, and those that were left where they stood."""
    runs: dict[str, dict[str, QuestRun]] = {}
    for (code, label), run in left.items():
        if code in catalog.quests:
            runs.setdefault(code, {})[quests.run_key(catalog.quests[code], label, run.number)] = run
    for row in stored:
        if row.quest in catalog.quests:
            run = quests.stored_run(catalog.quests[row.quest], row.period, row.completed_at)
            runs.setdefault(row.quest, {})[row.period] = run
    return runs


def _quest_view(quest: Quest, run: QuestRun, key: str, draft: Draft) -> QuestView:
    starts_at, ends_at = quests.bounds(quest, run.label, draft.state)
    return QuestView(
        quest=quest.code,
        name=quest.name,
        description=quest.description,
        type=quest.type,
        period=key,
        status=quests.status(quest, run, key, draft),
        value=quests.progress(run, quest),
        target=quest.total,
        starts_at=None if starts_at is None else periods.to_datetime(starts_at),
        ends_at=None if ends_at is None else periods.to_datetime(ends_at),
    )
