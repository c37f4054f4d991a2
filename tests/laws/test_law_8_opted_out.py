"""Law 8. A user who opted out is in no rank, count or limited place, earns in private, and comes back with it all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import laurels
from laurels import Outcome
from laurels.core.periods import to_datetime
from tests.conftest import Clock
from tests.laws import model
from tests.laws.conftest import examples
from tests.laws.play import apply, one_by_one, play
from tests.laws.strategies import METRICS, USERS, USUAL, Asked, Setting, catalog_trees, parsed, streams
from tests.laws.world import World

ALONE = USUAL._replace(people=("ada",))
KINDS = ("daily", "weekly", "monthly", "alltime")


@st.composite
def ranked_trees(draw) -> dict:
    """Catalogs with a board for some metrics, in every period."""
    tree = draw(catalog_trees())
    metrics = draw(
        st.lists(st.sampled_from([*METRICS, "xp", "level", "quests", "streak.login"]), unique=True, max_size=3)
    )
    tree["leaderboards"] = [
        {
            "code": metric,
            "metric": metric,
            "periods": list(KINDS),
            "ties": draw(st.sampled_from(["standard", "dense", "first"])),
        }
        for metric in ("posts", *(metric for metric in metrics if metric != "posts"))
    ]
    return tree


def played(url: str, tree: dict, stream: list) -> tuple[laurels.Engine, dict]:
    """Play a stream to an engine that is at the end of it, and to the model."""
    engine = laurels.open(url, catalog=parsed(tree), clock=Clock(to_datetime(stream[-1].now)))
    apply(engine, stream)
    expected = model.new_world(tree)
    for step in stream:
        if isinstance(step, Setting):
            model.set_user(expected, step.user, step.fields)
        else:
            told_by_model(expected, step.request, stream[-1].now)
    return engine, expected


def told_by_model(expected: dict, request, now: int) -> None:
    try:
        model.record(expected, request, now)
    except model.Refused:
        return


def assert_boards_agree(engine: laurels.Engine, expected: dict) -> None:
    """Compare rank, user and score of every line of every board in every period in which anything happened."""
    days = {move["day"] for user in expected["users"].values() for move in user["moves"]}
    for board in expected["tree"]["leaderboards"]:
        for kind in KINDS:
            for key in sorted({"all"} if kind == "alltime" else {model.period_key(kind, day) for day in days}):
                found = engine.leaderboard(board["code"], period=kind, at=key)
                lines = [(line.rank, line.user_id, line.score) for line in found.top(100)]
                assert lines == model.standings(expected, board["metric"], (kind, key), board["ties"])
                assert found.total == len(lines)


@examples(15)
@given(data=st.data())
def test_law_8_boards_are_what_the_model_counts_without_those_who_opted_out(new_database, data):
    tree = data.draw(ranked_trees(), label="catalog")
    engine, expected = played(new_database(), tree, data.draw(streams(tree), label="stream"))
    with engine:
        assert_boards_agree(engine, expected)
        for user in USERS:
            change = Setting(0, user, {"opted_out": data.draw(st.booleans(), label=user)})
            apply(engine, [change])
            model.set_user(expected, user, change.fields)
        assert_boards_agree(engine, expected)
        for user, known in expected["users"].items():
            rank = engine.leaderboard("posts").rank(user)
            assert rank is None or not known["opted_out"]


@examples(100)
@given(data=st.data())
def test_law_8_who_opted_out_takes_no_limited_place_and_earns_all_else_as_usual(data):
    """Ada does the same in two worlds: opted out in one; in the other she is not, and every limited place is gone."""
    tree = data.draw(catalog_trees(), label="catalog")
    limited = [achievement for achievement in tree["achievements"] if "max_achievers" in achievement]
    sold_out = {**tree, "achievements": [a | {"max_achievers": 0} if a in limited else a for a in tree["achievements"]]}
    stream = [step for step in data.draw(streams(tree, ALONE), label="stream") if isinstance(step, Asked)]
    hidden, shown = World(parsed(tree)), World(parsed(sold_out))
    for user in USERS:
        hidden.set(user, opted_out=True)
        shown.set(user, opted_out=False)
    unseen, seen = (play(world, stream, one_by_one(stream)) for world in (hidden, shown))
    assert [told(answer) for answer in unseen] == [told(answer) for answer in seen]
    assert sum(hidden.taken.values()) == 0


def told(answer) -> object:
    """What happened, and what did not: sold out and opted out come to the same."""
    if not isinstance(answer, Outcome):
        return answer and answer.code
    return answer.changes, [(skip.rule, skip.user_id) for skip in answer.skipped]
