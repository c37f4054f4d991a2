"""Keys over HTTP: made, used, rotated, revoked, in every process; and who did what."""

from __future__ import annotations

import time
from datetime import datetime

import httpx
import pytest

import laurels
from laurels import keys
from laurels.http import create_app
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.conftest import ACTOR, serving
from tests.http.operations import of_api, ready
from tests.services import FAST, PostgresServer

#: What an administrator does, as tests call it, and what the log calls it. Looking is not doing.
ACTS = {
    "set_user": "user.set",
    "adjust_xp": "balance.adjusted",
    "adjust": "balance.adjusted",
    "apply_catalog": "catalog.applied",
    "create_key": "key.created",
    "rotate_key": "key.rotated",
    "revoke_key": "key.revoked",
    "create_webhook": "webhook.created",
    "change_webhook": "webhook.changed",
    "remove_webhook": "webhook.removed",
    "rotate_webhook_secret": "webhook.secret_rotated",
    "redeliver": "webhook.redelivered",
}
LOOKS = {"check_catalog"}


@pytest.fixture
def service_settings() -> Settings:
    return Settings(serve_works=False, webhooks_allow_private=True)


@pytest.fixture
def other_url(database_url, service_settings):
    """Another process on the same database, as far as keys know."""
    with laurels.open(database_url) as engine, serving(create_app(engine, service_settings)) as url:
        yield url


def test_a_key_that_is_made_is_good_at_once_and_everywhere(api, url, other_url):
    made = api.post("/v1/keys", json={"name": "shop", "scopes": ["read", "ingest"]})
    assert made.status_code == 201
    assert made.json()["scopes"] == ["ingest", "read"]
    for address in (url, other_url):
        answer = httpx.get(f"{address}/v1/users", headers=bearer(made.json()["key"]))
        assert answer.status_code == 200
    (listed,) = [key for key in api.get("/v1/keys").json()["items"] if key["name"] == "shop"]
    assert "key" not in listed
    assert made.json()["key"].split("_")[2] not in api.get("/v1/keys").text


def test_a_key_that_is_revoked_is_refused_within_a_second_everywhere(api, url, other_url):
    made = api.post("/v1/keys", json={"name": "shop", "scopes": ["read"]}).json()
    with httpx.Client(headers=bearer(made["key"])) as one:
        assert [one.get(f"{address}/v1/users").status_code for address in (url, other_url)] == [200, 200]
        assert api.delete(f"/v1/keys/{made['id']}").json()["revoked_at"] is not None
        time.sleep(1)
        assert [one.get(f"{address}/v1/users").status_code for address in (url, other_url)] == [401, 401]
    assert api.delete(f"/v1/keys/{made['id']}").status_code == 200, "again, it changes nothing"


@on_sqlite_alone
def test_a_rotated_key_is_good_until_its_overlap_ends(api, url):
    old = api.post("/v1/keys", json={"name": "shop", "scopes": ["read"]}).json()
    new = api.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_s": 1})
    assert new.status_code == 201
    with httpx.Client(base_url=url) as one:
        assert one.get("/v1/users", headers=bearer(old["key"])).status_code == 200
        assert one.get("/v1/users", headers=bearer(new.json()["key"])).status_code == 200
        time.sleep(1.1)
        assert one.get("/v1/users", headers=bearer(old["key"])).status_code == 401
        assert one.get("/v1/users", headers=bearer(new.json()["key"])).status_code == 200
    again = api.post(f"/v1/keys/{old['id']}/rotate")
    assert (again.status_code, again.json()["code"]) == (409, "key_revoked")


def test_when_a_key_was_last_used_is_known_to_the_minute(database_url, clock, service_settings):
    with laurels.open(database_url, clock=clock) as engine:
        made = keys.create(engine, "shop", ["read"], actor=ACTOR)

        def last_used() -> datetime | None:
            return keys.every(engine)[0].last_used_at

        with serving(create_app(engine, service_settings)) as url, httpx.Client(headers=bearer(made.key)) as one:
            assert last_used() is None
            clock.now = clock.now.replace(second=59)
            one.get(f"{url}/v1/users")
            eventually(lambda: last_used() == clock.now.replace(second=0, microsecond=0))
            clock.advance(seconds=2)
            one.get(f"{url}/v1/users")
            eventually(lambda: last_used() == clock.now.replace(second=0, microsecond=0))
        keys.used(engine, made.id, engine.now() - 3_600_000_000)
        assert last_used() == clock.now.replace(second=0, microsecond=0), "a slower process takes nothing back"


