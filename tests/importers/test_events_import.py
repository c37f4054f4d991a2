"""Events from JSON lines: what a line may be, and an import that can be stopped, repeated and fed with bad lines."""

import gzip
import io
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

import laurels
from laurels.core.errors import InvalidInput, Unavailable
from laurels.importers.events import LINE_BYTES_MAX, EventsFile, parse_event
from laurels.importers.loading import BATCH_EVENTS, Tally, import_events, load
from tests.conftest import BASE

CATALOG = (
    BASE
    + """
[metrics]
posts = {}
[[rules]]
id = "post"
on = "post"
xp = 10
metrics = { posts = 1 }
[[leaderboards]]
code = "posts"
metric = "posts"
"""
)


def no_progress(_what, _unit):
    return lambda _done, _total: None


def line(number, user="ada", **more):
    return json.dumps({"id": f"e{number}", "type": "post", "user": user, **more})


def write(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def run(engine, path, progress=no_progress):
    """Import a file; return (recorded, repeated, left out) and what was reported, without the folder."""
    reports = []
    tally = Tally(reports.append)
    with EventsFile(path) as file:
        import_events(engine, file, tally, progress)
    folder = "" if path is None else f"{path.parent}/"
    return (tally.recorded, tally.repeated, tally.left_out), [report.removeprefix(folder) for report in reports]


def posts(engine, user="ada"):
    return engine.profile(user).metrics["posts"]


# A line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(line(1), laurels.Event("post", user="ada", id="e1"), id="shortest"),
        pytest.param(line(1, time=None, data=None), laurels.Event("post", user="ada", id="e1"), id="nulls-are-absent"),
        pytest.param(
            line(1, time="2026-03-01T11:00:00.5+01:00", data={"n": [1, 2.5]}),
            laurels.Event(
                "post", user="ada", id="e1", time=datetime(2026, 3, 1, 10, 0, 0, 500_000, UTC), data={"n": [1, 2.5]}
            ),
            id="time-and-data",
        ),
    ],
)
def test_a_line_is_an_event(text, expected):
    assert parse_event(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nonsense", "no JSON that can be read", id="no-json"),
        pytest.param("{", "no JSON that can be read", id="cut-off"),
        pytest.param("[" * 100_000, "no JSON that can be read", id="too-deep"),
        pytest.param('{"id": NaN}', "no JSON that can be read", id="no-number"),
        pytest.param('{"id": 1e999}', "no JSON that can be read", id="out-of-range"),
        pytest.param("[]", "an event is an object with id, type, user", id="no-object"),
        pytest.param("{}", "id is missing; type is missing; user is missing", id="all-problems-at-once"),
        pytest.param(line(1, tiem="x"), "unknown field 'tiem'; did you mean 'time'?", id="unknown-field"),
        pytest.param(line(1, time="2026-03-01T10:00:00"), "has no UTC offset", id="time-without-zone"),
        pytest.param(line(1, time="yesterday"), "'yesterday' is not an RFC 3339 time", id="no-time"),
        pytest.param(line(1, time=1772359200), "1772359200 is not text such as 2026", id="time-as-number"),
        pytest.param(line(1, data={"x": "y" * LINE_BYTES_MAX}), "longer than 1,048,576 bytes", id="too-long"),
    ],
)
def test_a_line_that_is_no_event_is_refused_with_the_reason(text, expected):
    with pytest.raises(InvalidInput) as caught:
        parse_event(text.encode())
    assert expected in str(caught.value)


# A file


@pytest.fixture
def engine(open_engine):
    return open_engine(CATALOG)


