"""
Random catalogs, as the trees that a JSON file would hold, and random streams of what an application might send.

Both draw from few names, amounts and times, so that rules, limits, quests and streaks meet each other often. Streams
hold what real senders send: late and backdated events, odd data, requests sent again, users who move and users who opt
out.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import NamedTuple

from hypothesis import strategies as st

from laurels.catalog_file import parse_catalog
from laurels.core import commands
from laurels.core.events import Event
from laurels.core.periods import from_datetime, to_datetime

START = from_datetime(datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

USERS = ("ada", "bob", "7")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Apia", "America/St_Johns")
EVENT_TYPES = ("post", "post", "post.long", "like", "login")
CURRENCIES = ("coin", "gem")
#: Every declared metric, with what some rule does to it if no other does.
METRICS = {"posts": 1, "words": "data.n", "best": {"max": "data.n"}, "tags": {"distinct": "data.tags"}}
CONDITIONS = ("!has(data.to) || data.to != user", "data.n > 2", "data.ok", "data.missing > 3 || type == 'like'")


class Asked(NamedTuple):
    """A request, and the instant at which it reaches the engine."""

    now: int
    request: object


class Setting(NamedTuple):
    """A user's settings changed, at an instant."""

    now: int
    user: str
    fields: dict


_ABSENT = object()


def table(required, *, one_in: int = 3, **optional) -> st.SearchStrategy:
    """A dict with the fields required, and each of the others in one of so many."""
    seldom = {
        name: st.one_of(*(st.just(_ABSENT) for _ in range(one_in - 1)), values) for name, values in optional.items()
    }
    return st.fixed_dictionaries({**required, **seldom}).map(
        lambda drawn: {name: value for name, value in drawn.items() if value is not _ABSENT}
    )


def joined(*tables) -> st.SearchStrategy:
    """One dict of several."""
    return st.tuples(*tables).map(lambda parts: {name: value for part in parts for name, value in part.items()})


# --- Catalogs ---------------------------------------------------------------------------------------------------------

