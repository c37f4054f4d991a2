"""
What a store must do, whichever it is: SQLite, PostgreSQL, and the one in memory that the simulation runs on.

A fake may exist only where it passes the tests of the real thing: these. They use a store as the engine does: lock,
load, decide, save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from random import Random

import msgspec
import pytest
from sqlalchemy import func, select

from laurels import AwardXp, Capture, ClaimQuest, Credit, Event, Hold, Outcome, Refund, Spend
from laurels.core.decide import concerned, touches
from laurels.core.errors import LaurelsError
from laurels.core.periods import to_datetime
from laurels.core.requests import receive
from laurels.core.state import UserState
from laurels.engine import _decide_units
from laurels.lanes import Unit
from laurels.protocols import Store, Transaction
from laurels.store import reads
from laurels.store.postgres import PostgresStore
from laurels.store.sqlite import SqliteStore
from laurels.store.tables import achiever_counts, journal, metadata, users
from tests.laws.world import World
from tests.simulation.memory import MemoryStore, Server
from tests.simulation.scheduler import Process
from tests.simulation.workload import DAY, HOUR, START, plan, revision

CATALOG = revision(1)
OpenStore = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def open_store(request: pytest.FixtureRequest) -> Iterator[OpenStore]:
    """Open the test's database, as often as asked: each time a store of its own, as other processes have."""
    opened: list[Store] = []
    if request.param == "memory":
        server = Server(lambda *_: None, Random(0))
    else:
        url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")

    def open_one() -> Store:
        match request.param:
            case "memory":
                store: Store = MemoryStore(server, Process(f"process {len(opened)}"))
            case "sqlite":
                store = SqliteStore(url)
            case _:
                store = PostgresStore(url, lanes=2)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()


#: On SQLite a transaction has the file to itself.
with_many_writers = pytest.mark.parametrize("open_store", ["memory", "postgresql"], indirect=True)


def record(store: Store, *requests, now: int = START) -> list[Outcome | LaurelsError]:
    """Record requests as one batch, each by itself; return their outcomes or errors."""
    with store.write() as transaction:
        return record_in(transaction, *requests, now=now)


def record_in(transaction: Transaction, *requests, now: int = START) -> list[Outcome | LaurelsError]:
    units = [Unit([receive(one, now)]) for one in requests]
    busy = transaction.lock({user for unit in units for user in concerned(unit.requests[0], CATALOG)})
    assert not busy
    context, answers, decisions = _decide_units(transaction, units, CATALOG, now)
    assert transaction.save(decisions, context.states, CATALOG)
    return [answer if isinstance(answer, LaurelsError) else answer[0] for answer in answers]


def load(store: Store, *requests):
    """Load what requests concern, and leave it at that."""
    received = [receive(one, START) for one in requests]
    touched = touches(received, CATALOG)
    with store.write() as transaction:
        transaction.lock(touched.users)
        return transaction.load(touched, [(one.actor, one.id) for one in received], CATALOG)


def state_of(store: Store, user: str) -> UserState | None:
    with store.read() as connection:
        return reads.state(connection, user)


def rows_of(store: Store) -> dict[str, int]:
    """How many rows each table has, where it has any."""
    with store.read() as connection:
        counts = {
            name: connection.scalar(select(func.count()).select_from(table)) for name, table in metadata.tables.items()
        }
    return {name: rows for name, rows in counts.items() if rows and name != "facts"}


def post(user: str = "ada", request_id: str = "1", **fields) -> Event:
    return Event("post", user=user, id=request_id, data={"tag": "a"}, **fields)


def like(user: str, request_id: str, to: str) -> Event:
    return Event("like", user=user, id=request_id, data={"to": to, "post": "p"})


# --- Transactions -----------------------------------------------------------------------------------------------------


def test_what_is_committed_is_there_for_everybody(open_store):
    record(open_store(), post())
    assert state_of(open_store(), "ada").version == 1


def test_what_is_not_committed_is_there_for_nobody_else(open_store):
    writer, reader = open_store(), open_store()
    with writer.write() as transaction:
        record_in(transaction, post())
        assert state_of(reader, "ada") is None
    assert state_of(reader, "ada") is not None


def test_an_exception_leaves_nothing_behind(store):
    record(store, post("bob"))
    before = rows_of(store)
    with pytest.raises(ZeroDivisionError), store.write() as transaction:  # noqa: PT012
        record_in(transaction, post("bob", "2"), like("bob", "3", "ada"), Credit("coin", 1, user="bob", id="4"))
        _ = 1 / 0
    after = rows_of(store)
    assert (after.pop("users", 0) >= before.pop("users"), after) == (True, before)
    assert (state_of(store, "bob").version, state_of(store, "ada")) == (1, None)


