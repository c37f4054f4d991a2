"""Users (SEMANTICS 15, without erasure and quarantine): the lettered example, and the rules with other cases."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count

import pytest

import laurels
from laurels import LaurelsError
from tests.conftest import BASE

IDS = count()

WORLD = (
    BASE.replace('timezone = "UTC"', 'timezone = "Asia/Tokyo"')
    + """
[currencies.sparkle]
[metrics]
posts = {}
[[rules]]
id = "post"
on = "post"
xp = 10
metrics = { posts = 1 }
[[rules]]
id = "liked"
on = "like"
to = "data.author"
xp = 2
reward = { sparkle = 1 }
[[achievements]]
code = "FIRST"
when = { posts = 1 }
[[quests]]
code = "daily"
type = "daily"
goals = { posts = 2 }
claim = "manual"
[[streaks]]
code = "posting"
on = "post"
[[leaderboards]]
code = "xp"
metric = "xp"
periods = ["daily", "alltime"]
"""
)

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(kind, user, **data):
    return laurels.Event(kind, user=user, id=f"{kind}-{next(IDS)}", time=DAY, data=data)


def code_of(call):
    with pytest.raises(LaurelsError) as refused:
        call()
    return refused.value.code


def exists(engine, user):
    return user in engine.users()


def with_money(engine, user="ada", amount=50):
    engine.wallet(user).credit("sparkle", amount, request_id=f"money-{next(IDS)}")


# --- 15.1 How users come to be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda engine: engine.record(event("post", "new")), id="an-event"),
        pytest.param(lambda engine: engine.record(event("unheard.of", "new")), id="an-event-without-rules"),
        pytest.param(lambda engine: engine.award_xp("new", 5, request_id="1"), id="an-award"),
        pytest.param(lambda engine: engine.wallet("new").credit("sparkle", 5, request_id="1"), id="a-credit"),
        pytest.param(
            lambda engine: engine.wallet("ada").transfer("sparkle", 5, to="new", request_id="1"), id="a-transfer"
        ),
        pytest.param(lambda engine: engine.user("new").set(display_name="New"), id="setting"),
        pytest.param(lambda engine: engine.record(event("like", "ada", author="new")), id="being-a-rules-to"),
    ],
)
def test_the_first_that_concerns_a_user_creates_them_with_the_catalogs_zone(open_engine, make):
    engine = open_engine(WORLD)
    with_money(engine)
    assert not exists(engine, "new")
    make(engine)
    assert exists(engine, "new")
    profile = engine.profile("new")
    assert (profile.timezone, profile.day_starts_at, profile.groups, profile.opted_out) == ("Asia/Tokyo", 0, {}, False)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda engine: engine.profile("new"), id="profile"),
        pytest.param(lambda engine: engine.user("new").achievements(), id="achievements"),
        pytest.param(lambda engine: engine.user("new").quests(), id="quests"),
        pytest.param(lambda engine: engine.user("new").ledger(), id="ledger"),
        pytest.param(lambda engine: engine.user("new").notifications(), id="notifications"),
        pytest.param(lambda engine: engine.user("new").mark_read(), id="mark-read"),
        pytest.param(lambda engine: engine.user("new").streak_days("posting"), id="streak-days"),
        pytest.param(lambda engine: engine.user("new").outcome("1"), id="outcome"),
        pytest.param(lambda engine: engine.user("new").request("1"), id="request"),
        pytest.param(lambda engine: engine.wallet("new").spend("sparkle", 1, request_id="1"), id="spend"),
        pytest.param(lambda engine: engine.wallet("new").hold("sparkle", 1, request_id="1"), id="hold"),
        pytest.param(
            lambda engine: engine.wallet("new").transfer("sparkle", 1, to="ada", request_id="1"), id="transfer"
        ),
        pytest.param(lambda engine: engine.wallet("new").capture("h", request_id="1"), id="capture"),
        pytest.param(lambda engine: engine.wallet("new").release("h", request_id="1"), id="release"),
        pytest.param(lambda engine: engine.wallet("new").refund("r", request_id="1"), id="refund"),
        pytest.param(lambda engine: engine.wallet("new").adjust("xp", 1, request_id="1"), id="adjust"),
        pytest.param(lambda engine: engine.user("new").quest("daily").claim(request_id="1"), id="claim"),
        pytest.param(lambda engine: engine.user("new").quest("daily").accept(request_id="1"), id="accept"),
    ],
)
def test_reading_spending_or_claiming_for_an_unknown_user_is_refused_and_creates_nobody(open_engine, ask):
    engine = open_engine(WORLD)
    with_money(engine)
    assert code_of(lambda: ask(engine)) == "unknown_user"
    assert not exists(engine, "new")


def test_an_unknown_user_has_no_rank_and_shifts_nobodys(open_engine):
    engine = open_engine(WORLD)
    engine.record([event("post", "ada"), event("post", "bob")])
    board = engine.leaderboard("xp")
    assert (board.rank("nobody"), board.around("nobody", 3)) == (None, [])
    assert ([board.rank(user) for user in ("ada", "bob")], board.total) == ([1, 1], 2)


def test_a_transfer_that_is_refused_creates_nobody(open_engine):
    engine = open_engine(WORLD)
    with_money(engine, amount=3)
    assert (
        code_of(lambda: engine.wallet("ada").transfer("sparkle", 4, to="new", request_id="1")) == "insufficient_funds"
    )
    assert not exists(engine, "new")


# --- 15.1 Ids ---------------------------------------------------------------------------------------------------------

REFUSED = [
    pytest.param(" ada", id="15a-space-before"),
    pytest.param("", id="15a-empty"),
    pytest.param("a" * 256, id="15a-256-characters"),
    pytest.param("ada ", id="space-behind"),
    pytest.param("\u00a0ada", id="no-break-space-before"),
    pytest.param("ada\u3000", id="ideographic-space-behind"),
    pytest.param(" ", id="only-a-space"),
    pytest.param("ada\n", id="line-end"),
    pytest.param("a\tda", id="tab-inside"),
    pytest.param("a\x00da", id="null"),
    pytest.param("a\x7fda", id="delete"),
    pytest.param("a\x85da", id="control-of-latin-1"),
    pytest.param("\ud800", id="lone-surrogate"),
    pytest.param("a" * 10_000_000, id="ten-megabytes"),
]
ACCEPTED = [
    pytest.param("a", id="one-character"),
    pytest.param("a" * 255, id="255-characters"),
    pytest.param("\U0001f600" * 255, id="255-characters-of-four-bytes"),
    pytest.param("ada lovelace", id="space-inside"),
    pytest.param("a/b%2Fc:d#e?f'g\"h\\i", id="punctuation"),
    pytest.param("Ада", id="cyrillic"),
    pytest.param("e\u0301", id="combining"),
    pytest.param("\U0001f469\u200d\U0001f680", id="joined-emoji"),
    pytest.param("0", id="zero"),
    pytest.param("null", id="null"),
]


@pytest.mark.parametrize("user", REFUSED)
def test_what_is_no_user_id_is_refused_everywhere(open_engine, user):
    engine = open_engine(WORLD)
    with_money(engine)
    calls = [
        lambda: engine.record(event("post", user)),
        lambda: engine.user(user),
        lambda: engine.profile(user),
        lambda: engine.award_xp(user, 5, request_id="1"),
        lambda: engine.wallet(user).credit("sparkle", 5, request_id="2"),
        lambda: engine.wallet("ada").transfer("sparkle", 5, to=user, request_id="3"),
    ]
    assert {code_of(call) for call in calls} == {"invalid_id"}
    assert list(engine.users()) == ["ada"]


@pytest.mark.parametrize("user", REFUSED)
def test_an_error_about_an_id_stays_short(open_engine, user):
    with pytest.raises(LaurelsError) as refused:
        open_engine(WORLD).user(user)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("user", ACCEPTED)
def test_every_other_text_is_a_user_id_and_comes_back_as_it_was(open_engine, user):
    engine = open_engine(WORLD)
    outcome = engine.record(event("post", user))
    assert {change.user_id for change in outcome.changes} == {outcome.user_id} == {user}
    assert list(engine.users()) == [line.user_id for line in engine.leaderboard("xp").top(3)] == [user]
    assert engine.profile(user).xp == 10


def test_15a_ids_that_differ_in_case_or_composition_are_different_users(open_engine):
    engine = open_engine(WORLD)
    ids = ["Ada", "ADA", "ada", "é", "e\u0301", "ﬁ", "fi", "1", "01"]
    engine.record([event("post", user) for user in ids])
    assert sorted(engine.users()) == sorted(ids)
    assert {engine.profile(user).xp for user in ids} == {10}


@pytest.mark.parametrize(
    ("author", "user"),
    [
        pytest.param(7, "7", id="a-whole-number-is-its-text"),
        pytest.param(-12, "-12", id="a-negative-one"),
        pytest.param(2**60, str(2**60), id="a-large-one"),
        pytest.param("7", "7", id="text"),
        pytest.param("Ada", "Ada", id="case-counts"),
    ],
)
def test_a_rule_pays_the_user_that_to_names(open_engine, author, user):
    engine = open_engine(WORLD)
    engine.record([event("like", "bob", author=author), event("like", "cleo", author=author)])
    assert engine.profile(user).xp == 4


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="missing"),
        *(
            pytest.param({"author": author}, id=name)
            for name, author in {
                "null": None, "true": True, "fraction": 1.5, "list": ["ada"], "object": {"id": "ada"}, "empty": "",
                "spaces": " ada", "too-long": "a" * 256, "control": "a\nb",
            }.items()
        ),
    ],
)  # fmt: skip
def test_a_rule_whose_to_names_nobody_pays_nobody_and_says_so(open_engine, data):
    engine = open_engine(WORLD)
    outcome = engine.record(event("like", "bob", **data))
    assert [(skip.rule, skip.reason, skip.retry_at) for skip in outcome.skipped] == [("liked", "not_available", None)]
    assert outcome.changes == ()
    assert list(engine.users()) == ["bob"]


def test_the_number_7_and_the_text_7_are_one_user(open_engine):
    engine = open_engine(WORLD)
    engine.record([event("post", "7"), event("like", "bob", author=7)])
    assert engine.profile("7").xp == 12
    assert [skip.reason for skip in engine.record(event("like", "7", author=7)).skipped] == ["self_action"]


# --- 15.4 Opting out --------------------------------------------------------------------------------------------------


def test_15a_who_opted_out_earns_as_usual_in_private(open_engine):
    engine = open_engine(WORLD)
    engine.record([event("post", user) for user in ("ada", "bob", "cleo")])
    engine.user("ada").set(opted_out=True)
    outcome = engine.record(event("post", "ada"))
    assert [change.amount for change in outcome.changes if change.type == "xp.awarded"] == [10]
    profile = engine.profile("ada")
    assert (profile.opted_out, profile.xp, profile.metrics["posts"]) == (True, 20, 2)
    for period, key in [("daily", "2026-03-01"), ("alltime", "all")]:
        board = engine.leaderboard("xp", period=period, at=key)
        assert ([line.user_id for line in board.top(9)], board.total) == (["bob", "cleo"], 2)
        assert (board.rank("ada"), board.rank("bob")) == (None, 1)
    engine.user("ada").set(opted_out=False)
    board = engine.leaderboard("xp")
    assert [(line.rank, line.user_id, line.score) for line in board.top(9)] == [
        (1, "ada", 20), (2, "bob", 10), (2, "cleo", 10),
    ]  # fmt: skip


def test_who_opted_out_has_levels_achievements_quests_streaks_and_notifications(open_engine, clock):
    engine = open_engine(WORLD)
    engine.user("ada").set(opted_out=True)
    clock.now = DAY
    outcomes = engine.record([event("post", "ada") for _ in range(10)])
    happened = {change.type for outcome in outcomes for change in outcome.changes}
    assert {"level.reached", "achievement.unlocked", "quest.completed", "streak.extended"} <= happened
    engine.user("ada").quest("daily").claim(request_id="claim")
    assert [n.type for n in engine.user("ada").notifications()] == [
        "level_up",
        "quest_complete",
        "achievement_unlocked",
    ]
    assert engine.profile("ada").achievements.unlocked == 1


def test_who_opts_out_before_the_first_event_is_never_listed(open_engine):
    engine = open_engine(WORLD)
    engine.user("ada").set(opted_out=True)
    engine.record([event("post", "ada"), event("like", "bob", author="ada")])
    board = engine.leaderboard("xp")
    assert (board.top(9), board.total, board.rank("ada")) == ([], 0, None)
    assert engine.profile("ada").xp == 12


def test_setting_something_else_leaves_the_choice_alone(open_engine):
    engine = open_engine(WORLD)
    engine.user("ada").set(opted_out=True, groups={"team": "red"}, display_name="Ada", day_starts_at=4)
    engine.user("ada").set(timezone="Europe/Berlin")
    profile = engine.profile("ada")
    assert (profile.opted_out, profile.groups, profile.display_name, profile.day_starts_at, profile.timezone) == (
        True, {"team": "red"}, "Ada", 4, "Europe/Berlin",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        pytest.param({"timezone": "Europe/Berln"}, "unknown_timezone", id="zone"),
        pytest.param({"timezone": "europe/berlin"}, "unknown_timezone", id="zone-in-lower-case"),
        pytest.param({"timezone": "../etc/passwd"}, "unknown_timezone", id="zone-as-a-path"),
        pytest.param({"day_starts_at": 24}, "invalid_hour", id="hour-24"),
        pytest.param({"day_starts_at": -1}, "invalid_hour", id="hour-below-0"),
        pytest.param({"day_starts_at": 4.0}, "invalid_hour", id="hour-as-a-fraction"),
        pytest.param({"day_starts_at": True}, "invalid_hour", id="hour-as-a-boolean"),
        pytest.param({"groups": ["red"]}, "invalid_groups", id="groups-as-a-list"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_and_sets_nothing(open_engine, settings, code):
    engine = open_engine(WORLD)
    assert code_of(lambda: engine.user("new").set(display_name="New", **settings)) == code
    assert not exists(engine, "new")
