"""CloudEvents 1.0 over HTTP: structured, batched and binary, and what of them Laurels does not take."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from laurels import Event
from laurels.core.errors import InvalidInput
from laurels.http import cloudevents

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def cloud_event(user, **attributes):
    return {
        "specversion": "1.0",
        "id": "17",
        "source": "/forum",
        "type": "post.created",
        "subject": user,
        "time": "2026-03-01T10:00:00+01:00",
        "datacontenttype": "application/json",
        "data": {"published": True},
    } | attributes


def post(shared, body, media_type, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body)
    return shared.api.post("/v1/events", content=content, headers={"Content-Type": media_type, **headers})


def binary(shared, headers, body=b"", media_type="application/json"):
    sent = {f"ce-{name}": value for name, value in headers.items()}
    if media_type is not None:
        sent["Content-Type"] = media_type
    return shared.api.post("/v1/events", content=body, headers=sent)


def attributes(user, **others):
    return {"specversion": "1.0", "id": "17", "source": "/forum", "type": "post.created", "subject": user} | others


@pytest.mark.parametrize("media_type", [STRUCTURED, f"{STRUCTURED}; charset=utf-8", "Application/CloudEvents+JSON"])
def test_subject_is_the_user_and_source_and_id_the_request(shared, user, media_type):
    (outcome,) = post(shared, cloud_event(user), media_type).json()["outcomes"]
    assert (outcome["event_id"], outcome["status"]) == ("/forum#17", "applied")
    days = shared.api.get(f"/v1/users/{quote(user)}/activity").json()["items"]
    assert [day["day"] for day in days] == ["2026-03-01"]
    # The same event told in our own form is the same request.
    own = {"id": "/forum#17", "type": "post.created", "user": user, "data": {"published": True}}
    assert shared.api.post("/v1/events", json=own).json()["outcomes"][0]["status"] == "duplicate"


def test_the_same_id_of_another_source_is_another_event(shared, user):
    for source in ("/forum", "/shop", "/forum"):
        answer = post(shared, cloud_event(user, source=source), STRUCTURED)
        assert answer.status_code == 200
    assert shared.engine.profile(user).metrics["posts"] == 2


def test_a_batch_is_recorded_together_or_not_at_all(shared, user):
    batch = [cloud_event(user, id=str(number)) for number in range(5)]
    refused = post(shared, [*batch, cloud_event(user, id="5", time="2026-03-01T10:00:00")], BATCH)
    assert (refused.status_code, refused.json()["code"]) == (422, "naive_time")
    assert [error["path"] for error in refused.json()["errors"]] == ["events[5].time"]
    assert shared.api.get(f"/v1/users/{quote(user)}").status_code == 404

    outcomes = post(shared, batch, f"{BATCH};charset=UTF-8").json()["outcomes"]
    assert [outcome["event_id"] for outcome in outcomes] == [f"/forum#{number}" for number in range(5)]

    long = post(shared, [cloud_event(user, id="x" * 250)], BATCH)
    assert [error["path"] for error in long.json()["errors"]] == ["events[0].id"]


def test_extension_attributes_are_left_alone(shared, user):
    extended = cloud_event(user, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", priority=5)
    assert post(shared, extended, STRUCTURED).json()["outcomes"][0]["status"] == "applied"
    plain = post(shared, cloud_event(user), STRUCTURED)
    assert plain.json()["outcomes"][0]["status"] == "duplicate"


def test_binary_mode_takes_attributes_from_headers_and_data_from_the_body(shared):
    user = "Zoë % ☃/1"
    headers = attributes(quote(user), time="2026-03-01T09:00:00Z", traceparent="00-1-1-01")
    answer = binary(shared, headers, b'{"published": true}', "application/json; charset=utf-8")
    (outcome,) = answer.json()["outcomes"]
    assert {change["user_id"] for change in outcome["changes"]} == {user}
    # The other modes tell the same event.
    same = cloud_event(user, time="2026-03-01T09:00:00Z")
    assert post(shared, same, STRUCTURED).json()["outcomes"][0]["status"] == "duplicate"
    vendor = binary(shared, headers, b'{"published": true}', "application/vnd.forum.post+json")
    assert vendor.json()["outcomes"][0]["status"] == "duplicate"


def test_quoted_headers_of_older_senders_are_unquoted(shared, user):
    answer = binary(shared, attributes(f'"{user}"', source='"/a \\"b\\" %41"'), b"{}")
    assert answer.json()["outcomes"][0]["event_id"] == '/a "b" A#17'
    assert shared.api.get(f"/v1/users/{quote(user)}").status_code == 200


def test_the_other_modes_may_repeat_attributes_in_headers(shared, user):
    headers = {f"ce-{name}": value for name, value in attributes("somebody else").items()}
    answer = post(shared, cloud_event(user), STRUCTURED, **headers)
    assert {change["user_id"] for change in answer.json()["outcomes"][0]["changes"]} == {user}


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", None])
def test_binary_mode_needs_no_data(shared, user, media_type):
    answer = binary(shared, attributes(user), media_type=media_type)
    assert answer.json()["outcomes"][0]["status"] == "applied", answer.text
    whole = {name: value for name, value in cloud_event(user).items() if name not in {"data", "datacontenttype"}}
    assert post(shared, whole, STRUCTURED).json()["outcomes"][0]["status"] == "duplicate"


@pytest.mark.parametrize(
    ("wrong", "code", "path"),
    [
        pytest.param({"specversion": "0.3"}, "invalid_event", "specversion", id="other-version"),
        pytest.param({"specversion": 1.0}, "invalid_event", "specversion", id="version-as-number"),
        pytest.param({"subject": None}, "invalid_event", "subject", id="null-as-subject"),
        pytest.param({"subject": ""}, "invalid_event", "subject", id="empty-subject"),
        pytest.param({"source": {}}, "invalid_event", "source", id="object-as-source"),
        pytest.param({"type": "com.example.Post"}, "invalid_event_type", "type", id="type"),
        pytest.param({"source": "s" * 200, "id": "i" * 55}, "invalid_id", "id", id="long-together"),
        pytest.param({"time": "2026-03-01T10:00:00"}, "naive_time", "time", id="naive-time"),
        pytest.param({"time": "2026-02-30T10:00:00Z"}, "invalid_time", "time", id="no-such-day"),
        pytest.param({"time": 7}, "invalid_time", "time", id="number-as-time"),
        pytest.param({"datacontenttype": "text/xml", "data": "<a/>"}, "invalid_data", "data", id="xml"),
        pytest.param({"datacontenttype": 7}, "invalid_data", "data", id="number-as-media-type"),
        pytest.param({"data_base64": "e30="}, "invalid_data", "data", id="base64"),
        pytest.param({"data": "text"}, "invalid_data", "data", id="text-as-data"),
    ],
)
def test_what_laurels_does_not_take_is_told_where_it_stands(shared, user, wrong, code, path):
    answer = post(shared, cloud_event(user, **wrong), STRUCTURED)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert shared.api.get(f"/v1/users/{quote(user)}").status_code == 404


def test_an_id_may_be_as_long_as_any_request_s(shared, user):
    event = cloud_event(user, source="s" * 200, id="i" * 54)
    assert post(shared, event, STRUCTURED).status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "media_type", "status", "code"),
    [
        pytest.param({"specversion": "2.0"}, b"{}", "application/json", 422, "invalid_event", id="version"),
        pytest.param({"subject": ""}, b"{}", "application/json", 422, "invalid_event", id="no-subject"),
        pytest.param({"subject": "%00"}, b"{}", "application/json", 422, "invalid_id", id="control"),
        pytest.param({"subject": "%C0%A0"}, b"{}", "application/json", 422, "invalid_event", id="overlong-utf-8"),
        pytest.param({"subject": b"Zo\xc3\xab"}, b"{}", "application/json", 422, "invalid_event", id="not-escaped"),
        pytest.param({}, b"<a/>", "application/xml", 422, "invalid_data", id="xml"),
        pytest.param({}, b"{}", None, 422, "invalid_data", id="no-media-type"),
        pytest.param({}, b"{", "application/json", 400, "unreadable", id="broken-json"),
        pytest.param({}, b"[1]", "application/json", 422, "invalid_data", id="list"),
        pytest.param({"time": "tomorrow"}, b"{}", "application/json", 422, "invalid_time", id="time"),
    ],
)
def test_binary_mode_is_as_strict(shared, user, headers, body, media_type, status, code):
    answer = binary(shared, attributes(user, **headers), body, media_type)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert shared.api.get(f"/v1/users/{quote(user)}").status_code == 404


def test_a_batch_is_a_list_which_may_be_empty_and_not_too_long(shared, user):
    assert post(shared, [], BATCH).json() == {"outcomes": []}
    long = [cloud_event(user, id=str(number)) for number in range(1_001)]
    for body, code in ((long, "batch_too_large"), ({}, "invalid_event"), (None, "invalid_event")):
        answer = post(shared, body, BATCH)
        assert (answer.status_code, answer.json()["code"]) == (422, code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=8,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "specversion": st.just("1.0") | JSON,
        "id": st.text(max_size=9) | JSON,
        "source": st.sampled_from(["/forum", "urn:x", "#"]) | JSON,
        "type": st.just("post.created") | JSON,
        "subject": st.text(max_size=9) | JSON,
        "time": st.sampled_from(["2026-03-01T10:00:00Z", "2026-03-01t10:00:60.5+23:59", "0001-01-01T00:00:00+10:00"])
        | JSON,
        "datacontenttype": st.sampled_from(["application/json", "text/plain", ";", "a/b+json"]) | JSON,
        "data": JSON,
        "data_base64": JSON,
        "extension": JSON,
    },
)


@given(NEARLY | JSON)
@example(dict.fromkeys(cloudevents.REQUIRED, "1.0"))
def test_any_json_is_an_event_or_refused(found):
    for read in (lambda: [cloudevents.of_object(found, "")], lambda: cloudevents.of_batch([found], 1_000)):
        with suppress(InvalidInput):
            assert all(isinstance(event, Event) for event in read())


HEADER = st.text(st.characters(max_codepoint=255), max_size=9)


@given(
    st.dictionaries(st.sampled_from([f"ce-{name}" for name in (*cloudevents.REQUIRED, "time", "data", "x")]), HEADER),
    st.sampled_from(["application/json", "", "a/b+json"]) | HEADER,
    st.binary(max_size=9) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_headers_and_any_body_are_an_event_or_refused(headers, media_type, body):
    with suppress(InvalidInput):
        found = cloudevents.of_headers({"ce-specversion": "1.0"} | headers, media_type, body)
        assert isinstance(found, Event)