@pytest.mark.parametrize(
    "again", [pytest.param(post(), id="the same request"), pytest.param(post(request_id="2"), id="the same version")]
)
def test_the_last_guard_refuses_what_was_decided_twice(store, again):
    """Two decisions on the same state, as a writer without locks would make them."""
    decided = []
    for one in (post(), again):
        with store.write() as transaction:
            transaction.lock(["ada"])
            context, _, decisions = _decide_units(transaction, [Unit([receive(one, START)])], CATALOG, START)
            decided.append((decisions, context.states))
    with store.write() as transaction:
        transaction.lock(["ada"])
        assert transaction.save(*decided[0], CATALOG)
    with pytest.raises(Exception, match=r"(?i)unique"), store.write() as transaction:  # noqa: PT012
        transaction.lock(["ada"])
        transaction.save(*decided[1], CATALOG)
    assert rows_of(store)["journal"] == 1


def test_places_in_the_journal_follow_the_versions_of_each_user(store):
    for number in range(3):
        record(store, post("ada", f"a{number}"), like("bob", f"b{number}", "ada"), post("bob", f"c{number}"))
    with store.read() as connection:
        rows = connection.execute(select(journal.c.user_id, journal.c.version).order_by(journal.c.seq)).all()
    for user in ("ada", "bob"):
        versions = [version for one, version in rows if one == user]
        assert versions == list(range(1, len(versions) + 1))


# --- Locks ------------------------------------------------------------------------------------------------------------


def test_users_whom_nobody_holds_are_locked(store):
    with store.write() as transaction:
        assert not transaction.lock(["ada", "bob"])
        assert not transaction.lock(["ada", "bob"])  # Whom it holds already, it may ask for again.


@with_many_writers
def test_users_whom_others_hold_are_named_and_the_rest_are_locked(store):
    with store.write() as one, store.write() as other, store.write() as third:
        assert not one.lock(["ada"])
        assert list(other.lock(["ada", "bob"])) == ["ada"]
        assert list(third.lock(["bob"])) == ["bob"]


@with_many_writers
@pytest.mark.parametrize("fails", [False, True])
def test_the_end_of_a_transaction_frees_its_users(store, fails):
    with pytest.raises(ZeroDivisionError) if fails else nullcontext(), store.write() as one:
        one.lock(["ada"])
        _ = 1 / (not fails)
    with store.write() as other:
        assert not other.lock(["ada"])


@with_many_writers
def test_who_is_waited_for_in_vain_is_named_too_and_strangers_are_locked_all_the_same(store):
    with store.write() as one, store.write() as other:
        one.lock(["ada"])
        assert list(other.lock(["ada", "bob"], waiting_for=["ada"])) == ["ada"]
        with store.write() as third:
            assert list(third.lock(["bob"])) == ["bob"]


@with_many_writers
def test_a_new_user_can_be_held_before_there_is_one(store):
    with store.write() as one, store.write() as other:
        one.lock(["new"])
        assert list(other.lock(["new"])) == ["new"]


def test_who_was_only_locked_does_not_exist(store):
    with store.write() as transaction:
        transaction.lock(["ada", "bob"])
    with store.read() as connection:
        assert reads.state(connection, "ada") is None
        assert reads.states(connection, ["ada", "bob"]) == {}
        assert reads.user_ids(connection, limit=10) == []
        assert reads.user_count(connection) == 0
    assert "ada" not in load(store, post()).states


@with_many_writers
def test_what_was_committed_while_one_waited_is_seen_under_the_lock(store):
    with store.write() as waits:
        assert waits.revision() == 0  # A first statement, before the other's commit.
        record(store, post())
        waits.lock(["ada"])
        request = receive(post(), START)
        context = waits.load(touches([request], CATALOG), [("ada", "1")], CATALOG)
        assert context.states["ada"].version == 1
        assert ("ada", "1") in context.recorded


# --- Loading ----------------------------------------------------------------------------------------------------------


def test_a_recorded_request_comes_with_what_it_caused_for_everyone(store):
    (outcome,) = record(store, like("ada", "1", "bob"))
    known = load(store, like("ada", "1", "bob")).recorded["ada", "1"]
    assert known.outcome == outcome
    assert {change.user_id for change in known.outcome.changes} == {"bob"}
    assert known.fingerprint == receive(like("ada", "1", "bob"), START).fingerprint


def test_requests_of_different_users_may_have_the_same_id(store):
    record(store, like("ada", "42", "bob"))
    assert ("bob", "42") not in load(store, post("bob", "42")).recorded
    record(store, post("bob", "42"))
    found = load(store, post("bob", "42"), like("ada", "42", "bob")).recorded
    assert {key: known.outcome.user_id for key, known in found.items()} == {
        ("ada", "42"): "ada",
        ("bob", "42"): "bob",
    }


def test_of_what_counts_once_only_what_was_counted_is_found(store):
    record(store, AwardXp(5, user="ada", id="1", source="case", source_id="7"))
    asked = [AwardXp(5, user=user, id="2", source="case", source_id=of) for user in ("ada", "bob") for of in ("7", "8")]
    assert load(store, *asked).claims == {("ada", ":source:xp", "case", "7")}


