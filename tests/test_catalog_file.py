"""From text to Catalog: both formats, what becomes of each table, the canonical source, files, the editors' schema."""

import copy
import json
import random
import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from laurels.catalog_file import CATALOG_BYTES_MAX, bundled_catalogs, catalog_schema, load_catalog, parse_catalog
from laurels.core.catalog import Effect, Limit, Prize, Reward, Threshold
from laurels.core.conditions import compile_path
from laurels.core.errors import CatalogInvalid
from laurels.core.periods import parse_instant
from laurels.core.state import AMOUNT_MAX

CATALOGS = Path(__file__).parents[1] / "src/laurels/catalogs"

#: Every table and nearly every field once.
FULL = """
[catalog]
name = "Sparkle Universe"
timezone = "Europe/Berlin"
on_revoke = "keep"
on_harder = "take"
announce_retroactive = "each"

[events."post.created"]
data = { published = "bool", words = "int" }
[events."reaction.added"]
[events."user.login"]

[currencies.sparkle]
name = "Sparkle points"
[currencies.premium]
[currencies.old]
enabled = false

[levels]
curve = { kind = "quadratic", base = 100, max = 100 }
bonus_xp = 100
reward = { sparkle = 50, old = 5 }
[levels.at.10]
title = "Rising Star"
perks = ["custom-avatar"]
reward = { sparkle = 100, premium = 5 }
[levels.at.9]
title = "Nearly"

[defaults]
achievement_reward = { xp = 25, sparkle = 1 }
quest_reward = { xp = 30 }

[metrics]
words = { name = "Words written" }
posts = {}
best_score = {}
tags = {}
articles = { was = "texts" }

[[rules]]
id = "post-create"
on = "post.created"
when = "data.published"
xp = 10
reward = { sparkle = 2, premium = 1, old = 3 }
metrics = { words = "data.words", posts = 1, best_score = { max = "data.score" }, tags = { distinct = "data.tags" } }
[[rules]]
id = "off"
on = "post.created"
enabled = false
[[rules]]
id = "reaction-received"
on = ["reaction.added", "post.*"]
to = "data.author"
allow_self = true
once_per = "data.target"
once_by = "anyone"
limit = { times = 3, per = "week", cooldown = "1h30m" }

[[boosts]]
id = "weekend"
from = 2026-11-28T00:00:00Z
until = 2026-11-30T00:00:00+01:00
on = ["post.*"]
xp = 1.1
reward = { sparkle = 2, old = 3 }
stacking = "highest"
rounding = "half_up"
[[boosts]]
id = "off"
xp = 2
enabled = false

[[achievements]]
code = "FIRST_POST"
name = "First steps"
when = { posts = 1 }
[[achievements]]
code = "BOTH"
rarity = "epic"
when = { words = 500, posts = 10 }
any = { "earned.sparkle" = 5, streak.login = 7 }
requires = ["FIRST_POST"]
reward = { xp = 200, sparkle = 20, old = 1 }
secret = true
max_achievers = 0
from = 2026-01-01T00:00:00Z
until = 2027-01-01T00:00:00Z
enabled = false

[[quests]]
code = "daily-poster"
type = "daily"
goals = { posts = 1 }
reward = { sparkle = 5 }
claim = "manual"
level_required = 2
max_completions = 2
cooldown = "12h"
[[quests]]
code = "sprint"
goals = { words = 500 }
requires = ["daily-poster"]
time_limit = "2h"

[[streaks]]
code = "login"
on = "user.login"
every = "week"
bonus = { xp_per_step = 5, max_xp = 100 }
freezes = { initial = 1, max = 2, earn_every = 7 }

[[leaderboards]]
code = "xp"
metric = "xp"
periods = ["daily", "alltime"]
ties = "first"
group = "team"
late = "adjust"
prizes = [{ ranks = [1, 3], reward = { sparkle = 100, old = 1 } }]
"""

#: Two ways to say the same, each in a catalog that has the rest.
GROUND = '[currencies.sparkle]\n[metrics]\nposts = {}\n[[streaks]]\ncode = "login"\non = "*"\n'


