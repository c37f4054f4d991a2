"""SEMANTICS 1: the order in which one request's consequences come, and what multiplies them."""

import json
import tomllib

import pytest

import laurels
from laurels.catalog_file import parse_catalog
from tests.conftest import BASE, Clock, OpenEngine
from tests.semantics.telling import at, skipped, told, xp_paid

BONUS = BASE.replace("bonus_xp = 0", "bonus_xp = 100")

FIRST_POST = """
[currencies.sparkle]
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
xp = 150
metrics = { posts = 1 }
[[achievements]]
code = "FIRST_POST"
when = { posts = 1 }
reward = { xp = 50, sparkle = 5 }
"""


def test_1a_a_cause_comes_before_what_it_pays(open_engine: OpenEngine):
    engine = open_engine(BONUS + FIRST_POST)

    outcome = engine.record(laurels.Event("post.created", user="ada", id="p1"))

    assert told(outcome) == [
        "xp +150 = 150 by post",
        "posts = 1",
        "level 2",
        "xp +100 = 250 by level:2",
        "FIRST_POST unlocked",
        "xp +50 = 300 by achievement:FIRST_POST",
        "sparkle +5 = 5 by achievement:FIRST_POST",
    ]
    assert (engine.profile("ada").xp, engine.profile("ada").level) == (300, 2)


@pytest.mark.parametrize(
    ("bonus", "award", "expected"),
    [
        pytest.param(
            100,
            500,
            ["xp +500 = 500", "level 2", "xp +100 = 600 by level:2", "level 3", "xp +100 = 700 by level:3"],
            id="1b-two-levels",
        ),
        pytest.param(
            100,
            850,
            [
                "xp +850 = 850",
                "level 2",
                "xp +100 = 950 by level:2",
                "level 3",
                "xp +100 = 1050 by level:3",
                "level 4",
                "xp +100 = 1150 by level:4",
            ],
            id="1b-the-bonus-reaches-the-next-level",
        ),
        pytest.param(100, 299, ["xp +299 = 299", "level 2", "xp +100 = 399 by level:2"], id="one-short-of-level-3"),
        pytest.param(
            100,
            300,
            ["xp +300 = 300", "level 2", "xp +100 = 400 by level:2", "level 3", "xp +100 = 500 by level:3"],
            id="exactly-level-3-by-the-bonus",
        ),
        pytest.param(
            150,
            1_300,
            [
                "xp +1300 = 1300",
                "level 2",
                "xp +150 = 1450 by level:2",
                "level 3",
                "xp +150 = 1600 by level:3",
                "level 4",
                "xp +150 = 1750 by level:4",
                "level 5",
                "xp +150 = 1900 by level:5",
            ],
            id="four-levels",
        ),
    ],
)
def test_1b_the_bonus_of_a_level_counts_toward_the_next(open_engine: OpenEngine, bonus, award, expected):
    engine = open_engine(BASE.replace("bonus_xp = 0", f"bonus_xp = {bonus}"))

    assert told(engine.award_xp("ada", award, request_id="r1")) == expected


REACTION = """
[[rules]]
id = "received"
on = "reaction.added"
to = "data.author"
xp = 2
[[rules]]
id = "given"
on = "reaction.added"
xp = 1
"""


def test_1c_the_actors_changes_come_first_whatever_the_order_of_the_rules(open_engine: OpenEngine):
    engine = open_engine(BASE + REACTION)

    outcome = engine.record(laurels.Event("reaction.added", user="zoe", id="r1", data={"author": "ada"}))

    assert told(outcome) == ["xp +1 = 1 by given", "ada: xp +2 = 2 by received"]


def test_other_users_follow_by_the_code_points_of_their_ids_and_each_has_a_cascade_of_its_own(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + "".join(
            f'[[rules]]\nid = "{name}"\non = "gift"\nto = "data.{name}"\nxp = {xp}\n'
            for name, xp in (("first", 100), ("second", 400), ("third", 7))
        )
        + '[[rules]]\nid = "giver"\non = "gift"\nxp = 3\n'
    )

    gift = {"first": "émile", "second": "ben", "third": "Zoe"}
    outcome = engine.record(laurels.Event("gift", user="mia", id="g1", data=gift))

    assert told(outcome) == [
        "xp +3 = 3 by giver",
        "Zoe: xp +7 = 7 by third",
        "ben: xp +400 = 400 by second",
        "ben: level 2",
        "ben: level 3",
        "émile: xp +100 = 100 by first",
        "émile: level 2",
    ]


