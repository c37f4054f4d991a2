"""
Each method of the service that Laurels replaces, and what does its work now, under `community.toml`.

A section has the methods' names in its heading, and what the successors added to them; unlock statistics are still to
come. `docs/explanation/from-the-original.md` maps each to its tests.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import isqrt

import pytest
from sqlalchemy import text

import laurels
from tests.semantics.telling import told

#: A Monday; the test's clock is set to it.
DAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def engine(open_engine, clock):
    clock.now = DAY
    return open_engine()


def event(kind, number, by="ada", /, *, days=0, **data):
    """An event of a type such as `post.created`, so many days after DAY."""
    return laurels.Event(kind, user=by, id=f"{kind}-{number}", time=DAY + timedelta(days=days), data=data or None)


def posts(number, user="ada"):
    return [event("post.created", n, user) for n in range(number)]


def paid(engine, rule, unit="xp", user="ada"):
    """What a rule paid the user, entry by entry."""
    entries = reversed(engine.user(user).ledger(unit=unit, limit=1_000))
    return [entry.amount for entry in entries if entry.rule == rule]


def achievement(engine, code, user="ada"):
    return next(view for view in engine.user(user).achievements() if view.achievement == code)


def quest(engine, code, user="ada"):
    """The newest run of a quest."""
    return next(view for view in engine.user(user).quests() if view.quest == code)


def lines(board):
    return [(line.rank, line.user_id, line.score) for line in board.top()]


# --- XP_REWARDS -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("happened", "rule", "expected"),
    [
        pytest.param([event("post.created", 1)], "post-create", [10], id="POST_CREATE"),
        pytest.param([event("comment.created", 1)], "comment-create", [5], id="COMMENT_CREATE"),
        pytest.param(
            [event("post.featured", 1, "mod", post="p1", author="ada")],
            "quality-post-bonus", [50], id="QUALITY_POST_BONUS",
        ),
        pytest.param(
            [event("comment.helpful", 1, "bob", comment="c1", author="ada")],
            "helpful-comment", [20], id="HELPFUL_COMMENT",
        ),
        pytest.param([event("user.login", 1), event("user.login", 2)], "daily-login", [10], id="DAILY_LOGIN"),
        pytest.param(posts(3), "first-post-of-day", [15], id="FIRST_POST_OF_DAY"),
        pytest.param([event("post.created", 1)], "achievement:FIRST_POST", [25], id="ACHIEVEMENT_UNLOCK"),
        pytest.param([event("post.created", 1)], "quest:daily-poster", [30], id="QUEST_COMPLETE"),
        pytest.param(posts(5), "level:2", [100], id="LEVEL_UP"),
        pytest.param(
            [event("reaction.added", 1, target="p1", author="bob")], "reaction-given", [1], id="REACTION_GIVEN"
        ),
        pytest.param(
            [event("reaction.added", 1, "bob", target="p1", author="ada")],
            "reaction-received", [2], id="REACTION_RECEIVED",
        ),
        pytest.param([event("user.followed", 1, user="bob")], "follow", [3], id="FOLLOW"),
        pytest.param([event("user.followed", 1, "bob", user="ada")], "followed", [5], id="FOLLOWED"),
    ],
)  # fmt: skip
def test_xp_rewards_are_those_of_the_original(engine, happened, rule, expected):
    engine.record(happened)
    assert paid(engine, rule) == expected


def test_xp_rewards_streak_bonus_is_five_a_day_up_to_a_hundred(engine):
    engine.record([event("user.login", day, days=day - 30) for day in range(30)])
    assert paid(engine, "streak:login") == [*range(10, 101, 5), *[100] * 10]


# --- awardXP, calculateLevel, calculateXPForLevel ---------------------------------------------------------------------


def test_award_xp_adds_logs_and_says_why(engine):
    outcome = engine.award_xp("ada", 50, source="moderation", source_id="case-7", reason="Great report", request_id="a")

    [entry] = engine.user("ada").ledger()
    assert told(outcome) == ["xp +50 = 50"]
    assert (entry.unit, entry.amount, entry.balance, entry.source, entry.reason) == (
        "xp", 50, 50, "moderation", "Great report"
    )  # fmt: skip


@pytest.mark.parametrize("xp", [1, 99, 100, 399, 400, 8_099, 8_100, 57_600, 980_099, 980_100, 10_000_000])
def test_calculate_level_is_the_square_root_of_a_hundredth_and_one(engine, xp):
    """The bonus of each level is taken away again, so that the XP is exact; a level that was paid for stays paid."""
    engine.award_xp("ada", xp, request_id="a")
    engine.wallet("ada").adjust("xp", xp - engine.profile("ada").xp or 1, request_id="b")

    profile = engine.profile("ada")
    assert profile.level == min(isqrt(profile.xp // 100) + 1, 100)


@pytest.mark.parametrize(
    ("level", "expected"), [(1, (0, 100)), (2, (100, 400)), (10, (8_100, 10_000)), (100, (980_100, None))]
)
def test_calculate_xp_for_level_is_what_the_profile_shows_as_the_way_to_the_next(engine, level, expected):
    engine.award_xp("ada", max(100 * (level - 1) ** 2, 1), request_id="a")
    engine.wallet("ada").adjust("xp", 100 * (level - 1) ** 2 - engine.profile("ada").xp, request_id="b")

    profile = engine.profile("ada")
    assert profile.level == level
    assert (profile.level_progress.current_xp, profile.level_progress.next_xp) == expected


# --- handleLevelUp ----------------------------------------------------------------------------------------------------


def test_handle_level_up_pays_its_bonus_and_reward_and_gives_a_title(engine):
    outcome = engine.award_xp("ada", 8_100, request_id="a")

    reached = [line for line in told(outcome) if line == "level 10" or line.endswith("by level:10")]
    assert [line.split(" = ")[0] for line in reached] == ["level 10", "xp +100", "premium +5", "sparkle +150"]
    profile = engine.profile("ada")
    assert (profile.level, profile.title, profile.perks) == (10, "Rising Star", ("signature", "custom-avatar"))


# --- awardSparklePoints, awardPremiumPoints, spendSparklePoints; premium spending, balance before and after -----------


@pytest.mark.parametrize("currency", ["sparkle", "premium"])
def test_award_and_spend_points_keep_the_balance_before_and_after(engine, currency):
    wallet = engine.wallet("ada")
    wallet.credit(currency, 30, reason="Contest", request_id="a")
    wallet.spend(currency, 12, reason="Theme", request_id="b")

    entries = engine.user("ada").ledger(unit=currency)
    assert [(e.kind, e.balance - e.amount, e.amount, e.balance, e.reason) for e in entries] == [
        ("spend", 30, -12, 18, "Theme"),
        ("earn", 0, 30, 30, "Contest"),
    ]
    balance = engine.profile("ada").balances[currency]
    assert (balance.available, balance.lifetime_earned, balance.lifetime_spent) == (18, 30, 12)


@pytest.mark.parametrize("currency", ["sparkle", "premium"])
def test_spend_points_beyond_what_is_there_is_refused_with_what_is_there(engine, currency):
    engine.wallet("ada").credit(currency, 30, request_id="a")
    with pytest.raises(laurels.InsufficientFunds) as refusal:
        engine.wallet("ada").spend(currency, 31, request_id="b")
    assert refusal.value.available == 30


# --- checkAndUnlockAchievements, checkAchievement, unlockAchievement --------------------------------------------------


def test_unlock_achievement_happens_once_with_its_date_and_its_reward(engine):
    engine.record(posts(2))

    view = achievement(engine, "FIRST_POST")
    assert (view.unlocked, view.times, view.unlocked_at) == (True, 1, DAY)
    assert (paid(engine, "achievement:FIRST_POST"), paid(engine, "achievement:FIRST_POST", "sparkle")) == ([25], [5])


def test_check_achievement_leaves_alone_what_is_not_reached(engine):
    engine.record(posts(9))
    assert not achievement(engine, "PROLIFIC_WRITER").unlocked
    engine.record([event("post.created", 9)])
    assert achievement(engine, "PROLIFIC_WRITER").unlocked


# --- evaluateAchievementRequirements, calculateAchievementProgress, checkLevelAchievements ----------------------------


def follows(number):
    return [event("user.followed", n, f"fan-{n}", user="ada") for n in range(number)]


@pytest.mark.parametrize(
    ("code", "almost", "last"),
    [
        pytest.param("PROLIFIC_WRITER", posts(9), event("post.created", 9), id="posts"),
        pytest.param(
            "CONVERSATIONALIST", [event("comment.created", n) for n in range(49)], event("comment.created", 49),
            id="comments",
        ),
        pytest.param("RISING_VOICE", follows(9), event("user.followed", 9, "fan-9", user="ada"), id="followers"),
        pytest.param(
            "LEVEL_10", [laurels.AwardXp(user="ada", id="a", amount=7_000)],
            laurels.AwardXp(user="ada", id="b", amount=1_000), id="level",
        ),
        pytest.param(
            "XP_1000", [laurels.AwardXp(user="ada", id="a", amount=500)],
            laurels.AwardXp(user="ada", id="b", amount=400), id="xp",
        ),
    ],
)  # fmt: skip
def test_evaluate_achievement_requirements_unlocks_with_the_last_step(engine, code, almost, last):
    engine.record(almost)
    assert not achievement(engine, code).unlocked

    outcome = engine.record(last)

    unlocked = [(c.user_id, c.achievement) for c in outcome.changes if c.type == "achievement.unlocked"]
    assert ("ada", code) in unlocked


@pytest.mark.parametrize(
    ("code", "happened", "expected"),
    [
        pytest.param("PROLIFIC_WRITER", posts(4), (4, 10), id="posts"),
        pytest.param("NOVELLA", [event("post.created", 1, words=1_234)], (1_234, 20_000), id="words"),
        pytest.param("RISING_VOICE", follows(3), (3, 10), id="followers"),
        pytest.param("STREAK_7", [event("user.login", d, days=d - 2) for d in range(3)], (3, 7), id="streak"),
        pytest.param("PROLIFIC_WRITER", posts(12), (10, 10), id="no-further-than-its-target"),
    ],
)
def test_calculate_achievement_progress_tells_how_far_it_is(engine, code, happened, expected):
    engine.record(happened)
    view = achievement(engine, code)
    assert (view.value, view.target) == expected


@pytest.mark.parametrize(("level", "xp"), [(10, 8_100), (25, 57_600), (50, 240_100), (100, 980_100)])
def test_check_level_achievements_unlocks_those_of_the_original(engine, level, xp):
    engine.award_xp("ada", xp, request_id="a")
    assert achievement(engine, f"LEVEL_{level}").unlocked


# --- getActiveQuests, updateQuestProgress, completeQuest; claim -------------------------------------------------------


def test_get_active_quests_tells_status_progress_and_window(engine):
    engine.record([event("comment.created", 1)])

    views = {view.quest: view for view in engine.user("ada").quests()}
    small_talk = views["daily-conversation"]
    assert (small_talk.status, small_talk.value, small_talk.target, small_talk.period) == (
        "in_progress", 1, 3, "2026-03-02"
    )  # fmt: skip
    assert (small_talk.starts_at, small_talk.ends_at) == (
        datetime(2026, 3, 2, tzinfo=UTC),
        datetime(2026, 3, 3, tzinfo=UTC),
    )
    assert (views["daily-poster"].status, views["weekly-writer"].period) == ("available", "2026-W10")
    assert (views["spotlight"].status, views["badge-hunter"].status) == ("locked", "locked")


def test_update_quest_progress_says_each_step_in_the_outcome(engine):
    outcomes = engine.record([event("comment.created", n) for n in range(2)])
    assert [line for outcome in outcomes for line in told(outcome) if line.startswith("daily-conversation")] == [
        "daily-conversation 2026-03-02 1/3",
        "daily-conversation 2026-03-02 2/3",
    ]


def test_complete_quest_pays_once(engine):
    engine.record([event("comment.created", n) for n in range(10)])
    assert quest(engine, "daily-conversation").status == "claimed"
    assert (paid(engine, "quest:daily-conversation"), paid(engine, "quest:daily-conversation", "sparkle")) == (
        [30],
        [5],
    )


def test_claim_pays_a_quest_that_waits_for_its_user_once(engine):
    engine.record([event("comment.helpful", n, "bob", comment=f"c{n}", author="ada") for n in range(3)])
    assert (quest(engine, "helping-hands").status, paid(engine, "quest:helping-hands")) == ("completed", [])

    engine.user("ada").quest("helping-hands").claim(request_id="claim")

    assert (quest(engine, "helping-hands").status, paid(engine, "quest:helping-hands")) == ("claimed", [130])
    with pytest.raises(laurels.Conflict) as refusal:
        engine.user("ada").quest("helping-hands").claim(request_id="again")
    assert refusal.value.code == "already_claimed"


# --- getLeaderboard, computeLeaderboard, cache invalidation; ranks, boards for posts and followers, movement ----------


@pytest.mark.parametrize("period", ["daily", "weekly", "monthly", "alltime"])
@pytest.mark.parametrize(
    ("board", "happened", "expected"),
    [
        pytest.param("posts", [*posts(2, "bob"), *posts(3)], [(1, "ada", 3), (2, "bob", 2)], id="posts"),
        pytest.param("followers", follows(2), [(1, "ada", 2)], id="followers"),
        pytest.param(
            "sparkle", [laurels.Credit(user="ada", id="c", currency="sparkle", amount=9)], [(1, "ada", 9)], id="sparkle"
        ),
        pytest.param("xp", [laurels.AwardXp(user="ada", id="a", amount=9)], [(1, "ada", 9)], id="xp"),
    ],
)
def test_get_leaderboard_ranks_in_every_period(engine, board, happened, expected, period):
    engine.record(happened)
    found = [line for line in lines(engine.leaderboard(board, period=period)) if not line[1].startswith("fan")]
    assert found == expected


def test_compute_leaderboard_shows_at_once_what_was_just_recorded(engine):
    """The original's cache had to be invalidated; here there is none to go stale."""
    board = engine.leaderboard("posts")
    for number in range(1, 4):
        engine.record(event("post.created", number))
        assert lines(board) == lines(engine.leaderboard("posts")) == [(1, "ada", number)]


