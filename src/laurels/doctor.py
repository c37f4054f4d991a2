"""
Does what is stored keep the laws? The journal proves everything else: balances, metrics, levels, unlocks, boards.

Users are examined one after the other: everything that is ordered by user is read side by side, and what the journal
adds up to is held against it. Standings, which are ordered by board, are recomputed into a scratch file first. So
memory does not grow with the database. Nothing is changed, and all is read on one snapshot.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self

import msgspec
from sqlalchemy import Connection, Select, func, select

from laurels.catalog_file import parse_catalog
from laurels.core.changes import (
    AchievementUnlocked,
    Change,
    ClaimTaken,
    CurrencyCredited,
    CurrencyDebited,
    CurrencyHeld,
    CurrencyReleased,
    QuestClaimed,
    QuestCompleted,
    StreakExtended,
    XpAwarded,
    contributions,
)
from laurels.core.periods import from_datetime
from laurels.core.state import UserState
from laurels.leaderboards import sql
from laurels.leaderboards.scores import Part, Scores, StandingRow, add_score, reached
from laurels.store import reads
from laurels.store.tables import (
    achiever_counts,
    catalog_revisions,
    claims,
    holds,
    journal,
    notifications,
    quest_runs,
    standing_counts,
    standings,
    unlocks,
    users,
)

if TYPE_CHECKING:
    from laurels.core.catalog import Catalog, Leaderboard
    from laurels.engine import Engine
    from laurels.protocols import Progress

LAWS = {
    "versions": "each user's journal counts 1, 2, 3 … without a gap, up to the user's version",
    "chain": "each balance is the one before it plus the entry's amount",
    "balances": "XP and every currency are the sum of their entries",
    "level": "the level is the one that the XP reach",
    "metrics": "every metric is what the journal adds up to",
    "streaks": "streaks stand as the journal left them",
    "quests": "completed and claimed quests are those of the journal",
    "unlocks": "unlocked achievements are those of the journal",
    "claims": "what counts once and was counted is what the journal counted",
    "holds": "open holds are those of the journal",
    "notifications": "each user's notifications count 1, 2, 3 … without a gap",
    "places": "the places taken in limited achievements are those given away",
    "boards": "every standing is what the journal adds up to",
    "counts": "the histograms that ranks are taken from count the standings",
}
ROWS_AT_A_TIME = 1_000
FINDINGS_KEPT = 1_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a law is broken: whose or which board's it is, what it is about, what it should be and is."""

    law: str
    where: str
    what: str
    expected: str
    found: str


class Report(msgspec.Struct, kw_only=True):
    """
    What an examination found: how often each law is broken, and where, as far as `findings` are kept.

    `users` and `rows` (of the journal) say how much was looked at.
    """

    healthy: bool = True
    users: int = 0
    rows: int = 0
    laws: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(LAWS, 0))
    findings: list[Finding] = msgspec.field(default_factory=list)

    def hold(self, law: str, where: str, what: str, *, expected: object, found: object) -> None:
        """Note a finding unless what is expected is what was found."""
        if expected == found:
            return
        self.healthy = False
        self.laws[law] += 1
        if len(self.findings) < FINDINGS_KEPT:
            shown = f"{expected!s:.200}", f"{found!s:.200}"
            self.findings.append(Finding(law=law, where=where, what=what, expected=shown[0], found=shown[1]))


def examine(engine: Engine, progress: Progress) -> Report:
    """Hold everything that is stored against the laws, and return what was found."""
    report = Report()
    catalog = engine.catalog
    kept = engine.projector.kept_in_redis()  # Before the snapshot, which then holds every row that these hold.
    with ExitStack() as stack:
        connection = stack.enter_context(engine.read())
        boards = [_Boards(sql.positions(connection, catalog), stack.enter_context(_Scratch()))]
        if kept:
            redis = _Boards({code: seq for code, (seq, _) in kept.items()}, stack.enter_context(_Scratch()))
            found = stack.enter_context(_Scratch())
            found.keep(row for seq, rows in kept.values() if seq != sql.UNFILLED for row in rows)
            boards.append(redis)
        examination = _Examination(connection, catalog, report, boards)
        examination.examine_users(progress)
        examination.examine_places()
        examination.examine_standings(progress)
        examination.examine_counts()
        if kept:
            examination.compare(progress, "Comparing boards in Redis", redis.expected.rows(), found.rows())
    return report