# --- 1.1 Order of the catalog -----------------------------------------------------------------------------------------

UNSORTED = """
[currencies]
zinc = { name = "Zinc" }
amber = { name = "Amber" }
[metrics]
words = { name = "Words" }
posts = { name = "Posts" }
[[rules]]
id = "zz-first-in-the-catalog"
on = "post.created"
xp = 5
reward = { zinc = 3, amber = 1 }
metrics = { words = 40, posts = 1 }
[[rules]]
id = "aa-second"
on = "post.created"
xp = 6
[[streaks]]
code = "writing"
on = "post.created"
every = "day"
[[achievements]]
code = "Z"
when = { posts = 1 }
reward = { zinc = 2, amber = 7, xp = 1 }
[[achievements]]
code = "A"
when = { words = 40 }
"""

IN_ORDER = [
    "xp +5 = 5 by zz-first-in-the-catalog",
    "amber +1 = 1 by zz-first-in-the-catalog",
    "zinc +3 = 3 by zz-first-in-the-catalog",
    "posts = 1",
    "words = 40",
    "xp +6 = 11 by aa-second",
    "writing 1 extended",
    "Z unlocked",
    "xp +1 = 12 by achievement:Z",
    "amber +7 = 8 by achievement:Z",
    "zinc +2 = 5 by achievement:Z",
    "A unlocked",
]


def test_rules_act_in_catalog_order_each_with_xp_then_currencies_then_metrics_by_code(open_engine: OpenEngine):
    engine = open_engine(BASE + UNSORTED)

    assert told(engine.record(laurels.Event("post.created", user="ada", id="p1"))) == IN_ORDER


def test_json_with_sorted_keys_means_the_same_as_toml(database_url, clock: Clock):
    tree = tomllib.loads(BASE + UNSORTED)
    catalog = parse_catalog(json.dumps(tree, sort_keys=True), format="json")

    with laurels.open(database_url, catalog=catalog, clock=clock) as engine:
        assert told(engine.record(laurels.Event("post.created", user="ada", id="p1"))) == IN_ORDER


def test_json_with_sorted_keys_and_toml_are_the_same_revision():
    tree = tomllib.loads(BASE + UNSORTED)

    assert (
        parse_catalog(json.dumps(tree, sort_keys=True), format="json").source == parse_catalog(BASE + UNSORTED).source
    )


# --- 1.2 The cascade --------------------------------------------------------------------------------------------------

CASCADE = """
[currencies.sparkle]
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
metrics = { posts = 1 }
[[achievements]]
code = "COLLECTOR"
when = { achievements = 2 }
[[achievements]]
code = "QUESTER"
when = { quests = 1 }
[[achievements]]
code = "LEVEL_2"
when = { level = 2 }
[[quests]]
code = "two-posts"
goals = { posts = 2 }
type = "special"
reward = { xp = 120, sparkle = 4 }
"""


def test_the_cascade_takes_the_next_level_then_achievements_then_quests_until_nothing_applies(open_engine: OpenEngine):
    engine = open_engine(BASE + CASCADE)

    first, second = engine.record([laurels.Event("post.created", user="ada", id=f"p{n}") for n in (1, 2)])

    assert told(first) == ["posts = 1", "two-posts once 1/2"]
    assert told(second) == [
        "posts = 2",
        "two-posts once completed",
        "two-posts once claimed",
        "xp +120 = 120 by quest:two-posts",
        "sparkle +4 = 4 by quest:two-posts",
        "level 2",
        "QUESTER unlocked",
        "LEVEL_2 unlocked",
        "COLLECTOR unlocked",
    ]


