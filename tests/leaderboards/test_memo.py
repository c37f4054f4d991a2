"""What many ask is looked up once, until anything moves."""

from __future__ import annotations

from itertools import product

import pytest

from laurels.leaderboards import memo
from laurels.leaderboards.board import Excerpt
from laurels.leaderboards.redis import RedisLeaderboards
from laurels.leaderboards.sql import SqlLeaderboards
from tests.conftest import BASE

XP = BASE + '[[leaderboards]]\ncode = "xp"\nmetric = "xp"\nperiods = ["daily", "alltime"]\nties = "dense"\n'
ASKED = [
    Excerpt(code="xp", period=period, at=None, group="", limit=limit, offset=offset, around=around)
    for period, limit, (offset, around) in product(
        ("daily", "alltime"), (2, 9), ((0, None), (1, None), (0, "bob"), (0, "nobody"))
    )
]


@pytest.fixture
def engine(open_engine):
    engine = open_engine(XP)
    for user, amount in {"ada": 50, "bob": 50, "carol": 30, "dave": 7}.items():
        engine.award_xp(user, amount, request_id=user)
    return engine


def noting(asked, found):
    def noted(self, *arguments):
        found.append(asked.__name__)
        return asked(self, *arguments)

    return noted


@pytest.fixture
def looked_up(monkeypatch):
    """What was asked of the boards themselves, wherever they are."""
    found: list[str] = []
    for boards, question in product((SqlLeaderboards, RedisLeaderboards), ("total", "page", "around", "ranks")):
        monkeypatch.setattr(boards, question, noting(getattr(boards, question), found))
    return found


def alone(engine):
    """What each question is answered when nobody remembers anything."""
    found = []
    for one in ASKED:
        board = engine.leaderboard(one.code, period=one.period)
        lines = board.top(one.limit, one.offset) if one.around is None else board.around(one.around, one.limit)
        found.append((board.total, lines))
    return found


def together(engine):
    return [(found.total, found.items) for found in engine.excerpts(ASKED)]


def test_what_was_looked_up_is_not_looked_up_again_while_nothing_moves(engine, looked_up):
    first = together(engine)
    assert looked_up
    looked_up.clear()
    assert together(engine) == first == alone(engine)
    looked_up.clear()
    assert together(engine) == first
    assert looked_up == []


@pytest.mark.parametrize(
    "happens",
    [
        lambda engine: engine.award_xp("dave", 60, request_id="late"),
        lambda engine: engine.award_xp("erin", 50, request_id="new"),
        lambda engine: engine.user("ada").set(opted_out=True),
        lambda engine: engine.user("bob").set(display_name="Bob"),
        lambda engine: engine.apply_catalog(engine.catalog),
    ],
    ids=["score", "user", "opted out", "name", "catalog"],
)
def test_whatever_moves_shows_at_once(engine, happens):
    before = together(engine)
    happens(engine)
    engine.project()
    assert together(engine) == alone(engine)
    engine.user("ada").set(opted_out=False, display_name=None)
    engine.user("bob").set(display_name=None)
    engine.award_xp("dave", 1, request_id="later")
    engine.project()
    assert together(engine) == alone(engine) != before


def test_boards_that_are_filled_anew_are_looked_up_anew(engine, looked_up):
    first = together(engine)
    engine.rebuild_boards()
    looked_up.clear()
    assert together(engine) == first
    assert "page" in looked_up


def test_it_does_not_grow_for_ever(engine, monkeypatch, looked_up):
    monkeypatch.setattr(memo, "ANSWERS_MAX", 3)
    assert together(engine) == together(engine) == alone(engine)
    monkeypatch.setattr(memo, "USERS_MAX", 0)
    assert together(engine) == alone(engine)
