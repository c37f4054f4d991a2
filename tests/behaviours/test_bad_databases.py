"""
Databases that cannot be used: locked, read-only, full, damaged, of another program, of a newer version, or not there.

Each is refused with a code, the file's name and the way out; nothing is recorded, and a file that is not ours is left
as it was, byte for byte.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event

import laurels
from tests.behaviours.processes import said, start
from tests.conftest import BASE

BUSY_TIMEOUT_S = 0.05


def files(folder: Path) -> dict[str, bytes]:
    """Every file in a folder with its contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def award(engine, request_id="a"):
    return engine.award_xp("ada", 5, request_id=request_id)


# --- What is no database of ours --------------------------------------------------------------------------------------


def of_another_program(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (name)")
        connection.execute("INSERT INTO customers VALUES ('Eve')")
    connection.close()


def of_another_program_that_migrates(path):
    """It has a journal and numbers its schemas as we do, but it is not ours."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("INSERT INTO alembic_version VALUES ('9f31')")
        connection.execute("CREATE TABLE journal (entry)")
    connection.close()


def newer(path):
    laurels.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0042'")
    connection.close()


def damaged(path):
    laurels.open(f"sqlite:///{path}").close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))


def cut_off(path):
    laurels.open(f"sqlite:///{path}").close()
    os.truncate(path, 9_000)


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        pytest.param(
            lambda path: path.write_text("Dear diary\n" * 500), "database_foreign", "no SQLite database", id="a-text"
        ),
        pytest.param(lambda path: path.write_text("Dear"), "database_foreign", "choose another", id="a-short-text"),
        pytest.param(of_another_program, "database_foreign", "not Laurels' (customers)", id="another-program's"),
        pytest.param(
            of_another_program_that_migrates, "database_foreign", "a database of its own", id="another's-that-migrates"
        ),
        pytest.param(newer, "database_newer", "has schema 0042", id="a-newer-version's"),
        pytest.param(damaged, "database_corrupt", "restore it from a backup", id="damaged"),
        pytest.param(cut_off, "database_corrupt", "restore it from a backup", id="cut-off"),
        pytest.param(
            lambda path: path.mkdir(), "database_unreadable", "It is a folder: name a file in it", id="a-folder"
        ),
    ],
)
def test_what_is_no_database_of_ours_is_refused_and_left_as_it_was(tmp_path, make, code, words):
    path = tmp_path / "some.db"
    make(path)
    before = files(tmp_path)

    with pytest.raises(laurels.Unavailable) as refusal:
        laurels.open(f"sqlite:///{path}")

    assert (refusal.value.code, refusal.value.retryable) == (code, False)
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert files(tmp_path) == before


def test_an_empty_file_becomes_a_database(tmp_path):
    (tmp_path / "new.db").touch()
    with laurels.open(f"sqlite:///{tmp_path / 'new.db'}") as engine:
        assert award(engine).status == "applied"


def test_a_folder_that_is_not_there_is_named_and_not_made(tmp_path):
    with pytest.raises(laurels.Unavailable) as refusal:
        laurels.open(f"sqlite:///{tmp_path / 'no' / 'where' / 'laurels.db'}")

    assert refusal.value.code == "database_unreadable"
    assert f"There is no folder {tmp_path / 'no' / 'where'}" in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_must_be_there_is_not_made(tmp_path):
    with pytest.raises(laurels.Unavailable) as refusal:
        laurels.open(f"sqlite:///{tmp_path / 'laurels.db'}", create=False)

    assert refusal.value.code == "database_missing"
    assert f"no database at {tmp_path / 'laurels.db'}" in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mysql://root@localhost/app", id="another-kind-of-database"),
        pytest.param("sqlite+aiosqlite:///laurels.db", id="another-driver"),
        pytest.param("laurels.db", id="a-plain-path"),
        pytest.param("sqlite://laurels.db", id="two-slashes"),
        pytest.param("sqlite:/laurels.db", id="one-slash"),
        pytest.param("sqlite://", id="no-file"),
        pytest.param("sqlite:///", id="no-name"),
        pytest.param("sqlite:///:memory:", id="in-memory"),
        pytest.param("sqlite:///laurels\0.db", id="nul"),
        pytest.param("sqlite:///laurels\ud800.db", id="surrogate"),
        pytest.param("", id="empty"),
        pytest.param(None, id="none"),
        pytest.param(Path("laurels.db"), id="a-path-object"),
    ],
)
def test_what_names_no_database_file_is_refused_with_the_form_of_one_that_does(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(laurels.InvalidInput, match="sqlite:///FILE") as refusal:
        laurels.open(url)
    assert refusal.value.code == "unknown_database"
    assert list(tmp_path.iterdir()) == []


# --- Locked -----------------------------------------------------------------------------------------------------------

HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def locked(sqlite_url):
    """The test's database while another process holds its write lock; close the program's input to let go."""
    laurels.open(sqlite_url).close()
    other = start(HOLD_THE_LOCK, sqlite_url.removeprefix("sqlite:///"))
    assert other.stdout.readline() == "locked\n"
    yield other
    if other.poll() is None:
        said(other)


WRITES = {
    "recording": award,
    "recording-in-the-background": lambda engine: engine.submit(laurels.AwardXp(user="ada", id="a", amount=5)).result(),
    "setting": lambda engine: engine.user("ada").set(display_name="Ada"),
    "applying-a-catalog": lambda engine: engine.apply_catalog(engine.catalog),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_locked_database_is_busy_and_the_same_request_succeeds_later(sqlite_url, locked, write):
    with laurels.open(sqlite_url, busy_timeout_s=BUSY_TIMEOUT_S) as engine:
        with pytest.raises(laurels.Unavailable) as refusal:
            write(engine)
        assert (refusal.value.code, refusal.value.retryable) == ("database_busy", True)
        assert "try again" in str(refusal.value)
        assert list(engine.users()) == []

        said(locked)

        write(engine)
        assert award(engine).status in ("applied", "duplicate")


def test_a_locked_database_can_be_opened_and_read(sqlite_url, locked):
    with laurels.open(sqlite_url, busy_timeout_s=BUSY_TIMEOUT_S) as engine:
        assert engine.catalog.name == "Community"
        assert engine.leaderboard("xp").top() == []
        with pytest.raises(laurels.Unknown):
            engine.user("ada").outcome("a")


def test_a_new_database_that_is_locked_is_busy(tmp_path):
    other = start(HOLD_THE_LOCK, tmp_path / "new.db")
    assert other.stdout.readline() == "locked\n"
    with pytest.raises(laurels.Unavailable) as refusal:
        laurels.open(f"sqlite:///{tmp_path / 'new.db'}", busy_timeout_s=BUSY_TIMEOUT_S)
    assert refusal.value.code == "database_busy"
    said(other)


def test_many_can_open_a_new_database_at_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    with ThreadPoolExecutor(8) as threads:
        engines = list(threads.map(lambda _: laurels.open(url), range(8)))
    for number, engine in enumerate(engines):
        award(engine, f"a{number}")
    assert engines[0].profile("ada").xp == 40
    assert {engine.catalog.revision for engine in engines} == {1}
    for engine in engines:
        engine.close()


# --- Read-only --------------------------------------------------------------------------------------------------------

TRY_TO_WRITE = """
import sys
import laurels
try:
    with laurels.open(sys.argv[1], create="create" in sys.argv) as engine:
        print(engine.profile("ada").xp)
        engine.award_xp("ada", 5, request_id="b")
except laurels.LaurelsError as error:
    print(error.code, error.retryable)
    print(error)
"""


def unprivileged() -> tuple[str, ...]:
    """The command that makes permissions bind: root ignores them unless it gives that up."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may write anything, and there is no setpriv to give that up")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.fixture