def test_ranks_tell_where_a_user_stands_and_who_is_around(engine):
    for number, user in enumerate(("ada", "bob", "eve"), start=1):
        engine.award_xp(user, 10 * number, request_id="a")
    board = engine.leaderboard("xp")
    assert [board.rank(user) for user in ("ada", "bob", "eve", "nobody")] == [3, 2, 1, None]
    assert [line.user_id for line in board.around("ada", 2)] == ["bob", "ada"]


def test_movement_is_the_rank_of_yesterday_minus_that_of_today(engine):
    engine.record(
        [event("post.created", n, user, days=-1) for user, number in (("ada", 1), ("bob", 2)) for n in range(number)]
    )
    engine.record(
        [event("post.created", 10 + n, user) for user, number in (("ada", 3), ("bob", 1)) for n in range(number)]
    )
    found = engine.leaderboard("posts", period="daily").top()
    assert [(line.user_id, line.movement) for line in found] == [("ada", 1), ("bob", -1)]


# --- Notifications ----------------------------------------------------------------------------------------------------


def test_notifications_have_title_message_image_and_data(engine):
    engine.award_xp("ada", 80, request_id="a")
    engine.record(event("post.created", 1))

    found = {(n.type, n.title, n.message, n.image): n.data for n in engine.user("ada").notifications()}
    assert found == {
        ("level_up", "Level 2 reached", "Keep going!", ""): {"level": 2},
        ("achievement_unlocked", "First Steps", "Publish your first post.", "🌱"): {
            "achievement": "FIRST_POST", "rarity": "common", "times": 1
        },
        ("quest_complete", "Today's Page", "Publish a post today.", "📝"): {
            "quest": "daily-poster", "period": "2026-03-02"
        },
    }  # fmt: skip


