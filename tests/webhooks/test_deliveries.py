"""What the journal tells reaches its receivers: in order, signed, as often as it takes, and always under one id."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy.engine import make_url
from standardwebhooks import Webhook
from typer.testing import CliRunner

import laurels
from laurels.cli import app
from laurels.core.periods import from_datetime
from laurels.webhooks import deliveries, endpoints
from tests.behaviours.processes import SOURCE
from tests.conftest import on_sqlite_alone, until
from tests.webhooks.conftest import PRIVATE

LEVELS = """
[levels]
curve = { kind = "quadratic", base = 100, max = 9 }
reward = { c = 1 }
"""


def award(engine, number, user="ada", amount=1):
    engine.award_xp(user, amount, request_id=f"r{number}")


def log_of(engine, endpoint, **options):
    with engine.read() as connection:
        return deliveries.page(connection, endpoint.id, limit=1_000, **options)


class Running:
    """A deliverer in a thread of its own."""

    def __init__(self, deliverer):
        self.deliverer = deliverer
        self.thread = threading.Thread(target=deliverer.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self.deliverer

    def __exit__(self, *_):
        self.deliverer.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()


def test_every_change_is_a_message_in_the_order_of_the_journal(engine, receive, listen, deliverer):
    receiver = receive()
    listen(receiver)
    outcome = engine.award_xp("ada", 250, request_id="r1")
    done = deliverer().run_once()
    assert receiver.types == [change.type for change in outcome.changes]
    assert len(receiver.types) == done.delivered == done.queued > 1
    first = receiver.came[0].json
    assert first["timestamp"] == "2026-11-22T12:00:00Z"
    assert first["data"] == {
        "type": "xp.awarded",
        "user_id": "ada",
        "amount": 250,
        "total": 250,
        "rule": "",
        "kind": "earn",
        "actor_id": "ada",
        "request_id": "r1",
        "position": 1,
        "recorded_at": "2026-11-22T12:00:00Z",
    }


@on_sqlite_alone
def test_the_official_library_verifies_a_message(engine, receive, listen, deliverer, clock):
    clock.now = datetime.now(UTC)
    receiver = receive()
    endpoint = listen(receiver)
    award(engine, 1)
    deliverer().run_once()
    message = receiver.came[0]
    assert Webhook(endpoint.secret).verify(message.body, message.headers) == message.json
    assert endpoint.secret.startswith("whsec_")


def test_a_new_endpoint_is_told_of_what_is_recorded_after_it(engine, receive, listen, deliverer):
    receivers = receive(), receive()
    for number, receiver in enumerate(receivers):
        award(engine, 2 * number)
        listen(receiver)
        award(engine, 2 * number + 1)
    deliverer().run_once()
    asked = [[one.json["data"]["request_id"] for one in receiver.came] for receiver in receivers]
    assert asked == [["r1", "r2", "r3"], ["r3"]]


def test_nothing_is_sent_twice_by_those_who_run_after_each_other(engine, receive, listen, deliverer):
    receiver = receive()
    listen(receiver)
    award(engine, 1)
    for _ in range(3):
        one = deliverer()
        one.run_once()
        one.close()
    assert len(receiver.came) == 1


@on_sqlite_alone
@pytest.mark.parametrize(
    ("types", "users", "expected"),
    [
        pytest.param([], [], {"xp.awarded", "level.reached", "currency.credited"}, id="everything"),
        pytest.param(["level.reached"], [], {"level.reached"}, id="a-type"),
        pytest.param(["level.*", "xp.*"], [], {"xp.awarded", "level.reached"}, id="patterns"),
        pytest.param(["xp.awarded"], ["ada"], {"xp.awarded"}, id="a-type-and-the-user"),
        pytest.param([], ["ben"], set(), id="another-user"),
    ],
)
def test_an_endpoint_gets_what_it_asked_for(open_engine, receive, deliverer, types, users, expected):
    engine = open_engine(
        '[currencies.c]\n[levels]\ncurve = { kind = "quadratic", base = 100, max = 9 }\nreward = {c=1}'
    )
    receiver = receive()
    endpoints.create(engine, PRIVATE, receiver.url, actor="tests", types=types, users=users)
    award(engine, 1, amount=100)
    deliverer(of=engine).run_once()
    assert set(receiver.types) == expected


def test_failures_are_tried_again_on_the_schedule_of_the_standard(engine, receive, listen, deliverer, clock):
    receiver = receive(500)
    endpoint = listen(receiver)
    award(engine, 1)
    one, began = deliverer(), clock.now
    attempts = []
    for _ in range(10):
        assert one.run_once().failed == 1
        assert one.run_once().failed == 0  # Nothing is due now.
        attempts.append((clock.now - began).total_seconds())
        waits = log_of(engine, endpoint)[0].next_attempt_at
        clock.now = waits or clock.now
    spec = [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 272_105]  # 75:35:05 is the last
    assert attempts == spec
    assert spec[-1] == 75 * 3_600 + 35 * 60 + 5
    (told,) = log_of(engine, endpoint)
    assert (told.status, told.next_attempt_at, len(told.attempts)) == ("failed", None, 10)
    assert {one.id for one in receiver.came} == {told.id}
    assert endpoints.one(engine, endpoint.id).waiting == 0


def test_waits_are_longer_by_up_to_a_tenth_and_never_shorter():
    waits = [deliveries.next_attempt(2, 0, dice=dice) / 1_000_000 for dice in (0.0, 0.5, 1.0)]
    assert waits == [300, 315, 330]


@on_sqlite_alone
@pytest.mark.parametrize(
    ("asked", "expected_s"),
    [
        pytest.param("120", 120, id="seconds"),
        pytest.param("Sun, 22 Nov 2026 12:10:00 GMT", 600, id="a-date"),
        pytest.param("1", 5, id="sooner-than-the-schedule"),
        pytest.param("999999999", 86_400, id="years"),
        pytest.param("soon", 5, id="nonsense"),
        pytest.param("Sun, 22 Nov 2020 12:10:00 GMT", 5, id="the-past"),
    ],
)
def test_retry_after_is_respected(engine, receive, listen, deliverer, clock, asked, expected_s):
    endpoint = listen(receive((503, {"Retry-After": asked})))
    award(engine, 1)
    deliverer().run_once()
    assert (log_of(engine, endpoint)[0].next_attempt_at - clock.now).total_seconds() == expected_s


def test_a_later_message_waits_for_an_earlier_one(engine, receive, listen, deliverer, clock):
    receiver = receive(204, 500, 204)
    listen(receiver)
    for number in range(4):
        award(engine, number)
    one = deliverer()
    one.run_once()
    award(engine, 4)
    one.run_once()
    asked = [one.json["data"]["request_id"] for one in receiver.came]
    assert asked == ["r0", "r1"]
    clock.advance(seconds=5)
    one.run_once()
    asked = [one.json["data"]["request_id"] for one in receiver.came]
    assert asked == ["r0", "r1", "r1", "r2", "r3", "r4"]


@on_sqlite_alone
@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500])
def test_what_is_not_a_success_is_a_failure(engine, receive, listen, deliverer, status):
    elsewhere = receive()
    receiver = receive((status, {"Location": elsewhere.url}))
    endpoint = listen(receiver)
    award(engine, 1)
    deliverer().run_once()
    (told,) = log_of(engine, endpoint)
    assert (told.status, [attempt.response for attempt in told.attempts]) == ("pending", [status])
    assert elsewhere.came == []


def test_410_disables_the_endpoint_until_it_is_enabled_again(engine, receive, listen, deliverer, clock):
    receiver = receive(410, 204)
    endpoint = listen(receiver)
    award(engine, 1)
    one = deliverer()
    one.run_once()
    gone = endpoints.one(engine, endpoint.id)
    assert (gone.enabled, gone.disabled_why, gone.waiting) == (False, "gone", 1)
    clock.advance(days=1)
    award(engine, 2)
    assert one.run_once().delivered == 0
    endpoints.change(engine, PRIVATE, endpoint.id, {"enabled": True}, actor="tests")
    award(engine, 3)
    one.run_once()
    # What was not delivered yet, then what comes after; r2 happened while nobody wanted to know.
    assert [one.json["data"]["request_id"] for one in receiver.came] == ["r1", "r1", "r3"]


def test_another_url_is_sent_at_once_what_waits(engine, receive, listen, deliverer):
    wrong, right = receive(500), receive()
    endpoint = listen(wrong)
    award(engine, 1)
    award(engine, 2)
    one = deliverer()
    one.run_once()
    endpoints.change(engine, PRIVATE, endpoint.id, {"url": right.url}, actor="tests")
    one.run_once()
    assert [one.json["data"]["request_id"] for one in right.came] == ["r1", "r2"]
    assert len(wrong.came) == 1


def test_a_slow_receiver_holds_up_nobody_else(engine, receive, listen, deliverer):
    slow, fast = receive(), receive()
    slow.delay_s = 0.6
    listen(slow)
    listen(fast)
    for number in range(10):
        award(engine, number)
    one = deliverer()
    with Running(one):
        until(lambda: len(fast.came) == 10, 5)
        assert len(slow.came) <= 3


@on_sqlite_alone
def test_a_receiver_that_never_answers_costs_no_more_than_the_timeout(engine, receive, listen, deliverer):
    receiver = receive()
    receiver.delay_s = 30
    endpoint = listen(receiver)
    award(engine, 1)
    began = time.monotonic()
    deliverer(timeout_s=0.2).run_once()
    assert time.monotonic() - began < 5
    (attempt,) = log_of(engine, endpoint)[0].attempts
    assert (attempt.response, attempt.error) == (None, "no answer within 0.2 s")


@on_sqlite_alone
def test_an_answer_without_an_end_is_an_answer_all_the_same(engine, receive, listen, deliverer):
    receiver = receive((200, {"Content-Length": "1000000000"}))
    endpoint = listen(receiver)
    award(engine, 1)
    began = time.monotonic()
    deliverer().run_once()
    assert time.monotonic() - began < 5
    assert log_of(engine, endpoint)[0].status == "delivered"


@on_sqlite_alone
def test_a_receiver_that_is_not_there_is_tried_again(engine, receive, deliverer):
    endpoint = endpoints.create(engine, PRIVATE, "http://127.0.0.1:1/", actor="tests")
    award(engine, 1)
    deliverer().run_once()
    (attempt,) = log_of(engine, endpoint)[0].attempts
    assert attempt.response is None
    assert attempt.error.startswith("ConnectError")


def test_what_was_sent_but_not_written_down_is_sent_again_under_the_same_id(
    engine, receive, listen, deliverer, clock, database_url
):
    """A worker is killed between the receiver's getting a message and its answer: the claim runs out, another sends."""
    receiver = receive()
    listen(receiver)
    award(engine, 1)
    command = [sys.executable, "-m", "laurels", "worker", "--database", database_url]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "LAURELS_WEBHOOKS_ALLOW_PRIVATE": "true"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as killed:
        receiver.interrupt = killed.kill
        until(lambda: receiver.came)
    assert killed.returncode == -signal.SIGKILL
    receiver.interrupt = bool
    clock.now = datetime.now(UTC)
    other = deliverer()
    assert other.run_once().delivered == 0  # The dead one's claim holds.
    clock.advance(seconds=31)
    assert other.run_once().delivered == 1
    assert len(receiver.came) == 2
    assert len({one.id for one in receiver.came}) == 1