def as_json(text):
    return json.dumps(tomllib.loads(text), default=lambda time: time.isoformat())


# --- What becomes of the tables ---------------------------------------------------------------------------------------


def test_a_catalog_without_anything_has_the_levels_of_the_original():
    catalog = parse_catalog("")
    assert (catalog.name, catalog.zone, catalog.on_revoke, catalog.on_harder) == ("Untitled", "UTC", "take", "keep")
    assert catalog.levels.thresholds[:4] == (0, 100, 400, 900)
    assert len(catalog.levels.thresholds) == 100


def test_settings_are_taken_over():
    catalog = parse_catalog(FULL)
    assert (catalog.name, catalog.zone) == ("Sparkle Universe", "Europe/Berlin")
    assert (catalog.on_revoke, catalog.on_harder, catalog.announce_retroactive) == ("keep", "take", "each")


def test_tables_are_ordered_by_code_and_arrays_as_in_the_file():
    catalog = parse_catalog(FULL)
    assert list(catalog.metrics) == ["articles", "best_score", "posts", "tags", "words"]
    assert list(catalog.currencies) == ["old", "premium", "sparkle"]
    assert list(catalog.levels.at) == [9, 10]
    assert list(catalog.achievements) == ["FIRST_POST", "BOTH"]
    assert list(catalog.quests) == ["daily-poster", "sprint"]


def test_what_has_no_name_is_called_by_its_code():
    catalog = parse_catalog(FULL)
    assert catalog.metrics["posts"].name == "posts"
    assert catalog.currencies["premium"].name == "premium"
    assert catalog.achievements["BOTH"].name == "BOTH"
    assert catalog.streaks["login"].name == "login"


def test_disabled_rules_and_boosts_are_gone_but_achievements_and_quests_are_known():
    catalog = parse_catalog(FULL)
    assert [rule.id for rule in catalog.rules] == ["post-create", "reaction-received"]
    assert [boost.id for boost in catalog.boosts] == ["weekend"]
    assert not catalog.achievements["BOTH"].enabled


def test_a_disabled_currency_is_known_and_nothing_pays_it():
    catalog = parse_catalog(FULL)
    assert not catalog.currencies["old"].enabled
    assert catalog.rules[0].reward == (("premium", 1), ("sparkle", 2))
    assert catalog.boosts[0].reward == {"sparkle": Fraction(2)}
    assert catalog.levels.reward == Reward(currencies=(("sparkle", 50),))
    assert catalog.leaderboards["xp"].prizes == (
        Prize(first_rank=1, last_rank=3, reward=Reward(currencies=(("sparkle", 100),))),
    )


def test_the_default_reward_is_added_to_each():
    catalog = parse_catalog(FULL)
    assert catalog.achievements["FIRST_POST"].reward == Reward(xp=25, currencies=(("sparkle", 1),))
    assert catalog.achievements["BOTH"].reward == Reward(xp=225, currencies=(("sparkle", 21),))
    assert catalog.quests["daily-poster"].reward == Reward(xp=30, currencies=(("sparkle", 5),))


def test_a_rule_changes_metrics_in_the_order_of_their_codes():
    assert parse_catalog(FULL).rules[0].effects == (
        Effect(metric="best_score", kind="max", path=compile_path("data.score")),
        Effect(metric="posts", kind="add", amount=1),
        Effect(metric="tags", kind="distinct", path=compile_path("data.tags")),
        Effect(metric="words", kind="add", path=compile_path("data.words")),
    )


@pytest.mark.parametrize(
    ("metric", "expected"), [("posts", "add"), ("best_score", "max"), ("tags", "distinct"), ("articles", "add")]
)
def test_a_metric_is_of_the_kind_that_rules_use(metric, expected):
    assert parse_catalog(FULL).metrics[metric].kind == expected


def test_a_disabled_rule_still_says_of_what_kind_a_metric_is():
    text = '[metrics]\nm = {}\n[[rules]]\nid = "r"\non = "a"\nenabled = false\nmetrics = { m = { max = 5 } }'
    assert parse_catalog(text).metrics["m"].kind == "max"