def test_notifications_of_a_level_name_a_title_when_it_is_new(engine):
    engine.award_xp("ada", 2_500, request_id="a")
    messages = {n.data["level"]: n.message for n in engine.user("ada").notifications() if n.type == "level_up"}
    assert (messages[4], messages[5], messages[6]) == ("Keep going!", "You are a Regular now.", "Keep going!")


def test_notifications_are_unread_until_they_are_marked(engine):
    engine.record(event("post.created", 1))
    assert [n.number for n in engine.user("ada").notifications(unread=True)] == [2, 1]

    assert engine.user("ada").mark_read(up_to=1) == 1

    assert [n.number for n in engine.user("ada").notifications(unread=True)] == [2]
    assert [n.read_at for n in engine.user("ada").notifications()] == [None, DAY]


# --- Showcase ---------------------------------------------------------------------------------------------------------


def test_showcase_shows_what_a_user_chose_and_only_what_is_unlocked(engine):
    engine.record(event("post.created", 1))
    ada = engine.user("ada")
    assert (ada.showcase("FIRST_POST", order=2).showcased, ada.showcase("FIRST_POST", order=2).order) == (True, 2)
    assert [view.achievement for view in ada.achievements() if view.showcased] == ["FIRST_POST"]
    assert ada.showcase("FIRST_POST", showcased=False).order is None
    with pytest.raises(laurels.Conflict, match="has not unlocked"):
        ada.showcase("LEVEL_10")


