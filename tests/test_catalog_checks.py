"""
Every mistake in a catalog: where it is said to be, and what the message tells.

A case of the tables is a name, a piece of a catalog, and after the arrow the path and words of the one problem.
"""

import pytest

from laurels.catalog_file import parse_catalog
from laurels.core.errors import CatalogInvalid

#: What the pieces are put before. Mistakes are looked for in the pieces.
GROUND = """
[events."post.created"]
data = { published = "bool", words = "int", author = "string", tags = "list", place = "object" }
[events."post.featured"]
[events."user.login"]
[currencies.sparkle]
[currencies.premium]
[metrics]
posts = {}
words = {}
tags = {}
"""

NAMES = """
event-type
rules = [{ id = "r", on = "post.creatd" }]
-> rules[0].on: unknown event type 'post.creatd'; did you mean 'post.created'?

event-type-in-a-list
rules = [{ id = "r", on = ["user.login", "post.edit"] }]
-> rules[0].on[1]: unknown event type 'post.edit'

pattern-that-matches-none
rules = [{ id = "r", on = "pst.*" }]
-> rules[0].on: unknown group of event types 'pst.*'; did you mean 'post.*'?

pattern-of-a-boost
boosts = [{ id = "b", on = ["posts.*"], xp = 2 }]
-> boosts[0].on[0]: did you mean 'post.*'?

event-type-of-a-streak
streaks = [{ code = "s", on = "user.logn" }]
-> streaks[0].on: did you mean 'user.login'?

metric-of-a-rule
rules = [{ id = "r", on = "post.created", metrics = { post = 1 } }]
-> rules[0].metrics.post: unknown metric 'post'; did you mean 'posts'?

rule-writes-a-built-in
rules = [{ id = "r", on = "post.created", metrics = { xp = 1 } }]
-> rules[0].metrics.xp: built in

rule-writes-a-sum
rules = [{ id = "r", on = "post.created", metrics = { "earned.sparkle" = 1 } }]
-> rules[0].metrics."earned.sparkle": must not hold '.'

currency-of-a-rule
rules = [{ id = "r", on = "post.created", reward = { sparcle = 1 } }]
-> rules[0].reward.sparcle: unknown currency 'sparcle'; did you mean 'sparkle'?

xp-is-no-currency
rules = [{ id = "r", on = "post.created", reward = { xp = 1 } }]
-> rules[0].reward.xp: write xp beside reward

currency-of-a-boost
boosts = [{ id = "b", reward = { sparcle = 2 } }]
-> boosts[0].reward.sparcle: did you mean 'sparkle'?

metric-of-an-achievement
achievements = [{ code = "A", when = { pots = 1 } }]
-> achievements[0].when.pots: unknown metric 'pots'; did you mean 'posts'?

sum-of-a-currency
achievements = [{ code = "A", any = { earned = { sparcle = 1 } } }]
-> achievements[0].any."earned.sparcle": did you mean 'earned.sparkle'?

streak-that-is-not-there
quests = [{ code = "q", goals = { streak = { login = 7 } } }]
-> quests[0].goals."streak.login": unknown metric 'streak.login'

required-achievement
achievements = [{ code = "A", when = { posts = 1 }, requires = ["B"] }]
-> achievements[0].requires[0]: unknown achievement 'B'

required-quest
quests = [{ code = "q", goals = { posts = 1 }, requires = ["Q"] }]
-> quests[0].requires[0]: unknown quest 'Q'; did you mean 'q'?

metric-of-a-board
leaderboards = [{ code = "b", metric = "post" }]
-> leaderboards[0].metric: did you mean 'posts'?

currency-of-the-defaults
defaults = { quest_reward = { gold = 1 } }
-> defaults.quest_reward.gold: unknown currency 'gold'; known: premium, sparkle, xp

currency-of-a-level
levels = { curve = { kind = "quadratic", base = 100 }, at = { 10 = { reward = { gems = 1 } } } }
-> levels.at.10.reward.gems: unknown currency 'gems'
"""

