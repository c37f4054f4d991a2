"""Wherever boards are kept, they answer what a sorted list answers: in small worlds by chance, and in a large one."""

from __future__ import annotations

import random
from collections import defaultdict
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import laurels
from laurels.leaderboards import sql
from laurels.leaderboards.redis import RedisBoards
from laurels.leaderboards.scores import Score
from laurels.protocols import Ranking
from tests.conftest import BASE
from tests.leaderboards.naive import Line, around, ranking

TIES = ["standard", "dense", "first"]
DAY = datetime(2021, 3, 1, tzinfo=UTC)
NUMBERS = count()
LARGEST = 2**53 - 1
WORLD = BASE + "".join(
    f"""
[[leaderboards]]
code = "{metric}-{ties}"
metric = "{metric}"
periods = ["daily", "alltime"]
ties = "{ties}"
group = "team"
"""
    for metric in ("points", "best")
    for ties in TIES
)
WORLD += """
[metrics]
points = {}
best = {}
[[rules]]
id = "game"
on = "game"
metrics = { points = "data.points", best = { max = "data.best" } }
"""

USERS = ["a", "B", "c", "\u00e9", "\U0001f600"]
points = st.sampled_from([-5000, -3, -1, 0, 1, 1, 2, 3, 4095, 4096, 4097, 100_000, 100_001, 2**40, -(2**40)])
bests = st.sampled_from([-LARGEST, -4097, -1, 0, 1, 2, 4095, 4096, 8191, 8192, LARGEST - 1, LARGEST])
games = st.lists(st.tuples(st.sampled_from(USERS), st.integers(0, 1), points, bests, st.integers(0, 23)), max_size=14)


@pytest.fixture
def engine(open_engine):
    return open_engine(WORLD)


@given(
    games=st.tuples(games, games),
    teams=st.fixed_dictionaries({user: st.sampled_from(["red", "b:l{u}e"]) for user in USERS}),
    hidden=st.sets(st.sampled_from(USERS), max_size=2),
    hidden_later=st.sets(st.sampled_from(USERS), max_size=2),
    board=st.tuples(st.sampled_from(["points", "best"]), st.sampled_from(TIES)),
    size=st.integers(1, 6),
)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_boards_answer_what_a_sorted_list_answers(engine, games, teams, hidden, hidden_later, board, size):
    # Days, users and teams of its own for each example: the journal keeps the others'.
    number = next(NUMBERS)
    day = DAY + timedelta(days=3 * number)
    world = World(number, {f"{user}{number}": f"{team}{number}" for user, team in teams.items()})
    for user, team in world.teams.items():
        engine.user(user).set(groups={"team": team})
    for played, opted_out in zip(games, (hidden, hidden_later), strict=True):
        world.play(engine, day, played)
        world.hidden = {f"{user}{number}" for user in opted_out}
        for user in world.teams:
            engine.user(user).set(opted_out=user in world.hidden)
        check(engine, world, board, day, size)


class World:
    """What was played: the parts of each metric, by day and user, with the hours."""

    def __init__(self, number, teams):
        self.number = number
        self.teams = teams
        self.hidden = set()
        self.parts = defaultdict(list)
        self.ids = count()

    def play(self, engine, day, games):
        events = []
        for user, later, points, best, hour in games:
            time = day + timedelta(days=later, hours=hour)
            who, data = f"{user}{self.number}", {"points": points, "best": best}
            events.append(laurels.Event("game", user=who, id=f"{self.number}-{next(self.ids)}", time=time, data=data))
            self.parts["points", who].append((later, points, 24 * later + hour))
            self.parts["best", who].append((later, best, 24 * later + hour))
        engine.record(events)

    def lines(self, metric, *, days, team=""):
        for (of, user), parts in self.parts.items():
            counted = [(value, hour) for day, value, hour in parts if day in days and (value or metric == "best")]
            if of == metric and counted and user not in self.hidden and self.teams[user].startswith(team):
                yield line(metric, user, counted)


def line(metric, user, parts):
    if metric == "points":
        return Line(user, sum(value for value, _ in parts), max(hour for _, hour in parts))
    best = max(value for value, _ in parts)
    return Line(user, best, min(hour for value, hour in parts if value == best))


