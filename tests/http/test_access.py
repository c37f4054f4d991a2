"""Who may what: drawn from the OpenAPI document, so that a new operation cannot forget to ask who calls."""

from __future__ import annotations

import httpx
import jwt
import pytest

import laurels
from laurels import keys
from laurels.http import create_app
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.operations import USER, of_api, operations, ready, stored

SECRET = "a secret of at least thirty-two bytes"  # as applications have one
PUBLIC = {"/healthz", "/readyz", "/metrics"}
pytestmark = on_sqlite_alone


@pytest.fixture
def service_settings() -> Settings:
    return Settings(token_key=SECRET, serve_works=False, webhooks_allow_private=True)


@pytest.fixture
def document(engine: laurels.Engine, service_settings: Settings):
    return create_app(engine, service_settings).openapi()


def token(user: str = USER, key: str = SECRET, algorithm: str | None = "HS256", **claims: object) -> str:
    return jwt.encode({"sub": user, **claims}, key, algorithm=algorithm)


def no_good(engine: laurels.Engine) -> dict[str, str | None]:
    """What a stranger may send as their Authorization."""
    good = keys.create(engine, "good", ["admin"], actor="tests")
    revoked = keys.create(engine, "revoked", ["admin"], actor="tests")
    keys.revoke(engine, revoked.id, actor="tests")
    expired = keys.create(engine, "expired", ["admin"], actor="tests")
    keys.rotate(engine, expired.id, overlap_s=0, actor="tests")
    start = f"lrl_{good.id}_{'0' * keys.SECRET_CHARACTERS}"
    place = next(place for place in range(20, 40) if good.key[place] != good.key[place + 1])
    swapped = good.key[:place] + good.key[place + 1] + good.key[place] + good.key[place + 2 :]
    return {
        "none": None,
        "empty": "Bearer",
        "another scheme": f"Basic {good.key}",
        "no scheme": good.key,
        "the id alone": f"Bearer {good.id}",
        "mistyped": f"Bearer {good.key[:-1]}{'0' if good.key[-1] != '0' else '1'}",
        "two characters swapped": f"Bearer {swapped}",
        "another secret": f"Bearer {start}{keys._check(start)}",
        "an id that there is not": f"Bearer {keys._new_key()[1]}",
        "revoked": f"Bearer {revoked.key}",
        "expired": f"Bearer {expired.key}",
        "twice": f"Bearer {good.key} {good.key}",
        "a token signed by another": f"Bearer {token(key='another secret of thirty-two bytes!')}",
        "a token that nobody signed": f"Bearer {jwt.encode({'sub': USER}, None, algorithm='none')}",
        "a token that is over": f"Bearer {token(exp=1)}",
        "a token for the future": f"Bearer {token(nbf=4_000_000_000)}",
    }


def test_every_operation_of_the_api_says_who_may_call_it(document):
    for operation in of_api(document):
        roles = operation.roles
        assert roles - {"user"} <= set(keys.SCOPES), operation
        assert len(roles - {"user"}) == 1, f"{operation} must take one scope"


def test_nothing_else_is_open_but_health_metrics_and_the_document(document):
    assert {one.path for one in operations(document)} - {one.path for one in of_api(document)} <= PUBLIC
    assert all(not one.roles for one in operations(document) if one.path in PUBLIC)


def test_what_the_document_does_not_show_is_pages_and_nothing_else(client):
    stranger = client()
    for path in ("/docs", "/openapi.json", "/docs/static/swagger-ui.css"):
        assert stranger.get(path).status_code == 200, path
    for path in ("/v1", "/v1/", "/v1/nothing", "/v1/users/", "/v1//users", "/v1/../v1/users", "/v%31/users"):
        assert stranger.get(path).status_code == 401, path
    for path in ("/redoc", "/docs/oauth2-redirect", "/V1/users", "//v1/users", "/./v1/../v2/users", "/v2"):
        assert stranger.get(path).status_code == 404, path


def test_whoever_has_no_good_key_gets_nothing_and_changes_nothing(engine, url, document):
    ready(engine)
    strangers = no_good(engine)
    before, wrong = stored(engine), []
    with httpx.Client(base_url=url) as client:
        for who, authorization in strangers.items():
            client.headers = {} if authorization is None else {"Authorization": authorization}
            for operation in of_api(document):
                answer = operation.call(client)
                told = answer.json() if answer.status_code == 401 else {}
                if told.get("code") != "unauthorized" or "www-authenticate" not in answer.headers:
                    wrong.append((who, operation.id, answer.status_code))
    assert wrong == []
    assert stored(engine) == before


def test_a_key_without_the_scope_gets_nothing_and_changes_nothing(engine, client, document):
    ready(engine)
    by_scope = {scope: client(scope) for scope in keys.SCOPES if scope != "admin"}
    before, wrong = stored(engine), []
    for operation in of_api(document):
        for scope in by_scope.keys() - operation.roles:
            answer = operation.call(by_scope[scope])
            if answer.status_code != 403 or answer.json()["code"] != "forbidden":
                wrong.append((scope, operation.id, answer.status_code))
    assert wrong == []
    assert stored(engine) == before


def test_a_key_with_the_scope_gets_in(engine, client, document):
    ready(engine)
    by_scope = {scope: client(scope) for scope in keys.SCOPES}
    for operation in of_api(document):
        for scope in operation.roles - {"user"} | {"admin"}:
            status = operation.call(by_scope[scope]).status_code
            assert status not in {401, 403}, (operation, scope)
            assert status < 500, (operation, scope)


def test_a_users_token_reaches_what_is_for_users_and_of_this_user(engine, client, document):
    ready(engine)
    ada, own = client(token=token()), 0
    before, wrong = stored(engine), []
    for operation in of_api(document):
        if "user" not in operation.roles or "{user_id}" in operation.path:
            answer = operation.call(ada, user_id="bob")
            if answer.status_code != 403 or answer.json()["code"] != "forbidden":
                wrong.append((operation.id, answer.status_code))
    assert wrong == []
    assert stored(engine) == before
    for operation in of_api(document):
        if "user" in operation.roles:
            assert operation.call(ada).status_code not in {401, 403}, operation
            own += "{user_id}" in operation.path
    assert own > 5


def test_a_user_whose_id_holds_a_slash_is_nobody_else(engine, client):
    engine.wallet("team").credit("sparkle", 5, reason="Tests", request_id="r")
    engine.wallet("team/ada").credit("sparkle", 5, reason="Tests", request_id="r")
    them = client(token=token("team/ada"))
    assert them.get("/v1/users/team%2Fada").json()["user_id"] == "team/ada"
    assert them.get("/v1/users/team%2fada/ledger").status_code == 200
    assert them.get("/v1/users/team").status_code == 403
    assert them.get("/v1/users/team/ada").status_code == 404
    assert them.get("/v1/users/team%252Fada").status_code == 403
    assert them.get("/v1/users/team%1Fada").status_code == 422
    assert them.get("/v1/users/bob/../team%2Fada").status_code in {200, 404}  # Clients resolve it before they send it.