FIELDS_AND_TYPES = r"""
table
catalogue = { name = "x" }
-> catalogue: unknown field 'catalogue'; did you mean 'catalog'?

field
rules = [{ id = "r", on = "post.created", exp = 5 }]
-> rules[0].exp: unknown field 'exp'; did you mean 'xp'?

field-of-an-inner-table
rules = [{ id = "r", on = "post.created", limit = { time = 1 } }]
-> rules[0].limit.time: did you mean 'times'?

what-a-metric-does
rules = [{ id = "r", on = "post.created", metrics = { posts = { maximum = "data.words" } } }]
-> rules[0].metrics.posts.maximum: did you mean 'max'?

two-things-for-one-metric
rules = [{ id = "r", on = "post.created", metrics = { posts = { max = 1, add = 1 } } }]
-> rules[0].metrics.posts: must be a number, a path

field-of-an-event
[events."post.edited"]
dta = { words = "int" }
-> events."post.edited".dta: did you mean 'data'?

type-of-a-field
[events."post.edited"]
data = { words = "strng" }
-> events."post.edited".data.words: did you mean 'string'?

missing
rules = [{ on = "post.created" }]
-> rules[0].id: missing

text-for-a-number
rules = [{ id = "r", on = "post.created", xp = "10" }]
-> rules[0].xp: must be a whole number, not '10'; write it without quotes

bool-is-no-number
rules = [{ id = "r", on = "post.created", xp = true }]
-> rules[0].xp: must be a whole number, not true

fraction-is-no-whole-number
rules = [{ id = "r", on = "post.created", xp = 1.0 }]
-> rules[0].xp: must be a whole number, not 1.0

text-for-a-bool
rules = [{ id = "r", on = "post.created", enabled = "no" }]
-> rules[0].enabled: must be true or false, not 'no'

number-for-a-table
rules = [{ id = "r", on = "post.created", metrics = 5 }]
-> rules[0].metrics: must be a table, not 5

number-for-an-array
rules = 5
-> rules: must be a list, not 5

number-for-an-entry
rules = [5]
-> rules[0]: must be a table, not 5

above-the-range
rules = [{ id = "r", on = "post.created", xp = 9007199254740992 }]
-> rules[0].xp: at most 9,007,199,254,740,991

below-the-range
rules = [{ id = "r", on = "post.created", metrics = { posts = -9007199254740992 } }]
-> rules[0].metrics.posts: 9,007,199,254,740,991

negative-currency
rules = [{ id = "r", on = "post.created", reward = { sparkle = -1 } }]
-> rules[0].reward.sparkle: must be at least 0, not -1

target-of-nothing
achievements = [{ code = "A", when = { posts = 0 } }]
-> achievements[0].when.posts: must be at least 1, not 0

rarity
achievements = [{ code = "A", when = { posts = 1 }, rarity = "epc" }]
-> achievements[0].rarity: did you mean 'epic'?

achievers
achievements = [{ code = "A", when = { posts = 1 }, max_achievers = -1 }]
-> achievements[0].max_achievers: at least 0

completions
quests = [{ code = "q", goals = { posts = 1 }, max_completions = 0 }]
-> quests[0].max_completions: at least 1

no-goals
quests = [{ code = "q", goals = {} }]
-> quests[0].goals: must not be empty

no-event-type
rules = [{ id = "r", on = [] }]
-> rules[0].on: must not be empty

event-type-format
rules = [{ id = "r", on = "Post created" }]
-> rules[0].on: 'Post created' is no event type

pattern-format
rules = [{ id = "r", on = "post*" }]
-> rules[0].on: a pattern such as 'post.*'

colon-in-an-id
rules = [{ id = "a:b", on = "user.login" }]
-> rules[0].id: must not hold ':'

empty-id
rules = [{ id = "", on = "user.login" }]
-> rules[0].id: 1 to 100 characters

space-before-an-id
rules = [{ id = " a", on = "user.login" }]
-> rules[0].id: white space

nul-in-an-id
rules = [{ id = "a\u0000", on = "user.login" }]
-> rules[0].id: control characters

slash-in-a-currency
[currencies."a/b"]
-> currencies."a/b": must not hold '.' or '/'

dot-in-a-streak
streaks = [{ code = "a.b", on = "user.login" }]
-> streaks[0].code: must not hold '.' or '/'

nul-in-a-name
catalog = { name = "a\u0000" }
-> catalog.name: control characters

xp-as-a-currency
[currencies.xp]
-> currencies.xp: xp is built in

level-as-a-metric
[metrics.level]
-> metrics.level: level is built in
"""

