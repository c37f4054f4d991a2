"""
What the simulated world sends: a catalog in three revisions, and plans of calls, all drawn from the dice.

Few users and many ways to get into each other's way: a place for one, limits, cooldowns, claims, manual quests, money
that changes hands, events about others, late events, ids that come a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from random import Random

from laurels import AcceptQuest, AwardXp, Capture, ClaimQuest, Credit, Event, Hold, Refund, Release, Spend, Transfer
from laurels.core.catalog import Catalog
from laurels.core.periods import from_datetime, to_datetime
from tests.conftest import NOW
from tests.laws.strategies import parsed

START = from_datetime(NOW)
HOUR = 3_600_000_000
DAY = 24 * HOUR
REVISIONS = 3
#: Somebody who never does anything that makes a user.
GHOST = "ghost"

TREE = {
    "catalog": {"name": "Simulated", "timezone": "UTC"},
    "currencies": {"coin": {}},
    "levels": {"curve": {"kind": "linear", "base": 50, "max": 40}, "bonus_xp": 5, "reward": {"coin": 1}},
    "metrics": {"posts": {}, "tags": {}, "likes": {}},
    "rules": [
        {"id": "post", "on": "post", "xp": 10, "metrics": {"posts": 1, "tags": {"distinct": "data.tag"}}},
        {"id": "first", "on": "post", "xp": 3, "limit": {"times": 2, "per": "day"}},
        {"id": "rested", "on": "post", "xp": 1, "limit": {"cooldown": "1h"}},
        {"id": "liked", "on": "like", "to": "data.to", "reward": {"coin": 2}, "once_per": "data.post"},
        {"id": "likes", "on": "like", "to": "data.to", "metrics": {"likes": 1}},
    ],
    "achievements": [
        {"code": "PIONEER", "when": {"posts": 2}, "max_achievers": 1, "reward": {"xp": 20}},
        {"code": "EARLY", "when": {"likes": 1}, "max_achievers": 2, "reward": {"coin": 3}},
        {"code": "RICH", "when": {"xp": 60}, "max_achievers": 1, "reward": {"coin": 1}},
        {"code": "BUYER", "when": {"spent.coin": 1}, "max_achievers": 1, "reward": {"xp": 2}},
        {"code": "TENS", "when": {"posts": 3}, "repeatable": True, "reward": {"coin": 1}},
        {"code": "CROWN", "when": {"achievements": 4}, "reward": {"xp": 7}},
    ],
    "quests": [
        {"code": "daily", "type": "daily", "goals": {"posts": 3}, "reward": {"xp": 7}},
        {"code": "weekly", "type": "weekly", "goals": {"posts": 2}, "reward": {"coin": 5}, "claim": "manual"},
        {"code": "asked", "type": "weekly", "goals": {"likes": 2}, "reward": {"xp": 5}, "accept": "manual"},
    ],
    "streaks": [{"code": "posting", "on": "post", "bonus": {"xp_per_step": 2, "max_xp": 6}}],
    "leaderboards": [
        {"code": "xp", "metric": "xp", "periods": ["daily", "alltime"]},
        {"code": "level", "metric": "level", "periods": ["alltime"], "ties": "first"},
    ],
}


@cache
def revision(number: int) -> Catalog:
    """Return the catalog in one of its revisions: later ones pay more for a post and have more places."""
    rules = [rule | {"xp": 10 * number} if rule["id"] == "post" else rule for rule in TREE["rules"]]
    if number > 1:
        rules.append({"id": f"new-{number}", "on": "like", "to": "data.from", "xp": number})
    pioneer, *others = TREE["achievements"]
    achievements = [pioneer | {"max_achievers": number}, *others]
    return replace(parsed(TREE | {"rules": rules, "achievements": achievements}), revision=number)


@dataclass
class Call:
    """What a client hands over in one go: one after the other without waiting, or `together` or not at all."""

    requests: list
    together: bool


def plan(dice: Random, client: str, users: list[str], calls: int) -> list[Call]:
    """Draw a client's calls; only this client uses the ids in them."""
    made: list[Call] = []
    past: list = []
    for number in range(calls):
        size = dice.choice((1, 1, 1, 2, 4))
        requests = [_request(dice, f"{client}-{number}.{place}", users, past) for place in range(size)]
        past += requests
        made.append(Call(requests, together=dice.random() < 0.4))
    return made


def opening(users: list[str]) -> list[Call]:
    """Everybody's first credit, without which there is nothing to spend."""
    return [Call([Credit(user=user, id="open", currency="coin", amount=12)], together=False) for user in users]


def _request(dice: Random, request_id: str, users: list[str], past: list):
    user, to = dice.sample(users, 2)
    about = {"user": user, "id": request_id}
    match dice.choices(_KINDS, _WEIGHTS)[0]:
        case "post":
            return Event("post", **about, time=_time(dice), data={"tag": dice.choice("abc")})
        case "like":
            data = {"to": to, "post": dice.choice("pqr"), "from": dice.choice(users)}
            return Event("like", **about, time=_time(dice), data=data)
        case "xp":
            return AwardXp(**about, amount=dice.choice((5, 40)), source="case", source_id=dice.choice((None, "1")))
        case "credit":
            return Credit(**about, currency="coin", amount=4, source="case", source_id=dice.choice((None, "1")))
        case "spend":
            about["user"] = dice.choice((user, user, user, GHOST))
            return Spend(**about, currency="coin", amount=dice.choice((1, 5, 9)))
        case "transfer":
            return Transfer(**about, to=to, currency="coin", amount=dice.choice((1, 6)))
        case "hold":
            expires_at = dice.choice((None, START + HOUR, START + 1))
            return Hold(**about, currency="coin", amount=3, expires_at=expires_at)
        case "accept":
            return AcceptQuest(**about, quest="asked")
        case "claim":
            return ClaimQuest(**about, quest="weekly")
        case kind:
            return _naming_another(dice, kind, about, past)


def _naming_another(dice: Random, kind: str, about: dict, past: list):
    wanted = Spend if kind == "refund" else Hold
    earlier = [request for request in past if isinstance(request, wanted)]
    named = dice.choice(earlier) if earlier else None
    about |= {} if named is None else {"user": named.user}
    named_id = "none" if named is None else named.id
    match kind:
        case "capture":
            return Capture(**about, hold=named_id, amount=dice.choice((None, 2)))
        case "release":
            return Release(**about, hold=named_id)
        case _:
            return Refund(**about, request=named_id, amount=dice.choice((None, 1)))


def _time(dice: Random):
    """Mostly that of its arrival; some are late, some by days."""
    delay = dice.choice((None, None, None, 0, HOUR, DAY, 3 * DAY, 9 * DAY))
    return None if delay is None else to_datetime(START - delay)


_WEIGHT_OF = {
    "post": 10,
    "like": 7,
    "transfer": 5,
    "spend": 4,
    "xp": 2,
    "credit": 2,
    "hold": 2,
    "refund": 2,
    "claim": 2,
    "capture": 1,
    "release": 1,
    "accept": 1,
}
_KINDS, _WEIGHTS = tuple(_WEIGHT_OF), tuple(_WEIGHT_OF.values())