def test_the_first_achievement_due_is_looked_for_anew_after_each_unlock(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + """
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
metrics = { posts = 1 }
[[achievements]]
code = "RICH"
when = { xp = 30 }
[[achievements]]
code = "POST"
when = { posts = 1 }
reward = { xp = 30 }
[[achievements]]
code = "LATER"
when = { posts = 1 }
"""
    )

    assert told(engine.record(laurels.Event("post.created", user="ada", id="p1"))) == [
        "posts = 1",
        "POST unlocked",
        "xp +30 = 30 by achievement:POST",
        "RICH unlocked",
        "LATER unlocked",
    ]


def test_progress_notes_come_last_of_their_user(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + """
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
xp = 100
metrics = { posts = 1 }
[[achievements]]
code = "TEN"
when = { posts = 10 }
[[achievements]]
code = "ONE"
when = { posts = 1 }
"""
    )

    assert told(engine.record(laurels.Event("post.created", user="ada", id="p1"))) == [
        "xp +100 = 100 by post",
        "posts = 1",
        "level 2",
        "ONE unlocked",
        "TEN 1/10",
    ]


def test_what_a_level_pays_is_its_bonus_then_its_own_reward_by_currency(open_engine: OpenEngine):
    engine = open_engine(
        BASE.replace("bonus_xp = 0", "bonus_xp = 20")
        + """
reward = { sparkle = 3 }
[levels.at.2]
reward = { xp = 5, amber = 8, sparkle = 4 }
[currencies.sparkle]
[currencies.amber]
"""
    )

    assert told(engine.award_xp("ada", 450, request_id="r1")) == [
        "xp +450 = 450",
        "level 2",
        "xp +20 = 470 by level:2",
        "xp +5 = 475 by level:2",
        "amber +8 = 8 by level:2",
        "sparkle +7 = 7 by level:2",
        "level 3",
        "xp +20 = 495 by level:3",
        "sparkle +3 = 10 by level:3",
    ]


# --- 1.4 The order of checks ------------------------------------------------------------------------------------------

CHECKED = """
[[rules]]
id = "checked"
on = "reaction.added"
when = "data.fit"
to = "data.author"
once_per = "data.post"
limit = { times = 2, per = "day", cooldown = "1h" }
xp = 5
"""


def _react(number: int, time: str, **data: object) -> laurels.Event:
    return laurels.Event("reaction.added", user="bob", id=f"r{number}", time=at(time), data=data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({"fit": False}, "condition_false", id="all-wrong"),
        pytest.param({"fit": True, "post": "p1"}, "not_available", id="nobody-to-pay"),
        pytest.param({"fit": True, "author": "bob"}, "not_available", id="no-value-to-count-once-before-self"),
        pytest.param({"fit": True, "author": "bob", "post": "p1"}, "self_action", id="self-before-already"),
        pytest.param({"fit": True, "author": "ada", "post": "p1"}, "already_counted", id="already-before-cooldown"),
        pytest.param({"fit": True, "author": "ada", "post": "p9"}, "cooldown", id="cooldown-before-limit"),
    ],
)
def test_the_first_check_that_fails_is_the_one_skip(open_engine: OpenEngine, data, expected):
    engine = open_engine(BASE + CHECKED)
    engine.record(_react(1, "2026-03-01T08:00Z", fit=True, author="ada", post="p1"))
    engine.record(_react(2, "2026-03-01T10:00Z", fit=True, author="ada", post="p2"))

    outcome = engine.record(_react(3, "2026-03-01T10:30Z", **data))

    assert [reason for _, reason, _ in skipped(outcome)] == [expected]
    assert told(outcome) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({"fit": False, "author": "ada"}, "bob", id="a-condition-is-the-actors"),
        pytest.param({"fit": True}, "bob", id="nobody-to-pay"),
        pytest.param({"fit": True, "author": "ada"}, "ada", id="no-value-to-count-once"),
        pytest.param({"fit": True, "author": "bob", "post": "p1"}, "bob", id="self"),
        pytest.param({"fit": True, "author": "ada", "post": "p1"}, "ada", id="already-counted"),
        pytest.param({"fit": True, "author": "ada", "post": "p9"}, "ada", id="limited"),
    ],
)
def test_a_skip_names_who_would_have_been_paid(open_engine: OpenEngine, data, expected):
    engine = open_engine(BASE + CHECKED)
    engine.record(_react(1, "2026-03-01T10:00Z", fit=True, author="ada", post="p1"))

    outcome = engine.record(_react(2, "2026-03-01T10:30Z", **data))

    assert [skip.user_id for skip in outcome.skipped] == [expected]


