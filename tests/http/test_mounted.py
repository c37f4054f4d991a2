"""The application inside of another one: the same routes, pages, errors and keys below a path of the parent's."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from laurels.http import create_app
from laurels.store.tables import cursors
from tests.conftest import on_sqlite_alone
from tests.http.conftest import serving

pytestmark = on_sqlite_alone
PATH = "/laurels"


def in_fastapi(service, lifespan):
    app = FastAPI(lifespan=lifespan)
    app.get("/")(lambda: "the parent's own")
    app.mount(PATH, service)
    return app


def in_starlette(service, lifespan):
    """Below two paths, of which one is the name of the service's own."""
    own = Route("/", lambda _: PlainTextResponse("the parent's own"))
    return Starlette(routes=[own, Mount("/v1", routes=[Mount(PATH, service)])], lifespan=lifespan)


@pytest.fixture(
    params=[
        pytest.param((in_fastapi, PATH), id="fastapi"),
        pytest.param((in_starlette, f"/v1{PATH}"), id="starlette"),
    ]
)
def url(request, engine, service_settings):
    """The address of the mounted service; the clients of `client` and `api` call it there."""
    mounted, path = request.param
    service = create_app(engine, service_settings)

    @asynccontextmanager
    async def lifespan(_):
        async with service.router.lifespan_context(service):
            yield

    with serving(mounted(service, lifespan)) as parent:
        yield parent + path


def parent_of(url):
    return httpx.URL(url).copy_with(path="/")


def test_a_mounted_service_records_and_tells(api):
    event = {"id": "e1", "type": "post.created", "user": "ada", "data": {"published": True}}
    assert api.post("/v1/events", json=event).json()["outcomes"][0]["status"] == "applied"
    assert api.get("/v1/users/ada").json()["metrics"]["posts"] == 1
    assert [line["user_id"] for line in api.get("/v1/leaderboards/xp").json()["items"]] == ["ada"]


def test_a_mounted_service_lets_nobody_in_without_a_key(client, url):
    for each in (client(), client(token="lrl_wrong")):
        answer = each.get("/v1/users")
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert client("ingest").get("/v1/users").status_code == 403
    assert httpx.get(parent_of(url)).status_code == 200  # The parent asks for no key of ours.


def test_ids_with_slashes_are_found_below_a_path(api):
    user_id = "v1/ada"
    assert api.put(f"/v1/users/{quote(user_id, safe='')}", json={}).json()["user_id"] == user_id
    assert api.get(f"/v1/users/{quote(user_id, safe='').lower()}/ledger").status_code == 200


def test_what_goes_wrong_in_a_mounted_service_is_a_problem(api):
    for path, status, code in (
        ("/v1/users/nobody", 404, "unknown_user"),
        ("/v1/nothing", 404, "not_found"),
        ("/v1/users?limit=0", 422, "invalid_request"),
    ):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_document_and_its_page_know_where_they_are(client, url):
    document = client().get("/openapi.json").json()
    assert document["servers"] == [{"url": httpx.URL(url).path}]
    assert "/v1/events" in document["paths"]
    page = client().get("/docs").text
    assert f"{httpx.URL(url).path}/openapi.json" in page


def test_the_parents_lifespan_runs_what_goes_on_by_itself(api, engine):
    """Nobody asks for a board here, and still they follow the journal."""
    api.post("/v1/events", json={"id": "e1", "type": "post.created", "user": "ada"})
    ends_at = time.monotonic() + 20
    while True:
        with engine.read() as connection:
            if connection.scalar(select(func.max(cursors.c.seq))):
                break
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_a_server_that_tells_no_raw_path_is_served(engine, service_settings):
    """It is optional in ASGI."""
    service = create_app(engine, service_settings)

    async def without_raw_path(scope, receive, send):
        await service({name: value for name, value in scope.items() if name != "raw_path"}, receive, send)

    async def status():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(without_raw_path), base_url="http://test") as client:
            return (await client.get("/healthz")).status_code

    assert asyncio.run(status()) == 200