# --- Daily activity totals, profile statistics, login streaks ---------------------------------------------------------


def test_daily_activity_totals_are_told_by_day(engine):
    engine.record([event("comment.created", n, days=days) for n, days in enumerate((-2, -2, 0))])
    days = engine.user("ada").activity()
    assert [(day.day, day.requests) for day in days] == [("2026-03-02", 1), ("2026-02-28", 2)]
    stats = engine.user("ada").stats()
    assert (stats.requests, stats.by_type, stats.active_days) == (3, {"comment.created": 3}, 2)


def test_daily_activity_totals_are_a_query_on_the_ledger(engine):
    engine.record([event("comment.created", n, days=days) for n, days in enumerate((-2, -2, 0))])
    query = (
        "SELECT day, sum(amount) FROM entries WHERE unit = 'xp' AND rule = 'comment-create' GROUP BY day ORDER BY day"
    )
    with engine.read() as connection:
        rows = connection.execute(text(query)).all()
    assert [(date.fromordinal(date(1970, 1, 1).toordinal() + day).isoformat(), xp) for day, xp in rows] == [
        ("2026-02-28", 10),
        ("2026-03-02", 5),
    ]


def test_profile_statistics_count_what_was_done(engine):
    engine.record(
        [event("post.created", 1, words=250), event("comment.created", 1), event("user.followed", 1, user="bob")]
    )
    engine.wallet("ada").spend("sparkle", 2, request_id="s")

    metrics = engine.profile("ada").metrics
    counted = {name: metrics[name] for name in ("posts", "words", "comments", "following", "quests", "spent.sparkle")}
    assert counted == {"posts": 1, "words": 250, "comments": 1, "following": 1, "quests": 2, "spent.sparkle": 2}


