"""Achievements, quests and leaderboards over HTTP."""

from __future__ import annotations

import time

import jwt
import pytest

import laurels
from laurels.catalog_file import parse_catalog
from laurels.settings import Settings

SECRET = "a secret of the application's own, 32 bytes"
CATALOG = """
[catalog]
name = "Playing"
[currencies.gold]
name = "Gold"
[metrics]
posts = { name = "Posts" }
[[rules]]
id = "post"
on = "post.created"
xp = 10
metrics = { posts = 1 }
[[achievements]]
code = "FIRST"
name = "First steps"
category = "content"
when = { posts = 1 }
[[achievements]]
code = "HIDDEN"
name = "Nobody knows"
description = "Post three times"
secret = true
rarity = "rare"
when = { posts = 3 }
[[quests]]
code = "poster"
name = "Poster"
type = "daily"
goals = { posts = 2 }
claim = "manual"
reward = { gold = 5 }
[[leaderboards]]
code = "xp"
metric = "xp"
periods = ["daily", "weekly", "alltime"]
"""


@pytest.fixture
def engine(database_url):
    with laurels.open(database_url, catalog=parse_catalog(CATALOG)) as engine:
        yield engine


@pytest.fixture
def service_settings():
    return Settings(token_key=SECRET)


@pytest.fixture
def ada(client):
    """A client with a token of Ada's."""
    return client(token=jwt.encode({"sub": "ada"}, SECRET))


def posts(api, count, user="ada", start=0):
    for number in range(start, start + count):
        answer = api.post("/v1/events", json={"id": f"p{number}", "type": "post.created", "user": user})
        assert answer.status_code == 200, answer.text


def test_achievements_are_listed_with_how_far_a_user_is(api):
    posts(api, 1)
    found = {one["achievement"]: one for one in api.get("/v1/users/ada/achievements").json()["items"]}
    assert (found["FIRST"]["unlocked"], found["FIRST"]["times"]) == (True, 1)
    assert (found["HIDDEN"]["unlocked"], found["HIDDEN"]["value"], found["HIDDEN"]["target"]) == (False, 1, 3)
    for filters, codes in [
        ({"status": "unlocked"}, ["FIRST"]),
        ({"status": "locked"}, ["HIDDEN"]),
        ({"category": "content"}, ["FIRST"]),
        ({"rarity": "rare"}, ["HIDDEN"]),
    ]:
        items = api.get("/v1/users/ada/achievements", params=filters).json()["items"]
        assert [one["achievement"] for one in items] == codes


def test_a_secret_is_one_for_users_until_they_unlock_it(ada, api):
    posts(api, 1)
    assert ada.get("/v1/achievements/HIDDEN").json()["name"] == ""
    assert [one["name"] for one in ada.get("/v1/achievements").json()["items"]] == ["First steps", ""]
    shown = ada.get("/v1/users/ada/achievements", params={"rarity": "rare"}).json()["items"][0]
    assert (shown["name"], shown["description"], shown["value"]) == ("", "", 0)
    assert api.get("/v1/achievements/HIDDEN").json()["name"] == "Nobody knows"
    posts(api, 2, start=1)
    assert ada.get("/v1/achievements/HIDDEN").json()["name"] == "Nobody knows"


def test_a_user_shows_what_is_unlocked_first(ada, api):
    posts(api, 3)
    assert ada.patch("/v1/users/ada/achievements/HIDDEN", json={"order": 1}).json()["showcased"] is True
    items = ada.get("/v1/users/ada/achievements").json()["items"]
    assert [(one["achievement"], one["showcased"], one["order"]) for one in items] == [
        ("HIDDEN", True, 1),
        ("FIRST", False, None),
    ]
    assert ada.patch("/v1/users/ada/achievements/HIDDEN", json={"showcased": False}).json()["order"] is None


