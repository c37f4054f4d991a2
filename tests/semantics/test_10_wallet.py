"""SEMANTICS 10: currency, which is money: holds, refunds, transfers, and what is refused."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest

import laurels
from tests.conftest import BASE, NOW, Clock, OpenEngine
from tests.semantics.telling import told

MOST = 2**53 - 1

CURRENCIES = BASE + "[currencies.sparkle]\n[currencies.amber]\n"


@pytest.fixture
def engine(open_engine: OpenEngine) -> laurels.Engine:
    return open_engine(CURRENCIES)


def balance(engine: laurels.Engine, user: str = "ada", currency: str = "sparkle") -> tuple[int, int, int, int]:
    """Return available, held, lifetime earned, lifetime spent."""
    found = engine.profile(user).balances[currency]
    return found.available, found.held, found.lifetime_earned, found.lifetime_spent


def entries(engine: laurels.Engine, user: str = "ada", currency: str = "sparkle") -> list[tuple[str, int, int]]:
    """Return kind, amount and balance of each entry, oldest first."""
    return [(e.kind, e.amount, e.balance) for e in reversed(engine.user(user).ledger(unit=currency, limit=1_000))]


def code_of(attempt, *arguments, **named) -> str:
    with pytest.raises(laurels.LaurelsError) as refusal:
        attempt(*arguments, **named)
    return refusal.value.code


# --- 10.1 Entries act on what is available ----------------------------------------------------------------------------


def test_10a_a_hold_is_set_aside_and_captured_in_part(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 100, request_id="c1")

    assert told(wallet.hold("sparkle", 30, request_id="h1")) == ["sparkle -30 = 70 held"]
    assert balance(engine) == (70, 30, 100, 0)
    with pytest.raises(laurels.InsufficientFunds) as refusal:
        wallet.spend("sparkle", 80, request_id="s1")
    assert refusal.value.available == 70
    assert told(wallet.capture("h1", 20, request_id="k1")) == ["sparkle +30 = 100 released", "sparkle -20 = 80"]
    assert balance(engine) == (80, 0, 100, 20)
    assert entries(engine) == [("earn", 100, 100), ("hold", -30, 70), ("release", 30, 100), ("capture", -20, 80)]


def test_a_hold_captured_whole_and_one_released(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 90, request_id="c1")
    wallet.hold("sparkle", 40, request_id="h1")
    wallet.hold("sparkle", 50, request_id="h2")
    assert balance(engine) == (0, 90, 90, 0)

    assert told(wallet.capture("h1", request_id="k1")) == ["sparkle +40 = 40 released", "sparkle -40 = 0"]
    assert told(wallet.release("h2", request_id="r2")) == ["sparkle +50 = 50 released"]
    assert balance(engine) == (50, 0, 90, 40)


ODD_AMOUNTS = [
    pytest.param(0, id="zero"),
    pytest.param(-1, id="minus-one"),
    pytest.param(-1_000, id="O10-minus-a-thousand"),
    pytest.param(1.5, id="a-fraction"),
    pytest.param(5.0, id="5.0"),
    pytest.param("5", id="a-text"),
    pytest.param(True, id="true"),
    pytest.param(False, id="false"),
    pytest.param(Decimal(5), id="a-decimal"),
    pytest.param(Fraction(5), id="a-python-fraction"),
    pytest.param(float("nan"), id="nan"),
    pytest.param(float("inf"), id="infinity"),
    pytest.param([5], id="a-list"),
    pytest.param({"amount": 5}, id="an-object"),
    pytest.param(b"5", id="bytes"),
]


@pytest.mark.parametrize("amount", [*ODD_AMOUNTS, pytest.param(None, id="none")])
def test_an_amount_is_a_whole_number_of_at_least_one(engine: laurels.Engine, amount):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 50, request_id="c1")

    refusals = [
        code_of(wallet.credit, "sparkle", amount, request_id="r1"),
        code_of(wallet.spend, "sparkle", amount, request_id="r1"),
        code_of(wallet.hold, "sparkle", amount, request_id="r1"),
        code_of(wallet.transfer, "sparkle", amount, to="bob", request_id="r1"),
        code_of(engine.award_xp, "ada", amount, request_id="r1"),
    ]

    assert refusals == ["invalid_amount"] * 5
    assert (balance(engine), engine.profile("ada").xp) == ((50, 0, 50, 0), 0)


@pytest.mark.parametrize("amount", ODD_AMOUNTS)
def test_a_part_of_a_hold_or_a_spend_is_a_whole_number_of_at_least_one(engine: laurels.Engine, amount):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 50, request_id="c1")
    wallet.hold("sparkle", 10, request_id="h1")
    wallet.spend("sparkle", 10, request_id="s1")

    assert code_of(wallet.capture, "h1", amount, request_id="r1") == "invalid_amount"
    assert code_of(wallet.refund, "s1", amount, request_id="r1") == "invalid_amount"
    assert balance(engine) == (30, 10, 50, 10)


@pytest.mark.parametrize("amount", [0, 1.5, -5.0, "5", True, None, Decimal(-5)])
def test_an_adjustment_is_a_whole_number_of_either_sign(engine: laurels.Engine, amount):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 50, request_id="c1")

    assert code_of(wallet.adjust, "sparkle", amount, request_id="r1") == "invalid_amount"
    assert code_of(wallet.adjust, "xp", amount, request_id="r1") == "invalid_amount"


def test_spending_takes_all_that_is_there_and_no_more(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 50, request_id="c1")

    assert told(wallet.spend("sparkle", 50, request_id="s1")) == ["sparkle -50 = 0"]
    with pytest.raises(laurels.InsufficientFunds) as refusal:
        wallet.spend("sparkle", 1, request_id="s2")
    assert (refusal.value.code, refusal.value.available) == ("insufficient_funds", 0)


def test_currencies_are_strangers_to_each_other(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 50, request_id="c1")
    wallet.credit("amber", 3, request_id="c2")

    with pytest.raises(laurels.InsufficientFunds) as refusal:
        wallet.spend("amber", 4, request_id="s1")

    assert refusal.value.available == 3
    assert (balance(engine), balance(engine, currency="amber")) == ((50, 0, 50, 0), (3, 0, 3, 0))


@pytest.mark.parametrize("currency", ["gold", "Sparkle", "xp", "", "sparkle "])
def test_an_unknown_currency_is_refused(engine: laurels.Engine, currency):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 50, request_id="c1")

    for attempt in (wallet.credit, wallet.spend, wallet.hold):
        with pytest.raises(laurels.LaurelsError):
            attempt(currency, 1, request_id="r1")
    assert balance(engine) == (50, 0, 50, 0)


# --- 10.2 Lifetimes, refunds, transfers, adjustments ------------------------------------------------------------------


def test_10b_a_refund_never_gives_back_more_than_is_left(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 100, request_id="c1")
    wallet.spend("sparkle", 50, request_id="s1")

    assert told(wallet.refund("s1", 20, request_id="f1")) == ["sparkle +20 = 70"]
    assert balance(engine) == (70, 0, 100, 30)
    assert code_of(wallet.refund, "s1", 40, request_id="f2") == "invalid_amount"
    assert balance(engine) == (70, 0, 100, 30)
    assert told(wallet.refund("s1", request_id="f2")) == ["sparkle +30 = 100"]
    assert balance(engine) == (100, 0, 100, 0)
    assert code_of(wallet.refund, "s1", request_id="f3") == "invalid_amount"
    assert code_of(wallet.refund, "s1", 1, request_id="f3") == "invalid_amount"


def test_10b_a_transfer_moves_no_lifetime(engine: laurels.Engine):
    engine.wallet("ada").credit("sparkle", 100, request_id="c1")

    outcome = engine.wallet("ada").transfer("sparkle", 30, to="bob", request_id="t1")

    assert told(outcome) == ["sparkle -30 = 70", "bob: sparkle +30 = 30"]
    assert balance(engine) == (70, 0, 100, 0)
    assert balance(engine, "bob") == (30, 0, 0, 0)
    assert entries(engine, "bob") == [("transfer", 30, 30)]
    assert entries(engine)[-1] == ("transfer", -30, 70)


@pytest.mark.parametrize("in_one_batch", [True, False], ids=["in-one-batch", "one-by-one"])
def test_a_capture_is_refunded_like_a_spend(engine: laurels.Engine, in_one_batch):
    requests = [
        laurels.Credit(user="ada", id="c1", currency="sparkle", amount=100),
        laurels.Hold(user="ada", id="h1", currency="sparkle", amount=60),
        laurels.Capture(user="ada", id="k1", hold="h1", amount=45),
        laurels.Refund(user="ada", id="f1", request="k1", amount=15),
        laurels.Refund(user="ada", id="f2", request="k1"),
    ]

    outcomes = engine.record(requests) if in_one_batch else [engine.record(request) for request in requests]

    assert [told(outcome) for outcome in outcomes[2:]] == [
        ["sparkle +60 = 100 released", "sparkle -45 = 55"],
        ["sparkle +15 = 70"],
        ["sparkle +30 = 100"],
    ]
    assert balance(engine) == (100, 0, 100, 0)
    assert code_of(engine.wallet("ada").refund, "k1", 1, request_id="f3") == "invalid_amount"


@pytest.mark.parametrize(
    "requests",
    [
        pytest.param(
            [
                laurels.Spend(user="ada", id="s1", currency="sparkle", amount=50),
                laurels.Refund(user="ada", id="f1", request="s1", amount=30),
                laurels.Refund(user="ada", id="f2", request="s1", amount=30),
            ],
            id="two-refunds-of-one-spend",
        ),
        pytest.param(
            [
                laurels.Hold(user="ada", id="h1", currency="sparkle", amount=50),
                laurels.Capture(user="ada", id="k1", hold="h1", amount=51),
            ],
            id="a-capture-beyond-its-hold",
        ),
        pytest.param(
            [
                laurels.Spend(user="ada", id="s1", currency="sparkle", amount=60),
                laurels.Spend(user="ada", id="s2", currency="sparkle", amount=60),
            ],
            id="two-spends-of-more-than-is-there",
        ),
        pytest.param(
            [
                laurels.Hold(user="ada", id="h1", currency="sparkle", amount=50),
                laurels.Release(user="ada", id="r1", hold="h1"),
                laurels.Capture(user="ada", id="k1", hold="h1"),
            ],
            id="a-capture-of-what-was-released",
        ),
    ],
)
def test_a_batch_with_one_refusal_does_nothing(engine: laurels.Engine, requests):
    engine.wallet("ada").credit("sparkle", 100, request_id="c1")

    with pytest.raises(laurels.LaurelsError):
        engine.record(requests)

    assert balance(engine) == (100, 0, 100, 0)
    assert entries(engine) == [("earn", 100, 100)]
    assert told(engine.wallet("ada").spend("sparkle", 100, request_id=requests[0].id)) == ["sparkle -100 = 0"]


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(lambda wallet: wallet.refund("c1", request_id="r"), id="a-credit"),
        pytest.param(lambda wallet: wallet.refund("h1", request_id="r"), id="a-hold"),
        pytest.param(lambda wallet: wallet.refund("t1", request_id="r"), id="a-transfer"),
        pytest.param(lambda wallet: wallet.refund("a1", request_id="r"), id="an-adjustment"),
        pytest.param(lambda wallet: wallet.refund("f1", request_id="r"), id="a-refund"),
        pytest.param(lambda wallet: wallet.refund("p1", request_id="r"), id="an-event"),
        pytest.param(lambda wallet: wallet.refund("nothing", request_id="r"), id="an-unknown-request"),
    ],
)
def test_only_a_spend_or_a_capture_can_be_refunded(engine: laurels.Engine, attempt):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 100, request_id="c1")
    wallet.hold("sparkle", 10, request_id="h1")
    wallet.transfer("sparkle", 10, to="bob", request_id="t1")
    wallet.adjust("sparkle", -10, request_id="a1")
    wallet.spend("sparkle", 10, request_id="s1")
    wallet.refund("s1", 5, request_id="f1")
    engine.record(laurels.Event("post.created", user="ada", id="p1"))
    before = balance(engine)

    with pytest.raises(laurels.LaurelsError):
        attempt(wallet)

    assert balance(engine) == before


def test_a_refund_belongs_to_the_user_who_spent(engine: laurels.Engine):
    for user in ("ada", "bob"):
        engine.wallet(user).credit("sparkle", 100, request_id="c1")
    engine.wallet("ada").spend("sparkle", 50, request_id="s1")

    assert code_of(engine.wallet("bob").refund, "s1", request_id="f1") == "unknown_request"


def test_a_refund_sent_twice_is_given_once(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 100, request_id="c1")
    wallet.spend("sparkle", 50, request_id="s1")

    outcomes = [wallet.refund("s1", 20, request_id="f1") for _ in range(3)]

    assert [outcome.status for outcome in outcomes] == ["applied", "duplicate", "duplicate"]
    assert balance(engine) == (70, 0, 100, 30)


def test_a_transfer_needs_funds_and_a_known_sender_and_makes_its_receiver(engine: laurels.Engine):
    engine.wallet("ada").credit("sparkle", 10, request_id="c1")

    assert code_of(engine.wallet("ada").transfer, "sparkle", 11, to="new", request_id="t1") == "insufficient_funds"
    assert code_of(engine.wallet("nobody").transfer, "sparkle", 1, to="ada", request_id="t1") == "unknown_user"
    assert list(engine.users()) == ["ada"]
    engine.wallet("ada").transfer("sparkle", 10, to="new", request_id="t1")
    assert list(engine.users()) == ["ada", "new"]
    assert told(engine.wallet("new").spend("sparkle", 10, request_id="s1")) == ["sparkle -10 = 0"]


def test_a_transfer_to_oneself_is_refused(engine: laurels.Engine):
    engine.wallet("ada").credit("sparkle", 10, request_id="c1")

    with pytest.raises(laurels.InvalidInput):
        engine.wallet("ada").transfer("sparkle", 5, to="ada", request_id="t1")

    assert entries(engine) == [("earn", 10, 10)]


@pytest.mark.parametrize("command", ["spend", "hold", "adjust"])
def test_unknown_users_have_nothing_to_spend(engine: laurels.Engine, command):
    assert code_of(getattr(engine.wallet("nobody"), command), "sparkle", 1, request_id="r1") == "unknown_user"


def test_adjustments_count_in_no_lifetime_and_never_go_below_zero(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 10, request_id="c1")

    assert told(wallet.adjust("sparkle", 25, request_id="a1", reason="found")) == ["sparkle +25 = 35"]
    assert told(wallet.adjust("sparkle", -5, request_id="a2")) == ["sparkle -5 = 30"]
    assert balance(engine) == (30, 0, 10, 0)
    assert code_of(wallet.adjust, "sparkle", -31, request_id="a3") == "insufficient_funds"
    assert [kind for kind, _, _ in entries(engine)] == ["earn", "adjust", "adjust"]


def test_an_adjustment_may_bring_xp_below_zero(engine: laurels.Engine):
    engine.award_xp("ada", 10, request_id="r1")

    assert told(engine.wallet("ada").adjust("xp", -25, request_id="r2")) == ["xp -25 = -15"]
    (entry, _) = engine.user("ada").ledger(unit="xp")
    assert (entry.kind, entry.amount, entry.balance) == ("adjust", -25, -15)


# --- 10.3 Holds that end ----------------------------------------------------------------------------------------------


@pytest.fixture
def held(engine: laurels.Engine) -> laurels.Engine:
    """Ada has 100, of which 30 are held for ten minutes."""
    engine.wallet("ada").credit("sparkle", 100, request_id="c1")
    engine.wallet("ada").hold("sparkle", 30, request_id="h1", expires_at=NOW + timedelta(minutes=10))
    return engine


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        pytest.param(9.99, (70, 30, 100, 0), id="before"),
        pytest.param(10, (100, 0, 100, 0), id="from-that-instant"),
        pytest.param(10_000, (100, 0, 100, 0), id="long-after"),
    ],
)
def test_a_hold_past_its_time_counts_as_released(held: laurels.Engine, clock: Clock, minutes, expected):
    clock.advance(minutes=minutes)

    assert balance(held) == expected


def test_what_an_expired_hold_kept_can_be_spent(held: laurels.Engine, clock: Clock):
    wallet = held.wallet("ada")
    with pytest.raises(laurels.InsufficientFunds):
        wallet.spend("sparkle", 71, request_id="s1")
    clock.advance(minutes=10)

    assert told(wallet.spend("sparkle", 100, request_id="s1"))[-1] == "sparkle -100 = 0"
    assert balance(held) == (0, 0, 100, 100)
    assert sum(amount for _, amount, _ in entries(held)) == 0


@pytest.mark.parametrize("command", ["capture", "release"])
def test_an_expired_hold_cannot_be_captured_or_released(held: laurels.Engine, clock: Clock, command):
    clock.advance(minutes=10)

    for request_id in ("r1", "r2"):
        assert code_of(getattr(held.wallet("ada"), command), "h1", request_id=request_id) == "hold_expired"
        held.wallet("ada").spend("sparkle", 1, request_id=f"s {request_id}")
    assert balance(held) == (98, 0, 100, 2)


def test_an_expired_hold_stays_expired_inside_one_batch(held: laurels.Engine, clock: Clock):
    clock.advance(minutes=10)

    requests = [
        laurels.Spend(user="ada", id="s1", currency="sparkle", amount=1),
        laurels.Capture(user="ada", id="k1", hold="h1"),
    ]

    assert code_of(held.record, requests) == "hold_expired"


def _credit(engine: laurels.Engine) -> laurels.Outcome:
    return engine.wallet("ada").credit("sparkle", 5, request_id="r1")


def _adjust(engine: laurels.Engine) -> laurels.Outcome:
    return engine.wallet("ada").adjust("sparkle", 5, request_id="r1")


def _receive(engine: laurels.Engine) -> laurels.Outcome:
    engine.wallet("bob").credit("sparkle", 5, request_id="c1")
    return engine.wallet("bob").transfer("sparkle", 5, to="ada", request_id="r1")


def _earn(engine: laurels.Engine) -> laurels.Outcome:
    return engine.record(laurels.Event("post.created", user="ada", id="r1"))


def _earn_late(engine: laurels.Engine) -> laurels.Outcome:
    return engine.record(laurels.Event("post.created", user="ada", id="r1", time=NOW - timedelta(days=3)))


@pytest.mark.parametrize(
    "move",
    [
        pytest.param(_credit, id="a-credit"),
        pytest.param(_adjust, id="an-adjustment"),
        pytest.param(_receive, id="an-incoming-transfer"),
        pytest.param(_earn, id="an-event"),
        pytest.param(_earn_late, id="a-late-event"),
    ],
)
def test_the_balance_in_a_change_is_what_is_available_also_after_a_hold_expired(
    open_engine: OpenEngine, clock: Clock, move
):
    engine = open_engine(CURRENCIES + '[[rules]]\nid = "post"\non = "post.created"\nreward = { sparkle = 5 }\n')
    engine.wallet("ada").credit("sparkle", 100, request_id="c1")
    engine.wallet("ada").hold("sparkle", 30, request_id="h1", expires_at=NOW + timedelta(minutes=10))
    clock.advance(minutes=10)

    outcome = move(engine)

    credited = [c for c in outcome.changes if c.type == "currency.credited" and c.user_id == "ada"]
    assert [change.balance for change in credited] == [105]
    assert balance(engine)[:2] == (105, 0)
    assert sum(amount for _, amount, _ in entries(engine)) == 105


def test_a_capture_releases_other_holds_that_expired(held: laurels.Engine, clock: Clock):
    wallet = held.wallet("ada")
    wallet.hold("sparkle", 50, request_id="h2")
    clock.advance(minutes=10)

    assert told(wallet.capture("h2", 20, request_id="k2")) == [
        "sparkle +30 = 50 released",
        "sparkle +50 = 100 released",
        "sparkle -20 = 80",
    ]
    assert balance(held) == (80, 0, 100, 20)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_hold_must_expire_in_the_future(engine: laurels.Engine, seconds):
    engine.wallet("ada").credit("sparkle", 100, request_id="c1")

    with pytest.raises(laurels.InvalidInput):
        engine.wallet("ada").hold("sparkle", 1, request_id="h1", expires_at=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "expires_at",
    ["tomorrow", 1_900_000_000, NOW.date(), datetime.max.replace(tzinfo=timezone(timedelta(hours=-3)))],
)
def test_the_expiry_of_a_hold_is_a_time(engine: laurels.Engine, expires_at):
    engine.wallet("ada").credit("sparkle", 100, request_id="c1")

    assert code_of(engine.wallet("ada").hold, "sparkle", 1, request_id="h1", expires_at=expires_at) == "invalid_time"
    command = laurels.Hold(user="ada", id="h1", currency="sparkle", amount=1, expires_at=str(expires_at))
    assert code_of(engine.record, command) == "invalid_time"


def test_the_expiry_of_a_hold_needs_a_zone(engine: laurels.Engine):
    engine.wallet("ada").credit("sparkle", 100, request_id="c1")
    naive = (NOW + timedelta(hours=1)).replace(tzinfo=None)

    assert code_of(engine.wallet("ada").hold, "sparkle", 1, request_id="h1", expires_at=naive) == "naive_time"


@pytest.mark.parametrize("in_one_batch", [True, False], ids=["in-one-batch", "one-by-one"])
@pytest.mark.parametrize(
    ("ending", "again"),
    [
        (laurels.Capture(user="ada", id="e1", hold="h2"), laurels.Capture(user="ada", id="e2", hold="h2")),
        (laurels.Capture(user="ada", id="e1", hold="h2", amount=1), laurels.Release(user="ada", id="e2", hold="h2")),
        (laurels.Release(user="ada", id="e1", hold="h2"), laurels.Release(user="ada", id="e2", hold="h2")),
        (laurels.Release(user="ada", id="e1", hold="h2"), laurels.Capture(user="ada", id="e2", hold="h2", amount=1)),
    ],
    ids=["captured-captured", "captured-released", "released-released", "released-captured"],
)
def test_a_hold_ends_once(engine: laurels.Engine, ending, again, in_one_batch):
    engine.wallet("ada").credit("sparkle", 100, request_id="c1")
    engine.wallet("ada").hold("sparkle", 10, request_id="h2")

    if in_one_batch:
        assert code_of(engine.record, [ending, again]) == "hold_closed"
        assert balance(engine) == (90, 10, 100, 0)
    else:
        engine.record(ending)
        assert code_of(engine.record, again) == "hold_closed"


def test_a_capture_beyond_its_hold_is_refused_and_the_hold_stays(held: laurels.Engine):
    wallet = held.wallet("ada")

    assert code_of(wallet.capture, "h1", 31, request_id="k1") == "invalid_amount"
    assert balance(held) == (70, 30, 100, 0)
    assert told(wallet.capture("h1", 30, request_id="k1"))[-1] == "sparkle -30 = 70"


def test_a_hold_belongs_to_its_owner(held: laurels.Engine):
    held.wallet("bob").credit("sparkle", 100, request_id="c1")

    assert code_of(held.wallet("bob").capture, "h1", request_id="k1") == "unknown_hold"
    assert code_of(held.wallet("ada").capture, "h9", request_id="k1") == "unknown_hold"


# --- 10.3 The range ---------------------------------------------------------------------------------------------------


def test_10b_beyond_what_is_exact_is_refused_and_nothing_changes(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    assert told(wallet.credit("sparkle", 9_007_199_254_740_991, request_id="c1")) == [
        "sparkle +9007199254740991 = 9007199254740991"
    ]

    assert code_of(wallet.credit, "sparkle", 1, request_id="c2") == "amount_out_of_range"
    assert balance(engine) == (MOST, 0, MOST, 0)
    assert [amount for _, amount, _ in entries(engine)] == [MOST]


@pytest.mark.parametrize(
    "amount",
    [
        pytest.param(MOST + 1, id="one-too-many"),
        pytest.param(2**64, id="64-bits"),
        pytest.param(10**5_000, id="more-digits-than-python-writes"),
    ],
)
def test_an_amount_beyond_what_is_exact_is_refused_at_the_door(engine: laurels.Engine, amount):
    assert code_of(engine.wallet("ada").credit, "sparkle", amount, request_id="c1") == "amount_out_of_range"
    assert code_of(engine.award_xp, "ada", amount, request_id="c1") == "amount_out_of_range"
    assert code_of(engine.wallet("ada").adjust, "xp", -amount, request_id="c1") == "amount_out_of_range"


def test_one_amount_out_of_range_refuses_the_whole_batch(engine: laurels.Engine):
    credits_ = [laurels.Credit(user="ada", id=f"c{n}", currency="sparkle", amount=MOST // 2) for n in range(3)]

    assert code_of(engine.record, credits_) == "amount_out_of_range"
    assert code_of(engine.profile, "ada") == "unknown_user"
    assert [outcome.status for outcome in engine.record(credits_[:2])] == ["applied", "applied"]


def test_one_callers_amount_out_of_range_leaves_the_others_of_its_commit_alone(engine: laurels.Engine):
    requests = [laurels.Credit(user="ada", id="c0", currency="sparkle", amount=MOST)]
    requests += [laurels.Credit(user=f"user{n}", id="c1", currency="sparkle", amount=n) for n in range(1, 30)]
    requests.insert(9, laurels.Credit(user="ada", id="c2", currency="sparkle", amount=1))

    futures = [engine.submit(request) for request in requests]
    failed = [place for place, future in enumerate(futures) if future.exception() is not None]

    assert failed == [9]
    assert [balance(engine, f"user{n}")[0] for n in range(1, 30)] == list(range(1, 30))


def test_the_receiver_of_a_transfer_stays_in_range_too(engine: laurels.Engine):
    engine.wallet("ada").credit("sparkle", 10, request_id="c1")
    engine.wallet("bob").credit("sparkle", MOST - 5, request_id="c1")

    assert code_of(engine.wallet("ada").transfer, "sparkle", 6, to="bob", request_id="t1") == "amount_out_of_range"
    assert (
        told(engine.wallet("ada").transfer("sparkle", 5, to="bob", request_id="t1"))[-1] == f"bob: sparkle +5 = {MOST}"
    )


def test_what_is_held_counts_so_that_a_hold_can_always_end(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", MOST, request_id="c1")
    wallet.hold("sparkle", MOST, request_id="h1")

    assert code_of(wallet.adjust, "sparkle", 1, request_id="a1") == "amount_out_of_range"
    assert told(wallet.release("h1", request_id="r1")) == [f"sparkle +{MOST} = {MOST} released"]


def test_what_does_not_count_as_earned_is_not_held_against_what_was_earned(engine: laurels.Engine):
    """Ada earned as much as can be counted: a gift or a correction can still reach her, a credit cannot."""
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", MOST, request_id="c1")
    wallet.spend("sparkle", MOST - 1, request_id="s1")
    engine.wallet("bob").credit("sparkle", 10, request_id="c1")

    assert told(wallet.adjust("sparkle", 5, request_id="a1")) == ["sparkle +5 = 6"]
    assert told(engine.wallet("bob").transfer("sparkle", 3, to="ada", request_id="t1"))[-1] == "ada: sparkle +3 = 9"
    assert code_of(wallet.credit, "sparkle", 1, request_id="c2") == "amount_out_of_range"
    assert code_of(wallet.spend, "sparkle", 2, request_id="s2") == "amount_out_of_range"
    assert balance(engine) == (9, 0, MOST, MOST - 1)


def test_a_refused_request_is_not_recorded_and_its_id_stays_free(engine: laurels.Engine):
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 10, request_id="c1")
    assert code_of(wallet.spend, "sparkle", 11, request_id="r1") == "insufficient_funds"
    assert code_of(wallet.hold, "amber", 1, request_id="r1") == "insufficient_funds"

    with pytest.raises(laurels.Unknown):
        engine.user("ada").outcome("r1")
    assert told(wallet.hold("sparkle", 10, request_id="r1")) == ["sparkle -10 = 0 held"]


# --- Every stream of commands -----------------------------------------------------------------------------------------


def test_a_wallet_keeps_its_laws_over_a_long_mixed_stream(engine: laurels.Engine, clock: Clock):
    """Available is the sum of the entries, and each entry's balance that of the one before plus its amount."""
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 1_000, request_id="c")
    for number in range(40):
        clock.advance(minutes=1)
        wallet.hold("sparkle", 10 + number, request_id=f"h{number}", expires_at=clock.now + timedelta(minutes=7))
        if number % 3 == 0:
            wallet.capture(f"h{number}", 5, request_id=f"k{number}")
            wallet.refund(f"k{number}", 2, request_id=f"f{number}")
        elif number % 3 == 1:
            wallet.spend("sparkle", 3, request_id=f"s{number}")
        else:
            wallet.transfer("sparkle", 1, to="bob", request_id=f"t{number}")
    clock.advance(minutes=8)
    wallet.credit("sparkle", 1, request_id="last")

    lines = entries(engine)
    assert [sum(amount for _, amount, _ in lines[: n + 1]) for n in range(len(lines))] == [
        total for _, _, total in lines
    ]
    spent = 14 * 3 + 13 * 3
    assert balance(engine) == (1_001 - spent - 13, 0, 1_001, spent)