def test_the_options_of_a_rule_are_taken_over():
    rule = parse_catalog(FULL).rules[1]
    assert rule.on == ("reaction.added", "post.*")
    assert rule.to == compile_path("data.author")
    assert (rule.allow_self, rule.once_by_anyone) == (True, True)
    assert rule.limit == Limit(times=3, per="week", cooldown=5_400_000_000)


def test_a_boost_is_exact():
    [boost] = parse_catalog(FULL).boosts
    assert boost.xp == Fraction(11, 10)
    assert boost.starts_at == parse_instant("2026-11-28T00:00:00Z")
    assert boost.ends_at == parse_instant("2026-11-29T23:00:00Z")
    assert (boost.stacking, boost.rounding) == ("highest", "half_up")


def test_an_achievement_has_its_thresholds_by_metric():
    achievement = parse_catalog(FULL).achievements["BOTH"]
    assert achievement.when == (Threshold(metric="posts", target=10), Threshold(metric="words", target=500))
    assert achievement.any == (
        Threshold(metric="earned.sparkle", target=5),
        Threshold(metric="streak.login", target=7),
    )
    assert (achievement.requires, achievement.secret, achievement.max_achievers) == (("FIRST_POST",), True, 0)


def test_a_quest_is_accepted_by_hand_if_its_time_is_limited():
    quests = parse_catalog(FULL).quests
    assert (quests["sprint"].accept, quests["sprint"].time_limit) == ("manual", 7_200_000_000)
    assert (quests["daily-poster"].accept, quests["daily-poster"].cooldown) == ("auto", 43_200_000_000)
    assert (quests["daily-poster"].claim, quests["daily-poster"].max_completions) == ("manual", 2)


def test_a_streak_has_its_bonus_and_freezes():
    streak = parse_catalog(FULL).streaks["login"]
    assert (streak.on, streak.every, streak.xp_per_step, streak.max_xp) == (("user.login",), "week", 5, 100)
    assert (streak.freezes_initial, streak.freezes_max, streak.freezes_earn_every) == (1, 2, 7)


def test_a_board_is_taken_over():
    board = parse_catalog(FULL).leaderboards["xp"]
    assert (board.metric, board.periods, board.ties) == ("xp", ("daily", "alltime"), "first")
    assert (board.group, board.late) == ("team", "adjust")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("10m", 600), ("12h", 43_200), ("1d", 86_400), ("2w", 1_209_600), ("1h30m", 5_400), ("0h1m", 60)],
)
def test_a_duration_is_a_sum_of_its_units(text, expected):
    catalog = parse_catalog(f'rules = [{{ id = "r", on = "a", limit = {{ cooldown = "{text}" }} }}]')
    assert catalog.rules[0].limit.cooldown == expected * 1_000_000


# --- Levels -----------------------------------------------------------------------------------------------------------


def levels(curve):
    return parse_catalog(f"levels = {{ curve = {{ {curve} }} }}").levels


QUADRATIC_LEVELS = [(99, 1), (100, 2), (399, 2), (400, 3), (8_099, 9), (8_100, 10), (57_600, 25), (240_100, 50)]
QUADRATIC_LEVELS += [(980_100, 100), (2**53 - 1, 100), (-5, 1)]


@pytest.mark.parametrize(("xp", "expected"), QUADRATIC_LEVELS)
def test_5a_quadratic_levels(xp, expected):
    assert levels('kind = "quadratic", base = 100').level(xp) == expected


@pytest.mark.parametrize(("xp", "expected"), [(99, 1), (100, 2), (950, 10)])
def test_5a_linear_levels(xp, expected):
    assert levels('kind = "linear", base = 100').level(xp) == expected


@pytest.mark.parametrize(
    ("factor", "expected"), [("1.5", (0, 100, 250, 475, 812, 1318)), ("1.1", (0, 100, 210, 331, 464, 610))]
)
def test_5b_exponential_thresholds_are_floored_step_by_step(factor, expected):
    assert levels(f'kind = "exponential", base = 100, factor = {factor}').thresholds[:6] == expected