def test_whatever_an_administrator_does_is_in_the_audit_log(engine, client):
    ready(engine)
    api = client("admin")
    document = api.get("/openapi.json").json()
    me = next(key["id"] for key in api.get("/v1/keys").json()["items"])
    for operation in of_api(document):
        if operation.roles != {"admin"} or operation.method == "GET" or operation.id in LOOKS:
            continue
        another = keys.create(engine, "another", ["read"], actor=ACTOR)
        webhook = api.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/hook"}).json()
        before = api.get("/v1/audit").json()["items"][0]["number"]
        answer = operation.call(api, key_id=another.id, webhook_id=webhook["id"])
        assert answer.is_success, (operation, answer.text)
        acts = [act for act in api.get("/v1/audit").json()["items"] if act["number"] > before]
        assert [(act["actor"], act["action"]) for act in acts] == [(me, ACTS[operation.id])], operation


def test_what_was_refused_or_known_already_is_in_no_log(engine, client):
    ready(engine)
    api = client("admin")
    first = api.post("/v1/users/ada/wallet/sparkle/adjust", json={"amount": 5}, headers={"Idempotency-Key": "fix"})
    assert first.status_code == 200
    before = api.get("/v1/audit").json()["items"]
    assert before[0]["detail"] == {"unit": "sparkle", "amount": 5, "request_id": "fix"}
    assert (before[0]["target"], before[0]["action"]) == ("ada", "balance.adjusted")
    again = api.post("/v1/users/ada/wallet/sparkle/adjust", json={"amount": 5}, headers={"Idempotency-Key": "fix"})
    assert again.headers["idempotent-replayed"] == "true"
    refused = api.post("/v1/users/ada/wallet/none/adjust", json={"amount": 5}, headers={"Idempotency-Key": "no"})
    assert refused.status_code == 404
    assert api.put("/v1/users/ada", json={"timezone": "Nowhere/Else"}).status_code == 422
    assert api.put("/v1/catalog", json={"catalog": {"name": 5}}).status_code == 422
    assert api.get("/v1/audit").json()["items"] == before


@on_sqlite_alone
def test_the_log_says_what_was_set_of_a_user_and_not_to_what(api):
    api.put("/v1/users/ada", json={"display_name": "Ada Lovelace", "day_starts_at": 4})
    (act, *_) = api.get("/v1/audit").json()["items"]
    assert (act["action"], act["target"], act["detail"]) == (
        "user.set",
        "ada",
        {"set": ["day_starts_at", "display_name"]},
    )


@on_sqlite_alone
def test_the_log_and_the_keys_page_to_their_end(engine, api):
    for number in range(7):
        keys.create(engine, f"key {number}", ["read"], actor=ACTOR)
    for path in ("/v1/audit", "/v1/keys"):
        whole = api.get(path).json()["items"]
        paged, cursor = [], ""
        while cursor is not None:
            page = api.get(path, params={"limit": 3, "cursor": cursor}).json()
            paged += page["items"]
            cursor = page["next_cursor"]
        assert [strip(one) for one in paged] == [strip(one) for one in whole]
        assert len(whole) == 8


def test_while_the_database_is_away_nobody_is_told_that_their_key_is_wrong(service_settings):
    with PostgresServer(settings=FAST) as server, laurels.open(server.url(), busy_timeout_s=1) as engine:
        made = keys.create(engine, "shop", ["read"], actor=ACTOR)
        with serving(create_app(engine, service_settings)) as url, httpx.Client(headers=bearer(made.key)) as one:
            assert one.get(f"{url}/v1/leaderboards").status_code == 200
            server.stop(at_once=True)
            time.sleep(0.6)  # Until the keys are looked at again.
            answer = one.get(f"{url}/v1/leaderboards")
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def strip(item: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in item.items() if name != "last_used_at"}


def eventually(holds) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
