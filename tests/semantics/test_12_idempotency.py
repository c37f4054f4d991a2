"""SEMANTICS 12: the same request twice is one request; the same id for another request is a mistake."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

import laurels
from laurels.catalog_file import parse_catalog
from tests.conftest import BASE, NOW, Clock, OpenEngine
from tests.semantics.telling import skipped, told

CATALOG = (
    BASE
    + """
[currencies.sparkle]
[currencies.amber]
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
xp = 60
reward = { sparkle = 5 }
metrics = { posts = 1 }
limit = { times = 3, per = "day" }
[[rules]]
id = "long"
on = "post.created"
when = "data.words > 100"
xp = 1
[[rules]]
id = "mentioned"
on = "post.created"
to = "data.mentions"
xp = 7
[[achievements]]
code = "TEN"
when = { posts = 10 }
[[achievements]]
code = "ONE"
when = { posts = 1 }
reward = { xp = 50 }
[[quests]]
code = "daily"
type = "daily"
goals = { posts = 1 }
claim = "manual"
[[quests]]
code = "sprint"
type = "special"
accept = "manual"
goals = { posts = 50 }
"""
)


@pytest.fixture
def engine(open_engine: OpenEngine) -> laurels.Engine:
    return open_engine(CATALOG)


def post(**changed: object) -> laurels.Event:
    return laurels.Event(**{"type": "post.created", "user": "ada", "id": "e1", "data": {"mentions": "bob"}, **changed})


def code_of(attempt, *arguments) -> str:
    with pytest.raises(laurels.LaurelsError) as refusal:
        attempt(*arguments)
    return refusal.value.code


def as_applied(outcome: laurels.Outcome) -> tuple[object, ...]:
    return outcome.user_id, outcome.event_id, outcome.changes, outcome.skipped


# --- 12.2 Equal -------------------------------------------------------------------------------------------------------


def test_12a_the_same_event_twice_in_one_batch_has_one_effect(engine: laurels.Engine):
    first, second = engine.record([post(), post()])

    assert (first.status, second.status) == ("applied", "duplicate")
    assert as_applied(first) == as_applied(second)
    assert (engine.profile("ada").xp, engine.profile("ada").metrics["posts"]) == (110, 1)


def test_12a_the_same_id_with_other_data_refuses_the_whole_batch(engine: laurels.Engine):
    batch = [post(id="e0"), post(), post(data={"mentions": "eve"}), post(id="e2")]

    assert code_of(engine.record, batch) == "request_id_reused"
    assert list(engine.users()) == []
    assert engine.record(post()).status == "applied"


def test_12a_the_same_content_with_another_time_is_a_duplicate_and_the_first_time_stands(engine: laurels.Engine):
    first = engine.record(post(time=NOW - timedelta(days=3)))
    again = engine.record(post(time=NOW - timedelta(days=90)))
    untimed = engine.record(post())

    assert [again.status, untimed.status] == ["duplicate", "duplicate"]
    assert as_applied(first) == as_applied(again) == as_applied(untimed)
    assert {entry.time for entry in engine.user("ada").ledger()} == {NOW - timedelta(days=3)}


def test_a_duplicate_gets_the_whole_stored_outcome(engine: laurels.Engine):
    """Everything the first sender was told: other users' changes, skips, and progress notes."""
    first = engine.record(post())
    again = engine.record(post())

    assert told(first) == [
        "xp +60 = 60 by post",
        "sparkle +5 = 5 by post",
        "posts = 1",
        "ONE unlocked",
        "xp +50 = 110 by achievement:ONE",
        "level 2",
        "daily 2026-11-22 completed",
        "TEN 1/10",
        "bob: xp +7 = 7 by mentioned",
    ]
    assert skipped(first) == [("long", "condition_false", None)]
    assert as_applied(again) == as_applied(first)


