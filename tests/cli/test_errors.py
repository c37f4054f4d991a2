"""What goes wrong is told on stderr, with the name of the thing and the way out, and by the exit code."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from laurels.core.errors import Unknown

EVENT = ("record", "post.created", "--user", "ada", "--id", "p1")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], "Usage: laurels", id="nothing"),
        pytest.param(["recrod"], "Did you mean 'record'?", id="command"),
        pytest.param(["users", "shwo"], "Did you mean 'show'?", id="command-of-a-group"),
        pytest.param(["users", "list", "--jsn"], "--jsn", id="flag"),
        pytest.param(["users", "show"], "Missing argument", id="argument-missing"),
        pytest.param(["leaderboard", "xp", "--period", "yearly"], "'daily', 'weekly'", id="choice"),
        pytest.param(["leaderboard", "xp", "--limit", "0"], "--limit", id="range"),
        pytest.param(["record", "post.created"], "who did it? Give --user", id="record-without-user"),
        pytest.param(["record"], "give TYPE and --user, or an event as JSON", id="record-nothing"),
        pytest.param(["record", "--user", "ada"], "give TYPE and --user", id="record-flags-and-no-type"),
        pytest.param([*EVENT, "--data", "{"], "--data", id="data-that-is-no-json"),
        pytest.param(["users", "set", "ada"], "nothing is given to set", id="set-nothing"),
        pytest.param(["users", "set", "ada", "--group", "red"], "'red' is not NAME=VALUE", id="group"),
        pytest.param(["users", "set", "ada", "--day-starts-at", "24"], "--day-starts-at", id="hour"),
        pytest.param(["export", "users"], "'achievements', 'entries', 'events'", id="export-what"),
    ],
)
def test_a_wrong_call_is_a_usage_error(arguments, expected, laurels, folder):
    done = laurels(*arguments)
    assert done.code == 2
    assert expected in done.err + done.out
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["users", "list"],
        ["users", "show", "ada"],
        ["explain", "ada", "p1"],
        ["leaderboard", "xp"],
        ["catalog", "show"],
        ["catalog", "diff", "community"],
        ["export", "events"],
        ["boards", "rebuild"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_a_command_that_only_looks_makes_no_database(arguments, laurels, folder):
    done = laurels(*arguments)
    assert (done.code, done.out) == (1, "")
    assert (
        done.err
        == "laurels: There is no database at laurels.db. `laurels init` makes one; `--database` names another.\n"
    )
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["users", "show", "bob"], "There is no user 'bob'.", id="user"),
        pytest.param(["explain", "ada", "p9"], "'ada' has no request 'p9'.", id="request"),
        pytest.param(["leaderboard", "exp"], "unknown leaderboard 'exp'; did you mean 'xp'?", id="board"),
        pytest.param(["leaderboard", "xp", "--group", "red"], "'xp' is not split by a group.", id="group"),
        pytest.param(
            ["leaderboard", "xp", "--period", "weekly", "--at", "2026-13"], "Write an ISO week such as", id="period"
        ),
        pytest.param([*EVENT, "--data", '{"words": 1}'], "Send a new id, or resend it unchanged.", id="other-content"),
        pytest.param(["record", "Post", "--user", "ada"], "'Post' is no event type.", id="event-type"),
        pytest.param(["record", "post", "--user", " ada"], "user: ' ada' is no id.", id="user-id"),
        pytest.param([*EVENT[:4], "--time", "2026-03-01T10:00:00"], "has no UTC offset.", id="time-without-zone"),
        pytest.param([*EVENT[:4], "--time", "2126-03-01T10:00:00Z"], "Check the sender's clock.", id="future"),
        pytest.param([*EVENT[:4], "--data", "[]"], "data", id="data-that-is-no-object"),
        pytest.param(["users", "set", "ada", "--timezone", "Europe/Berln"], "did you mean 'Europe/Berlin'?", id="zone"),
        pytest.param(["catalog", "check", "nix.toml"], "nix.toml has one problem", id="catalog-file"),
        pytest.param(["catalog", "show", "communty"], "did you mean 'community'?", id="bundled-catalog"),
        pytest.param(["import", "events", "nix.jsonl"], "nix.jsonl: cannot be read: No such file", id="events-file"),
        pytest.param(["import", "stackexchange", "."], "Give the directory into which the dump", id="dump"),
        pytest.param(["users", "list", "--database", "mysql://x"], "'mysql' is no database Laurels runs on", id="url"),
        pytest.param(["users", "list", "--database", "sqlite://"], "in a file: sqlite:///FILE.", id="no-file"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line_without_a_traceback(arguments, expected, laurels, folder):
    assert laurels(*EVENT).code == 0
    events = laurels("export", "events").out
    done = laurels(*arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("laurels: ")
    assert expected in done.err
    assert "Traceback" not in done.err
    assert laurels("export", "events").out == events


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nonsense", "no JSON that can be read", id="no-json"),
        pytest.param(
            '{"type": "post", "usr": "ada"}', "unknown field 'usr'; did you mean 'user'?; id is missing", id="fields"
        ),
        pytest.param('{"id": 7, "type": "post", "user": "ada"}', "id: 7 is no id.", id="types"),
        pytest.param('[{"id": "a", "type": "post", "user": "ada"}]', "an event is an object", id="a-list"),
    ],
)
def test_bad_json_on_standard_input_records_nothing(text, expected, laurels):
    laurels("init")
    done = laurels("record", stdin=text)
    assert (done.code, done.out) == (1, "")
    assert expected in done.err
    assert laurels("users", "list", "--json").json["items"] == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param("LAURELS_DATABSE_URL", "x", "did you mean LAURELS_DATABASE_URL?", id="unknown"),
        pytest.param("LAURELS_BUSY_TIMEOUT_S", "many", "must be a number, not 'many'", id="wrong"),
    ],
)
def test_a_setting_that_cannot_be_used_is_a_usage_error(name, value, expected, laurels, monkeypatch):
    monkeypatch.setenv(name, value)
    done = laurels("users", "list")
    assert (done.code, done.out) == (2, "")
    assert expected in done.err


def foreign(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (title)")
    database.close()


def newer(path):
    subprocess.run([*LAURELS, "init", "--database", f"sqlite:///{path}"], check=True, capture_output=True)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(
            lambda path: path.write_text("nonsense " * 100), "is no SQLite database; choose another", id="text"
        ),
        pytest.param(foreign, "holds tables that are not Laurels' (songs)", id="foreign"),
        pytest.param(newer, "has schema 9999, which this version of Laurels does not know", id="newer"),
        pytest.param(lambda path: path.mkdir(), "unable to open database file", id="a-folder"),
    ],
)
def test_a_database_that_is_not_ours_is_named(make, expected, laurels, folder):
    make(folder / "laurels.db")
    done = laurels("init")
    assert (done.code, done.out) == (1, "")
    assert expected in done.err
    assert "Traceback" not in done.err


def test_a_database_that_another_holds_is_named_after_the_wait_that_is_set(laurels, folder, monkeypatch):
    laurels("init")
    monkeypatch.setenv("LAURELS_BUSY_TIMEOUT_S", "0.05")
    other = sqlite3.connect(folder / "laurels.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done = laurels(*EVENT)
    other.close()
    assert (done.code, done.out) == (1, "")
    assert "laurels.db: database is locked. Another process has held the write lock for too long" in done.err


@pytest.mark.parametrize("where", ["flag", "variable"])
def test_a_traceback_comes_only_for_those_who_ask(where, laurels, monkeypatch):
    laurels("init")
    if where == "variable":
        monkeypatch.setenv("LAURELS_DEBUG", "1")
    with pytest.raises(Unknown):
        laurels(*(["--debug"] if where == "flag" else []), "users", "show", "bob")


# As programs of their own, since signals and pipes are the system's.

LAURELS = (sys.executable, "-m", "laurels")


def started(*arguments, **options):
    return subprocess.Popen(
        [*LAURELS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def recorded(path):
    """Count what is in a database that another process may be writing to; 0 before it is there."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute("SELECT count(*) FROM journal").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_an_import_that_is_interrupted_says_what_was_recorded_and_how_to_go_on(folder):
    lines = (f'{{"id": "e{number}", "type": "user.login", "user": "u{number % 50}"}}\n' for number in range(50_000))
    (folder / "events.jsonl").write_text("".join(lines))
    process = started("import", "events", "events.jsonl")
    while not recorded(folder / "laurels.db"):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    count = recorded(folder / "laurels.db")
    assert 0 < count < 50_000
    assert err == f"Stopped: {count:,} events recorded. The same command goes on from there.\n"


def test_nobody_reading_on_is_no_error(laurels, folder):
    laurels("init")
    lines = (f'{{"id": "e{number}", "type": "user.login", "user": "ada"}}\n' for number in range(3_000))
    laurels("import", "events", "-", stdin="".join(lines))
    with started("export", "entries") as process:
        assert process.stdout.readline().startswith("user_id,")
        process.stdout.close()
        assert process.stderr.read() == ""


def test_a_terminal_without_emoji_gets_question_marks(laurels):
    laurels(*EVENT)
    process = started("users", "show", "ada", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "? First Steps" in out


def test_a_folder_that_is_not_there_is_named(laurels):
    done = laurels("init", "--database", "sqlite:///nowhere/laurels.db")
    assert (done.code, done.out) == (1, "")
    assert "There is no folder nowhere: make it first" in done.err
