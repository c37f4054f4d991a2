"""What goes wrong: one shape for every problem, a stable code, and for what was said wrong its place."""

from __future__ import annotations

import json

import httpx
import pytest

from laurels.http import create_app
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.operations import BODIES, USER, of_api, ready, stored

pytestmark = on_sqlite_alone
AMOUNT_MAX = 2**53 - 1


@pytest.fixture
def service_settings() -> Settings:
    return Settings(serve_works=False)


@pytest.fixture
def document(engine, service_settings):
    return create_app(engine, service_settings).openapi()


@pytest.fixture
def once(document):
    """The operations that take an Idempotency-Key."""
    found = [operation for operation in of_api(document) if operation.is_once]
    assert len(found) >= 12
    return found


def told(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """What a problem tells; it must be one of this status and code, in the shape that all have."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, object] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    assert problem["type"] == f"urn:laurels:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem


# --- Writes that are safe to repeat -----------------------------------------------------------------------------------


def test_every_write_that_moves_something_is_safe_to_repeat(engine, api, once):
    ready(engine)
    for operation in once:
        first = operation.call(api)
        if operation.id in {"accept_quest", "claim_quest"}:
            assert first.status_code == 404, "the catalog of the tests has no such quest; test_playing.py has one"
            continue
        assert first.is_success, (operation, first.text)
        assert "idempotent-replayed" not in first.headers
        before = stored(engine)
        again = operation.call(api)
        assert (again.status_code, again.content) == (first.status_code, first.content), operation
        assert again.headers["idempotent-replayed"] == "true"
        assert stored(engine) == before
        changed = (BODIES[operation.id] or {}) | {"reason": "Another"}
        told(operation.call(api, body=changed), 409, "request_id_reused")
        assert stored(engine) == before


def test_without_a_key_to_repeat_it_by_nothing_is_moved(engine, api, once):
    ready(engine)
    before = stored(engine)
    for operation in once:
        body = BODIES.get(operation.id)
        told(api.request(operation.method, operation.url(), json=body), 400, "idempotency_key_missing")
        empty = api.request(operation.method, operation.url(), json=body, headers={"Idempotency-Key": ""})
        told(empty, 400, "idempotency_key_missing")
    assert stored(engine) == before


def test_a_key_to_repeat_by_is_an_id_like_any_other(engine, api):
    for key in ("é", "日本", "a b", "a/b", "%2F", "x" * 255):
        answer = award(api, 5, key=key.encode())
        assert answer.json()["event_id"] == key
        assert award(api, 5, key=key.encode()).headers["idempotent-replayed"] == "true"
    assert engine.profile(USER).xp == 30
    told(award(api, 5, key=b"x" * 256), 422, "invalid_request")
    told(award(api, 5, key=b"\xff"), 422, "invalid_request")
    told(award(api, 5, key="a\u0085b".encode()), 422, "invalid_id")
    twice = api.post(
        f"/v1/users/{USER}/xp", json={"amount": 1}, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    )
    told(twice, 400, "unreadable")
    assert engine.profile(USER).xp == 30


# --- Amounts ----------------------------------------------------------------------------------------------------------


def test_what_is_no_amount_is_told_so_wherever_one_is_asked_for(engine, api, once):
    ready(engine)
    before = stored(engine)
    asked = [operation for operation in once if "amount" in (BODIES.get(operation.id) or {})]
    assert len(asked) >= 9
    for operation in asked:
        signed = operation.id in {"adjust", "adjust_xp"}
        for amount, code in (
            (0, "invalid_amount"),
            (1.5, "invalid_amount"),
            (5.0, "invalid_amount"),
            ("5", "invalid_amount"),
            (True, "invalid_amount"),
            ([5], "invalid_amount"),
            (-1, None if signed else "invalid_amount"),
            (AMOUNT_MAX + 1, "amount_out_of_range"),
            (-AMOUNT_MAX - 1, "amount_out_of_range" if signed else "invalid_amount"),
            (10**300, "amount_out_of_range"),
        ):
            if code is not None:
                answer = operation.call(api, body=BODIES[operation.id] | {"amount": amount})
                problem = told(answer, 422, code)
                (error,) = problem["errors"]
                assert error["path"] == "amount"
    assert stored(engine) == before


def test_the_largest_amount_is_an_amount(engine, api):
    url, headers = f"/v1/users/{USER}/wallet/sparkle/credit", {"Idempotency-Key": "all"}
    assert api.post(url, json={"amount": AMOUNT_MAX}, headers=headers).status_code == 200
    assert engine.profile(USER).balances["sparkle"].available == AMOUNT_MAX
    told(api.post(url, json={"amount": 1}, headers={"Idempotency-Key": "more"}), 422, "amount_out_of_range")


def test_who_asks_for_more_than_there_is_learns_how_much_there_is(engine, api, once):
    ready(engine)
    before = stored(engine)
    for operation in once:
        if operation.id in {"spend", "hold", "transfer"}:
            answer = operation.call(api, body=BODIES[operation.id] | {"amount": 1_000})
            assert told(answer, 409, "insufficient_funds")["available"] == 70
    assert stored(engine) == before


# --- What cannot be read ----------------------------------------------------------------------------------------------


def test_what_is_no_json_is_unreadable(engine, api):
    ready(engine)
    before = stored(engine)
    for body in (b"{", b"", b"\xff", b'{"amount": 5', b"amount=5", b"[" * 50_000, b'{"amount": 5} x', b"\x00", b"'5'"):
        for path in (f"/v1/users/{USER}/xp", "/v1/keys", "/v1/events"):
            answer = api.post(path, content=body, headers={"Content-Type": "application/json", "Idempotency-Key": "k"})
            told(answer, 400, "unreadable")
    assert stored(engine) == before


def test_what_does_not_say_that_it_is_json_is_not_taken_for_it(engine, api, document):
    ready(engine)
    before = stored(engine)
    for operation in of_api(document):
        if "application/json" in operation.declared.get("requestBody", {}).get("content", {}):
            for said in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "json", None):
                headers = {"Idempotency-Key": "k"} | ({} if said is None else {"Content-Type": said})
                body = json.dumps(BODIES.get(operation.id, {})).encode()
                answer = api.request(operation.method, operation.url(), content=body, headers=headers)
                told(answer, 415, "unsupported_media_type")
    assert stored(engine) == before


def test_json_may_say_in_which_characters_it_is_and_be_of_a_kind_of_its_own(api):
    for said in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.shop+json"):
        body = json.dumps({"amount": 1}).encode()
        answer = api.post(
            "/v1/users/ada/xp", content=body, headers={"Content-Type": said, "Idempotency-Key": f"k{said}"}
        )
        assert answer.status_code == 200, answer.text


def test_everything_that_is_wrong_with_a_body_is_told_at_once_each_with_its_place(api):
    answer = api.put("/v1/users/ada", json={"timezone": 5, "groups": {"team": ["red"]}, "colour": "red"})
    errors = told(answer, 422, "invalid_request")["errors"]
    assert {error["path"] for error in errors} == {"timezone", "groups.team", "colour"}
    answer = api.post("/v1/keys", json={"name": "x", "scopes": ["read", "reed"]})
    assert [error["path"] for error in told(answer, 422, "invalid_request")["errors"]] == ["scopes[1]"]


def test_text_that_no_database_stores_is_refused(engine, api):
    for text in ("a\u0000b", "\ud800", "\x1b[31m"):
        body = json.dumps({"amount": 1, "reason": text}).encode()
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
        told(api.post("/v1/users/ada/xp", content=body, headers=headers), 422, "invalid_text")
        body = json.dumps({"display_name": text}).encode()
        told(api.put("/v1/users/ada", content=body, headers=headers), 422, "invalid_text")
    told(api.get("/v1/users/ada"), 404, "unknown_user")


# --- Paths and queries ------------------------------------------------------------------------------------------------


def test_paths_that_lead_nowhere_are_problems_too(api):
    for path in ("/v1/nothing", "/v1", "/v1/users/", "/v1/users//ledger", "/nothing", "/v1/users/ada/x/y"):
        assert path.rstrip("?") in told(api.get(path), 404, "not_found")["detail"]


def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(api, document):
    for path, methods in document["paths"].items():
        url = path.replace("{", "").replace("}", "")
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - {*map(str.upper, methods)}:
            answer = api.request(method, url)
            told(answer, 405, "method_not_allowed")
            assert {one.strip() for one in answer.headers["allow"].split(",")} == {*map(str.upper, methods)}


def test_ids_that_there_cannot_be_are_refused(api):
    for user in ("%00", "a%00", "%20a", "a%20", "%7F", "a%0Ab", "%1F", "a" * 256):
        answer = api.get(f"/v1/users/{user}")
        assert answer.status_code == 422, user
    for user in ("%FF", "a%C3", "%ED%A0%80", "%80abc"):
        told(api.get(f"/v1/users/{user}"), 400, "unreadable")
    told(api.get("/v1/users?query=%FF"), 400, "unreadable")


def test_a_parameter_that_there_is_not_is_told_with_the_nearest_that_there_is(api):
    problem = told(api.get("/v1/users", params={"limt": 5}), 422, "unknown_parameter")
    (error,) = problem["errors"]
    assert error["path"] == "limt"
    assert "limit" in error["message"]


def test_numbers_and_cursors_beyond_their_bounds_are_refused(api):
    for query in ({"limit": 0}, {"limit": 1001}, {"limit": "ten"}, {"limit": 10**30}):
        problem = told(api.get("/v1/users", params=query), 422, "invalid_request")
        assert [error["path"] for error in problem["errors"]] == ["limit"]
    for path in ("/v1/users", "/v1/audit", "/v1/keys", "/v1/achievements", "/v1/leaderboards/xp"):
        for cursor in ("x", "%", "WyJcdTAwMDAiXQ", "Wy0xXQ", "Wzk5OTk5OTk5OTk5OTk5OTk5OTld", "W10", "bnVsbA", "é"):
            told(api.get(path, params={"cursor": cursor}), 422, "invalid_cursor")


def award(api: httpx.Client, amount: object, key: bytes = b"award") -> httpx.Response:
    return api.post(f"/v1/users/{USER}/xp", json={"amount": amount}, headers=[("Idempotency-Key", key)])