def test_an_import_records_every_event_once_and_fills_the_boards(engine, tmp_path):
    path = write(tmp_path / "events.jsonl", [line(number) for number in range(600)])
    assert run(engine, path) == ((600, 0, 0), [])
    assert (posts(engine), engine.leaderboard("posts").top()[0].score) == (600, 600)
    assert run(engine, path) == ((0, 600, 0), [])
    assert posts(engine) == 600


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{line(1)}\n{line(2)}\n", id="plain"),
        pytest.param(f"{line(1)}\n{line(2)}", id="without-a-last-newline"),
        pytest.param(f"{line(1)}\r\n{line(2)}\r\n", id="windows"),
        pytest.param(f"\ufeff{line(1)}\n\n   \n{line(2)}\n\n", id="byte-order-mark-and-blank-lines"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["unpacked", "gzipped"])
def test_a_file_may_be_written_in_several_ways(text, pack, engine, tmp_path):
    path = tmp_path / "events"
    path.write_bytes(pack(text.encode()))
    assert run(engine, path) == ((2, 0, 0), [])


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["unpacked", "gzipped"])
def test_standard_input_is_a_file_too(pack, engine, monkeypatch):
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(pack(f"{line(1)}\nx\n".encode()))))
    monkeypatch.setattr(sys, "stdin", stdin)
    done, reports = run(engine, None)
    assert done == (1, 0, 1)
    assert reports[0].startswith("standard input:2: no JSON")
    assert not stdin.closed


def test_an_empty_file_records_nothing(engine, tmp_path):
    assert run(engine, write(tmp_path / "events.jsonl", [])) == ((0, 0, 0), [])


def test_bad_lines_are_reported_with_file_and_line_and_the_others_recorded(engine, tmp_path):
    lines = [line(number) for number in range(1, 8)]
    lines[1] = "nonsense"
    lines[2] = line(3, type="Post")
    lines[4] = line(5, time="2031-01-01T00:00:00Z")
    lines[5] = line(1, data={"other": "content"})
    done, reports = run(engine, write(tmp_path / "events.jsonl", lines))
    assert done == (3, 0, 4)
    assert [report.partition(": ")[0] for report in reports] == [
        "events.jsonl:2",
        "events.jsonl:3",
        "events.jsonl:5",
        "events.jsonl:6",
    ]
    assert posts(engine) == 3


@pytest.mark.parametrize("bad", [0, 1, 124, 125, 249, 250], ids=str)
def test_of_a_batch_only_the_event_that_is_refused_is_left_out(bad, engine, tmp_path):
    """The batch is refused as a whole; it is halved until the culprit stands alone."""
    lines = [line(number) for number in range(BATCH_EVENTS + 20)]
    lines[bad] = line(bad, user=" ada")
    done, reports = run(engine, write(tmp_path / "events.jsonl", lines))
    assert done == (BATCH_EVENTS + 19, 0, 1)
    assert reports == [f"events.jsonl:{bad + 1}: user: ' ada' is no id. {reports[0].partition('is no id. ')[2]}"]
    assert posts(engine) == BATCH_EVENTS + 19


def test_an_event_that_leaves_the_range_of_numbers_is_left_out_whole(open_engine, tmp_path):
    """It is found out in the middle of deciding, after other parts of it were decided."""
    toml = CATALOG + '[metrics.sum]\n[[rules]]\nid = "add"\non = "post"\nmetrics = { sum = "data.n" }\n'
    engine = open_engine(toml)
    lines = [line(1, data={"n": 2**53 - 1}), line(2, data={"n": 1}), line(3, data={"n": -1})]
    done, reports = run(engine, write(tmp_path / "events.jsonl", lines))
    assert done == (2, 0, 1)
    assert "events.jsonl:2: This would bring sum to 9007199254740992" in reports[0]
    assert (posts(engine), engine.profile("ada").metrics["sum"]) == (2, 2**53 - 2)


def test_the_events_of_one_user_are_recorded_in_the_order_of_the_file(engine, tmp_path):
    lines = [line(number, user=f"u{number % 3}") for number in range(700)]
    lines[300] = "nonsense"
    run(engine, write(tmp_path / "events.jsonl", lines))
    ids = [entry.request_id for entry in engine.user("u1").ledger(limit=1_000)]
    assert ids == [f"e{number}" for number in reversed(range(700)) if number % 3 == 1]