def test_what_is_locked_cannot_be_shown(api):
    posts(api, 1)
    answer = api.patch("/v1/users/ada/achievements/HIDDEN", json={"showcased": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "achievement_locked")


def test_who_unlocked_it_is_listed_without_those_who_opted_out(api):
    for user in ("ada", "bob", "eve"):
        posts(api, 1, user)
    api.put("/v1/users/bob", json={"opted_out": True})
    api.put("/v1/users/eve", json={"display_name": "Eve"})
    first = api.get("/v1/achievements/FIRST/unlockers", params={"limit": 1}).json()
    rest = api.get("/v1/achievements/FIRST/unlockers", params={"cursor": first["next_cursor"]}).json()
    found = first["items"] + rest["items"]
    assert [(one["user_id"], one["display_name"]) for one in found] == [("ada", None), ("eve", "Eve")]
    assert rest["next_cursor"] is None


def test_a_quest_is_claimed_once_by_its_user(ada, api):
    posts(api, 1)
    answer = ada.post("/v1/users/ada/quests/poster/claim", headers={"Idempotency-Key": "c1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "quest_not_completed")
    posts(api, 1, start=1)
    assert [one["status"] for one in ada.get("/v1/users/ada/quests").json()["items"]] == ["completed"]
    claimed = ada.post("/v1/users/ada/quests/poster/claim", headers={"Idempotency-Key": "c2"})
    assert claimed.status_code == 200, claimed.text
    assert ada.get("/v1/users/ada").json()["balances"]["gold"]["available"] == 5
    again = ada.post("/v1/users/ada/quests/poster/claim", headers={"Idempotency-Key": "c3"})
    assert (again.status_code, again.json()["code"]) == (409, "already_claimed")
    assert ada.get("/v1/users/ada/quests", params={"status": "completed"}).json()["items"] == []


def test_a_board_is_read_from_the_top_by_page_and_around_a_user(api, engine):
    for number in range(7):
        engine.award_xp(f"user-{number}", 10 * (number + 1), request_id="r")
    deadline = time.monotonic() + 10  # On PostgreSQL a worker brings it forward.
    while (board := api.get("/v1/leaderboards/xp", params={"limit": 3}).json())["total"] < 7:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (board["code"], board["total"], board["period"]["kind"], board["period"]["key"]) == (
        "xp",
        7,
        "alltime",
        "all",
    )
    assert [(row["rank"], row["user_id"], row["score"]) for row in board["items"]] == [
        (1, "user-6", 70),
        (2, "user-5", 60),
        (3, "user-4", 50),
    ]
    following = api.get("/v1/leaderboards/xp", params={"limit": 3, "cursor": board["next_cursor"]}).json()
    assert [row["rank"] for row in following["items"]] == [4, 5, 6]
    last = api.get("/v1/leaderboards/xp", params={"limit": 3, "cursor": following["next_cursor"]}).json()
    assert ([row["rank"] for row in last["items"]], last["next_cursor"]) == ([7], None)
    around = api.get("/v1/leaderboards/xp", params={"around": "user-3", "limit": 3}).json()
    assert [row["user_id"] for row in around["items"]] == ["user-4", "user-3", "user-2"]


def test_what_a_board_does_not_have_is_told(api):
    assert api.get("/v1/leaderboards/gold").json()["code"] == "unknown_leaderboard"
    monthly = api.get("/v1/leaderboards/xp", params={"period": "monthly"})
    assert (monthly.status_code, monthly.json()["code"]) == (422, "unknown_period")
    assert [one["code"] for one in api.get("/v1/leaderboards").json()["items"]] == ["xp"]


def test_a_notification_is_read_once(ada, api):
    posts(api, 1)
    inbox = ada.get("/v1/users/ada/notifications", params={"unread": True}).json()["items"]
    assert [one["type"] for one in inbox] == ["achievement_unlocked"]
    assert ada.post("/v1/users/ada/notifications/read", json={"up_to": inbox[0]["number"]}).json() == {"marked": 1}
    assert ada.post("/v1/users/ada/notifications/read").json() == {"marked": 0}
    assert ada.get("/v1/users/ada/notifications", params={"unread": True}).json()["items"] == []
