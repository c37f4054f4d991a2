"""Sixty-four clients at once: nothing is lost, nothing is spent or unlocked twice, and all of them hear the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from threading import Barrier
from urllib.parse import quote

import httpx
import pytest

import laurels
from laurels import keys
from laurels.catalog_file import parse_catalog
from laurels.doctor import examine
from laurels.http import create_app
from laurels.settings import Settings
from tests.conftest import BASE
from tests.http.conftest import serving, serving_elsewhere

CLIENTS = 64
CATALOG = (
    BASE
    + """
[currencies.coin]
[metrics.posts]
[metrics.logins]
[[rules]]
id = "post"
on = "post.created"
xp = 10
metrics = { posts = 1 }
[[rules]]
id = "login"
on = "user.login"
metrics = { logins = 1 }
[[achievements]]
code = "FIRST"
name = "First"
when = { posts = 1 }
reward = { xp = 5 }
[[achievements]]
code = "EARLY"
name = "Early"
when = { logins = 1 }
max_achievers = 3
"""
)

Call = Callable[[httpx.Client], httpx.Response]


class Crowd:
    """Clients, each with a connection of its own, which all begin at once, at one server after the other."""

    def __init__(self, engine: laurels.Engine, clients: list[httpx.Client]) -> None:
        self.engine = engine
        self._clients = clients

    def calls(self, calls: list[Call]) -> list[httpx.Response]:
        """Return the answers to calls, in their order, each client beginning with the first that is left."""
        start = Barrier(min(CLIENTS, len(calls)))
        servers = list(zip(calls, cycle(self._clients)))

        def play(first: int) -> list[tuple[int, httpx.Response]]:
            start.wait(30)
            return [(place, servers[place][0](servers[place][1])) for place in range(first, len(calls), CLIENTS)]

        with ThreadPoolExecutor(CLIENTS) as threads:
            played = [each for found in threads.map(play, range(start.parties)) for each in found]
        return [answer for _, answer in sorted(played, key=lambda each: each[0])]


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "postgresql-two-processes"])
def crowd(request, tmp_path_factory) -> Iterator[Crowd]:
    """A service on each kind of database, in one process; and in two."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            database_url = f"sqlite:///{tmp_path_factory.mktemp('races') / 'laurels.db'}"
        else:
            databases = request.getfixturevalue("postgres_databases")
            database_url = databases.lend()
            stack.callback(databases.take_back, database_url)
        engine = stack.enter_context(laurels.open(database_url, catalog=parse_catalog(CATALOG)))
        key = keys.create(engine, "test", ["admin"], actor="tests").key
        urls = [stack.enter_context(serving(create_app(engine, Settings())))]
        if request.param == "postgresql-two-processes":
            urls.append(stack.enter_context(serving_elsewhere(database_url)).url)
        limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        headers = {"Authorization": f"Bearer {key}"}
        clients = [httpx.Client(base_url=url, headers=headers, timeout=60, limits=limits) for url in urls]
        yield Crowd(engine, [stack.enter_context(client) for client in clients])
        report = examine(engine, lambda _what, _unit: lambda _done, _total: None)
        assert report.healthy, report


def move(path, body, request_id) -> Call:
    return lambda client: client.post(path, json=body, headers={"Idempotency-Key": request_id})


def record(*events) -> Call:
    body = events[0] if len(events) == 1 else {"events": events}
    return lambda client: client.post("/v1/events", json=body)


def event(user, number, kind="post.created"):
    return {"id": f"e{number}", "type": kind, "user": user}


def unlocked(answers, code):
    """Return who unlocked an achievement, as the answers tell it."""
    assert {answer.status_code for answer in answers} == {200}
    outcomes = [outcome for answer in answers for outcome in answer.json()["outcomes"]]
    changes = [change for outcome in outcomes for change in outcome["changes"]]
    return Counter(
        change["user_id"]
        for change in changes
        if change["type"] == "achievement.unlocked" and change["achievement"] == code
    )


def test_o1_a_thousand_awards_at_once_are_a_thousand_awards(crowd, user):
    path = f"/v1/users/{quote(user)}/xp"
    answers = crowd.calls([move(path, {"amount": 10, "source": "race"}, f"a{number}") for number in range(1_000)])
    assert Counter(answer.status_code for answer in answers) == {200: 1_000}
    totals = sorted(answer.json()["changes"][0]["total"] for answer in answers)
    assert totals == list(range(10, 10_010, 10))
    assert crowd.engine.profile(user).xp == 10_000
    assert sum(entry.amount for entry in crowd.engine.user(user).ledger(limit=2_000)) == 10_000


def test_o2_a_hundred_spends_at_once_get_no_more_than_there_is(crowd, user):
    crowd.engine.wallet(user).credit("coin", 50, request_id="in")
    path = f"/v1/users/{quote(user)}/wallet/coin/spend"
    answers = crowd.calls([move(path, {"amount": 10}, f"s{number}") for number in range(100)])
    assert Counter(answer.status_code for answer in answers) == {200: 5, 409: 95}
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert Counter((problem["code"], problem["available"]) for problem in refused) == {("insufficient_funds", 0): 95}
    balance = crowd.engine.profile(user).balances["coin"]
    assert (balance.available, balance.lifetime_spent) == (0, 50)


def test_two_events_that_each_unlock_the_same_unlock_it_once(crowd, user):
    users = [f"{user} {number}" for number in range(32)]
    answers = crowd.calls([record(event(one, number)) for one in users for number in (1, 2)])
    assert unlocked(answers, "FIRST") == dict.fromkeys(users, 1)
    for one in users:
        assert crowd.engine.profile(one).xp == 10 + 10 + 5
        assert [told.type for told in crowd.engine.user(one).notifications()].count("achievement_unlocked") == 1


def test_limited_places_go_to_no_more_than_there_are(crowd, user):
    users = [f"{user} {number}" for number in range(128)]
    answers = crowd.calls([record(event(one, 1, "user.login")) for one in users])
    assert len(unlocked(answers, "EARLY")) == 3
    assert sum(crowd.engine.profile(one).metrics["logins"] for one in users) == 128


def test_one_id_from_everybody_at_once_has_one_effect_and_one_outcome(crowd, user):
    answers = crowd.calls([record(event(user, 1))] * CLIENTS)
    outcomes = [answer.json()["outcomes"][0] for answer in answers]
    assert Counter(outcome.pop("status") for outcome in outcomes) == {"applied": 1, "duplicate": CLIENTS - 1}
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert crowd.engine.profile(user).xp == 15

    award = move(f"/v1/users/{quote(user)}/xp", {"amount": 7, "source": "race"}, "once")
    answers = crowd.calls([award] * CLIENTS)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert Counter(answer.headers.get("idempotent-replayed") for answer in answers) == {None: 1, "true": CLIENTS - 1}
    assert crowd.engine.profile(user).xp == 22


def test_batches_of_the_same_users_at_once_are_all_recorded(crowd, user):
    users = [f"{user} {number}" for number in range(60)]
    batches = [[event(one, number) for one in users[number % 7 :]] for number in range(CLIENTS)]
    answers = crowd.calls([record(*batch) for batch in batches])
    assert {answer.status_code for answer in answers} == {200}
    assert sum(crowd.engine.profile(one).metrics["posts"] for one in users) == sum(map(len, batches))