def test_two_who_run_at_once_send_everything_once_and_in_order(engine, open_engine, receive, listen, deliverer):
    receivers = [receive() for _ in range(3)]
    for receiver in receivers:
        listen(receiver, types=["xp.awarded"])
    with Running(deliverer()), Running(deliverer(of=open_engine())):
        for number in range(60):
            award(engine, number)
        until(lambda: all(len(receiver.came) >= 60 for receiver in receivers))
    for receiver in receivers:
        asked = [one.json["data"]["request_id"] for one in receiver.came]
        assert asked == [f"r{number}" for number in range(60)]


def test_a_full_backlog_drops_the_oldest_and_says_so(engine, receive, listen, deliverer, clock):
    receiver = receive(500, 204)
    endpoint = listen(receiver)
    one = deliverer(webhooks_backlog_max=5)
    award(engine, 0)
    one.run_once()
    for number in range(1, 8):
        award(engine, number)
    assert one.run_once().dropped == 3
    told = endpoints.one(engine, endpoint.id)
    assert told.dropped == 3
    clock.advance(seconds=5)
    one.run_once()
    assert [one.json["data"]["request_id"] for one in receiver.came] == ["r0", "r3", "r4", "r5", "r6", "r7"]
    assert len(log_of(engine, endpoint, status="dropped")) == 3


