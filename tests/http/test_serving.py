"""`laurels serve`: how it begins, what it says, and how it ends, as processes of their own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

import laurels
from laurels.store.tables import journal
from tests.conftest import on_sqlite_alone
from tests.http.processes import Service, running


def post(client, number, user="ada"):
    return client.post("/v1/events", json={"id": f"post-{number}", "type": "post.created", "user": user})


def as_request(command):
    """What a curl command would send."""
    words = shlex.split(command.replace("\\\n", " "))
    headers = [words[place + 1].split(": ", 1) for place, word in enumerate(words) if word == "-H"]
    return httpx.Request("POST", words[1], headers=headers, content=words[words.index("-d") + 1])


def test_without_any_configuration_there_is_a_database_and_a_key_that_is_shown_once(tmp_path):
    with running(tmp_path) as service:
        assert httpx.get(service.url + "/readyz").json() == {"ready": True, "missing": {}}
        assert httpx.get(service.url + "/docs").status_code == 200
        command = re.search(r"^curl .*?\}'$", service.said, re.MULTILINE | re.DOTALL)[0]
        with httpx.Client() as client:
            answer = client.send(as_request(command))
        assert (answer.status_code, answer.json()["outcomes"][0]["status"]) == (200, "applied")
        key = service.key
        assert service.said.count(key) == 2  # Alone, and in the command to try.
        assert service.stop() == 0
    assert (tmp_path / "laurels.db").exists()
    with running(tmp_path) as again:
        with again.client(key) as client:
            assert client.get("/v1/users/ada").json()["xp"] > 0
        assert "lrl_" not in again.said


@pytest.mark.parametrize(
    ("database_url", "workers"),
    [pytest.param("sqlite_url", 1, id="sqlite"), pytest.param("postgres_url", 2, id="postgresql-2-processes")],
    indirect=["database_url"],
)
def test_told_to_stop_under_load_it_loses_nothing_that_it_answered_and_is_gone_within_seconds(
    database_url, workers, tmp_path
):
    """With calls in flight, a stream of events that does not end and a live stream that would not either."""
    answered, stopping = [], threading.Event()

    def send(sender):
        with service.client() as client:
            for number in range(100_000):
                try:
                    done = post(client, number, f"user-{sender}")
                except httpx.TransportError:
                    assert stopping.is_set()
                    return
                if done.status_code == 503 and stopping.is_set():
                    return
                assert done.status_code == 200, done.text
                answered.append((f"user-{sender}", f"post-{number}"))

    def send_without_end():
        with service.client() as client:
            try:
                client.post("/v1/events", headers={"Content-Type": "application/x-ndjson"}, content=lines())
            except httpx.TransportError:
                assert stopping.is_set()

    def lines():
        for number in range(100_000):
            yield b'{"id": "%d", "type": "post.created", "user": "endless"}\n' % number
            time.sleep(0.01)

    def listen():
        with service.client() as client, client.stream("GET", "/v1/stream") as stream:
            assert stream.status_code == 200
            return b"".join(stream.iter_raw())

    with (
        running(tmp_path, database_url=database_url, workers=workers, shutdown_timeout_s=2) as service,
        ThreadPoolExecutor(8) as senders,
    ):
        assert service.url
        busy = [senders.submit(send, number) for number in range(6)]
        busy += [senders.submit(send_without_end), senders.submit(listen)]
        service.when(lambda: len(answered) > 200)
        stopping.set()
        began = time.monotonic()
        assert service.stop() == 0, service.said
        took_s = time.monotonic() - began
        for each in busy:
            each.result(10)
    assert took_s < 8
    assert "loop_failed" not in service.said
    with laurels.open(database_url) as engine:
        for user, event_id in answered:
            assert engine.user(user).outcome(event_id)


def test_it_takes_as_many_connections_as_it_is_allowed(tmp_path):
    little = (
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2_000));"
        " runpy.run_module('laurels', run_name='__main__')"
    )
    with running(tmp_path, program=("-c", little)) as service:
        assert service.url
        limits = Path(f"/proc/{service.process.pid}/limits").read_text()
    assert re.search(r"^Max open files +2000 +2000 ", limits, re.MULTILINE)


def test_a_second_interrupt_waits_for_nobody(tmp_path):
    with running(tmp_path, shutdown_timeout_s=60) as service:
        sending = socket.create_connection(service.url.removeprefix("http://").split(":"))
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n"
        sending.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        time.sleep(0.5)
        service.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert service.process.poll() is None
        assert service.stop(signal.SIGINT) == 0
        sending.close()


def test_a_call_that_outlasts_the_stopping_is_told_to_come_again(tmp_path):
    with (
        running(tmp_path, shutdown_timeout_s=1) as service,
        service.client() as client,
        ThreadPoolExecutor(1) as sender,
    ):
        other = sqlite3.connect(tmp_path / "laurels.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")  # Nobody else can write.
        sent = sender.submit(post, client, 1)
        active = 'http_server_active_requests{http_request_method="POST"} 1.0'
        service.when(lambda: active in httpx.get(service.url + "/metrics").text)
        service.process.terminate()
        answer = sent.result(10)
        other.execute("ROLLBACK")
        other.close()
        assert (answer.status_code, answer.json()["code"]) == (503, "engine_closed")
        assert answer.headers["Retry-After"] == "1"
        assert service.process.wait(10) == 0


def metrics_of(pid):
    """Where a process counts beside the others."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return [Path(pair.partition("=")[2]) for pair in environment if pair.startswith("PROMETHEUS_MULTIPROC_DIR=")]


