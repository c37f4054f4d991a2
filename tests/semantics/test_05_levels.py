"""SEMANTICS 5: which level XP reaches, what reaching it pays, and how it is lost."""

from fractions import Fraction
from itertools import accumulate
from math import floor, isqrt

import pytest

import laurels
from laurels.catalog_file import parse_catalog
from tests.conftest import BASE, OpenEngine
from tests.semantics.telling import told

MOST = 2**53 - 1


def curve(text: str, more: str = "") -> str:
    """Return a catalog with this curve; `more` begins inside of [levels]."""
    return f'[catalog]\nname = "Levels"\n[levels]\ncurve = {{ {text} }}\n{more}'


def with_xp(engine: laurels.Engine, xp: int, user: str = "ada") -> laurels.Profile:
    """Return the profile of a new user who was awarded that much at once, or for 0 and less, who lost it."""
    engine.user(user).set(timezone="UTC")
    if xp > 0:
        engine.award_xp(user, xp, request_id="award")
    elif xp < 0:
        engine.wallet(user).adjust("xp", xp, request_id="adjust")
    return engine.profile(user)


def climbed(engine: laurels.Engine, levels_max: int) -> list[int]:
    """Return the XP at which each level is reached, found by going from one to the next."""
    engine.user("climber").set(timezone="UTC")
    thresholds = [0]
    while (next_xp := engine.profile("climber").level_progress.next_xp) is not None and len(thresholds) < levels_max:
        engine.award_xp("climber", next_xp - thresholds[-1], request_id=f"to {next_xp}")
        thresholds.append(next_xp)
        assert engine.profile("climber").level == len(thresholds)
    return thresholds


# --- 5.1 Curves -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "xp", "expected"),
    [
        *(
            pytest.param('kind = "quadratic", base = 100', xp, level, id=f"5a-quadratic-{xp}")
            for xp, level in [
                (99, 1),
                (100, 2),
                (399, 2),
                (400, 3),
                (8_099, 9),
                (8_100, 10),
                (57_600, 25),
                (240_100, 50),
                (980_100, 100),
                (MOST, 100),
                (-5, 1),
                (0, 1),
            ]
        ),
        *(
            pytest.param('kind = "linear", base = 100', xp, level, id=f"5a-linear-{xp}")
            for xp, level in [(99, 1), (100, 2), (950, 10), (9_899, 99), (9_900, 100), (MOST, 100)]
        ),
        *(
            pytest.param('kind = "exponential", base = 100, factor = 1.5', xp, level, id=f"5b-exponential-{xp}")
            for xp, level in [(99, 1), (811, 4), (812, 5), (1_317, 5), (1_318, 6)]
        ),
        *(
            pytest.param('kind = "quadratic", base = 7, max = 12', xp, level, id=f"quadratic-7-{xp}")
            for xp, level in [(6, 1), (7, 2), (27, 2), (28, 3), (846, 11), (847, 12), (10_000, 12)]
        ),
        *(
            pytest.param('kind = "table", thresholds = [0, 3, 4, 1000]', xp, level, id=f"table-{xp}")
            for xp, level in [(2, 1), (3, 2), (4, 3), (999, 3), (1_000, 4), (MOST, 4), (-1, 1)]
        ),
        pytest.param('kind = "table", thresholds = [0]', 1_000, 1, id="table-of-one-level"),
        pytest.param('kind = "linear", base = 1, max = 1', 1_000, 1, id="one-level"),
        pytest.param('kind = "linear", base = 1, max = 1000', 998, 999, id="a-thousand-levels"),
    ],
)
def test_5a_the_level_is_the_highest_that_the_xp_reaches(open_engine: OpenEngine, text, xp, expected):
    assert with_xp(open_engine(curve(text)), xp).level == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            'kind = "exponential", base = 100, factor = 1.5, max = 6', [0, 100, 250, 475, 812, 1318], id="5b-1.5"
        ),
        pytest.param(
            'kind = "exponential", base = 100, factor = 1.1, max = 6', [0, 100, 210, 331, 464, 610], id="5b-1.1"
        ),
        pytest.param(
            'kind = "exponential", base = 37, factor = 1.07, max = 60',
            list(accumulate((floor(37 * Fraction("1.07") ** step) for step in range(59)), initial=0)),
            id="exponential-of-60-levels",
        ),
        pytest.param(
            'kind = "exponential", base = 1000, factor = 2, max = 20',
            [1_000 * (2**step - 1) for step in range(20)],
            id="exponential-doubling",
        ),
        pytest.param('kind = "exponential", base = 50, factor = 1, max = 4', [0, 50, 100, 150], id="exponential-even"),
        pytest.param('kind = "quadratic", base = 3, max = 9', [3 * step**2 for step in range(9)], id="quadratic"),
        pytest.param('kind = "linear", base = 250, max = 5', [0, 250, 500, 750, 1_000], id="linear"),
        pytest.param('kind = "table", thresholds = [0, 100, 250]', [0, 100, 250], id="table"),
    ],
)
def test_5b_every_threshold_is_an_exact_whole_number(open_engine: OpenEngine, text, expected):
    assert climbed(open_engine(curve(text)), len(expected) + 1) == expected