@dataclass(frozen=True)
class _Boards:
    """Boards somewhere: up to which journal row each is filled, and what it must hold."""

    positions: Mapping[str, int]
    expected: _Scratch


class _Examination:
    """One examination: the snapshot it reads, the catalogs that were in force, and what adds up over all users."""

    def __init__(self, connection: Connection, catalog: Catalog, report: Report, boards: list[_Boards]) -> None:
        self.connection = connection
        self.catalog = catalog
        self.report = report
        self.boards = boards
        self.revisions = _Revisions(connection)
        self.boards_of: dict[str, list[Leaderboard]] = defaultdict(list)
        for board in catalog.leaderboards.values():
            self.boards_of[board.metric].append(board)
        self.places: Counter[str] = Counter()

    def examine_users(self, progress: Progress) -> None:
        """Examine one user after the other, with all rows that name the user."""
        step, total = progress("Examining users", "users"), reads.user_count(self.connection)
        sources = {name: _ByUser(self._stream(query)) for name, query in _ORDERED_BY_USER.items()}
        for user_id, version, document in self._stream(select(users).where(reads.EXISTS).order_by(users.c.user_id)):
            stored = {name: source.of(user_id) for name, source in sources.items()}
            state = msgspec.json.decode(document, type=UserState)
            told = self._tell(user_id, stored.pop("journal"))
            _examine_user(self.report, user_id, version, state, told, {n: list(rows) for n, rows in stored.items()})
            self.report.users += 1
            if self.report.users % ROWS_AT_A_TIME == 0:
                step(self.report.users, total)
        for name, source in sources.items():
            for user_id in source.left():
                self.report.hold("versions", user_id, f"the user of rows in {name}", expected="a user", found="none")
        step(total, total)

    def examine_places(self) -> None:
        """Hold the places taken in limited achievements against those that the journal gave away."""
        taken = {code: count for code, count in self.connection.execute(select(achiever_counts)) if count}
        for code in sorted(taken.keys() | self.places.keys()):
            self.report.hold(
                "places", code, "places taken", expected=self.places.get(code, 0), found=taken.get(code, 0)
            )

    def examine_standings(self, progress: Progress) -> None:
        """Hold the database's standings against those recomputed while the users were examined."""
        boards = self.boards[0]
        filled = [code for code, seq in boards.positions.items() if seq != sql.UNFILLED]
        key = (standings.c.board, standings.c.period, standings.c.member_of, standings.c.user_id)
        query = select(*key, standings.c.score, standings.c.reached_at).where(standings.c.board.in_(filled))
        stored = (StandingRow(*row) for row in self._stream(query.order_by(*key)))
        self.compare(progress, "Comparing standings", boards.expected.rows(), stored)

    def examine_counts(self) -> None:
        """Hold the histograms, from which ranks are taken, against the standings they count."""
        c, ranking = standings.c, (standings.c.board, standings.c.period, standings.c.member_of)
        scores = select(*ranking, c.score, func.count().label("users")).group_by(*ranking, c.score).order_by(*ranking)
        c, ranking = standing_counts.c, (standing_counts.c.board, standing_counts.c.period, standing_counts.c.member_of)
        counts = select(*ranking, c.level, c.bucket, c.users, c.scores).order_by(*ranking)
        both = heapq.merge(self._rankings(0, scores), self._rankings(1, counts), key=itemgetter(0, 1))
        for key, sides in groupby(both, itemgetter(0)):
            found_by = {side: rows for _, side, rows in sides}
            board = self.catalog.leaderboards.get(key[0])
            if board is not None:  # What is left of a board that the catalog no longer has is read by nobody.
                have = {row.score: row.users for row in found_by.get(0, ())}
                stored = {(row.level, row.bucket): (row.users, row.scores) for row in found_by.get(1, ())}
                self._compare_counts(key, sql.spread_of(have, is_dense=board.ties == "dense"), stored)

    def _rankings(self, side: int, query: Select[Any]) -> Iterator[tuple[tuple[str, str, str], int, list[Any]]]:
        """Yield the rows of each ranking, as one side of a comparison."""
        for key, rows in groupby(self._stream(query), itemgetter(0, 1, 2)):
            yield key, side, list(rows)

    def _compare_counts(self, key: tuple[str, ...], expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> None:
        """Tell of the first bucket of a ranking that is counted wrongly."""
        wrong = sorted(place for place in expected.keys() | found.keys() if expected.get(place) != found.get(place))
        for level, bucket in wrong[:1]:
            are = "is" if len(wrong) == 1 else "are"
            what = (
                f"users and different scores in bucket {bucket} of level {level}"
                f" ({len(wrong)} of its buckets {are} wrong)"
            )
            self.report.hold(
                "counts",
                " ".join(filter(None, key)),
                what,
                expected=expected.get((level, bucket), (0, 0)),
                found=found.get((level, bucket), (0, 0)),
            )

    def compare(
        self, progress: Progress, what: str, recomputed: Iterator[StandingRow], stored: Iterator[StandingRow]
    ) -> None:
        """Hold standings, in the order of their keys, against those recomputed."""
        step, count = progress(what, "standings"), 0
        for count, (expected, found) in enumerate(_side_by_side(recomputed, stored), start=1):
            row = expected or found
            assert row is not None
            if expected != found:
                group = f" {row.member_of}" if row.member_of else ""
                self.report.hold(
                    "boards",
                    f"{row.board} {row.period}{group}",
                    f"standing of {row.user_id}",
                    expected=_score_of(expected),
                    found=_score_of(found),
                )
            if count % ROWS_AT_A_TIME == 0:
                step(count, None)
        step(count, count)

    def _tell(self, user_id: str, rows: Iterable[Any]) -> _Told:
        """Return what a user's journal adds up to, and put the user's standings aside."""
        told = _Told(user_id, self.report)
        scores: list[dict[str, Scores]] = [defaultdict(dict) for _ in self.boards]
        for row in rows:
            self.report.rows += 1
            changes = _decode_changes(row.changes)
            told.add(row.version, changes, row.revision)
            for change in changes:
                if isinstance(change, AchievementUnlocked) and change.times == 1:
                    known = self.revisions[row.revision].achievements.get(change.achievement)
                    self.places[change.achievement] += known is not None and known.max_achievers is not None
            self._add_scores(scores, user_id, row, changes)
        told.level = self.revisions[told.xp_revision].levels.level(told.metrics["xp"]) if told.xp_revision else 1
        for boards, found in zip(self.boards, scores, strict=True):
            for code, added in found.items():
                standing = reached(added, {}, self.catalog.leaderboards[code], self.catalog)
                boards.expected.keep(StandingRow(code, *key, *score) for key, score in standing)
        return told

    def _add_scores(self, scores: list[dict[str, Scores]], user_id: str, row: Any, changes: list[Change]) -> None:
        member_of = msgspec.json.decode(row.groups) if row.groups else {}
        for metric, delta, value in contributions(changes):
            for board in self.boards_of.get(metric, ()):
                part = Part(user_id, row.time, row.day, member_of, delta, value)
                for boards, added in zip(self.boards, scores, strict=True):
                    if row.seq <= boards.positions[board.code]:
                        add_score(added[board.code], board, self.catalog, part)

    def _stream(self, query: Select[Any]) -> Iterable[Any]:
        return self.connection.execute(query, execution_options={"yield_per": ROWS_AT_A_TIME})


# --- One user ---------------------------------------------------------------------------------------------------------


@dataclass
class _Told:
    """What one user's journal tells, row after row; the laws that every row must keep are looked at on the way."""

    user_id: str
    report: Report
    version: int = 0
    level: int = 1
    xp_revision: int = 0
    balances: Counter[str] = field(default_factory=Counter)
    metrics: Counter[str] = field(default_factory=lambda: Counter(level=1))
    streaks: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    unlocks: dict[tuple[str, int], int] = field(default_factory=dict)
    completed: set[tuple[str, str]] = field(default_factory=set)
    claimed: set[tuple[str, str]] = field(default_factory=set)
    claims: set[tuple[str, str, str]] = field(default_factory=set)
    holds: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, version: int, changes: list[Change], revision: int) -> None:
        """Take the next row in."""
        self.report.hold("versions", self.user_id, "version", expected=self.version + 1, found=version)
        self.version = version
        for metric, delta, value in contributions(changes):
            if metric.startswith("streak."):
                self.metrics[metric] = max(self.metrics[metric], value)
            else:
                self.metrics[metric] += delta
        for change in changes:
            self._add(change)
            if isinstance(change, XpAwarded):
                self.xp_revision = revision

    def _add(self, change: Change) -> None:
        match change:
            case XpAwarded(amount=amount, total=total):
                self._post("xp", amount, total)
            case CurrencyCredited(currency=currency, amount=amount, balance=balance):
                self._post(currency, amount, balance)
            case CurrencyDebited(currency=currency, amount=amount, balance=balance):
                self._post(currency, -amount, balance)
            case CurrencyHeld(currency=currency, amount=amount, balance=balance, hold=hold):
                self._post(currency, -amount, balance)
                self.holds[hold] = (currency, amount)
            case CurrencyReleased(currency=currency, amount=amount, balance=balance, hold=hold):
                self._post(currency, amount, balance)
                self.holds.pop(hold, None)
            case AchievementUnlocked(achievement=code, times=times, unlocked_at=at):
                self.unlocks[code, times] = from_datetime(at)
            case QuestCompleted(quest=code, period=period):
                self.completed.add((code, period))
            case QuestClaimed(quest=code, period=period):
                self.claimed.add((code, period))
            case StreakExtended(streak=code, current=current, longest=longest, freezes=freezes):
                self.streaks[code] = (current, longest, freezes)
            case ClaimTaken(scope=scope, actor=actor, value=value):
                self.claims.add((scope, actor, value))
            case _:
                pass

    def _post(self, unit: str, amount: int, balance: int) -> None:
        what = f"{unit} after version {self.version}"
        self.report.hold("chain", self.user_id, what, expected=self.balances[unit] + amount, found=balance)
        self.balances[unit] = balance


