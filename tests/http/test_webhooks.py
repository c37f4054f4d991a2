"""Webhooks over HTTP: making, changing and removing them, their log, and who may."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from standardwebhooks import Webhook

from laurels.settings import Settings
from tests.conftest import on_sqlite_alone, until
from tests.webhooks.receivers import Receiver, Server


@pytest.fixture
def service_settings():
    return Settings(webhooks_allow_private=True)


@pytest.fixture
def receiver():
    found = Receiver()
    with Server(found):
        yield found


def test_what_is_recorded_reaches_a_webhook_of_a_running_service(api, receiver):
    made = api.post("/v1/webhooks", json={"url": receiver.url, "types": ["xp.awarded"]})
    assert made.status_code == 201
    api.post("/v1/users/ada/xp", json={"amount": 5}, headers={"Idempotency-Key": "r1"})
    until(lambda: receiver.came)
    message = receiver.came[0]
    assert Webhook(made.json()["secret"]).verify(message.body, message.headers)["data"]["user_id"] == "ada"

    path = f"/v1/webhooks/{made.json()['id']}"
    until(lambda: api.get(f"{path}/deliveries").json()["items"][0]["status"] == "delivered")
    (told,) = api.get(f"{path}/deliveries").json()["items"]
    assert told["id"] == message.id
    assert [attempt["response"] for attempt in told["attempts"]] == [204]
    assert api.post(f"{path}/redeliver", json={"delivery_id": told["id"]}).json() == {"queued": 1}
    until(lambda: len(receiver.came) == 2)
    assert receiver.came[1].id == message.id


def test_a_secret_is_shown_once(api, receiver):
    made = api.post("/v1/webhooks", json={"url": receiver.url}).json()
    path = f"/v1/webhooks/{made['id']}"
    assert made.pop("secret").startswith("whsec_")
    assert api.get(path).json() == made
    assert api.get("/v1/webhooks").json() == {"items": [made], "next_cursor": None}
    rotated = api.post(f"{path}/rotate-secret", json={"overlap_s": 60}).json()
    assert rotated.pop("secret").startswith("whsec_")
    assert rotated["old_secret_until"] is not None
    assert "secret" not in api.get(path).json()


def test_what_is_changed_stays_and_the_rest_stays_as_it_is(api, receiver):
    made = api.post("/v1/webhooks", json={"url": receiver.url, "users": ["ada"], "description": "Ours"}).json()
    del made["secret"]
    path = f"/v1/webhooks/{made['id']}"
    changed = api.patch(path, json={"types": ["level.*"], "enabled": False}).json()
    assert changed == made | {"types": ["level.*"], "enabled": False, "disabled_why": "asked"}
    assert api.patch(path, json={}).json() == changed
    assert api.patch(path, json={"enabled": True, "types": []}).json() == made
    assert api.delete(path).json() == made
    assert api.get(path).status_code == api.delete(path).status_code == 404


@on_sqlite_alone
def test_every_act_is_in_the_audit_log_without_a_secret(api, receiver):
    url = f"{receiver.url}/tok3n"
    made = api.post("/v1/webhooks", json={"url": url, "users": ["ada"]}).json()
    path = f"/v1/webhooks/{made['id']}"
    api.patch(path, json={"enabled": False, "url": url})
    rotated = api.post(f"{path}/rotate-secret", json={}).json()
    api.patch(path, json={"enabled": True})
    api.post(f"{path}/redeliver", json={"since": "2026-01-01T00:00:00Z"})
    api.delete(path)
    acts = [act for act in api.get("/v1/audit").json()["items"] if act["target"] == made["id"]]
    assert [act["action"] for act in reversed(acts)] == [
        "webhook.created",
        "webhook.changed",
        "webhook.secret_rotated",
        "webhook.changed",
        "webhook.redelivered",
        "webhook.removed",
    ]
    for secret in (made["secret"], rotated["secret"], "tok3n"):
        assert secret not in str(acts)


@on_sqlite_alone
@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        pytest.param({"url": "ftp://example.com/"}, "invalid_url", "url", id="no-https"),
        pytest.param({"url": "http://169.254.169.254/latest/"}, "address_refused", "url", id="metadata"),
        pytest.param({"url": "http://nowhere.invalid/"}, "address_unknown", "url", id="no-such-name"),
        pytest.param({"url": "http://127.0.0.1/", "types": ["level"]}, "unknown_type", "types[0]", id="no-type"),
        pytest.param({"url": "http://127.0.0.1/", "users": ["a", ""]}, "invalid_id", "users[1]", id="no-user-id"),
        pytest.param({"url": "http://127.0.0.1/", "description": "\n"}, "invalid_text", "description", id="no-text"),
        pytest.param({"url": "http://127.0.0.1/", "secret": "x"}, "invalid_request", "secret", id="no-such-field"),
        pytest.param({}, "invalid_request", "url", id="no-url"),
    ],
)
def test_what_is_wrong_with_a_webhook_is_said(api, body, code, path):
    answer = api.post("/v1/webhooks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert [error["path"] for error in answer.json()["errors"]] == [path]


@on_sqlite_alone
def test_what_cannot_be_delivered_again_is_said(api, receiver):
    made = api.post("/v1/webhooks", json={"url": receiver.url}).json()
    path = f"/v1/webhooks/{made['id']}/redeliver"
    assert api.post(path, json={}).json()["code"] == "invalid_redelivery"
    assert api.post(path, json={"delivery_id": "msg_1"}).json()["code"] == "unknown_delivery"
    assert api.post(path, json={"since": "soon"}).json()["errors"][0]["path"] == "since"
    api.patch(f"/v1/webhooks/{made['id']}", json={"enabled": False})
    refused = api.post(path, json={"since": "2026-01-01T00:00:00Z"})
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")
    assert api.post("/v1/webhooks/wh_0/redeliver", json={"delivery_id": "msg_1"}).json()["code"] == "unknown_webhook"


@pytest.mark.parametrize("odd", ["%00", "%2F", "x%0A"])
def test_what_is_no_id_names_nothing(api, receiver, odd):
    made = api.post("/v1/webhooks", json={"url": receiver.url}).json()
    assert api.get(f"/v1/webhooks/{odd}").json()["code"] == "unknown_webhook"
    assert api.delete(f"/v1/keys/{odd}").json()["code"] == "unknown_key"
    answer = api.post(f"/v1/webhooks/{made['id']}/redeliver", json={"delivery_id": unquote(odd)})
    assert answer.json()["code"] == "unknown_delivery"


@on_sqlite_alone
def test_the_log_pages_to_its_end_and_holds_everything_once(api, receiver):
    made = api.post("/v1/webhooks", json={"url": receiver.url}).json()
    changes = 0
    for number in range(6):
        answer = api.post("/v1/users/ada/xp", json={"amount": 90}, headers={"Idempotency-Key": f"r{number}"})
        changes += len(answer.json()["changes"])
    until(lambda: len(receiver.came) == changes)
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/v1/webhooks/{made['id']}/deliveries", params={"limit": 3, "cursor": cursor}).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [one.id for one in reversed(receiver.came)]


@on_sqlite_alone
@pytest.mark.parametrize("scope", ["read", "ingest", "wallet"])
def test_webhooks_are_for_administrators(client, scope):
    assert client(scope).get("/v1/webhooks").status_code == 403
    assert client(scope).post("/v1/webhooks", json={"url": "https://example.com"}).status_code == 403


@on_sqlite_alone
def test_metrics_say_how_much_waits(api, receiver):
    receiver.answers = [500]
    api.post("/v1/webhooks", json={"url": receiver.url, "types": ["xp.awarded"]})
    assert 'laurels_webhook_messages{status="waiting"} 0.0' in api.get("/metrics").text
    api.post("/v1/users/ada/xp", json={"amount": 5}, headers={"Idempotency-Key": "r1"})
    until(lambda: receiver.came)
    assert 'laurels_webhook_messages{status="waiting"} 1.0' in api.get("/metrics").text
    assert 'laurels_webhook_messages{status="dropped"} 0.0' in api.get("/metrics").text