def test_the_highest_level_is_100_unless_said():
    assert len(parse_catalog(curve('kind = "linear", base = 1')).levels.thresholds) == 100


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('kind = "linear", base = 1, max = 1001', id="more-than-a-thousand"),
        pytest.param('kind = "linear", base = 1, max = 0', id="no-level"),
        pytest.param('kind = "linear", base = 0', id="no-base"),
        pytest.param('kind = "linear", base = 1.5', id="a-fraction"),
        pytest.param('kind = "exponential", base = 100', id="exponential-without-factor"),
        pytest.param('kind = "table", thresholds = [0, 100, 100]', id="a-table-that-does-not-rise"),
        pytest.param('kind = "table", thresholds = [5, 100]', id="a-table-that-begins-above-0"),
        pytest.param('kind = "table", thresholds = []', id="an-empty-table"),
        pytest.param('kind = "cubic", base = 1', id="an-unknown-kind"),
    ],
)
def test_a_curve_that_cannot_be_climbed_is_a_mistake_in_the_catalog(text):
    with pytest.raises(laurels.CatalogInvalid):
        parse_catalog(curve(text))


def test_the_quadratic_curve_is_the_original_formula(open_engine: OpenEngine):
    engine = open_engine(curve('kind = "quadratic", base = 130, max = 100'))

    for number, xp in enumerate([1, 129, 130, 519, 520, 4_211, 129_999, 1_000_000]):
        assert with_xp(engine, xp, f"user{number}").level == isqrt(xp // 130) + 1


# --- 5.2 Reaching and losing ------------------------------------------------------------------------------------------


def test_5c_every_level_passed_is_reported_in_order_after_the_xp(open_engine: OpenEngine):
    engine = open_engine(curve('kind = "table", thresholds = [0, 100, 250]'))

    assert told(engine.award_xp("ada", 1_000, request_id="r1")) == ["xp +1000 = 1000", "level 2", "level 3"]


def test_5d_a_level_that_is_reached_again_pays_nothing(open_engine: OpenEngine):
    engine = open_engine(BASE.replace("bonus_xp = 0", "bonus_xp = 100"))

    assert told(engine.award_xp("ada", 100, request_id="r1")) == [
        "xp +100 = 100",
        "level 2",
        "xp +100 = 200 by level:2",
    ]
    assert told(engine.wallet("ada").adjust("xp", -150, request_id="r2")) == ["xp -150 = 50", "level 2 lost"]
    assert told(engine.award_xp("ada", 60, request_id="r3")) == ["xp +60 = 110", "level 2"]


def test_levels_are_lost_from_the_top_down_and_nothing_paid_is_taken(open_engine: OpenEngine):
    engine = open_engine(
        BASE.replace("bonus_xp = 0", "bonus_xp = 20")
        + 'reward = { sparkle = 7 }\n[currencies.sparkle]\n[[achievements]]\ncode = "LEVEL_3"\nwhen = { level = 3 }\n'
    )
    engine.award_xp("ada", 900, request_id="r1")

    lost = engine.wallet("ada").adjust("xp", -865, request_id="r2")

    assert told(lost) == ["xp -865 = 95", "level 4 lost", "level 3 lost", "level 2 lost"]
    ada = engine.profile("ada")
    assert (ada.level, ada.metrics["level"], ada.balances["sparkle"].available) == (1, 1, 21)
    assert ada.achievements.unlocked == 1


def test_only_levels_never_reached_before_pay_on_the_way_up(open_engine: OpenEngine):
    engine = open_engine(
        BASE.replace("bonus_xp = 0", "bonus_xp = 20")
        + 'reward = { sparkle = 7 }\n[currencies.sparkle]\n[[achievements]]\ncode = "LEVEL_3"\nwhen = { level = 3 }\n'
    )
    engine.award_xp("ada", 400, request_id="r1")
    engine.wallet("ada").adjust("xp", -400, request_id="r2")

    assert told(engine.award_xp("ada", 900, request_id="r3")) == [
        "xp +900 = 940",
        "level 2",
        "level 3",
        "level 4",
        "xp +20 = 960 by level:4",
        "sparkle +7 = 21 by level:4",
    ]


def test_a_rule_that_takes_xp_lowers_the_level(open_engine: OpenEngine):
    engine = open_engine(
        BASE
        + '[[rules]]\nid = "spam"\non = "post.flagged"\nxp = -30\n'
        + '[[rules]]\nid = "post"\non = "post.created"\nxp = 110\n'
    )
    engine.record(laurels.Event("post.created", user="ada", id="p1"))

    flagged = [engine.record(laurels.Event("post.flagged", user="ada", id=f"f{n}")) for n in range(5)]

    assert [told(outcome) for outcome in flagged] == [
        ["xp -30 = 80 by spam", "level 2 lost"],
        ["xp -30 = 50 by spam"],
        ["xp -30 = 20 by spam"],
        ["xp -30 = -10 by spam"],
        ["xp -30 = -40 by spam"],
    ]
    assert told(engine.record(laurels.Event("post.created", user="ada", id="p2"))) == ["xp +110 = 70 by post"]


def test_an_event_that_takes_and_gives_is_settled_once_at_the_end(open_engine: OpenEngine):
    engine = open_engine(
        BASE + '[[rules]]\nid = "fee"\non = "bet"\nxp = -90\n' + '[[rules]]\nid = "gain"\non = "bet"\nxp = 85\n'
    )
    engine.award_xp("ada", 110, request_id="r1")

    assert told(engine.record(laurels.Event("bet", user="ada", id="b1"))) == [
        "xp -90 = 20 by fee",
        "xp +85 = 105 by gain",
    ]


def test_the_starting_level_is_never_announced(open_engine: OpenEngine):
    engine = open_engine(BASE)

    assert told(engine.award_xp("ada", 1, request_id="r1")) == ["xp +1 = 1"]
    assert engine.profile("ada").level == 1


def test_an_award_beyond_the_whole_curve_is_accepted_and_xp_counts_on_at_the_top(open_engine: OpenEngine):
    engine = open_engine(curve('kind = "linear", base = 10, max = 3', "bonus_xp = 5\n"))

    first = engine.award_xp("ada", 1_000_000, request_id="r1")
    second = engine.award_xp("ada", 7, request_id="r2")

    assert told(first) == [
        "xp +1000000 = 1000000",
        "level 2",
        "xp +5 = 1000005 by level:2",
        "level 3",
        "xp +5 = 1000010 by level:3",
    ]
    assert told(second) == ["xp +7 = 1000017"]
    assert engine.profile("ada").level == 3


def test_xp_beyond_what_is_exact_is_refused_and_changes_nothing(open_engine: OpenEngine):
    engine = open_engine(BASE)
    engine.award_xp("ada", MOST, request_id="r1")

    with pytest.raises(laurels.InvalidInput) as refusal:
        engine.award_xp("ada", 1, request_id="r2")

    assert refusal.value.code == "amount_out_of_range"
    assert engine.profile("ada").xp == MOST


def test_a_bonus_that_would_go_beyond_what_is_exact_refuses_the_whole_request(open_engine: OpenEngine):
    engine = open_engine(BASE.replace("bonus_xp = 0", "bonus_xp = 100"))

    with pytest.raises(laurels.InvalidInput) as refusal:
        engine.award_xp("ada", MOST, request_id="r1")

    assert refusal.value.code == "amount_out_of_range"
    with pytest.raises(laurels.Unknown):
        engine.profile("ada")


# --- 5.3 Titles, perks, progress --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("xp", "level", "expected"),
    [
        pytest.param(249, 2, (100, 250, 0.9933), id="5c-floored-to-four-decimals"),
        pytest.param(300, 3, (250, None, 1.0), id="5c-at-the-cap"),
        pytest.param(250, 3, (250, None, 1.0), id="at-the-cap-exactly"),
        pytest.param(0, 1, (0, 100, 0.0), id="nothing"),
        pytest.param(-40, 1, (0, 100, 0.0), id="below-zero"),
        pytest.param(33, 1, (0, 100, 0.33), id="a-third"),
        pytest.param(100, 2, (100, 250, 0.0), id="just-reached"),
        pytest.param(101, 2, (100, 250, 0.0066), id="a-small-part"),
        pytest.param(200, 2, (100, 250, 0.6666), id="two-thirds-are-not-rounded-up"),
    ],
)
def test_5c_level_progress(open_engine: OpenEngine, xp, level, expected):
    profile = with_xp(open_engine(curve('kind = "table", thresholds = [0, 100, 250]')), xp)

    progress = profile.level_progress
    assert (profile.level, (progress.current_xp, progress.next_xp, progress.fraction)) == (level, expected)


