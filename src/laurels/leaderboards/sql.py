"""
Boards in the database: the standings, and a histogram beside them so that a rank is a sum over buckets (buckets.py).

Standings and counts are written with absolute values, in one transaction with the cursor they belong to. Users who
opted out stay in both and are subtracted by those who read, so that hiding a user takes effect at once; there are few.
The statements are the same on every database, but for the way in which a batch of rows gets into one.
"""

# ruff: noqa: S608  SQL is put together from the names of our own tables and columns; values are parameters.

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections import Counter, defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy import and_, delete, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from laurels.leaderboards import buckets
from laurels.leaderboards.scores import (
    Key,
    Scores,
    Standing,
    StandingRow,
    definition,
    first_place_around,
    ranks_in_order,
    reached,
)
from laurels.protocols import Place
from laurels.store.tables import cursors, facts, profiles, standing_counts, standings

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, TextClause

    from laurels.core.catalog import Catalog, Leaderboard
    from laurels.core.periods import Instant
    from laurels.protocols import Ranking

#: Rows handed over at a time when all of a board is read.
LOADED_ROWS = 10_000
#: From how many standings on PostgreSQL can tell how they are spread.
ROWS_TO_LEARN_FROM = 500
#: Where a board stands that holds nothing yet, or what it held before it was redefined.
UNFILLED = -1

_encode = msgspec.json.Encoder().encode
#: Between the values of a column on their way to PostgreSQL. No id, code or number holds a control character.
_SEPARATOR = "\x1f"

_RANKING = ("board", "period", "member_of")
_NUMBERS = frozenset({"score", "reached_at", "level", "bucket", "users", "scores", *buckets.Above._fields})


# --- Reading ----------------------------------------------------------------------------------------------------------


class _Line(NamedTuple):
    """A standing of one ranking; lines sort as they stand on the board."""

    below: int  # The score, negated.
    reached_at: Instant
    user_id: str

    @property
    def score(self) -> int:
        return -self.below


class _Start(NamedTuple):
    """Where a page begins: after the first `skipped` lines whose score is at most `best`, None for all."""

    best: int | None
    skipped: int


class _Found(NamedTuple):
    """A bucket, and how many of its users stand above the line that was looked for."""

    bucket: int
    skipped: int


def _bucket_at(counts: Iterable[Row[int, int]], hidden: Mapping[int, int], offset: int) -> _Found | None:
    """Return the bucket that holds the line after `offset` others; buckets come with the best first."""
    for bucket, users in counts:
        listed = users - hidden.get(bucket, 0)
        if offset < listed:
            return _Found(bucket, offset)
        offset -= listed
    return None