@pytest.mark.parametrize(("xp", "expected"), [(811, 4), (812, 5)])
def test_5b_exponential_levels(xp, expected):
    assert levels('kind = "exponential", base = 100, factor = 1.5').level(xp) == expected


@pytest.mark.parametrize(("xp", "expected"), [(249, 2), (250, 3), (300, 3), (1000, 3)])
def test_5c_table_levels(xp, expected):
    assert levels('kind = "table", thresholds = [0, 100, 250]').level(xp) == expected


@given(
    base=st.integers(1, AMOUNT_MAX),
    factor=st.decimals(1, 1000, places=3),
    highest=st.integers(1, 1000),
    curve=st.sampled_from(["linear", "quadratic", "exponential"]),
)
def test_curves_are_exact_and_end_where_xp_can_no_longer_count(base, factor, highest, curve):
    extra = f", factor = {factor}" if curve == "exponential" else ""
    found = levels(f'kind = "{curve}", base = {base}, max = {highest}{extra}').thresholds
    step = {
        "linear": lambda _: base,
        "quadratic": lambda level: base * ((level - 1) ** 2 - (level - 2) ** 2),
        "exponential": lambda level: int(base * Fraction(factor) ** (level - 2)),
    }[curve]
    expected = [0]
    while len(expected) < highest and expected[-1] + step(len(expected) + 1) <= AMOUNT_MAX:
        expected.append(expected[-1] + step(len(expected) + 1))
    assert found == tuple(expected)


# --- The same in other words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["full", *bundled_catalogs()])
def test_toml_and_json_of_the_same_tree_agree(name):
    catalog, text = (parse_catalog(FULL), FULL) if name == "full" else (load_catalog(name), bundled_text(name))
    assert parse_catalog(as_json(text), format="json") == catalog
    assert parse_catalog(json.dumps(json.loads(as_json(text)), sort_keys=True), format="json") == catalog


def bundled_text(name):
    return (CATALOGS / f"{name}.toml").read_text("utf-8")


@pytest.mark.parametrize("name", ["full", *bundled_catalogs()])
def test_a_catalog_reads_back_from_its_source(name):
    catalog = parse_catalog(FULL) if name == "full" else load_catalog(name)
    assert parse_catalog(catalog.source, format="json") == catalog


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("[events.post.created]", '[events."post.created"]', id="name-of-an-event"),
        pytest.param(
            "[events.post]\ndata = { a = 'int' }\n[events.post.created.by.hand]\ndata = { b = 'int' }",
            "[events]\n'post' = { data = { a = 'int' } }\n'post.created.by.hand' = { data = { b = 'int' } }",
            id="name-in-a-name",
        ),
        pytest.param(
            "[events.a]\ndata = { author.id = 'int', author.name = 'str' }",
            "[events.a]\ndata = { 'author.id' = 'integer', 'author.name' = 'string' }",
            id="field-of-a-field",
        ),
        pytest.param(
            '[[achievements]]\ncode = "A"\nwhen = { earned.sparkle = 1 }\nany = { streak.login = 2, posts = 1 }',
            '[[achievements]]\ncode = "A"\nwhen = { "earned.sparkle" = 1 }\nany = { posts = 1, "streak.login" = 2 }',
            id="metric-of-an-achievement",
        ),
        pytest.param(
            '[[quests]]\ncode = "q"\ngoals = { spent.sparkle = 1 }',
            '[[quests]]\ncode = "q"\ngoals = { "spent.sparkle" = 1 }\ntype = "special"\nclaim = "auto"',
            id="metric-of-a-goal",
        ),
        pytest.param(
            '[[boosts]]\nid = "b"\nxp = 2\nfrom = 2026-01-01T01:00:00+01:00',
            '[[boosts]]\nid = "b"\nxp = 2.00\nfrom = "2026-01-01T00:00:00Z"\non = "*"',
            id="time-and-factor",
        ),
        pytest.param(
            '[[rules]]\nid = "r"\non = "a"\nmetrics = { posts = 1 }\nlimit = { cooldown = "90m" }',
            '[[rules]]\nid = "r"\non = ["a"]\nmetrics.posts = { add = 1 }\nlimit = { cooldown = "1h30m" }',
            id="rule",
        ),
    ],
)
def test_what_means_the_same_has_the_same_source(one, other):
    assert parse_catalog(f"{one}\n{GROUND}") == parse_catalog(f"{other}\n{GROUND}")


