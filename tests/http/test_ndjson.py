"""Streams of events: in order, answered line by line, as long as you like, and safe to send again."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import laurels
from laurels import keys
from laurels.http import create_app
from laurels.settings import Settings
from tests.http.conftest import serving, serving_elsewhere

NDJSON = "application/x-ndjson"


def line(number, user, **fields):
    return json.dumps({"id": f"e{number}", "type": "post.created", "user": user} | fields).encode() + b"\n"


def post(shared, body, **headers):
    return shared.api.post("/v1/events", content=body, headers={"Content-Type": NDJSON, **headers})


def lines_of(answer):
    assert answer.status_code == 200
    assert answer.headers["content-type"] == NDJSON
    return [json.loads(text) for text in answer.text.splitlines()]


def posts(shared, user):
    return shared.engine.profile(user).metrics.get("posts", 0)


class Line:
    """A connection on which a stream goes up in chunks and comes down at the same time."""

    def __init__(self, shared, *, read_bytes=None):
        self._socket = socket.socket()
        if read_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_bytes)
        self._socket.settimeout(20)
        self._socket.connect(("127.0.0.1", shared.port))
        self._socket.sendall(
            f"POST /v1/events HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {shared.key}\r\n"
            f"Content-Type: {NDJSON}\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        self._file = self._socket.makefile("rb")

    def send(self, piece):
        self._socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))

    def end(self):
        self._socket.sendall(b"0\r\n\r\n")

    def head(self):
        assert self._file.readline().startswith(b"HTTP/1.1 200 ")
        while self._file.readline() != b"\r\n":
            pass

    def chunk(self):
        """Return what comes next, nothing at the end."""
        size = int(self._file.readline(), 16)
        return self._file.read(size + 2)[:size]

    def rest(self):
        return b"".join(iter(self.chunk, b""))

    def close(self):
        self._file.close()
        self._socket.close()


@contextmanager
def connected(shared, **options) -> Iterator[Line]:
    found = Line(shared, **options)
    try:
        yield found
    finally:
        found.close()


def test_every_line_gets_its_outcome_in_order_and_again_a_duplicate(shared, user):
    others = [f"{user} {number}" for number in range(3)]
    body = b"".join(line(number, others[number % 3]) for number in range(1_200))
    outcomes = lines_of(post(shared, body))
    assert [outcome["event_id"] for outcome in outcomes] == [f"e{number}" for number in range(1_200)]
    assert {outcome["status"] for outcome in outcomes} == {"applied"}
    assert [posts(shared, other) for other in others] == [400, 400, 400]

    again = lines_of(post(shared, body))
    assert {outcome["status"] for outcome in again} == {"duplicate"}
    assert [outcome["changes"] for outcome in again] == [outcome["changes"] for outcome in outcomes]
    assert posts(shared, others[0]) == 400


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xef\xbb\xbf%s%s", id="mark-first"),
        pytest.param(b"\n%s\r\n \n%s\r\n\n", id="blank-lines"),
    ],
)
def test_what_editors_add_does_not_matter(shared, user, body):
    outcomes = lines_of(post(shared, body % (line(1, user).strip(), b"\n" + line(2, user).strip())))
    assert [outcome["event_id"] for outcome in outcomes] == ["e1", "e2"]


@pytest.mark.parametrize("name", ["application/ndjson", "application/jsonl", "application/x-jsonlines; charset=utf-8"])
def test_other_names_mean_the_same(shared, user, name):
    answer = post(shared, line(1, user) + line(2, user), **{"Content-Type": name})
    assert [one["status"] for one in lines_of(answer)] == ["applied", "applied"]


def test_nothing_comes_to_nothing(shared):
    assert lines_of(post(shared, b"")) == lines_of(post(shared, b"\n\n")) == []


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        pytest.param(b"nonsense\n", 422, "invalid_event", id="no-json"),
        pytest.param(b'{"id": "\xff"}\n', 422, "invalid_event", id="no-utf-8"),
        pytest.param(b"[" * 100_000 + b"\n", 422, "invalid_event", id="nested"),
        pytest.param(b"[]\n", 422, "invalid_event", id="list"),
        pytest.param(line(9, "x", time="2026-03-01T10:00:00"), 422, "naive_time", id="naive-time"),
        pytest.param(line(9, "x", time="2999-03-01T10:00:00Z"), 422, "time_in_future", id="future"),
        pytest.param(line(9, "x", data={"a": "x" * 70_000}), 422, "data_too_large", id="large-data"),
        pytest.param(line(3, "USER", type="user.login"), 409, "request_id_reused", id="id-reused"),
        pytest.param(b"x" * (2**20 + 1) + b"\n", 422, "invalid_event", id="long"),
    ],
)
def test_it_stops_at_the_first_line_that_is_refused(shared, user, wrong, status, code):
    good = [line(number, user) for number in range(40)]
    good.insert(5, b"\n")  # Blank lines count as well.
    body = b"".join([*good[:30], wrong.replace(b"USER", user.encode()), *good[30:]])
    *outcomes, last = lines_of(post(shared, body))
    assert [outcome["event_id"] for outcome in outcomes] == [f"e{number}" for number in range(29)]
    assert last.keys() == {"line", "problem"}
    assert (last["line"], last["problem"]["status"], last["problem"]["code"]) == (31, status, code)
    assert posts(shared, user) == 29

    mended = lines_of(post(shared, b"".join(good)))
    assert [outcome["status"] for outcome in mended] == ["duplicate"] * 29 + ["applied"] * 11


def test_who_sends_three_lines_and_waits_gets_three_outcomes(shared, user):
    with connected(shared) as connection:
        connection.send(b"".join(line(number, user) for number in range(3)))
        connection.head()
        found = b""
        while found.count(b"\n") < 3:
            found += connection.chunk()
        assert posts(shared, user) == 3
        connection.send(line(3, user)[:10])
        connection.send(line(3, user)[10:])
        assert json.loads(connection.chunk())["event_id"] == "e3"
        connection.send(line(4, user).strip())
        connection.end()
        assert json.loads(connection.rest())["event_id"] == "e4"


def test_who_waits_hears_of_a_refused_line_at_once(shared, user):
    with connected(shared) as connection:
        connection.send(line(0, user) + b"nonsense\n")
        connection.head()
        found = b""
        while found.count(b"\n") < 2:
            found += connection.chunk()
        assert json.loads(found.splitlines()[1])["line"] == 2
        connection.send(line(1, user))
        connection.end()
        assert connection.rest() == b""
    assert posts(shared, user) == 1


@pytest.mark.parametrize("bad_line", [None, 10])
def test_who_sends_everything_before_reading_anything_gets_all_of_it(shared, user, bad_line):
    with connected(shared, read_bytes=4_096) as connection:
        for start in range(0, 4_000, 100):
            piece = b"".join(line(number, f"{user} {number}") for number in range(start, start + 100))
            connection.send(b"nonsense\n" + piece if start == bad_line else piece)
            if bad_line is not None:
                connection.send(b"nonsense " * 10_000)
        connection.end()
        connection.head()
        found = connection.rest().splitlines()
    if bad_line is None:
        assert len(found) == 4_000
        assert sum(map(len, found)) > 5_000_000  # More than the connection holds.
    else:
        assert json.loads(found[-1])["problem"]["code"] == "invalid_event"


def test_a_stream_may_come_gzipped(shared, user):
    body = b"".join(line(number, user, data={"text": "x" * 1_000}) for number in range(300))
    assert len(lines_of(post(shared, gzip.compress(body), **{"Content-Encoding": "gzip"}))) == 300


def test_a_damaged_stream_says_so_after_what_was_read(shared, user):
    body = b"".join(line(number, user, data={"text": os.urandom(500).hex()}) for number in range(200))
    cut_off = gzip.compress(body)[:-1_000]
    *outcomes, last = lines_of(post(shared, cut_off, **{"Content-Encoding": "gzip"}))
    assert {outcome["status"] for outcome in outcomes} == {"applied"}
    assert (last["problem"]["status"], last["problem"]["code"]) == (400, "unreadable")
    assert last["line"] == len(outcomes) + 1 == posts(shared, user) + 1
    again = lines_of(post(shared, gzip.compress(body), **{"Content-Encoding": "gzip"}))
    assert [outcome["status"] for outcome in again].count("duplicate") == len(outcomes)
    assert len(again) == 200


def traces():
    """Return the temporary files and unfinished tasks of streams that are there; threads are the loop's own few."""
    open_files = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done()]
    return [path for path in open_files if path.endswith("(deleted)")], [
        each for each in tasks if "_Answer" in repr(each)
    ]