def test_the_limit_is_the_last_check(open_engine: OpenEngine):
    engine = open_engine(BASE + CHECKED)
    engine.record(_react(1, "2026-03-01T08:00Z", fit=True, author="ada", post="p1"))
    engine.record(_react(2, "2026-03-01T10:00Z", fit=True, author="ada", post="p2"))

    outcome = engine.record(_react(3, "2026-03-01T11:00Z", fit=True, author="ada", post="p3"))

    assert skipped(outcome) == [("checked", "limit_reached", "2026-03-02T00:00:00Z")]


def test_a_skipped_rule_uses_nothing_up(open_engine: OpenEngine):
    engine = open_engine(BASE + CHECKED)
    engine.record(_react(1, "2026-03-01T08:00Z", fit=True, author="ada", post="p1"))

    refused = engine.record(_react(2, "2026-03-01T08:59:59Z", fit=True, author="ada", post="p2"))
    unfit = engine.record(_react(3, "2026-03-01T09:30Z", fit=False, author="ada", post="p2"))
    paid = engine.record(_react(4, "2026-03-01T09:30Z", fit=True, author="ada", post="p2"))

    # Neither the place in the day nor p2 nor the cooldown was used up by the refusals.
    assert skipped(refused) == [("checked", "cooldown", "2026-03-01T09:00:00Z")]
    assert skipped(unfit) == [("checked", "condition_false", None)]
    assert told(paid) == ["ada: xp +5 = 10 by checked"]


def test_one_skipped_rule_leaves_the_others_alone_and_disabled_ones_are_not_mentioned(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + """
[[rules]]
id = "off"
on = "post.created"
xp = 1000
enabled = false
[[rules]]
id = "long"
on = "post.created"
when = "data.words > 100"
xp = 7
[[rules]]
id = "any"
on = "post.created"
xp = 3
"""
    )

    outcome = engine.record(laurels.Event("post.created", user="ada", id="p1", data={"words": 20}))

    assert told(outcome) == ["xp +3 = 3 by any"]
    assert skipped(outcome) == [("long", "condition_false", None)]


@pytest.mark.parametrize(
    ("condition", "data"),
    [
        pytest.param("data.words / 0 == 1", {"words": 3}, id="an-error"),
        pytest.param("data.absent > 3", {"words": 3}, id="a-field-that-is-not-there"),
        pytest.param("data.words", {"words": 3}, id="a-number"),
        pytest.param("data.words", {"words": "yes"}, id="a-text"),
        pytest.param("data.words > 3", None, id="no-data-at-all"),
    ],
)
def test_a_condition_with_an_error_is_false_and_says_why(open_engine: OpenEngine, condition, data):
    engine = open_engine(BASE + f'[[rules]]\nid = "odd"\non = "post.created"\nwhen = "{condition}"\nxp = 5\n')

    outcome = engine.record(laurels.Event("post.created", user="ada", id="p1", data=data))

    (skip,) = outcome.skipped
    assert (skip.user_id, skip.rule, skip.reason, skip.retry_at) == ("ada", "odd", "condition_false", None)
    assert skip.detail not in (None, "", "false")
    assert outcome.changes == ()


# --- 1.5 Boosts -------------------------------------------------------------------------------------------------------


def boosted(xp: int, *boosts: str) -> str:
    """Return a catalog with one rule that pays XP, under boosts given as lines of TOML."""
    rule = f'[[rules]]\nid = "post"\non = "post.created"\nxp = {xp}\n'
    tables = [f'[[boosts]]\nid = "boost{number}"\n{lines}\n' for number, lines in enumerate(boosts)]
    return BASE + rule + "".join(tables)