def test_login_streaks_count_days_in_a_row(engine):
    engine.record([event("user.login", day, days=day) for day in (-9, -8, -7, -6, -2, -1, 0)])
    streak = engine.profile("ada").streaks["login"]
    assert (streak.length, streak.longest, streak.last_day) == (3, 4, "2026-03-02")


# --- Transaction history, audit log, event listeners ------------------------------------------------------------------


def test_transaction_history_names_the_cause_of_every_line(engine):
    engine.record(event("reaction.added", 1, "bob", target="p1", author="ada"))

    history = {(e.unit, e.amount, e.rule) for e in engine.user("ada").ledger()}
    causes = {(e.actor_id, e.request_id, e.time) for e in engine.user("ada").ledger()}
    assert {("xp", 2, "reaction-received"), ("sparkle", 1, "reaction-received")} <= history
    assert causes == {("bob", "reaction.added-1", DAY)}


def test_audit_log_keeps_every_request_with_its_times_and_what_it_caused(engine, clock):
    recorded = engine.record(event("post.created", 1, days=-3, words=5))

    stored = engine.user("ada").request("post.created-1")
    assert (stored.type, stored.data, stored.time, stored.recorded_at, stored.revision) == (
        "post.created", {"words": 5}, DAY - timedelta(days=3), DAY, 1
    )  # fmt: skip
    assert engine.user("ada").outcome("post.created-1") == recorded


def test_event_listeners_hear_of_changes_after_the_commit(engine):
    heard = []
    engine.on("achievement.unlocked", lambda change: heard.append((change.achievement, engine.profile("ada").xp)))

    engine.record(event("post.created", 1))

    assert heard == [("FIRST_POST", engine.profile("ada").xp)]