def test_what_was_committed_stays_when_the_client_goes_and_nothing_else_does(shared, user, caplog):
    lines_of(post(shared, b"".join(line(number, user) for number in range(50))))
    before = traces()
    for reads in (True, False, True, False):
        with connected(shared, read_bytes=4_096) as connection:
            connection.send(b"".join(line(number, f"{user} {number}") for number in range(2_000)))
            connection.send(line(2_000, user)[:20])
            if reads:
                connection.head()
                connection.chunk()
                assert traces() != before
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s and (traces() != before or shared.engine.waiting):
        time.sleep(0.02)
    assert traces() == before
    assert posts(shared, user) == 50
    assert posts(shared, f"{user} 0") == 1
    assert caplog.records == []
    assert len(lines_of(post(shared, line(2_000, user)))) == 1


def test_a_stream_waits_where_too_much_waits_already(empty_database, tmp_path):
    shutil.copy(empty_database, tmp_path / "laurels.db")
    url = f"sqlite:///{tmp_path / 'laurels.db'}"
    with laurels.open(url, waiting_requests_max=1) as engine, serving(create_app(engine, Settings())) as address:
        key = keys.create(engine, "test", ["ingest"], actor="tests").key
        headers = {"Authorization": f"Bearer {key}", "Content-Type": NDJSON}

        def stream(number):
            body = b"".join(line(each, f"user {number}") for each in range(300))
            return len(httpx.post(f"{address}/v1/events", content=body, headers=headers, timeout=60).text.splitlines())

        with ThreadPoolExecutor(6) as clients:
            assert list(clients.map(stream, range(6))) == [300] * 6


MEBIBYTE = 2**20


def memory_peak(pid):
    with Path(f"/proc/{pid}/status").open() as file:
        return next(int(each.split()[1]) * 1_024 for each in file if each.startswith("VmHWM:"))


def test_a_long_stream_takes_no_more_memory_than_a_short_one(empty_database, tmp_path):
    shutil.copy(empty_database, tmp_path / "laurels.db")
    with serving_elsewhere(f"sqlite:///{tmp_path / 'laurels.db'}") as service:
        headers = {"Authorization": f"Bearer {service.key}", "Content-Type": NDJSON}

        def stream(start, mebibytes):
            lines = (line(start + number, "ada", data={"text": "x" * 60_000}) for number in range(mebibytes * 17))
            with httpx.stream("POST", f"{service.url}/v1/events", content=lines, headers=headers, timeout=60) as answer:
                return sum(1 for _ in answer.iter_lines())

        assert stream(0, 2) == 2 * 17
        before = memory_peak(service.pid)
        assert stream(1_000_000, 64) == 64 * 17
        assert memory_peak(service.pid) - before < 24 * MEBIBYTE