def test_a_duplicate_tells_what_happened_then_and_not_what_would_happen_now(engine: laurels.Engine, clock: Clock):
    first = engine.record(post())
    for number in range(2, 6):
        engine.record(post(id=f"e{number}"))
    engine.award_xp("bob", 1_000, request_id="a1")
    clock.advance(days=400)

    again = engine.record(post())

    assert (again.status, as_applied(again)) == ("duplicate", as_applied(first))


def test_a_refusal_by_a_limit_is_kept_for_its_duplicate_too(engine: laurels.Engine, clock: Clock):
    for number in range(3):
        engine.record(post(id=f"e{number}"))
    limited = engine.record(post(id="e3"))
    clock.advance(days=2)

    again = engine.record(post(id="e3"))

    assert ("post", "limit_reached", "2026-11-23T00:00:00Z") in skipped(limited)
    assert (again.status, as_applied(again)) == ("duplicate", as_applied(limited))


def test_a_duplicate_under_another_catalog_is_still_a_duplicate(engine: laurels.Engine):
    first = engine.record(post())
    engine.apply_catalog(parse_catalog(CATALOG.replace("xp = 60", "xp = 600")))

    again = engine.record(post())

    assert (again.status, as_applied(again)) == ("duplicate", as_applied(first))
    assert engine.profile("ada").xp == 110


def test_duplicates_are_found_after_the_database_was_closed_and_opened(open_engine: OpenEngine):
    first = open_engine(CATALOG)
    applied = first.record(post())
    first.close()

    again = open_engine().record(post())

    assert (again.status, as_applied(again)) == ("duplicate", as_applied(applied))


def test_the_stored_outcome_can_be_read(engine: laurels.Engine):
    first = engine.record(post())

    assert as_applied(engine.user("ada").outcome("e1")) == as_applied(first)
    assert code_of(engine.user("ada").outcome, "e2") == "unknown_request"
    assert code_of(engine.user("bob").outcome, "e1") == "unknown_request"  # It touched him, but is not his.


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"a": 1, "b": [1, {"c": 2, "d": 3}]}, {"b": [1, {"d": 3, "c": 2}], "a": 1}, id="key-order"),
        pytest.param({"n": 1}, {"n": 1.0}, id="1-and-1.0"),
        pytest.param({"n": [0, {"m": -3}]}, {"n": [0.0, {"m": -3.0}]}, id="nested-numbers"),
        pytest.param({"n": 100_000}, {"n": 1e5}, id="an-exponent"),
        pytest.param({"n": 0}, {"n": -0.0}, id="minus-zero"),
        pytest.param({"n": 10**20}, {"n": 1e20}, id="beyond-64-bits"),
        pytest.param({"n": 2**53}, {"n": float(2**53)}, id="the-end-of-doubles"),
        pytest.param({"n": 0.5}, {"n": 0.50}, id="fractions"),
        pytest.param({"l": (1, 2)}, {"l": [1, 2]}, id="tuple-and-list"),
        pytest.param({"s": "é\u2028"}, {"s": "\u00e9\u2028"}, id="text"),
    ],
)
def test_data_is_compared_as_a_json_value(engine: laurels.Engine, first, second):
    assert engine.record(post(data=first)).status == "applied"
    assert engine.record(post(data=second)).status == "duplicate"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"n": 1}, {"n": "1"}, id="number-and-text"),
        pytest.param({"n": 1}, {"n": True}, id="number-and-boolean"),
        pytest.param({"n": 0}, {"n": None}, id="zero-and-null"),
        pytest.param({"n": None}, {}, id="null-and-missing"),
        pytest.param({"l": [1, 2]}, {"l": [2, 1]}, id="the-order-of-a-list"),
        pytest.param({"l": [1]}, {"l": [1, 1]}, id="the-length-of-a-list"),
        pytest.param({"n": 2**53 + 1}, {"n": float(2**53)}, id="a-whole-number-that-no-double-holds"),
        pytest.param({"n": 2**53 + 1}, {"n": 2**53}, id="whole-numbers-are-exact"),
        pytest.param({"n": 0.1}, {"n": 0.1 + 2**-56}, id="fractions-are-exact"),
        pytest.param({"s": "1.0"}, {"s": "1"}, id="numbers-inside-of-text"),
        pytest.param({"s": "é"}, {"s": "e\u0301"}, id="composed-and-decomposed"),
        pytest.param({"K": 1}, {"k": 1}, id="case-of-a-key"),
        pytest.param({"1.0": 5}, {"1": 5}, id="numbers-inside-of-keys"),
    ],
)
def test_other_data_is_another_request(engine: laurels.Engine, first, second):
    engine.record(post(data=first))

    assert code_of(engine.record, post(data=second)) == "request_id_reused"
    assert engine.profile("ada").metrics["posts"] == 1