def _examine_user(
    report: Report, user_id: str, version: int, state: UserState, told: _Told, stored: dict[str, list[Any]]
) -> None:
    """Hold a user's document and rows against what the journal tells."""

    def hold(law: str, what: str, expected: object, found: object) -> None:
        report.hold(law, user_id, what, expected=expected, found=found)

    hold("versions", "version of the row", told.version, version)
    hold("versions", "version of the document", told.version, state.version)
    hold("level", "level", told.level, state.value("level"))
    sums: Counter[str] = Counter()
    for _, unit, amount in stored["entries"]:
        sums[unit] += amount
    balances = {**state.balances, "xp": state.value("xp")}
    for unit in sorted({*sums, *balances}):
        hold("balances", unit, sums[unit], balances.get(unit, 0))
    for metric in sorted({*told.metrics, *state.metrics}):
        hold("metrics", metric, told.metrics[metric], state.value(metric))
    for code in sorted({*told.streaks, *state.streaks}):
        streak = state.streaks.get(code)
        found = None if streak is None else (streak.runs[-1].length, streak.longest, streak.freezes)
        hold("streaks", f"{code}: length, longest, freezes", told.streaks.get(code), found)
    _examine_quests(hold, state, told, stored["quest_runs"])
    _examine_unlocks(hold, state, told, stored["unlocks"])
    _examine_sets(hold, "claims", "claims", told.claims, {tuple(row[1:]) for row in stored["claims"]})
    held = {hold.id: (hold.currency, hold.amount) for hold in state.holds}
    hold("holds", "open holds in the document", told.holds, held)
    hold("holds", "rows of open holds", told.holds, {row.hold: (row.currency, row.amount) for row in stored["holds"]})
    numbers = [row.number for row in stored["notifications"]]
    hold("notifications", "numbers", list(range(1, state.notified + 1)), numbers)


