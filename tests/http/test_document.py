"""The OpenAPI document: valid, complete, and silent about what there is not."""

from __future__ import annotations

import re

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from laurels.http import create_app
from laurels.http.problems import MEDIA_TYPE
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.operations import of_api, operations

pytestmark = on_sqlite_alone
#: What the contract promises of this issue, without webhooks' own calls.
PROMISED = {
    "POST /v1/events",
    "GET /v1/users",
    "GET /v1/users/{}",
    "PUT /v1/users/{}",
    "GET /v1/users/{}/ledger",
    "GET /v1/users/{}/achievements",
    "PATCH /v1/users/{}/achievements/{}",
    "GET /v1/users/{}/quests",
    "POST /v1/users/{}/quests/{}/accept",
    "POST /v1/users/{}/quests/{}/claim",
    "GET /v1/users/{}/notifications",
    "POST /v1/users/{}/notifications/read",
    "GET /v1/users/{}/stats",
    "GET /v1/users/{}/activity",
    "POST /v1/users/{}/xp",
    "POST /v1/users/{}/xp/adjust",
    "POST /v1/users/{}/wallet/{}/credit",
    "POST /v1/users/{}/wallet/{}/spend",
    "POST /v1/users/{}/wallet/{}/adjust",
    "POST /v1/users/{}/wallet/{}/holds",
    "POST /v1/holds/{}/capture",
    "POST /v1/holds/{}/release",
    "POST /v1/transfers",
    "POST /v1/users/{}/requests/{}/refund",
    "GET /v1/achievements",
    "GET /v1/achievements/{}",
    "GET /v1/achievements/{}/unlockers",
    "GET /v1/leaderboards",
    "GET /v1/leaderboards/{}",
    "GET /v1/stream",
    "GET /v1/catalog",
    "PUT /v1/catalog",
    "POST /v1/catalog/check",
    "GET /v1/webhooks",
    "POST /v1/webhooks",
    "GET /v1/keys",
    "POST /v1/keys",
    "DELETE /v1/keys/{}",
    "GET /v1/audit",
    "GET /healthz",
    "GET /readyz",
}
LATER = ("revoke", "preview", "export")


@pytest.fixture
def document(engine):
    return create_app(engine, Settings(serve_works=False)).openapi()


def test_the_document_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1.")
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


def test_every_reference_in_it_leads_somewhere(document):
    for reference in set(re.findall(r"'\$ref': '([^']+)'", repr(document))):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_every_operation_says_what_it_is_and_what_can_go_wrong(document):
    found = operations(document)
    assert len({operation.id for operation in found}) == len(found)
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for operation in found:
        told = operation.declared
        assert re.fullmatch(r"[a-z][a-z_]*[a-z]", operation.id), operation
        assert re.fullmatch(r"[A-Z].*[^.]", told["summary"]), operation
        assert told["description"].endswith("."), operation
        assert len(told["tags"]) == 1, operation
        assert set(told["tags"]) <= tags, operation
        for parameter in told.get("parameters", ()):
            assert parameter.get("description"), (operation, parameter["name"])
        if operation.roles:
            assert told["responses"]["default"]["content"].keys() == {MEDIA_TYPE}, operation
        assert [status for status in told["responses"] if status.startswith("2")], operation
        for status, answer in told["responses"].items():
            assert "$ref" in answer or answer["description"], (operation, status)
    for name, shared in document["components"]["responses"].items():
        assert shared["description"], name
        assert shared["content"].keys() == {MEDIA_TYPE}, name


def test_what_can_go_wrong_follows_from_what_an_operation_takes(document):
    for operation in of_api(document):
        statuses = set(operation.declared["responses"])
        assert {"401", "403", "429", "503"} <= statuses, operation
        assert ("404" in statuses) == ("{" in operation.path), operation
        if operation.is_once:
            assert {"400", "409", "422"} <= statuses, operation
            (done,) = [answer for status, answer in operation.declared["responses"].items() if status.startswith("2")]
            assert "Idempotent-Replayed" in done["headers"], operation


def test_what_was_promised_is_there_and_what_comes_later_is_not_stubbed(document):
    there = {f"{one.method} {re.sub('{[^}]*}', '{}', one.path)}" for one in operations(document)}
    assert there >= PROMISED
    assert not [call for call in there if any(word in call for word in LATER)]
    assert "DELETE /v1/users/{}" not in there
    assert "stats" not in document["components"]["schemas"]["AchievementInfo"]["properties"]


def test_no_shape_is_a_mere_anything(document):
    for name, schema in document["components"]["schemas"].items():
        assert schema.keys() & {"properties", "enum", "anyOf", "type"}, name
        assert schema.get("description") or "enum" in schema or name.startswith("Page_"), name
