"""Bodies that are large, slow, cut off, packed or no JSON: each is told what is wrong, and the service lives on."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import time
from collections.abc import Iterator

import pytest

from laurels.http.bodies import FIELDS_BYTES_MAX, NDJSON
from laurels.settings import Settings
from tests.http.conftest import Standing, standing

BYTES_MAX = 200_000
PAUSE_S = 0.3
EVENTS = "/v1/events"
XP = "/v1/users/ada/xp"
MEDIA_TYPE = "application/problem+json"


@pytest.fixture(scope="module")
def narrow(empty_database, tmp_path_factory) -> Iterator[Standing]:
    """A service with little room and little patience."""
    path = tmp_path_factory.mktemp("narrow") / "laurels.db"
    shutil.copy(empty_database, path)
    with standing(path, Settings(body_bytes_max=BYTES_MAX, body_pause_s_max=PAUSE_S)) as found:
        yield found


@pytest.fixture(autouse=True)
def _lives_on(narrow) -> Iterator[None]:
    yield
    assert narrow.api.get("/v1/users").status_code == 200


def event(user, **fields):
    return json.dumps({"id": "1", "type": "post.created", "user": user, **fields}).encode()


def post(narrow, body, coding=None, path=EVENTS):
    headers = {"Content-Type": "application/json", "Idempotency-Key": "1"}
    return narrow.api.post(path, content=body, headers=headers | ({"Content-Encoding": coding} if coding else {}))


def head(narrow, *headers, path=EVENTS):
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: here",
        f"Authorization: Bearer {narrow.key}",
        "Content-Type: application/json",
        "Idempotency-Key: 1",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.fixture
def line(narrow) -> Iterator[socket.socket]:
    """A connection of its own, for what no client sends."""
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=10) as found:
        yield found


def answer_on(line):
    """Return status, headers and body of the answer that comes on a connection."""
    with line.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers = {}
        while (each := file.readline().strip()) != b"":
            name, _, value = each.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        return status, headers, json.loads(file.read(int(headers["content-length"])))


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity"])
def test_a_body_may_come_gzipped(narrow, user, coding):
    body = event(user, data={"text": "x" * 50_000})
    answer = post(narrow, body if coding == "identity" else gzip.compress(body), coding)
    assert answer.json()["outcomes"][0]["status"] == "applied", answer.text


def test_files_that_were_gzipped_and_joined_are_one_body(narrow, user):
    body = event(user)
    assert post(narrow, gzip.compress(body[:9]) + gzip.compress(body[9:]), "gzip").status_code == 200

    def pieces():
        yield gzip.compress(body[:9])
        time.sleep(0.05)
        yield gzip.compress(body[9:])

    assert post(narrow, pieces(), "gzip").json()["outcomes"][0]["status"] == "duplicate"


@pytest.mark.parametrize("path", [EVENTS, XP])
@pytest.mark.parametrize(
    ("body", "coding", "status", "code"),
    [
        pytest.param(gzip.compress(b"0" * 50_000_000), "gzip", 413, "body_too_large", id="bomb"),
        pytest.param(gzip.compress(gzip.compress(b"0" * 50_000_000)), "gzip", 400, "unreadable", id="bomb-in-gzip"),
        pytest.param(gzip.compress(event("a"))[:-5], "gzip", 400, "unreadable", id="gzip-cut-off"),
        pytest.param(gzip.compress(event("a")) + b"more", "gzip", 400, "unreadable", id="after-gzip"),
        pytest.param(event("a"), "gzip", 400, "unreadable", id="not-gzip"),
        pytest.param(b"", "gzip", 400, "unreadable", id="empty-gzip"),
        pytest.param(event("a"), "br", 415, "unsupported_encoding", id="brotli"),
        pytest.param(event("a"), "gzip, gzip", 415, "unsupported_encoding", id="twice-gzipped"),
        pytest.param(b" " * (BYTES_MAX + 1), None, 413, "body_too_large", id="large"),
        pytest.param(b"[" * 100_000, None, 400, "unreadable", id="nested-lists"),
        pytest.param(b'{"a":' * 20_000, None, 400, "unreadable", id="nested-objects"),
        pytest.param(b'{"a":' * 20_000 + b"0" + b"}" * 20_000, None, 400, "unreadable", id="nested-whole"),
        pytest.param(b'{"id": "\xff"}', None, 400, "unreadable", id="no-utf-8"),
        pytest.param(gzip.compress(b""), "gzip", 400, "unreadable", id="gzipped-nothing"),
        pytest.param(b"", None, 400, "unreadable", id="empty"),
        pytest.param(b" ", None, 400, "unreadable", id="white-space"),
        pytest.param(event("a") + b"x", None, 400, "unreadable", id="trailing"),
        pytest.param(event("a") + event("a"), None, 400, "unreadable", id="two"),
        pytest.param(event("a")[:-1], None, 400, "unreadable", id="cut-off"),
        pytest.param(b"{'id': 1}", None, 400, "unreadable", id="single-quotes"),
    ],
)
def test_what_cannot_be_read_is_told_so(narrow, path, body, coding, status, code):
    answer = post(narrow, body, coding, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert len(answer.json()["detail"]) < 300


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        pytest.param(b"\xff\xfe{\x00}\x00", None, id="utf-16"),
        pytest.param(b'{"id": "\xed\xa0\x80"}', None, id="surrogate-as-bytes"),
    ],
)
def test_what_one_decoder_cannot_read_and_another_can_is_refused_by_both(narrow, body, coding):
    assert post(narrow, body, coding).json()["code"] == "unreadable"
    answer = post(narrow, body, coding, XP)
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)


@pytest.mark.parametrize("path", [EVENTS, XP])
def test_too_large_is_said_before_anything_of_it_is_read(narrow, line, path):
    line.sendall(head(narrow, f"Content-Length: {BYTES_MAX + 1}", path=path))
    status, headers, problem = answer_on(line)
    assert (status, problem["code"], headers["content-type"]) == (413, "body_too_large", MEDIA_TYPE)


@pytest.mark.parametrize("media_type", ["application/json", NDJSON])
def test_where_no_events_come_there_is_less_room_whatever_a_body_calls_itself(narrow, media_type):
    fields = json.dumps({f"field {number}": 1 for number in range(9_000)}).encode()
    assert FIELDS_BYTES_MAX < len(fields) < BYTES_MAX

    def pieces():
        yield fields[:9]
        yield fields[9:]

    for body in (fields, pieces()):
        headers = {"Content-Type": media_type, "Idempotency-Key": "1"}
        answer = narrow.api.post(XP, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert post(narrow, fields).status_code == 422
    assert post(narrow, fields, path="/v1/catalog/check").status_code == 200


@pytest.mark.parametrize("path", [EVENTS, XP])
def test_a_body_of_unknown_length_is_too_large_once_too_much_has_come(narrow, path):
    def pieces():
        for _ in range(100):
            yield b" " * 10_000

    answer = post(narrow, pieces(), path=path)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("path", [EVENTS, XP])
def test_a_body_that_does_not_go_on_is_not_waited_for(narrow, line, path):
    line.sendall(head(narrow, "Content-Length: 100", path=path) + b'{"id": ')
    status, headers, problem = answer_on(line)
    assert (status, problem["code"], headers["content-type"]) == (408, "body_too_slow", MEDIA_TYPE)
    assert headers["connection"] == "close"
    assert line.recv(1) == b""


def test_a_body_that_drips_is_not_waited_for_either(narrow, line):
    line.sendall(head(narrow, "Content-Length: 10000"))
    began_s = time.monotonic()
    line.settimeout(PAUSE_S / 6)
    while time.monotonic() < began_s + 20 * PAUSE_S:
        line.sendall(b" ")
        try:
            line.recv(1, socket.MSG_PEEK)
            break
        except TimeoutError:
            pass
    line.settimeout(10)
    assert answer_on(line)[0] == 408
    assert time.monotonic() < began_s + 10 * PAUSE_S


def test_a_stream_that_does_not_go_on_says_so_and_ends(narrow, line, user):
    line.sendall(head(narrow, "Transfer-Encoding: chunked").replace(b"application/json", NDJSON.encode()))
    for number in range(3):  # Slow on the whole, but it goes on.
        piece = event(user, id=str(number)) + b"\n"
        line.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        time.sleep(PAUSE_S / 2)
    with line.makefile("rb") as file:
        while file.readline() != b"\r\n":
            pass
        found = b"".join(iter(lambda: file.read(int(file.readline(), 16) + 2)[:-2], b""))
    *outcomes, last = [json.loads(each) for each in found.splitlines()]
    assert [outcome["event_id"] for outcome in outcomes] == ["0", "1", "2"]
    assert (last["line"], last["problem"]["status"]) == (4, 408)


def test_a_client_that_goes_away_leaves_nothing_behind_and_is_no_failure(narrow, user, caplog):
    whole = event(user)
    for body in (b"", whole[:20], whole[:-1]):
        with socket.create_connection(("127.0.0.1", narrow.port)) as line:
            line.sendall(head(narrow, f"Content-Length: {len(whole)}") + body)
            time.sleep(0.05)
    time.sleep(0.05)
    assert narrow.api.get(f"/v1/users/{user}").status_code == 404
    assert caplog.records == []


@pytest.mark.parametrize(
    "header", ["Content-Length: -1", "Content-Length: many", "Transfer-Encoding: nonsense", "Content-Length: 0"]
)
def test_what_is_no_http_ends_the_connection_and_nothing_else(narrow, line, header):
    line.sendall(head(narrow, header) + b"x")
    assert line.recv(100).startswith(b"HTTP/1.1 400 ")
    while line.recv(1_000):
        pass


def test_who_asks_first_whether_to_send_is_told(narrow, line, user):
    whole = event(user)
    line.sendall(head(narrow, "Expect: 100-continue", f"Content-Length: {len(whole)}"))
    assert line.recv(100).startswith(b"HTTP/1.1 100 ")
    line.sendall(whole)
    assert answer_on(line)[0] == 200