def test_another_type_is_another_request(engine: laurels.Engine):
    engine.record(post())

    assert code_of(engine.record, post(type="post.updated")) == "request_id_reused"


COMMANDS = {
    "award": laurels.AwardXp(user="ada", id="r", amount=5, source="s", source_id="1", reason="because"),
    "credit": laurels.Credit(user="ada", id="r", currency="sparkle", amount=5, source="s", source_id="1"),
    "spend": laurels.Spend(user="ada", id="r", currency="sparkle", amount=5, reason="theme"),
    "adjust": laurels.Adjust(user="ada", id="r", unit="sparkle", amount=-5),
    "adjust-xp": laurels.Adjust(user="ada", id="r", unit="xp", amount=-5),
    "transfer": laurels.Transfer(user="ada", id="r", to="bob", currency="sparkle", amount=5),
    "hold": laurels.Hold(user="ada", id="r", currency="sparkle", amount=5),
    "capture": laurels.Capture(user="ada", id="r", hold="h0", amount=5),
    "release": laurels.Release(user="ada", id="r", hold="h0"),
    "refund": laurels.Refund(user="ada", id="r", request="s0", amount=5),
    "accept": laurels.AcceptQuest(user="ada", id="r", quest="sprint"),
    "claim": laurels.ClaimQuest(user="ada", id="r", quest="daily"),
}


@pytest.fixture
def rich(engine: laurels.Engine) -> laurels.Engine:
    """Ada has done everything that a command needs to be carried out."""
    wallet = engine.wallet("ada")
    engine.record(post())
    wallet.credit("sparkle", 1_000, request_id="c0")
    wallet.credit("amber", 1_000, request_id="c1")
    for number in range(2):
        wallet.hold("sparkle", 50, request_id=f"h{number}")
        wallet.spend("sparkle", 50, request_id=f"s{number}")
    return engine


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_is_carried_out_once(rich: laurels.Engine, clock: Clock, command):
    first = rich.record(command)
    after = rich.profile("ada"), rich.user("ada").ledger()
    clock.advance(hours=1)

    in_batch = rich.record([command, command])

    assert [outcome.status for outcome in (first, *in_batch)] == ["applied", "duplicate", "duplicate"]
    assert [as_applied(outcome) for outcome in in_batch] == [as_applied(first)] * 2
    assert (rich.profile("ada"), rich.user("ada").ledger()) == after


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_is_carried_out_once_inside_one_batch(rich: laurels.Engine, command):
    first, second = rich.record([command, command])

    assert (first.status, second.status) == ("applied", "duplicate")
    assert as_applied(first) == as_applied(second)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("award", {"amount": 6}),
        ("award", {"source": "other"}),
        ("award", {"source_id": "2"}),
        ("award", {"source_id": None}),
        ("award", {"reason": "why not"}),
        ("credit", {"currency": "amber"}),
        ("spend", {"amount": 6}),
        ("spend", {"reason": None}),
        ("adjust", {"unit": "amber"}),
        ("adjust", {"amount": 5}),
        ("transfer", {"to": "eve"}),
        ("hold", {"expires_at": 2_000_000_000_000_000}),
        ("capture", {"hold": "h1"}),
        ("capture", {"amount": None}),
        ("refund", {"request": "s1"}),
        ("accept", {"quest": "daily"}),
        ("claim", {"period": "2026-11-22"}),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(f"{k}={v}" for k, v in value.items()),
)
def test_every_argument_of_a_command_is_compared(rich: laurels.Engine, name, changed):
    command = COMMANDS[name]
    other = type(command)(**{**{field: getattr(command, field) for field in command.__struct_fields__}, **changed})
    rich.record(command)

    assert code_of(rich.record, other) == "request_id_reused"
    assert code_of(rich.record, [laurels.AwardXp(user="ada", id="new", amount=1), other]) == "request_id_reused"
    assert code_of(rich.user("ada").outcome, "new") == "unknown_request"


