"""Events over HTTP: one, a batch, what is wrong with which, and what a repeat gets."""

from __future__ import annotations

import json

import httpx
import pytest

import laurels
from laurels import keys


def event(number, **fields):
    return {"id": f"e{number}", "type": "post.created", "user": "ada", "data": {"published": True}, **fields}


def post(api, body, media_type="application/json", **headers):
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    return api.post("/v1/events", content=content, headers={"Content-Type": media_type, **headers})


def test_a_batch_is_answered_in_its_order(api, engine: laurels.Engine):
    users = [f"user {number % 7}" for number in range(100)]
    answer = post(api, {"events": [event(number, user=user) for number, user in enumerate(users)]})
    outcomes = answer.json()["outcomes"]
    assert [outcome["event_id"] for outcome in outcomes] == [f"e{number}" for number in range(100)]
    for user, outcome in zip(users, outcomes, strict=True):
        assert outcome["status"] == "applied"
        assert {change["user_id"] for change in outcome["changes"]} == {user}
    assert sum(engine.profile(user).metrics["posts"] for user in set(users)) == 100


@pytest.mark.parametrize(
    ("wrong", "code", "path"),
    [
        pytest.param({"time": "2026-03-01T10:00:00"}, "naive_time", "events[3].time", id="naive-time"),
        pytest.param({"time": "yesterday"}, "invalid_time", "events[3].time", id="no-time"),
        pytest.param({"time": 1_767_225_600}, "invalid_time", "events[3].time", id="number-as-time"),
        pytest.param({"time": "2999-01-01T00:00:00Z"}, "time_in_future", "events[3].time", id="future"),
        pytest.param({"time": "1969-12-31T23:59:59Z"}, "time_too_early", "events[3].time", id="too-early"),
        pytest.param({"user": ""}, "invalid_id", "events[3].user", id="no-user"),
        pytest.param({"user": 7}, "invalid_id", "events[3].user", id="number-as-user"),
        pytest.param({"id": "x" * 256}, "invalid_id", "events[3].id", id="long-id"),
        pytest.param({"type": "Post Created"}, "invalid_event_type", "events[3].type", id="type"),
        pytest.param({"data": [1]}, "invalid_data", "events[3].data", id="data-is-a-list"),
        pytest.param({"data": {"a": "\0"}}, "invalid_data", "events[3].data.a", id="nul"),
        pytest.param({"data": {"a": "x" * 65_536}}, "data_too_large", "events[3].data", id="large-data"),
        pytest.param({"tiem": "2026-03-01T10:00:00Z"}, "invalid_event", "events[3]", id="unknown-field"),
    ],
)
def test_one_bad_event_is_named_by_its_place_and_nothing_is_recorded(shared, user, wrong, code, path):
    batch = [event(number, user=user) for number in range(6)]
    batch[3] |= wrong
    answer = post(shared.api, {"events": batch})
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, code)
    assert [error["path"] for error in told["errors"]] == [path]
    assert answer.headers["content-type"] == "application/problem+json"
    assert shared.api.get(f"/v1/users/{user}").status_code == 404

    alone = post(shared.api, batch[3])
    assert (alone.status_code, alone.json()["code"]) == (422, code)
    assert [error["path"] for error in alone.json().get("errors", [])] == [one for one in [path[10:]] if one]


def test_a_reused_id_refuses_the_whole_batch(api, engine: laurels.Engine):
    post(api, event(1))
    before = engine.profile("ada")
    answer = post(api, {"events": [event(0), event(1, data={"other": True}), event(2)]})
    assert (answer.status_code, answer.json()["code"]) == (409, "request_id_reused")
    assert "'e1'" in answer.json()["detail"]
    assert engine.profile("ada") == before

    answer = post(api, {"events": [event(5), event(5, type="user.login")]})
    assert (answer.status_code, answer.json()["code"]) == (409, "request_id_reused")
    assert engine.profile("ada") == before


def test_a_repeat_gets_what_the_first_got_and_says_so(api, engine: laurels.Engine):
    first = post(api, {"events": [event(0), event(1)]}).json()["outcomes"]
    before = engine.profile("ada")
    again = post(api, {"events": [event(1), event(0), event(2), event(2)]}).json()["outcomes"]
    assert [outcome["status"] for outcome in again] == ["duplicate", "duplicate", "applied", "duplicate"]
    assert [outcome["changes"] for outcome in again[:2]] == [first[1]["changes"], first[0]["changes"]]
    assert engine.profile("ada").metrics["posts"] == before.metrics["posts"] + 1


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        pytest.param({"events": []}, "batch_too_large", "events", id="none"),
        pytest.param({"events": [event(n) for n in range(1001)]}, "batch_too_large", "events", id="one-too-many"),
        pytest.param({"events": {}}, "invalid_event", "events", id="no-list"),
        pytest.param({"events": None}, "invalid_event", "events", id="null"),
        pytest.param({"events": [event(1)], "all": True}, "invalid_event", "events", id="more-than-events"),
        pytest.param({"events": [None]}, "invalid_event", "events[0]", id="null-inside"),
        pytest.param([event(1)], "invalid_event", None, id="a-bare-list"),
        pytest.param({}, "invalid_event", None, id="empty"),
        pytest.param("null", "invalid_event", None, id="nothing"),
    ],
)
def test_what_is_no_event_and_no_batch_says_what_is(shared, body, code, path):
    answer = post(shared.api, body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert [error["path"] for error in answer.json().get("errors", [])] == ([path] if path else [])


def test_a_thousand_events_with_much_to_say_go_together(shared, user):
    batch = [event(number, user=f"{user} {number % 50}", data={"text": "x" * 10_000}) for number in range(1_000)]
    answer = post(shared.api, {"events": batch})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["outcomes"]) == 1_000
    assert len(shared.engine.users(containing=f"{user} ")) == 50


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "", "application/x-www-form-urlencoded"])
def test_a_form_in_which_events_do_not_come_is_told_those_in_which_they_do(shared, media_type):
    answer = post(shared.api, event(1), media_type)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "application/json" in answer.headers["accept-post"]


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"])
def test_parameters_and_case_of_the_media_type_do_not_matter(shared, user, media_type):
    assert post(shared.api, event(1, user=user), media_type).status_code == 200


@pytest.mark.parametrize(("scope", "status"), [("read", 403), ("wallet", 403), ("ingest", 200)])
def test_recording_takes_the_scope_for_it(shared, user, scope, status):
    key = keys.create(shared.engine, "test", [scope], actor="tests").key
    answer = httpx.post(f"{shared.url}/v1/events", json=event(1, user=user), headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == status