class SqlLeaderboards:
    """What readers ask of the boards, answered from one snapshot of the database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def total(self, ranking: Ranking) -> int:
        """Return how many users are listed."""
        return self._total(ranking, self._hidden(ranking))

    def page(self, ranking: Ranking, offset: int, limit: int) -> list[Place]:
        """Return `limit` lines from the top, after the first `offset`."""
        return self._page(ranking, offset, limit, self._hidden(ranking))

    def around(self, ranking: Ranking, user_id: str, count: int) -> list[Place]:
        """Return `count` lines with the user in the middle, shifted at the ends; none for one who is not listed."""
        lines, hidden = self._lines_of(ranking, [user_id])
        if not lines:
            return []
        (place,) = self._above(ranking, "first", lines, hidden)
        return self._page(ranking, first_place_around(place, count, self._total(ranking, hidden)), count, hidden)

    def ranks(self, ranking: Ranking, user_ids: Sequence[str]) -> dict[str, int]:
        """Return the ranks of those of these users who are listed."""
        lines, hidden = self._lines_of(ranking, user_ids)
        above = self._above(ranking, ranking.board.ties, lines, hidden)
        return {line.user_id: 1 + number for line, number in zip(lines, above, strict=True)}

    def _total(self, ranking: Ranking, hidden: Sequence[_Line]) -> int:
        c = standing_counts.c
        query = select(func.sum(c.users)).where(_of(standing_counts.c, ranking), c.level == buckets.COARSE)
        return int(self._connection.scalar(query) or 0) - len(hidden)

    def _page(self, ranking: Ranking, offset: int, limit: int, hidden: Sequence[_Line]) -> list[Place]:
        c = standings.c
        opted_out = select(profiles.c.user_id).where(profiles.c.opted_out == 1)
        query = select(-c.score, c.reached_at, c.user_id).where(_of(c, ranking), c.user_id.not_in(opted_out))
        start = self._seek(ranking, offset, hidden)
        if start is None:
            return []
        if start.best is not None:
            query = query.where(c.score <= start.best)
        query = query.order_by(c.score.desc(), c.reached_at, c.user_id).offset(start.skipped).limit(limit)
        lines = [_Line(*row) for row in self._connection.execute(query)]
        if not lines:
            return []
        ties = ranking.board.ties
        first = 1 + self._above(ranking, ties, lines[:1], hidden)[0]
        ranks = ranks_in_order(ties, first, offset + 1, [line.score for line in lines])
        return [Place(rank, line.user_id, line.score) for rank, line in zip(ranks, lines, strict=True)]

    def _seek(self, ranking: Ranking, offset: int, hidden: Sequence[_Line]) -> _Start | None:
        """Return where the line after `offset` others is to be looked for, None where there are not so many."""
        if offset == 0:
            return _Start(None, 0)
        c = standing_counts.c
        query = select(c.bucket, c.users).where(_of(c, ranking)).order_by(c.bucket.desc())
        fines = [buckets.fine_of(line.score) for line in hidden]
        coarse = self._connection.execute(query.where(c.level == buckets.COARSE))
        found = _bucket_at(coarse, Counter(map(buckets.coarse_of, fines)), offset)
        if found is None:
            return None
        first, end = buckets.fines_of(found.bucket)
        within = query.where(c.level == buckets.FINE, c.bucket >= first, c.bucket < end)
        found = _bucket_at(self._connection.execute(within), Counter(fines), found.skipped)
        return None if found is None else _Start(buckets.fine_max(found.bucket), found.skipped)

    def _hidden(self, ranking: Ranking) -> list[_Line]:
        """Return the lines of those who opted out, in their order."""
        rows = self._connection.execute(_HIDDEN[self._connection.dialect.name == "sqlite"], _named(ranking))
        return sorted(_Line(*row) for row in rows)

    def _lines_of(self, ranking: Ranking, user_ids: Sequence[str]) -> tuple[list[_Line], list[_Line]]:
        """Return the lines of those of these users who are listed, and those of all who opted out, in their order."""
        if not user_ids:
            return [], []
        key = StandingRow._fields[:4]
        keys = [(ranking.board.code, ranking.period, ranking.member_of, user_id) for user_id in user_ids]
        source, values = _rows(self._connection, key, keys)
        hidden = _HIDDEN[self._connection.dialect.name == "sqlite"].text
        listed = _joined(self._connection, source, standings.name, key)
        statement = _parsed(
            f"SELECT *, 1 AS hidden FROM ({hidden}) AS h"
            f" UNION ALL SELECT -t.score, t.reached_at, t.user_id, 0 FROM {listed}"
        )
        rows = self._connection.execute(statement, values | _named(ranking)).all()
        unseen = sorted(_Line(*line) for *line, is_hidden in rows if is_hidden)
        ids = {line.user_id for line in unseen}
        return [_Line(*line) for *line, is_hidden in rows if not is_hidden and line[2] not in ids], unseen

    def _above(self, ranking: Ranking, ties: str, lines: Sequence[_Line], hidden: Sequence[_Line]) -> list[int]:
        """Return how many stand above each line: users, or different scores where ties are dense."""
        if not lines:
            return []
        rows = [(*buckets.above(line.score), line.score, line.reached_at, line.user_id) for line in lines]
        columns = (*buckets.Above._fields, "score", "reached_at", "user_id")
        source, values = _rows(self._connection, columns, rows)
        statement = _ABOVE.format(counted="scores" if ties == "dense" else "users", source=source)
        if ties == "first":
            statement = statement.replace("AS above", f"+ {_EQUAL_BEFORE} AS above")
        rows_above = self._connection.execute(_parsed(statement), values | _named(ranking))
        found = {row.user_id: row.above for row in rows_above}
        counts = [int(found[line.user_id]) for line in lines]
        if not hidden:
            return counts
        unseen = self._hidden_above(ranking, ties, lines, hidden)
        return [count - less for count, less in zip(counts, unseen, strict=True)]

    def _hidden_above(self, ranking: Ranking, ties: str, lines: Sequence[_Line], hidden: Sequence[_Line]) -> list[int]:
        if ties == "first":
            return [bisect_left(hidden, line) for line in lines]
        if ties == "standard":
            return [bisect_left(hidden, line.below, key=lambda one: one.below) for line in lines]
        c = standing_counts.c
        alone: dict[int, int] = defaultdict(int)
        for line in hidden:
            alone[line.score] += 1
        counts = select(c.bucket, c.users).where(_of(c, ranking), c.level == buckets.EXACT, c.bucket.in_(alone))
        vanished = sorted(-score for score, users in self._connection.execute(counts) if users == alone[score])
        return [bisect_left(vanished, line.below) for line in lines]


@cache
def _parsed(statement: str) -> TextClause:
    """Return a statement whose parameters were found; finding them takes as long as the server takes to run it."""
    return text(statement)


_COUNTS = (
    "(SELECT coalesce(sum(c.{counted}), 0) FROM standing_counts AS c"
    " WHERE c.board = :of_board AND c.period = :of_period AND c.member_of = :of_group"
)
_ABOVE = (
    "SELECT k.user_id, "
    + " + ".join(
        f"{_COUNTS} AND c.level = {level} AND {condition})"
        for level, condition in [
            (buckets.COARSE, "c.bucket > k.coarse"),
            (buckets.FINE, "c.bucket > k.fine AND c.bucket < k.fine_end"),
            (buckets.EXACT, "c.bucket > k.score AND c.bucket < k.exact_end"),
        ]
    )
    + " AS above FROM {source} AS k"
)
_EQUAL_BEFORE = (
    "(SELECT count(*) FROM standings AS s"
    " WHERE s.board = :of_board AND s.period = :of_period AND s.member_of = :of_group"
    " AND s.score = k.score AND (s.reached_at, s.user_id) < (k.reached_at, k.user_id))"
)


#: On PostgreSQL the few who opted out are looked up one by one, whatever it believes of the tables.
_HIDDEN = [
    text(
        f"SELECT s.below, s.reached_at, s.user_id FROM profiles AS p {joined} s.board = :of_board"
        f" AND s.period = :of_period AND s.member_of = :of_group AND s.user_id = p.user_id{closed}"
        " WHERE p.opted_out = 1"
    )
    for joined, closed in [
        (
            "CROSS JOIN LATERAL (SELECT -s.score AS below, s.reached_at, s.user_id FROM standings AS s WHERE",
            " OFFSET 0) AS s",
        ),
        ("CROSS JOIN (SELECT *, -score AS below FROM standings) AS s ON", ""),
    ]
]


def _named(ranking: Ranking) -> dict[str, str]:
    return {"of_board": ranking.board.code, "of_period": ranking.period, "of_group": ranking.member_of}


def _of(columns: object, ranking: Ranking) -> ColumnElement[bool]:
    c: Mapping[str, ColumnElement[str]] = columns  # type: ignore[assignment]
    return and_(c["board"] == ranking.board.code, c["period"] == ranking.period, c["member_of"] == ranking.member_of)


# --- Cursors ----------------------------------------------------------------------------------------------------------


def positions(connection: Connection, catalog: Catalog, *, held: bool = False) -> dict[str, int]:
    """
    Return how far each board of the catalog has come; UNFILLED for one that is new or was redefined.

    `held` keeps everybody else from moving them until the transaction ends.
    """
    query = select(cursors).where(cursors.c.projection.like("board:%")).order_by(cursors.c.projection)
    if held:
        _hold_places(connection, catalog)
        query = query.with_for_update()
    stored = {row.projection: row for row in connection.execute(query)}
    at = {}
    for code, board in catalog.leaderboards.items():
        row = stored.get(f"board:{code}")
        at[code] = UNFILLED if row is None or row.definition != definition(board, catalog) else row.seq
    return at


def epoch(connection: Connection) -> str:
    """Return the database's epoch, redrawn when its boards are to be filled anew."""
    found: str = connection.scalars(select(facts.c.value).where(facts.c.name == "epoch")).one()
    return found