def check(engine, world, board, day, size):
    metric, ties = board
    code, second = f"{metric}-{ties}", day + timedelta(days=1)
    for team in ("", *sorted(set(world.teams.values()))):
        before = ranking(world.lines(metric, days={0}, team=team), ties)
        now = ranking(world.lines(metric, days={1}, team=team), ties)
        compare(engine.leaderboard(code, period="daily", at=day, group=team), before, world, size)
        moved = compare(engine.leaderboard(code, period="daily", at=second, group=team), now, world, size)
        ranks_before = {user: rank for rank, user, _ in before}
        assert moved == {user: ranks_before[user] - rank if user in ranks_before else None for rank, user, _ in now}
        if team:
            ever = ranking(world.lines(metric, days={0, 1}, team=team), ties)
            compare(engine.leaderboard(code, group=team), ever, world, size)


def compare(board, expected, world, size):
    """Hold everything a board says against what is expected; return the movements it shows."""
    lines = [line for offset in range(0, len(expected) + 1, size) for line in board.top(size, offset)]
    assert shown(lines) == expected
    assert board.total == len(expected)
    ranks = {user: rank for rank, user, _ in expected}
    for user in world.teams:
        assert board.rank(user) == ranks.get(user)
        assert shown(board.around(user, size)) == (around(expected, user, size) if user in ranks else [])
    return {line.user_id: line.movement for line in lines}


def shown(lines):
    return [(line.rank, line.user_id, line.score) for line in lines]


# --- A large world ----------------------------------------------------------------------------------------------------

SPREADS = {
    "a-few-scores": lambda dice: dice.randrange(-5, 6),
    "like-a-community": lambda dice: int(dice.lognormvariate(7, 2)),
    "wide-and-negative": lambda dice: dice.randrange(-LARGEST, LARGEST + 1),
    "crowded-and-large": lambda dice: 2**40 + dice.randrange(40),
}


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("spread", SPREADS)
def test_two_thousand_users_rank_as_in_a_sorted_list(open_engine, board_urls, spread, ties):
    dice = random.Random(f"{spread} {ties}")
    engine = open_engine(WORLD)
    old = [Line(f"u{number}", SPREADS[spread](dice), dice.randrange(50)) for number in range(2_000)]
    new = [line._replace(score=SPREADS[spread](dice), reached=line.reached + dice.randrange(50)) for line in old]
    hidden = {line.user for line in dice.sample(old, 60)}
    expected = ranking((line for line in new if line.user not in hidden), ties)
    asked = [line.user for line in dice.sample(old, 100)]
    board = engine.catalog.leaderboards[f"points-{ties}"]
    for user in hidden:
        engine.user(user).set(opted_out=True)
    with filled(engine, board_urls.get("redis"), board, [moves(old), moves(new, old)]) as boards:
        of = Ranking(board, "all")
        assert boards.total(of) == len(expected)
        for offset in [0, 1, 7, 128, 999, 1_500, len(expected) - 3, len(expected), 5_000]:
            assert [tuple(place) for place in boards.page(of, offset, 20)] == expected[offset : offset + 20]
        assert boards.ranks(of, asked) == {user: rank for rank, user, _ in expected if user in asked}
        for user in asked[:20]:
            wanted = [] if user in hidden else around(expected, user, 9)
            assert [tuple(place) for place in boards.around(of, user, 9)] == wanted


def moves(lines, before=()):
    """What a stretch of the journal adds to the all-time standings of these lines."""
    old = {line.user: line.score for line in before}
    return {("all", "", line.user): Score(line.score - old.get(line.user, 0), line.reached) for line in lines}


@contextmanager
def filled(engine, redis_url, board, stretches):
    """What answers questions about a board after some stretches of the journal, wherever the place keeps it."""
    if redis_url is None:
        for scores in stretches:
            with engine.write() as transaction:
                sql.write_scores(transaction.connection, engine.catalog, {board.code: scores})
        with engine.read() as connection:
            yield sql.SqlLeaderboards(connection)
        return
    with closing(RedisBoards(redis_url)) as boards:
        boards.begin(board.code, "stamp", hidden=[])
        for seq, scores in enumerate(stretches):
            assert boards.write(board, engine.catalog, boards.state(board.code), scores, seq, serve=True)
        yield boards.leaderboards(lambda _: "stamp")