def test_a_rotated_secret_signs_beside_the_new_one_for_a_while(engine, receive, listen, deliverer, clock):
    clock.now = datetime.now(UTC)
    receiver = receive()
    old = listen(receiver)
    new = endpoints.rotate_secret(engine, old.id, overlap_s=60, actor="tests")
    one = deliverer()
    award(engine, 1)
    one.run_once()
    clock.advance(seconds=61)
    award(engine, 2)
    one.run_once()
    first, second = receiver.came
    for secret in (old.secret, new.secret):
        Webhook(secret).verify(first.body, first.headers)
    Webhook(new.secret).verify(second.body, second.headers)
    assert len(second.headers["webhook-signature"].split(" ")) == 1


def test_lost_messages_are_delivered_again_on_demand(engine, receive, listen, deliverer, clock):
    receiver = receive(500)
    endpoint = listen(receiver)
    one = deliverer(webhooks_backlog_max=2)
    began = from_datetime(clock.now)
    for number in range(4):
        award(engine, number)
    one.run_once()
    receiver.answers = [204]
    clock.advance(seconds=5)
    assert one.run_once().delivered == 2
    lost = log_of(engine, endpoint, status="dropped")
    assert [one.position for one in lost] == [2, 1]
    options = {"backlog_max": 10, "actor": "tests"}
    assert deliveries.redeliver(engine, endpoint.id, since=from_datetime(clock.now), **options) == 0
    assert deliveries.redeliver(engine, endpoint.id, since=began, **options) == 2
    assert one.run_once().delivered == 2
    assert [delivery.status for delivery in log_of(engine, endpoint)] == ["delivered"] * 4

    again = log_of(engine, endpoint)[0]
    assert deliveries.redeliver(engine, endpoint.id, delivery_id=again.id, **options) == 1
    assert one.run_once().delivered == 1
    assert receiver.came[-1].id == again.id
    with pytest.raises(laurels.Unknown) as caught:
        deliveries.redeliver(engine, endpoint.id, delivery_id="msg_1", **options)
    assert caught.value.code == "unknown_delivery"


