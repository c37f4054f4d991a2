"""The live stream: in order, each change once, from anywhere on, to those who may hear it, and never in the way."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import jwt
import psycopg
import pytest

import laurels
from laurels import keys
from laurels.http import create_app
from laurels.http import hub as hubs
from laurels.http.auth import Caller, KeyRing
from laurels.http.hub import Hub, Listener
from laurels.settings import Settings
from laurels.stream import Position, changes_after
from tests.conftest import on_sqlite_alone
from tests.http.conftest import ACTOR, serving

GUIDE = Path(__file__).parents[2] / "docs/live.md"
SECRET = "a secret of at least thirty-two bytes"
on_postgres_alone = pytest.mark.parametrize(
    "database_url", [pytest.param("postgres_url", id="postgresql")], indirect=True
)


class Told(NamedTuple):
    """One event of the stream, as a browser would hand it out."""

    id: str
    event: str
    data: dict


@pytest.fixture
def service_settings() -> Settings:
    return Settings(stream_heartbeat_s=0.2, token_key=SECRET, serve_works=False)


@contextmanager
def listening(client: httpx.Client, last: str | None = None, **params: object) -> Iterator[httpx.Response]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with client.stream("GET", "/v1/stream", params=params, headers=headers, timeout=10) as answer:
        if answer.status_code != 200:
            answer.read()
        yield answer


def heard(answer: httpx.Response) -> Iterator[Told]:
    """The events of a stream, read as the HTML standard says."""
    assert answer.status_code == 200, answer.text
    last, event, data = "", "", []
    deadline = time.monotonic() + 15
    for line in answer.iter_lines():
        assert time.monotonic() < deadline, "It lives, but what was to come does not."
        if line == "":
            if data:
                yield Told(last, event, json.loads("\n".join(data)))
            event, data = "", []
            continue
        field, _, value = line.partition(":")
        match field, value.removeprefix(" "):
            case "id", value:
                last = value
            case "event", value:
                event = value
            case "data", value:
                data.append(value)


def take(answer: httpx.Response, count: int) -> list[Told]:
    return list(itertools.islice(heard(answer), count))


def post(user: str, number: object) -> laurels.Event:
    return laurels.Event("post.created", user=user, id=f"{user}-{number}", data={"published": True})


def journal(engine: laurels.Engine, user_id: str | None = None) -> list[tuple[str, str]]:
    """The place and the user of every change there is, as the stream would tell them."""
    found, position = [], Position(0)
    with engine.read() as connection:
        end = connection.exec_driver_sql("SELECT max(seq) FROM journal").scalar_one()
    while position.rows_before < end:
        chunk, position = changes_after(engine, position, end=end, user_id=user_id)
        found += [(str(told.position), told.user_id) for told in chunk]
    return found


def bearer(user: str, **claims: object) -> str:
    return jwt.encode({"sub": user, **claims}, SECRET, algorithm="HS256")


def is_open(client: httpx.Client) -> bool:
    with listening(client) as answer:
        return answer.status_code == 200


def soon(condition, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# --- What is told -----------------------------------------------------------------------------------------------------


def test_what_happens_is_told_in_order_with_its_place_its_type_and_the_change(api, engine):
    engine.record(post("ada", "before"))
    with listening(api) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        outcomes = [
            api.post("/v1/events", json={"id": f"e{number}", "type": "post.created", "user": user}).json()["outcomes"][
                0
            ]
            for number, user in enumerate(["ada", "bob", "ada"])
        ]
        expected = [change for outcome in outcomes for change in outcome["changes"]]
        told = take(answer, len(expected))
    assert [one.data for one in told] == expected
    assert [one.event for one in told] == [change["type"] for change in expected]
    places = [tuple(map(int, one.id.split("."))) for one in told]
    assert places == sorted(set(places))


def test_whoever_comes_back_goes_on_where_they_were_also_in_another_process_and_inside_of_a_request(
    api, engine, database_url, service_settings
):
    first = engine.record([post("ada", number) for number in range(3)])
    count = sum(len(outcome.changes) for outcome in first)
    with listening(api, last="0") as answer:
        everything = take(answer, count)
    assert [(one.id, one.data["user_id"]) for one in everything] == journal(engine)
    with (
        laurels.open(database_url) as other,
        serving(create_app(other, service_settings)) as url,
        httpx.Client(base_url=url, headers=api.headers) as client,
    ):
        for known in range(count):
            with listening(client, last=everything[known].id) as answer:
                assert take(answer, count - known - 1) == everything[known + 1 :]
        row = everything[0].id.split(".")[0]
        with listening(client, last=row) as answer:
            assert take(answer, 1) == [next(one for one in everything if one.id.split(".")[0] != row)]


def test_where_the_stream_begins_is_told_so_that_nothing_is_lost_before_the_first_change(api, engine):
    engine.record(post("ada", 1))
    with listening(api) as answer:
        begun = answer.headers["laurels-position"]
    (outcome,) = engine.record([post("ada", 2)])
    with listening(api, last=begun) as answer:
        told = take(answer, len(outcome.changes))
    assert [one.event for one in told] == [change.type for change in outcome.changes]


def test_nothing_is_lost_and_nothing_repeated_while_others_write_and_listeners_come_and_go(
    api, engine, database_url, url, service_settings
):
    """Writers in two processes' worth of engines; each listener reconnects at random, to either server."""
    events, users = 80, ["ada", "bob", "cyd", "dan"]
    collected: dict[int, list[tuple[str, str]]] = {0: [], 1: [], 2: []}
    expected: dict[str | None, list[tuple[str, str]]] = {}  # Filled when everything was written.
    failures: list[BaseException] = []
    with (
        laurels.open(database_url) as other,
        serving(create_app(other, service_settings)) as other_url,
        httpx.Client(base_url=url, headers=api.headers) as here,
        httpx.Client(base_url=other_url, headers=api.headers) as there,
    ):

        def write(engine: laurels.Engine, writer: int) -> None:
            dice = random.Random(writer)
            for number in range(events):
                engine.record(post(dice.choice(users), f"{writer}-{number}"))

        def listen(listener: int, user_id: str | None) -> None:
            dice, mine = random.Random(100 + listener), collected[listener]
            params = {} if user_id is None else {"user_id": user_id}
            last = "0"
            try:
                while user_id not in expected or len(mine) < len(expected[user_id]):
                    client = dice.choice([here, there])
                    with listening(client, last=last, **params) as answer:
                        for one in itertools.islice(heard(answer), dice.randrange(1, 120)):
                            mine.append((one.id, one.data["user_id"]))
                            last = one.id
                            if len(mine) >= len(expected.get(user_id, range(10**9))):
                                break
            except BaseException as error:  # noqa: BLE001  shown by the test
                failures.append(error)

        writers = [threading.Thread(target=write, args=(one, n)) for n, one in enumerate([engine, other, engine])]
        listeners = [threading.Thread(target=listen, args=(n, user)) for n, user in enumerate([None, None, "bob"])]
        for thread in [*writers, *listeners]:
            thread.start()
        for thread in writers:
            thread.join()
        expected |= {user_id: journal(engine, user_id) for user_id in (None, "bob")}
        # One more of everybody, so that nobody waits for what came before they looked.
        engine.record([post(user, "last") for user in users])
        for thread in listeners:
            thread.join(30)
    assert failures == []
    assert [
        found[: len(expected[user])] for found, user in zip(collected.values(), [None, None, "bob"], strict=True)
    ] == [
        expected[None],
        expected[None],
        expected["bob"],
    ]
    assert len(expected[None]) > 3 * events


