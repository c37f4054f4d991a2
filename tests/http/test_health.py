"""Health: what is missing is said while it is missing, and no longer when it is back."""

import re
import sqlite3
import time

import httpx
import pytest

import laurels
from laurels.http import create_app
from laurels.settings import Settings
from laurels.store.schema import HEAD
from tests.conftest import on_sqlite_alone
from tests.http.conftest import serving
from tests.services import FAST, PostgresServer, ValkeyServer

EVENT = {"id": "post-1", "type": "post.created", "user": "ada"}


def readiness(url):
    answer = httpx.get(url + "/readyz", timeout=30)
    return answer.status_code, answer.json()


def soon(expected, look):
    deadline = time.monotonic() + 20
    while (found := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == expected


@on_sqlite_alone
def test_a_service_with_all_it_needs_is_alive_and_ready(url):
    assert httpx.get(url + "/healthz").json() == {"status": "ok"}
    assert readiness(url) == (200, {"ready": True, "missing": {}})


def test_without_its_database_it_lives_and_is_not_ready_until_that_is_back():
    with (
        PostgresServer(settings=FAST) as server,
        laurels.open(server.url(), busy_timeout_s=1) as engine,
        serving(create_app(engine, Settings())) as url,
    ):
        assert readiness(url)[0] == 200
        server.stop()
        code, told = readiness(url)
        assert (code, told["ready"], list(told["missing"])) == (503, False, ["database"])
        assert httpx.get(url + "/healthz").status_code == 200
        assert "laurels_projection_behind_rows" in httpx.get(url + "/metrics").text
        server.start()
        soon(200, lambda: readiness(url)[0])


def test_without_redis_it_says_so_and_serves_everything_else(sqlite_url):
    with (
        ValkeyServer() as redis,
        laurels.open(sqlite_url, redis=redis.url) as engine,
        serving(create_app(engine, Settings(redis_url=redis.url))) as url,
    ):
        assert readiness(url) == (200, {"ready": True, "missing": {}})
        redis.stop()
        code, told = readiness(url)
        assert (code, told["ready"], list(told["missing"])) == (200, True, ["redis"])
        redis.start()
        soon((200, {"ready": True, "missing": {}}), lambda: readiness(url))


@on_sqlite_alone
@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param("0001", (503, ["schema"]), id="older"),
        # Migrations only add: while others are upgraded one by one, this one goes on.
        pytest.param("9999", (200, []), id="newer"),
    ],
)
def test_a_database_that_was_put_back_to_an_older_schema_is_not_ready(version, expected, database_url, url):
    with sqlite3.connect(database_url.removeprefix("sqlite:///")) as other:
        other.execute("UPDATE alembic_version SET version_num = ?", [version])
    other.close()
    code, told = readiness(url)
    assert (code, list(told["missing"])) == expected
    assert version != "0001" or HEAD in told["missing"]["schema"]


@on_sqlite_alone
def test_an_engine_that_was_closed_is_not_ready(engine, url):
    engine.close()
    code, told = readiness(url)
    assert (code, told["missing"]) == (503, {"recording": "The engine is closed; open it again."})


# --- Metrics ----------------------------------------------------------------------------------------------------------


def metric(url, name):
    found = re.search(rf"^{re.escape(name)} (\S+)$", httpx.get(url + "/metrics").text, re.MULTILINE)
    return None if found is None else float(found[1])


@on_sqlite_alone
def test_calls_are_counted_by_route_and_status_and_never_by_what_stands_in_a_path(api, url):
    for user in ("ada", "bob"):
        assert api.get(f"/v1/users/{user}").status_code == 404
    assert api.request("PURGE", "/v1/users/ada").status_code == 405
    assert httpx.get(url + "/v1/users/secret").status_code == 401
    count = "http_server_request_duration_seconds_count"
    labels = '{{http_request_method="{}",http_response_status_code="{}",http_route="{}"}}'
    assert metric(url, count + labels.format("GET", 404, "/v1/users/{user_id}")) == 2
    assert metric(url, count + labels.format("GET", 401, "")) == 1
    assert metric(url, 'http_server_active_requests{http_request_method="GET"}') == 1  # This one.
    text = httpx.get(url + "/metrics").text
    assert 'http_request_method="_OTHER"' in text
    assert [word for word in ("ada", "bob", "secret", "PURGE") if word in text] == []


@on_sqlite_alone
def test_requests_are_counted_by_what_became_of_them(api, url):
    for _ in range(2):
        assert api.post("/v1/events", json=EVENT).status_code == 200
    spend = api.post(
        "/v1/users/ada/wallet/sparkle/spend", json={"amount": 10_000}, headers={"Idempotency-Key": "theme"}
    )
    assert spend.status_code == 409
    counts = {
        status: metric(url, f'laurels_requests_recorded_total{{status="{status}"}}')
        for status in ("applied", "duplicate", "refused")
    }
    assert counts == {"applied": 1, "duplicate": 1, "refused": 1}
    assert metric(url, "laurels_batch_requests_count") == 3
    assert metric(url, "laurels_commit_duration_seconds_count") == 3
    assert metric(url, "laurels_requests_waiting") == 0
    soon(0, lambda: metric(url, 'laurels_projection_behind_rows{projection="boards"}'))


@on_sqlite_alone
def test_a_scraper_that_asks_for_open_metrics_gets_them(url):
    answer = httpx.get(url + "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@on_sqlite_alone
def test_open_streams_are_counted(api, url):
    with api.stream("GET", "/v1/stream") as stream:
        assert stream.status_code == 200
        soon(1, lambda: metric(url, "laurels_stream_listeners"))
    soon(0, lambda: metric(url, "laurels_stream_listeners"))
