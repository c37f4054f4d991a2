"""Group commit: callers share a transaction, and what one of them asks in vain fails that one alone."""

import gc
import threading

import pytest

import laurels
from laurels import Event
from laurels.lanes import Lane, Unit, collection_held_off
from tests.conftest import BASE

POSTS = BASE + '[[rules]]\nid = "post"\non = "post.created"\nxp = 10\n[currencies.coin]\n'


class Gate:
    """Records units, but not before it is opened: so a test decides what gathers meanwhile."""

    def __init__(self):
        self.batches = []
        self.opened = threading.Event()

    def __call__(self, units, patient):
        self.opened.wait(10)
        self.batches.append([len(unit.requests) for unit in units])
        return [[f"outcome of {request}" for request in unit.requests] for unit in units]


def unit(*requests):
    return Unit(requests)


def test_what_gathers_during_a_commit_shares_the_next():
    gate = Gate()
    lane = Lane(gate, "test", patience_s=10)
    units = [unit(number) for number in range(20)]
    for each in units:
        lane.put(each)
    gate.opened.set()
    assert [each.future.result(10) for each in units] == [[f"outcome of {number}"] for number in range(20)]
    lane.close()
    assert len(gate.batches) <= 2
    assert sum(len(batch) for batch in gate.batches) == 20


def test_a_future_that_was_cancelled_is_not_recorded_and_ends_no_lane():
    gate = Gate()
    lane = Lane(gate, "test", patience_s=10)
    first, cancelled, last = unit(1), unit(2), unit(3)
    for each in (first, cancelled, last):
        lane.put(each)
    assert cancelled.future.cancel() or cancelled.future.running()
    gate.opened.set()
    assert last.future.result(10) == ["outcome of 3"]
    lane.close()
    assert sum(map(len, gate.batches)) == 2


def test_a_batch_stays_short_but_never_cuts_a_unit():
    gate = Gate()
    lane = Lane(gate, "test", patience_s=10)
    for _ in range(4):
        lane.put(unit(*range(300)))
    lane.put(unit(*range(2_000)))
    gate.opened.set()
    lane.close()
    assert sorted(sum(batch) for batch in gate.batches) == [300, 300, 300, 300, 2_000]


def test_closing_records_what_was_handed_over():
    gate = Gate()
    lane = Lane(gate, "test", patience_s=10)
    waiting = [unit(number) for number in range(5)]
    for each in waiting:
        lane.put(each)
    gate.opened.set()
    lane.close()
    assert all(each.future.done() for each in waiting)
    with pytest.raises(laurels.Unavailable, match="closed"):
        lane.put(unit(1))


def test_what_makes_a_batch_come_to_nothing_fails_alone_and_is_found_in_a_few_steps():
    tried = []
    opened = threading.Event()

    def fails_on_three(units, patient):
        opened.wait(10)
        tried.append(len(units))
        if any(3 in each.requests for each in units):
            raise ValueError("three")
        return [list(each.requests) for each in units]

    lane = Lane(fails_on_three, "test", patience_s=10)
    units = [unit(number) for number in range(100)]
    for each in units:
        lane.put(each)
    opened.set()
    lane.close()
    assert [number for number, each in enumerate(units) if each.future.exception() is not None] == [3]
    assert len(tried) < 20


def test_the_collector_is_off_during_a_batch_and_as_it_was_afterwards():
    assert gc.isenabled()
    with collection_held_off:
        with collection_held_off:
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_list_is_recorded_together_or_not_at_all_beside_others(open_engine):
    engine = open_engine(POSTS)
    engine.record(Event("post.created", user="ada", id="known", data={"a": 1}))
    good = [engine.submit(Event("post.created", user="bob", id=str(number))) for number in range(50)]
    spoilt = [
        Event("post.created", user="bob", id="new"),
        Event("post.created", user="ada", id="known", data={"a": 2}),
    ]
    with pytest.raises(laurels.Conflict) as caught:
        engine.record(spoilt)
    assert caught.value.code == "request_id_reused"
    assert [future.result(10).status for future in good] == ["applied"] * 50
    assert engine.profile("bob").xp == 500


def test_units_of_many_users_do_not_stand_in_each_others_way(postgres_url):
    with laurels.open(postgres_url, lanes=2) as engine:
        units = [
            engine._unit([Event("user.login", user=f"user {user}", id=f"{number}") for user in range(number, 200, 2)])
            for number in range(40)
        ]
        for each in units:
            engine._put(each)
        assert all(len(each.future.result(30)) == len(each.requests) for each in units)
    assert [each.rounds for each in units] == [0] * 40


def test_one_refused_command_leaves_the_others_of_its_batch_alone(open_engine):
    engine = open_engine(POSTS)
    engine.wallet("ada").credit("coin", 50, request_id="start")
    spends = [engine.submit(laurels.Spend(user="ada", id=f"s{n}", currency="coin", amount=10)) for n in range(100)]
    refused = [future for future in spends if isinstance(future.exception(10), laurels.InsufficientFunds)]
    assert len(refused) == 95
    assert engine.profile("ada").balances["coin"].available == 0


def test_what_leaves_the_range_fails_alone(open_engine):
    engine = open_engine(POSTS)
    most = 2**53 - 1
    futures = [
        engine.submit(laurels.AwardXp(user="ada", id="a", amount=most)),
        engine.submit(laurels.AwardXp(user="ada", id="b", amount=1)),
        engine.submit(laurels.AwardXp(user="bob", id="c", amount=1)),
    ]
    errors = [future.exception(10) for future in futures]
    assert [getattr(error, "code", None) for error in errors] == [None, "amount_out_of_range", None]
    assert (engine.profile("ada").xp, engine.profile("bob").xp) == (most, 1)


def test_listeners_hear_of_what_was_committed_and_may_record_themselves(open_engine):
    engine = open_engine(POSTS)
    heard = []

    def congratulate(change):
        heard.append((change.user_id, change.amount))
        if change.user_id == "ada":
            engine.award_xp("friend", 1, request_id="congratulated")

    engine.on("xp.awarded", congratulate)
    engine.record(Event("post.created", user="ada", id="1"))
    engine.record(Event("post.created", user="ada", id="1"))
    assert heard == [("ada", 10), ("friend", 1)]


def test_a_listener_that_fails_fails_nobody(open_engine, caplog):
    engine = open_engine(POSTS)
    engine.on("*", lambda change: 1 / 0)
    assert engine.record(Event("post.created", user="ada", id="1")).status == "applied"
    assert "listener_failed" in caplog.text