# --- To whom ----------------------------------------------------------------------------------------------------------


@on_sqlite_alone
def test_one_may_listen_to_one_user_and_to_some_types_alone(api, engine):
    with listening(api, user_id="bob") as of_bob, listening(api, types=["metric.changed", "level.reached"]) as of_types:
        engine.record([post("ada", 1), post("bob", 1), post("ada", 2), post("bob", 2)])
        bob = [one for one in journal(engine) if one[1] == "bob"]
        told = take(of_bob, len(bob))
        assert [(one.id, one.data["user_id"]) for one in told] == bob
        assert {one.event for one in take(of_types, 4)} <= {"metric.changed", "level.reached"}
    with listening(api, last="0", types="metric.*", user_id="ada") as answer:
        assert {(one.event, one.data["user_id"]) for one in take(answer, 2)} == {("metric.changed", "ada")}


@on_sqlite_alone
def test_a_users_token_gets_what_happens_to_that_user_and_nothing_else(client, engine):
    ada = client(token=bearer("ada"))
    with listening(ada) as unasked, listening(ada, user_id="ada") as asked:
        engine.record([post("bob", 1), post("ada", 1), post("bob", 2)])
        count = len([one for one in journal(engine) if one[1] == "ada"])
        engine.record(post("bob", 3))
        for answer in (unasked, asked):
            assert {one.data["user_id"] for one in take(answer, count)} == {"ada"}
    engine.record(post("ada", 2))
    with listening(ada, last="0") as answer:
        assert {one.data["user_id"] for one in take(answer, count + 1)} == {"ada"}
    with listening(ada, user_id="bob") as refused:
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@on_sqlite_alone
def test_who_may_not_read_may_not_listen(client):
    for who, status in ((client("ingest"), 403), (client("wallet"), 403), (client(), 401)):
        with listening(who) as refused:
            assert refused.status_code == status
    with listening(client("read")) as answer:
        assert answer.status_code == 200