@pytest.mark.parametrize("first", COMMANDS.values(), ids=COMMANDS)
def test_commands_of_different_kinds_share_the_ids_of_their_user(rich: laurels.Engine, first):
    rich.record(first)

    for second in COMMANDS.values():
        if second is not first:
            assert code_of(rich.record, second) == "request_id_reused"
    assert code_of(rich.record, post(id="r")) == "request_id_reused"


# --- 12.1 Whose id it is ----------------------------------------------------------------------------------------------


def test_events_and_commands_share_the_ids_of_their_user(engine: laurels.Engine):
    engine.record(post())

    for command in (
        laurels.AwardXp(user="ada", id="e1", amount=1),
        laurels.Spend(user="ada", id="e1", currency="sparkle", amount=1),
    ):
        assert code_of(engine.record, command) == "request_id_reused"


def test_other_users_may_use_the_same_id_also_one_whom_the_request_touched(engine: laurels.Engine):
    bobs = engine.record(post(user="bob", data={"mentions": "ada"}))
    adas = engine.record(post(user="ada", data={"mentions": "bob"}))

    assert (bobs.status, adas.status) == ("applied", "applied")
    assert engine.record(post(user="bob", data={"mentions": "ada"})).status == "duplicate"
    assert as_applied(engine.user("ada").outcome("e1")) == as_applied(adas)
    assert as_applied(engine.user("bob").outcome("e1")) == as_applied(bobs)
    assert (engine.profile("ada").xp, engine.profile("bob").xp) == (117, 117)


def test_two_users_may_use_the_same_id_in_one_batch(engine: laurels.Engine):
    outcomes = engine.record(
        [post(user=user, data={"mentions": other}) for user, other in (("ada", "bob"), ("bob", "ada"), ("ada", "bob"))]
    )

    assert [outcome.status for outcome in outcomes] == ["applied", "applied", "duplicate"]


def test_a_transfer_belongs_to_its_sender(engine: laurels.Engine):
    engine.wallet("ada").credit("sparkle", 10, request_id="c1")
    engine.wallet("ada").transfer("sparkle", 6, to="bob", request_id="t1")

    # The receiver's own t1 is another request.
    assert told(engine.wallet("bob").transfer("sparkle", 6, to="ada", request_id="t1")) == [
        "sparkle -6 = 0",
        "ada: sparkle +6 = 10",
    ]


def test_ids_are_exact(engine: laurels.Engine):
    ids = ["e1", "E1", "e1é", "e1e\u0301", "e01", "1", "01"]

    assert {engine.record(post(id=request_id)).status for request_id in ids} == {"applied"}


@pytest.mark.parametrize("asked", [None, "e1", {"type": "post.created", "user": "ada", "id": "e1"}, iter([])])
def test_what_is_no_request_is_refused(engine: laurels.Engine, asked):
    assert code_of(engine.record, asked) == "invalid_request"
    with pytest.raises(laurels.InvalidInput, match=r"^\[1\]: "):
        engine.record([post(), asked])
    assert list(engine.users()) == []


def test_no_requests_have_no_outcomes(engine: laurels.Engine):
    assert engine.record([]) == []