VALUES = """
zone
catalog = { timezone = "Europe/Berln" }
-> catalog.timezone: did you mean 'Europe/Berlin'?

window
rules = [{ id = "r", on = "post.created", limit = { times = 1, per = "dya" } }]
-> rules[0].limit.per: did you mean 'day'?

duration-in-words
rules = [{ id = "r", on = "post.created", limit = { cooldown = "10 minutes" } }]
-> rules[0].limit.cooldown: such as '10m'

duration-without-unit
rules = [{ id = "r", on = "post.created", limit = { cooldown = 10 } }]
-> rules[0].limit.cooldown: such as '10m'

empty-duration
rules = [{ id = "r", on = "post.created", limit = { cooldown = "" } }]
-> rules[0].limit.cooldown: such as '10m'

no-duration
rules = [{ id = "r", on = "post.created", limit = { cooldown = "0m" } }]
-> rules[0].limit.cooldown: longer than nothing

long-duration
rules = [{ id = "r", on = "post.created", limit = { cooldown = "999999999w" } }]
-> rules[0].limit.cooldown: at most 36,500 days

time-without-zone
achievements = [{ code = "A", when = { posts = 1 }, from = 2026-01-01T00:00:00 }]
-> achievements[0].from: no UTC offset

time-without-zone-as-text
achievements = [{ code = "A", when = { posts = 1 }, from = "2026-01-01T00:00:00" }]
-> achievements[0].from: no UTC offset

date-without-time
achievements = [{ code = "A", when = { posts = 1 }, until = 2026-01-01 }]
-> achievements[0].until: a date, a time and a zone

no-time
achievements = [{ code = "A", when = { posts = 1 }, until = "soon" }]
-> achievements[0].until: 'soon' is not an RFC 3339 time

negative-factor
boosts = [{ id = "b", xp = -1 }]
-> boosts[0].xp: between 0 and 1,000

huge-factor
boosts = [{ id = "b", xp = 1000000000.0 }]
-> boosts[0].xp: between 0 and 1,000

too-exact-a-factor
boosts = [{ id = "b", xp = 1.0000000001 }]
-> boosts[0].xp: at most 9 digits

factor-that-is-no-number
boosts = [{ id = "b", xp = nan }]
-> boosts[0].xp: must be a number

factor-as-text
boosts = [{ id = "b", xp = "2" }]
-> boosts[0].xp: must be a number

condition
rules = [{ id = "r", on = "post.created", when = "data.published and true" }]
-> rules[0].when: column 16: write && for and

name-in-a-condition
rules = [{ id = "r", on = "post.created", when = "dta.published" }]
-> rules[0].when: unknown name dta, did you mean data?

path
rules = [{ id = "r", on = "post.created", to = "author" }]
-> rules[0].to: a path looks like data.author.id

path-of-a-metric
rules = [{ id = "r", on = "post.created", metrics = { words = "words" } }]
-> rules[0].metrics.words: a path looks like
"""

FIELDS_OF_EVENTS = """
in-a-condition
rules = [{ id = "r", on = "post.created", when = "data.publishd && data.words > 5" }]
-> rules[0].when: no field 'publishd' is declared for post.created; did you mean 'published'?

in-to
rules = [{ id = "r", on = "post.created", to = "data.auther" }]
-> rules[0].to: did you mean 'author'?

in-once-per
rules = [{ id = "r", on = "post.created", once_per = "data.wrds" }]
-> rules[0].once_per: did you mean 'words'?

in-a-metric
rules = [{ id = "r", on = "post.created", metrics = { words = "data.wrds" } }]
-> rules[0].metrics.words: did you mean 'words'?

field-of-a-text
rules = [{ id = "r", on = "post.created", to = "data.author.id" }]
-> rules[0].to: data.author is declared as string and has no fields

bool-as-a-user
rules = [{ id = "r", on = "post.created", to = "data.published" }]
-> rules[0].to: needs a text or a whole number, but data.published is declared as bool

text-as-a-number
rules = [{ id = "r", on = "post.created", metrics = { words = "data.author" } }]
-> rules[0].metrics.words: needs a number, but data.author is declared as string

object-as-a-value
rules = [{ id = "r", on = "post.created", metrics = { tags = { distinct = "data.place" } } }]
-> rules[0].metrics.tags: needs values to count, but data.place is declared as object
"""

