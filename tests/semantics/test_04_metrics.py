"""SEMANTICS 4: what counts into a metric, and what it is inside a window."""

import pytest

import laurels
from laurels.catalog_file import parse_catalog
from tests.conftest import BASE, OpenEngine
from tests.semantics.telling import at, skipped, told, xp_paid

MOST = 2**53 - 1


def counting(*effects: str, metrics: str = "followers", more: str = "") -> str:
    """Return a catalog with a rule for each effect, on `e0`, `e1` and so on."""
    declared = "".join(f"[metrics.{metric}]\n" for metric in metrics.split())
    rules = "".join(
        f'[[rules]]\nid = "rule{n}"\non = "e{n}"\nxp = 1\nmetrics = {{ {effect} }}\n'
        for n, effect in enumerate(effects)
    )
    return BASE + declared + rules + more


def value(engine: laurels.Engine, metric: str, user: str = "ada") -> int:
    return engine.profile(user).metrics[metric]


# --- 4.1, 4.2 Sums ----------------------------------------------------------------------------------------------------


def test_4a_a_sum_falls_and_rises_and_unlocks_nothing_twice(open_engine: OpenEngine):
    first_follower = '[[achievements]]\ncode = "FIRST_FOLLOWER"\nwhen = { followers = 1 }\nreward = { xp = 25 }\n'
    engine = open_engine(counting("followers = 1", "followers = -1", more=first_follower))

    values, unlocked = [], []
    for number, event_type in enumerate(["e0", "e1", "e1", "e0", "e0"]):
        outcome = engine.record(laurels.Event(event_type, user="ada", id=str(number)))
        values.append(value(engine, "followers"))
        unlocked += told(outcome, "achievement.unlocked")

    assert values == [1, 0, -1, 0, 1]
    assert unlocked == ["FIRST_FOLLOWER unlocked"]
    assert engine.profile("ada").achievements.unlocked == 1


def test_4b_only_whole_numbers_are_added_and_the_rest_of_the_rule_applies(open_engine: OpenEngine):
    engine = open_engine(counting('words = "data.words"', metrics="words"))

    seen = []
    for number, data in enumerate(
        [{"words": 120}, {}, {"words": "50"}, {"words": 3.0}, {"words": 2.5}, {"words": True}]
    ):
        outcome = engine.record(laurels.Event("e0", user="ada", id=str(number), data=data))
        seen.append((value(engine, "words"), [(skip.rule, skip.reason, skip.metric) for skip in outcome.skipped]))

    skip = ("rule0", "not_available", "words")
    assert seen == [(120, []), (120, []), (120, [skip]), (123, []), (123, [skip]), (123, [skip])]
    assert engine.profile("ada").xp == 6


@pytest.mark.parametrize("kind", ['"data.n"', '{ add = "data.n" }', '{ max = "data.n" }'])
@pytest.mark.parametrize(
    ("data", "is_odd"),
    [
        pytest.param({"n": None}, False, id="null"),
        pytest.param(None, False, id="no-data"),
        pytest.param({"n": []}, True, id="a-list"),
        pytest.param({"n": {"a": 1}}, True, id="an-object"),
        pytest.param({"n": ""}, True, id="an-empty-text"),
        pytest.param({"n": False}, True, id="false"),
        pytest.param({"n": 0.1}, True, id="a-fraction"),
        pytest.param({"n": MOST + 1}, True, id="beyond-what-is-exact"),
        pytest.param({"n": -MOST - 1}, True, id="below-what-is-exact"),
        pytest.param({"n": 1e300}, True, id="a-whole-number-far-beyond"),
    ],
)
def test_odd_data_never_fails_the_request(open_engine: OpenEngine, kind, data, is_odd):
    engine = open_engine(counting(f"n = {kind}", metrics="n"))

    outcome = engine.record(laurels.Event("e0", user="ada", id="1", data=data))

    assert told(outcome) == ["xp +1 = 1 by rule0"]
    assert [(skip.reason, skip.metric) for skip in outcome.skipped] == ([("not_available", "n")] if is_odd else [])
    assert value(engine, "n") == 0