@pytest.mark.parametrize(
    ("xp", "boosts", "expected"),
    [
        pytest.param(10, ["xp = 2", "xp = 5"], 100, id="1d-compound-multiply"),
        pytest.param(10, ['xp = 2\nstacking = "additive"', 'xp = 5\nstacking = "additive"'], 70, id="1d-additive-add"),
        pytest.param(10, ['xp = 2\nstacking = "highest"', 'xp = 5\nstacking = "highest"'], 50, id="1d-highest-wins"),
        pytest.param(
            10,
            ["xp = 2", 'xp = 3\nstacking = "highest"', 'xp = 5\nstacking = "highest"'],
            100,
            id="1d-the-kinds-multiply",
        ),
        pytest.param(5, ['xp = 1.5\nrounding = "floor"'], 7, id="1d-floor"),
        pytest.param(5, ['xp = 1.5\nrounding = "half_up"'], 8, id="1d-half-up"),
        pytest.param(5, ['xp = 1.5\nrounding = "ceil"'], 8, id="1d-ceil"),
        pytest.param(5, ['xp = 1.5\nrounding = "floor"', "xp = 1.5"], 11, id="1d-floor-once-at-the-end"),
        pytest.param(5, ['xp = 1.5\nrounding = "half_up"', "xp = 1.5"], 11, id="1d-half-up-once-at-the-end"),
        pytest.param(5, ['xp = 1.5\nrounding = "ceil"', "xp = 1.5"], 12, id="1d-ceil-once-at-the-end"),
        pytest.param(10, ['xp = 1.1\nrounding = "ceil"'], 11, id="1d-exact-decimals"),
        pytest.param(100, ['xp = 1.1\nrounding = "ceil"', "xp = 1.1"], 121, id="exact-decimals-multiplied"),
        pytest.param(7, ["xp = 1.5"], 10, id="floor-is-the-default"),
        pytest.param(7, ["xp = 1.5", 'xp = 1\nrounding = "ceil"'], 10, id="the-first-boost-rounds"),
        pytest.param(7, ['xp = 1\nrounding = "ceil"', "xp = 1.5"], 11, id="the-first-boost-rounds-here-up"),
        pytest.param(7, ['on = "comment.*"\nxp = 2\nrounding = "ceil"', "xp = 1.5"], 10, id="one-that-applies-rounds"),
        pytest.param(
            7,
            [
                "xp = 2",
                'xp = 1.5\nstacking = "additive"',
                'xp = 0.25\nstacking = "additive"',
                'xp = 3\nstacking = "highest"',
            ],
            73,
            id="product-times-sum-times-largest",
        ),
        pytest.param(3, ["xp = 0.5"], 1, id="less-than-one"),
        pytest.param(9, ["xp = 0"], None, id="nothing-left"),
        pytest.param(-10, ["xp = 2"], -10, id="what-is-taken-is-not-boosted"),
        pytest.param(2**40, ["xp = 1.000000001"], 2**40 + 1099, id="no-floats-anywhere"),
        pytest.param(4, ["xp = 2\nenabled = false"], 4, id="a-disabled-boost"),
    ],
)
def test_1d_boosts_multiply_the_xp_of_rules(open_engine: OpenEngine, xp, boosts, expected):
    engine = open_engine(boosted(xp, *boosts))

    outcome = engine.record(laurels.Event("post.created", user="ada", id="p1"))

    assert told(outcome, "xp.awarded") == ([] if expected is None else [f"xp {expected:+} = {expected} by post"])


WEEKEND = boosted(10, "from = 2026-03-07T00:00:00Z\nuntil = 2026-03-09T00:00:00Z\nxp = 2.0")


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param("2026-03-06T23:59:59.999999Z", 10, id="just-before"),
        pytest.param("2026-03-07T00:00:00Z", 20, id="1e-its-first-instant"),
        pytest.param("2026-03-08T23:59:59Z", 20, id="1e-its-last-second-recorded-later"),
        pytest.param("2026-03-09T00:00:00Z", 10, id="1e-its-end"),
        pytest.param("2026-03-09T01:30:00+02:00", 20, id="in-it-by-another-offset"),
    ],
)
def test_1e_the_events_own_time_picks_the_boost(open_engine: OpenEngine, clock: Clock, time, expected):
    clock.now = at("2026-03-20T12:00Z")
    engine = open_engine(WEEKEND)

    assert xp_paid(engine.record(laurels.Event("post.created", user="ada", id="p1", time=at(time)))) == expected