_PLACE = text(
    "SELECT projection, definition, seq FROM cursors WHERE projection LIKE 'board:%'"
    " UNION ALL SELECT name, value, 0 FROM facts WHERE name = 'epoch'"
    " UNION ALL SELECT 'opted out', user_id, 0 FROM profiles WHERE opted_out = 1"
)


def place(connection: Connection) -> Hashable:
    """Return where all boards stand: at the same place every question about them has the same answer."""
    return frozenset(map(tuple, connection.execute(_PLACE)))


def _hold_places(connection: Connection, catalog: Catalog) -> None:
    """Give every board a cursor, so that there is something to lock."""
    known = set(connection.scalars(select(cursors.c.projection)))
    new = sorted({f"board:{code}" for code in catalog.leaderboards} - known)
    if new:
        insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(cursors)
        rows = [{"projection": name, "definition": "", "seq": UNFILLED} for name in new]
        connection.execute(insert.on_conflict_do_nothing(), rows)


def move_cursors(connection: Connection, boards: Iterable[Leaderboard], catalog: Catalog, seq: int) -> None:
    """Say up to which journal row these boards are filled."""
    for board in boards:
        mine = cursors.c.projection == f"board:{board.code}"
        connection.execute(cursors.update().where(mine).values(definition=definition(board, catalog), seq=seq))


