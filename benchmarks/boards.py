"""Leaderboards: writing to Redis, ranks from Redis and from PostgreSQL, and filling an empty Redis."""

from __future__ import annotations

import random
import statistics
from contextlib import closing
from time import perf_counter
from typing import TYPE_CHECKING

import redis
from sqlalchemy import text

import laurels
from benchmarks._postgres import create_database, query, running_server
from benchmarks._report import Figure, report
from laurels.catalog_file import parse_catalog
from laurels.leaderboards import sql
from laurels.leaderboards.redis import RedisBoards
from laurels.leaderboards.scores import Score, Scores
from laurels.protocols import Ranking
from tests.services import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from laurels import Engine

CATALOG = """
[[leaderboards]]
code = "xp"
metric = "xp"
"""
USERS = 1_000_000
LOADED_AT_ONCE = 50_000
#: Standings in one step of the projector.
STEP = 4_000
STEPS = 15
ONE_BY_ONE = 10_000
RANKS = 3_000
SQL_RANKS = 60
ROUNDS = 3

#: Everybody's, all time.
ALL = ("all", "")


def main() -> None:
    """Measure and report."""
    dice = random.Random(1)
    scores = [int(dice.lognormvariate(7, 2)) for _ in range(USERS)]
    with running_server() as postgres, ValkeyServer() as valkey:
        url = create_database(postgres, "boards")
        with laurels.open(url, redis=valkey.url, catalog=parse_catalog(CATALOG)) as engine:
            fill_database(engine, scores)
            query(url, "VACUUM ANALYZE laurels.standings")
            query(url, "VACUUM ANALYZE laurels.standing_counts")
            figures = [rank_in_database(engine, dice), rebuild(engine, valkey.url)]
            with redis.Redis.from_url(valkey.url) as client:
                figures += [writes(engine, valkey.url, client, dice), rank_in_redis(engine, client, scores, dice)]
    report("boards", figures)


def user(number: int) -> str:
    """Return the id of a user."""
    return f"user-{number:07}"


def fill_database(engine: Engine, scores: list[int]) -> None:
    """Give every user a standing, and the board a cursor at the journal's beginning."""
    catalog = engine.catalog
    for start in range(0, USERS, LOADED_AT_ONCE):
        some: Scores = {
            (*ALL, user(start + n)): Score(score, 0) for n, score in enumerate(scores[start:][:LOADED_AT_ONCE])
        }
        with engine.write() as transaction:
            sql.write_scores(transaction.connection, catalog, {"xp": some})
    with engine.write() as transaction:
        sql.positions(transaction.connection, catalog, held=True)
        sql.move_cursors(transaction.connection, catalog.leaderboards.values(), catalog, 0)


def rank_in_database(engine: Engine, dice: random.Random) -> Figure:
    """Compare an exact rank with counting the users above, for the same users."""
    ranking = Ranking(engine.catalog.leaderboards["xp"], "all")
    counting = text(
        "SELECT 1 + count(*) FROM standings WHERE board = 'xp' AND period = 'all' AND member_of = '' AND score >"
        " (SELECT score FROM standings WHERE board = 'xp' AND period = 'all' AND member_of = '' AND user_id = :user)"
    )
    users = [user(dice.randrange(USERS)) for _ in range(SQL_RANKS)]
    with engine.read() as connection:
        boards = sql.SqlLeaderboards(connection)

        def ours(who: str) -> int:
            return boards.ranks(ranking, [who])[who]

        def counted(who: str) -> int:
            return connection.execute(counting, {"user": who}).scalar_one()

        assert [ours(who) for who in users] == [counted(who) for who in users]
        pairs = [(taken(ours, who), taken(counted, who)) for who in users]
    return Figure(
        figure=f"an exact rank among {USERS:,} users, PostgreSQL without Redis",
        value=1000 * statistics.median(one for one, _ in pairs),
        unit="ms",
        floor=1000 * statistics.median(other for _, other in pairs),
        ratio=statistics.median(other for _, other in pairs) / statistics.median(one for one, _ in pairs),
        target=">= 30 x faster than count(*)",
        method=f"median of {SQL_RANKS} users drawn evenly, against count(*) by index; the slowest of ours took "
        f"{1000 * max(one for one, _ in pairs):.1f} ms; scores spread like a community's (lognormal)",
    )