def test_what_differs_has_another_source():
    one, other = (parse_catalog(f'rules = [{{ id = "r", on = "a", xp = {xp} }}]') for xp in (1, 2))
    assert one.source != other.source


def test_a_name_given_in_both_ways_is_refused():
    text = '[currencies.sparkle]\n[[quests]]\ncode = "q"\ngoals = { "earned.sparkle" = 1, earned.sparkle = 2 }'
    with pytest.raises(CatalogInvalid, match=r"quests\[0\]\.goals\.earned: must be a whole number, not a table"):
        parse_catalog(text)


# --- Any text and any tree --------------------------------------------------------------------------------------------

GARBAGE = [0, -1, 2**53, 10**400, 1.5, "", "x", "data.x", "10m", "\ud800", "\x00", " a", True, None, [], {}, [1], ["x"]]
GARBAGE += [{"x": 1}, {"max": "data.x"}, {"kind": []}, [[]], [{}], {"": {}}, "a" * 1000, {"a": {"b": {"c": {}}}}]


def places(node, place=()):
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield (*place, key)
        yield from places(value, (*place, key))


def garbled(tree, dice):
    """Return the tree with up to four places replaced, dropped, or given to another name."""
    tree = copy.deepcopy(tree)
    for _ in range(dice.randint(1, 4)):
        *way, last = dice.choice([*places(tree)])
        node = tree
        for key in way:
            node = node[key]
        match dice.choice(["replace", "drop", "rename"]):
            case "replace":
                node[last] = dice.choice(GARBAGE)
            case "rename" if isinstance(node, dict):
                node[dice.choice(["x", "from", "max", "when", "xp", "ünï", str(last) + "s"])] = node.pop(last)
            case _:
                del node[last]
    return tree


def catalog_or_problems(text, form):
    try:
        return parse_catalog(text, format=form), ()
    except CatalogInvalid as invalid:
        return None, invalid.problems


@given(st.randoms(use_true_random=False))
def test_a_garbled_catalog_is_refused_in_plain_words_or_reads_back(dice: random.Random):
    catalog, problems = catalog_or_problems(json.dumps(garbled(json.loads(as_json(FULL)), dice)), "json")
    for problem in problems:
        assert problem.path
        assert "Input should" not in problem.message
        assert "cannot be read (" not in problem.message
    if catalog is not None:
        assert parse_catalog(catalog.source, format="json") == catalog
    else:
        assert problems


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["rules", "levels", "at", "x.y"]), inner),
    )
)
def test_any_json_is_a_catalog_or_refused(value):
    catalog, problems = catalog_or_problems(json.dumps(value), "json")
    assert (catalog is None) == bool(problems)


@given(st.text(), st.sampled_from(["toml", "json"]))
def test_any_text_is_a_catalog_or_refused(text, form):
    catalog, problems = catalog_or_problems(text, form)
    assert (catalog is None) == bool(problems)