def forget(connection: Connection) -> None:
    """Let every board start from nothing, in the database and, by another epoch, wherever else it is kept."""
    connection.execute(delete(cursors).where(cursors.c.projection.like("board:%")))
    connection.execute(facts.update().where(facts.c.name == "epoch").values(value=secrets.token_hex(16)))


def clear(connection: Connection, code: str) -> None:
    """Delete what a board holds."""
    connection.execute(delete(standings).where(standings.c.board == code))
    connection.execute(delete(standing_counts).where(standing_counts.c.board == code))


# --- All of it --------------------------------------------------------------------------------------------------------


def opted_out(connection: Connection) -> set[str]:
    """Return the users who opted out."""
    return set(connection.scalars(select(profiles.c.user_id).where(profiles.c.opted_out == 1)))


def standings_of(connection: Connection, code: str) -> Iterator[tuple[tuple[str, str], Sequence[Row[int, int, str]]]]:
    """Yield all that a board holds, also of users who opted out: period, group, and rows of negated score first."""
    c, n = standings.c, standing_counts.c
    rankings = select(n.period, n.member_of).distinct().where(n.board == code, n.level == buckets.COARSE)
    for period, member_of in connection.execute(rankings).all():
        query = select(-c.score, c.reached_at, c.user_id)
        query = query.where(c.board == code, c.period == period, c.member_of == member_of)
        rows = connection.execute(query, execution_options={"yield_per": LOADED_ROWS})
        for some in rows.partitions():
            yield (period, member_of), some


# --- Writing ----------------------------------------------------------------------------------------------------------


