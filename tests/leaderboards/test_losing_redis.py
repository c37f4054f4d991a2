"""Redis may be empty, away, old, or another database's: never a wrong answer, and boards come back by themselves."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
import redis
from sqlalchemy import update

import laurels
from laurels import LaurelsError
from laurels.doctor import examine
from laurels.leaderboards.redis import RedisBoards
from laurels.leaderboards.scores import Score
from laurels.protocols import Ranking
from laurels.store.tables import profiles
from tests.conftest import BASE

STANDARD = BASE + '[[leaderboards]]\ncode = "xp"\nmetric = "xp"\nperiods = ["daily", "alltime"]\nties = "standard"\n'
FIRST = STANDARD.replace("standard", "first")
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def place() -> str:
    return "redis"


@pytest.fixture
def engine(open_engine):
    engine = open_engine(STANDARD)
    for user, amount in {"ada": 50, "bob": 50, "carol": 30}.items():
        engine.award_xp(user, amount, request_id=user)
    return engine


def shown(engine):
    return [f"{line.rank} {line.user_id} {line.score}" for line in engine.leaderboard("xp").top(9)]


def test_a_redis_that_lost_everything_is_filled_again_by_who_asks(engine, redis_url):
    before = shown(engine)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    engine.award_xp("carol", 5, request_id="later")
    assert shown(engine) == [*before[:2], "3 carol 35"]
    assert engine.leaderboard("xp").rank("carol") == 3


@pytest.mark.parametrize(
    ("question", "arguments"),
    [("total", []), ("ranks", [["ada"]]), ("page", [0, 5]), ("around", ["ada", 3])],
)
def test_a_board_that_is_being_filled_answers_nobody(engine, redis_url, question, arguments):
    shown(engine)
    board = engine.catalog.leaderboards["xp"]
    with closing(RedisBoards(redis_url)) as boards:
        of = boards.state("xp").stamp
        state = boards.begin("xp", of, hidden=[])
        boards.fill(board, state, ("all", ""), [(-50, 0, "ada")])
        ask = getattr(boards.leaderboards(lambda _: of), question)
        with pytest.raises(LaurelsError) as refused:
            ask(Ranking(board, "all"), *arguments)
    assert (refused.value.code, refused.value.retryable) == ("boards_rebuilding", True)


def test_while_redis_is_away_recording_goes_on_and_boards_say_so(board_urls):
    with laurels.open(board_urls["url"], redis=NOWHERE, catalog="community") as engine:
        engine.award_xp("ada", 5, request_id="1")
        with pytest.raises(LaurelsError, match="does not answer") as refused:
            engine.leaderboard("xp").top(3)
    assert (refused.value.code, refused.value.retryable) == ("boards_unavailable", True)


def test_who_cannot_be_hidden_has_not_opted_out(board_urls):
    with laurels.open(board_urls["url"], redis=NOWHERE, catalog="community") as engine:
        engine.award_xp("ada", 5, request_id="1")
        with pytest.raises(LaurelsError) as refused:
            engine.user("ada").set(opted_out=True, display_name="Ada")
        assert (refused.value.code, engine.profile("ada").display_name) == ("boards_unavailable", None)
    with laurels.open(board_urls["url"]) as engine:
        assert engine.leaderboard("xp").rank("ada") == 1


def test_a_new_epoch_fills_the_boards_anew(engine, open_engine, redis_url):
    before = shown(engine)
    with redis.Redis.from_url(redis_url) as client:
        client.zadd("laurels:{xp}:all::ranks", {"carol": -99})
    assert shown(engine)[0] == "1 carol 99"
    engine.projector.rebuild()
    assert shown(open_engine()) == before
    assert shown(engine) == before


def test_another_definition_fills_the_board_anew(engine, open_engine):
    assert shown(engine) == ["1 ada 50", "1 bob 50", "3 carol 30"]
    assert shown(open_engine(FIRST)) == ["1 ada 50", "2 bob 50", "3 carol 30"]
    assert shown(engine) == ["1 ada 50", "2 bob 50", "3 carol 30"]


def test_who_projects_from_an_old_cursor_writes_nothing(engine, redis_url):
    before = shown(engine)
    board = engine.catalog.leaderboards["xp"]
    with closing(RedisBoards(redis_url)) as boards:
        state = boards.state("xp")
        late = {("all", "", "ada"): Score(1_000, 0)}
        assert boards.write(board, engine.catalog, state, {}, state.seq + 1, serve=True)
        assert not boards.write(board, engine.catalog, state, late, state.seq + 1, serve=True)
    assert shown(engine) == before


def test_a_user_hidden_in_the_database_alone_is_hidden_by_the_projection(engine, open_engine):
    shown(engine)
    engine.user("bob").set(display_name="Bob")
    with engine.write() as transaction:
        transaction.connection.execute(update(profiles).where(profiles.c.user_id == "bob").values(opted_out=1))
    assert shown(open_engine()) == ["1 ada 50", "2 carol 30"]


def test_projectors_side_by_side_count_nothing_twice(open_engine):
    engines = [open_engine(STANDARD), open_engine()]
    done = threading.Event()

    def project(engine):
        while not done.is_set():
            engine.project()

    threads = [threading.Thread(target=project, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for number in range(40):
        engines[number % 2].award_xp(f"user-{number % 4}", number + 1, request_id=str(number))
    done.set()
    for thread in threads:
        thread.join()
    expected = sorted((sum(range(user + 1, 41, 4)), f"user-{user}") for user in range(4))[::-1]
    assert shown(engines[0]) == [f"{rank} {user} {score}" for rank, (score, user) in enumerate(expected, start=1)]


@pytest.mark.parametrize("url", ["localhost", "http://localhost", 7])
def test_what_is_no_redis_is_refused_by_name(board_urls, url):
    with pytest.raises(LaurelsError) as refused:
        laurels.open(board_urls["url"], redis=url)
    assert refused.value.code == "unknown_redis"


def test_the_doctor_finds_a_wrong_score_in_redis(engine, redis_url):
    engine.user("bob").set(opted_out=True)
    shown(engine)
    assert examine(engine, silent).findings == []
    with redis.Redis.from_url(redis_url) as client:
        client.zadd("laurels:{xp}:all::ranks", {"carol": -99})
    [finding] = examine(engine, silent).findings
    assert (finding.law, finding.what, finding.expected, finding.found) == ("boards", "standing of carol", "30", "99")


def silent(what, unit):
    return lambda done, total: None