BETWEEN_FIELDS = """
rule-ids
rules = [{ id = "r", on = "post.created" }, { id = "r", on = "post.created" }]
-> rules[1].id: 'r' is already the id of rules[0]

achievement-codes
achievements = [{ code = "A", when = { posts = 1 } }, { code = "A", when = { posts = 1 } }]
-> achievements[1].code: already the code of achievements[0]

two-kinds-for-one-metric
[[rules]]
id = "r"
on = "post.created"
metrics = { posts = 1 }
[[rules]]
id = "s"
on = "user.login"
metrics = { posts = { max = 5 } }
-> rules[1].metrics.posts: added to by rule 'r', but given its maximum here

a-kind-in-a-disabled-rule
[[rules]]
id = "r"
on = "post.created"
metrics = { posts = 1 }
enabled = false
[[rules]]
id = "s"
on = "user.login"
metrics = { posts = { distinct = "data.x" } }
-> rules[1].metrics.posts: use two metrics

limit-without-times
rules = [{ id = "r", on = "post.created", limit = { per = "day" } }]
-> rules[0].limit: says no number of times

empty-limit
rules = [{ id = "r", on = "post.created", limit = {} }]
-> rules[0].limit: says no number of times

once-by-without-once-per
rules = [{ id = "r", on = "post.created", once_by = "anyone" }]
-> rules[0].once_per: missing

allow-self-without-to
rules = [{ id = "r", on = "post.created", allow_self = true }]
-> rules[0].to: missing

boost-of-nothing
boosts = [{ id = "b" }]
-> boosts[0]: boosts nothing

window-of-a-boost
boosts = [{ id = "b", xp = 2, from = 2026-01-02T00:00:00Z, until = 2026-01-02T00:00:00Z }]
-> boosts[0].until: must be later than from

window-of-an-achievement
achievements = [{ code = "A", when = { posts = 1 }, from = 2026-01-02T01:00:00+01:00, until = 2026-01-01T23:00:00Z }]
-> achievements[0].until: must be later than from

achievement-for-nothing
achievements = [{ code = "A" }]
-> achievements[0].when: missing

requires-itself
achievements = [{ code = "A", requires = ["A"] }]
-> achievements[0].requires: A -> A

season-without-an-end
quests = [{ code = "q", goals = { posts = 1 }, type = "seasonal", from = 2026-01-01T00:00:00Z }]
-> quests[0].until: missing

time-limit-without-acceptance
quests = [{ code = "q", goals = { posts = 1 }, time_limit = "2h", accept = "auto" }]
-> quests[0].accept: accept = "manual"

level-required-beyond-the-curve
quests = [{ code = "q", goals = { posts = 1 }, level_required = 101 }]
-> quests[0].level_required: the curve ends at 100

freezes
streaks = [{ code = "s", on = "user.login", freezes = { initial = 3, max = 2 } }]
-> streaks[0].freezes.initial: at most max, which is 2

bonus-of-nothing
streaks = [{ code = "s", on = "user.login", bonus = { max_xp = 2 } }]
-> streaks[0].bonus.xp_per_step: missing

period-twice
leaderboards = [{ code = "b", metric = "xp", periods = ["daily", "daily"] }]
-> leaderboards[0].periods[1]: listed twice

period
leaderboards = [{ code = "b", metric = "xp", periods = ["yearly"] }]
-> leaderboards[0].periods[0]: must be one of daily, weekly, monthly, alltime

ranks-backwards
[[leaderboards]]
code = "b"
metric = "xp"
periods = ["daily"]
prizes = [{ ranks = [3, 1], reward = { sparkle = 1 } }]
-> leaderboards[0].prizes[0].ranks: so [1, 3], not [3, 1]

rank-0
[[leaderboards]]
code = "b"
metric = "xp"
periods = ["daily"]
prizes = [{ ranks = [0, 1], reward = { sparkle = 1 } }]
-> leaderboards[0].prizes[0].ranks[0]: at least 1

one-rank
[[leaderboards]]
code = "b"
metric = "xp"
periods = ["daily"]
prizes = [{ ranks = [1], reward = { sparkle = 1 } }]
-> leaderboards[0].prizes[0].ranks: at least 2 values

ranks-that-overlap
[[leaderboards]]
code = "b"
metric = "xp"
periods = ["daily"]
prizes = [{ ranks = [1, 3], reward = { sparkle = 2 } }, { ranks = [3, 9], reward = { sparkle = 1 } }]
-> leaderboards[0].prizes[1].ranks: overlaps ranks [1, 3]

prizes-of-a-board-that-never-ends
leaderboards = [{ code = "b", metric = "xp", prizes = [{ ranks = [1, 1], reward = { sparkle = 1 } }] }]
-> leaderboards[0].periods: all time never ends

renamed-but-still-there
[metrics.articles]
was = "posts"
-> metrics.articles.was: 'posts' is still a metric
"""