def test_the_log_forgets_what_is_over_and_keeps_what_waits(engine, receive, listen, deliverer, clock):
    receiver = receive(204, 500)
    endpoint = listen(receiver)
    award(engine, 1)
    award(engine, 2)
    deliverer().run_once()
    assert deliveries.prune(engine, from_datetime(clock.now)) == 0
    clock.advance(days=1)
    assert deliveries.prune(engine, from_datetime(clock.now)) == 1
    assert [one.status for one in log_of(engine, endpoint)] == ["pending"]


def test_a_removed_endpoint_is_forgotten_with_all_that_waits_for_it(engine, receive, listen, deliverer):
    receiver = receive(500)
    endpoint = listen(receiver)
    award(engine, 1)
    one = deliverer()
    one.run_once()
    endpoints.remove(engine, endpoint.id, actor="tests")
    award(engine, 2)
    assert one.run_once().queued == 0
    assert log_of(engine, endpoint) == []


@on_sqlite_alone
def test_a_deliverer_stops_within_seconds_while_a_receiver_takes_its_time(engine, receive, listen, deliverer):
    """What was answered is not sent again, and what was not is sent by the next one at once."""
    receiver = receive()
    receiver.interrupt = lambda: time.sleep(30 if len(receiver.came) == 2 else 0)
    endpoint = listen(receiver)
    for number in range(3):
        award(engine, number)
    with Running(deliverer()):
        until(lambda: len(receiver.came) == 2)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert [told.status for told in log_of(engine, endpoint)] == ["pending", "pending", "delivered"]
    assert deliverer().run_once().delivered == 2
    assert [one.json["data"]["request_id"] for one in receiver.came] == ["r0", "r1", "r1", "r2"]


@on_sqlite_alone
def test_a_deliverer_waits_for_a_database_that_is_away(database_url, receive, deliverer, caplog):
    with laurels.open(database_url, busy_timeout_s=0.05) as engine:
        receiver = receive()
        endpoints.create(engine, PRIVATE, receiver.url, actor="tests")
        with closing(sqlite3.connect(make_url(database_url).database, isolation_level=None)) as hog:
            award(engine, 1)
            hog.execute("BEGIN IMMEDIATE")
            with Running(deliverer(of=engine)):
                until(lambda: "webhooks_interrupted" in caplog.messages)
                time.sleep(0.6)
                hog.execute("ROLLBACK")
                until(lambda: receiver.came)
    assert caplog.messages.count("webhooks_interrupted") == 1
    assert len(receiver.came) == 1


@on_sqlite_alone
def test_the_worker_of_the_command_line_sends_what_is_due(engine, receive, listen, database_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAURELS_WEBHOOKS_ALLOW_PRIVATE", "true")

    def work(now, *options):
        arguments = ["worker", "--once", "--now", now, "--database", database_url, *options]
        return CliRunner().invoke(app, arguments, prog_name="laurels").stdout

    receiver = receive(500, 204)
    listen(receiver, types=["xp.awarded"])
    award(engine, 1)
    assert "Messages to webhooks: 1 failed." in work("2026-11-22T12:00:00Z")
    assert "Messages to webhooks" not in work("2026-11-22T12:00:04Z")
    told = msgspec.json.decode(work("2026-11-22T12:00:06Z", "--json"))
    assert told["webhooks"] == {"queued": 0, "delivered": 1, "failed": 0, "given_up": 0, "dropped": 0}
    assert len(receiver.came) == 2