def stored(tmp_path):
    """A database in a folder of its own, with 5 XP for Ada."""
    folder = tmp_path / "stored"
    folder.mkdir()
    path = folder / "laurels.db"
    with laurels.open(f"sqlite:///{path}") as engine:
        award(engine)
    yield path
    folder.chmod(0o700)
    path.chmod(0o600)


def test_a_read_only_file_can_be_read_and_not_written(stored):
    stored.chmod(0o400)
    before = stored.read_bytes()

    lines = said(start(TRY_TO_WRITE, f"sqlite:///{stored}", before=unprivileged()))

    assert lines[:2] == ["5", "database_read_only False"]
    assert str(stored) in lines[2]
    assert "writable" in lines[2]
    assert stored.read_bytes() == before


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        pytest.param(0o500, "database_read_only", "its folder writable", id="that-can-be-read"),
        pytest.param(0o000, "database_unreadable", "May this user read and write", id="that-cannot-be-read"),
    ],
)
def test_a_database_in_a_closed_folder_is_refused_with_what_to_look_at(stored, mode, code, words):
    """SQLite needs to put its log beside the file."""
    stored.parent.chmod(mode)
    lines = said(start(TRY_TO_WRITE, f"sqlite:///{stored}", before=unprivileged()))
    assert lines[0] == f"{code} False"
    assert str(stored) in lines[1]
    assert words in lines[1]


