"""SEMANTICS 3: what counts once, for whom, and what one does to oneself."""

import pytest

import laurels
from tests.conftest import BASE, Clock, OpenEngine
from tests.semantics.telling import at, skipped, told, xp_paid

LIKES = """
[[rules]]
id = "liked"
on = "like"
to = "data.author"
xp = 2
once_per = "data.post"
"""


def like(
    engine: laurels.Engine, actor: str, post: object, *, author: object = "ada", number: int = 1
) -> laurels.Outcome:
    event = laurels.Event("like", user=actor, id=f"l{number}", data={"author": author, "post": post})
    return engine.record(event)


# --- 3.1 once_per -----------------------------------------------------------------------------------------------------


def test_3a_each_persons_like_counts_once(open_engine: OpenEngine):
    engine = open_engine(BASE + LIKES)

    assert told(like(engine, "bob", "p1")) == ["ada: xp +2 = 2 by liked"]
    engine.record(laurels.Event("unlike", user="bob", id="u1", data={"author": "ada", "post": "p1"}))
    again = like(engine, "bob", "p1", number=2)
    assert (told(again), skipped(again)) == ([], [("liked", "already_counted", None)])
    assert told(like(engine, "carol", "p1")) == ["ada: xp +2 = 4 by liked"]


def test_3a_once_by_anyone_counts_the_first_like_alone(open_engine: OpenEngine):
    engine = open_engine(BASE + LIKES + 'once_by = "anyone"\n')

    like(engine, "bob", "p1")
    carol = like(engine, "carol", "p1")

    assert (told(carol), skipped(carol)) == ([], [("liked", "already_counted", None)])
    assert xp_paid(like(engine, "carol", "p2", number=2)) == 2


def test_3b_the_same_post_pays_its_author_once(open_engine: OpenEngine):
    """The part of 3b that needs no revoke: post, and post again."""
    engine = open_engine(BASE + '[[rules]]\nid = "post"\non = "post.created"\nonce_per = "data.post"\nxp = 10\n')

    first = engine.record(laurels.Event("post.created", user="ada", id="e1", data={"post": "p1"}))
    again = engine.record(laurels.Event("post.created", user="ada", id="e2", data={"post": "p1"}))

    assert told(first) == ["xp +10 = 10 by post"]
    assert skipped(again) == [("post", "already_counted", None)]
    assert engine.profile("ada").xp == 10


def test_a_claim_is_of_one_recipient_one_rule_and_one_actor(open_engine: OpenEngine):
    engine = open_engine(BASE + LIKES + LIKES.replace('"liked"', '"liked-too"').replace("xp = 2", "xp = 5"))

    assert xp_paid(like(engine, "bob", "p1")) == 7
    assert xp_paid(like(engine, "bob", "p1", author="eve", number=2)) == 7
    assert xp_paid(like(engine, "carol", "p1")) == 7
    assert xp_paid(like(engine, "bob", "p1", number=3)) == 0


def test_a_claim_counts_at_any_age_and_in_any_order(open_engine: OpenEngine, clock: Clock):
    engine = open_engine(BASE + LIKES)
    like(engine, "bob", "p1")

    clock.advance(days=4_000)
    assert xp_paid(like(engine, "bob", "p1", number=2)) == 0

    late = laurels.Event(
        "like", user="bob", id="l3", time=at("1999-01-01T00:00Z"), data={"author": "ada", "post": "p1"}
    )
    assert xp_paid(engine.record(late)) == 0


def test_a_claim_holds_inside_one_batch(open_engine: OpenEngine):
    engine = open_engine(BASE + LIKES)
    data = {"author": "ada", "post": "p1"}

    outcomes = engine.record([laurels.Event("like", user="bob", id=f"l{n}", data=data) for n in range(3)])

    assert [xp_paid(outcome) for outcome in outcomes] == [2, 0, 0]


def test_one_actors_limit_is_no_other_actors_claim(open_engine: OpenEngine):
    """A refused like leaves the post unclaimed."""
    engine = open_engine(BASE + LIKES + 'limit = { times = 1, per = "day" }\n')

    like(engine, "bob", "p1")
    refused = like(engine, "carol", "p1")
    late = laurels.Event(
        "like", user="carol", id="l2", time=at("2026-11-21T09:00Z"), data={"author": "ada", "post": "p1"}
    )

    assert skipped(refused) == [("liked", "limit_reached", "2026-11-23T00:00:00Z")]
    assert xp_paid(engine.record(late)) == 2