@on_sqlite_alone
def test_a_stream_ends_when_its_key_is_revoked_or_its_token_over(client, engine, url):
    key = keys.create(engine, "test", ["read"], actor=ACTOR)
    over = client(token=bearer("ada", exp=int(time.time()) + 2))
    with listening(client(token=key.key)) as revoked, listening(over) as expired, listening(client("read")) as good:
        keys.revoke(engine, key.id, actor=ACTOR)
        began = time.monotonic()
        assert list(heard(revoked)) == []
        assert time.monotonic() - began < 3
        assert list(heard(expired)) == []
        assert time.monotonic() - began < 5
        (outcome,) = engine.record([post("ada", 1)])
        assert len(take(good, len(outcome.changes))) == len(outcome.changes)


@on_sqlite_alone
def test_one_user_cannot_take_every_stream_there_is(client, engine, monkeypatch):
    monkeypatch.setattr(hubs, "OF_USER_MAX", 2)
    ada = client(token=bearer("ada"))
    with listening(ada), listening(ada):
        with listening(ada) as refused:
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        with listening(client(token=bearer("bob"))) as answer:
            assert answer.status_code == 200
    assert soon(lambda: is_open(ada))


@on_sqlite_alone
@pytest.mark.parametrize("last", ["x", "-1", "1.", "1.x", "٣", "9" * 19, "1e3", "1.2.3"])
def test_a_place_that_is_none_is_refused(api, last):
    with api.stream("GET", "/v1/stream", headers={b"Last-Event-ID": last.encode()}) as answer:
        answer.read()
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_position")
        assert answer.json()["errors"][0]["path"] == "Last-Event-ID"


@on_sqlite_alone
@pytest.mark.parametrize("last", ["1", "1.1", "9" * 18])
def test_a_place_that_the_journal_never_reached_is_refused(api, last):
    """It would be silent until the journal got there, and lose everything up to then."""
    with listening(api, last=last) as answer:
        assert (answer.status_code, answer.json()["code"]) == (409, "unknown_position")