LEVELS = """
no-curve
levels = { bonus_xp = 5 }
-> levels.curve: missing

kind-of-curve
levels = { curve = { kind = "cubic", base = 1 } }
-> levels.curve.kind: must be one of linear, quadratic, exponential, table, not 'cubic'

no-kind
levels = { curve = { base = 1 } }
-> levels.curve.kind: missing

no-base
levels = { curve = { kind = "quadratic" } }
-> levels.curve.base: missing

too-many-levels
levels = { curve = { kind = "linear", base = 1, max = 1001 } }
-> levels.curve.max: at most 1,000

no-factor
levels = { curve = { kind = "exponential", base = 100 } }
-> levels.curve.factor: missing

field-of-another-curve
levels = { curve = { kind = "linear", base = 100, factor = 2 } }
-> levels.curve.factor: unknown field

curve-that-ends-flat
levels = { curve = { kind = "exponential", base = 3, factor = 0.5 } }
-> levels.curve.factor: level 4 needs 4 XP, which is not more than level 3 needs (4)

table-that-does-not-rise
levels = { curve = { kind = "table", thresholds = [0, 100, 100] } }
-> levels.curve.thresholds[2]: level 3 needs 100 XP, which is not more

table-that-begins-late
levels = { curve = { kind = "table", thresholds = [10, 100] } }
-> levels.curve.thresholds[0]: must be 0, not 10

empty-table
levels = { curve = { kind = "table", thresholds = [] } }
-> levels.curve.thresholds: must not be empty

table-with-another-max
levels = { curve = { kind = "table", thresholds = [0, 5], max = 3 } }
-> levels.curve.max: is 3, but there are 2 thresholds

level-beyond-the-curve
levels = { curve = { kind = "quadratic", base = 100 }, at = { 101 = { title = "x" } } }
-> levels.at.101: the curve ends at level 100

level-beyond-what-xp-can-count
levels = { curve = { kind = "exponential", base = 100, factor = 10 }, at = { 20 = { title = "x" } } }
-> levels.at.20: the curve ends at level 15

level-in-words
levels = { curve = { kind = "quadratic", base = 100 }, at = { ten = { title = "x" } } }
-> levels.at.ten: 'ten' is no level

level-0
levels = { curve = { kind = "quadratic", base = 100 }, at = { 0 = { title = "x" } } }
-> levels.at.0: '0' is no level

reward-of-level-1
levels = { curve = { kind = "quadratic", base = 100 }, at = { 1 = { reward = { sparkle = 1 } } } }
-> levels.at.1.reward: never paid
"""