patterns = st.sampled_from(["post", "post.*", "*", "like", "login", ["post", "post.long"]])
spans = st.sampled_from(["10m", "1h", "12h", "1d", "1d12h"])
bounds = st.integers(-2, 30).map(lambda half_days: to_datetime(START + half_days * DAY // 2).isoformat())
windows = st.one_of(
    *(st.just({}) for _ in range(4)),
    st.fixed_dictionaries({"from": bounds}),
    st.fixed_dictionaries({"until": bounds}),
    st.tuples(bounds, bounds)
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: {"from": min(pair), "until": max(pair)}),
)
coins = table({}, one_in=2, coin=st.sampled_from([1, 5, 20]), gem=st.just(2))
rewards = joined(table({}, one_in=2, xp=st.sampled_from([1, 5, 30, 120])), coins)
limits = st.one_of(
    table(
        {"times": st.integers(1, 3), "per": st.sampled_from(["day", "day", "day", "hour", "week", "month", "ever"])},
        cooldown=spans,
    ),
    table({"cooldown": spans}),
)
rules = table(
    {
        "on": patterns,
        "xp": st.sampled_from([10, 0, 1, 40, 90, -15]),
        "metrics": table(
            {},
            one_in=2,
            posts=st.sampled_from([1, 1, 1, 2, -1]),
            words=st.sampled_from(["data.n", "data.n", 3]),
            best=st.sampled_from([{"max": "data.n"}, {"max": 4}]),
            tags=st.sampled_from([{"distinct": "data.tags"}, {"distinct": "data.item"}]),
        ),
    },
    when=st.sampled_from(CONDITIONS),
    to=st.just("data.to"),
    allow_self=st.just(True),
    once_per=st.just("data.item"),
    once_by=st.just("anyone"),
    limit=limits,
    reward=coins,
)
boosts = joined(
    table(
        {
            "on": patterns,
            "xp": st.sampled_from([2, 0.5, 1.1, 1.5, 3]),
            "stacking": st.sampled_from(["compound", "additive", "highest"]),
            "rounding": st.sampled_from(["floor", "half_up", "ceil"]),
        },
        reward=st.just({"coin": 1.5}),
    ),
    windows,
)
targets = {
    **dict.fromkeys(METRICS, st.sampled_from([1, 1, 2, 3, 10])),
    "xp": st.sampled_from([20, 100, 400]),
    "level": st.integers(2, 4),
    "achievements": st.integers(1, 3),
    "quests": st.integers(1, 3),
    "earned.coin": st.sampled_from([5, 40]),
    "spent.coin": st.sampled_from([1, 9]),
    "streak.login": st.integers(1, 5),
    "streak.weekly": st.integers(1, 3),
}


def thresholds(metrics=(*METRICS, *METRICS, *targets)) -> st.SearchStrategy:
    """One metric, seldom two, with the values that they must reach; more often such as rules change."""
    one = st.sampled_from(metrics)
    chosen = st.one_of(one.map(lambda metric: [metric]), one.map(lambda metric: [metric]), st.tuples(one, one))
    return chosen.flatmap(lambda chosen: st.fixed_dictionaries({metric: targets[metric] for metric in chosen}))


achievements = joined(
    table(
        {"when": thresholds(), "reward": rewards},
        any=thresholds(),
        rarity=st.sampled_from(["rare", "epic"]),
        max_achievers=st.integers(0, 2),
    ),
    table({}, one_in=8, secret=st.just(True), enabled=st.just(False)),
    windows,
)
#: Soon due for many, with places for few.
limited = table({"when": st.just({"posts": 1}), "max_achievers": st.integers(0, 2), "reward": rewards})
repeatables = joined(
    table({"when": thresholds(tuple(METRICS)), "repeatable": st.just(True), "reward": rewards}), windows
)
#: Due as soon as the achievements that they require are there.
crowns = table({"reward": rewards})
quests = joined(
    table(
        {
            "type": st.sampled_from(["daily", "weekly", "monthly", "special", "community"]),
            "goals": thresholds(),
            "reward": rewards,
        },
        one_in=5,
        claim=st.just("manual"),
        accept=st.just("manual"),
        time_limit=spans,
        level_required=st.just(2),
    ),
    table({}, max_completions=st.integers(2, 3), cooldown=spans),
    windows,
)
bonuses = st.fixed_dictionaries({"xp_per_step": st.integers(0, 9), "max_xp": st.sampled_from([20, 5, 0])})
freezes = st.fixed_dictionaries({"max": st.integers(0, 3), "earn_every": st.integers(0, 4)}).flatmap(
    lambda drawn: st.integers(0, drawn["max"]).map(lambda initial: {**drawn, "initial": initial})
)
streaks = table({"on": patterns}, one_in=2, bonus=bonuses, freezes=freezes)


@st.composite
def level_tables(draw) -> dict:
    """A curve with what its levels pay: always less than the next level needs, for only such catalogs end."""
    base = draw(st.sampled_from([10, 25, 60]))
    top = draw(st.integers(2, 9))
    kind = draw(st.sampled_from(["linear", "quadratic", "exponential", "table"]))
    curve: dict = {"kind": kind, "base": base, "max": top}
    if kind == "table":
        steps = draw(st.lists(st.integers(base, 4 * base), min_size=top, max_size=top))
        curve = {"kind": kind, "thresholds": [sum(steps[:count]) for count in range(top)]}
    if kind == "exponential":
        curve["factor"] = draw(st.sampled_from([2, 1, 1.1, 1.5]))
    numbers = draw(st.sets(st.integers(2, top), max_size=2))
    own_xp = st.integers(0, base // 3 - 1)
    return {
        "curve": curve,
        "bonus_xp": draw(own_xp),
        "reward": draw(coins) | {"xp": draw(own_xp)},
        "at": {
            str(number): {"title": f"Level {number}", "reward": draw(coins) | {"xp": draw(own_xp)}}
            for number in sorted(numbers)
        },
    }


def numbered(entries, prefix: str, field: str = "code") -> list[dict]:
    """Entries with a code each."""
    return [{field: f"{prefix}{place}", **entry} for place, entry in enumerate(entries)]


@st.composite
def chained(draw, entries, prefix: str, **sizes) -> list[dict]:
    """Achievements or quests of which some require others, never in a circle, whatever their order."""
    made = numbered(draw(st.lists(entries, **sizes)), prefix)
    order = draw(st.permutations(made))
    for place, entry in enumerate(order):
        earlier = [other["code"] for other in order[:place]]
        required = draw(st.sampled_from([[], [], *([code] for code in earlier)]))
        if required:
            entry["requires"] = required
        elif "when" not in entry and "goals" not in entry:
            entry["when"] = {"posts": 1}
    return made


@st.composite
def catalog_trees(draw) -> dict:
    """A catalog of everything that is decided about events and commands."""
    tree = {
        "catalog": {"name": "Random", "timezone": draw(st.sampled_from(ZONES))},
        "currencies": {"coin": {}, "gem": draw(table({}, one_in=8, enabled=st.just(False)))},
        "levels": draw(level_tables()),
        "defaults": draw(table({}, one_in=4, achievement_reward=rewards, quest_reward=rewards)),
        "metrics": {metric: {} for metric in METRICS},
        "rules": numbered(draw(st.lists(rules, min_size=1, max_size=5)), "rule-", "id"),
        "boosts": numbered(draw(st.lists(boosts, max_size=3)), "boost-", "id"),
        "achievements": draw(chained(st.one_of(achievements, limited, repeatables, crowns), "A", max_size=5)),
        "quests": draw(chained(quests, "Q", max_size=3)),
        "streaks": [{"code": "login", **draw(streaks)}, {"code": "weekly", "every": "week", **draw(streaks)}],
    }
    for rule in tree["rules"]:
        _without_idle_options(rule)
    fed = {metric for rule in tree["rules"] for metric in rule["metrics"]}
    tree["rules"][0]["metrics"] |= {metric: change for metric, change in METRICS.items() if metric not in fed}
    return tree


def _without_idle_options(rule: dict) -> None:
    if "to" not in rule:
        rule.pop("allow_self", None)
    if "once_per" not in rule:
        rule.pop("once_by", None)


def parsed(tree: dict):
    """Return the catalog of a tree."""
    return parse_catalog(json.dumps(tree), format="json")


# --- Streams ----------------------------------------------------------------------------------------------------------

event_data = table(
    {},
    one_in=2,
    n=st.sampled_from([3, 1, 2, 5, 12, 0, -4, 3.0, 2.5, "7", True, None]),
    to=st.sampled_from([*USERS, *USERS, 7, None, " ada"]),
    item=st.sampled_from(["a", "b", 7, "7", None, ["a"]]),
    tags=st.sampled_from([["a"], ["a", "b", "a"], ["c", 7], [], "b", "7", False]),
    ok=st.sampled_from([True, False, 1]),
)
#: How long before it arrives something happened: mostly a moment, sometimes long ago.
delays = st.sampled_from([0, 0, 0, 0, 0, MINUTE, 11 * MINUTE, 5 * HOUR, DAY, 2 * DAY, 3 * DAY, 9 * DAY, 40 * DAY])
#: How long it is until the next request.
pauses = st.sampled_from([0, 1, 0, 10 * MINUTE, HOUR, 7 * HOUR, DAY, DAY, DAY, 2 * DAY, 3 * DAY, 16 * DAY])
amounts = st.sampled_from([1, 3, 10, 25])
currencies = st.sampled_from(CURRENCIES)
settings_of_users = st.one_of(
    st.fixed_dictionaries({"opted_out": st.sampled_from([True, True, False])}),
    st.fixed_dictionaries({"zone": st.sampled_from(ZONES)}),
    st.fixed_dictionaries({"day_starts_at": st.sampled_from([0, 4])}),
)


@st.composite
def events(draw, now: int, request_id: str, people=USERS, delays=delays) -> Event:
    """An event that reaches the engine at `now`, and happened then or before."""
    delay = draw(delays)
    return Event(
        draw(st.sampled_from(EVENT_TYPES)),
        user=draw(st.sampled_from(people)),
        id=request_id,
        time=None if delay == 0 and draw(st.booleans()) else to_datetime(now - delay),
        data=draw(event_data),
    )


@st.composite
def wallet_commands(draw, now: int, request_id: str, past: list[Asked], people=USERS):
    """An award, or any of the wallet's commands."""
    about = {"user": draw(st.sampled_from(people)), "id": request_id}
    amount, currency = draw(amounts), draw(currencies)
    kinds = ["credit", "credit", "xp", "adjust", "spend", "transfer", "hold", "capture", "release", "refund"]
    match draw(st.sampled_from(kinds)):
        case "xp":
            source_id = draw(st.sampled_from([None, "case-1", "case-2"]))
            return commands.AwardXp(**about, amount=amount, source="office", source_id=source_id)
        case "credit":
            source_id = draw(st.sampled_from([None, None, "case-1"]))
            return commands.Credit(**about, currency=currency, amount=4 * amount, source="office", source_id=source_id)
        case "adjust":
            unit = draw(st.sampled_from(["xp", *CURRENCIES]))
            return commands.Adjust(**about, unit=unit, amount=amount * draw(st.sampled_from([1, -1, -4])))
        case "spend":
            return commands.Spend(**about, currency=currency, amount=amount)
        case "transfer":
            to = draw(st.sampled_from(USERS).filter(lambda other: other != about["user"]))
            return commands.Transfer(**about, to=to, currency=currency, amount=amount)
        case "hold":
            lasts = draw(st.sampled_from([None, HOUR, 2 * DAY]))
            return commands.Hold(
                **about, currency=currency, amount=amount, expires_at=None if lasts is None else now + lasts
            )
        case kind:
            return draw(_naming_another(kind, about, past, draw(st.sampled_from([None, amount]))))


@st.composite
def _naming_another(draw, kind: str, about: dict, past: list[Asked], amount: int | None):
    """A command that names an earlier one: mostly one that it can work on, else any."""
    wanted = commands.Spend | commands.Capture if kind == "refund" else commands.Hold
    earlier = [asked.request for asked in past]
    fitting = [request for request in earlier if isinstance(request, wanted)]
    found = draw(st.sampled_from(fitting * 5 + earlier)) if earlier else None
    named = "none" if found is None else found.id
    about |= {} if found is None else {"user": found.user}
    match kind:
        case "capture":
            return commands.Capture(**about, hold=named, amount=amount)
        case "release":
            return commands.Release(**about, hold=named)
        case _:
            return commands.Refund(**about, request=named, amount=amount)


@st.composite
def quest_commands(draw, request_id: str, tree: dict, people=USERS):
    """Somebody accepts or claims a quest: mostly one where that is how it goes."""
    fitting = [quest for quest in tree["quests"] if quest.keys() & {"accept", "time_limit", "claim"}]
    quest = draw(st.sampled_from(fitting * 3 + tree["quests"]))
    how = [commands.AcceptQuest] * (1 + 2 * bool(quest.keys() & {"accept", "time_limit"})) + [commands.ClaimQuest]
    return draw(st.sampled_from(how))(user=draw(st.sampled_from(people)), id=request_id, quest=quest["code"])


class History(NamedTuple):
    """Who does how much, how long after each other, and how late; of 9 + n steps, n are events."""

    people: tuple[str, ...]
    steps: st.SearchStrategy[int]
    pauses: st.SearchStrategy[int]
    delays: st.SearchStrategy[int]
    events: int


USUAL = History(USERS, st.integers(1, 24), pauses, delays, 9)
SHORT = USUAL._replace(steps=st.integers(1, 10))
MUCH = USUAL._replace(steps=st.integers(30, 60))
#: One user's long history with much of it late, so that the document forgets what it is then asked for.
LONG = History(
    people=("ada",),
    steps=st.integers(30, 70),
    pauses=st.sampled_from([1, HOUR, 7 * HOUR, 7 * HOUR, DAY, DAY]),
    delays=st.sampled_from([0, 0, 5 * HOUR, DAY, 3 * DAY, 5 * DAY, 8 * DAY, 12 * DAY, 40 * DAY]),
    events=40,
)


@st.composite
def streams(draw, tree: dict, history: History = USUAL) -> list[Asked | Setting]:
    """
    What reaches an engine under this catalog, in order of arrival.

    Some requests come a second time, some of them with another time of their own, or with other content, which must be
    refused.
    """
    now = START
    stream: list[Asked | Setting] = []
    past: list[Asked] = []
    kinds = (
        ["event"] * history.events
        + ["wallet"] * 4
        + ["quest"] * (2 * bool(tree["quests"]))
        + ["again", "setting", "setting"]
    )
    for number in range(draw(history.steps)):
        now += draw(history.pauses)
        request_id = f"r{number}"
        match draw(st.sampled_from(kinds)):
            case "wallet":
                step = Asked(now, draw(wallet_commands(now, request_id, past, history.people)))
            case "quest":
                step = Asked(now, draw(quest_commands(request_id, tree, history.people)))
            case "again" if past:
                step = Asked(now, draw(_again(draw(st.sampled_from(past)).request, now)))
            case "setting":
                step = Setting(now, draw(st.sampled_from(history.people)), draw(settings_of_users))
            case _:
                step = Asked(now, draw(events(now, request_id, history.people, history.delays)))
        stream.append(step)
        if isinstance(step, Asked):
            past.append(step)
    return stream


@st.composite
def _again(draw, request, now: int):
    """A request as a sender repeats it: as it was, stamped anew, or (by mistake) with another content."""
    if not isinstance(request, Event):
        return request
    how = draw(st.sampled_from(["same", "same", "stamped", "other"]))
    time = to_datetime(now - HOUR) if how == "stamped" else request.time
    data = {**request.data, "other": 1} if how == "other" else request.data
    return Event(request.type, user=request.user, id=request.id, time=time, data=data)