@pytest.mark.parametrize(
    ("number", "expected"),
    [(-40, -40), (-3.0, -3), (1e3, 1_000), (MOST, MOST), (-MOST, -MOST), (float(2**52), 2**52)],
)
def test_whole_numbers_of_either_sign_are_added(open_engine: OpenEngine, number, expected):
    engine = open_engine(counting('n = "data.n"', metrics="n"))

    engine.record(laurels.Event("e0", user="ada", id="1", data={"n": number}))

    assert value(engine, "n") == expected


def test_a_path_goes_into_nested_data(open_engine: OpenEngine):
    engine = open_engine(counting('n = "data.stats.words"', metrics="n"))

    for number, data in enumerate(
        [{"stats": {"words": 7}}, {"stats": {}}, {"stats": None}, {"stats": 5}, {"stats": [1]}]
    ):
        outcome = engine.record(laurels.Event("e0", user="ada", id=str(number), data=data))
        assert skipped(outcome) == []

    assert value(engine, "n") == 7


def test_one_odd_metric_leaves_the_other_metrics_of_the_rule_alone(open_engine: OpenEngine):
    engine = open_engine(counting('posts = 1, words = "data.words"', metrics="posts words"))

    outcome = engine.record(laurels.Event("e0", user="ada", id="1", data={"words": "many"}))

    assert told(outcome) == ["xp +1 = 1 by rule0", "posts = 1"]


@pytest.mark.parametrize(
    ("effects", "data"),
    [
        pytest.param(["n = 0"], None, id="a-fixed-zero"),
        pytest.param(['n = "data.n"'], {"n": 0}, id="zero-from-the-data"),
        pytest.param(['n = { max = "data.n" }'], {"n": 0}, id="zero-as-the-best-of-nothing"),
    ],
)
def test_a_change_of_zero_is_no_change(open_engine: OpenEngine, effects, data):
    engine = open_engine(counting(*effects, metrics="n"))

    assert told(engine.record(laurels.Event("e0", user="ada", id="1", data=data))) == ["xp +1 = 1 by rule0"]


def test_a_rule_of_zero_xp_and_zero_currency_leaves_no_entry(open_engine: OpenEngine):
    engine = open_engine(
        BASE + '[currencies.sparkle]\n[[rules]]\nid = "r"\non = "e0"\nxp = 0\nreward = { sparkle = 0 }\n'
    )

    outcome = engine.record(laurels.Event("e0", user="ada", id="1"))

    assert (outcome.changes, engine.user("ada").ledger()) == ((), [])


def test_two_kinds_for_one_metric_are_a_mistake_in_the_catalog():
    with pytest.raises(laurels.CatalogInvalid, match="score"):
        parse_catalog(counting('score = "data.n"', 'score = { max = "data.n" }', metrics="score"))
    parse_catalog(counting("score = 5", 'score = "data.n"', 'score = { add = "data.m" }', metrics="score"))


# --- 4.2 The best value -----------------------------------------------------------------------------------------------

SCORES = counting(
    'best_score = { max = "data.score" }',
    metrics="best_score",
    more='[[leaderboards]]\ncode = "best"\nmetric = "best_score"\nperiods = ["daily", "weekly", "alltime"]\n',
)


def score(engine: laurels.Engine, points: object, time: str, user: str = "ada") -> laurels.Outcome:
    event = laurels.Event("e0", user=user, id=f"{time} {points}", time=at(time), data={"score": points})
    return engine.record(event)