# --- 3.2 The value ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "is_the_same"),
    [
        pytest.param(7, "7", True, id="number-and-text"),
        pytest.param(7, 7.0, True, id="whole-number-with-a-point"),
        pytest.param(2**53 + 1, str(2**53 + 1), True, id="a-number-beyond-a-double"),
        pytest.param(2**53 + 1, str(2**53), False, id="a-number-beyond-a-double-is-exact"),
        pytest.param(10**30, "1" + 30 * "0", True, id="a-number-beyond-64-bits"),
        pytest.param("7", "07", False, id="text-is-exact"),
        pytest.param("7", "7 ", False, id="a-space-at-the-end"),
        pytest.param("Post", "post", False, id="case"),
        pytest.param("é", "e\u0301", False, id="composed-and-decomposed"),
        pytest.param("", "0", False, id="empty-text-is-a-value"),
        pytest.param("", "", True, id="empty-text-twice"),
        pytest.param("a" * 5_000, "a" * 5_000, True, id="a-long-text"),
        pytest.param("a" * 5_000, "a" * 4_999 + "b", False, id="long-texts-that-end-differently"),
        pytest.param("a'b\"c\\d", "a'b\"c\\d", True, id="quotes"),
        pytest.param("−7", "-7", False, id="another-minus"),
        pytest.param(-7, "-7", True, id="below-zero"),
        pytest.param(-0.0, 0, True, id="minus-zero"),
    ],
)
def test_values_are_compared_as_exact_text(open_engine: OpenEngine, first, second, is_the_same):
    engine = open_engine(BASE + LIKES)

    paid = [xp_paid(like(engine, "bob", value, number=n)) for n, value in enumerate((first, second))]

    assert paid == [2, 0 if is_the_same else 2]


ODD_VALUES = [
    pytest.param(None, id="null"),
    pytest.param(True, id="a-boolean"),
    pytest.param(1.5, id="a-fraction"),
    pytest.param(["p1"], id="a-list"),
    pytest.param({"id": "p1"}, id="an-object"),
]


@pytest.mark.parametrize("value", ODD_VALUES)
def test_a_value_that_is_no_text_or_whole_number_pays_nothing(open_engine: OpenEngine, value):
    engine = open_engine(BASE + LIKES)

    outcome = like(engine, "bob", value)

    assert (told(outcome), skipped(outcome)) == ([], [("liked", "not_available", None)])


@pytest.mark.parametrize(
    "value", [*ODD_VALUES, *(pytest.param(text, id=f"id-{text!r:.9}") for text in ("", " ada", "a\nb", "a" * 256))]
)
def test_a_recipient_that_is_no_id_gets_nothing(open_engine: OpenEngine, value):
    engine = open_engine(BASE + LIKES)

    outcome = like(engine, "bob", "p1", author=value)

    assert (told(outcome), skipped(outcome)) == ([], [("liked", "not_available", None)])
    assert list(engine.users()) == ["bob"]


@pytest.mark.parametrize("data", [None, {}, {"author": "ada"}, {"post": "p1"}, {"author": {"id": "ada"}, "post": "p1"}])
def test_what_is_missing_pays_nothing(open_engine: OpenEngine, data):
    engine = open_engine(BASE + LIKES)

    outcome = engine.record(laurels.Event("like", user="bob", id="l1", data=data))

    assert (told(outcome), skipped(outcome)) == ([], [("liked", "not_available", None)])


def test_a_whole_number_names_the_user_of_that_text(open_engine: OpenEngine):
    engine = open_engine(BASE + LIKES)

    assert told(like(engine, "bob", "p1", author=42)) == ["42: xp +2 = 2 by liked"]
    assert told(like(engine, "bob", "p2", author="42", number=2)) == ["42: xp +2 = 4 by liked"]
    assert told(like(engine, "42", "p3", author=42)) == []


def test_a_user_is_made_by_being_named_also_by_a_rule_that_has_nothing_to_pay(open_engine: OpenEngine):
    rule = '[[rules]]\nid = "read"\non = "like"\nto = "data.author"\nmetrics = { words = "data.words" }\n'
    engine = open_engine(BASE + "[metrics.words]\n" + rule)

    assert told(like(engine, "bob", "p1")) == []
    assert list(engine.users()) == ["ada", "bob"]