Hold = Callable[[str, str, object, object], None]


def _examine_quests(hold: Hold, state: UserState, told: _Told, rows: list[Any]) -> None:
    _examine_sets(hold, "quests", "completed runs", told.completed, {(row.quest, row.period) for row in rows})
    claimed = {(row.quest, row.period) for row in rows if row.claimed_at is not None}
    _examine_sets(hold, "quests", "claimed runs", told.claimed, claimed)
    unclaimed = {(code, run.period) for code, runs in state.unclaimed.items() for run in runs}
    _examine_sets(hold, "quests", "runs to be claimed", told.completed - told.claimed, unclaimed)
    counts = Counter(code for code, _ in told.completed)
    for code in sorted({*counts, *state.completions}):
        hold("quests", f"completions of {code}", counts[code], state.completions.get(code, 0))


def _examine_unlocks(hold: Hold, state: UserState, told: _Told, rows: list[Any]) -> None:
    stored = {(row.achievement, row.times): row.unlocked_at for row in rows}
    for code, times in sorted({*told.unlocks, *stored}):
        what = f"{code} ×{times}, unlocked at"
        hold("unlocks", what, told.unlocks.get((code, times)), stored.get((code, times)))
    counts = Counter(code for code, _ in told.unlocks)
    for code in sorted({*counts, *state.unlocks}):
        hold("unlocks", f"{code}, times in the document", counts[code], state.unlocks.get(code, 0))