PAYS_ITSELF = """
bonus
levels = { curve = { kind = "linear", base = 100 }, bonus_xp = 100 }
-> levels.bonus_xp: level 2 pays 100 XP by itself, but level 3 is only 100 XP away

bonus-and-reward
levels = { curve = { kind = "linear", base = 100 }, bonus_xp = 40, reward = { xp = 60 } }
-> levels.reward.xp: level:2 -> xp -> level:3

one-level
levels = { curve = { kind = "quadratic", base = 100 }, bonus_xp = 100, at = { 3 = { reward = { xp = 400 } } } }
-> levels.at.3.reward.xp: level 3 pays 500 XP by itself, but level 4 is only 500 XP away

xp
achievements = [{ code = "A", when = { xp = 10 }, repeatable = true, reward = { xp = 1 } }]
-> achievements[0].when.xp: achievement:A -> xp -> achievement:A

currency
achievements = [{ code = "A", any = { earned = { sparkle = 10 } }, repeatable = true, reward = { sparkle = 1 } }]
-> achievements[0].any."earned.sparkle": achievement:A -> earned.sparkle -> achievement:A

achievements
achievements = [{ code = "A", when = { achievements = 1 }, repeatable = true, reward = { sparkle = 1 } }]
-> achievements[0].when.achievements: could pay itself for ever

the-reward-of-all
defaults = { achievement_reward = { xp = 25 } }
achievements = [{ code = "A", when = { quests = 1 }, repeatable = true }]
-> achievements[0].when.quests: defaults.achievement_reward


the-same-in-each-level
levels = { curve = { kind = "linear", base = 100, max = 5 }, bonus_xp = 100 }
-> levels.bonus_xp: The same holds for 2 more levels.
"""


def problems(text):
    """Return (path, message) of each problem of a catalog, in their order."""
    with pytest.raises(CatalogInvalid) as caught:
        parse_catalog(text, source_name="catalog.toml")
    assert caught.value.code == "catalog_invalid"
    return [(problem.path, problem.message) for problem in caught.value.problems]


def cases(*tables):
    for case in "\n".join(tables).strip().replace("\n\n\n", "\n\n").split("\n\n"):
        name, piece = case.split("\n", 1)
        text, said = piece.split("\n-> ")
        yield pytest.param(text, *said.split(": ", 1), id=name)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        *cases(NAMES, FIELDS_AND_TYPES, VALUES, FIELDS_OF_EVENTS, BETWEEN_FIELDS, LEVELS, PAYS_ITSELF),
        pytest.param(
            f'rules = [{{ id = "{"x" * 101}", on = "user.login" }}]',
            "rules[0].id",
            "1 to 100 characters long, not 101",
            id="long-id",
        ),
        pytest.param(
            f'achievements = [{{ code = "A", when = {{ posts = 1 }}, description = "{"x" * 5001}" }}]',
            "achievements[0].description",
            "at most 5,000 characters long, not 5,001",
            id="long-text",
        ),
        pytest.param(
            f'rules = [{{ id = "r", on = "user.login", xp = 0x{"f" * 5000} }}]',
            "rules[0].xp",
            "a number far beyond it",
            id="far-above-the-range",
        ),
    ],
)
def test_a_mistake_is_reported_alone_with_its_place_and_what_to_do(text, path, words):
    [(found, message)] = problems(f"{text}\n{GROUND}")
    assert found == path
    assert words in message


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file():
    text = """
        [catalog]
        timezone = "Mars/Olympus"
        [[rules]]
        id = "posting"
        on = "post.creatd"
        xp = "10"
        metrics = { post = 1 }
        [[rules]]
        id = "bare"
        [[achievements]]
        code = "FIRST"
        when = { posts = 0, wrds = 5 }
        requires = ["SECOND", "THIRD"]
        [[achievements]]
        code = "SECOND"
        rarty = "epic"
        requires = ["FIRST"]
        [[leaderboards]]
        code = "b"
        metric = "earned.sparkel"
    """
    assert [path for path, _ in problems(text + GROUND)] == [
        "catalog.timezone",
        "rules[0].on",
        "rules[0].xp",
        "rules[0].metrics.post",
        "rules[1].on",
        "achievements[0].when.posts",
        "achievements[0].when.wrds",
        "achievements[0].requires",
        "achievements[0].requires[1]",
        "achievements[1].rarty",
        "leaderboards[0].metric",
    ]


def test_the_whole_message_reads_as_a_list():
    text = 'rules = [{ id = "r", on = "user.login", metrics = { post = 1 }, exp = 5 }]'
    with pytest.raises(CatalogInvalid) as caught:
        parse_catalog(text + GROUND, source_name="catalog.toml")
    assert str(caught.value) == (
        "catalog.toml has 2 problems:\n"
        "  rules[0].metrics.post: unknown metric 'post'; did you mean 'posts'? (rule 'r')\n"
        "  rules[0].exp: unknown field 'exp'; did you mean 'xp'? (rule 'r')"
    )


