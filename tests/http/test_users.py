"""Users over HTTP: profiles, settings, ledgers, notifications, days."""

from __future__ import annotations

from urllib.parse import quote

import laurels


def test_what_is_recorded_shows_in_the_profile_with_the_names_of_the_contract(api):
    event = {"id": "e1", "type": "post.created", "user": "ada", "data": {"published": True}}
    answer = api.post("/v1/events", json=event)
    assert answer.status_code == 200, answer.text
    (outcome,) = answer.json()["outcomes"]
    assert (outcome["event_id"], outcome["status"]) == ("e1", "applied")
    assert outcome["changes"][0]["type"] == "xp.awarded"
    assert api.post("/v1/events", json=event).json()["outcomes"][0]["status"] == "duplicate"

    profile = api.get("/v1/users/ada").json()
    assert profile["xp"] > 0
    assert profile["metrics"]["posts"] == 1
    assert profile["balances"].keys() == {"premium", "sparkle"}


def test_an_id_with_a_slash_is_escaped_in_paths(api):
    user_id = "team/ada ☃"
    assert api.put(f"/v1/users/{quote(user_id, safe='')}", json={"display_name": "Ada"}).status_code == 200
    profile = api.get(f"/v1/users/{quote(user_id, safe='')}").json()
    assert (profile["user_id"], profile["display_name"]) == (user_id, "Ada")


def test_what_is_not_given_stays_as_it_is(api):
    api.put("/v1/users/ada", json={"timezone": "Europe/Berlin", "groups": {"team": "red"}})
    profile = api.put("/v1/users/ada", json={"day_starts_at": 4}).json()
    assert (profile["timezone"], profile["day_starts_at"], profile["groups"]) == ("Europe/Berlin", 4, {"team": "red"})


def test_lists_page_to_their_end_and_hold_everything_once(api):
    for number in range(25):
        api.post("/v1/users/ada/xp", json={"amount": 1}, headers={"Idempotency-Key": f"r{number}"})
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get("/v1/users/ada/ledger", params={"limit": 10, "cursor": cursor}).json()
        seen += [entry["request_id"] for entry in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [f"r{number}" for number in reversed(range(25))]


def test_a_cursor_of_another_list_is_told_so(api):
    api.put("/v1/users/ada", json={})
    answer = api.get("/v1/users/ada/ledger", params={"cursor": "nonsense"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


def test_an_unknown_user_is_a_problem(api):
    answer = api.get("/v1/users/nobody")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == {"type", "title", "status", "detail", "code"}
    assert answer.json()["code"] == "unknown_user"


def test_days_and_totals_are_told(api, engine: laurels.Engine):
    for number, time in enumerate(["2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z", "2026-03-02T10:00:00Z"]):
        api.post("/v1/events", json={"id": f"e{number}", "type": "post.created", "user": "ada", "time": time})
    stats = api.get("/v1/users/ada/stats").json()
    assert (stats["requests"], stats["by_type"], stats["active_days"]) == (3, {"post.created": 3}, 2)
    days = api.get("/v1/users/ada/activity").json()["items"]
    assert [(day["day"], day["requests"]) for day in days] == [("2026-03-02", 1), ("2026-03-01", 2)]
    assert sum(day["xp"] for day in days) == engine.profile("ada").xp