def test_several_processes_serve_and_count_together_and_one_that_dies_is_replaced(tmp_path):
    with running(tmp_path, "--workers", "2") as service:
        assert service.url
        before = service.children()
        assert len(before) == 2
        for number in range(20):  # Each on a connection of its own, so that both get some.
            with service.client() as client:
                assert post(client, number).status_code == 200
        count = re.compile(
            r'^http_server_request_duration_seconds_count\{.*"POST".*"/v1/events".*\} 20.0$', re.MULTILINE
        )
        service.when(lambda: count.search(httpx.get(service.url + "/metrics").text))
        assert 'laurels_requests_recorded_total{status="applied"} 20.0' in httpx.get(service.url + "/metrics").text

        victim = before.pop()
        (folder,) = metrics_of(victim)
        assert [*folder.glob(f"gauge_live*_{victim}.db")]
        os.kill(victim, signal.SIGKILL)
        service.when(lambda: len(service.children() - {victim}) == 2)
        with service.client() as client:
            assert post(client, "last").status_code == 200
        assert "worker_died" in service.said
        assert [file.name for file in folder.glob(f"gauge_live*_{victim}.db")] == []  # Nothing of its is under way.
        left = service.children()  # They end with the one that watches over them, however it ends.
        service.process.kill()
        service.process.wait()
        deadline = time.monotonic() + 15
        while any(Path(f"/proc/{pid}").exists() for pid in left) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(Path(f"/proc/{pid}").exists() for pid in left)


def fails(tmp_path, *arguments, **settings):
    service = Service(tmp_path, *arguments, **settings)
    return service.process.wait(60), service.said


def test_an_address_in_use_is_said_plainly(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = fails(tmp_path, "--port", port)
    assert (code, said) == (
        1,
        f"laurels: 127.0.0.1:{port}: Address already in use; --host and --port name another\n",
    )
    assert not (tmp_path / "laurels.db").exists()


@pytest.mark.parametrize(
    ("settings", "code", "expected"),
    [
        pytest.param({"rate_limit": "often"}, 2, "rate_limit is no rate such as 600/minute", id="rate"),
        pytest.param(
            {"token_algorithm": "RS256", "token_key": "x", "workers": 2}, 2, "token_key is no key for RS256", id="key"
        ),
        pytest.param({"redis_url": "http://x"}, 1, "'http' is no Redis", id="redis"),
    ],
)
def test_a_setting_that_cannot_be_used_ends_it(settings, code, expected, tmp_path):
    found, said = fails(tmp_path, **settings)
    assert (found, "Traceback" in said) == (code, False), said
    assert expected in said


def test_without_its_extra_it_says_what_to_install(tmp_path):
    program = ("-c", "import sys; sys.modules['uvicorn'] = None; from laurels.cli import main; main()")
    service = Service(tmp_path, program=program)
    assert service.process.wait(60) == 1
    assert "pip install 'laurels[server]'" in service.said
    assert "Traceback" not in service.said


@pytest.fixture
def engine(database_url):
    with laurels.open(database_url, waiting_requests_max=50) as engine:
        yield engine


@on_sqlite_alone
def test_too_much_at_once_is_refused_and_nothing_that_was_accepted_is_dropped(engine, client, url, database_url):
    api = client("admin")
    assert post(api, "first").status_code == 200
    path = database_url.removeprefix("sqlite:///")
    with sqlite3.connect(path, isolation_level=None) as other, ThreadPoolExecutor(120) as senders:
        other.execute("BEGIN IMMEDIATE")  # Nobody else can write.
        sent = [senders.submit(post, api, number) for number in range(120)]
        deadline = time.monotonic() + 20
        while sum(each.done() for each in sent) < 60 and time.monotonic() < deadline:
            time.sleep(0.01)
        told = httpx.get(url + "/readyz")
        other.execute("ROLLBACK")
        answers = {number: each.result(30) for number, each in enumerate(sent)}
    other.close()
    assert (told.status_code, list(told.json()["missing"])) == (503, ["recording"])
    accepted = {number for number, answer in answers.items() if answer.status_code == 200}
    refused = [answer for answer in answers.values() if answer.status_code != 200]
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.json()["code"] for answer in refused} == {"overloaded"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert 50 <= len(accepted) <= 60  # What waited, and the batch that was being written.
    with engine.read() as connection:
        recorded = set(connection.scalars(select(journal.c.request_id)))
    assert recorded == {f"post-{number}" for number in accepted} | {"post-first"}
    assert httpx.get(url + "/readyz").status_code == 200


def test_behind_a_proxy_that_takes_a_path_off_everything_is_found(tmp_path):
    with running(tmp_path, "--root-path", "/laurels") as service:
        base = service.url
        headers = {"Authorization": f"Bearer {service.key}"}
        with httpx.Client(base_url=base, headers=headers) as behind:
            assert post(behind, 1).status_code == 200
            assert behind.get("/v1/users/ada").json()["xp"] > 0
            assert behind.get("/v1/users/a%2Fb").json()["code"] == "unknown_user"
            assert behind.get("/readyz").status_code == 200
            assert behind.get("/openapi.json").json()["servers"] == [{"url": "/laurels"}]
            page = behind.get("/docs").text
        assert 'src="/laurels/docs/static/swagger-ui-bundle.js"' in page
        assert "'/laurels/openapi.json'" in page
        assert httpx.get(base + "/v1/users").status_code == 401