def write_scores(connection: Connection, catalog: Catalog, scores: Mapping[str, Scores]) -> None:
    """Bring the standings of some boards, by their codes, and the counts beside them to their new scores."""
    keys = [(code, *key) for code, found in scores.items() for key in found]
    if not keys:
        return
    before: dict[str, dict[Key, Standing]] = {code: {} for code in scores}
    columns = StandingRow._fields
    for board, period, member_of, user_id, score, reached_at in _read(
        connection, standings.name, columns[:4], columns, keys
    ):
        before[board][period, member_of, user_id] = score, reached_at
    rows: list[tuple[object, ...]] = []
    moves: dict[ScoreKey, int] = defaultdict(int)
    for code, found in scores.items():
        known = before[code]
        for key, standing in reached(found, known, catalog.leaderboards[code], catalog):
            old = known.get(key)
            if old == standing:
                continue
            rows.append((code, *key, *standing))
            if old is not None:
                moves[code, key[0], key[1], old[0]] -= 1
            moves[code, key[0], key[1], standing[0]] += 1
    _upsert(connection, standings.name, columns, 4, rows)
    _Moves(moves, {code for code in scores if catalog.leaderboards[code].ties == "dense"}).write(connection)
    if connection.dialect.name == "postgresql" and len(rows) >= ROWS_TO_LEARN_FROM:
        _learn_spread(connection)


def spread_of(scores: Mapping[int, int], *, is_dense: bool) -> dict[buckets.Bucket, tuple[int, int]]:
    """Return the users and different scores of every bucket of a ranking, from how many users have which score."""
    users: Counter[buckets.Bucket] = Counter()
    different: Counter[buckets.Bucket] = Counter()
    for score, count in scores.items():
        for bucket in buckets.buckets_of(score, always_exact=is_dense):
            users[bucket] += count
            different[bucket] += is_dense
    return {bucket: (count, different[bucket]) for bucket, count in users.items()}


def _learn_spread(connection: Connection) -> None:
    """Let PostgreSQL look at a young table: without statistics it looks users up by the index made for ranks."""
    if connection.scalar(text("SELECT reltuples FROM pg_class WHERE oid = 'standings'::regclass")) < ROWS_TO_LEARN_FROM:
        connection.execute(text("ANALYZE standings"))


#: Board, period, group's value, score.
ScoreKey = tuple[str, str, str, int]
#: Board, period, group's value, level, bucket.
CountKey = tuple[str, str, str, int, int]


class _Moves:
    """How users move between the buckets of the histograms: what is left of all moves of a step taken together."""

    def __init__(self, moves: Mapping[ScoreKey, int], dense: Collection[str]) -> None:
        self._dense = dense
        self._users: dict[CountKey, int] = defaultdict(int)
        for (board, period, member_of, score), users in moves.items():
            if users:
                for level, bucket in buckets.buckets_of(score, always_exact=board in dense):
                    self._users[board, period, member_of, level, bucket] += users

    def write(self, connection: Connection) -> None:
        """Bring the counts forward; an empty bucket has no row."""
        keys: list[CountKey] = [key for key, users in self._users.items() if users or key[0] in self._dense]
        if not keys:
            return
        columns = (*_RANKING, "level", "bucket")
        found = _read(connection, standing_counts.name, columns, (*columns, "users", "scores"), keys)
        before = {(board, *key): (users, scores) for board, *key, users, scores in found}
        scores = self._scores(keys, before)
        rows, empty = [], []
        for key in keys:
            users, of_those = before.get(key, (0, 0))
            now = users + self._users[key], of_those + scores.get(key, 0)
            if now[0] == 0:
                empty.append(key)
            elif now != (users, of_those):
                rows.append((*key, *now))
        _upsert(connection, standing_counts.name, (*columns, "users", "scores"), 5, rows)
        _delete(connection, standing_counts.name, columns, empty)

    def _scores(
        self, keys: Iterable[CountKey], before: Mapping[tuple[object, ...], tuple[int, int]]
    ) -> dict[CountKey, int]:
        """Return how the numbers of different scores change, on boards that need them."""
        changes: dict[CountKey, int] = defaultdict(int)
        for key in keys:
            board, period, member_of, level, score = key
            if level != buckets.EXACT or board not in self._dense:
                continue
            users = before.get(key, (0, 0))[0]
            change = (users + self._users[key] > 0) - (users > 0)
            for bucket in buckets.buckets_of(score, always_exact=True) if change else ():
                changes[board, period, member_of, *bucket] += change
        return changes


