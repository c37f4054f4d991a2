"""What random catalogs and streams found, each once more and as small as it can be."""

from __future__ import annotations

from datetime import UTC, datetime

from laurels import Event
from laurels.core.periods import from_datetime
from tests.conftest import BASE, OpenEngine
from tests.laws.play import one_by_one, play
from tests.laws.strategies import Asked, parsed
from tests.laws.world import World

POSTS = """
[metrics]
posts = {}
best = {}
tags = {}
[[rules]]
id = "post"
on = "post"
metrics = { posts = "data.posts", best = { max = "data.best" } }
"""


def post(number: int, **data) -> Event:
    return Event("post", user="ada", id=f"p{number}", time=datetime(2026, 3, number, tzinfo=UTC), data=data)


def told(outcome, *types) -> list[tuple]:
    """What an outcome says of achievements or quests: which, and the value that it stands at or its times."""
    return [
        (getattr(change, "achievement", None) or change.quest, getattr(change, "value", None) or change.times)
        for change in outcome.changes
        if change.type in types
    ]


def test_an_achievement_that_only_requires_others_unlocks_with_the_last_of_them(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + POSTS
        + """
        [[achievements]]
        code = "BOTH"
        requires = ["A", "B"]
        [[achievements]]
        code = "A"
        when = { posts = 1 }
        [[achievements]]
        code = "B"
        when = { posts = 2 }
        """
    )
    outcomes = engine.record([post(1, posts=1), post(2, posts=1)])
    assert [told(outcome, "achievement.unlocked") for outcome in outcomes] == [[("A", 1)], [("B", 1), ("BOTH", 1)]]


def test_a_repeatable_achievement_unlocks_as_often_as_it_is_due_when_its_prerequisite_comes(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + POSTS
        + """
        [[achievements]]
        code = "TENS"
        when = { best = 10 }
        repeatable = true
        requires = ["POSTS"]
        [[achievements]]
        code = "POSTS"
        when = { posts = 1 }
        """
    )
    before, after = engine.record([post(1, best=30), post(2, posts=1)])
    assert told(before, "achievement.unlocked") == []
    assert told(after, "achievement.unlocked") == [("POSTS", 1), ("TENS", 1), ("TENS", 2), ("TENS", 3)]


def test_coming_back_to_nothing_is_no_progress(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + POSTS
        + """
        [[achievements]]
        code = "A"
        when = { posts = 5, best = 5 }
        [[quests]]
        code = "Q"
        type = "special"
        goals = { posts = 10 }
        """
    )
    outcomes = engine.record([post(1, posts=-2), post(2, posts=2), post(3, posts=2)])
    noted = [told(outcome, "achievement.progressed", "quest.progressed") for outcome in outcomes]
    assert noted == [[], [], [("A", 2), ("Q", 2)]]


def test_quests_note_their_progress_in_the_order_of_the_catalog(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + POSTS
        + """
        [[quests]]
        code = "BEST"
        type = "special"
        goals = { best = 10 }
        [[quests]]
        code = "POSTS"
        type = "special"
        goals = { posts = 10 }
        [[quests]]
        code = "BEST_AGAIN"
        type = "special"
        goals = { best = 10 }
        """
    )
    outcome = engine.record(post(1, posts=1, best=1))
    assert told(outcome, "quest.progressed") == [("BEST", 1), ("POSTS", 1), ("BEST_AGAIN", 1)]


def test_values_that_another_user_is_known_for_count_again_in_that_users_quest(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + """
        [metrics]
        tags = {}
        [[rules]]
        id = "tagged"
        on = "tagged"
        to = "data.author"
        metrics = { tags = { distinct = "data.tags" } }
        [[quests]]
        code = "daily"
        type = "daily"
        goals = { tags = 1 }
        """
    )
    for day in (1, 2):
        time = datetime(2026, 3, day, tzinfo=UTC)
        engine.record(Event("tagged", user="bob", id=f"t{day}", time=time, data={"author": "ada", "tags": ["a"]}))
    assert engine.profile("ada").metrics["quests"] == 2


def test_a_day_that_joins_two_runs_leaves_the_same_document_alone_and_in_a_batch():
    tree = {"catalog": {"name": "Runs"}, "streaks": [{"code": "posting", "on": "post"}]}
    now = from_datetime(datetime(2026, 3, 9, tzinfo=UTC))
    stream = [Asked(now, post(day)) for day in (1, 3, 5, 7, 4)]
    alone, batch = World(parsed(tree)), World(parsed(tree))
    play(alone, stream, one_by_one(stream))
    play(batch, stream)
    assert alone.documents == batch.documents