def test_4a_a_board_shows_the_best_of_its_own_period(open_engine: OpenEngine):
    engine = open_engine(SCORES)

    for points, time in ((70, "2026-03-01T09:00Z"), (90, "2026-03-01T10:00Z"), (80, "2026-03-02T09:00Z")):
        score(engine, points, time)

    assert value(engine, "best_score") == 90
    for period, key, expected in (
        ("daily", "2026-03-01", 90),
        ("daily", "2026-03-02", 80),
        ("weekly", "2026-W09", 90),
        ("weekly", "2026-W10", 80),
        ("alltime", "all", 90),
    ):
        (row,) = engine.leaderboard("best", period=period, at=key).top()
        assert (period, key, row.score) == (period, key, expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([-5], ["best_score = -5"], id="the-first-value-counts-as-it-is"),
        pytest.param([-5, -9, -2], ["best_score = -5", "best_score = -2"], id="below-zero-the-larger-is-better"),
        pytest.param([-5, 0], ["best_score = -5", "best_score = 0"], id="zero-is-better"),
        pytest.param([0, -5], [], id="zero-came-first"),
        pytest.param([10, 10, 9, 11], ["best_score = 10", "best_score = 11"], id="only-what-is-better-changes-it"),
        pytest.param([10, 3.0, 12.0], ["best_score = 10", "best_score = 12"], id="whole-numbers-with-a-point"),
    ],
)
def test_the_best_value_changes_only_when_it_is_beaten(open_engine: OpenEngine, values, expected):
    engine = open_engine(SCORES)

    lines = []
    for number, points in enumerate(values):
        lines += told(score(engine, points, f"2026-03-01T09:{number:02}Z"), "metric.changed")

    assert lines == expected
    assert value(engine, "best_score") == max(values)


def test_the_best_value_does_not_depend_on_the_order_of_arrival(open_engine: OpenEngine):
    engine = open_engine(SCORES)

    for points, time in (
        (80, "2026-03-02T09:00Z"),
        (-4, "2026-03-03T09:00Z"),
        (90, "2026-03-01T10:00Z"),
        (85, "2026-03-01T11:00Z"),
    ):
        score(engine, points, time)

    days = {day: engine.leaderboard("best", period="daily", at=f"2026-03-0{day}").top()[0].score for day in (1, 2, 3)}
    assert (days, value(engine, "best_score")) == ({1: 90, 2: 80, 3: -4}, 90)


def test_a_fixed_best_value(open_engine: OpenEngine):
    engine = open_engine(counting("n = { max = 5 }", "n = { max = 3 }", metrics="n"))

    lines = [told(engine.record(laurels.Event(kind, user="ada", id=kind)), "metric.changed") for kind in ("e1", "e0")]

    assert lines == [["n = 3"], ["n = 5"]]


# --- 4.3 Built-in metrics ---------------------------------------------------------------------------------------------

EVERYTHING = (
    BASE.replace("bonus_xp = 0", "bonus_xp = 10")
    + """
[currencies.sparkle]
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
xp = 60
reward = { sparkle = 4 }
metrics = { posts = 1 }
[[achievements]]
code = "EACH"
when = { posts = 1 }
repeatable = true
reward = { sparkle = 1 }
[[achievements]]
code = "TWO"
when = { posts = 2 }
[[quests]]
code = "daily"
type = "daily"
goals = { posts = 1 }
[[streaks]]
code = "writing"
on = "post.created"
every = "day"
"""
)


def test_the_profile_shows_every_metric_built_in_or_declared(open_engine: OpenEngine):
    engine = open_engine(EVERYTHING)
    engine.user("ada").set(timezone="UTC")

    assert engine.profile("ada").metrics == {
        "achievements": 0,
        "earned.sparkle": 0,
        "level": 1,
        "posts": 0,
        "quests": 0,
        "spent.sparkle": 0,
        "streak.writing": 0,
        "xp": 0,
    }


