"""XP and currencies over HTTP: what moves them, once, and how that is answered."""

from __future__ import annotations

import pytest

NEVER = 2**53


def post(api, path, body, key):
    return api.post(path, json=body, headers={"Idempotency-Key": key})


def balance(api, user="ada", currency="sparkle"):
    return api.get(f"/v1/users/{user}").json()["balances"][currency]


def test_xp_is_awarded_once_however_often_it_is_sent(api):
    first = post(api, "/v1/users/ada/xp", {"amount": 50, "source": "moderation"}, "r1")
    again = post(api, "/v1/users/ada/xp", {"amount": 50, "source": "moderation"}, "r1")
    assert (first.status_code, again.status_code) == (200, 200)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert api.get("/v1/users/ada").json()["xp"] == 50


def test_the_same_key_with_another_body_is_refused(api):
    post(api, "/v1/users/ada/xp", {"amount": 50}, "r1")
    answer = post(api, "/v1/users/ada/xp", {"amount": 60}, "r1")
    assert (answer.status_code, answer.json()["code"]) == (409, "request_id_reused")


def test_without_a_key_nothing_moves(api):
    answer = api.post("/v1/users/ada/xp", json={"amount": 50})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    assert api.get("/v1/users/ada").status_code == 404


@pytest.mark.parametrize("amount", [0, -1, 1.5, 5.0, "5", True, None], ids=repr)
def test_what_is_no_amount_is_refused(amount, api):
    answer = post(api, "/v1/users/ada/wallet/sparkle/credit", {"amount": amount}, "r1")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_amount")
    assert answer.json()["errors"][0]["path"] == "amount"


def test_an_amount_beyond_what_is_exact_everywhere_is_refused(api):
    answer = post(api, "/v1/users/ada/wallet/sparkle/credit", {"amount": NEVER}, "r1")
    assert (answer.status_code, answer.json()["code"]) == (422, "amount_out_of_range")


def test_what_is_not_there_cannot_be_spent_and_the_answer_says_what_is(api):
    post(api, "/v1/users/ada/wallet/sparkle/credit", {"amount": 30}, "c1")
    answer = post(api, "/v1/users/ada/wallet/sparkle/spend", {"amount": 50}, "s1")
    assert (answer.status_code, answer.json()["code"], answer.json()["available"]) == (409, "insufficient_funds", 30)
    # A refused request is not recorded, so its id is free for another try.
    post(api, "/v1/users/ada/wallet/sparkle/credit", {"amount": 20}, "c2")
    assert post(api, "/v1/users/ada/wallet/sparkle/spend", {"amount": 50}, "s1").status_code == 200
    assert balance(api)["available"] == 0


def test_a_hold_is_made_captured_and_closed(api):
    post(api, "/v1/users/ada/wallet/sparkle/credit", {"amount": 100}, "c1")
    made = post(api, "/v1/users/ada/wallet/sparkle/holds", {"amount": 30}, "h1")
    assert made.status_code == 201
    assert made.json()["amount"] == 30
    assert post(api, "/v1/users/ada/wallet/sparkle/holds", {"amount": 30}, "h1").json() == made.json()
    assert (balance(api)["available"], balance(api)["held"]) == (70, 30)

    hold = made.json()["id"]
    captured = post(api, f"/v1/holds/{hold}/capture", {"amount": 20}, "p1")
    assert [change["type"] for change in captured.json()["changes"]] == ["currency.released", "currency.debited"]
    assert balance(api) == {"available": 80, "held": 0, "lifetime_earned": 100, "lifetime_spent": 20}

    answer = post(api, f"/v1/holds/{hold}/release", {}, "p2")
    assert (answer.status_code, answer.json()["code"]) == (409, "hold_closed")


def test_two_users_holds_of_the_same_request_id_are_two(api):
    holds = []
    for user in ("ada", "bob"):
        post(api, f"/v1/users/{user}/wallet/sparkle/credit", {"amount": 100}, "c1")
        holds.append(post(api, f"/v1/users/{user}/wallet/sparkle/holds", {"amount": 10}, "h1").json()["id"])
    assert post(api, f"/v1/holds/{holds[0]}/release", {}, "x").status_code == 200
    assert (balance(api, "ada")["held"], balance(api, "bob")["held"]) == (0, 10)


@pytest.mark.parametrize("hold", ["h1", "%20", "W10", "bm9uc2Vuc2U"])
def test_a_hold_that_nobody_has_is_unknown(hold, api):
    answer = post(api, f"/v1/holds/{hold}/release", {}, "r1")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_hold")


def test_a_transfer_is_the_givers_request(api):
    post(api, "/v1/users/ada/wallet/sparkle/credit", {"amount": 100}, "c1")
    body = {"from": "ada", "to": "bob", "currency": "sparkle", "amount": 30}
    answer = post(api, "/v1/transfers", body, "t1")
    assert answer.status_code == 200, answer.text
    assert (balance(api, "ada")["available"], balance(api, "bob")["available"]) == (70, 30)
    assert post(api, "/v1/transfers", {**body, "to": "ada"}, "t2").status_code == 422


def test_a_spend_is_refunded_up_to_what_is_left_of_it(api):
    post(api, "/v1/users/ada/wallet/sparkle/credit", {"amount": 100}, "c1")
    post(api, "/v1/users/ada/wallet/sparkle/spend", {"amount": 50}, "s1")
    assert post(api, "/v1/users/ada/requests/s1/refund", {"amount": 20}, "b1").status_code == 200
    assert post(api, "/v1/users/ada/requests/s1/refund", {"amount": 40}, "b2").status_code >= 400
    assert post(api, "/v1/users/ada/requests/s1/refund", {}, "b3").status_code == 200
    assert balance(api)["available"] == 100


def test_an_adjustment_has_either_sign(api):
    post(api, "/v1/users/ada/xp", {"amount": 100}, "x1")
    assert post(api, "/v1/users/ada/xp/adjust", {"amount": -40, "reason": "A mistake"}, "a1").status_code == 200
    assert post(api, "/v1/users/ada/wallet/sparkle/adjust", {"amount": 7}, "a2").status_code == 200
    entries = api.get("/v1/users/ada/ledger", params={"unit": "sparkle"}).json()["items"]
    assert [(entry["kind"], entry["amount"]) for entry in entries] == [("adjust", 7), ("earn", 50)][: len(entries)]


def test_an_unknown_currency_is_told_with_the_nearest_name(api):
    answer = post(api, "/v1/users/ada/wallet/sparkel/credit", {"amount": 1}, "c1")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_currency")
    assert "sparkle" in answer.json()["detail"]


def test_a_field_that_nobody_knows_is_told_with_its_place(api):
    answer = post(api, "/v1/users/ada/xp", {"amount": 1, "sourceId": "x"}, "r1")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["path"] == "sourceId"