# --- Batches of rows --------------------------------------------------------------------------------------------------


def _rows(
    connection: Connection, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> tuple[str, dict[str, str]]:
    """Return a batch as a table for SQL, and the parameters it takes: JSON for SQLite, a text per column else."""
    if connection.dialect.name == "sqlite":
        fields = ", ".join(f"value ->> {place} AS {column}" for place, column in enumerate(columns))
        return f"(SELECT {fields} FROM json_each(:batch))", {"batch": _encode(rows).decode()}
    fields = ", ".join("substr(member_of, 2) AS member_of" if name == "member_of" else name for name in columns)
    arrays = ", ".join(
        f"string_to_array(:batch_{name}, chr(31)){'::bigint[]' if name in _NUMBERS else ''}" for name in columns
    )
    values = {}
    for name, column in zip(columns, zip(*rows, strict=True), strict=True):
        # An array of one empty text would become an empty array.
        texts = [f"={value}" for value in column] if name == "member_of" else [str(value) for value in column]
        values[f"batch_{name}"] = _SEPARATOR.join(texts)
    return f"(SELECT {fields} FROM unnest({arrays}) AS batch ({', '.join(columns)}))", values


def _read(
    connection: Connection,
    table: str,
    key: Sequence[str],
    columns: Sequence[str],
    keys: Sequence[tuple[object, ...]],
) -> Iterable[Row[*tuple[Any, ...]]]:
    source, values = _rows(connection, key, keys)
    fields, joined = ", ".join(f"t.{name}" for name in columns), _joined(connection, source, table, key)
    return connection.execute(text(f"SELECT {fields} FROM {joined}"), values)


def _joined(connection: Connection, source: str, table: str, key: Sequence[str]) -> str:
    """
    Return a batch (k) and the rows of a table (t) that have its keys: looked up one by one, in the batch's order.

    Left to itself, PostgreSQL may go through the table instead while it has no statistics, or old ones.
    """
    condition = " AND ".join(f"{table}.{name} = k.{name}" for name in key)
    if connection.dialect.name == "sqlite":
        return f"{source} AS k CROSS JOIN {table} AS t ON {condition.replace(f'{table}.', 't.')}"
    rows = f"SELECT {table}.ctid, {table}.* FROM {table} WHERE {condition} OFFSET 0"
    return f"{source} AS k CROSS JOIN LATERAL ({rows}) AS t"


def _upsert(
    connection: Connection, table: str, columns: Sequence[str], key_size: int, rows: Sequence[tuple[object, ...]]
) -> None:
    if not rows:
        return
    key, rest = columns[:key_size], columns[key_size:]
    changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
    conflict = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({marks}) {conflict}", list(map(tuple, rows)))
        return
    source, values = _rows(connection, columns, rows)
    names = ", ".join(columns)
    connection.execute(text(f"INSERT INTO {table} ({names}) SELECT {names} FROM {source} AS k {conflict}"), values)


def _delete(connection: Connection, table: str, key: Sequence[str], keys: Sequence[tuple[object, ...]]) -> None:
    if not keys:
        return
    if connection.dialect.name == "sqlite":
        condition = " AND ".join(f"{name} = ?" for name in key)
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE {condition}", list(keys))
        return
    source, values = _rows(connection, key, keys)
    found = f"SELECT t.ctid FROM {_joined(connection, source, table, key)}"
    connection.execute(text(f"DELETE FROM {table} WHERE ctid = ANY (ARRAY({found}))"), values)