def _examine_sets(hold: Hold, law: str, what: str, expected: set[Any], found: set[Any]) -> None:
    for missing in sorted(expected - found):
        hold(law, what, missing, None)
    for surplus in sorted(found - expected):
        hold(law, what, None, surplus)


# --- Reading side by side ---------------------------------------------------------------------------------------------

_decode_changes = msgspec.json.Decoder(list[Change]).decode
_entries = reads.entries.c
_rows = journal.c

#: What is stored of each user, in the order of user ids.
_ORDERED_BY_USER: dict[str, Select[Any]] = {
    "journal": select(
        _rows.user_id, _rows.version, _rows.seq, _rows.time, _rows.day, _rows.groups, _rows.changes, _rows.revision
    ).order_by(_rows.user_id, _rows.version),
    "entries": select(_entries.user_id, _entries.unit, _entries.amount).order_by(_entries.user_id, _entries.version),
    "quest_runs": select(quest_runs).order_by(quest_runs.c.user_id),
    "unlocks": select(unlocks).order_by(unlocks.c.user_id),
    "claims": select(claims.c.user_id, claims.c.scope, claims.c.actor, claims.c.value).order_by(claims.c.user_id),
    "holds": select(holds).where(holds.c.ended.is_(None)).order_by(holds.c.user_id),
    "notifications": select(notifications.c.user_id, notifications.c.number).order_by(
        notifications.c.user_id, notifications.c.number
    ),
}


class _ByUser:
    """Rows in the order of their users, the first column, handed out user by user."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._next = next(self._groups, None)
        self._strangers: list[str] = []

    def of(self, user_id: str) -> Iterable[Any]:
        """Return the rows of a user; users are asked for in order. Those passed over are `left`."""
        while self._next is not None and self._next[0] < user_id:
            self._strangers.append(self._next[0])
            self._next = next(self._groups, None)
        if self._next is None or self._next[0] != user_id:
            return ()
        rows, self._next = self._next[1], None
        return chain(rows, self._advance())

    def _advance(self) -> Iterator[Any]:
        """Yield nothing, but only after the rows before were read: groupby hands out one group at a time."""
        self._next = next(self._groups, None)
        yield from ()

    def left(self) -> list[str]:
        """Return the users of rows that nobody asked for."""
        while self._next is not None:
            self._strangers.append(self._next[0])
            self._next = next(self._groups, None)
        return self._strangers


class _Revisions(dict[int, "Catalog"]):
    """The catalogs that were in force, by number, read when they are first asked for."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, revision: int) -> Catalog:
        """Read a revision."""
        query = select(catalog_revisions.c.source).where(catalog_revisions.c.revision == revision)
        source = self._connection.execute(query).scalar_one()
        catalog = replace(parse_catalog(source, format="json"), revision=revision)
        self[revision] = catalog
        return catalog


class _Scratch:
    """Standings put aside in a private file, which SQLite keeps on disk and deletes when it is closed."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; BEGIN;"
            "CREATE TABLE standings (board, period, member_of, user_id, score, reached_at);"
        )

    def __enter__(self) -> Self:
        """Return the scratch file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the file."""
        self._database.close()

    def keep(self, rows: Iterable[StandingRow]) -> None:
        """Put rows aside."""
        self._database.executemany("INSERT INTO standings VALUES (?, ?, ?, ?, ?, ?)", rows)

    def rows(self) -> Iterator[StandingRow]:
        """Yield all rows in the order of their key."""
        query = "SELECT * FROM standings ORDER BY board, period, member_of, user_id"
        return (StandingRow(*row) for row in self._database.execute(query))


def _side_by_side(
    expected: Iterator[StandingRow], found: Iterator[StandingRow]
) -> Iterator[tuple[StandingRow | None, StandingRow | None]]:
    """Yield rows of the same key together, those without a partner alone; both sides are in the order of the key."""
    left, right = next(expected, None), next(found, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[:4] < right[:4]):
            yield left, None
            left = next(expected, None)
        elif left is None or right[:4] < left[:4]:
            yield None, right
            right = next(found, None)
        else:
            yield left, right
            left, right = next(expected, None), next(found, None)


def _score_of(row: StandingRow | None) -> str:
    return "none" if row is None else f"{row.score}" + (f" reached at {row.reached_at}" if row.reached_at else "")
