"""Beside Redis the boards in the database follow in strides: an empty Redis is filled from where they are."""

from __future__ import annotations

import pytest
import redis

import laurels
from laurels.leaderboards import projector, sql
from tests.conftest import BASE

XP = BASE + '[[leaderboards]]\ncode = "best"\nmetric = "xp"\nties = "standard"\n'
LEVELS = XP.replace('metric = "xp"', 'metric = "level"')


@pytest.fixture
def place() -> str:
    return "redis"


def shown(engine):
    return [f"{line.user_id} {line.score}" for line in engine.leaderboard("best").top(9)]


def in_database(engine):
    with engine.read() as connection:
        return sql.positions(connection, engine.catalog)["best"]


def test_they_wait_until_a_stride_is_due_and_then_go_all_the_way(open_engine, monkeypatch):
    engine = open_engine(XP)
    for number in range(3):
        engine.award_xp("ada", 5, request_id=str(number))
    engine.project()
    assert in_database(engine) == sql.UNFILLED
    monkeypatch.setattr(projector, "STRIDE_S", 0.0)
    monkeypatch.setattr(projector, "STEP_ROWS", 2)
    striding = open_engine()
    striding.project()
    assert in_database(engine) == 3


def test_many_rows_wait_for_a_quiet_hour_and_too_many_for_nothing(open_engine, monkeypatch):
    monkeypatch.setattr(projector, "STRIDE_S", 0.0)
    monkeypatch.setattr(projector, "STRIDE_ROWS", 2)
    monkeypatch.setattr(projector, "STRIDE_ROWS_MAX", 4)
    engine = open_engine(XP)
    for number in range(4):
        engine.award_xp("ada", 5, request_id=str(number))
    engine.project()
    assert in_database(engine) == sql.UNFILLED
    engine.award_xp("ada", 5, request_id="one more")
    engine.project()
    assert in_database(engine) == 5


def test_an_empty_redis_is_not_kept_waiting_for_them(open_engine, board_urls, redis_url):
    engine = open_engine(XP)
    engine.award_xp("ada", 5, request_id="first")
    with laurels.open(board_urls["url"]) as without_redis:
        assert shown(without_redis) == ["ada 5"]
    was = in_database(engine)
    engine.award_xp("bob", 7, request_id="later")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert shown(engine) == ["bob 7", "ada 5"]
    assert in_database(engine) == was


def test_what_they_held_by_another_definition_fills_nothing(open_engine, board_urls):
    engine = open_engine(XP)
    engine.award_xp("ada", 500, request_id="first")
    with laurels.open(board_urls["url"]) as without_redis:
        assert shown(without_redis) == ["ada 500"]
    assert shown(open_engine(LEVELS)) == [f"ada {engine.profile('ada').level}"]
