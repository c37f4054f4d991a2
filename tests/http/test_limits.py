"""How often one key may call: told in every answer, counted by all processes together where there is Redis."""

from __future__ import annotations

import asyncio
import logging
import re
import time

import httpx
import pytest

import laurels
from laurels import keys
from laurels.core.errors import SettingInvalid
from laurels.http import create_app
from laurels.http.auth import Caller
from laurels.http.counters import ALONE_S
from laurels.http.limits import Limiter
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.conftest import ACTOR, serving
from tests.services import ValkeyServer

pytestmark = on_sqlite_alone
LIMIT = 5


def limited(**others: str) -> Settings:
    return Settings(rate_limit=f"{LIMIT}/day", serve_works=False, **others)


@pytest.fixture
def service_settings() -> Settings:
    return limited()


def test_every_answer_says_how_many_calls_are_left_and_the_first_too_many_when_to_come_again(client):
    one = client("read")
    for left in reversed(range(LIMIT)):
        answer = one.get("/v1/leaderboards")
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == f'"default";q={LIMIT};w=86400'
        found = re.fullmatch(r'"default";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
        assert found is not None
        assert int(found[1]) == left
        assert 0 < int(found[2]) <= 86_400
    refused = one.get("/v1/leaderboards")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["content-type"] == "application/problem+json"
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["ratelimit"].startswith('"default";r=0;')


def test_what_is_refused_counts_as_well_and_other_keys_do_not(client):
    one, other = client("read"), client("read")
    answers = [one.put("/v1/users/ada", json={}).status_code for _ in range(LIMIT + 1)]
    assert answers == [403] * LIMIT + [429]
    assert other.get("/v1/users").status_code == 200
    assert one.get("/healthz").status_code == 200, "who keeps watch has no key"


def test_a_call_that_comes_too_often_does_nothing(client, engine):
    one = client("wallet")
    for number in range(LIMIT + 3):
        one.post("/v1/users/ada/xp", json={"amount": 1}, headers={"Idempotency-Key": f"r{number}"})
    assert engine.profile("ada").xp == LIMIT


def test_a_new_window_begins_with_all_of_it(engine):
    with serving(create_app(engine, Settings(rate_limit=f"{LIMIT}/second", serve_works=False))) as url:
        key = keys.create(engine, "one", ["read"], actor=ACTOR).key
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as one:
            one.get("/v1/leaderboards")
            deadline, answers = time.monotonic() + 1.5, []
            while time.monotonic() < deadline:
                answers.append(one.get("/v1/leaderboards").status_code)
                time.sleep(0.02)
    assert answers.count(429) > 0
    assert LIMIT < answers.count(200) <= 3 * LIMIT


def test_without_a_limit_nothing_is_counted_or_told(engine):
    with serving(create_app(engine, Settings(rate_limit="", serve_works=False))) as url:
        key = keys.create(engine, "one", ["read"], actor=ACTOR).key
        answer = httpx.get(f"{url}/v1/leaderboards", headers={"Authorization": f"Bearer {key}"})
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


def test_a_limit_that_is_none_is_told_before_anything_is_served(engine):
    for limit in ("often", "5", "5/fortnight"):
        with pytest.raises(SettingInvalid, match="rate_limit is no rate"):
            create_app(engine, Settings(rate_limit=limit))


def test_processes_with_one_redis_count_together(database_url, redis_url, client):
    settings = limited(redis_url=redis_url)
    assert statuses_of_two(database_url, settings) == [200] * LIMIT + [429] * 2
    assert statuses_of_two(database_url, limited()) == [200] * (LIMIT + 2), "else each counts for itself"


def test_processes_with_one_cluster_count_together(database_url, redis_cluster_url):
    assert statuses_of_two(database_url, limited(redis_url=redis_cluster_url)) == [200] * LIMIT + [429] * 2


def test_of_a_high_limit_a_hundredth_is_told_at_a_time_and_no_more_gets_through(redis_url, database_url):
    async def run():
        limiters = [Limiter(Settings(rate_limit="300/day", redis_url=redis_url)) for _ in range(2)]
        within = [(await limiters[number % 2].take(Caller("one")))[0] for number in range(400)]
        for limiter in limiters:
            await limiter.close()
        return within

    within = asyncio.run(run())
    assert within[:300] == [True] * 300
    assert sum(within) <= 300 + 2 * 3
    assert not any(within[306:])


def test_while_redis_is_away_each_process_counts_by_itself_and_says_so(engine, caplog):
    key = keys.create(engine, "one", ["read"], actor=ACTOR).key
    with ValkeyServer() as server, caplog.at_level(logging.WARNING, "laurels.http"):
        settings = limited(redis_url=server.url)
        with (
            serving(create_app(engine, settings)) as url,
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as one,
        ):
            assert [one.get("/v1/leaderboards").status_code for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
            assert not caplog.records
            server.stop()
            began = time.monotonic()
            answers = [one.get("/v1/leaderboards").status_code for _ in range(LIMIT + 1)]
            assert answers == [200] * LIMIT + [429], "what was counted in Redis is not known here"
            assert time.monotonic() - began < 4
            assert [record.getMessage() for record in caplog.records] == ["rate_limits_not_shared"]
            server.start()
            time.sleep(ALONE_S + 0.1)
            assert one.get("/v1/leaderboards").status_code == 200, "it counts there again"


def statuses_of_two(database_url: str, settings: Settings) -> list[int]:
    """Call two processes in turn with one key."""
    with (
        laurels.open(database_url) as one,
        laurels.open(database_url) as other,
        serving(create_app(one, settings)) as url,
        serving(create_app(other, settings)) as other_url,
    ):
        headers = {"Authorization": f"Bearer {keys.create(one, 'one', ['read'], actor=ACTOR).key}"}
        turns = [(url, other_url)[number % 2] for number in range(LIMIT + 2)]
        return [httpx.get(f"{address}/v1/users", headers=headers).status_code for address in turns]