@pytest.mark.parametrize("request_id", ["", " e1", "e1 ", "e\n1", "e\x001", "x" * 256, "\ud800", 7, None])
def test_what_is_no_id_is_refused(engine: laurels.Engine, request_id):
    assert code_of(engine.record, post(id=request_id)) == "invalid_id"
    assert code_of(engine.record, post(user=request_id)) == "invalid_id"
    assert code_of(engine.record, laurels.AwardXp(user="ada", id=request_id, amount=1)) == "invalid_id"


@pytest.mark.parametrize(
    "request_id", ["x" * 255, "👩‍👩‍👧", "a b", "ümlaut/?#%2F", "'; DROP TABLE users; --", ":award_xp"]
)
def test_any_other_text_is_an_id(engine: laurels.Engine, request_id):
    statuses = [engine.record(post(id=request_id, user=request_id)).status for _ in range(2)]

    assert statuses == ["applied", "duplicate"]


# --- Refused requests -------------------------------------------------------------------------------------------------


def test_12b_a_refused_spend_leaves_its_id_free(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 10, request_id="c1")
    spend = laurels.Spend(user="ada", id="s1", currency="sparkle", amount=40)
    assert code_of(engine.record, spend) == "insufficient_funds"

    wallet.credit("sparkle", 30, request_id="c2")

    assert told(engine.record(spend)) == ["sparkle -40 = 0"]
    assert engine.record(spend).status == "duplicate"


def test_a_spend_that_went_through_is_a_duplicate_also_when_the_money_is_gone(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 10, request_id="c1")
    first = wallet.spend("sparkle", 10, request_id="s1")

    again = wallet.spend("sparkle", 10, request_id="s1")

    assert (again.status, as_applied(again)) == ("duplicate", as_applied(first))


def test_a_batch_with_a_known_and_a_new_request_applies_the_new_one(engine: laurels.Engine):
    engine.record(post())

    outcomes = engine.record([post(id="e0"), post(), post(id="e2")])

    assert [outcome.status for outcome in outcomes] == ["applied", "duplicate", "applied"]


def test_a_batch_that_reuses_an_old_id_is_refused_as_a_whole(engine: laurels.Engine):
    engine.record(post())
    before = engine.profile("ada")

    assert code_of(engine.record, [post(id="e0"), post(data={"mentions": "eve"})]) == "request_id_reused"

    assert engine.profile("ada") == before
    assert engine.record(post(id="e0")).status == "applied"


def test_a_reused_id_fails_its_own_caller_alone(engine: laurels.Engine):
    engine.record(post())

    futures = [engine.submit(post(id=f"n{number}")) for number in range(20)]
    reused = engine.submit(post(data={"mentions": "eve"}))
    futures += [engine.submit(post(id=f"m{number}")) for number in range(20)]

    assert {future.result().status for future in futures} == {"applied"}
    error = reused.exception()
    assert isinstance(error, laurels.Conflict)
    assert error.code == "request_id_reused"


def test_the_same_request_from_many_threads_at_once_is_applied_once(engine: laurels.Engine):
    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(lambda _: engine.record(post()), range(64)))

    assert sorted(outcome.status for outcome in outcomes) == ["applied"] + ["duplicate"] * 63
    assert len({as_applied(outcome) for outcome in outcomes}) == 1
    assert engine.profile("ada").metrics["posts"] == 1


def test_a_request_repeated_through_another_engine_on_the_same_file_is_applied_once(open_engine: OpenEngine):
    engines = [open_engine(CATALOG), open_engine(CATALOG)]

    futures = [engines[number % 2].submit(post()) for number in range(20)]
    outcomes = [future.result() for future in futures]

    assert sorted(outcome.status for outcome in outcomes) == ["applied"] + ["duplicate"] * 19
    assert len({as_applied(outcome) for outcome in outcomes}) == 1


def test_listeners_hear_of_a_request_once(engine: laurels.Engine):
    heard = []
    engine.on("achievement.unlocked", heard.append)

    for _ in range(3):
        engine.record(post())

    assert [change.achievement for change in heard] == ["ONE"]