def test_users_are_case_sensitive_and_made_by_being_named(open_engine: OpenEngine):
    engine = open_engine(BASE + LIKES)

    like(engine, "bob", "p1", author="Ada")
    like(engine, "bob", "p1", author="ada", number=2)

    assert [(user, engine.profile(user).xp) for user in engine.users()] == [("Ada", 2), ("ada", 2), ("bob", 0)]


# --- 3.3 distinct -----------------------------------------------------------------------------------------------------

TAGS = """
[metrics.tags]
[[rules]]
id = "post"
on = "post.created"
xp = 1
metrics = { tags = { distinct = "data.tags" } }
"""


def tag(
    engine: laurels.Engine, number: int, tags: object, *, kind: str = "post.created", user: str = "ada"
) -> laurels.Outcome:
    return engine.record(laurels.Event(kind, user=user, id=f"t{number}", data={"tags": tags}))


def test_3c_different_values_are_counted_once_each(open_engine: OpenEngine):
    engine = open_engine(BASE + TAGS)

    values = []
    for number, tags in enumerate(["python", "sql", "python", ["a", "b", "a"]]):
        assert skipped(tag(engine, number, tags)) == []
        values.append(engine.profile("ada").metrics["tags"])

    assert values == [1, 2, 2, 4]


def test_distinct_is_per_user_and_metric_whichever_rule_feeds_it(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + TAGS
        + '[[rules]]\nid = "comment"\non = "comment.created"\nmetrics = { tags = { distinct = "data.tags" } }\n'
    )

    tag(engine, 1, ["x", "y"])
    again = tag(engine, 2, ["y", "z", 7], kind="comment.created")
    other = tag(engine, 3, ["x"], user="bob")

    assert told(again) == ["tags = 4"]
    assert told(other) == ["xp +1 = 1 by post", "tags = 1"]


def test_two_rules_that_see_the_same_value_in_one_event_count_it_once(open_engine: OpenEngine):
    engine = open_engine(BASE + TAGS + TAGS.replace("[metrics.tags]", "").replace('"post"', '"post-too"'))

    assert told(tag(engine, 1, ["x", "x"]), "metric.changed") == ["tags = 1"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param(None, 0, id="null"),
        pytest.param([], 0, id="an-empty-list"),
        pytest.param(["a", None, "b"], 2, id="null-in-a-list"),
        pytest.param([7, "7", 7.0], 1, id="numbers-as-text"),
        pytest.param(["a", "A"], 2, id="case"),
        pytest.param("a,b", 1, id="one-text-is-one-value"),
    ],
)
def test_what_distinct_counts(open_engine: OpenEngine, tags, expected):
    engine = open_engine(BASE + TAGS)

    outcome = tag(engine, 1, tags)

    assert (engine.profile("ada").metrics["tags"], skipped(outcome), xp_paid(outcome)) == (expected, [], 1)


def test_distinct_without_its_field_counts_nothing_and_the_rule_goes_on(open_engine: OpenEngine):
    engine = open_engine(BASE + TAGS)

    outcome = engine.record(laurels.Event("post.created", user="ada", id="p1", data={}))

    assert (told(outcome), skipped(outcome)) == (["xp +1 = 1 by post"], [])


@pytest.mark.parametrize("tags", [True, 1.5, {"a": 1}, ["a", ["b"]]])
def test_what_distinct_cannot_count_is_said_and_the_rule_goes_on(open_engine: OpenEngine, tags):
    engine = open_engine(BASE + TAGS)

    outcome = tag(engine, 1, tags)

    assert told(outcome) == ["xp +1 = 1 by post"]
    assert [(skip.rule, skip.reason, skip.metric) for skip in outcome.skipped] == [("post", "not_available", "tags")]


# --- 3.4 Self-action --------------------------------------------------------------------------------------------------


def test_what_one_does_to_oneself_is_a_self_action(open_engine: OpenEngine):
    engine = open_engine(BASE + LIKES)

    outcome = like(engine, "ada", "p1")

    assert (told(outcome), skipped(outcome)) == ([], [("liked", "self_action", None)])


def test_a_self_action_is_paid_where_the_rule_allows_it(open_engine: OpenEngine):
    engine = open_engine(BASE + LIKES + "allow_self = true\n")

    assert told(like(engine, "ada", "p1")) == ["xp +2 = 2 by liked"]