def taken(work: Callable[[str], int], who: str) -> float:
    """Return how long a question took, in seconds."""
    started = perf_counter()
    work(who)
    return perf_counter() - started


def rebuild(engine: Engine, url: str) -> Figure:
    """Fill an empty Redis from the database."""
    speeds = []
    for _ in range(ROUNDS):
        with redis.Redis.from_url(url) as client:
            client.flushall()
        started = perf_counter()
        while engine.projector.step(0):
            pass
        speeds.append(USERS / (perf_counter() - started))
        assert engine.leaderboard("xp").total == USERS
    return Figure(
        figure="members a second into an empty Redis",
        value=max(speeds),
        unit="members/s",
        target=">= 100,000 members/s",
        method=f"best of {ROUNDS} runs, a board of {USERS:,} users from PostgreSQL; "
        f"median {statistics.median(speeds):,.0f}",
    )


def writes(engine: Engine, url: str, client: redis.Redis, dice: random.Random) -> Figure:
    """Compare steps of the projector with increments one by one."""
    board, catalog = engine.catalog.leaderboards["xp"], engine.catalog
    fast, slow = [], []
    with closing(RedisBoards(url)) as boards:
        for number in range(ROUNDS):
            steps: list[Scores] = [
                {(*ALL, user(dice.randrange(USERS))): Score(10, 0) for _ in range(STEP)} for _ in range(STEPS)
            ]
            started = perf_counter()
            for place, scores in enumerate(steps):
                state = boards.state("xp")
                assert boards.write(board, catalog, state, scores, 1 + number * STEPS + place, serve=True)
            fast.append(sum(map(len, steps)) / (perf_counter() - started))
            users = [user(dice.randrange(USERS)) for _ in range(ONE_BY_ONE)]
            started = perf_counter()
            for who in users:
                client.zincrby("floor", 10, who)
            slow.append(ONE_BY_ONE / (perf_counter() - started))
    return Figure(
        figure="standings written to Redis a second",
        value=statistics.median(fast),
        unit="standings/s",
        floor=statistics.median(slow),
        ratio=statistics.median(one / other for one, other in zip(fast, slow, strict=True)),
        target=">= 5 x ZINCRBY one by one",
        method=f"median of {ROUNDS} rounds of {STEPS} steps of {STEP:,} standings of {USERS:,}: read, added up, "
        "written with the cursor",
    )


def rank_in_redis(engine: Engine, client: redis.Redis, scores: list[int], dice: random.Random) -> Figure:
    """Compare a rank that is checked with a bare one, turn by turn."""
    board = engine.leaderboard("xp")
    for start in range(0, USERS, LOADED_AT_ONCE):
        client.zadd("bare", {user(start + n): score for n, score in enumerate(scores[start:][:LOADED_AT_ONCE])})
    ours, bare = [], []
    for _ in range(RANKS):
        who = user(dice.randrange(USERS))
        bare.append(taken(lambda one: client.zrevrank("bare", one), who))
        ours.append(taken(board.rank, who))
    p99, floor = (statistics.quantiles(times, n=100)[98] for times in (ours, bare))
    return Figure(
        figure="a rank from Redis, p99",
        value=1e6 * p99,
        unit="µs",
        floor=1e6 * floor,
        ratio=p99 / floor,
        target="<= 2 x a bare ZREVRANK",
        method=f"{RANKS:,} of each in turn among {USERS:,} users; medians {1e6 * statistics.median(ours):.0f} and "
        f"{1e6 * statistics.median(bare):.0f} µs",
    )


if __name__ == "__main__":
    main()