def test_built_in_metrics_count_what_their_names_say_and_emit_nothing(open_engine: OpenEngine):
    engine = open_engine(EVERYTHING)
    changed = []
    for number, day in enumerate(["2026-03-01", "2026-03-02", "2026-03-02", "2026-03-05"]):
        outcome = engine.record(laurels.Event("post.created", user="ada", id=f"p{number}", time=at(f"{day}T09:00Z")))
        changed += told(outcome, "metric.changed")
    wallet = engine.wallet("ada")
    wallet.credit("sparkle", 100, request_id="c1")
    wallet.spend("sparkle", 30, request_id="s1")
    wallet.refund("s1", 5, request_id="f1")
    wallet.hold("sparkle", 20, request_id="h1")
    wallet.capture("h1", 8, request_id="k1")
    wallet.adjust("sparkle", 50, request_id="a1")
    wallet.adjust("sparkle", -1, request_id="a2")
    wallet.transfer("sparkle", 7, to="bob", request_id="t1")

    assert changed == [f"posts = {n}" for n in (1, 2, 3, 4)]
    assert engine.profile("ada").metrics == {
        "achievements": 2,  # different codes, though EACH was unlocked four times
        "earned.sparkle": 4 * 4 + 4 * 1 + 100,
        "level": 2,
        "posts": 4,
        "quests": 3,
        "spent.sparkle": 30 - 5 + 8,
        "streak.writing": 2,  # the longest run, not the present one
        "xp": 4 * 60 + 10,
    }
    assert engine.profile("bob").metrics["earned.sparkle"] == 0


@pytest.mark.parametrize(
    "metric", ["xp", "level", "quests", "achievements", "earned.sparkle", "spent.sparkle", "streak.writing"]
)
def test_rules_cannot_write_built_in_metrics(metric):
    rule = f'[[rules]]\nid = "r"\non = "post.created"\nmetrics = {{ "{metric}" = 1 }}\n'

    with pytest.raises(laurels.CatalogInvalid):
        parse_catalog(EVERYTHING + rule)


@pytest.mark.parametrize(
    ("metric", "target"),
    [("xp", 240), ("level", 2), ("quests", 3), ("earned.sparkle", 20), ("spent.sparkle", 6), ("streak.writing", 2)],
)
def test_achievements_read_built_in_metrics(open_engine: OpenEngine, metric, target):
    reader = f'[[achievements]]\ncode = "READER"\nwhen = {{ "{metric}" = {target} }}\n'
    engine = open_engine(EVERYTHING + reader)

    for number, day in enumerate(["2026-03-01", "2026-03-02", "2026-03-02", "2026-03-05"]):
        engine.record(laurels.Event("post.created", user="ada", id=f"p{number}", time=at(f"{day}T09:00Z")))
    engine.wallet("ada").spend("sparkle", 6, request_id="s1")

    assert {view.achievement for view in engine.user("ada").achievements() if view.unlocked} >= {"READER"}


def test_the_metric_of_a_streak_is_fed_with_the_run_of_each_event(open_engine: OpenEngine):
    """A late day joins an older run: that run, not the latest, is the longest ever."""
    engine = open_engine(
        EVERYTHING + '[[leaderboards]]\ncode = "runs"\nmetric = "streak.writing"\nperiods = ["daily", "alltime"]\n'
    )
    for number, day in enumerate(("01", "02", "04", "08", "03")):
        engine.record(laurels.Event("post.created", user="ada", id=f"p{number}", time=at(f"2026-03-{day}T09:00Z")))

    scores = {
        key: [row.score for row in engine.leaderboard("runs", period="daily", at=f"2026-03-{key}").top()]
        for key in ("01", "02", "03", "04", "08")
    }
    assert engine.profile("ada").metrics["streak.writing"] == 4
    assert scores == {"01": [1], "02": [2], "03": [4], "04": [1], "08": [1]}


# --- 4.4 Inside a window ----------------------------------------------------------------------------------------------

WEEKLY_TAGS = counting(
    'tags = { distinct = "data.tag" }',
    metrics="tags",
    more='[[quests]]\ncode = "two-tags"\ntype = "weekly"\ngoals = { tags = 2 }\n'
    '[[leaderboards]]\ncode = "tags"\nmetric = "tags"\nperiods = ["weekly", "alltime"]\n',
)


