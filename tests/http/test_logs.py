"""Logs: a line for each call, and nothing in them that somebody sent in confidence."""

import json
import subprocess
import sys

import httpx

from laurels.http import create_app
from laurels.settings import Settings
from tests.conftest import on_sqlite_alone
from tests.http.conftest import serving
from tests.http.processes import SOURCE, running

SECRET = "do-not-tell"
JSON = {"Content-Type": "application/json"}


def lines(service):
    return [json.loads(line) for line in service.err.read_text().splitlines()]


def calls(service):
    return [line for line in lines(service) if line["event"] == "call"]


def test_each_call_is_a_line_with_its_route_and_not_its_path(tmp_path):
    with running(tmp_path) as service:
        with service.client() as client:
            answer = client.get("/v1/users/ada", headers={"X-Request-Id": "mine-1"})
            assert answer.headers["X-Request-Id"] == "mine-1"
            unnamed = client.get("/v1/leaderboards").headers["X-Request-Id"]
        assert httpx.get(service.url + "/readyz").status_code == 200
        service.when(lambda: len(calls(service)) == 2)
        first, second = calls(service)
        key_id = service.key.split("_")[1]
        assert service.stop() == 0
        assert len(calls(service)) == 2  # Probes are only seen at `debug`.
    expected = {"method": "GET", "route": "/v1/users/{user_id}", "status": 404, "call_id": "mine-1", "key": key_id}
    assert {name: first[name] for name in expected} == expected
    assert first["duration_ms"] > 0
    assert (second["call_id"], second["level"], second["logger"]) == (unnamed, "info", "laurels.http.calls")


def test_no_secret_and_no_payload_is_logged_whatever_goes_wrong(tmp_path):
    token = f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.x"
    with running(tmp_path, log_level="debug", token_key=f"{SECRET}-and-long-enough-to-sign-with") as service:
        with service.client() as client:
            event = {"id": SECRET, "type": "post.created", "user": SECRET, "data": {"text": SECRET}}
            answers = [
                client.post("/v1/events", json=event),
                client.post("/v1/events", json={**event, "data": {"text": [SECRET] * 20_000}}),
                client.post("/v1/events", headers=JSON, content=f'{{"id": "{SECRET}'),
                client.post("/v1/events", json={**event, "time": SECRET}),
                client.post("/v1/events", json={**event, "data": {"text": "other"}}),
                client.get(f"/v1/users/{SECRET}?{SECRET}={SECRET}"),
                client.get("/v1/users", params={"query": SECRET}),
                client.get(f"/v1/{SECRET}"),
                client.get("/v1/users", headers={"Authorization": f"Bearer {token}"}),
                client.get("/v1/users", headers={"X-Request-Id": f"{SECRET}, {SECRET}"}, auth=("ada", SECRET)),
            ]
        assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 409, 422}
        service.when(lambda: len(calls(service)) == len(answers))
        assert service.stop() == 0
        logged = service.err.read_text()
    assert SECRET not in logged
    assert service.key not in logged


@on_sqlite_alone
def test_a_call_that_breaks_is_found_again_by_its_id(engine, caplog):
    async def broken():
        raise ValueError(SECRET)

    app = create_app(engine, Settings())
    app.add_api_route("/broken", broken)
    with serving(app) as url:
        answer = httpx.get(url + "/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert SECRET not in answer.text
    (failed,) = [record for record in caplog.records if record.getMessage() == "call_failed"]
    assert failed.call_id == answer.headers["X-Request-Id"]


PROGRAM = """
import logging, structlog
from laurels.http import logs
from laurels.settings import Settings

logs.configure(Settings(log_format={form!r}))
try:
    raise ValueError("do-not-tell")
except ValueError as error:
    logging.getLogger("laurels.http").error("request_failed", exc_info=error)
    logging.getLogger("a.library").warning("it says: %s", "careful", exc_info=True)
    logging.getLogger("a.library").info("chatter")
structlog.get_logger("another").warning("tried_again", after_s=1.5)
"""


def logged_by(form):
    command = [sys.executable, "-c", PROGRAM.format(form=form)]
    return subprocess.run(
        command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True
    ).stderr.splitlines()


def test_an_unexpected_error_is_told_by_its_type_and_where_it_came_from():
    first, second, third = map(json.loads, logged_by("json"))
    assert (first["event"], first["error"]) == ("request_failed", "ValueError")
    assert first["came_from"][0].endswith(":8 <module>")
    assert (second["event"], second["logger"], second["error"]) == ("it says: careful", "a.library", "ValueError")
    assert (third["event"], third["level"], third["after_s"]) == ("tried_again", "warning", 1.5)
    assert SECRET not in str([first, second, third])


def test_for_people_lines_are_plain_and_as_discreet():
    first, second, third = logged_by("console")
    assert "request_failed" in first
    assert "error=ValueError" in first
    assert SECRET not in first + second + third
