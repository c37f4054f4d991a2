"""The default catalog carries the original's numbers, and has something for everybody."""

import re
from collections import Counter

import pytest

from laurels.catalog_file import load_catalog
from laurels.core.catalog import POINTS, Reward

COMMUNITY = load_catalog("community")
RULES = {rule.id: rule for rule in COMMUNITY.rules}


@pytest.mark.parametrize(
    ("rule", "event", "xp"),
    [
        pytest.param("post-create", "post.created", 10, id="POST_CREATE"),
        pytest.param("comment-create", "comment.created", 5, id="COMMENT_CREATE"),
        pytest.param("quality-post-bonus", "post.featured", 50, id="QUALITY_POST_BONUS"),
        pytest.param("helpful-comment", "comment.helpful", 20, id="HELPFUL_COMMENT"),
        pytest.param("daily-login", "user.login", 10, id="DAILY_LOGIN"),
        pytest.param("first-post-of-day", "post.created", 15, id="FIRST_POST_OF_DAY"),
        pytest.param("reaction-given", "reaction.added", 1, id="REACTION_GIVEN"),
        pytest.param("reaction-received", "reaction.added", 2, id="REACTION_RECEIVED"),
        pytest.param("follow", "user.followed", 3, id="FOLLOW"),
        pytest.param("followed", "user.followed", 5, id="FOLLOWED"),
    ],
)
def test_rules_pay_what_the_original_paid(rule, event, xp):
    assert (RULES[rule].on, RULES[rule].xp) == ((event,), xp)


def test_levels_achievements_quests_and_streaks_pay_what_the_original_paid():
    streak = COMMUNITY.streaks["login"]
    assert COMMUNITY.levels.bonus_xp == 100
    assert COMMUNITY.achievements["FIRST_LIKE"].reward == Reward(xp=25)
    assert COMMUNITY.quests["daily-poster"].reward.xp == 30
    assert (streak.xp_per_step, streak.max_xp) == (5, 100)


def test_levels_are_those_of_the_original():
    assert COMMUNITY.levels.thresholds == tuple(100 * (level - 1) ** 2 for level in range(1, 101))


@pytest.mark.parametrize("rule", ["daily-login", "first-post-of-day"])
def test_what_is_daily_pays_once_a_day(rule):
    assert (RULES[rule].limit.times, RULES[rule].limit.per) == (1, "day")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("reaction-given", "data.target"),
        ("reaction-received", "data.target"),
        ("follow", "data.user"),
        ("followed", "data.user"),
        ("quality-post-bonus", "data.post"),
        ("helpful-comment", "data.comment"),
    ],
)
def test_what_could_be_done_again_and_again_pays_once(rule, expected):
    assert RULES[rule].once_per.text == expected


@pytest.mark.parametrize(
    ("rule", "data", "expected"),
    [
        pytest.param("reaction-given", {"author": "ada", "target": "p1"}, "false", id="own-post"),
        pytest.param("reaction-given", {"author": "bob", "target": "p1"}, None, id="another's-post"),
        pytest.param("reaction-given", {"target": "p1"}, None, id="nobody's-post"),
        pytest.param("follow", {"user": "ada"}, "false", id="oneself"),
        pytest.param("follow", {"user": "bob"}, None, id="somebody"),
    ],
)
def test_nobody_earns_by_liking_or_following_themselves(rule, data, expected):
    assert RULES[rule].when.check(data, "ada", RULES[rule].on[0]) == expected


def test_an_unfollow_takes_the_follower_back():
    changes = {
        (rule.on[0], effect.metric): effect.amount
        for rule in COMMUNITY.rules
        for effect in rule.effects
        if effect.metric in ("followers", "following")
    }
    assert changes == {
        ("user.followed", "followers"): 1,
        ("user.followed", "following"): 1,
        ("user.unfollowed", "followers"): -1,
        ("user.unfollowed", "following"): -1,
    }


def test_there_are_at_least_thirty_achievements_of_all_eight_rarities():
    rarities = Counter(achievement.rarity for achievement in COMMUNITY.achievements.values())
    assert rarities.total() >= 30
    assert rarities.keys() == POINTS.keys()


@pytest.mark.parametrize("level", [10, 25, 50, 100])
def test_there_is_an_achievement_for_the_levels_of_the_original(level):
    [threshold] = COMMUNITY.achievements[f"LEVEL_{level}"].when
    assert (threshold.metric, threshold.target) == ("level", level)


@pytest.mark.parametrize("metric", ["posts", "comments", "followers", "xp", "streak.login"])
def test_there_are_achievements_for_a_little_and_for_much(metric):
    targets = [
        t.target for achievement in COMMUNITY.achievements.values() for t in achievement.when if t.metric == metric
    ]
    assert len(targets) >= 3
    assert max(targets) >= 50 * min(targets)


def test_there_are_at_least_ten_quests_of_all_eight_types():
    types = Counter(quest.type for quest in COMMUNITY.quests.values())
    assert types.total() >= 10
    assert types.keys() == {
        "daily", "weekly", "monthly", "special", "achievement", "seasonal", "community", "creator"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        ("xp", "xp"),
        ("sparkle", "earned.sparkle"),
        ("achievements", "achievements"),
        ("posts", "posts"),
        ("followers", "followers"),
    ],
)
def test_there_is_a_board_in_all_four_periods(board, expected):
    found = COMMUNITY.leaderboards[board]
    assert (found.metric, found.periods) == (expected, ("daily", "weekly", "monthly", "alltime"))


def test_everything_has_a_name_a_description_an_icon_and_a_category():
    shown = [*COMMUNITY.achievements.values(), *COMMUNITY.quests.values()]
    bare = [thing.code for thing in shown if not (thing.description and thing.icon and thing.category)]
    assert bare == []
    assert [thing.code for thing in shown if thing.name == thing.code] == []
    assert max(Counter(thing.icon for thing in COMMUNITY.achievements.values()).values()) == 1


def test_every_declared_event_and_metric_is_used():
    used = {event for thing in (*COMMUNITY.rules, *COMMUNITY.streaks.values()) for event in thing.on}
    read = {t.metric for a in COMMUNITY.achievements.values() for t in (*a.when, *a.any)}
    assert used == COMMUNITY.events.keys()
    assert COMMUNITY.metrics.keys() <= read
    assert {effect.metric for rule in COMMUNITY.rules for effect in rule.effects} == COMMUNITY.metrics.keys()


def test_a_description_says_the_number_that_counts():
    for achievement in COMMUNITY.achievements.values():
        for threshold in achievement.when + achievement.any:
            said = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", achievement.description)}
            assert threshold.target == 1 or threshold.target in said, achievement.code