def test_memory_is_kept_in_bounds_by_a_line_without_an_end(engine, tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'"' + b"x" * (5 * LINE_BYTES_MAX) + b'"\n' + line(1).encode() + b"\n")
    done, reports = run(engine, path)
    assert (done, len(reports)) == ((1, 0, 1), 1)
    assert reports[0].startswith("events.jsonl:1: longer than 1,048,576 bytes")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda path: None, "cannot be read: No such file or directory", id="not-there"),
        pytest.param(lambda path: path.mkdir(), "cannot be read: Is a directory", id="a-folder"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named(make, expected, tmp_path):
    path = tmp_path / "events.jsonl"
    make(path)
    with pytest.raises(InvalidInput) as caught:
        EventsFile(path)
    assert str(caught.value) == f"{path}: {expected}"


def test_of_a_file_that_breaks_off_all_before_is_recorded(engine, tmp_path):
    text = "".join(line(number, data={"n": f"{number * 7919 % 10007}"}) + "\n" for number in range(2_000))
    whole = gzip.compress(text.encode())
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match="breaks off or is damaged after line") as caught:
        run(engine, path)
    read = int(str(caught.value).partition("after line ")[2].partition(":")[0])
    assert 0 < read < 2_000
    assert posts(engine) == read
    path.write_bytes(whole)
    assert run(engine, path) == ((2_000 - read, read, 0), [])


def test_an_import_that_was_stopped_goes_on_where_it_was(engine, tmp_path):
    events = [(laurels.Event("post", user="ada", id=f"e{number}"), f"{number}") for number in range(1_000)]

    def interrupted():
        yield from events[:600]
        raise KeyboardInterrupt

    tally = Tally(pytest.fail)
    with pytest.raises(KeyboardInterrupt):
        load(engine, interrupted(), tally, on_batch=lambda: None)
    assert tally.recorded == posts(engine) == 500  # Whole batches: what was read of the third is not half recorded.
    again = Tally(pytest.fail)
    load(engine, events, again, on_batch=lambda: None)
    assert (again.recorded, again.repeated) == (500, 500)
    assert posts(engine) == 1_000


def test_when_the_database_takes_no_more_the_count_is_right(engine):
    """The engine is closed from elsewhere after the first batch."""
    events = ((laurels.Event("post", user="ada", id=f"e{number}"), "") for number in range(1_000))
    tally = Tally(pytest.fail)
    with pytest.raises(Unavailable, match="closed"):
        load(engine, events, tally, on_batch=engine.close)
    assert tally.recorded in {250, 500}
    assert tally.left_out == 0


def test_the_times_of_events_are_those_of_the_file(engine, tmp_path):
    """A whole history is placed on its own days, not on that of the import."""
    start = datetime(2020, 2, 28, 23, 0, tzinfo=UTC)
    lines = [line(n, time=(start + timedelta(hours=n)).isoformat()) for n in range(3)]
    run(engine, write(tmp_path / "events.jsonl", lines))
    times = [entry.time for entry in engine.user("ada").ledger()]
    assert times == [start + timedelta(hours=n) for n in (2, 1, 0)]


def test_progress_estimates_the_number_of_events_from_the_share_that_was_read(engine, tmp_path):
    steps = []

    def progress(what, unit):
        return lambda done, total: steps.append((what, unit, done, total))

    path = write(tmp_path / "events.jsonl", [line(number) for number in range(1_000)])
    run(engine, path, progress)
    recording = [step[2:] for step in steps if step[:2] == ("Recording events", "events")]
    assert [done for done, _ in recording] == [250, 500, 750, 1_000]
    assert recording[-1] == (1_000, 1_000)
    assert steps[-1] == ("Filling leaderboards", "rows", 1_000, 1_000)