@pytest.mark.parametrize(
    ("pattern", "event_type", "expected"),
    [
        pytest.param("post.*", "post.created", 20, id="begins-with-post-dot"),
        pytest.param("post.*", "post.draft.created", 20, id="any-depth"),
        pytest.param("post.*", "post", 10, id="post-alone-is-not-post-dot"),
        pytest.param("post.*", "poster.made", 10, id="another-word"),
        pytest.param("post.created", "post.created", 20, id="the-type-itself"),
        pytest.param("post", "post.created", 10, id="no-prefix-without-a-star"),
    ],
)
def test_boosts_are_picked_by_event_type(open_engine: OpenEngine, pattern, event_type, expected):
    engine = open_engine(
        BASE
        + '[[rules]]\nid = "any"\non = ["post", "post.*", "poster.made"]\nxp = 10\n'
        + f'[[boosts]]\nid = "double"\non = ["{pattern}"]\nxp = 2.0\n'
    )

    assert xp_paid(engine.record(laurels.Event(event_type, user="ada", id="p1"))) == expected


def test_currencies_are_boosted_by_their_own_factor_only(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + """
[currencies.sparkle]
[currencies.amber]
[[rules]]
id = "post"
on = "post.created"
xp = 10
reward = { sparkle = 3, amber = 3 }
[[boosts]]
id = "xp-only"
xp = 2
rounding = "ceil"
[[boosts]]
id = "sparkle-only"
reward = { sparkle = 1.5 }
"""
    )

    # 4.5 is rounded down: the boost that rounds up does not apply to sparkle.
    assert told(engine.record(laurels.Event("post.created", user="ada", id="p1"))) == [
        "xp +20 = 20 by post",
        "amber +3 = 3 by post",
        "sparkle +4 = 4 by post",
    ]


def test_boosts_leave_metrics_bonuses_rewards_and_commands_alone(open_engine: OpenEngine):
    engine = open_engine(
        BASE.replace("bonus_xp = 0", "bonus_xp = 11")
        + """
reward = { sparkle = 3 }
[currencies.sparkle]
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
xp = 50
metrics = { posts = 1 }
[[boosts]]
id = "triple"
xp = 3
reward = { sparkle = 3 }
[[achievements]]
code = "FIRST"
when = { posts = 1 }
reward = { xp = 7, sparkle = 2 }
[[quests]]
code = "one"
type = "daily"
goals = { posts = 1 }
reward = { xp = 13 }
[[streaks]]
code = "writing"
on = "post.created"
every = "day"
bonus = { xp_per_step = 5, max_xp = 100 }
"""
    )
    engine.record(laurels.Event("user.seen", user="ada", id="e0"))

    first = engine.record(laurels.Event("post.created", user="ada", id="p1", time=at("2026-03-01T09:00Z")))
    second = engine.record(laurels.Event("post.created", user="ada", id="p2", time=at("2026-03-02T09:00Z")))
    awarded = engine.award_xp("ada", 10, request_id="a1")
    credited = engine.wallet("ada").credit("sparkle", 10, request_id="c1")

    assert told(first) == [
        "xp +150 = 150 by post",
        "posts = 1",
        "writing 1 extended",
        "level 2",
        "xp +11 = 161 by level:2",
        "sparkle +3 = 3 by level:2",
        "FIRST unlocked",
        "xp +7 = 168 by achievement:FIRST",
        "sparkle +2 = 5 by achievement:FIRST",
        "one 2026-03-01 completed",
        "one 2026-03-01 claimed",
        "xp +13 = 181 by quest:one",
    ]
    assert told(second) == [
        "xp +150 = 331 by post",
        "posts = 2",
        "writing 2 extended",
        "xp +10 = 341 by streak:writing",
        "one 2026-03-02 completed",
        "one 2026-03-02 claimed",
        "xp +13 = 354 by quest:one",
    ]
    assert told(awarded) == ["xp +10 = 364"]
    assert told(credited) == ["sparkle +10 = 15"]