def test_level_progress_follows_a_level_that_was_lost(open_engine: OpenEngine):
    engine = open_engine(curve('kind = "table", thresholds = [0, 100, 250]'))
    with_xp(engine, 260)

    engine.wallet("ada").adjust("xp", -85, request_id="r2")

    progress = engine.profile("ada").level_progress
    assert (progress.current_xp, progress.next_xp, progress.fraction) == (100, 250, 0.5)


TITLES = """
[levels.at.3]
title = "Regular"
perks = ["signature"]
[levels.at.5]
perks = ["custom-avatar", "polls"]
[levels.at.10]
title = "Rising Star"
perks = ["badge"]
"""


@pytest.mark.parametrize(
    ("level", "title", "perks"),
    [
        pytest.param(1, None, (), id="none-yet"),
        pytest.param(2, None, (), id="5d-below-the-first-title"),
        pytest.param(3, "Regular", ("signature",), id="its-own"),
        pytest.param(4, "Regular", ("signature",), id="of-the-level-below"),
        pytest.param(6, "Regular", ("signature", "custom-avatar", "polls"), id="past-one-that-has-none"),
        pytest.param(9, "Regular", ("signature", "custom-avatar", "polls"), id="just-below"),
        pytest.param(10, "Rising Star", ("signature", "custom-avatar", "polls", "badge"), id="5d-the-titled-level"),
        pytest.param(11, "Rising Star", ("signature", "custom-avatar", "polls", "badge"), id="5d-above-it"),
    ],
)
def test_5d_the_title_is_that_of_the_highest_titled_level_and_perks_add_up(
    open_engine: OpenEngine, level, title, perks
):
    profile = with_xp(open_engine(curve('kind = "linear", base = 10', TITLES)), 10 * (level - 1))

    assert (profile.level, profile.title, profile.perks) == (level, title, perks)


def test_5d_only_level_10_titled(open_engine: OpenEngine):
    engine = open_engine(curve('kind = "linear", base = 10', '[levels.at.10]\ntitle = "Rising Star"\n'))

    outcome = engine.award_xp("ada", 100, request_id="r1")

    reached = [(change.level, change.title) for change in outcome.changes if change.type == "level.reached"]
    assert reached == [*((level, None) for level in range(2, 10)), (10, "Rising Star"), (11, "Rising Star")]


def test_title_and_perks_go_with_the_level(open_engine: OpenEngine):
    engine = open_engine(curve('kind = "linear", base = 10', TITLES))
    with_xp(engine, 95)

    engine.wallet("ada").adjust("xp", -60, request_id="r2")

    assert (engine.profile("ada").title, engine.profile("ada").perks) == ("Regular", ("signature",))