def test_how_a_hold_ended_is_known(store):
    about = {"user": "ada"}
    record(
        store, Credit("coin", 9, **about, id="1"), Hold("coin", 5, **about, id="h1"), Hold("coin", 1, **about, id="h2")
    )
    record(store, Capture("h1", 2, **about, id="2"))
    past = load(store, Capture("h1", **about, id="3"), Capture("h2", **about, id="4")).past
    assert past.closed_holds == {("ada", "h1"): "captured"}


def test_how_much_of_a_spend_was_refunded_is_known(store):
    about = {"user": "ada"}
    record(
        store, Credit("coin", 9, **about, id="1"), Spend("coin", 6, **about, id="s"), Spend("coin", 1, **about, id="t")
    )
    for number in (1, 2):
        record(store, Refund("s", number, **about, id=f"r{number}"))
    context = load(store, Refund("s", **about, id="x"), Refund("t", **about, id="y"))
    assert context.past.refunded == {("ada", "s"): 3, ("ada", "t"): 0}
    assert {("ada", "s"), ("ada", "t")} <= context.recorded.keys()


def test_which_runs_of_a_quest_were_claimed_is_known(store):
    record(store, post("ada", "1"), post("ada", "2"))
    key = ("ada", "weekly")
    asked = ClaimQuest("weekly", user="ada", id="c")
    assert load(store, asked).claimed == {key: frozenset()}
    record(store, asked)
    assert load(store, asked).claimed == {key: frozenset({"2026-W47"})}


def test_what_a_document_forgot_is_remembered(store):
    for days in range(9, 0, -1):
        record(store, post("ada", f"{days}", time=to_datetime(START - days * DAY)))
    request = receive(post("ada", "late", time=to_datetime(START - 20 * DAY)), START)
    with store.write() as transaction:
        transaction.lock(["ada", "nobody"])
        context = transaction.load(touches([request], CATALOG), [], CATALOG)
        kept = len(context.states["ada"].uses["first"].windows)
        transaction.remember(context, ["ada", "nobody"], CATALOG)
        assert (kept, len(context.states["ada"].uses["first"].windows)) == (3, 9)
        assert context.memories["ada"].metric_times["posts"] == START - DAY
        assert context.memories["nobody"].metric_times == {}


# --- Saving -----------------------------------------------------------------------------------------------------------


def test_a_place_that_another_took_is_not_taken_again(store):
    """Both decide that they are the first; the second is told so before it has written anything."""
    with store.write() as transaction:
        transaction.lock(["bob"])
        units = [Unit([receive(post("bob", str(number)), START)]) for number in range(2)]
        late, _, decisions = _decide_units(transaction, units, CATALOG, START)
    record(store, post("ada", "1"), post("ada", "2"))  # The pioneer.
    before = rows_of(store)
    with store.write() as transaction:
        transaction.lock(["bob"])
        assert not transaction.save(decisions, late.states, CATALOG)
        assert transaction.load(touches(units[0].requests, CATALOG), [], CATALOG).places["PIONEER"] == 0
    assert rows_of(store)["journal"] == before["journal"]
    with store.read() as connection:
        taken = select(achiever_counts.c.taken).where(achiever_counts.c.achievement == "PIONEER")
        assert connection.scalar(taken) == 1


def test_settings_are_put_beside_what_was_recorded(store):
    record(store, post())
    with store.write() as transaction:
        transaction.lock(["ada"])
        state = reads.state(transaction.connection, "ada")
        state.zone = "Asia/Tokyo"
        transaction.put("ada", state)
    assert (state_of(store, "ada").zone, state_of(store, "ada").version) == ("Asia/Tokyo", 1)


def test_whatever_is_recorded_in_batches_is_stored_as_if_it_had_come_one_by_one(store):
    """Everything that the simulation sends, on every store, against plain dictionaries."""
    dice = Random(11)
    names = ["ada", "bob", "cyd", "Zoë"]
    world = World(CATALOG)
    calls = plan(dice, "c", names, 60)
    opening = [Credit("coin", 12, user=user, id="open") for user in names]
    batches = [opening, *(call.requests for call in calls)]
    for number, requests in enumerate(batches):
        now = START + number * HOUR
        answers = record(store, *requests, now=now)
        assert answers_of(answers) == answers_of([answer_of(world, request, now) for request in requests])
    with store.read() as connection:
        documents = dict(connection.execute(select(users.c.user_id, users.c.state)).all())
        rows = connection.execute(select(journal).order_by(journal.c.user_id, journal.c.version)).mappings()
        stored = [{name: value for name, value in row.items() if name != "seq"} for row in rows]
    assert {user: document.encode() for user, document in documents.items() if document} == world.documents
    expected = [msgspec.structs.asdict(row) for user in sorted(world.journal) for row in world.journal[user]]
    assert [{**row, "fingerprint": bytes(row["fingerprint"])} for row in stored] == expected


def answer_of(world: World, request, now: int) -> Outcome | LaurelsError:
    answer = world.record([request], now)
    return answer if isinstance(answer, LaurelsError) else answer[0]


def answers_of(answers: list[Outcome | LaurelsError]) -> list[Outcome | str]:
    return [answer.code if isinstance(answer, LaurelsError) else answer for answer in answers]