ONE_CAUSE = """
a-misspelled-table
metric = { posts = {} }
rules = [{ id = "r", on = "a", metrics = { posts = 1 } }]
-> metric: did you mean 'metrics'?

a-table-that-is-none
metrics = 5
rules = [{ id = "r", on = "a", metrics = { posts = 1 } }]
-> metrics: must be a table

an-entry-that-is-none
metrics = { posts = 5 }
rules = [{ id = "r", on = "a", metrics = { posts = 1 } }]
-> metrics.posts: must be a table

a-wrong-curve
levels = { curve = { kind = "linear", base = 0, max = 200 }, at = { 150 = { title = "x" } } }
quests = [{ code = "q", goals = { xp = 1 }, level_required = 150 }]
-> levels.curve.base: at least 1

a-wrong-start
quests = [{ code = "q", type = "seasonal", goals = { xp = 1 }, from = 1, until = 2026-01-01T00:00:00Z }]
-> quests[0].from: must be a time

a-wrong-factor
boosts = [{ id = "b", xp = "2" }]
-> boosts[0].xp: must be a number

a-wrong-period
leaderboards = [{ code = "b", metric = "xp", periods = ["dayly"], prizes = [{ ranks = [1, 1], reward = { xp = 1 } }] }]
-> leaderboards[0].periods[0]: did you mean 'daily'?

a-code-given-twice
[[achievements]]
code = "A"
when = { xp = 1 }
[[achievements]]
code = "A"
requires = ["A"]
-> achievements[1].code: already the code
"""


@pytest.mark.parametrize(("text", "path", "words"), [*cases(ONE_CAUSE)])
def test_one_mistake_does_not_look_like_several(text, path, words):
    [(found, message)] = problems(text)
    assert found == path
    assert words in message


def test_requirements_that_run_in_a_circle_are_named_once():
    chain = {"A": "B", "B": "C", "C": "A", "D": "A"}
    text = "".join(f'[[achievements]]\ncode = "{code}"\nrequires = ["{other}"]\n' for code, other in chain.items())
    [(path, message)] = problems(text)
    assert path == "achievements[0].requires"
    assert "A -> B -> C -> A" in message


ALLOWED = r"""
repeats-on-what-users-do
achievements = [{ code = "A", when = { posts = 10 }, repeatable = true, reward = { xp = 5 } }]

repeats-without-a-reward
achievements = [{ code = "A", when = { xp = 10 }, repeatable = true }]

repeats-on-spending
achievements = [{ code = "A", when = { spent.sparkle = 10 }, repeatable = true, reward = { sparkle = 5 } }]

bonus-below-the-next-level
levels = { curve = { kind = "linear", base = 100 }, bonus_xp = 99 }

bonus-of-the-last-level
levels = { curve = { kind = "table", thresholds = [0, 100] }, bonus_xp = 500 }

a-quest-for-quests
quests = [{ code = "q", goals = { quests = 1 }, max_completions = 9, reward = { xp = 5 } }]

a-quest-for-xp
quests = [{ code = "q", goals = { xp = 10 }, max_completions = 9, reward = { xp = 10 } }]

a-chain
achievements = [{ code = "A", requires = ["B"] }, { code = "B", when = { level = 2 } }]

xp-and-metrics-may-be-taken
rules = [{ id = "r", on = "user.login", xp = -5, metrics = { posts = -1 } }]

fields-in-quotes-are-not-checked
rules = [{ id = "r", on = "post.created", when = 'data["any-thing"] == 1 || "data.anything" == user' }]

a-field-of-an-object
rules = [{ id = "r", on = "post.created", to = "data.place.owner" }]

an-event-without-declared-fields
rules = [{ id = "r", on = ["post.created", "post.featured"], to = "data.anything" }]

a-title-from-the-start
levels = { curve = { kind = "linear", base = 100 }, at = { 1 = { title = "Newcomer" } } }
"""


@pytest.mark.parametrize(
    "text", [pytest.param(case.split("\n", 1)[1], id=case.split("\n", 1)[0]) for case in ALLOWED.strip().split("\n\n")]
)
def test_what_is_allowed_is_not_refused(text):
    assert parse_catalog(f"{text}\n{GROUND}")


def test_any_event_type_will_do_if_none_is_declared():
    assert parse_catalog('rules = [{ id = "r", on = ["anything", "some.*", "*"] }]')