def test_boosts_do_not_touch_limits(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + """
[[rules]]
id = "post"
on = "post.created"
xp = 10
limit = { times = 2, per = "day" }
[[boosts]]
id = "triple"
xp = 3
"""
    )

    paid = [xp_paid(engine.record(laurels.Event("post.created", user="ada", id=f"p{n}"))) for n in range(3)]

    assert paid == [30, 30, 0]


# --- 1.6 It ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "is_refused"),
    [
        # Level 3 is 300 XP after level 2; the widest gap counts for every level after it.
        pytest.param("bonus_xp = 299", False, id="one-short-of-the-next-level"),
        pytest.param("bonus_xp = 300", True, id="as-wide-as-the-next-level"),
        pytest.param("bonus_xp = 200\nreward = { xp = 99 }", False, id="bonus-and-reward-one-short"),
        pytest.param("bonus_xp = 200\nreward = { xp = 100 }", True, id="bonus-and-reward-together"),
        pytest.param("bonus_xp = 0\nat.3.reward = { xp = 499 }", False, id="one-levels-reward-short-of-its-next"),
        pytest.param("bonus_xp = 0\nat.3.reward = { xp = 500 }", True, id="one-levels-reward"),
        pytest.param("bonus_xp = 0\nat.100.reward = { xp = 999999 }", False, id="nothing-follows-the-highest"),
    ],
)
def test_a_level_that_pays_for_the_next_is_a_mistake_in_the_catalog(levels, is_refused):
    text = BASE.replace("bonus_xp = 0", levels)

    if is_refused:
        with pytest.raises(laurels.CatalogInvalid):
            parse_catalog(text)
    else:
        parse_catalog(text)


@pytest.mark.parametrize("metric", ["xp", "level", "quests", "achievements", "earned.sparkle"])
def test_a_repeatable_achievement_with_a_reward_may_not_read_what_rewards_change(metric):
    repeatable = (
        "[currencies.sparkle]\n"
        f'[[achievements]]\ncode = "AGAIN"\nrepeatable = true\nwhen = {{ "{metric}" = 10 }}\nreward = {{ xp = 1 }}\n'
    )

    with pytest.raises(laurels.CatalogInvalid, match=metric):
        parse_catalog(BASE + repeatable)
    parse_catalog(BASE + repeatable.replace("reward = { xp = 1 }", ""))


def test_a_quest_completes_once_in_a_request_however_much_it_counts(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + """
[metrics.words]
[[rules]]
id = "post"
on = "post.created"
metrics = { words = "data.words" }
[[quests]]
code = "hundred"
type = "daily"
goals = { words = 100 }
max_completions = 5
"""
    )

    outcomes = engine.record(
        [laurels.Event("post.created", user="ada", id=f"p{n}", data={"words": 450}) for n in range(2)]
    )

    assert [told(outcome, "quest.completed") for outcome in outcomes] == [
        ["hundred 2026-11-22 completed"],
        ["hundred 2026-11-22#2 completed"],
    ]


def test_achievements_that_pay_into_each_other_end(open_engine: OpenEngine):
    """Each code once: XP -> achievement -> XP stops when every achievement is there."""
    tables = "".join(
        f'[[achievements]]\ncode = "XP_{xp}"\nwhen = {{ xp = {xp} }}\nreward = {{ xp = 10 }}\n'
        for xp in (10, 20, 30, 40)
    )
    engine = open_engine(BASE + tables)

    engine.award_xp("ada", 10, request_id="r1")

    assert engine.profile("ada").xp == 50


def test_an_event_type_that_the_catalog_does_not_declare_says_so_with_the_nearest_name(open_engine):
    declared = '[events."post.created"]\n[events."comment.created"]\n'
    engine = open_engine(BASE + declared + '[[rules]]\nid = "post"\non = "post.created"\nxp = 10\n')
    outcome = engine.record(laurels.Event("post.craeted", user="ada", id="1"))
    assert outcome.changes == ()
    [skip] = outcome.skipped
    assert (skip.rule, skip.reason, skip.retry_at) == ("post.craeted", "not_available", None)
    assert "'post.created'" in skip.detail
    assert engine.record(laurels.Event("comment.created", user="ada", id="2")).skipped == ()