def test_4c_a_quest_counts_the_different_values_of_its_run_and_a_board_those_new_to_the_user(open_engine: OpenEngine):
    engine = open_engine(WEEKLY_TAGS)

    lines = [
        told(
            engine.record(laurels.Event("e0", user="ada", id=str(number), time=at(time), data={"tag": tag})),
            "quest.completed",
        )
        for number, (time, tag) in enumerate(
            [
                ("2026-03-01T09:00Z", "python"),
                ("2026-03-02T09:00Z", "python"),
                ("2026-03-03T09:00Z", "python"),
                ("2026-03-04T09:00Z", "sql"),
            ]
        )
    ]

    assert lines == [[], [], [], ["two-tags 2026-W10 completed"]]
    assert [row.score for row in engine.leaderboard("tags", period="weekly", at="2026-W10").top()] == [1]
    assert [row.score for row in engine.leaderboard("tags", period="weekly", at="2026-W09").top()] == [1]
    assert [row.score for row in engine.leaderboard("tags").top()] == [2]


def test_a_quest_on_a_best_value_takes_the_best_submitted_in_its_window(open_engine: OpenEngine):
    engine = open_engine(
        counting(
            'best = { max = "data.score" }',
            metrics="best",
            more='[[quests]]\ncode = "eighty"\ntype = "daily"\ngoals = { best = 80 }\nreward = { xp = 5 }\n',
        )
    )

    def play(points: int, time: str) -> list[str]:
        event = laurels.Event("e0", user="ada", id=f"{time} {points}", time=at(time), data={"score": points})
        return told(engine.record(event), "quest.completed")

    assert play(95, "2026-03-01T09:00Z") == ["eighty 2026-03-01 completed"]
    # Worse than the best ever, and still the best of its own day.
    assert play(50, "2026-03-02T09:00Z") == []
    assert play(45, "2026-03-02T10:00Z") == []
    assert play(80, "2026-03-02T11:00Z") == ["eighty 2026-03-02 completed"]


def test_a_quest_on_a_sum_takes_the_sum_of_the_changes_in_its_window(open_engine: OpenEngine):
    engine = open_engine(
        counting(
            'n = "data.n"',
            metrics="n",
            more='[[quests]]\ncode = "ten"\ntype = "daily"\ngoals = { n = 10 }\n'
            '[[leaderboards]]\ncode = "n"\nmetric = "n"\nperiods = ["daily", "alltime"]\n',
        )
    )

    lines = [
        told(
            engine.record(laurels.Event("e0", user="ada", id=str(number), time=at(time), data={"n": n})),
            "quest.completed",
        )
        for number, (time, n) in enumerate(
            [
                ("2026-03-01T09:00Z", 500),
                ("2026-03-02T09:00Z", 8),
                ("2026-03-02T10:00Z", -3),
                ("2026-03-02T11:00Z", 4),
                ("2026-03-02T12:00Z", 1),
            ]
        )
    ]

    assert lines == [["ten 2026-03-01 completed"], [], [], [], ["ten 2026-03-02 completed"]]
    scores = [engine.leaderboard("n", period="daily", at=day).top()[0].score for day in ("2026-03-01", "2026-03-02")]
    assert (scores, engine.leaderboard("n").top()[0].score) == ([500, 10], 510)


def test_a_sum_beyond_what_is_exact_is_refused_and_changes_nothing(open_engine: OpenEngine):
    engine = open_engine(counting('n = "data.n"', metrics="n"))
    engine.record(laurels.Event("e0", user="ada", id="1", data={"n": MOST}))

    with pytest.raises(laurels.InvalidInput) as refusal:
        engine.record(laurels.Event("e0", user="ada", id="2", data={"n": 1}))

    assert refusal.value.code == "amount_out_of_range"
    assert (value(engine, "n"), engine.profile("ada").xp) == (MOST, 1)
    assert xp_paid(engine.record(laurels.Event("e0", user="ada", id="2", data={"n": -1}))) == 1