def test_a_new_database_in_a_read_only_folder_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o500)
    lines = said(start(TRY_TO_WRITE, f"sqlite:///{folder / 'new.db'}", "create", before=unprivileged()))
    assert lines[0] == "database_unreadable False"
    assert list(folder.iterdir()) == []


def test_a_file_that_may_not_be_read_is_refused(stored):
    stored.chmod(0o000)
    lines = said(start(TRY_TO_WRITE, f"sqlite:///{stored}", before=unprivileged()))
    assert lines[0] == "database_unreadable False"
    assert str(stored) in lines[1]


# --- Full -------------------------------------------------------------------------------------------------------------


def big_events(number):
    """Events that fill a disk: a megabyte for each twenty."""
    data = {"text": "x" * 50_000}
    return [laurels.Event("post.created", user=f"u{n}", id=f"e{number}", data=data) for n in range(20)]


def test_a_full_disk_refuses_whole_batches_and_the_same_ids_succeed_when_there_is_room(tmp_path):
    engine = laurels.open(f"sqlite:///{tmp_path / 'laurels.db'}")
    limits = {"pages": 600}

    @event.listens_for(engine._store._engine, "checkout")
    def limit(connection, *_):
        connection.execute(f"PRAGMA max_page_count = {limits['pages']}")

    with pytest.raises(laurels.Unavailable) as refusal:  # noqa: PT012  which of them is too much, the disk says
        for number in range(10):
            engine.record(big_events(number))

    assert (refusal.value.code, refusal.value.retryable) == ("database_full", True)
    assert "Make room" in str(refusal.value)
    assert {engine.profile(user).metrics["posts"] for user in engine.users()} == {number}
    limits["pages"] = 100_000
    assert {outcome.status for outcome in engine.record(big_events(number))} == {"applied"}
    engine.close()


FILL_UP = """
import resource, signal, sys
import laurels
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
with laurels.open(sys.argv[1]) as engine:
    try:
        for number in range(100):
            engine.record([laurels.Event("post.created", user=f"u{n}", id=f"e{number}", data={"text": "x" * 5_000})
                           for n in range(10)])
            print(number)
    except laurels.LaurelsError as error:
        print(error.code, error.retryable)
        print(error)
    print(engine.profile("u0").metrics["posts"])
"""


def test_a_file_that_may_not_grow_refuses_what_does_not_fit_and_keeps_what_was_answered(tmp_path):
    url = f"sqlite:///{tmp_path / 'laurels.db'}"

    *numbers, error, message, posts = said(start(FILL_UP, url))

    assert len(numbers) > 1
    assert error == "database_io_error True"
    assert "room" in message
    assert posts == str(len(numbers))
    with laurels.open(url) as engine:
        assert engine.profile("u0").metrics["posts"] == len(numbers)
        assert award(engine).status == "applied"


# --- What was closed --------------------------------------------------------------------------------------------------


def test_a_closed_engine_says_so(open_engine):
    engine = open_engine(BASE)
    engine.close()
    with pytest.raises(laurels.Unavailable, match="open it again") as refusal:
        award(engine)
    assert refusal.value.code == "engine_closed"