@pytest.mark.parametrize(
    ("text", "form", "place", "words"),
    [
        pytest.param("[catalog]\nname = Test", "toml", "line 2, column 8", "text stands in quotes", id="no-quotes"),
        pytest.param("[catalog", "toml", "end of document", "is no TOML", id="no-end"),
        pytest.param("a = 1\na = 2\n", "toml", "line 2, column 6", "given twice: a = 2", id="twice-in-toml"),
        pytest.param("a b", "toml", "line 1, column 3", "is no TOML", id="no-statement"),
        pytest.param('{"rules": [}', "json", "line 1, column 12", "is no JSON", id="no-json"),
        pytest.param("[]", "json", "file", "must be an object of tables", id="no-object"),
        pytest.param('{"a": 1, "a": 2}', "json", "file", "'a' is given twice", id="twice-in-json"),
        pytest.param('{"\\ud800": 1}', "json", "file", "half of a character", id="half-a-name"),
        pytest.param('{"levels": NaN}', "json", "levels", "must be a table, not NaN", id="nan"),
        pytest.param('{"a": 1e99999999999999999999}', "json", "file", "out of range", id="exponent"),
        pytest.param('{"a": %s}' % ("9" * 5000), "json", "file", "digits", id="digits"),
        pytest.param("[" * 100_000, "json", "file", "nested too deep", id="deep-json"),
        pytest.param("a = " + "[" * 100_000, "toml", "file", "nested too deep", id="deep-toml"),
        pytest.param("#" * (CATALOG_BYTES_MAX + 1), "toml", "file", "longer than 4 Mi", id="too-long"),
    ],
)
def test_text_that_cannot_be_read_says_where_and_why(text, form, place, words):
    with pytest.raises(CatalogInvalid) as caught:
        parse_catalog(text, format=form)
    [problem] = caught.value.problems
    assert problem.path == place
    assert words in problem.message


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mine.toml", "mine.json"])
def test_a_file_is_read_by_the_end_of_its_name(tmp_path, name):
    path = tmp_path / name
    path.write_text(FULL if name.endswith(".toml") else as_json(FULL), encoding="utf-8")
    assert load_catalog(path) == load_catalog(str(path)) == parse_catalog(FULL)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "catalog.toml"
    path.write_text("[catalog]\nname = 'Windows'", encoding="utf-8-sig")
    assert load_catalog(path).name == "Windows"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param("no.toml", None, "no.toml has one problem:\n  file: cannot be read: No such file", id="missing"),
        pytest.param("a.toml", b"# one\nname = '\xff'", "line 2: is not UTF-8 text", id="not-utf-8"),
        pytest.param("a.toml", b"#" * (CATALOG_BYTES_MAX + 1), "file: is larger than 4 MiB", id="too-large"),
        pytest.param("nul\0.toml", None, "file: cannot be read: embedded null byte", id="no-path"),
        pytest.param("comunity", None, "unknown bundled catalog 'comunity'; did you mean 'community'?", id="bundled"),
        pytest.param("a.yaml", None, "or name a .toml or .json file", id="another-format"),
    ],
)
def test_a_file_that_cannot_be_read_says_so(tmp_path, monkeypatch, name, content, expected):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogInvalid) as caught:
        load_catalog(name)
    assert expected in str(caught.value)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(CatalogInvalid, match="cannot be read"):
        load_catalog(tmp_path / "folder.toml")


# --- The schema for editors -------------------------------------------------------------------------------------------

SCHEMA = catalog_schema()


def test_the_schema_is_a_json_schema():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_describes_every_table_and_field():
    tables = {"": SCHEMA, **SCHEMA["$defs"]}
    silent = [name for name, table in tables.items() if not table.get("description")]
    silent += [
        f"{name}.{field}"
        for name, table in tables.items()
        for field, schema in table.get("properties", {}).items()
        if not schema.get("description")
    ]
    assert silent == []


@pytest.mark.parametrize("text", [FULL, "[events.post.created]", *map(bundled_text, bundled_catalogs())])
def test_what_is_valid_is_valid_by_the_schema(text):
    errors = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(json.loads(as_json(text)))]
    assert errors == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[catalogue]", id="table"),
        pytest.param('rules = [{ id = "r", on = "a", exp = 5 }]', id="field"),
        pytest.param('rules = [{ id = "r", on = "a", xp = "5" }]', id="type"),
        pytest.param('rules = [{ on = "a" }]', id="missing"),
        pytest.param('levels = { curve = { kind = "cubic" } }', id="kind"),
        pytest.param('achievements = [{ code = "A", when = { posts = 0 } }]', id="target"),
    ],
)
def test_the_schema_finds_what_an_editor_can_find(text):
    assert not Draft202012Validator(SCHEMA).is_valid(json.loads(as_json(text)))


def test_decimal_factors_survive_the_canonical_text():
    catalog = parse_catalog('boosts = [{ id = "b", xp = 999.123456789 }]')
    assert catalog.boosts[0].xp == Fraction(Decimal("999.123456789"))
    assert parse_catalog(catalog.source, format="json").boosts[0].xp == catalog.boosts[0].xp