def test_a_rule_without_a_recipient_is_never_a_self_action(open_engine: OpenEngine):
    engine = open_engine(BASE + '[[rules]]\nid = "given"\non = "like"\nxp = 1\n')

    assert told(like(engine, "ada", "p1")) == ["xp +1 = 1 by given"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({"author": "ada"}, 0, id="a-self-like-earns-nothing-at-all"),
        pytest.param({"author": "eve"}, 3, id="a-like-earns-both"),
        pytest.param({}, 1, id="a-like-of-nobody"),
    ],
)
def test_the_giver_earns_nothing_for_a_self_like_by_the_condition_that_the_rules_recommend(
    open_engine: OpenEngine, data, expected
):
    condition = "!has(data.author) || data.author != user"
    engine = open_engine(
        BASE
        + f'[[rules]]\nid = "given"\non = "like"\nxp = 1\nwhen = "{condition}"\n'
        + '[[rules]]\nid = "received"\non = "like"\nxp = 2\nto = "data.author"\n'
    )

    assert xp_paid(engine.record(laurels.Event("like", user="ada", id="l1", data=data))) == expected


# --- 3.5 Sources ------------------------------------------------------------------------------------------------------


def test_3c_an_award_of_the_same_source_is_paid_once_whatever_its_request_id(open_engine: OpenEngine):
    engine = open_engine(BASE)

    first = engine.award_xp("ada", 50, source="moderation", source_id="case-7", request_id="r1")
    second = engine.award_xp("ada", 50, source="moderation", source_id="case-7", request_id="r2")
    third = engine.award_xp("ada", 50, source="bug-bounty", source_id="case-7", request_id="r3")

    assert told(first) == ["xp +50 = 50"]
    assert (second.status, told(second), [skip.reason for skip in second.skipped]) == (
        "applied",
        [],
        ["already_counted"],
    )
    assert told(third, "xp.awarded") == ["xp +50 = 100"]


def test_a_source_is_per_user_unit_source_and_id(open_engine: OpenEngine):
    engine = open_engine(BASE + "[currencies.sparkle]\n[currencies.amber]\n")
    case = {"source": "moderation", "source_id": "case-7"}

    engine.award_xp("ada", 50, request_id="r1", **case)
    engine.award_xp("bob", 50, request_id="r1", **case)
    engine.wallet("ada").credit("sparkle", 5, request_id="r2", **case)
    engine.wallet("ada").credit("amber", 6, request_id="r3", **case)
    engine.wallet("ada").credit("amber", 60, request_id="r4", **case)
    engine.award_xp("ada", 1, request_id="r5", source="moderation", source_id="case-8")
    engine.award_xp("ada", 1_000, request_id="r6", source="moderation", source_id="case-8")

    ada = engine.profile("ada")
    assert (ada.xp, ada.balances["sparkle"].available, ada.balances["amber"].available) == (51, 5, 6)
    assert engine.profile("bob").xp == 50


def test_awards_without_a_source_id_are_all_paid(open_engine: OpenEngine):
    engine = open_engine(BASE)

    for number in range(3):
        engine.award_xp("ada", 50, source="moderation", request_id=f"r{number}")

    assert engine.profile("ada").xp == 150


def test_a_source_is_paid_once_inside_one_batch(open_engine: OpenEngine):
    engine = open_engine(BASE)
    awards = [
        laurels.AwardXp(user="ada", id=f"r{n}", amount=10 + n, source="moderation", source_id="case-7")
        for n in range(3)
    ]

    outcomes = engine.record(awards)

    assert [xp_paid(outcome) for outcome in outcomes] == [10, 0, 0]


def test_the_skipped_award_is_recorded_and_its_repeat_is_a_duplicate(open_engine: OpenEngine):
    engine = open_engine(BASE)
    for request_id in ("r1", "r2"):
        engine.award_xp("ada", 50, source="moderation", source_id="case-7", request_id=request_id)

    again = engine.award_xp("ada", 50, source="moderation", source_id="case-7", request_id="r2")

    assert (again.status, again.changes, [skip.reason for skip in again.skipped]) == (
        "duplicate",
        (),
        ["already_counted"],
    )


def test_an_award_that_is_refused_with_its_batch_leaves_its_source_unpaid(open_engine: OpenEngine):
    engine = open_engine(BASE + "[currencies.sparkle]\n")
    award = laurels.AwardXp(user="ada", id="r1", amount=5, source="contest", source_id="7")
    engine.award_xp("ada", 1, request_id="r0")

    with pytest.raises(laurels.InsufficientFunds):
        engine.record([award, laurels.Spend(user="ada", id="r2", currency="sparkle", amount=1)])

    assert told(engine.record(award)) == ["xp +5 = 6"]