@on_sqlite_alone
@pytest.mark.parametrize(
    ("params", "code"),
    [
        pytest.param({"types": "level.reachd"}, "unknown_type", id="type"),
        pytest.param({"user_id": "a\x00b"}, "invalid_id", id="control-character"),
        pytest.param({"user_id": ""}, "invalid_request", id="nobody"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(api, params, code):
    with listening(api, **params) as answer:
        assert (answer.status_code, answer.json()["code"]) == (422, code)


# --- While nothing happens, and at the end ----------------------------------------------------------------------------


@on_sqlite_alone
def test_a_stream_in_which_nothing_happens_shows_that_it_is_there_and_how_soon_to_come_again(api):
    began = time.monotonic()
    with listening(api) as answer:
        lines = list(itertools.islice(answer.iter_lines(), 4))
    assert lines == ["retry: 2000", ":", ":", ":"]
    assert 0.3 < time.monotonic() - began < 3


@on_sqlite_alone
@pytest.mark.parametrize("service_settings", [Settings(stream_lasts_s_max=0.3, stream_heartbeat_s=0.2)])
def test_a_stream_ends_after_the_time_that_is_set(api, service_settings):
    began = time.monotonic()
    with listening(api) as answer:
        assert list(heard(answer)) == []
    assert 0.2 < time.monotonic() - began < 3


@on_sqlite_alone
def test_the_journal_is_followed_only_while_somebody_listens(api):
    def is_followed() -> bool:
        return any(thread.name == "laurels-stream" for thread in threading.enumerate())

    assert not is_followed()
    with listening(api), listening(api):
        assert is_followed()
    assert soon(lambda: not is_followed())
    with listening(api):
        assert is_followed()


@on_sqlite_alone
def test_streams_end_at_once_when_the_service_is_told_to_stop(engine, service_settings):
    app = create_app(engine, service_settings)
    key = keys.create(engine, "test", ["read"], actor=ACTOR).key
    with (
        serving(app) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client,
        listening(client) as one,
        listening(client, last="0") as other,
    ):
        began = time.monotonic()
        app.state.laurels.stop()
        assert list(heard(one)) == list(heard(other)) == []
        assert time.monotonic() - began < 1
        with listening(client) as refused:
            assert (refused.status_code, refused.json()["code"]) == (503, "stopping")
            assert refused.headers["retry-after"] == "1"


@on_sqlite_alone
@pytest.mark.parametrize("service_settings", [Settings(stream_lasts_s_max=0.2, stream_heartbeat_s=0.1)])
def test_the_client_of_the_guide_gets_each_change_once_however_often_its_stream_ends(
    engine, url, api, service_settings
):
    program = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[0]
    assert "time.sleep(2)" in program
    names: dict = {}
    exec(program.replace("time.sleep(2)", "time.sleep(0.05)"), names)
    told = names["changes"](url, api.headers["Authorization"].removeprefix("Bearer "), "0")
    came = []
    for number in range(4):  # Each in a stream of its own, or the one after that.
        engine.record(post("ada", number))
        expected = journal(engine)
        came += itertools.islice(told, len(expected) - len(came))
        assert [(place, change["user_id"]) for place, change in came] == expected
        time.sleep(0.3)


# --- Slow listeners, slow databases -----------------------------------------------------------------------------------


@on_sqlite_alone
def test_a_listener_who_is_slow_loses_nothing_and_holds_nobody_up(engine):
    """The hub alone: what a socket would buffer is too much to be filled in a test."""

    async def everything() -> None:
        hub = Hub(engine, KeyRing(engine), heartbeat_s=15, lasts_s_max=0)
        caller = Caller(user_id="ada")
        slow, quick = (Listener(hub, caller, position=None, user_id=None, types=None) for _ in range(2))
        await hub.enter(slow)
        await hub.enter(quick)

        async def until(listener: Listener, count: int) -> bytes:
            text = b""
            while text.count(b"\n\n") < count:
                text += await asyncio.wait_for(listener.piece(), 10)
            return text

        for batch in range(4):
            await asyncio.to_thread(engine.record, [post("ada", f"{batch}-{number}") for number in range(100)])
        count = len(await asyncio.to_thread(journal, engine))
        assert count > hubs.WAITING_MAX
        quickly = await until(quick, count)
        assert slow.is_behind
        assert await until(slow, count) == quickly
        # Having caught up, it is told what comes next as everybody is.
        (outcome,) = await asyncio.to_thread(engine.record, [post("ada", "next")])
        assert await until(slow, len(outcome.changes)) == await until(quick, len(outcome.changes))
        assert not slow.is_behind
        hub.leave(slow)
        hub.leave(quick)
        await hub.closed()

    asyncio.run(everything())


@on_sqlite_alone
def test_a_listener_who_takes_nothing_from_the_wire_gets_it_all_later(engine, service_settings, api, url):
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        lazy.connect((host, int(port)))
        key = api.headers["Authorization"]
        lazy.sendall(f"GET /v1/stream HTTP/1.0\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
        assert lazy.recv(10).startswith(b"HTTP/1.1")
        with listening(api) as answer:
            engine.record([post(f"user-{number}", 1) for number in range(1_500)])
            expected = journal(engine)
            assert [one.id for one in take(answer, len(expected))] == [place for place, _ in expected]
        text = b""
        lazy.settimeout(10)
        while f"id: {expected[-1][0]}\n".encode() not in text[-2_000:]:
            text += lazy.recv(65_536)
        told = [line.removeprefix("id: ") for line in text.decode().splitlines() if line.startswith("id: ")]
        assert told == [place for place, _ in expected]


@on_postgres_alone
def test_a_transaction_of_somebody_else_makes_the_stream_late_and_not_wrong(api, engine, database_url):
    old = engine.record(post("ada", 1))
    with psycopg.connect(database_url) as foreign:
        foreign.execute("SELECT pg_current_xact_id()")
        with listening(api) as new, listening(api, last="0") as resumed:  # Nobody followed the journal before.
            came = engine.record(post("ada", 2))
            time.sleep(0.5)
            foreign.rollback()
            assert [one.event for one in take(new, len(came.changes))] == [change.type for change in came.changes]
            both = [change.type for change in (*old.changes, *came.changes)]
            assert [one.event for one in take(resumed, len(both))] == both
            foreign.execute("SELECT pg_current_xact_id()")
            with listening(api) as later:
                again = engine.record(post("ada", 3))
                told = heard(later)
                heard_at: list[float] = []
                reading = threading.Thread(target=lambda: heard_at.append(next(told) and time.monotonic()))
                reading.start()
                time.sleep(0.5)
                assert heard_at == []
                foreign.rollback()
                reading.join(10)
                assert len(heard_at) == 1
                assert again.changes


@on_postgres_alone
def test_whoever_comes_from_a_process_that_was_further_hears_nothing_again(api, engine, database_url):
    with listening(api), psycopg.connect(database_url) as foreign:  # So this process looked before, and not since.
        foreign.execute("SELECT pg_current_xact_id()")
        engine.record([post("ada", 1), post("ada", 2)])
        places = [place for place, _ in journal(engine)]
        with listening(api, last=places[2]) as answer:
            assert answer.headers["laurels-position"] == places[2]
            foreign.rollback()
            assert [one.id for one in take(answer, len(places) - 3)] == places[3:]


@on_postgres_alone
def test_streams_that_cannot_go_on_end_and_whoever_comes_back_is_told_the_rest(api, engine, database_url):
    with psycopg.connect(database_url, autocommit=True) as owner:
        with listening(api) as answer:
            begun = answer.headers["laurels-position"]
            owner.execute("ALTER TABLE laurels.journal RENAME TO elsewhere")
            assert list(heard(answer)) == []
        owner.execute("ALTER TABLE laurels.elsewhere RENAME TO journal")
    outcome = engine.record(post("ada", 1))
    with listening(api, last=begun) as answer:
        assert [one.event for one in take(answer, len(outcome.changes))] == [one.type for one in outcome.changes]


@on_postgres_alone
def test_a_database_that_goes_away_interrupts_nothing_but_itself(api, engine, database_url):
    with listening(api) as answer:
        first = engine.record(post("ada", 1))
        with psycopg.connect(database_url, autocommit=True) as foreign:
            foreign.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        second = engine.record(post("ada", 2))
        expected = [change.type for change in (*first.changes, *second.changes)]
        assert [one.event for one in take(answer, len(expected))] == expected
